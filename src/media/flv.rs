//! Reads FLV.
//!
//! The reader of GStreamer 1.22 says what streams there are by what it meets first, so that one which begins later than the
//! other is lost; and whoever comes after it waits for a stream that has long ended. Neither are the flags in the head of a file
//! to be trusted: those who write live cannot know what will come. So a file is [surveyed](Survey) before anything is read: from
//! its beginning until each stream has begun, and from its end until each has shown itself.

mod element;
mod form;
pub mod order;
mod script;
mod tags;
mod way;

use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;

use self::element::FlvReader;
use self::script::Script;
use self::tags::{AAC, AVC, Content, HEVC, Sort, Tag};
use super::demux::link;
use super::failure::{element, internal};
use super::guess;
use super::source::Input;
use crate::job::Failure;

/// How long a sound or a film is looked for that nothing in the file speaks of.
const UNSPOKEN: i64 = 120_000;
/// The same, in bytes.
const UNSPOKEN_BYTES: u64 = 64 << 20;
/// How long, and in how many bytes, one is looked for that only the head of the file speaks of: those who write live promise both.
const PROMISED: i64 = 600_000;
const PROMISED_BYTES: u64 = 256 << 20;
/// How far back from its end a file is read, in bytes.
const BACK: u64 = 512 << 20;
/// Scripts are not larger.
const LARGEST_SCRIPT: u64 = 16 << 20;
/// Nobody sets up a decoder with more bytes.
const LARGEST_SETUP: u64 = 1 << 20;
/// The picture that is shown last is among so many that come last.
const REORDERED: u32 = 8;
/// What the file says of its length may be off by so much.
const ROUNDING: Duration = Duration::from_secs(1);
/// More time cannot be said of a packet.
const LONGEST: Duration = Duration::from_millis(u32::MAX as u64);
/// Time that goes back by so much was set back.
pub const RESET: i64 = 2_000;

/// What there is in a file.
#[derive(Debug, Default)]
pub struct Survey {
    /// The film.
    pub film: Option<Lane>,
    /// The sound.
    pub sound: Option<Lane>,
    /// What the file says of itself.
    script: Script,
    /// Where its first tag is.
    first: u64,
    /// When the first of its packets is shown: its times need not begin at zero.
    zero: i64,
    /// When its last tag comes.
    last: Option<i64>,
}

/// One stream.
#[derive(Debug, Clone)]
pub struct Lane {
    /// What its packets are.
    pub caps: gst::Caps,
    /// When the first is shown.
    begins: i64,
    /// The last packet: where, and when the last of them is shown.
    last: Option<(u64, i64)>,
}

/// Whether a stream is to come of which nothing was met yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hope {
    /// Nothing speaks of it.
    None,
    /// The head does.
    Promised,
    /// It is described.
    Sure,
}

/// What is known of a stream while its first packet is looked for.
#[derive(Default)]
struct Search {
    setup: Option<gst::Buffer>,
    found: Option<Lane>,
}

