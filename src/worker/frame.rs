//! Frames on the control socket: a length and that many bytes of JSON.
//!
//! The same rules serve both sides; a frame that breaks them is an error and nothing after it is read.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::protocol::MAX_FRAME;

/// A frame that breaks the rules.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME`].
    #[error("a frame of {0} bytes is longer than {MAX_FRAME}")]
    TooLong(u64),
    /// Not the JSON that was expected.
    #[error("a frame is not understood")]
    Json(#[from] serde_json::Error),
    /// The other side ended in the middle of a frame.
    #[error("a frame was cut off")]
    CutOff,
    /// The socket failed.
    #[error("the control socket failed")]
    Io(#[from] io::Error),
}

/// A message as a frame.
///
/// # Errors
/// Where it becomes longer than allowed.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0_u8; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - 4;
    if length > MAX_FRAME {
        return Err(FrameError::TooLong(length as u64));
    }
    let head = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    bytes[..4].copy_from_slice(&head);
    Ok(bytes)
}

/// Writes one frame.
///
/// # Errors
/// Where the message is too long or the socket fails.
pub fn write(to: &mut impl Write, message: &impl Serialize) -> Result<(), FrameError> {
    to.write_all(&encode(message)?)?;
    Ok(to.flush()?)
}

/// Reads one frame; none at a clean end.
///
/// # Errors
/// Where the frame breaks the rules or the socket fails.
pub fn read<M: DeserializeOwned>(from: &mut impl Read) -> Result<Option<M>, FrameError> {
    let mut frames = Frames::default();
    loop {
        // Refuses a length before memory is taken for it.
        if let Some(message) = frames.take()? {
            return Ok(Some(message));
        }
        let start = frames.buffer.len();
        frames.buffer.resize(start + frames.missing(), 0);
        let count = match from.read(&mut frames.buffer[start..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                frames.buffer.truncate(start);
                continue;
            }
            other => other?,
        };
        frames.buffer.truncate(start + count);
        if count == 0 {
            return if frames.is_empty() {
                Ok(None)
            } else {
                Err(FrameError::CutOff)
            };
        }
    }
}

/// Bytes that came in, and the frames in them.
#[derive(Debug, Default)]
pub struct Frames {
    /// What was read and not yet taken.
    pub buffer: Vec<u8>,
}

impl Frames {
    fn length(&self) -> Option<u32> {
        let head = self.buffer.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*head))
    }

    /// Nothing of a next frame has come.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Bytes that the frame at the front still lacks.
    fn missing(&self) -> usize {
        match self.length() {
            None => 4 - self.buffer.len(),
            Some(length) => (4 + length as usize).saturating_sub(self.buffer.len()),
        }
    }

    /// Takes the frame at the front, where it is complete.
    ///
    /// # Errors
    /// Where it breaks the rules; a length is refused before its bytes are waited for.
    pub fn take<M: DeserializeOwned>(&mut self) -> Result<Option<M>, FrameError> {
        let Some(length) = self.length() else {
            return Ok(None);
        };
        let length = length as usize;
        if length > MAX_FRAME {
            return Err(FrameError::TooLong(length as u64));
        }
        let Some(body) = self.buffer.get(4..4 + length) else {
            return Ok(None);
        };
        let message = serde_json::from_slice(body)?;
        self.buffer.drain(..4 + length);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::protocol::{FromWorker, ToWorker};
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_is_written_is_read_and_a_clean_end_is_no_error() {
        let (mut here, mut there) = UnixStream::pair().expect("pair");
        write(&mut here, &ToWorker::Probe).expect("write");
        write(&mut here, &ToWorker::Probe).expect("write");
        drop(here);
        assert_eq!(read::<ToWorker>(&mut there).expect("read"), Some(ToWorker::Probe));
        assert_eq!(read::<ToWorker>(&mut there).expect("read"), Some(ToWorker::Probe));
        assert_eq!(read::<ToWorker>(&mut there).expect("read"), None);
    }

    #[test]
    fn a_frame_of_four_gigabytes_is_refused_before_its_bytes_are_awaited() {
        let mut frames = Frames { buffer: vec![0xff; 4] };
        assert!(matches!(frames.take::<FromWorker>(), Err(FrameError::TooLong(_))));
        assert!(matches!(
            read::<FromWorker>(&mut [0xff_u8; 9].as_slice()),
            Err(FrameError::TooLong(_))
        ));
    }

    #[test]
    fn bad_json_and_unknown_messages_are_refused() {
        for body in ["{", "{}", r#"{"message":"surprise"}"#, "[1]", ""] {
            let mut bytes = u32::try_from(body.len()).expect("short").to_be_bytes().to_vec();
            bytes.extend(body.as_bytes());
            let mut frames = Frames { buffer: bytes };
            assert!(
                matches!(frames.take::<FromWorker>(), Err(FrameError::Json(_))),
                "{body}"
            );
        }
    }

    #[test]
    fn a_frame_that_comes_byte_by_byte_is_taken_once_and_one_that_is_cut_off_is_an_error() {
        let bytes = encode(&FromWorker::Done).expect("encode");
        let mut frames = Frames::default();
        for (at, byte) in bytes.iter().enumerate() {
            assert!(frames.take::<FromWorker>().expect("so far").is_none(), "{at}");
            frames.buffer.push(*byte);
        }
        assert_eq!(frames.take::<FromWorker>().expect("whole"), Some(FromWorker::Done));
        assert!(frames.is_empty());
        assert!(matches!(
            read::<FromWorker>(&mut &bytes[..bytes.len() - 1]),
            Err(FrameError::CutOff)
        ));
    }
}
