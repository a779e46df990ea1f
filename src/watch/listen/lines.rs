//! Lines out of a stream of bytes, in bounded memory.

/// The longest line, in bytes.
pub(super) const LONGEST: usize = 1 << 20;

/// What has come of the line that is not yet whole.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
    /// What is in `rest` was handed out.
    handed: bool,
    /// The line was too long; what is left of it is passed over.
    skipping: bool,
}

/// A line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// The beginning of one that is too long.
    TooLong(&'a [u8]),
}

impl Lines {
    /// The next line that these bytes make whole; what is taken of them is cut off.
    pub(super) fn next<'l, 'b: 'l>(&'l mut self, bytes: &mut &'b [u8]) -> Option<Line<'l>> {
        if std::mem::take(&mut self.handed) {
            self.rest.clear();
        }
        let (mut line, mut ends) = split(bytes)?;
        if self.skipping {
            self.skipping = !ends;
            (line, ends) = split(bytes).filter(|_| !self.skipping)?;
        }
        if self.rest.is_empty() {
            // Spaces are how some servers say that they are there: they must not pile up.
            line = line.trim_ascii_start();
        }
        if self.rest.len() + line.len() > LONGEST {
            let room = LONGEST - self.rest.len();
            self.rest.extend_from_slice(&line[..room]);
            self.skipping = !ends;
            self.handed = true;
            return Some(Line::TooLong(&self.rest));
        }
        if !ends {
            self.rest.extend_from_slice(line);
            return None;
        }
        if self.rest.is_empty() {
            return Some(Line::Whole(line));
        }
        self.rest.extend_from_slice(line);
        self.handed = true;
        Some(Line::Whole(&self.rest))
    }
}

/// Cuts off a line, or what there is of one; whether its end was there.
fn split<'l>(bytes: &mut &'l [u8]) -> Option<(&'l [u8], bool)> {
    if bytes.is_empty() {
        return None;
    }
    let (line, rest, ends) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..], true),
        None => (*bytes, &b""[..], false),
    };
    *bytes = rest;
    Some((line, ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for piece in pieces {
            let mut bytes = *piece;
            while let Some(line) = lines.next(&mut bytes) {
                found.push(match line {
                    Line::Whole(line) => String::from_utf8(line.to_vec()).unwrap(),
                    Line::TooLong(line) => format!("too long: {}", line.len()),
                });
            }
            assert!(lines.rest.len() <= LONGEST);
        }
        found
    }

    #[test]
    fn lines_are_found_however_the_bytes_come() {
        let text = b"one\n  \ntwo\n\n   three\nfour";
        let expected = ["one", "", "two", "", "three"];
        assert_eq!(lines(&[text]), expected);
        for size in 1..text.len() {
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            assert_eq!(lines(&pieces), expected, "{size}");
        }
    }

    #[test]
    fn a_line_that_never_ends_takes_bounded_memory_and_the_next_is_read() {
        let much = vec![b'x'; LONGEST / 2 + 1];
        let expected = [format!("too long: {LONGEST}"), "next".to_owned()];
        assert_eq!(lines(&[&much, &much, &much, &much, b"x\nne", b"xt\n"]), expected);
        let mut whole = vec![b'x'; LONGEST + 1];
        whole.extend_from_slice(b"\nnext\n");
        assert_eq!(lines(&[&whole]), expected);
        whole.remove(0);
        assert_eq!(lines(&[&whole]).len(), 2);
        assert!(!lines(&[&whole])[0].starts_with("too"));
    }

    #[test]
    fn spaces_do_not_pile_up() {
        let mut lines = Lines::default();
        for _ in 0..1000 {
            let mut bytes = &b"   "[..];
            assert!(lines.next(&mut bytes).is_none());
            assert!(lines.rest.is_empty());
        }
    }
}
