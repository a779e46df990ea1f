//! From GStreamer's error messages to failures that a person understands.

use gst::prelude::*;

use crate::job::{ErrorKind, Failure};

/// What an error on the bus means for the run or the task.
pub fn from_message(message: &gst::message::Error) -> Failure {
    let element = message
        .src()
        .and_then(|source| source.downcast_ref::<gst::Element>())
        .and_then(gst::Element::factory);
    let klass = element
        .as_ref()
        .and_then(|factory| factory.metadata("klass").map(str::to_owned))
        .unwrap_or_default();
    let name = element.map_or_else(|| "the pipeline".to_owned(), |factory| factory.name().to_string());
    let debug = message.debug().map(|text| text.to_string()).unwrap_or_default();
    from_error(&message.error(), &debug, &name, &klass)
}

fn from_error(error: &gst::glib::Error, debug: &str, element: &str, klass: &str) -> Failure {
    let said = plain(error.message());
    if debug.contains("File too large") {
        return Failure::new(
            ErrorKind::NoSpace,
            "the file grew beyond the room that there was for it",
        );
    }
    if error.matches(gst::ResourceError::NoSpaceLeft) || debug.contains("No space left on device") {
        return Failure::new(ErrorKind::NoSpace, "no space is left where results are written");
    }
    if error.matches(gst::CoreError::MissingPlugin) || error.matches(gst::StreamError::CodecNotFound) {
        return Failure::new(
            ErrorKind::Unsupported,
            format!("there is no decoder for this medium: {said}"),
        );
    }
    if error.matches(gst::StreamError::NotImplemented) {
        return Failure::new(ErrorKind::Unsupported, said);
    }
    let reads = ["Demux", "Decoder", "Parser", "Depayloader"]
        .iter()
        .any(|word| klass.contains(word));
    let damaged = [
        gst::StreamError::TypeNotFound,
        gst::StreamError::WrongType,
        gst::StreamError::Decode,
        gst::StreamError::Demux,
        gst::StreamError::Format,
    ]
    .into_iter()
    .any(|kind| error.matches(kind));
    let encodes = klass.contains("Encoder") || klass.contains("Muxer") || klass.contains("Sink");
    if !encodes && (damaged || reads) {
        return Failure::new(
            ErrorKind::Corrupt,
            format!("the medium is damaged beyond use: {said} ({element})"),
        );
    }
    if error.matches(gst::ResourceError::Read) {
        return Failure::new(ErrorKind::Io, said);
    }
    let detail = plain(debug.lines().last().unwrap_or(""));
    Failure::new(
        ErrorKind::Pipeline,
        format!("{element} failed: {said} {detail}").trim_end().to_owned(),
    )
}

/// Text without control characters and of bounded length.
pub fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}

/// A failure of the program's own making.
pub fn internal(what: impl std::fmt::Display) -> Failure {
    Failure::new(ErrorKind::Internal, what.to_string())
}

/// What failed to be written.
pub fn writing(file: &str, error: &std::io::Error) -> Failure {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        _ => ErrorKind::Io,
    };
    Failure::new(kind, format!("{file} cannot be written: {error}"))
}

/// An element by its factory's name.
pub fn element(factory: &str) -> Result<gst::Element, Failure> {
    gst::ElementFactory::make(factory).build().map_err(|_| {
        Failure::new(
            ErrorKind::Unsupported,
            format!("GStreamer's element {factory} is not installed or not allowed"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(error: &gst::glib::Error, debug: &str, klass: &str) -> ErrorKind {
        from_error(error, debug, "element", klass).kind
    }

    #[test]
    fn errors_become_the_kinds_that_decide_about_retries() {
        use gst::glib::Error;
        assert_eq!(
            kind(&Error::new(gst::ResourceError::NoSpaceLeft, "x"), "", "Sink/File"),
            ErrorKind::NoSpace
        );
        assert_eq!(
            kind(
                &Error::new(gst::ResourceError::Write, "x"),
                "system error: No space left on device",
                "Codec/Muxer"
            ),
            ErrorKind::NoSpace
        );
        assert_eq!(
            kind(&Error::new(gst::StreamError::TypeNotFound, "x"), "", "Generic"),
            ErrorKind::Corrupt
        );
        assert_eq!(
            kind(&Error::new(gst::CoreError::MissingPlugin, "x"), "", "Generic"),
            ErrorKind::Unsupported
        );
        assert_eq!(
            kind(&Error::new(gst::StreamError::Failed, "x"), "", "Codec/Demuxer"),
            ErrorKind::Corrupt
        );
        assert_eq!(
            kind(&Error::new(gst::StreamError::Format, "x"), "", "Codec/Encoder/Video"),
            ErrorKind::Pipeline
        );
        assert_eq!(
            kind(&Error::new(gst::ResourceError::Read, "x"), "", "Source"),
            ErrorKind::Io
        );
    }
}
