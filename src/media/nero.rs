//! Chapters in the index of an MP4 or QuickTime file, as Nero's programs wrote them and others since (`chpl`). GStreamer's demuxer
//! reads none.

use std::time::Duration;

use super::failure::plain;
use super::mp4::{Part, children, number, read};
use super::source::Input;
use crate::plan::Chapter;

/// The chapters of a file; none where it has none, is of another kind, or is damaged there.
pub fn chapters(input: &Input) -> Vec<Chapter> {
    list(input).map_or_else(Vec::new, |list| entries(input, list))
}

/// What such a file begins with.
const FIRST: [[u8; 4]; 6] = [*b"ftyp", *b"moov", *b"mdat", *b"wide", *b"free", *b"skip"];

/// Where they lie.
fn list(input: &Input) -> Option<Part> {
    let mut first = [0; 4];
    read(input, 4, &mut first)?;
    if !FIRST.contains(&first) {
        return None;
    }
    let within = |part: Part, name: &[u8; 4]| children(input, part)?.into_iter().find(|part| &part.name == name);
    let file = Part {
        name: *b"file",
        from: 0,
        to: input.size(),
    };
    within(within(within(file, b"moov")?, b"udta")?, b"chpl")
}

fn entries(input: &Input, list: Part) -> Vec<Chapter> {
    let mut found = Vec::new();
    // Version 1 has four bytes more in front, and up to 255 chapters there are in both.
    let more = if number(input, list.from, 1) == Some(0) { 0 } else { 4 };
    let count = number(input, list.from + 4 + more, 1).unwrap_or(0);
    let mut at = list.from + 5 + more;
    for _ in 0..count {
        let Some((start, length)) = number(input, at, 8).zip(number(input, at + 8, 1)) else {
            break;
        };
        let mut title = vec![0; usize::try_from(length).unwrap_or_default()];
        if at + 9 + length > list.to || read(input, at + 9, &mut title).is_none() {
            break;
        }
        found.push(Chapter {
            // Ten millions a second.
            start: Duration::from_nanos(start.saturating_mul(100)),
            end: None,
            title: plain(&String::from_utf8_lossy(&title)),
        });
        at += 9 + length;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::mp4::tests::{Bytes, part};

    fn file(version: u8) -> Vec<u8> {
        let mut list = vec![version, 0, 0, 0];
        list.extend(vec![0; if version == 0 { 0 } else { 4 }]);
        list.push(2);
        for (start, title) in [(5_000_000_u64, "One"), (70_000_000, "Zwei ä\n")] {
            list.extend(start.to_be_bytes());
            list.push(u8::try_from(title.len()).expect("short"));
            list.extend(title.as_bytes());
        }
        let about = part(b"udta", &[part(b"meta", &[0; 4]), part(b"chpl", &list)].concat());
        [part(b"ftyp", b"isom"), part(b"moov", &about)].concat()
    }

    #[test]
    fn chapters_are_read_in_both_versions_and_damage_is_no_panic() {
        for version in [0, 1] {
            let whole = file(version);
            let read = |bytes: Vec<u8>| chapters(&Input::new(Bytes(bytes)));
            let told: Vec<_> = read(whole.clone())
                .iter()
                .map(|one| format!("{:?} {}", one.start, one.title))
                .collect();
            assert_eq!(told, ["500ms One", "7s Zwei ä"], "{version}");
            for at in 0..whole.len() {
                for value in [0, 1, 7, 0x80, 0xff] {
                    let mut damaged = whole.clone();
                    damaged[at] = value;
                    read(damaged);
                }
                read(whole[..at].to_vec());
            }
        }
        assert_eq!(chapters(&Input::new(Bytes(b"no such file".to_vec()))), []);
        let other = [part(b"RIFF", &[0; 4]), file(1)].concat();
        assert_eq!(chapters(&Input::new(Bytes(other))), []);
    }
}
