//! libswscale, found while the program runs. It comes with the decoders, and in several versions: only functions are
//! used whose form never changed, forms of pixels and settings go by their names, and one small picture is scaled before
//! it is trusted.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW, Symbol};

/// The libraries of FFmpeg 5 to 8, each with the one that it goes with.
const VERSIONS: [(&str, &str); 4] = [
    ("libswscale.so.6", "libavutil.so.57"),
    ("libswscale.so.7", "libavutil.so.58"),
    ("libswscale.so.8", "libavutil.so.59"),
    ("libswscale.so.9", "libavutil.so.60"),
];

/// `RTLD_NOLOAD`: only what the process has already.
const ONLY_LOADED: c_int = libc::RTLD_NOLOAD;

type Context = *mut c_void;
type Allocate = unsafe extern "C" fn() -> Context;
type Begin = unsafe extern "C" fn(Context, *mut c_void, *mut c_void) -> c_int;
type Free = unsafe extern "C" fn(Context);
type Colours = unsafe extern "C" fn(Context, *const c_int, c_int, *const c_int, c_int, c_int, c_int, c_int) -> c_int;
type Coefficients = unsafe extern "C" fn(c_int) -> *const c_int;
type Scale =
    unsafe extern "C" fn(Context, *const *const u8, *const c_int, c_int, c_int, *const *mut u8, *const c_int) -> c_int;
type Supported = unsafe extern "C" fn(c_int) -> c_int;
type SetNumber = unsafe extern "C" fn(*mut c_void, *const c_char, i64, c_int) -> c_int;
type SetText = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char, c_int) -> c_int;
type PixelFormat = unsafe extern "C" fn(*const c_char) -> c_int;

struct Functions {
    allocate: Symbol<Allocate>,
    begin: Symbol<Begin>,
    free: Symbol<Free>,
    colours: Symbol<Colours>,
    coefficients: Symbol<Coefficients>,
    scale: Symbol<Scale>,
    reads: Symbol<Supported>,
    writes: Symbol<Supported>,
    set_number: Symbol<SetNumber>,
    set_text: Symbol<SetText>,
    pixel_format: Symbol<PixelFormat>,
    /// After what was found in them.
    _libraries: [Library; 2],
}

impl Functions {
    fn open((scale, util): (&str, &str), flags: c_int) -> Option<Self> {
        let open = |name: &str| {
            // SAFETY: these libraries do nothing when they are loaded that depends on threads or on order.
            unsafe { Library::open(Some(name), flags | RTLD_NOW | RTLD_LOCAL) }.ok()
        };
        let (util, scale) = (open(util)?, open(scale)?);
        // SAFETY: each function has had this form since FFmpeg 5, by the headers of every version that is listed.
        unsafe {
            Some(Self {
                allocate: scale.get(b"sws_alloc_context\0").ok()?,
                begin: scale.get(b"sws_init_context\0").ok()?,
                free: scale.get(b"sws_freeContext\0").ok()?,
                colours: scale.get(b"sws_setColorspaceDetails\0").ok()?,
                coefficients: scale.get(b"sws_getCoefficients\0").ok()?,
                scale: scale.get(b"sws_scale\0").ok()?,
                reads: scale.get(b"sws_isSupportedInput\0").ok()?,
                writes: scale.get(b"sws_isSupportedOutput\0").ok()?,
                set_number: util.get(b"av_opt_set_int\0").ok()?,
                set_text: util.get(b"av_opt_set\0").ok()?,
                pixel_format: util.get(b"av_get_pix_fmt\0").ok()?,
                _libraries: [scale, util],
            })
        }
    }
}

fn functions() -> Option<&'static Functions> {
    static FUNCTIONS: OnceLock<Option<Functions>> = OnceLock::new();
    FUNCTIONS
        .get_or_init(|| {
            // What the decoders use already, before another that may lie beside it.
            let loaded = VERSIONS.into_iter().map(|names| (names, ONLY_LOADED));
            let others = VERSIONS.into_iter().map(|names| (names, 0));
            loaded
                .chain(others)
                .find_map(|(names, flags)| Functions::open(names, flags))
        })
        .as_ref()
}

/// Whether pictures can be scaled. The first call looks for the library, and tries it.
pub fn is_there() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| functions().is_some() && scales_grey())
}

