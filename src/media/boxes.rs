//! The top level of an MP4 file: where its index lies.

use std::io::{self, Read, Seek, SeekFrom};

/// Whether `moov` comes before the first `mdat`.
///
/// # Errors
/// Where the file cannot be read, or has no `moov` at all.
pub fn index_in_front(file: &mut (impl Read + Seek)) -> io::Result<bool> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut at = 0_u64;
    let mut media_seen = false;
    while at + 8 <= end {
        file.seek(SeekFrom::Start(at))?;
        let mut head = [0_u8; 16];
        file.read_exact(&mut head[..8])?;
        let short = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let length = match short {
            0 => end - at,
            1 => {
                file.read_exact(&mut head[8..])?;
                u64::from_be_bytes([
                    head[8], head[9], head[10], head[11], head[12], head[13], head[14], head[15],
                ])
            }
            other => u64::from(other),
        };
        match &head[4..8] {
            b"moov" => return Ok(!media_seen),
            b"mdat" => media_seen = true,
            _ => {}
        }
        if length < 8 {
            break;
        }
        at = at.saturating_add(length);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the file has no index"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn file(boxes: &[(&[u8; 4], usize)]) -> Cursor<Vec<u8>> {
        let mut bytes = Vec::new();
        for (name, payload) in boxes {
            bytes.extend(u32::try_from(payload + 8).expect("small").to_be_bytes());
            bytes.extend(*name);
            bytes.extend(vec![0; *payload]);
        }
        Cursor::new(bytes)
    }

    #[test]
    fn the_index_is_found_in_front_and_at_the_end() {
        assert!(index_in_front(&mut file(&[(b"ftyp", 8), (b"moov", 20), (b"mdat", 9)])).expect("read"));
        assert!(!index_in_front(&mut file(&[(b"ftyp", 8), (b"mdat", 9), (b"moov", 20)])).expect("read"));
    }

    #[test]
    fn a_file_without_an_index_or_with_a_bad_length_is_an_error() {
        assert!(index_in_front(&mut file(&[(b"ftyp", 8), (b"mdat", 9)])).is_err());
        assert!(index_in_front(&mut Cursor::new(vec![0, 0, 0, 3, b'f', b't', b'y', b'p', 0])).is_err());
    }
}
