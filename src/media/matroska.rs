//! Whether a Matroska file says how long it is: one that was written as it came does not, and GStreamer guesses then.

use super::source::Input;

/// How much of the beginning is looked at.
const BEGINNING: usize = 64 << 10;
/// `Info`, RFC 9559 section 5.1.2.
const INFO: [u8; 4] = [0x15, 0x49, 0xa9, 0x66];
/// `Duration`, section 5.1.2.10.
const DURATION: [u8; 2] = [0x44, 0x89];

/// Whether the file has its `Info` near the beginning, and no length in it.
pub fn declares_no_length(input: &Input) -> bool {
    let mut bytes = vec![0; BEGINNING];
    let Ok(count) = input.fill(0, &mut bytes) else {
        return false;
    };
    bytes.truncate(count);
    bytes.starts_with(&[0x1a, 0x45, 0xdf, 0xa3]) && lacks_length(&bytes) == Some(true)
}

fn lacks_length(bytes: &[u8]) -> Option<bool> {
    let at = bytes.windows(4).position(|here| here == INFO)?;
    let (size, mut rest) = number(&bytes[at + 4..])?;
    rest = rest.get(..usize::try_from(size).ok()?)?;
    while let Some(first) = rest.first() {
        let length = first.leading_zeros() as usize + 1;
        let id = rest.get(..length)?;
        let (size, after) = number(&rest[length..])?;
        if id == DURATION {
            return Some(false);
        }
        rest = after.get(usize::try_from(size).ok()?..)?;
    }
    Some(true)
}

/// A number of variable length, and what follows it.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let first = *bytes.first()?;
    let length = first.leading_zeros() as usize + 1;
    let (own, rest) = (bytes.get(..length).filter(|_| length <= 8)?, &bytes[length..]);
    let mark = 1_u64 << (7 * length);
    let value = own.iter().fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
    Some((value & (mark - 1), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_found_where_there_is_one() {
        let info = |children: &[u8]| {
            let mut bytes = vec![0x1a, 0x45, 0xdf, 0xa3, 0x80, 0x18, 0x53, 0x80, 0x67, 0xff];
            bytes.extend(INFO);
            bytes.push(0x80 | u8::try_from(children.len()).unwrap());
            bytes.extend(children);
            bytes
        };
        let scale = [0x2a, 0xd7, 0xb1, 0x83, 0x0f, 0x42, 0x40];
        assert_eq!(lacks_length(&info(&scale)), Some(true));
        let with = [&scale[..], &[0x44, 0x89, 0x84, 0x46, 0x1c, 0x40, 0x00]].concat();
        assert_eq!(lacks_length(&info(&with)), Some(false));
        // The same bytes within another child are none.
        let inside = [0x4d, 0x80, 0x82, 0x44, 0x89];
        assert_eq!(lacks_length(&info(&inside)), Some(true));
        assert_eq!(lacks_length(&info(&with)[..20]), None);
    }
}
