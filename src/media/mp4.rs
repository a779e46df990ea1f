//! What the index of an MP4 or QuickTime file says of the length of its tracks.
//!
//! Two things need it. A demuxer that is asked for the length of a stream answers with that of the whole medium. And
//! GStreamer's demuxer compares times on the clock of a track with the length of the film: an edit list that skips
//! the beginning of a track costs it as much of the end. [`Index::corrections`] say that the film is longer, to the
//! demuxer alone; each track still ends where its own edit list says. They also say that a track is longer that lasts for less than
//! a fifth of the whole: GStreamer takes such a track for a preview, and leaves it out. Of several films a short one may be that.

use std::time::Duration;

use super::source::Input;

/// More boxes than this in a row are no index.
const MOST_BOXES: usize = 4096;
const MOST_EDITS: u64 = 4096;

/// Lengths as the index declares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Of the film.
    pub duration: Duration,
    /// In the order of the file.
    pub tracks: Vec<Track>,
    /// Bytes to be read in place of those of the file, and where, so that no track is lost, nor its end.
    pub corrections: Vec<Correction>,
    /// The first film is Dolby Vision of profile 5, which has colours of its own.
    pub is_dolby: bool,
}

/// One track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// `vide`, `soun` ...
    pub kind: [u8; 4],
    /// When it ends, counted from the beginning of the film.
    pub end: Duration,
    /// Where its end lies on its own clock, which edit lists do not move.
    own_end: Duration,
    /// How long it is declared to be on its own clock, where that is written, and whether in eight bytes.
    length: (Clock, u64, u64, bool),
}

/// Bytes that a demuxer is to see at this place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// Where in the file.
    pub at: u64,
    /// What is there.
    pub bytes: Vec<u8>,
}

impl Correction {
    /// Overwrites what of these bytes, read at `offset`, is to be seen otherwise.
    pub fn apply(&self, offset: u64, bytes: &mut [u8]) {
        for (place, byte) in (self.at..).zip(&self.bytes) {
            if let Some(read) = place
                .checked_sub(offset)
                .and_then(|place| bytes.get_mut(usize::try_from(place).ok()?))
            {
                *read = *byte;
            }
        }
    }
}

/// A box: where its payload lies.
#[derive(Clone, Copy)]
pub struct Part {
    /// Its four letters.
    pub name: [u8; 4],
    /// Where its payload begins in the file ...
    pub from: u64,
    /// ... and ends.
    pub to: u64,
}

/// A time as a number of ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Clock {
    scale: u64,
}

