//! Mends the head of a FLAC file whose packets were taken over from another container.
//!
//! Matroska keeps one block of the head and calls it the last; the parser adds another behind it and leaves that word as it
//! is. Readers would take the second for sound.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;

/// Says of a block that none follows.
const LAST: u8 = 0x80;
/// More blocks no file has.
const MOST: usize = 100;

/// Says of every block of the head but the last that it is not. A file of another form stays as it is.
///
/// # Errors
/// Where the file cannot be read or written.
pub fn mend(file: &str) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(file)?;
    let mut head = [0; 4];
    if file.read_at(&mut head, 0)? < head.len() || head != *b"fLaC" {
        return Ok(());
    }
    let mut at = head.len() as u64;
    for _ in 0..MOST {
        let mut block = [0; 4];
        if file.read_at(&mut block, at)? < block.len() {
            return Ok(());
        }
        let length = u64::from(u32::from_be_bytes([0, block[1], block[2], block[3]]));
        let next = at + 4 + length;
        let mut after = [0; 1];
        // Frames of sound begin with bits that no block has.
        if file.read_at(&mut after, next)? == 0 || after[0] == 0xff {
            return Ok(());
        }
        if block[0] & LAST != 0 {
            file.write_all_at(&[block[0] & !LAST], at)?;
        }
        at = next;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_block_says_that_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mended = |bytes: &[u8]| {
            let file = folder.path().join("a.flac");
            std::fs::write(&file, bytes).unwrap();
            mend(file.to_str().unwrap()).unwrap();
            std::fs::read(&file).unwrap()
        };
        assert_eq!(
            mended(b"fLaC\x80\0\0\x02ab\x84\0\0\x01c\xff\xf8sound"),
            b"fLaC\0\0\0\x02ab\x84\0\0\x01c\xff\xf8sound"
        );
        for right in [
            &b"fLaC\0\0\0\x02ab\x84\0\0\x01c\xff\xf8sound"[..],
            b"fLaC\x80\0\0\x02ab\xff\xf8",
            b"fLaC",
            b"",
            b"OggS",
        ] {
            assert_eq!(mended(right), right);
        }
    }
}