impl Survey {
    /// Looks through a file; none where it is no FLV, or nothing is in it. `tick` is called now and then.
    pub fn of(input: &Input, tick: &mut dyn FnMut()) -> Option<Arc<Self>> {
        let mut head = [0; 9];
        let count = input.fill(0, &mut head).ok()?;
        if count < head.len() || !head.starts_with(b"FLV") {
            return None;
        }
        let begin = u64::from(u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
        let mut survey = Self {
            first: begin.max(head.len() as u64) + tags::TAIL,
            ..Self::default()
        };
        survey.look_ahead(input, head[4], tick);
        let streams = [&survey.film, &survey.sound];
        survey.zero = streams.into_iter().flatten().map(|lane| lane.begins).min()?;
        survey.look_back(input, tick);
        Some(Arc::new(survey))
    }

    /// Finds the first packet of each stream.
    fn look_ahead(&mut self, input: &Input, flags: u8, tick: &mut dyn FnMut()) {
        let (mut film, mut sound) = (Search::default(), Search::default());
        let (mut at, mut begun) = (self.first, None);
        while let Ok(Some((tag, _))) = Tag::next(input, at) {
            tick();
            at = tag.end();
            match tag.sort {
                Sort::Script => self.hear(input, &tag),
                Sort::Film => film.meet(input, &tag, &self.script),
                Sort::Sound => sound.meet(input, &tag, &self.script),
            }
            if film.found.is_some() && sound.found.is_some() {
                break;
            }
            let passed = tag.time - *begun.get_or_insert(tag.time);
            let missing = [(&film, 0x01, "video"), (&sound, 0x04, "audio")]
                .into_iter()
                .filter(|(search, ..)| search.found.is_none());
            let hope = missing.map(|(search, flag, name)| self.speaks_of(search, flags & flag != 0, name));
            let (time, bytes) = match hope.max() {
                Some(Hope::Sure) => continue,
                Some(Hope::Promised) => (PROMISED, PROMISED_BYTES),
                _ => (UNSPOKEN, UNSPOKEN_BYTES),
            };
            if passed > time || at > bytes {
                break;
            }
        }
        (self.film, self.sound) = (film.found, sound.found);
    }

    /// Whether a stream is to come. What is said in words is known better than the flags.
    fn speaks_of(&self, search: &Search, flagged: bool, name: &str) -> Hope {
        let codec = |name| self.script.says(&format!("{name}codecid"));
        if search.setup.is_some() || codec(name) {
            Hope::Sure
        } else if flagged && !codec("audio") && !codec("video") {
            Hope::Promised
        } else {
            Hope::None
        }
    }

    fn hear(&mut self, input: &Input, tag: &Tag) {
        if self.script == Script::default()
            && let Some(bytes) = body(input, tag, 0, LARGEST_SCRIPT)
            && let Some(script) = Script::read(&bytes)
        {
            self.script = script;
        }
    }

    /// Finds the last packet of each stream; of none, where the file breaks off.
    fn look_back(&mut self, input: &Input, tick: &mut dyn FnMut()) {
        let mut at = input.size();
        let lowest = self.first.max(at.saturating_sub(BACK));
        let (mut film, mut sound) = (None, None);
        let mut pictures = 0;
        let lacks = |lane: &Option<Lane>, found: &Option<(u64, i64)>| lane.is_some() && found.is_none();
        let more = |pictures| self.film.is_some() && pictures < REORDERED;
        while at > lowest && (lacks(&self.film, &film) || lacks(&self.sound, &sound) || more(pictures)) {
            tick();
            let Ok(Some(tag)) = Tag::before(input, at) else {
                break;
            };
            at = tag.at;
            let Some(Content::Packet { later, .. }) = tag.piece().map(|piece| piece.content) else {
                continue;
            };
            let last = match tag.sort {
                Sort::Film => &mut film,
                _ => &mut sound,
            };
            let (_, shown) = last.get_or_insert((tag.at, tag.time + later));
            if tag.sort == Sort::Film && pictures < REORDERED {
                pictures += 1;
                *shown = (*shown).max(tag.time + later);
            }
        }
        self.last = [film, sound].into_iter().flatten().map(|(_, time)| time).max();
        let (told, found) = (self.told(), self.length());
        // What ends long before it should was cut off.
        if told.is_some_and(|told| told > found.unwrap_or_default() + ROUNDING.max(told / 50)) {
            return;
        }
        for (lane, last) in [(&mut self.film, film), (&mut self.sound, sound)] {
            if let Some(lane) = lane {
                lane.last = last;
            }
        }
    }

    fn told(&self) -> Option<Duration> {
        let told = Duration::try_from_secs_f64(self.script.number("duration")?).ok();
        told.filter(|told| *told <= LONGEST)
    }

    fn length(&self) -> Option<Duration> {
        self.last.map(|last| self.since_zero(last))
    }

    fn since_zero(&self, time: i64) -> Duration {
        Duration::from_millis(u64::try_from(time - self.zero).unwrap_or(0))
    }

    /// How long it is: what it says, or what is in it where that is more.
    pub fn duration(&self) -> Option<Duration> {
        self.told().max(self.length()).filter(|length| !length.is_zero())
    }

    /// When a stream ends, where that is known.
    pub fn end(&self, is_film: bool) -> Option<Duration> {
        let lane = if is_film { &self.film } else { &self.sound };
        let lane = lane.as_ref()?;
        // One that seems to end before it begins was set back.
        let (_, time) = lane.last.filter(|(_, time)| *time > lane.begins)?;
        let rate = self.script.number("framerate").filter(|rate| is_film && *rate >= 1.0);
        let picture = rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate));
        Some(self.since_zero(time) + picture)
    }

    /// What is said about the medium.
    pub fn tags(&self) -> gst::TagList {
        let mut tags = gst::TagList::new();
        let list = tags.make_mut();
        list.set_scope(gst::TagScope::Global);
        let text = |name| self.script.texts.get(name).filter(|text| !text.is_empty());
        if let Some(title) = text("title") {
            list.add::<gst::tags::Title>(&title.as_str(), gst::TagMergeMode::Keep);
        }
        if let Some(artist) = text("artist").or_else(|| text("creator")) {
            list.add::<gst::tags::Artist>(&artist.as_str(), gst::TagMergeMode::Keep);
        }
        if let Some(comment) = text("comment") {
            list.add::<gst::tags::Comment>(&comment.as_str(), gst::TagMergeMode::Keep);
        }
        if let Some(encoder) = text("encoder").or_else(|| text("metadatacreator")) {
            list.add::<gst::tags::Encoder>(&encoder.as_str(), gst::TagMergeMode::Keep);
        }
        tags
    }
}

