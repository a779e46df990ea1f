//! What is added to the index of an MP4 file on its way to the file: chapters, as Nero's programs wrote them and others read them
//! since (`chpl`), and the titles of tracks, where players look for them.
//!
//! The index lies in front, and what it points at moves by as much as it grows.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

use crate::job::Failure;
use crate::media::boxes::{self, find};
use crate::media::failure::internal;
use crate::plan::Chapter;

/// The longest title of a chapter, and of a track in QuickTime, in bytes.
const LONGEST: usize = 255;

/// Has what the muxer says of its file pass through here, to get the chapters that are listed then, and the titles of tracks.
///
/// # Errors
/// Where the muxer has no exit.
pub fn amend(muxer: &gst::Element, chapters: Arc<Mutex<Vec<Chapter>>>) -> Result<(), Failure> {
    let exit = muxer
        .static_pad("src")
        .ok_or_else(|| internal("a muxer without an exit"))?;
    exit.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data else {
            return gst::PadProbeReturn::Ok;
        };
        let amended = buffer
            .map_readable()
            .ok()
            .filter(|bytes| bytes.get(4..8) == Some(b"moov"))
            .map(|bytes| amended(&bytes, nero(&chapters.lock().unwrap_or_else(PoisonError::into_inner))));
        match amended {
            None => gst::PadProbeReturn::Ok,
            Some(amended) => {
                if let Some(amended) = amended {
                    *buffer = gst::Buffer::from_mut_slice(amended);
                }
                gst::PadProbeReturn::Remove
            }
        }
    });
    Ok(())
}

/// Looks whether so many chapters are in a finished file. One without an index at all is told of by whoever reads it back.
///
/// # Errors
/// Where they are not, or the file cannot be read.
pub fn has_chapters(file: &str, count: usize) -> io::Result<()> {
    let index = match boxes::whole_index(&mut std::fs::File::open(file)?) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(()),
        index => index?.1,
    };
    let missing = || io::Error::new(io::ErrorKind::InvalidData, "the chapters are not in the file");
    (listed(&index) == Some(count)).then_some(()).ok_or_else(missing)
}

/// How many chapters an index lists; none where it has no list.
fn listed(index: &[u8]) -> Option<usize> {
    let list = find(index, find(index, 0..index.len(), *b"udta")?, *b"chpl")?;
    index[list].get(8).copied().map(usize::from)
}

/// Chapters as a box; none where there are none. A plan has no more than there is room for.
fn nero(chapters: &[Chapter]) -> Option<Vec<u8>> {
    let count = u8::try_from(chapters.len()).ok().filter(|count| *count > 0)?;
    // Version 1, and four bytes that nobody has told of.
    let mut content = vec![1, 0, 0, 0, 0, 0, 0, 0, count];
    for chapter in chapters {
        let start = u64::try_from(chapter.start.as_nanos() / 100).unwrap_or(u64::MAX);
        content.extend(start.to_be_bytes());
        content.extend(counted(&chapter.title));
    }
    Some(boxed(*b"chpl", &content))
}

/// As many characters of a text as fit, after the number of their bytes.
fn counted(text: &str) -> Vec<u8> {
    let text = &text[..text.floor_char_boundary(LONGEST)];
    let mut bytes = vec![u8::try_from(text.len()).unwrap_or(u8::MAX)];
    bytes.extend(text.as_bytes());
    bytes
}

/// A box of this content.
fn boxed(name: [u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 8).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), &name[..], content].concat()
}

/// The boxes within a part of an index; none where something there is no box, which would be lost or hide what follows.
fn only_boxes(index: &[u8], within: Range<usize>) -> Option<Vec<([u8; 4], Range<usize>)>> {
    let all = boxes::inner(index, within.clone());
    let end = all.last().map_or(within.start, |(_, last)| last.end);
    (end == within.end).then_some(all)
}

