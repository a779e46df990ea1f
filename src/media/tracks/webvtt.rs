//! Subtitles of `WebM`. The muxer does not know them: it is told that they are of another sort, and what it writes about
//! them is put right afterwards.

/// What says that a track is one of these; as long as the true name of their codec and more.
pub const MARK: [u8; 32] = *b"WebVTT, to be named afterwards. ";

/// What players know them by.
pub const CODEC: &[u8] = b"D_WEBVTT/SUBTITLES";

/// What the muxer is told that they are.
pub fn caps() -> gst::Caps {
    gst::Caps::builder("application/x-ass")
        .field("codec_data", gst::Buffer::from_slice(MARK))
        .build()
}

/// A packet: no identifier, no settings, the text.
pub fn packet(text: &str) -> String {
    format!("\n\n{text}")
}
