//! Subtitles that are text, as files that people and players read: SubRip, WebVTT, Advanced SubStation.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::job::Failure;
use crate::media::branch::taker;
use crate::media::failure::writing;
use crate::plan::TakenAs;
use crate::rule::TextForm;

/// How long a line is shown of which nobody says.
const USUAL: Duration = Duration::from_secs(3);
/// A line is not longer.
const LONGEST: usize = 64 << 10;

/// A file of text with times, written while lines come.
pub struct TextFile {
    file: String,
    writing: Arc<Mutex<Lines>>,
}

struct Lines {
    out: BufWriter<File>,
    form: TakenAs,
    markup: bool,
    number: u64,
    error: Option<std::io::Error>,
}

impl TextFile {
    /// Opens the file; answers it and what takes the lines.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn new(file: &str, form: TakenAs, caps: &gst::CapsRef) -> Result<(Self, gst_app::AppSink), Failure> {
        let fields = caps.structure(0);
        let format = fields.and_then(|fields| fields.get::<&str>("format").ok());
        let header = fields.and_then(|fields| fields.get::<gst::Buffer>("codec_data").ok());
        let failed = |error| writing(file, &error);
        let mut out = BufWriter::new(File::create(file).map_err(failed)?);
        let head = match form {
            TakenAs::Text(TextForm::Vtt) => b"WEBVTT\n\n".to_vec(),
            TakenAs::Styled => styles(header.as_deref()),
            _ => Vec::new(),
        };
        out.write_all(&head).map_err(failed)?;
        let lines = Arc::new(Mutex::new(Lines {
            out,
            form,
            markup: format == Some("pango-markup"),
            number: 0,
            error: None,
        }));
        let taking = lines.clone();
        let sink = taker(move |sample| {
            let mut lines = taking.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.error.is_none()
                && let Err(error) = lines.take(&sample)
            {
                lines.error = Some(error);
            }
            Ok(())
        });
        let file = file.to_owned();
        Ok((Self { file, writing: lines }, sink))
    }

    /// Completes the file.
    ///
    /// # Errors
    /// Where it could not be written.
    pub fn finish(&self) -> Result<(), Failure> {
        let mut lines = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let done = lines.error.take().map_or(Ok(()), Err).and_then(|()| lines.out.flush());
        done.map_err(|error| writing(&self.file, &error))
    }
}

impl Lines {
    fn take(&mut self, sample: &gst::Sample) -> std::io::Result<()> {
        let Some((start, end, text)) = line(sample) else {
            return Ok(());
        };
        self.number += 1;
        match self.form {
            TakenAs::Styled => {
                if let Some(dialogue) = dialogue(&text, start, end) {
                    self.out.write_all(dialogue.as_bytes())?;
                }
            }
            TakenAs::Text(TextForm::Vtt) => {
                let text = without_gaps(&if self.markup {
                    tidied(&text, true)
                } else {
                    escaped(&text)
                });
                let (start, end) = (clock(start, '.'), clock(end, '.'));
                write!(self.out, "{start} --> {end}\n{text}\n\n")?;
            }
            _ => {
                let text = without_gaps(&if self.markup { tidied(&text, false) } else { text });
                let (start, end) = (clock(start, ','), clock(end, ','));
                write!(self.out, "{}\n{start} --> {end}\n{text}\n\n", self.number)?;
            }
        }
        Ok(())
    }
}

/// From when to when a line is shown, and its text.
fn line(sample: &gst::Sample) -> Option<(Duration, Duration, String)> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let buffer = sample.buffer()?;
    let start = Duration::from(segment.to_running_time(buffer.pts()?)?);
    let map = buffer.map_readable().ok()?;
    let bytes = map.as_slice();
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]);
    let text = text.trim_end_matches('\0').replace("\r\n", "\n").replace('\r', "\n");
    let length = buffer.duration().map_or(USUAL, Duration::from);
    Some((start, start + length, text))
}

/// `00:01:30,500`.
fn clock(at: Duration, point: char) -> String {
    let millis = (at.as_secs_f64() * 1000.0).round();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let millis = millis as u64;
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    format!(
        "{hours:02}:{minutes:02}:{:02}{point}{:03}",
        millis / 1000 % 60,
        millis % 1000
    )
}

/// Neither form may have an empty line within a text.
pub fn without_gaps(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join("\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Markup of Pango with what both forms know: italics, bold, underlined. Characters stay escaped where the form wants that.
pub fn tidied(text: &str, stay_escaped: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('>') else {
            rest = &rest[at..];
            break;
        };
        let tag = &rest[at..=at + end];
        if matches!(tag, "<i>" | "</i>" | "<b>" | "</b>" | "<u>" | "</u>") {
            out.push_str(tag);
        }
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    let out = out
        .replace("&apos;", "'")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&#34;", "\"");
    if stay_escaped {
        // Not everyone who writes markup escapes this one.
        let out = out.replace("&amp;", "&").replace('&', "&amp;");
        out.replace("&amp;lt;", "&lt;").replace("&amp;gt;", "&gt;")
    } else {
        out.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    }
}

/// The head of the file: what the container keeps of it, up to where lines begin.
fn styles(header: Option<&gst::BufferRef>) -> Vec<u8> {
    let map = header.and_then(|header| header.map_readable().ok());
    let text = map.map_or_else(String::new, |map| String::from_utf8_lossy(map.as_slice()).into_owned());
    let mut text = text.trim_end_matches(['\0', '\r', '\n']).replace("\r\n", "\n");
    if !text.contains("[Events]") {
        text.push_str("\n\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text");
    }
    text.push('\n');
    text.into_bytes()
}

/// A line of the file. In Matroska it begins with its number, and its times stand outside.
fn dialogue(packet: &str, start: Duration, end: Duration) -> Option<String> {
    let (_, rest) = packet.split_once(',')?;
    let (layer, rest) = rest.split_once(',')?;
    let time = |at: Duration| {
        let hundredths = at.as_millis().div_ceil(5) / 2;
        let (hours, minutes) = (hundredths / 360_000, hundredths / 6000 % 60);
        format!(
            "{hours}:{minutes:02}:{:02}.{:02}",
            hundredths / 100 % 60,
            hundredths % 100
        )
    };
    let text = rest.trim_end().replace('\n', "\\N");
    Some(format!("Dialogue: {layer},{},{},{text}\n", time(start), time(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_each_form_has_them() {
        let at = Duration::from_millis(5_025_678);
        assert_eq!(clock(at, ','), "01:23:45,678");
        assert_eq!(
            dialogue("4,0,Default,,0,0,0,,Hello, you", Duration::from_millis(1500), at).unwrap(),
            "Dialogue: 0,0:00:01.50,1:23:45.68,Default,,0,0,0,,Hello, you\n"
        );
        assert_eq!(dialogue("nothing", at, at), None);
    }

    #[test]
    fn only_what_both_forms_know_is_left_of_markup() {
        let text = "<span foreground=\"red\"><i>A &amp; B</i></span> &lt;x&gt; it&apos;s";
        assert_eq!(tidied(text, false), "<i>A & B</i> <x> it's");
        assert_eq!(tidied(text, true), "<i>A &amp; B</i> &lt;x&gt; it's");
        assert_eq!(tidied("open < end", false), "open < end");
        assert_eq!(tidied("A & B", true), "A &amp; B");
        assert_eq!(without_gaps("a \n\n\nb\n"), "a\nb");
    }
}