/// A picture of one grey must still have that grey after it was made smaller.
fn scales_grey() -> bool {
    let side = |length: u32| Side {
        pixels: pixels("yuv420p", true).unwrap_or(-1),
        size: (length, length),
        full_range: false,
        matrix: Matrix::Bt709,
        chroma: (Some(0), Some(128)),
    };
    let Some(mut scaler) = Scaler::new(&side(64), &side(32), "bicubic") else {
        return false;
    };
    let from = vec![77_u8; 64 * 64 * 4];
    let mut to = vec![0_u8; 64 * 64 * 4];
    let plane = |part: usize| from.as_ptr().wrapping_add(part * 64 * 64);
    let base = to.as_mut_ptr();
    let target = |part: usize| base.wrapping_add(part * 64 * 64);
    let source = Planes {
        data: [plane(0), plane(1), plane(2), std::ptr::null()],
        strides: [64; 4],
    };
    let target = PlanesMut {
        data: [target(0), target(1), target(2), std::ptr::null_mut()],
        strides: [64; 4],
    };
    // SAFETY: every plane has 64 rows of 64 bytes, and a last part of the memory is never named.
    let scaled = unsafe { scaler.scale(&source, &target) };
    let row = |part: usize, line: usize| part * 64 * 64 + line * 64;
    scaled
        && (0..32).all(|line| to[row(0, line)..][..32].iter().all(|sample| sample.abs_diff(77) <= 1))
        && (0..16).all(|line| to[row(1, line)..][..16].iter().all(|sample| sample.abs_diff(77) <= 1))
}

/// The library's number of a form of pixels that it can read, or write; none where it cannot.
pub fn pixels(name: &str, reads: bool) -> Option<c_int> {
    let library = functions()?;
    let name = CString::new(name).ok()?;
    // SAFETY: the name ends with a zero.
    let number = unsafe { (library.pixel_format)(name.as_ptr()) };
    // SAFETY: takes any number.
    let supported = unsafe { (if reads { &library.reads } else { &library.writes })(number) };
    (number >= 0 && supported > 0).then_some(number)
}

/// How brightness and colour are made of red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matrix {
    /// ITU-R BT.709.
    Bt709,
    /// FCC 73.682.
    Fcc,
    /// ITU-R BT.601.
    Bt601,
    /// SMPTE 240M.
    Smpte240m,
    /// ITU-R BT.2020.
    Bt2020,
}

impl Matrix {
    /// The number that standards have for it.
    fn number(self) -> c_int {
        match self {
            Self::Bt709 => 1,
            Self::Fcc => 4,
            Self::Bt601 => 5,
            Self::Smpte240m => 7,
            Self::Bt2020 => 9,
        }
    }
}

/// One side of a scaler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// See [`pixels`].
    pub pixels: c_int,
    /// Width and height.
    pub size: (u32, u32),
    /// Black is 0, not 16.
    pub full_range: bool,
    /// Of YUV.
    pub matrix: Matrix,
    /// Where colour is sampled, right of and below the first pixel's left upper corner, in 256ths of a pixel less a half:
    /// 0 on the pixel, 128 between two. None where every pixel has its own.
    pub chroma: (Option<i64>, Option<i64>),
}

/// Where the planes of a picture lie.
#[derive(Debug, Clone, Copy)]
pub struct Planes {
    /// First bytes.
    pub data: [*const u8; 4],
    /// Bytes from row to row.
    pub strides: [c_int; 4],
}

/// As [`Planes`], to be written.
#[derive(Debug, Clone, Copy)]
pub struct PlanesMut {
    /// First bytes.
    pub data: [*mut u8; 4],
    /// Bytes from row to row.
    pub strides: [c_int; 4],
}

impl PlanesMut {
    /// To be read.
    pub fn readable(&self) -> Planes {
        Planes {
            data: self.data.map(<*mut u8>::cast_const),
            strides: self.strides,
        }
    }
}

/// Bytes beyond the end of a row that the library may touch, at most.
pub const MARGIN: usize = 64;

/// Scales and converts pictures of one form into another.
pub struct Scaler {
    library: &'static Functions,
    context: NonNull<c_void>,
    rows: c_int,
}

// SAFETY: a context belongs to no thread; it may only not be used by two at once, and using it takes `&mut`.
unsafe impl Send for Scaler {}

impl Drop for Scaler {
    fn drop(&mut self) {
        // SAFETY: made by this library, and freed once.
        unsafe { (self.library.free)(self.context.as_ptr()) }
    }
}

impl Scaler {
    /// A scaler with these flags in the library's words. None where the library is missing or refuses.
    pub fn new(from: &Side, to: &Side, flags: &str) -> Option<Self> {
        Self::with_options(from, to, &[(c"sws_flags", flags)])
    }