/// The container.
pub fn caps() -> gst::Caps {
    gst::Caps::new_empty_simple("video/x-flv")
}

/// Adds what reads a file that was surveyed; answers where its streams come out, parsed, and what they are.
///
/// # Errors
/// Where elements are missing.
pub fn streams(
    pipeline: &gst::Pipeline,
    input: &Arc<Input>,
    survey: &Arc<Survey>,
) -> Result<Vec<(gst::Pad, gst::Caps)>, Failure> {
    let reader = FlvReader::over(input, survey);
    pipeline.add(&reader).map_err(internal)?;
    let mut found = Vec::new();
    for pad in reader.src_pads() {
        let lane = if pad.name().starts_with("video") {
            &survey.film
        } else {
            &survey.sound
        };
        let caps = lane
            .as_ref()
            .map_or_else(gst::Caps::new_empty, |lane| lane.caps.clone());
        let fields = caps.structure(0);
        let version = fields.and_then(|fields| fields.get::<i32>("mpegversion").ok());
        let parser = match (fields.map_or("", |fields| fields.name().as_str()), version) {
            ("video/x-h264", _) => "h264parse",
            ("video/x-h265", _) => "h265parse",
            ("audio/mpeg", Some(4)) => "aacparse",
            ("audio/mpeg", _) => "mpegaudioparse",
            _ => {
                found.push((pad, caps));
                continue;
            }
        };
        let parser = element(parser)?;
        guess::forbid(&parser);
        pipeline.add(&parser).map_err(internal)?;
        link(&pad, &parser)?;
        let exit = parser
            .static_pad("src")
            .ok_or_else(|| internal("a parser without an exit"))?;
        found.push((exit, caps));
    }
    Ok(found)
}

impl Search {
    fn meet(&mut self, input: &Input, tag: &Tag, script: &Script) {
        let Some(piece) = tag.piece().filter(|_| self.found.is_none()) else {
            return;
        };
        match piece.content {
            Content::Setup => self.setup = body(input, tag, piece.skip, LARGEST_SETUP).map(gst::Buffer::from_slice),
            Content::Packet { later, .. } => {
                let needs_setup = match tag.sort {
                    Sort::Film => matches!(piece.codec, AVC | HEVC),
                    _ => piece.codec == AAC,
                };
                // Without it nothing can be decoded, and it may come yet.
                if needs_setup && self.setup.is_none() {
                    return;
                }
                let caps = match tag.sort {
                    Sort::Film => form::film(piece.codec, self.setup.as_ref(), script),
                    _ => form::sound(input, tag, piece, self.setup.as_ref()),
                };
                self.found = Some(Lane {
                    caps,
                    begins: tag.time + later,
                    last: None,
                });
            }
            Content::Nothing => {}
        }
    }
}

