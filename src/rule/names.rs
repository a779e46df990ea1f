//! Names of outputs: templates such as `{stem}_{task}.{ext}`.
//!
//! A name made here never leaves the output directory, has no segment longer than a file system takes, never is
//! the source's own, and is the same whenever it is made of the same values. Names are bytes: a stem need not be UTF-8.
//!
//! Without a template an output is called `{stem}_{task}.{ext}`, with `_{n}` or `_{rendition}` where a task
//! makes several. The path below the trigger's directory is put in front, unless the template says `{dir}` itself.
//! What has no value (`{width}` of a sound file) is left out.

use std::fmt;

use jiff::civil::Date;
use sha2::{Digest, Sha256};

use super::{Rule, TaskId};
use crate::job::JobId;
use crate::object::{InvalidName, ObjectKey};

/// The longest segment of a path in bytes that file systems take.
pub const MAX_SEGMENT_LEN: usize = 255;

/// A checked name template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// As written.
    pub text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field, usize),
}

/// What a template can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Stem,
    Ext,
    Dir,
    Name,
    Rule,
    Task,
    Rendition,
    Number,
    Width,
    Height,
    Date,
    Job,
}

const FIELDS: [(&str, Field); 12] = [
    ("stem", Field::Stem),
    ("ext", Field::Ext),
    ("dir", Field::Dir),
    ("name", Field::Name),
    ("rule", Field::Rule),
    ("task", Field::Task),
    ("rendition", Field::Rendition),
    ("n", Field::Number),
    ("width", Field::Width),
    ("height", Field::Height),
    ("date", Field::Date),
    ("job", Field::Job),
];

const RELATIVE: &str = "a path is relative to the output directory and stays in it";

/// What is wrong with a template, and at which byte of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// Counted from the start of the template.
    pub at: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TemplateError {}

/// What the fields of a template stand for.
#[derive(Debug, Clone, Copy)]
pub struct NameValues<'v> {
    /// `{stem}`: the source's file name without its extension.
    pub stem: &'v [u8],
    /// `{ext}`, without a dot.
    pub ext: &'v [u8],
    /// `{dir}`: the path below the trigger's directory, without a closing `/`.
    pub dir: &'v [u8],
    /// `{rule}`
    pub rule: &'v str,
    /// `{task}`
    pub task: &'v str,
    /// `{rendition}`
    pub rendition: Option<&'v str>,
    /// `{n}`: which one, from 1, of how many.
    pub number: Option<(u32, u32)>,
    /// `{width}` and `{height}`.
    pub size: Option<(u32, u32)>,
    /// `{date}`: when the job was created.
    pub date: Date,
    /// `{job}`
    pub job: &'v str,
}

impl Template {
    /// Takes a template.
    ///
    /// # Errors
    /// Unknown fields, braces without a partner, and paths that would leave the output directory.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let error = |at: usize, message: &str, help: &str| TemplateError {
            at,
            message: message.to_owned(),
            help: help.to_owned(),
        };
        let mut segment_start = 0;
        for segment in text.split('/') {
            match segment {
                "" if text.is_empty() => {
                    return Err(error(0, "the path is empty", "for example \"{stem}/{name}\""));
                }
                "" => {
                    return Err(error(segment_start, "the path has an empty segment", RELATIVE));
                }
                "." | ".." => {
                    return Err(error(segment_start, "the path has a '.' or '..' segment", RELATIVE));
                }
                _ => segment_start += segment.len() + 1,
            }
        }
        if let Some(at) = text.find(char::is_control) {
            return Err(error(at, "the path has a control character", RELATIVE));
        }
        let mut parts = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            if let Some(inner) = rest.strip_prefix('{') {
                let Some(end) = inner.find('}') else {
                    return Err(error(at, "a '{' without its '}'", "fields read {stem}"));
                };
                parts.push(Self::field(&inner[..end], at)?);
                at += end + 2;
            } else if rest.starts_with('}') {
                return Err(error(at, "a '}' without its '{'", "fields read {stem}"));
            } else {
                let end = rest.find(['{', '}']).unwrap_or(rest.len());
                parts.push(Part::Text(rest[..end].to_owned()));
                at += end;
            }
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    fn field(inner: &str, at: usize) -> Result<Part, TemplateError> {
        let (word, width) = inner
            .split_once(':')
            .map_or((inner, None), |(word, width)| (word, Some(width)));
        let Some((_, field)) = FIELDS.iter().find(|(name, _)| *name == word) else {
            let names = FIELDS.iter().map(|(name, _)| *name);
            let help = if let Some(meant) = crate::diagnostic::did_you_mean(word, names.clone()) {
                format!("did you mean {{{meant}}}?")
            } else {
                let all: Vec<_> = names.map(|name| format!("{{{name}}}")).collect();
                format!("fields are {}", all.join(" "))
            };
            return Err(TemplateError {
                at,
                message: format!("{{{inner}}} is no field of a name"),
                help,
            });
        };
        let width = match (field, width) {
            (_, None) => 0,
            (Field::Number, Some(width)) => width
                .strip_prefix('0')
                .and_then(|digits| digits.parse().ok())
                .filter(|digits| (1..=9).contains(digits))
                .ok_or_else(|| TemplateError {
                    at,
                    message: format!("{{{inner}}} has no width"),
                    help: "a width reads {n:03}, with 1 to 9 digits".to_owned(),
                })?,
            (_, Some(_)) => {
                return Err(TemplateError {
                    at,
                    message: format!("{{{inner}}} takes no width"),
                    help: "only {n} has one: {n:03}".to_owned(),
                });
            }
        };
        Ok(Part::Field(*field, width))
    }

    fn names(&self, wanted: Field) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, Part::Field(field, _) if *field == wanted))
    }

    /// The path below the output directory.
    ///
    /// # Errors
    /// Where it would be longer than a key can be, or nothing is left of it.
    pub fn render(&self, values: &NameValues<'_>) -> Result<ObjectKey, InvalidName> {
        let mut path = Vec::new();
        if !self.names(Field::Dir) {
            path.extend_from_slice(values.dir);
            path.push(b'/');
        }
        for part in &self.parts {
            match part {
                Part::Text(text) => path.extend_from_slice(text.as_bytes()),
                Part::Field(field, width) => field.put(*width, values, &mut path),
            }
        }
        ObjectKey::new(harmless(&path))
    }
}

