//! libavcodec's encoder of MPEG-2, found while the program runs as libswscale is. Settings go by their names; of what lies
//! in memory only the fields that are needed are known, where the headers of every version that is listed have them,
//! and one small film is encoded before any of it is trusted.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{NonNull, null, null_mut};
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW, Symbol};

/// The libraries of a version of FFmpeg, and where they have what moved from one to the next.
struct Version {
    codec: &'static str,
    util: &'static str,
    /// Of the form of pixels and of the width in [`Parameters`]; the height comes after the width.
    pixels: usize,
    width: usize,
    /// Of the sort of a frame in [`Frame::before`], and of its quality in [`Frame::after`].
    sort: usize,
    quality: usize,
}

/// FFmpeg 5 to 8.
const VERSIONS: [Version; 4] = [
    Version {
        codec: "libavcodec.so.59",
        util: "libavutil.so.57",
        pixels: 7,
        width: 14,
        sort: 1,
        quality: 6,
    },
    Version {
        codec: "libavcodec.so.60",
        util: "libavutil.so.58",
        pixels: 7,
        width: 14,
        sort: 1,
        quality: 6,
    },
    Version {
        codec: "libavcodec.so.61",
        util: "libavutil.so.59",
        pixels: 11,
        width: 18,
        sort: 1,
        quality: 4,
    },
    Version {
        codec: "libavcodec.so.62",
        util: "libavutil.so.60",
        pixels: 11,
        width: 18,
        sort: 0,
        quality: 4,
    },
];

/// Films, as streams are sorted.
const VIDEO: c_int = 0;
/// The codec's number.
const MPEG2: c_int = 2;
/// The form of pixels: Y'CbCr, the colours in half the width and height.
const I420: c_int = 0;
/// The sort of a frame that stands by itself, and of one that the encoder chooses.
const KEY: c_int = 1;
const ANY: c_int = 0;
/// A packet begins with a frame that stands by itself.
const KEY_PACKET: c_int = 1;
/// What the library counts quality in, for a step of the quantiser.
pub const STEP: c_int = 118;
/// Also what one codec alone knows.
const SEARCH_CHILDREN: c_int = 1;

/// The beginning of what describes a stream, in numbers: first its sort and its codec.
#[repr(C)]
struct Parameters([c_int; 20]);

/// The beginning of a frame.
#[repr(C)]
struct Frame {
    planes: [*const u8; 8],
    strides: [c_int; 8],
    all_planes: *const c_void,
    width: c_int,
    height: c_int,
    samples: c_int,
    pixels: c_int,
    before: [c_int; 4],
    pts: i64,
    after: [c_int; 8],
}

/// The beginning of a packet.
#[repr(C)]
struct Packet {
    memory: *const c_void,
    pts: i64,
    dts: i64,
    bytes: *const u8,
    length: c_int,
    stream: c_int,
    flags: c_int,
}

type Context = *mut c_void;
type Codec = *const c_void;
type Find = unsafe extern "C" fn(*const c_char) -> Codec;
type Allocate = unsafe extern "C" fn(Codec) -> Context;
type Free = unsafe extern "C" fn(*mut Context);
type AllocateParameters = unsafe extern "C" fn() -> *mut Parameters;
type FreeParameters = unsafe extern "C" fn(*mut *mut Parameters);
type Describe = unsafe extern "C" fn(Context, *const Parameters) -> c_int;
type Open = unsafe extern "C" fn(Context, Codec, *mut c_void) -> c_int;
type Send_ = unsafe extern "C" fn(Context, *const Frame) -> c_int;
type Receive = unsafe extern "C" fn(Context, *mut Packet) -> c_int;
type AllocatePacket = unsafe extern "C" fn() -> *mut Packet;
type FreePacket = unsafe extern "C" fn(*mut *mut Packet);
type AllocateFrame = unsafe extern "C" fn() -> *mut Frame;
type FreeFrame = unsafe extern "C" fn(*mut *mut Frame);
type SetText = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char, c_int) -> c_int;

struct Functions {
    version: &'static Version,
    find: Symbol<Find>,
    allocate: Symbol<Allocate>,
    free: Symbol<Free>,
    allocate_parameters: Symbol<AllocateParameters>,
    free_parameters: Symbol<FreeParameters>,
    describe: Symbol<Describe>,
    open: Symbol<Open>,
    send: Symbol<Send_>,
    receive: Symbol<Receive>,
    allocate_packet: Symbol<AllocatePacket>,
    free_packet: Symbol<FreePacket>,
    allocate_frame: Symbol<AllocateFrame>,
    free_frame: Symbol<FreeFrame>,
    set_text: Symbol<SetText>,
    /// After what was found in them.
    _libraries: [Library; 2],
}

