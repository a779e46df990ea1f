//! A source element that offers any [`Reader`] to GStreamer as a seekable stream of known length.
//!
//! Every answer has exactly the length that was asked for, except at the end: demuxers take a short answer for the
//! end of the medium and would fall silent.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gst::glib;
use gst_base::subclass::prelude::*;

use super::mp4::Correction;

/// Where the bytes of an input come from.
pub trait Reader: Send + Sync {
    /// Length in bytes.
    fn size(&self) -> u64;
    /// Reads at an offset; fewer bytes than asked only where reading was interrupted, none only at the end.
    ///
    /// # Errors
    /// Where the medium cannot be read.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
}

/// A local file, by an open descriptor.
pub struct FileReader {
    file: File,
    size: u64,
}

impl FileReader {
    /// Takes the size as it is now.
    ///
    /// # Errors
    /// Where the descriptor says no size.
    pub fn new(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl Reader for FileReader {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(into, offset)
    }
}

/// An input of a run, shared by every pipeline that reads it; counts what was read.
pub struct Input {
    reader: Box<dyn Reader>,
    bytes_read: AtomicU64,
    reads_open: AtomicU64,
}

impl Input {
    /// An input over this reader.
    pub fn new(reader: impl Reader + 'static) -> Arc<Self> {
        Arc::new(Self {
            reader: Box::new(reader),
            bytes_read: AtomicU64::new(0),
            reads_open: AtomicU64::new(0),
        })
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.reader.size()
    }

    /// Bytes read so far, by everyone.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Whether somebody waits for bytes right now.
    pub fn is_reading(&self) -> bool {
        self.reads_open.load(Ordering::Relaxed) > 0
    }

    /// Fills the whole slice, or as much as there is before the end.
    ///
    /// # Errors
    /// Where the reader fails, or ends before its size.
    pub fn fill(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.reads_open.fetch_add(1, Ordering::Relaxed);
        let filled = self.fill_slice(offset, into);
        self.reads_open.fetch_sub(1, Ordering::Relaxed);
        filled
    }

    fn fill_slice(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size().saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = left.min(into.len());
        let mut done = 0;
        while done < want {
            match self.reader.read_at(offset + done as u64, &mut into[done..want]) {
                Ok(0) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the input became shorter while it was read",
                    ));
                }
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.bytes_read.fetch_add(done as u64, Ordering::Relaxed);
        Ok(done)
    }
}

mod imp {
    use super::{
        Arc, BaseSrcImpl, Correction, ElementImpl, GstObjectImpl, Input, Mutex, ObjectImpl, ObjectImplExt,
        ObjectSubclass, ObjectSubclassExt, PoisonError, glib,
    };
    use gst_base::prelude::*;
    use std::sync::LazyLock;

    use crate::media::own;

    /// What is read, and what is seen in place of some of it.
    pub(super) type Source = (Arc<Input>, Vec<Correction>);

    #[derive(Default)]
    pub struct MediaSource {
        pub(super) source: Mutex<Option<Source>>,
    }

    impl MediaSource {
        fn source(&self) -> Option<Source> {
            self.source.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }
    }

    #[glib::object_subclass]
    impl ObjectSubclass for MediaSource {
        const NAME: &'static str = "ReelmillMediaSource";
        type Type = super::MediaSource;
        type ParentType = gst_base::BaseSrc;
    }

    impl ObjectImpl for MediaSource {
        fn constructed(&self) {
            self.parent_constructed();
            let element = self.obj();
            element.set_format(gst::Format::Bytes);
            element.set_blocksize(64 << 10);
        }
    }

    impl GstObjectImpl for MediaSource {}

    impl ElementImpl for MediaSource {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> =
                LazyLock::new(|| own::about("Reelmill input", "Source", "Reads the input of a run"));
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| own::exit(&gst::Caps::new_any()));
            TEMPLATES.as_ref()
        }
    }

    impl BaseSrcImpl for MediaSource {
        fn start(&self) -> Result<(), gst::ErrorMessage> {
            if self.source().is_some() {
                Ok(())
            } else {
                Err(gst::error_msg!(gst::ResourceError::NotFound, ["there is no input"]))
            }
        }

        fn is_seekable(&self) -> bool {
            true
        }

        fn size(&self) -> Option<u64> {
            self.source().map(|(input, _)| input.size())
        }

        fn fill(
            &self,
            offset: u64,
            length: u32,
            buffer: &mut gst::BufferRef,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let Some((input, corrections)) = self.source() else {
                return Err(gst::FlowError::NotNegotiated);
            };
            let length = length as usize;
            let read = {
                let mut map = buffer.map_writable().map_err(|_| gst::FlowError::Error)?;
                let into = map.get_mut(..length).ok_or(gst::FlowError::Error)?;
                let read = input.fill(offset, into);
                if let Ok(count) = &read {
                    for correction in &corrections {
                        correction.apply(offset, &mut into[..*count]);
                    }
                }
                read
            };
            match read {
                Ok(0) => Err(gst::FlowError::Eos),
                Ok(count) => {
                    buffer.set_size(count);
                    buffer.set_offset(offset);
                    buffer.set_offset_end(offset + count as u64);
                    Ok(gst::FlowSuccess::Ok)
                }
                Err(error) => {
                    gst::element_imp_error!(self, gst::ResourceError::Read, ["the input cannot be read: {error}"]);
                    Err(gst::FlowError::Error)
                }
            }
        }
    }
}

glib::wrapper! {
    /// The element.
    pub struct MediaSource(ObjectSubclass<imp::MediaSource>)
        @extends gst_base::BaseSrc, gst::Element, gst::Object;
}

impl MediaSource {
    /// An element that reads this input, with some bytes of it corrected.
    pub fn over(input: Arc<Input>, corrections: Vec<Correction>) -> Self {
        let element: Self = glib::Object::new();
        *element.imp().source.lock().unwrap_or_else(PoisonError::into_inner) = Some((input, corrections));
        element
    }
}

/// Short texts have no type that GStreamer would name.
pub fn is_text(input: &Input) -> bool {
    let mut start = [0_u8; 512];
    let Ok(count) = input.fill(0, &mut start) else {
        return false;
    };
    let text = match std::str::from_utf8(&start[..count]) {
        Ok(text) => text,
        // The last character may be cut in two.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or(""),
        Err(_) => return false,
    };
    !text.is_empty() && text.chars().all(|c| !c.is_control() || c.is_whitespace())
}