/// The index with what is missing; none where nothing is, or where it is not understood and stays as it is.
fn amended(whole: &[u8], chapters: Option<Vec<u8>>) -> Option<Vec<u8>> {
    let index = whole.get(8..)?;
    let mut content = Vec::with_capacity(index.len() + 4096);
    let mut missing = chapters;
    for (name, within) in only_boxes(index, 0..index.len())? {
        match &name {
            b"trak" => content.extend(boxed(name, &titled(index, within)?)),
            b"udta" if missing.is_some() => {
                only_boxes(index, within.clone())?;
                let list = missing.take().unwrap_or_default();
                content.extend(boxed(name, &[&index[within], &list].concat()));
            }
            _ => content.extend(boxed(name, &index[within])),
        }
    }
    if let Some(list) = missing {
        content.extend(boxed(*b"udta", &list));
    }
    let grown = content.len().checked_sub(index.len()).filter(|grown| *grown > 0)?;
    move_chunks(&mut content, grown as u64);
    Some(boxed(*b"moov", &content))
}

/// A track with its title where players look for it; none where it is not understood.
fn titled(index: &[u8], track: Range<usize>) -> Option<Vec<u8>> {
    let Some(title) = title(index, track.clone()).filter(|title| !title.is_empty()) else {
        return Some(index[track].to_vec());
    };
    let mut content = Vec::new();
    for (name, within) in only_boxes(index, track)? {
        let inside = match &name {
            b"mdia" => {
                let media = only_boxes(index, within)?.into_iter();
                let media = media.map(|(name, within)| match &name {
                    b"hdlr" => boxed(name, &handler(&index[within], &title)),
                    _ => boxed(name, &index[within]),
                });
                media.collect::<Vec<_>>().concat()
            }
            b"udta" => {
                only_boxes(index, within.clone())?;
                [&index[within], &boxed(*b"name", title.as_bytes())].concat()
            }
            _ => index[within].to_vec(),
        };
        content.extend(boxed(name, &inside));
    }
    Some(content)
}

/// The title of a track as the muxer writes it.
fn title(index: &[u8], track: Range<usize>) -> Option<String> {
    let about = find(index, find(index, track, *b"udta")?, *b"meta")?;
    let list = find(index, about.start + 4..about.end, *b"ilst")?;
    let data = find(index, find(index, list, *b"\xa9nam")?, *b"data")?;
    // Behind the sort of the value, and its country.
    String::from_utf8(index.get(data.start + 8..data.end)?.to_vec()).ok()
}

/// What handles a track, under another name.
fn handler(content: &[u8], title: &str) -> Vec<u8> {
    let (fixed, _) = content.split_at(content.len().min(24));
    let is_quicktime = content.get(4..8) == Some(b"mhlr");
    let name = if is_quicktime {
        counted(title)
    } else {
        [title.as_bytes(), &[0]].concat()
    };
    [fixed, &name].concat()
}

