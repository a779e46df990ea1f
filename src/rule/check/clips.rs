//! `head` and `tail` of a task that makes a film.

use super::or_default;
use crate::diagnostic::reader::{Table, Value};
use crate::rule::asset::Asset;
use crate::rule::{AudioSpec, Clips, Hdr, Track, Treatment, VideoSpec};

/// The most clips before, and the most after, a film.
const MOST: usize = 10;

/// How the names of pictures end.
const PICTURES: [&str; 9] = ["png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff", "svg"];

/// `head` and `tail`.
pub(super) fn clips(table: &mut Table<'_>) -> Option<Clips> {
    let head = or_default(table.get("head"), Vec::new(), several);
    let tail = or_default(table.get("tail"), Vec::new(), several);
    Some(Clips {
        head: head?,
        tail: tail?,
    })
}

/// One clip, or a list of them.
fn several(value: &Value<'_>) -> Option<Vec<Asset>> {
    if !value.is_list() {
        return clip(value).map(|one| vec![one]);
    }
    let values = value.list()?;
    if values.len() > MOST {
        value.key_error(
            format!("`{}` has {} entries", value.path, values.len()),
            format!("at most {MOST}"),
        );
        return None;
    }
    let read: Vec<_> = values.iter().map(clip).collect();
    read.into_iter().collect()
}

fn clip(value: &Value<'_>) -> Option<Asset> {
    let clip = value.asset()?;
    let ending = clip.extension();
    if PICTURES
        .iter()
        .any(|known| ending.eq_ignore_ascii_case(known.as_bytes()))
    {
        value.error(
            format!("`{}` is a picture, which does not say how long it is shown", value.path),
            "make a film of it, or lay it over the film with `overlay`",
        );
        return None;
    }
    Some(clip)
}

/// Those of the two that name a clip.
fn named<'a>(table: &mut Table<'a>) -> impl Iterator<Item = Value<'a>> {
    let has_some = |value: &Value<'_>| !value.is_list() || value.list().is_some_and(|all| !all.is_empty());
    let both = ["head", "tail"].map(|key| table.get(key).filter(has_some));
    both.into_iter().flatten()
}

/// Only what is encoded can be joined, and only to what every clip can be brought to.
pub(super) fn need_encoding(
    table: &mut Table<'_>,
    (video, audio): (Option<&Track<VideoSpec>>, Option<&Track<AudioSpec>>),
    treatment: Option<&Treatment>,
) {
    let copies = matches!(video, Some(Track::Copy)) || matches!(audio, Some(Track::Copy));
    let keeps = treatment.is_some_and(|treatment| treatment.hdr == Hdr::Keep);
    for value in named(table) {
        if copies {
            value.key_error(
                format!("`{}` cannot be joined to what is copied", value.path),
                "take it out, or let `video` and `audio` be encoded",
            );
        } else if keeps {
            value.key_error(
                format!(
                    "`{}` cannot be joined to a film that keeps its high dynamic range",
                    value.path
                ),
                "take it out, or `hdr = \"keep\"`",
            );
        }
    }
}
