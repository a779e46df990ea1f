//! Tracks of an MP4 file of which a player takes one (ISO/IEC 14496-12): they are of one group, and one of them is enabled.
//! The muxer enables all, and players that believe it play all sounds at once.

use std::fs::OpenOptions;
use std::io::{self, Seek, SeekFrom, Write};

use super::Flags;
use crate::media::boxes;

/// The flag of a track that is played where nobody chooses.
const ENABLED: u8 = 1;

/// Writes into a finished file which tracks are alternatives, and which of them are enabled.
///
/// # Errors
/// Where the file cannot be read or written.
pub fn mend(file: &str, flags: &Flags) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(file)?;
    let (place, mut index) = boxes::whole_index(&mut file)?;
    group(&mut index, [b"soun"].as_slice(), 1, &flags.sounds);
    group(&mut index, [b"sbtl", b"text", b"subt"].as_slice(), 2, &flags.subtitles);
    file.seek(SeekFrom::Start(place))?;
    file.write_all(&index)
}

/// Makes the tracks of these sorts a group.
fn group(index: &mut [u8], sorts: &[&[u8; 4]], number: u8, enabled: &[bool]) {
    let tracks = boxes::tracks(index, |sort| sorts.contains(&sort));
    for (track, is_enabled) in tracks.into_iter().zip(enabled) {
        let Some(header) = boxes::find(index, track, *b"tkhd") else {
            continue;
        };
        // Version 1 has times of 64 bits.
        let alternate = header.start + if index.get(header.start) == Some(&1) { 46 } else { 34 };
        if let Some(flags) = index.get_mut(header.start + 3) {
            *flags = if *is_enabled {
                *flags | ENABLED
            } else {
                *flags & !ENABLED
            };
        }
        if let Some(bytes) = index.get_mut(alternate..alternate + 2) {
            bytes.copy_from_slice(&[0, number]);
        }
    }
}