impl Clock {
    fn time(self, ticks: u64) -> Duration {
        let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(self.scale.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// Whether a file in fragments says nowhere how long it is; GStreamer takes the beginning of its last fragment then.
pub fn declares_no_length(input: &Input) -> bool {
    let file = Part {
        name: *b"file",
        from: 0,
        to: input.size(),
    };
    let lacks = || {
        let boxes = children(input, file)?;
        let film = boxes.iter().find(|part| &part.name == b"moov")?;
        let parts = children(input, *film)?;
        let fragments = parts.iter().find(|part| &part.name == b"mvex")?;
        let head = parts.iter().find(|part| &part.name == b"mvhd")?;
        let (_, length, _, _) = header(input, *head)?;
        let told = children(input, *fragments)?.iter().any(|part| &part.name == b"mehd");
        let indexed = boxes.iter().any(|part| &part.name == b"sidx" || &part.name == b"mfra");
        Some(length == 0 && !told && !indexed)
    };
    lacks().unwrap_or(false)
}

impl Index {
    /// Reads the index; none where the file is of another kind, in fragments, or its index is not understood.
    pub fn read(input: &Input) -> Option<Self> {
        let file = Part {
            name: *b"file",
            from: 0,
            to: input.size(),
        };
        let film = children(input, file)?.into_iter().find(|part| &part.name == b"moov")?;
        let parts = children(input, film)?;
        if parts.iter().any(|part| &part.name == b"mvex") {
            return None;
        }
        let head = parts.iter().find(|part| &part.name == b"mvhd")?;
        let (clock, length, at, wide) = header(input, *head)?;
        if length == 0 {
            return None;
        }
        let tracks: Vec<_> = parts
            .iter()
            .filter(|part| &part.name == b"trak")
            .filter_map(|part| track(input, *part, clock))
            .collect();
        let longest = tracks.iter().map(|track| track.own_end).max()?;
        let duration = clock.time(length);
        let mut corrections: Vec<Correction> = (longest > duration)
            .then(|| correction(clock, longest, at, wide))
            .flatten()
            .into_iter()
            .collect();
        let whole = longest.max(duration);
        let films = tracks.iter().filter(|track| track.is_film());
        let film = films.max_by_key(|track| track.own_end);
        let wanted = |track: &&Track| !track.is_film() || film.is_some_and(|film| film == *track);
        let short = tracks.iter().filter(wanted);
        corrections.extend(short.filter_map(|track| track.lengthened(whole)));
        let mut films = parts.iter().filter(|part| &part.name == b"trak");
        Some(Self {
            duration,
            tracks,
            corrections,
            is_dolby: films.find_map(|track| dolby(input, *track)) == Some(DOLBY_ALONE),
        })
    }
}

impl Track {
    fn is_film(&self) -> bool {
        &self.kind == b"vide"
    }

    /// The place of its length, overwritten with one that no demuxer takes for that of a preview.
    fn lengthened(&self, film: Duration) -> Option<Correction> {
        let (clock, ticks, at, wide) = self.length;
        let short = ticks > 0 && clock.time(ticks) < film / 4;
        short.then(|| correction(clock, film / 4, at, wide)).flatten()
    }
}

impl Index {
    /// When the tracks of one kind end, in their order.
    pub fn ends(&self, kind: [u8; 4]) -> Vec<Duration> {
        let alike = self.tracks.iter().filter(|track| track.kind == kind);
        alike.map(|track| track.end).collect()
    }
}

/// The place of the length in the header, overwritten with a length in which the longest track has room.
fn correction(clock: Clock, longest: Duration, at: u64, wide: bool) -> Option<Correction> {
    let ticks = longest.as_nanos() * u128::from(clock.scale) / 1_000_000_000 + 1;
    let bytes = if wide {
        u64::try_from(ticks).ok()?.to_be_bytes().to_vec()
    } else {
        // All ones would mean that nobody knows.
        let ticks = u32::try_from(ticks).ok().filter(|ticks| *ticks < u32::MAX)?;
        ticks.to_be_bytes().to_vec()
    };
    Some(Correction { at, bytes })
}

/// The boxes within a box; none where one of them is longer than there is room.
pub fn children(input: &Input, within: Part) -> Option<Vec<Part>> {
    let mut found = Vec::new();
    let mut at = within.from;
    while at + 8 <= within.to && found.len() < MOST_BOXES {
        let short = number(input, at, 4)?;
        let mut name = [0; 4];
        read(input, at + 4, &mut name)?;
        let (head, length) = match short {
            0 => (8, within.to - at),
            1 => (16, number(input, at + 8, 8)?),
            // A QuickTime list may end with four zero bytes; anything else that is so short is damage.
            2..8 => return None,
            other => (8, other),
        };
        if length < head {
            return None;
        }
        // What is cut off at the end of the file may be media data, which does not matter here.
        let to = at.saturating_add(length).min(within.to);
        found.push(Part {
            name,
            from: at + head,
            to,
        });
        at = to;
    }
    Some(found)
}

/// Ticks a second, length in ticks, where the length lies, and whether it has eight bytes.
fn header(input: &Input, part: Part) -> Option<(Clock, u64, u64, bool)> {
    let wide = number(input, part.from, 1)? == 1;
    let (scale_at, length_at, bytes) = if wide { (20, 24, 8) } else { (12, 16, 4) };
    let scale = number(input, part.from + scale_at, 4)?;
    let length = number(input, part.from + length_at, bytes)?;
    let unknown = if wide { u64::MAX } else { u64::from(u32::MAX) };
    (scale > 0 && length != unknown && part.from + length_at + 8 <= part.to).then_some((
        Clock { scale },
        length,
        part.from + length_at,
        wide,
    ))
}

fn track(input: &Input, part: Part, film: Clock) -> Option<Track> {
    let parts = children(input, part)?;
    let find = |parts: &[Part], name: &[u8; 4]| parts.iter().find(|part| &part.name == name).copied();
    let media = children(input, find(&parts, b"mdia")?)?;
    let (clock, length, length_at, wide) = header(input, find(&media, b"mdhd")?)?;
    let declared = (clock, length, length_at, wide);
    let mut kind = [0; 4];
    read(input, find(&media, b"hdlr")?.from + 8, &mut kind)?;
    let whole = clock.time(length);
    let edits = find(&parts, b"edts")
        .and_then(|edits| children(input, edits))
        .and_then(|edits| find(&edits, b"elst"));
    let Some(list) = edits else {
        return Some(Track {
            kind,
            end: whole,
            own_end: whole,
            length: declared,
        });
    };
    let wide = number(input, list.from, 1)? == 1;
    let size = if wide { 8 } else { 4 };
    let count = number(input, list.from + 4, 4)?.min(MOST_EDITS);
    let (mut end, mut own_end) = (Duration::ZERO, Duration::ZERO);
    for entry in 0..count {
        let at = list.from + 8 + entry * (2 * size + 4);
        if at + 2 * size > list.to {
            break;
        }
        let start = number(input, at + size, size)?;
        let empty = start == if wide { u64::MAX } else { u64::from(u32::MAX) };
        let start = clock.time(if empty { 0 } else { start });
        let lasts = match film.time(number(input, at, size)?) {
            // So some files say: to the end of the track.
            Duration::ZERO if !empty => whole.saturating_sub(start),
            lasts => lasts,
        };
        end = end.saturating_add(lasts);
        if !empty {
            own_end = own_end.max(start.saturating_add(lasts));
        }
    }
    Some(Track {
        kind,
        end,
        own_end,
        length: declared,
    })
}

/// The profile of Dolby Vision that nothing else can show.
const DOLBY_ALONE: u64 = 5;

/// The profile of Dolby Vision that a film has, 0 where it has none; nothing of what is no film.
fn dolby(input: &Input, track: Part) -> Option<u64> {
    let within = |part: Part, name: &[u8; 4]| children(input, part)?.into_iter().find(|part| &part.name == name);
    let media = within(track, b"mdia")?;
    let mut kind = [0; 4];
    read(input, within(media, b"hdlr")?.from + 8, &mut kind)?;
    if &kind != b"vide" {
        return None;
    }
    let told = || {
        let table = within(within(media, b"minf")?, b"stbl")?;
        let entries = within(table, b"stsd")?;
        let entries = Part {
            from: entries.from + 8,
            ..entries
        };
        let entry = *children(input, entries)?.first()?;
        let boxes = Part {
            from: entry.from + 78,
            ..entry
        };
        let told = children(input, boxes)?;
        let told = told.iter().find(|part| matches!(&part.name, b"dvcC" | b"dvvC"))?;
        // After two bytes of a version, seven bits.
        number(input, told.from + 2, 1).map(|byte| byte >> 1)
    };
    Some(told().unwrap_or(0))
}

/// A number of so many bytes, eight at most; none where the file ends before it.
pub fn number(input: &Input, at: u64, bytes: u64) -> Option<u64> {
    let mut buffer = [0_u8; 8];
    let from = 8 - usize::try_from(bytes).ok()?;
    read(input, at, &mut buffer[from..])?;
    Some(u64::from_be_bytes(buffer))
}

/// Bytes of a file; none where it ends before them.
pub fn read(input: &Input, at: u64, into: &mut [u8]) -> Option<()> {
    let count = input.fill(at, into).ok()?;
    (count == into.len()).then_some(())
}

#[cfg(test)]
pub mod tests;
