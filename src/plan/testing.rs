//! Media for tests.

use std::time::Duration;

use super::{AudioStream, Colour, MediaInfo, StreamInfo, StreamKind, VideoStream};

/// A film of this size at 25 frames a second.
pub fn film(width: u32, height: u32) -> VideoStream {
    VideoStream {
        width,
        height,
        fps: (25, 1),
        pixel_aspect: (1, 1),
        depth: 8,
        interlaced: false,
        rotation: 0,
        is_image: false,
        colour: Colour::default(),
    }
}

/// A stream of this kind.
pub fn stream(kind: StreamKind) -> StreamInfo {
    StreamInfo {
        index: 0,
        codec: "some codec".to_owned(),
        format: String::new(),
        duration: None,
        bitrate: None,
        language: None,
        kind,
    }
}

/// A video stream.
pub fn video(film: VideoStream) -> StreamInfo {
    stream(StreamKind::Video(film))
}

/// An audio stream.
pub fn audio(channels: u32, rate: u32) -> StreamInfo {
    stream(StreamKind::Audio(AudioStream { channels, rate }))
}

/// A medium of ten seconds with these streams.
pub fn media(streams: Vec<StreamInfo>) -> MediaInfo {
    MediaInfo {
        container: "Quicktime".to_owned(),
        size: 1000,
        duration: Some(Duration::from_secs(10)),
        bitrate: None,
        seekable: true,
        streams,
        tags: Vec::new(),
        chapters: Vec::new(),
    }
}
