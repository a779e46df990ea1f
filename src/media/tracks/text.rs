//! What a line of subtitles says, in the words of the form that it is written in.

use crate::media::extract::text::{tidied, without_gaps};
use crate::media::package::words;
use crate::plan::Lines;

/// How lines come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// As they are read.
    Plain,
    /// With tags and escaped characters.
    Markup,
    /// As Advanced `SubStation` has them in Matroska: fields, then text with overrides in braces.
    Styled,
}

/// What a line becomes; none where nothing is left to be read.
pub fn line(text: &str, source: Source, lines: Lines) -> Option<String> {
    let text = text.trim_end_matches('\0').replace("\r\n", "\n").replace('\r', "\n");
    let (text, markup) = match source {
        Source::Plain => (text, false),
        Source::Markup => (text, true),
        Source::Styled => (said(&text)?, false),
    };
    let text = if source != Source::Styled && matches!(lines, Lines::Vtt | Lines::Plain) {
        placed_nowhere(&text)
    } else {
        text
    };
    let text = match (lines, markup) {
        (Lines::Vtt, markup) => words::text(&text, markup),
        (Lines::Marked | Lines::Kept, true) => without_gaps(&tidied(&text, false)),
        (Lines::Plain, true) => without_gaps(&tidied(&bare(&text), false)),
        (_, false) => without_gaps(&text),
    };
    (!text.trim().is_empty()).then_some(text)
}

/// Without overrides in braces, `{\an8}`: many players of `SubRip` know them, and nobody else.
fn placed_nowhere(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{\\") {
        let Some((_, after)) = after.split_once('}') else {
            break;
        };
        out.push_str(before);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Without tags. What stands in their place as characters is escaped, and no tag.
fn bare(markup: &str) -> String {
    let mut out = String::with_capacity(markup.len());
    let mut rest = markup;
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        let Some((_, after)) = after.split_once('>') else {
            rest = &rest[before.len()..];
            break;
        };
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The words of a styled line; none of a drawing.
fn said(packet: &str) -> Option<String> {
    let text = packet.splitn(9, ',').nth(8)?;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((override_, after)) = after.split_once('}') else {
            break;
        };
        // Numbers that follow are points of a drawing.
        if override_.contains("\\p1") {
            return None;
        }
        out.push_str(before);
        rest = after;
    }
    out.push_str(rest);
    Some(out.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_the_same_in_every_form() {
        let styled = "4,0,Default,,0,0,0,,{\\i1}Hello,{\\i0} you\\Nthere {open";
        let marked = "<span size=\"9\"><i>A &amp; B</i></span> &lt;x&gt;\n\nC";
        let table: Vec<_> = [Lines::Marked, Lines::Plain, Lines::Vtt]
            .into_iter()
            .flat_map(|lines| {
                [
                    line(marked, Source::Markup, lines),
                    line("A & <b> B\r\n", Source::Plain, lines),
                    line(styled, Source::Styled, lines),
                ]
            })
            .map(|text| format!("{:?}", text.unwrap_or_default()))
            .collect();
        insta::assert_snapshot!(table.join("\n"), @r#"
        "<i>A & B</i> <x>\nC"
        "A & <b> B"
        "Hello, you\nthere {open"
        "A & B <x>\nC"
        "A & <b> B"
        "Hello, you\nthere {open"
        "<i>A &amp; B</i> &lt;x&gt;\nC"
        "A &amp; &lt;b&gt; B"
        "Hello, you\nthere {open"
        "#);
        assert_eq!(
            line("0,0,Default,,0,0,0,,{\\p1}m 0 0 l 9 9", Source::Styled, Lines::Plain),
            None
        );
        assert_eq!(line("<i> </i>", Source::Markup, Lines::Plain), None);
        for source in [Source::Plain, Source::Markup] {
            let said = |lines| line("{\\an8}{\\c&H0&}Up {x} {\\y", source, lines).unwrap();
            assert_eq!(said(Lines::Plain), "Up {x} {\\y");
            assert!(said(Lines::Vtt) == "Up {x} {\\y" && said(Lines::Marked).starts_with("{\\an8}"));
        }
        assert_eq!(line("nothing", Source::Styled, Lines::Plain), None);
    }
}
