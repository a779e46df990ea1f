//! The element that begins an MP3 with a frame that says how long all of it is, and where its hundredths lie.
//!
//! GStreamer's own goes through all that it knows for every frame: an hour takes half a minute, ten hours fifty.

use std::sync::Mutex;

use gst::glib;
use gst::subclass::prelude::*;

glib::wrapper! {
    /// Takes frames of sound, gives the bytes of a file.
    pub struct Xing(ObjectSubclass<imp::Xing>) @extends gst::Element, gst::Object;
}

/// The element.
pub fn element() -> gst::Element {
    glib::Object::new::<Xing>().into()
}

/// Bits a second, in thousands, by the number in a frame's head, less one.
const BITRATES: [[u32; 14]; 2] = [
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];
/// Samples a second of MPEG-1; MPEG-2 has half of it, and 2.5 a quarter.
const RATES: [u32; 3] = [44_100, 48_000, 32_000];
/// A mark, what follows, the number of frames, that of bytes, and a place for every hundredth of the time.
const ABOUT: usize = 4 + 4 + 4 + 4 + 100;
const FOLLOWS: u32 = 0b111;
/// Places of frames are kept up to this many; beyond, half of them go.
const MOST_PLACES: usize = 4096;

/// The head of a frame of layer III.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    bytes: [u8; 4],
    bitrate: u32,
    rate: u32,
    /// Bytes of the frame.
    length: usize,
}

impl Head {
    /// Of a frame that begins here; none where none does, or none that says its length.
    fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
        let [sync, sort, numbers, _] = bytes;
        let is_third_layer = sync == 0xff && sort & 0xe6 == 0xe2;
        let later = usize::from(sort & 0b1000 == 0);
        let halved = match sort >> 3 & 3 {
            0 => 2,
            2 => 1,
            3 => 0,
            _ => return None,
        };
        let bitrate = *BITRATES[later].get(usize::from(numbers >> 4).checked_sub(1)?)?;
        let rate = *RATES.get(usize::from(numbers >> 2 & 3))? >> halved;
        let head = Self {
            bytes,
            bitrate,
            rate,
            length: length(bitrate, rate, later) + usize::from(numbers >> 1 & 1),
        };
        is_third_layer.then_some(head)
    }

    /// Where a decoder expects samples in a frame of this sort, behind what it says of them.
    fn samples_at(&self) -> usize {
        let (is_first, is_mono) = (self.bytes[1] & 0b1000 != 0, self.bytes[3] >> 6 == 3);
        4 + match (is_first, is_mono) {
            (true, false) => 32,
            (true, true) | (false, false) => 17,
            (false, true) => 9,
        }
    }

    /// The smallest frame that has room for what is to be said, without any sound.
    fn silent(&self) -> Option<Vec<u8>> {
        let later = usize::from(self.bytes[1] & 0b1000 == 0);
        let enough = |kilobits: u32| length(kilobits, self.rate, later) >= self.samples_at() + ABOUT;
        let at = BITRATES[later].iter().position(|kilobits| enough(*kilobits))?;
        let mut frame = vec![0; length(BITRATES[later][at], self.rate, later)];
        let [sync, sort, numbers, mode] = self.bytes;
        // No sum is kept over it, and it has no byte more than others.
        let number = u8::try_from(at + 1).ok()?;
        frame[..4].copy_from_slice(&[sync, sort | 1, number << 4 | numbers & 0b1100, mode]);
        Some(frame)
    }
}

/// Bytes of a frame with this many thousands of bits a second.
fn length(bitrate: u32, rate: u32, later: usize) -> usize {
    let eighths = if later == 1 { 72_000 } else { 144_000 };
    (eighths * bitrate / rate) as usize
}

/// What has passed.
#[derive(Debug, Default)]
struct Passed {
    first: Option<Head>,
    frames: u32,
    bytes: u64,
    /// Frames have several bitrates.
    varies: bool,
    /// Where each so-and-so-manieth frame begins.
    places: Vec<u64>,
    every: u32,
    /// There is a frame before them for what is told at the end.
    has_room: bool,
}