/// What a tag carries behind these bytes; none where that is too much or cannot be read.
fn body(input: &Input, tag: &Tag, skip: u64, most: u64) -> Option<Vec<u8>> {
    let size = tag.size.checked_sub(skip).filter(|size| *size <= most)?;
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    let count = input.fill(tag.body() + skip, &mut bytes).ok()?;
    (count == bytes.len()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::tags::{HEAD, TAIL};
    use super::*;
    use crate::media::mp4::tests::Bytes;

    fn tag(sort: u8, time: u32, carried: &[u8]) -> Vec<u8> {
        let size = u32::try_from(carried.len()).unwrap();
        let (size, time) = (size.to_be_bytes(), time.to_be_bytes());
        let head = [
            sort, size[1], size[2], size[3], time[1], time[2], time[3], time[0], 0, 0, 0,
        ];
        let tail = u32::try_from(carried.len() as u64 + HEAD).unwrap().to_be_bytes();
        [&head[..], carried, &tail].concat()
    }

    /// A key frame of Sorenson's, and a packet of G.711.
    fn picture(time: u32) -> Vec<u8> {
        tag(9, time, &[0x12, 1, 2, 3])
    }

    fn noise(time: u32) -> Vec<u8> {
        tag(8, time, &[0x72, 1, 2, 3])
    }

    fn file(flags: u8, tags: &[Vec<u8>]) -> Arc<Input> {
        let head = [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0];
        Input::new(Bytes([&head[..], &tags.concat()].concat()))
    }

    type Span = (i64, Option<i64>);

    /// When film and sound begin and end, in thousandths of a second.
    fn surveyed(input: &Input) -> Option<[Option<Span>; 2]> {
        gst::init().unwrap();
        let survey = Survey::of(input, &mut || ())?;
        Some([&survey.film, &survey.sound].map(|lane| {
            let lane = lane.as_ref()?;
            Some((lane.begins, lane.last.map(|(_, time)| time)))
        }))
    }

    #[test]
    fn streams_are_found_wherever_they_begin_and_whatever_the_head_says() {
        let film: Vec<_> = (0..100).map(|frame| picture(frame * 1000)).collect();
        let late = [&film[..], &[noise(100_000), noise(100_020), picture(101_000)]].concat();
        for flags in [0, 1, 4, 5] {
            let found = surveyed(&file(flags, &late)).unwrap();
            assert_eq!(
                found,
                [Some((0, Some(101_000))), Some((100_000, Some(100_020)))],
                "{flags}"
            );
            let found = surveyed(&file(flags, &film)).unwrap();
            assert_eq!(found, [Some((0, Some(99_000))), None], "{flags}");
        }
        // So late only what the head speaks of is looked for.
        let far = [&film[..], &[picture(121_000), noise(300_000)]].concat();
        assert_eq!(surveyed(&file(5, &far)).unwrap()[1], Some((300_000, Some(300_000))));
        assert_eq!(surveyed(&file(1, &far)).unwrap()[1], None);
    }

    #[test]
    fn a_file_that_breaks_off_does_not_say_when_its_streams_end() {
        let tags = [picture(0), noise(0), picture(40), noise(60)];
        let mut bytes = [&[b'F', b'L', b'V', 1, 5, 0, 0, 0, 9, 0, 0, 0, 0][..], &tags.concat()].concat();
        bytes.truncate(bytes.len() - 2);
        let found = surveyed(&Input::new(Bytes(bytes))).unwrap();
        assert_eq!(found, [Some((0, None)), Some((0, None))]);
    }

    #[test]
    fn nothing_that_is_damaged_anywhere_is_more_than_less() {
        let tags = [picture(0), noise(0), picture(40), noise(60), picture(80)];
        let whole = [&[b'F', b'L', b'V', 1, 5, 0, 0, 0, 9, 0, 0, 0, 0][..], &tags.concat()].concat();
        for at in 0..whole.len() {
            for value in [0, 7, 8, 9, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                surveyed(&Input::new(Bytes(damaged)));
            }
            surveyed(&Input::new(Bytes(whole[..at].to_vec())));
        }
    }

    #[test]
    fn behind_damage_the_next_tag_is_found() {
        let whole = [picture(0), vec![0x55; 200_000], noise(40), picture(80)];
        let input = file(5, &whole);
        let first = Tag::read(&input, 13).unwrap().unwrap();
        let (next, jumped) = Tag::next(&input, first.end()).unwrap().unwrap();
        assert_eq!((next.sort, next.time, jumped), (Sort::Sound, 40, true));
        let (next, jumped) = Tag::next(&input, next.end()).unwrap().unwrap();
        assert_eq!((next.time, next.size, jumped), (80, 4, false));
        assert_eq!(next.end(), input.size());
        assert_eq!(next.end() - TAIL, next.body() + 4);
    }

    #[test]
    fn time_that_is_set_back_goes_on() {
        let tags = [picture(90_000), picture(90_040), picture(0), picture(40)];
        let input = file(1, &tags);
        gst::init().unwrap();
        let survey = Survey::of(&input, &mut || ()).unwrap();
        let mut way = way::Way::new(input, survey);
        let mut times = Vec::new();
        while let Some(next) = way.next().unwrap() {
            if let way::Next::Packet(packet) = next {
                times.push(packet.time);
            }
        }
        assert_eq!(times, [90_000, 90_040, 90_040, 90_080]);
        // The last key frame by then, and the next.
        assert_eq!(way.go(90_060, false).unwrap(), Some(90_040));
        assert_eq!(way.go(90_060, true).unwrap(), Some(90_080));
        assert_eq!(way.go(10, false).unwrap(), None);
    }

    fn packets(way: &mut way::Way) -> std::io::Result<Vec<(Sort, i64)>> {
        let mut packets = Vec::new();
        while let Some(next) = way.next()? {
            if let way::Next::Packet(packet) = next {
                packets.push((packet.sort, packet.time));
            }
        }
        Ok(packets)
    }

    fn way(tags: &[Vec<u8>]) -> way::Way {
        gst::init().unwrap();
        let input = file(5, tags);
        let survey = Survey::of(&input, &mut || ()).unwrap();
        way::Way::new(input, survey)
    }

    /// A key frame of H.264 that is shown so much later, and what its decoder is told.
    fn frame(time: u32, later: u8) -> Vec<u8> {
        tag(9, time, &[0x17, 1, 0, 0, later, 1, 2, 3])
    }

    fn setup(time: u32) -> Vec<u8> {
        tag(9, time, &[0x17, 0, 0, 0, 0, 1, 66, 0, 10])
    }

    #[test]
    fn what_is_no_packet_sets_no_time_back() {
        let mut way = way(&[setup(0), frame(0, 0), frame(90_000, 0), setup(0), frame(90_040, 0)]);
        let times: Vec<i64> = packets(&mut way).unwrap().iter().map(|(_, time)| *time).collect();
        assert_eq!(times, [0, 90_000, 90_040]);
        assert_eq!(way.go(90_040, false).unwrap(), Some(90_040));
    }

    #[test]
    fn a_film_that_would_last_for_years_is_refused() {
        let pairs: Vec<_> = (0..20).flat_map(|_| [picture(u32::MAX), picture(0)]).collect();
        let told = packets(&mut way(&pairs)).unwrap_err();
        assert_eq!(told.kind(), std::io::ErrorKind::InvalidData, "{told}");
    }

    #[test]
    fn sound_that_is_stored_far_before_its_picture_is_found_after_a_jump() {
        let tags: Vec<_> = (0..100_u32)
            .flat_map(|at| [noise(at * 100 + 2000), picture(at * 100)])
            .collect();
        let mut way = way(&tags);
        assert_eq!(way.go(5000, false).unwrap(), Some(5000));
        let found = packets(&mut way).unwrap();
        let of = |sort| found.iter().filter(move |(own, _)| *own == sort).map(|(_, time)| *time);
        assert_eq!(of(Sort::Film).next(), Some(5000));
        assert!(of(Sort::Sound).eq((49..120).map(|at| at * 100)), "{found:?}");
    }

    #[test]
    fn the_last_picture_is_not_always_stored_last() {
        let tags = [setup(0), frame(0, 80), frame(40, 120), frame(80, 0), frame(120, 0)];
        assert_eq!(surveyed(&file(1, &tags)).unwrap()[0], Some((80, Some(160))));
        // What begins behind its end was set back, and has no length.
        let film: Vec<_> = [90_000]
            .into_iter()
            .chain((0..10).map(|at| at * 40))
            .map(picture)
            .collect();
        let survey = Survey::of(&file(1, &film), &mut || ()).unwrap();
        assert_eq!((survey.duration(), survey.end(true)), (None, None));
    }
}