impl Field {
    fn put(self, width: usize, values: &NameValues<'_>, path: &mut Vec<u8>) {
        let size = |pick: fn((u32, u32)) -> u32| values.size.map_or(String::new(), |size| pick(size).to_string());
        let text = match self {
            Self::Stem => return path.extend_from_slice(values.stem),
            Self::Ext => return path.extend_from_slice(values.ext),
            Self::Dir => return path.extend_from_slice(values.dir),
            Self::Name => return path.extend_from_slice(&default_name(values)),
            Self::Rule => values.rule.to_owned(),
            Self::Task => values.task.to_owned(),
            Self::Rendition => values.rendition.unwrap_or_default().to_owned(),
            Self::Number => format!("{:0width$}", values.number.map_or(1, |(index, _)| index)),
            Self::Width => size(|(width, _)| width),
            Self::Height => size(|(_, height)| height),
            Self::Date => values.date.to_string(),
            Self::Job => values.job.to_owned(),
        };
        path.extend_from_slice(text.as_bytes());
    }
}

/// `{stem}_{task}.{ext}`, with the number or rendition where there are several.
fn default_name(values: &NameValues<'_>) -> Vec<u8> {
    let mut name = [values.stem, b"_", values.task.as_bytes()].concat();
    if let Some(rendition) = values.rendition {
        name.extend_from_slice(format!("_{rendition}").as_bytes());
    }
    if let Some((index, count)) = values.number
        && count > 1
    {
        name.extend_from_slice(format!("_{index}").as_bytes());
    }
    if !values.ext.is_empty() {
        name.push(b'.');
        name.extend_from_slice(values.ext);
    }
    name
}

/// Drops empty segments, and replaces those that would climb.
fn harmless(path: &[u8]) -> Vec<u8> {
    path.split(|b| *b == b'/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| match segment {
            b"." => &b"_"[..],
            b".." => b"__",
            other => other,
        })
        .collect::<Vec<_>>()
        .join(&b'/')
}

/// One output that needs a name.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'w> {
    /// The task that makes it.
    pub task: &'w TaskId,
    /// The source.
    pub object: &'w ObjectKey,
    /// Of the output, without a dot; the source's own for a copy.
    pub ext: &'w [u8],
    /// Which one, from 1, of how many, where the task makes a list of outputs.
    pub number: Option<(u32, u32)>,
    /// Which form, where the task makes several.
    pub rendition: Option<&'w str>,
    /// Of the picture in pixels.
    pub size: Option<(u32, u32)>,
    /// When the job was created.
    pub date: Date,
    /// For whom.
    pub job: &'w JobId,
}