impl Passed {
    /// Counts the frames of a buffer.
    fn count(&mut self, mut bytes: &[u8]) {
        self.every = self.every.max(1);
        while let Some(head) = Head::read(bytes) {
            let first = *self.first.get_or_insert(head);
            self.varies |= head.bitrate != first.bitrate;
            if self.frames.is_multiple_of(self.every) {
                self.places.push(self.bytes);
            }
            if self.places.len() > MOST_PLACES {
                let mut even = false;
                self.places.retain(|_| {
                    even = !even;
                    even
                });
                self.every *= 2;
            }
            self.frames = self.frames.saturating_add(1);
            let length = head.length.min(bytes.len());
            self.bytes += length as u64;
            bytes = &bytes[length..];
        }
        // What is no frame has its place all the same.
        self.bytes += bytes.len() as u64;
    }

    /// The frame that says all of it; none before the first, or where it has no room.
    fn told(&self) -> Option<Vec<u8>> {
        let head = self.first?;
        let mut frame = head.silent()?;
        let own = frame.len() as u64;
        let all = (own + self.bytes).max(1);
        let mut about = if self.varies { *b"Xing" } else { *b"Info" }.to_vec();
        for number in [FOLLOWS, self.frames, u32::try_from(all).unwrap_or(u32::MAX)] {
            about.extend(number.to_be_bytes());
        }
        for hundredth in 0..100_u64 {
            let frame = u64::from(self.frames) * hundredth / 100 / u64::from(self.every.max(1));
            let place = usize::try_from(frame).ok().and_then(|at| self.places.get(at));
            let place = own + place.or(self.places.last()).unwrap_or(&0);
            about.push(u8::try_from(place * 256 / all).unwrap_or(u8::MAX));
        }
        frame[head.samples_at()..][..ABOUT].copy_from_slice(&about);
        Some(frame)
    }
}

mod imp {
    use std::sync::{LazyLock, MutexGuard, PoisonError};

    use gst::prelude::*;

    use super::{
        ElementImpl, ElementImplExt, GstObjectImpl, Mutex, ObjectImpl, ObjectImplExt, ObjectSubclass,
        ObjectSubclassExt, Passed, glib,
    };
    use crate::media::own;

    pub struct Xing {
        entry: gst::Pad,
        exit: gst::Pad,
        passed: Mutex<Passed>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Xing {
        const NAME: &'static str = "ReelmillXing";
        type Type = super::Xing;
        type ParentType = gst::Element;

        fn with_class(class: &Self::Class) -> Self {
            let template = |name| {
                class
                    .pad_template(name)
                    .unwrap_or_else(|| unreachable!("declared below"))
            };
            let entry = gst::Pad::builder_from_template(&template("sink"))
                .chain_function(|_, parent, buffer| {
                    Self::catch_panic_pad_function(parent, || Err(gst::FlowError::Error), |this| this.take(buffer))
                })
                .event_function(|pad, parent, event| {
                    Self::catch_panic_pad_function(parent, || false, |this| this.hear(pad, event))
                })
                .build();
            let exit = gst::Pad::builder_from_template(&template("src")).build();
            Self {
                entry,
                exit,
                passed: Mutex::default(),
            }
        }
    }

    impl ObjectImpl for Xing {
        fn constructed(&self) {
            self.parent_constructed();
            let element = self.obj();
            let _ = element.add_pad(&self.entry);
            let _ = element.add_pad(&self.exit);
        }
    }

    impl GstObjectImpl for Xing {}