impl Functions {
    fn load(version: &'static Version, flags: c_int) -> Option<Self> {
        let load = |name: &str| {
            // SAFETY: these libraries do nothing when they are loaded that depends on threads or on order.
            unsafe { Library::open(Some(name), flags | RTLD_NOW | RTLD_LOCAL) }.ok()
        };
        let (util, codec) = (load(version.util)?, load(version.codec)?);
        // SAFETY: each function has had this form since FFmpeg 5, by the headers of every version that is listed.
        unsafe {
            Some(Self {
                version,
                find: codec.get(b"avcodec_find_encoder_by_name\0").ok()?,
                allocate: codec.get(b"avcodec_alloc_context3\0").ok()?,
                free: codec.get(b"avcodec_free_context\0").ok()?,
                allocate_parameters: codec.get(b"avcodec_parameters_alloc\0").ok()?,
                free_parameters: codec.get(b"avcodec_parameters_free\0").ok()?,
                describe: codec.get(b"avcodec_parameters_to_context\0").ok()?,
                open: codec.get(b"avcodec_open2\0").ok()?,
                send: codec.get(b"avcodec_send_frame\0").ok()?,
                receive: codec.get(b"avcodec_receive_packet\0").ok()?,
                allocate_packet: codec.get(b"av_packet_alloc\0").ok()?,
                free_packet: codec.get(b"av_packet_free\0").ok()?,
                allocate_frame: util.get(b"av_frame_alloc\0").ok()?,
                free_frame: util.get(b"av_frame_free\0").ok()?,
                set_text: util.get(b"av_opt_set\0").ok()?,
                _libraries: [codec, util],
            })
        }
    }
}

fn functions() -> Option<&'static Functions> {
    static FUNCTIONS: OnceLock<Option<Functions>> = OnceLock::new();
    FUNCTIONS
        .get_or_init(|| {
            // What the decoders use already, before another that may lie beside it.
            let loaded = VERSIONS.iter().map(|version| (version, libc::RTLD_NOLOAD));
            let others = VERSIONS.iter().map(|version| (version, 0));
            loaded
                .chain(others)
                .find_map(|(version, flags)| Functions::load(version, flags))
        })
        .as_ref()
}

/// Whether films can be encoded. The first call looks for the library, and tries it.
pub fn is_there() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| functions().is_some() && works().is_some_and(|works| works))
}

/// Of a packet of the trial: the number of its frame, whether it can be jumped to, and the size that it says.
type Trial = (i64, bool, Option<(u32, u32)>);

/// What the trial must give.
const WANTED: [Trial; 4] = [
    (0, true, Some((96, 64))),
    (1, false, None),
    (2, true, Some((96, 64))),
    (3, false, None),
];

/// Whether packets are those that were asked for, and smaller where less quality was.
fn works() -> Option<bool> {
    let (good, poor) = (encodes_noise(2)?, encodes_noise(31)?);
    Some(good.0 == WANTED && poor.0 == WANTED && good.1 > poor.1 * 2)
}

/// Four frames, of which the third is asked to stand by itself, by this step of the quantiser; and the bytes of all.
fn encodes_noise(step: c_int) -> Option<(Vec<Trial>, usize)> {
    let options = [
        ("time_base", "1/25"),
        ("g", "100"),
        ("threads", "1"),
        ("flags", "+qscale"),
    ];
    let mut encoder = Encoder::new((96, 64), &options.map(|(name, value)| (name, value.to_owned()))).ok()?;
    encoder.keep(step * STEP);
    let noise: Vec<u8> = (1..=96 * 64_u32)
        .map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[1])
        .collect();
    let mut made = (Vec::new(), 0);
    for frame in 0..=4 {
        if frame == 4 {
            encoder.finish();
        } else if !encoder.send([&noise, &noise, &noise], [96, 48, 48], frame, frame == 2) {
            return None;
        }
        while let Some(packet) = encoder.receive().ok()? {
            made.0.push((packet.frame, packet.key, size(packet.bytes)));
            made.1 += packet.bytes.len();
        }
    }
    Some(made)
}

