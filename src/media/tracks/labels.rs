//! What a Matroska file says of a film and of its tracks: titles, names, dates. The muxer of GStreamer 1.22 writes texts that are more
//! than a word as a program would: `"The\ film"`.
//!
//! Nothing moves: texts get shorter, and what gets free is declared void.

use super::matroska::{SEGMENT, children, written};

const SEEK_HEAD: u32 = 0x114d_9b74;
const SEEK: u32 = 0x4dbb;
const SEEK_ID: u32 = 0x53ab;
const SEEK_PLACE: u32 = 0x53ac;
const TAGS: u32 = 0x1254_c367;
const TAG: u32 = 0x7373;
const SIMPLE_TAG: u32 = 0x67c8;
const TEXT: u32 = 0x4487;

/// Where it lies, as the beginning of a file says; none where nothing is said.
pub fn place(beginning: &[u8]) -> Option<u64> {
    let (segment, _) = children(beginning, 0, usize::MAX).find(|(one, _)| one.id == SEGMENT)?;
    let mut parts = children(beginning, segment.from, segment.to);
    let (head, _) = parts.find(|(one, _)| one.id == SEEK_HEAD)?;
    let mut seeks = children(beginning, head.from, head.to).filter(|(one, _)| one.id == SEEK);
    let place = seeks.find_map(|(seek, _)| {
        let within = |id| {
            let mut fields = children(beginning, seek.from, seek.to);
            fields.find_map(|(field, value)| (field.id == id).then_some(value))
        };
        (within(SEEK_ID)? == TAGS.to_be_bytes()).then_some(within(SEEK_PLACE)?)
    })?;
    let place = place.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    place.checked_add(segment.from as u64).filter(|_| place > 0)
}

/// New contents of what is said, each with its place. `bytes` begin with the element that holds all of it.
pub fn mended(bytes: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let mut done = Vec::new();
    let Some((all, _)) = children(bytes, 0, bytes.len()).next().filter(|(one, _)| one.id == TAGS) else {
        return done;
    };
    for (tag, _) in children(bytes, all.from, all.to).filter(|(one, _)| one.id == TAG) {
        for (simple, content) in children(bytes, tag.from, tag.to).filter(|(one, _)| one.id == SIMPLE_TAG) {
            let mut fields: Vec<(u32, Vec<u8>)> = children(content, 0, content.len())
                .map(|(field, value)| (field.id, value.to_vec()))
                .collect();
            let mut quoted = false;
            for (_, value) in fields.iter_mut().filter(|(id, _)| *id == TEXT) {
                if let Some(text) = unquoted(value) {
                    (*value, quoted) = (text, true);
                }
            }
            done.extend(
                written(&fields, content.len())
                    .filter(|_| quoted)
                    .map(|fields| (simple.from, fields)),
            );
        }
    }
    done
}

/// A text without quotes and escapes; none where it has none, or is something else.
fn unquoted(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    let inside = text[..end].strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut out = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            // A quote that is one of the text would be escaped.
            out.push(*first);
            if *first == b'"' {
                return None;
            }
            continue;
        }
        let octal = |bytes: &[u8]| {
            let digits = bytes.get(..3)?;
            let value = digits.iter().try_fold(0_u16, |sum, digit| {
                matches!(digit, b'0'..=b'7').then(|| sum * 8 + u16::from(digit - b'0'))
            })?;
            u8::try_from(value).ok()
        };
        if let Some(byte) = octal(rest) {
            out.push(byte);
            rest = &rest[3..];
        } else {
            let (escaped, after) = rest.split_first()?;
            out.push(*escaped);
            rest = after;
        }
    }
    String::from_utf8(out).ok().map(String::into_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_lose_their_quotes_and_what_looks_like_them_stays() {
        let table = [
            (r#""The\ film""#, Some("The film")),
            (r#""Gr\303\266\303\237e""#, Some("Größe")),
            (r#""a \"b\" \\ c""#, Some(r#"a "b" \ c"#)),
            (r#""""#, Some("")),
            ("Word", None),
            (r#""half"#, None),
            (r#"""#, None),
            (r#""a" and "b""#, None),
            (r#""\377""#, None),
            (r#""\""#, None),
        ];
        for (text, expected) in table {
            let expected = expected.map(|text| text.as_bytes().to_vec());
            assert_eq!(unquoted(text.as_bytes()), expected, "{text}");
            assert_eq!(
                unquoted([text.as_bytes(), &[0]].concat().as_slice()),
                expected,
                "{text}"
            );
        }
    }
}