    impl ElementImpl for Xing {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> =
                LazyLock::new(|| own::about("Reelmill MP3 head", "Formatter/Muxer", "Says how long an MP3 is"));
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let caps = gst::Caps::builder("audio/mpeg")
                    .field("mpegversion", 1_i32)
                    .field("layer", gst::IntRange::new(1, 3))
                    .build();
                own::pads(&caps, &caps)
            });
            TEMPLATES.as_ref()
        }
    }

    impl Xing {
        fn lock(&self) -> MutexGuard<'_, Passed> {
            self.passed.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn take(&self, buffer: gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
            let room = {
                let bytes = buffer.map_readable().map_err(|_| gst::FlowError::Error)?;
                let mut passed = self.lock();
                let is_first = passed.bytes == 0;
                passed.count(&bytes);
                let room = if is_first { passed.told() } else { None };
                passed.has_room |= room.is_some();
                room
            };
            if let Some(room) = room {
                self.exit.push(gst::Buffer::from_mut_slice(room))?;
            }
            self.exit.push(buffer)
        }

        /// What comes next belongs to the beginning of the file.
        fn rewind(&self, like: Option<&gst::Event>) -> bool {
            let segment = gst::FormattedSegment::<gst::format::Bytes>::new();
            let event = gst::event::Segment::builder(&segment);
            let event = match like {
                Some(other) => event.seqnum(other.seqnum()),
                None => event,
            };
            self.exit.push_event(event.build())
        }

        fn hear(&self, pad: &gst::Pad, event: gst::Event) -> bool {
            match event.view() {
                // Times end here. What comes later follows what came before.
                gst::EventView::Segment(_) if self.lock().bytes == 0 => self.rewind(Some(&event)),
                gst::EventView::Segment(_) => true,
                gst::EventView::Eos(_) => {
                    let told = Some(self.lock())
                        .filter(|passed| passed.has_room)
                        .and_then(|passed| passed.told());
                    if let Some(told) = told {
                        self.rewind(None);
                        let _ = self.exit.push(gst::Buffer::from_mut_slice(told));
                    }
                    gst::Pad::event_default(pad, Some(&*self.obj()), event)
                }
                _ => gst::Pad::event_default(pad, Some(&*self.obj()), event),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 128 thousand bits a second, 44100 samples, two channels; and twice as many bits.
    const FRAME: [u8; 4] = [0xff, 0xfb, 0x90, 0];
    const LARGER: [u8; 4] = [0xff, 0xfb, 0xd0, 0];

    fn frame(head: [u8; 4]) -> Vec<u8> {
        let mut frame = head.to_vec();
        frame.resize(Head::read(&head).unwrap().length, 0);
        frame
    }

    #[test]
    fn frames_are_as_long_as_their_heads_say() {
        let length = |head: [u8; 4]| Head::read(&head).map(|head| head.length);
        assert_eq!(length(FRAME), Some(417));
        assert_eq!(length([0xff, 0xfb, 0x92, 0]), Some(418));
        assert_eq!(length(LARGER), Some(835));
        // MPEG-2 of 22050 and MPEG-2.5 of 8000 samples a second.
        assert_eq!(length([0xff, 0xf3, 0x80, 0xc0]), Some(208));
        assert_eq!(length([0xff, 0xe3, 0x18, 0xc0]), Some(72));
        // Another layer, no bitrate, no rate, no frame.
        for head in [
            [0xff, 0xfd, 0x90, 0],
            [0xff, 0xfb, 0, 0],
            [0xff, 0xfb, 0x9c, 0],
            *b"ID3\x04",
        ] {
            assert_eq!(length(head), None);
        }
    }

    #[test]
    fn the_head_says_how_many_frames_and_bytes_there_are_and_where() {
        let mut passed = Passed::default();
        assert_eq!(passed.told(), None);
        for _ in 0..500 {
            passed.count(&frame(FRAME));
        }
        let even = passed.told().unwrap();
        let head = Head::read(&even).unwrap();
        assert_eq!((head.length, head.rate), (even.len(), 44_100));
        let about = &even[36..][..ABOUT];
        assert_eq!(about[..4], *b"Info");
        assert_eq!(about[7..12], [7, 0, 0, 1, 0xf4]);
        let all = 500 * 417 + even.len();
        assert_eq!(about[12..16], u32::try_from(all).unwrap().to_be_bytes());
        assert_eq!([about[16], about[16 + 50], about[16 + 99]], [0, 128, 253]);

        // As many again of twice the size, in one buffer: the middle comes after a third.
        passed.count(&frame(LARGER).repeat(500));
        let told = passed.told().unwrap();
        let about = &told[36..][..ABOUT];
        assert_eq!(about[..4], *b"Xing");
        assert_eq!(about[8..12], 1000_u32.to_be_bytes());
        assert_eq!(told.len(), even.len());
        assert!(about[16 + 50].abs_diff(85) <= 1, "{}", about[16 + 50]);
    }

    #[test]
    fn of_very_many_frames_few_places_are_kept() {
        let mut passed = Passed::default();
        let many = frame([0xff, 0xe3, 0x18, 0xc0]).repeat(1000);
        for _ in 0..100 {
            passed.count(&many);
        }
        assert_eq!(passed.frames, 100_000);
        assert!(passed.places.len() <= MOST_PLACES);
        let told = passed.told().unwrap();
        let table = &told[4 + 9 + 16..][..100];
        assert!(table.windows(2).all(|two| two[0] <= two[1]));
        assert!(table[50].abs_diff(128) <= 1 && table[99] >= 252, "{table:?}");
    }
}
