//! Says why an input is no medium that can be worked on.

use super::failure;
use super::source::{Input, is_text};
use crate::job::{ErrorKind, Failure};

/// What an error means that came before the first packet.
pub fn describe_error(error: &gst::message::Error, container: Option<&gst::Caps>, input: &Input) -> Failure {
    let unknown = [gst::StreamError::TypeNotFound, gst::StreamError::WrongType]
        .into_iter()
        .any(|kind| error.error().matches(kind));
    let media = container.and_then(|caps| caps.structure(0)).is_some_and(|s| {
        let name = s.name().as_str();
        name.starts_with("video/") || name.starts_with("audio/") || name.starts_with("application/x-id3")
    });
    if unknown && !media {
        not_media(container, input)
    } else {
        failure::from_message(error)
    }
}

/// There is nothing in it that could be worked on, whatever it is.
pub fn not_media(container: Option<&gst::Caps>, input: &Input) -> Failure {
    match container
        .and_then(|caps| caps.structure(0))
        .map(gst::StructureRef::name)
    {
        Some(name) if name.starts_with("video/") || name.starts_with("audio/") => Failure::new(
            ErrorKind::Corrupt,
            format!("the medium is damaged beyond use: it looks like {name}, but no packet was found in it"),
        ),
        Some(name) => Failure::new(
            ErrorKind::Unsupported,
            format!("this is not a media file that Reelmill knows: it looks like {name}"),
        ),
        None if is_text(input) => Failure::new(
            ErrorKind::Unsupported,
            "this is not a media file that Reelmill knows: it looks like text/plain",
        ),
        None => Failure::new(ErrorKind::Corrupt, "this is not a media file that Reelmill knows"),
    }
}
