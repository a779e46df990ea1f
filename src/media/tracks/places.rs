//! The places of streams in a file. That of a sound of which nothing came is taken back: muxers fail over such a track, or describe
//! it so that nobody can read the file.

use std::fs::OpenOptions;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gst::prelude::*;

use crate::media::boxes;
use crate::rule::Container;

/// How many streams of film and sound a file is to have.
#[derive(Debug, Clone)]
pub struct Places {
    left: Arc<AtomicUsize>,
    /// The muxer forgets a pad that is taken back.
    forgets: bool,
}

impl Places {
    /// None yet, in a file of this form.
    pub fn new(container: Container) -> Self {
        Self {
            left: Arc::default(),
            // An index describes every pad that there ever was: see [`void`].
            forgets: !container.has_index_in_front(),
        }
    }

    /// One more, linked to this pad, which stays even where nothing comes of it.
    pub fn keep(&self, exit: &gst::Pad) {
        self.left.fetch_add(1, Ordering::SeqCst);
        let left = self.left.clone();
        where_empty(exit, move |_| {
            // It does not carry the file, so the last of the others must not go.
            left.fetch_sub(1, Ordering::SeqCst);
            gst::PadProbeReturn::Ok
        });
    }

    /// One more, linked to this pad: where the stream ends before anything came of it, the muxer does not hear of it any more,
    /// unless it would have nothing else.
    pub fn leave_if_empty(&self, exit: &gst::Pad) {
        self.left.fetch_add(1, Ordering::SeqCst);
        if !self.forgets {
            return;
        }
        let left = self.left.clone();
        where_empty(exit, move |exit| {
            let Some((entry, muxer)) = exit
                .peer()
                .and_then(|entry| Some((entry.clone(), entry.parent_element()?)))
            else {
                return gst::PadProbeReturn::Ok;
            };
            let others = |left: usize| left.checked_sub(1).filter(|others| *others > 0);
            if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, others).is_err() {
                return gst::PadProbeReturn::Ok;
            }
            let _ = exit.unlink(&entry);
            muxer.release_request_pad(&entry);
            gst::PadProbeReturn::Handled
        });
    }
}

/// Asks what is to become of the end of a stream of which nothing came.
fn where_empty(exit: &gst::Pad, then: impl Fn(&gst::Pad) -> gst::PadProbeReturn + Send + Sync + 'static) {
    let came = Arc::new(AtomicBool::new(false));
    let coming = came.clone();
    let packets = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    exit.add_probe(packets, move |_, _| {
        coming.store(true, Ordering::SeqCst);
        gst::PadProbeReturn::Remove
    });
    exit.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |exit, info| {
        let is_end = info.event().is_some_and(|event| event.type_() == gst::EventType::Eos);
        if is_end && !came.load(Ordering::SeqCst) {
            then(exit)
        } else {
            gst::PadProbeReturn::Ok
        }
    });
}

/// Declares the tracks of a finished MP4 file to be free space that have no packets, but for films and subtitles.
///
/// # Errors
/// Where the file cannot be read or written, or has no index.
pub fn void(file: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(file)?;
    let (place, index) = boxes::whole_index(&mut file)?;
    let named = boxes::tracks(&index, |sort| sort != b"soun" && sort != &[0; 4]);
    let mut at = 0;
    while let Some(track) = boxes::find(&index, at..index.len(), *b"trak") {
        at = track.end;
        if !named.contains(&track) && packets(&index, track.clone()) == Some(0) {
            file.seek(SeekFrom::Start(place + track.start as u64 - 4))?;
            file.write_all(b"free")?;
        }
    }
    Ok(())
}

/// How many packets a track has.
fn packets(index: &[u8], track: std::ops::Range<usize>) -> Option<u32> {
    let path = [*b"mdia", *b"minf", *b"stbl", *b"stsz"];
    let sizes = path
        .into_iter()
        .try_fold(track, |within, name| boxes::find(index, within, name))?;
    let count = index.get(sizes.start + 8..sizes.start + 12)?;
    Some(count.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &[u8], content: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(content.len() + 8).unwrap().to_be_bytes().to_vec();
        bytes.extend(name);
        bytes.extend(content);
        bytes
    }

    fn track(sort: &[u8], packets: u8) -> Vec<u8> {
        let sizes = part(b"stsz", &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, packets]);
        let media = [
            part(b"hdlr", &[&[0; 8], sort, &[0; 12]].concat()),
            part(b"minf", &part(b"stbl", &sizes)),
        ];
        part(b"trak", &part(b"mdia", &media.concat()))
    }

    #[test]
    fn a_sound_without_packets_is_free_space_and_nothing_else_is() {
        let tracks = [
            track(b"vide", 0),
            track(&[0; 4], 0),
            track(b"soun", 0),
            track(b"soun", 3),
            track(b"text", 0),
        ];
        let whole = [part(b"ftyp", b"isom"), part(b"moov", &tracks.concat())].concat();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.mp4");
        std::fs::write(&file, &whole).unwrap();
        void(file.to_str().unwrap()).unwrap();
        let names = |mut bytes: &[u8]| {
            let mut names = Vec::new();
            while let Some((head, rest)) = bytes.split_at_checked(8) {
                let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
                names.push(String::from_utf8_lossy(&head[4..]).into_owned());
                bytes = &rest[length - 8..];
            }
            names
        };
        let mended = std::fs::read(&file).unwrap();
        assert_eq!(mended.len(), whole.len());
        assert_eq!(names(&mended[20..]), ["trak", "free", "free", "trak", "trak"]);
    }
}