/// The size that the head of a sequence says, where one begins a packet.
fn size(packet: &[u8]) -> Option<(u32, u32)> {
    let &[0, 0, 1, 0xb3, first, second, third, ..] = packet else {
        return None;
    };
    let width = u32::from(first) << 4 | u32::from(second >> 4);
    Some((width, u32::from(second & 15) << 8 | u32::from(third)))
}

/// A packet.
pub struct Encoded<'a> {
    /// The number that its frame was sent with.
    pub frame: i64,
    /// It can be jumped to.
    pub key: bool,
    /// What is in it.
    pub bytes: &'a [u8],
}

/// Encodes frames of one size.
pub struct Encoder {
    library: &'static Functions,
    context: Context,
    frame: *mut Frame,
    packet: *mut Packet,
    size: (usize, usize),
}

// SAFETY: what it points to is its own, belongs to no thread, and is used through `&mut` alone.
unsafe impl Send for Encoder {}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: made by this library, and freed once; nothing is done where nothing was made.
        unsafe {
            (self.library.free_packet)(&raw mut self.packet);
            (self.library.free_frame)(&raw mut self.frame);
            (self.library.free)(&raw mut self.context);
        }
    }
}

impl Encoder {
    /// An encoder of frames of this size, with these options in the library's words.
    ///
    /// # Errors
    /// What the library refuses, or that there is none.
    pub fn new(size: (u32, u32), options: &[(impl AsRef<str>, String)]) -> Result<Self, String> {
        let missing = || "libavcodec is not installed, or has no encoder of MPEG-2".to_owned();
        let library = functions().ok_or_else(missing)?;
        // SAFETY: the name ends with a zero.
        let codec = unsafe { (library.find)(c"mpeg2video".as_ptr()) };
        if codec.is_null() {
            return Err(missing());
        }
        // SAFETY: the codec is the library's own, for ever.
        let mut encoder = unsafe {
            Self {
                library,
                context: (library.allocate)(codec),
                frame: (library.allocate_frame)(),
                packet: (library.allocate_packet)(),
                size: (size.0 as usize, size.1 as usize),
            }
        };
        if encoder.context.is_null() || encoder.frame.is_null() || encoder.packet.is_null() {
            return Err("there is no memory for an encoder".to_owned());
        }
        encoder
            .describe(size)
            .ok_or("libavcodec does not take frames of this size")?;
        for (name, value) in options {
            let name = name.as_ref();
            encoder
                .set(name, value)
                .ok_or_else(|| format!("libavcodec does not take {name}={value}"))?;
        }
        // SAFETY: a context of this codec with all that it needs; options that are left are not asked for.
        let opened = unsafe { (library.open)(encoder.context, codec, null_mut()) };
        if opened < 0 {
            return Err(format!("libavcodec's encoder of MPEG-2 does not open ({opened})"));
        }
        Ok(encoder)
    }

    /// Says which frames will come.
    fn describe(&mut self, size: (u32, u32)) -> Option<()> {
        let (width, height) = (c_int::try_from(size.0).ok()?, c_int::try_from(size.1).ok()?);
        let places = self.library.version;
        // SAFETY: takes nothing.
        let mut parameters = NonNull::new(unsafe { (self.library.allocate_parameters)() })?.as_ptr();
        // SAFETY: the library's own memory, which nobody else uses, and which is longer than what is known of it.
        let fields = unsafe { &mut (*parameters).0 };
        fields[..2].copy_from_slice(&[VIDEO, MPEG2]);
        fields[places.pixels] = I420;
        fields[places.width] = width;
        fields[places.width + 1] = height;
        // SAFETY: both were made by this library; the second is read, and freed once.
        let described = unsafe {
            let described = (self.library.describe)(self.context, parameters);
            (self.library.free_parameters)(&raw mut parameters);
            described
        };
        // SAFETY: as above. Nobody else has the frame.
        let frame = unsafe { &mut *self.frame };
        (frame.width, frame.height, frame.pixels) = (width, height, I420);
        (described >= 0).then_some(())
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        let (name, value) = (CString::new(name).ok()?, CString::new(value).ok()?);
        let texts: [&CStr; 2] = [&name, &value];
        let [name, value] = texts.map(CStr::as_ptr);
        // SAFETY: the context begins with its class, and both texts end with a zero; they are not kept.
        let done = unsafe { (self.library.set_text)(self.context, name, value, SEARCH_CHILDREN) };
        (done >= 0).then_some(())
    }

