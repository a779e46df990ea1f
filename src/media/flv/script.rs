//! What an FLV file says of itself in its first script: names and values, as Flash wrote them (AMF 0).

use std::collections::BTreeMap;

/// Values lie in each other so deep at most.
const DEEPEST: u32 = 8;
/// No list is read further.
const LONGEST: usize = 1 << 20;

/// Names and values.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Script {
    /// Those that are numbers; what is true is 1.
    pub numbers: BTreeMap<String, f64>,
    /// Those that are texts.
    pub texts: BTreeMap<String, String>,
    /// Those that are lists of numbers.
    pub lists: BTreeMap<String, Vec<f64>>,
}

impl Script {
    /// Reads what a tag carries; none where that is something else. What is damaged is read as far as it goes.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let name = (reader.byte()? == 2).then(|| reader.text())??;
        if name != "onMetaData" {
            return None;
        }
        let mut script = Self::default();
        reader.value("", &mut script, 0);
        Some(script)
    }

    /// A number that is more than nothing.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.numbers
            .get(name)
            .copied()
            .filter(|number| number.is_finite() && *number > 0.0)
    }

    /// Whether this is said at all.
    pub fn says(&self, name: &str) -> bool {
        self.numbers.contains_key(name) || self.texts.contains_key(name)
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn length(&mut self, bytes: usize) -> Option<usize> {
        let number = self.take(bytes)?;
        Some(number.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    fn text(&mut self) -> Option<String> {
        let length = self.length(2)?;
        Some(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn double(&mut self) -> Option<f64> {
        Some(f64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    /// Reads a value of this name; none where nothing behind it can be read.
    fn value(&mut self, name: &str, into: &mut Script, depth: u32) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        match self.byte()? {
            0 => {
                let number = self.double()?;
                into.numbers.insert(name.to_owned(), number);
            }
            1 => {
                let truth = self.byte()? != 0;
                into.numbers.insert(name.to_owned(), f64::from(u8::from(truth)));
            }
            2 => {
                let text = self.text()?;
                into.texts.insert(name.to_owned(), text);
            }
            3 => self.members(into, depth)?,
            8 => {
                // How many there are is only guessed.
                self.take(4)?;
                self.members(into, depth)?;
            }
            5 | 6 => {}
            7 => drop(self.take(2)?),
            10 => self.list(name, into, depth)?,
            11 => drop(self.take(10)?),
            12 => {
                let length = self.length(4)?;
                let text = String::from_utf8_lossy(self.take(length)?).into_owned();
                into.texts.insert(name.to_owned(), text);
            }
            _ => return None,
        }
        Some(())
    }

    fn members(&mut self, into: &mut Script, depth: u32) -> Option<()> {
        loop {
            let name = self.text()?;
            if name.is_empty() && self.0.first() == Some(&9) {
                return self.byte().map(drop);
            }
            self.value(&name, into, depth + 1)?;
        }
    }

    fn list(&mut self, name: &str, into: &mut Script, depth: u32) -> Option<()> {
        let count = self.length(4)?;
        let mut numbers = Vec::new();
        for _ in 0..count.min(LONGEST) {
            if self.0.first() == Some(&0) {
                self.byte()?;
                numbers.push(self.double()?);
            } else {
                self.value("", into, depth + 1)?;
            }
        }
        into.lists.insert(name.to_owned(), numbers);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(name.len()).unwrap().to_be_bytes();
        [&length[..], name.as_bytes(), value].concat()
    }

    fn number(value: f64) -> Vec<u8> {
        [&[0][..], &value.to_be_bytes()].concat()
    }

    #[test]
    fn numbers_texts_and_lists_are_read_however_deep_and_damage_is_none() {
        let list = [&[10, 0, 0, 0, 2][..], &number(0.0), &number(2.5)].concat();
        let keys = [&[3][..], &named("times", &list), &[0, 0, 9]].concat();
        let whole = [
            &[2][..],
            &named("onMetaData", &[8, 0, 0, 0, 1]),
            &named("duration", &number(14.5)),
            &named("stereo", &[1, 1]),
            &named("title", &[2, 0, 2, b'h', b'i']),
            &named("keyframes", &keys),
            &[0, 0, 9],
        ]
        .concat();
        let script = Script::read(&whole).unwrap();
        assert_eq!(script.number("duration"), Some(14.5));
        assert_eq!(script.number("stereo"), Some(1.0));
        assert_eq!(script.texts["title"], "hi");
        assert_eq!(script.lists["times"], [0.0, 2.5]);
        for end in 0..whole.len() {
            Script::read(&whole[..end]);
        }
        assert_eq!(Script::read(&[2, 0, 1, b'x', 3, 0, 0, 9]), None);
        // As deep as nobody writes.
        let deep = [&[2][..], &named("onMetaData", &[3]), &[0, 1, b'a', 3].repeat(100_000)].concat();
        assert!(Script::read(&deep).is_some());
    }
}