    /// A scaler that makes small pictures large and soft, without edges where its pixels were.
    pub fn soft(from: &Side, to: &Side) -> Option<Self> {
        Self::with_options(from, to, &[(c"sws_flags", "gauss"), (c"param0", "1")])
    }

    fn with_options(from: &Side, to: &Side, options: &[(&CStr, &str)]) -> Option<Self> {
        let library = functions()?;
        // SAFETY: takes nothing.
        let context = NonNull::new(unsafe { (library.allocate)() })?;
        let mut scaler = Self {
            library,
            context,
            rows: c_int::try_from(from.size.1).ok()?,
        };
        for (name, value) in options {
            scaler.set_text(name, value)?;
        }
        for (name, value) in [
            (c"srcw", i64::from(from.size.0)),
            (c"srch", i64::from(from.size.1)),
            (c"src_format", i64::from(from.pixels)),
            (c"src_range", i64::from(from.full_range)),
            (c"dstw", i64::from(to.size.0)),
            (c"dsth", i64::from(to.size.1)),
            (c"dst_format", i64::from(to.pixels)),
            (c"dst_range", i64::from(to.full_range)),
        ] {
            scaler.set_number(name, value)?;
        }
        for (name, value) in [
            (c"src_h_chr_pos", from.chroma.0),
            (c"src_v_chr_pos", from.chroma.1),
            (c"dst_h_chr_pos", to.chroma.0),
            (c"dst_v_chr_pos", to.chroma.1),
        ] {
            if let Some(value) = value {
                scaler.set_number(name, value)?;
            }
        }
        // SAFETY: a context with all that it needs; filters are optional.
        let begun = unsafe { (library.begin)(context.as_ptr(), std::ptr::null_mut(), std::ptr::null_mut()) };
        if begun < 0 {
            return None;
        }
        // SAFETY: tables are static, and kept by value. Forms without such a matrix refuse, and need none.
        unsafe {
            (library.colours)(
                context.as_ptr(),
                (library.coefficients)(from.matrix.number()),
                c_int::from(from.full_range),
                (library.coefficients)(to.matrix.number()),
                c_int::from(to.full_range),
                0,
                1 << 16,
                1 << 16,
            );
        }
        Some(scaler)
    }

    fn set_number(&mut self, name: &CStr, value: i64) -> Option<()> {
        // SAFETY: the context begins with its class, and the name ends with a zero.
        let done = unsafe { (self.library.set_number)(self.context.as_ptr(), name.as_ptr(), value, 0) };
        (done >= 0).then_some(())
    }

    fn set_text(&mut self, name: &CStr, value: &str) -> Option<()> {
        let value = CString::new(value).ok()?;
        // SAFETY: as above, and the value ends with a zero too; it is not kept.
        let done = unsafe { (self.library.set_text)(self.context.as_ptr(), name.as_ptr(), value.as_ptr(), 0) };
        (done >= 0).then_some(())
    }

    /// Scales one picture. Answers whether all of it was done.
    ///
    /// # Safety
    /// The planes must have all rows of both sides as they were given to [`Self::new`]. From the beginning of every row,
    /// its length rounded up to [`MARGIN`] must be memory that may be read, or written without harm.
    pub unsafe fn scale(&mut self, from: &Planes, to: &PlanesMut) -> bool {
        // SAFETY: by the contract of this function.
        let rows = unsafe {
            (self.library.scale)(
                self.context.as_ptr(),
                from.data.as_ptr(),
                from.strides.as_ptr(),
                0,
                self.rows,
                to.data.as_ptr(),
                to.strides.as_ptr(),
            )
        };
        rows > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_that_comes_with_the_decoders_is_found_and_works() {
        assert!(is_there());
        assert!(pixels("yuv420p", true).is_some());
        assert_eq!(pixels("no such form", true), None);
    }

    #[test]
    fn what_cannot_be_scaled_is_refused() {
        let side = Side {
            pixels: pixels("yuv420p", true).unwrap(),
            size: (64, 64),
            full_range: false,
            matrix: Matrix::Bt709,
            chroma: (None, None),
        };
        assert!(Scaler::new(&side, &side, "bicubic").is_some());
        assert!(Scaler::new(&side, &side, "no such flag").is_none());
        let nothing = Side { size: (0, 64), ..side };
        assert!(Scaler::new(&side, &nothing, "bicubic").is_none());
    }
}