    /// Gives all frames this quality, in parts of a [`STEP`], where the option `flags=+qscale` asks for that.
    pub fn keep(&mut self, quality: c_int) {
        // SAFETY: the library's own memory, which nobody else uses between two calls.
        unsafe { &mut *self.frame }.after[self.library.version.quality] = quality;
    }

    /// Gives it a frame with these planes, as long as their rows are from one to the next, under a number that is larger
    /// than the one before. Answers whether it was taken.
    pub fn send(&mut self, planes: [&[u8]; 3], strides: [usize; 3], number: i64, key: bool) -> bool {
        let (width, height) = self.size;
        let halves = (width.div_ceil(2), height.div_ceil(2));
        let sizes = [(width, height), halves, halves];
        // SAFETY: the library's own memory, which nobody else uses between two calls.
        let frame = unsafe { &mut *self.frame };
        for (at, (plane, (width, height))) in planes.into_iter().zip(sizes).enumerate() {
            let whole = strides[at]
                .checked_mul(height.saturating_sub(1))
                .and_then(|rows| rows.checked_add(width))
                .is_some_and(|needed| plane.len() >= needed);
            let Some(stride) = c_int::try_from(strides[at])
                .ok()
                .filter(|_| whole && width <= strides[at])
            else {
                return false;
            };
            frame.planes[at] = plane.as_ptr();
            frame.strides[at] = stride;
        }
        frame.pts = number;
        frame.before[self.library.version.sort] = if key { KEY } else { ANY };
        // SAFETY: all rows of all planes are there. They are borrowed, as the frame counts no references, so that the
        // library takes a copy before it comes back.
        let sent = unsafe { (self.library.send)(self.context, self.frame) };
        frame.planes = [null(); 8];
        sent >= 0
    }

    /// Says that no frame will come any more.
    pub fn finish(&mut self) {
        // SAFETY: no frame is how the library is told. It refuses a second time, which does no harm.
        unsafe { (self.library.send)(self.context, null()) };
    }

    /// The next packet; none until there are more frames, or at the end.
    ///
    /// # Errors
    /// Where a frame could not be encoded.
    pub fn receive(&mut self) -> Result<Option<Encoded<'_>>, String> {
        // SAFETY: both were made by this library. What the packet held is freed by this.
        let received = unsafe { (self.library.receive)(self.context, self.packet) };
        if received == -libc::EAGAIN || received == END {
            return Ok(None);
        }
        let refused = || format!("libavcodec could not encode a frame ({received})");
        // SAFETY: as above; nobody else has it, and it stays as it is while what it gives is borrowed from this.
        let packet = unsafe { &*self.packet };
        let length = usize::try_from(packet.length).map_err(|_| refused())?;
        if received < 0 || packet.bytes.is_null() {
            return Err(refused());
        }
        Ok(Some(Encoded {
            frame: packet.pts,
            key: packet.flags & KEY_PACKET != 0,
            // SAFETY: by the library the packet has so many bytes, until the next is received.
            bytes: unsafe { std::slice::from_raw_parts(packet.bytes, length) },
        }))
    }
}

/// What says that nothing comes any more: the negative of "EOF ".
const END: c_int = -c_int::from_le_bytes(*b"EOF ");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_that_comes_with_the_decoders_is_found_and_works() {
        assert_eq!(encodes_noise(2).unwrap().0, WANTED);
        assert!(is_there());
    }

    #[test]
    fn what_cannot_be_encoded_is_refused_in_words() {
        let options = |rate: &str| [("time_base", rate.to_owned())];
        let refused = |size, options: &[(&str, String)]| Encoder::new(size, options).err().unwrap_or_default();
        assert_eq!(refused((64, 64), &options("1/25")), "");
        assert!(refused((64, 64), &options("1/1000")).contains("does not open"));
        assert!(refused((0, 64), &options("1/25")).contains("does not"));
        let strange = [("no such option", "1".to_owned())];
        assert!(refused((64, 64), &strange).contains("no such option=1"));
        let mut encoder = Encoder::new((64, 64), &options("1/25")).unwrap_or_else(|said| panic!("{said}"));
        let (whole, half) = ([0; 64 * 64], [0; 32 * 32]);
        assert!(encoder.send([&whole, &half, &half], [64, 32, 32], 0, false));
        assert!(!encoder.send([&whole, &half, &half[1..]], [64, 32, 32], 1, false));
        assert!(!encoder.send([&whole, &half, &half], [64, 32, 31], 1, false));
    }
}
