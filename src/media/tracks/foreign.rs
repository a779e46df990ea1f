//! Subtitles that the muxer of Matroska does not know, or whose description it thinks too long. It is told that they are of a sort
//! of which it asks nothing, and what it writes about them is put right afterwards.

/// With this the description of that sort begins ...
const KATE: [u8; 8] = *b"\x80kate\0\0\0";

/// ... after the number of its parts, less one.
const ONE_PART: u8 = 0;

/// What players know `WebVTT` by.
pub const WEBVTT: &str = "D_WEBVTT/SUBTITLES";

/// What the muxer is told of subtitles that players know by this name, and what they are told of them.
pub fn caps(codec: &str, description: &[u8]) -> gst::Caps {
    let told = [&KATE[..], codec.as_bytes(), &[0], description].concat();
    let parts = gst::Array::new([gst::Buffer::from_mut_slice(told)]);
    gst::Caps::builder("subtitle/x-kate")
        .field("streamheader", parts)
        .build()
}

/// The true name of a codec and its description, as the muxer wrote them; none of one that it knows.
pub fn named(private: &[u8]) -> Option<(&[u8], &[u8])> {
    let told = private.strip_prefix(&[ONE_PART])?.strip_prefix(&KATE)?;
    let end = told.iter().position(|byte| *byte == 0)?;
    Some((&told[..end], &told[end + 1..]))
}