/// The key of an output in the rule's output bucket.
///
/// A file name that would be too long is shortened at its stem, which then ends in `~` and eight digits of a hash
/// of the source's key.
///
/// # Errors
/// Where the whole key would be too long, or the output would take the place of its source.
pub fn output_key(rule: &Rule, wanted: &Wanted<'_>) -> Result<ObjectKey, InvalidName> {
    let (base, dir) = place(rule, wanted.object);
    let default = Template {
        text: "{name}".to_owned(),
        parts: vec![Part::Field(Field::Name, 0)],
    };
    let template = rule.output.path.as_ref().unwrap_or(&default);
    let values = NameValues {
        stem: wanted.object.stem(),
        ext: wanted.ext,
        dir,
        rule: rule.name.as_str(),
        task: wanted.task.as_str(),
        rendition: wanted.rendition,
        number: wanted.number,
        size: wanted.size,
        date: wanted.date,
        job: wanted.job.as_str(),
    };
    let whole = wanted.object.stem();
    let mark = mark(wanted.object.as_bytes());
    let mut keep = whole.len();
    let mut short = whole.to_vec();
    let bare = template.render(&NameValues { stem: b"", ..values })?;
    let path = loop {
        let path = template.render(&NameValues { stem: &short, ..values })?;
        let over = longest_beside(path.as_bytes(), bare.as_bytes()).saturating_sub(MAX_SEGMENT_LEN);
        if over == 0 || keep == 0 {
            break path;
        }
        keep = keep.saturating_sub(if keep == whole.len() { over + mark.len() } else { over });
        short = [cut(whole, keep), mark.as_bytes()].concat();
    };
    below(rule, base, &short_segments(path.as_bytes()), wanted.object)
}

/// The key of the note about a failure: `FILE.failed.txt` in the output directory.
///
/// # Errors
/// As for [`output_key`].
pub fn note_key(rule: &Rule, object: &ObjectKey) -> Result<ObjectKey, InvalidName> {
    const ENDING: &[u8] = b".failed.txt";
    let (base, dir) = place(rule, object);
    let name = object.file_name();
    let name = if name.len() + ENDING.len() > MAX_SEGMENT_LEN {
        let mark = mark(object.as_bytes());
        let keep = MAX_SEGMENT_LEN - ENDING.len() - mark.len();
        [cut(name, keep), mark.as_bytes(), ENDING].concat()
    } else {
        [name, ENDING].concat()
    };
    let path = harmless(&[dir, b"/", &name].concat());
    below(rule, base, &short_segments(&path), object)
}

/// The directory of results, and the path of the object below the trigger's directory.
fn place<'r>(rule: &'r Rule, object: &'r ObjectKey) -> (&'r [u8], &'r [u8]) {
    let own = object.directory();
    let trigger = rule.trigger.directory.as_str().as_bytes();
    let (inside, dir) = match own.strip_prefix(trigger) {
        Some(dir) => (trigger, dir),
        None => (&b""[..], own),
    };
    let base = match &rule.output.directory {
        Some(directory) => directory.as_str().as_bytes(),
        None => inside,
    };
    (base, dir.strip_suffix(b"/").unwrap_or(dir))
}

fn below(rule: &Rule, base: &[u8], path: &[u8], object: &ObjectKey) -> Result<ObjectKey, InvalidName> {
    let key = ObjectKey::new([base, path].concat())?;
    if rule.output.bucket == rule.trigger.bucket && &key == object {
        return Err(InvalidName("an output cannot take the place of its source"));
    }
    Ok(key)
}

/// The length of the longest segment that is another one in `bare`: a shorter stem makes no other segment shorter.
fn longest_beside(path: &[u8], bare: &[u8]) -> usize {
    let mut bare = bare.split(|b| *b == b'/');
    let beside = path
        .split(|b| *b == b'/')
        .filter(|segment| bare.next() != Some(segment));
    beside.map(<[u8]>::len).max().unwrap_or(0)
}

/// `~` and eight hexadecimal digits that tell this text from others.
fn mark(text: &[u8]) -> String {
    let hash = Sha256::digest(text);
    let digits = hash.iter().take(4).map(|byte| format!("{byte:02x}"));
    std::iter::once("~".to_owned()).chain(digits).collect()
}

/// At most `keep` bytes from the start, without half a character at the end.
fn cut(text: &[u8], keep: usize) -> &[u8] {
    let keep = keep.min(text.len());
    let goes_on = |at: usize| text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let end = (keep.saturating_sub(3)..=keep)
        .rev()
        .find(|at| !goes_on(*at))
        .unwrap_or(keep);
    &text[..end]
}

/// Segments that are too long for other reasons than their stem keep their start, a mark, and a short extension.
fn short_segments(path: &[u8]) -> Vec<u8> {
    let shorten = |segment: &[u8]| {
        if segment.len() <= MAX_SEGMENT_LEN {
            return segment.to_vec();
        }
        let dot = segment.iter().rposition(|b| *b == b'.').unwrap_or(0);
        let ending = if segment.len() - dot <= 17 {
            &segment[dot..]
        } else {
            b""
        };
        let mark = mark(segment);
        let keep = MAX_SEGMENT_LEN - ending.len() - mark.len();
        [cut(segment, keep), mark.as_bytes(), ending].concat()
    };
    path.split(|b| *b == b'/').map(shorten).collect::<Vec<_>>().join(&b'/')
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
