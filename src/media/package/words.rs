//! Text subtitles as WebVTT, whole and in segments.

use std::fmt::Write as _;
use std::time::Duration;

/// What is shown from one time to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cue {
    /// When it appears.
    pub start: Duration,
    /// When it is gone.
    pub end: Duration,
    /// As WebVTT has it; see [`text`].
    pub text: String,
}

/// What a cue may hold of what a medium has: marks for bold, italic and underlined, entities, and lines that are not empty.
#[must_use]
pub fn text(source: &str, marked_up: bool) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let tag = rest.find('>').filter(|_| marked_up && first == '<');
        if let Some(end) = tag {
            let tag = &rest[..=end];
            if ["<b>", "</b>", "<i>", "</i>", "<u>", "</u>"].contains(&tag) {
                out.push_str(tag);
            }
            rest = &rest[end + 1..];
            continue;
        }
        match first {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' if !marked_up || !is_entity(rest) => out.push_str("&amp;"),
            '\n' => out.push('\n'),
            first if first.is_control() => {}
            first => out.push(first),
        }
        rest = &rest[first.len_utf8()..];
    }
    let lines = out.lines().map(str::trim_end).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

fn is_entity(text: &str) -> bool {
    ["&amp;", "&lt;", "&gt;"].iter().any(|known| text.starts_with(known))
}

/// A file of the cues that are seen between these times. Times are those of the medium; `clock` is what the stream's clock shows
/// at its beginning, in ticks of 90 kHz, where a player is to be told.
#[must_use]
pub fn file(cues: &[Cue], from: Duration, to: Duration, clock: Option<u64>) -> String {
    let mut out = "WEBVTT\n".to_owned();
    if let Some(clock) = clock {
        let _ = writeln!(out, "X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:{clock}");
    }
    for cue in cues.iter().filter(|cue| cue.start < to && cue.end > from) {
        let _ = write!(out, "\n{} --> {}\n{}\n", time(cue.start), time(cue.end), cue.text);
    }
    out
}

fn time(time: Duration) -> String {
    let millis = time.as_millis();
    let (seconds, millis) = (millis / 1000, millis % 1000);
    format!(
        "{:02}:{:02}:{:02}.{millis:03}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keep_what_webvtt_knows_and_nothing_that_would_end_a_cue() {
        let marked = |source| text(source, true);
        assert_eq!(
            marked("<i>one</i>\n\n<span color=\"red\">two</span>"),
            "<i>one</i>\ntwo"
        );
        assert_eq!(marked("R&amp;D & 1 < 2"), "R&amp;D &amp; 1 &lt; 2");
        assert_eq!(marked("a --> b\r\n"), "a --&gt; b");
        assert_eq!(text("<b>plain</b> &amp;", false), "&lt;b&gt;plain&lt;/b&gt; &amp;amp;");
    }

    #[test]
    fn a_cue_stands_in_every_segment_in_which_it_is_seen() {
        let seconds = Duration::from_secs;
        let cues = [Cue {
            start: seconds(3),
            end: seconds(5),
            text: "hello".to_owned(),
        }];
        let part = |from, to| file(&cues, seconds(from), seconds(to), Some(0));
        let with = "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:0\n\n00:00:03.000 --> 00:00:05.000\nhello\n";
        assert_eq!(part(0, 4), with);
        assert_eq!(part(4, 8), with);
        assert!(!part(5, 8).contains("hello"));
        assert_eq!(time(Duration::from_millis(3_661_001)), "01:01:01.001");
    }
}