/// Has every track look for its media so many bytes later. The muxer writes places of four bytes up to 2 GiB, so that they have
/// room to grow.
fn move_chunks(index: &mut [u8], by: u64) {
    for track in boxes::tracks(index, |_| true) {
        let table = find(index, track, *b"mdia").and_then(|media| boxes::table(index, Some(media)));
        let Some(table) = table else {
            continue;
        };
        for (name, width) in [(*b"stco", 4), (*b"co64", 8)] {
            let Some(chunks) = find(index, table.clone(), name) else {
                continue;
            };
            for at in (chunks.start + 8..chunks.end).step_by(width) {
                boxes::change(index, at, width, |place| place + by);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn named(title: &str) -> Vec<u8> {
        let data = boxed(*b"data", &[&[0, 0, 0, 1, 0, 0, 0, 0], title.as_bytes()].concat());
        let list = boxed(*b"ilst", &boxed(*b"\xa9nam", &data));
        boxed(*b"udta", &boxed(*b"meta", &[&[0; 4][..], &list].concat()))
    }

    fn track(sort: [u8; 8], chunks: (&[u8; 4], &[u8]), more: &[u8]) -> Vec<u8> {
        let handler = boxed(*b"hdlr", &[&[0; 4][..], &sort, &[0; 12], b"Handler\0"].concat());
        let places = boxed(*chunks.0, &[&[0, 0, 0, 0, 0, 0, 0, 1], chunks.1].concat());
        let media = boxed(*b"minf", &boxed(*b"stbl", &places));
        let media = boxed(*b"mdia", &[handler, media].concat());
        boxed(*b"trak", &[&media, more].concat())
    }

    #[test]
    fn an_index_grows_by_what_is_added_and_points_so_much_further() {
        let tracks = |by: u8, first: &[u8], second: &[u8]| {
            let long = [0, 0, 0, 1, 0, 0, 0, 7 + by];
            [first, &track(*b"\0\0\0\0vide", (b"co64", &long), second)].concat()
        };
        let chapters = [(1, "ä"), (2, "")].map(|(start, title)| Chapter {
            start: Duration::from_secs(start),
            end: None,
            title: title.to_owned(),
        });
        let list = nero(&chapters);
        let length = list.as_ref().map_or(0, Vec::len);
        assert_eq!(length, 8 + 9 + 9 + 2 + 9);
        let plain = track(*b"\0\0\0\0soun", (b"stco", &[0, 0, 1, 7]), &[]);
        let whole = boxed(*b"moov", &tracks(0, &plain, &[]));
        assert_eq!(amended(&whole, None), None);
        let by = u8::try_from(length + 8).unwrap();
        let moved = track(*b"\0\0\0\0soun", (b"stco", &[0, 0, 1, 7 + by]), &[]);
        let about = boxed(*b"udta", list.as_deref().unwrap());
        let expected = boxed(*b"moov", &[tracks(by, &moved, &[]), about].concat());
        assert_eq!(listed(&expected[8..]), Some(2));
        assert_eq!(listed(&whole[8..]), None);
        assert_eq!(amended(&whole, list), Some(expected));
    }

    #[test]
    fn what_is_no_box_is_not_lost() {
        let chapters = || Some(boxed(*b"chpl", &[1, 0, 0, 0, 0, 0, 0, 0, 0]));
        let plain = |more: &[u8]| track(*b"\0\0\0\0soun", (b"stco", &[0, 0, 0, 9]), more);
        let udta = |end: &[u8]| boxed(*b"udta", &[&boxed(*b"free", &[1])[..], end].concat());
        let made = |content: &[&[u8]]| amended(&boxed(*b"moov", &content.concat()), chapters());
        assert!(made(&[&plain(&[]), &udta(&[])]).is_some());
        // Lists of QuickTime may end with four zeros.
        assert_eq!(made(&[&plain(&[]), &udta(&[0; 4])]), None);
        assert_eq!(made(&[&plain(&[]), &[0; 4]]), None);
        assert_eq!(made(&[&plain(&[&named("A title")[..], &[7; 3]].concat())]), None);
    }

    #[test]
    fn titles_stand_where_players_look_in_both_forms() {
        for (sort, name) in [(*b"\0\0\0\0soun", &b"A title\0"[..]), (*b"mhlrsoun", b"\x07A title")] {
            let whole = boxed(*b"moov", &track(sort, (b"stco", &[0, 0, 0, 9]), &named("A title")));
            let made = amended(&whole, None).unwrap();
            let index = &made[8..];
            let track = boxes::tracks(index, |_| true).remove(0);
            let media = find(index, track.clone(), *b"mdia").unwrap();
            let handler = find(index, media, *b"hdlr").unwrap();
            assert_eq!(&index[handler.start + 24..handler.end], name);
            let about = find(index, track, *b"udta").unwrap();
            let title = find(index, about, *b"name").unwrap();
            assert_eq!(&index[title], b"A title");
        }
    }

    #[test]
    fn damage_anywhere_is_no_panic() {
        let whole = boxed(
            *b"moov",
            &track(*b"\0\0\0\0soun", (b"stco", &[0, 0, 0, 9]), &named("A title")),
        );
        for at in 0..whole.len() {
            for value in [0, 1, 7, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                amended(&damaged, None);
            }
            amended(&whole[..at], None);
        }
    }
}
