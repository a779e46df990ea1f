//! What a terminal can take: texts from elsewhere made harmless, their width in columns, cutting and wrapping.
//!
//! Keys, tags of media, messages of failures and names of rules are written by strangers. Whatever reaches a
//! terminal goes through [`tame`]; JSON does not, since it has its own escapes.

use unicode_width::UnicodeWidthChar;

/// A text from elsewhere on one line, so that it can neither steer the terminal nor pass for another text: controls,
/// marks that turn the direction of writing, and characters that cannot be seen are spelled out as `\u{1b}`.
pub fn tame(text: &str) -> String {
    let mut tamed = String::with_capacity(text.len());
    let mut before = None;
    for c in text.chars() {
        if is_shown(c, before) {
            tamed.push(c);
        } else {
            tamed.extend(c.escape_default());
        }
        before = Some(c);
    }
    tamed
}

/// The same for a text that keeps its lines and its length in bytes, so that places in it stay true: what would be
/// spelled out is replaced.
pub fn tame_in_place(text: &str) -> String {
    let mut tamed = String::with_capacity(text.len());
    let mut before = None;
    for c in text.chars() {
        if is_shown(c, before) || matches!(c, '\n' | '\r' | '\t') {
            tamed.push(c);
        } else {
            tamed.push_str(match c.len_utf8() {
                1 => "?",
                2 => "??",
                3 => "\u{fffd}",
                _ => "\u{fffd}?",
            });
        }
        before = Some(c);
    }
    tamed
}

fn is_shown(c: char, before: Option<char>) -> bool {
    match c {
        // Joiners belong to the writing of some languages, and to nothing else.
        '\u{200c}' | '\u{200d}' => before.is_some_and(joins),
        // The choice between the shapes of a sign, where there is such a choice.
        '\u{fe0e}' | '\u{fe0f}' => before.is_some_and(|c| matches!(u32::from(c), 0x203c..=0x3299 | 0x1f000..=0x1faff)),
        _ => !(c.is_control() || is_unseen(c)),
    }
}

/// Letters of Arabic, Syriac and the scripts of India and its neighbours.
fn joins(c: char) -> bool {
    matches!(u32::from(c), 0x0600..=0x07ff | 0x0860..=0x0dff | 0x1000..=0x109f | 0x1780..=0x17ff | 0xfb50..=0xfdff)
}

/// Characters that show nothing, or turn the direction of what follows.
fn is_unseen(c: char) -> bool {
    matches!(
        u32::from(c),
        0x00ad | 0x034f | 0x061c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f
            | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x2800 | 0x3164
            | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
            | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff
    )
}

/// Columns that a text takes on a terminal.
pub fn columns(text: &str) -> usize {
    text.chars().map(column).sum()
}

fn column(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// Each character together with the marks that stand on it.
fn signs(text: &str) -> Vec<(&str, usize)> {
    let mut signs: Vec<(usize, usize, usize)> = Vec::new();
    for (at, c) in text.char_indices() {
        match (column(c), signs.last_mut()) {
            (0, Some(last)) => last.1 = at + c.len_utf8(),
            (width, _) => signs.push((at, at + c.len_utf8(), width)),
        }
    }
    signs
        .into_iter()
        .map(|(start, end, width)| (&text[start..end], width))
        .collect()
}

/// A text within so many columns, cut in the middle: names differ at their end, and extensions stand there.
pub fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let (head, tail) = (room.div_ceil(2), room / 2);
    let signs = signs(text);
    let head = fitting(signs.iter(), head);
    let tail = fitting(signs.iter().rev(), tail);
    let mut cut: String = head.into_iter().collect();
    if width > 0 {
        cut.push('…');
    }
    cut.extend(tail.into_iter().rev());
    cut
}

/// A sentence within so many columns: the end goes.
pub fn cut_end(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let signs = signs(text);
    let mut cut: String = fitting(signs.iter(), width.saturating_sub(1)).into_iter().collect();
    cut.truncate(cut.trim_end().len());
    if width > 0 {
        cut.push('…');
    }
    cut
}

fn fitting<'a>(signs: impl Iterator<Item = &'a (&'a str, usize)>, mut room: usize) -> Vec<&'a str> {
    let mut taken = Vec::new();
    for (sign, width) in signs {
        let Some(left) = room.checked_sub(*width) else { break };
        room = left;
        taken.push(*sign);
    }
    taken
}

/// A text padded with spaces to so many columns.
pub fn pad(text: &str, width: usize) -> String {
    let room = width.saturating_sub(columns(text));
    format!("{text}{}", " ".repeat(room))
}

/// A text broken between words into lines of at most `width` columns after a `lead` of its own; further lines stand
/// below the first word. A word that is longer than a line stays whole, so that it can be copied.
pub fn wrap(lead: &str, text: &str, width: Option<usize>) -> Vec<String> {
    let indent = columns(lead);
    let Some(room) = width.map(|width| width.saturating_sub(indent).max(20)) else {
        return vec![format!("{lead}{text}")];
    };
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && columns(&line) + 1 + columns(word) > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    let below = " ".repeat(indent);
    lines
        .iter()
        .enumerate()
        .map(|(at, line)| format!("{}{line}", if at == 0 { lead } else { &below }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_steer_the_terminal_or_hide_anything() {
        for (text, shown) in [
            ("a\x1b[31mb\nc\r\td", "a\\u{1b}[31mb\\nc\\r\\td"),
            ("\u{9b}2J\u{7f}\0", "\\u{9b}2J\\u{7f}\\u{0}"),
            ("x\u{202e}4pm.exe\u{2066}", "x\\u{202e}4pm.exe\\u{2066}"),
            (
                "pay\u{200b}pal\u{feff}\u{ad}\u{3164}",
                "pay\\u{200b}pal\\u{feff}\\u{ad}\\u{3164}",
            ),
            ("a\u{200d}b\u{e0041}", "a\\u{200d}b\\u{e0041}"),
            ("grüße 你好 e\u{301} ❤\u{fe0f}", "grüße 你好 e\u{301} ❤\u{fe0f}"),
            // Persian and Hindi are not written without joiners.
            ("می\u{200c}خواهم क\u{94d}\u{200d}ष", "می\u{200c}خواهم क\u{94d}\u{200d}ष"),
        ] {
            assert_eq!(tame(text), shown);
            assert_eq!(tame(shown), shown, "once is enough");
        }
    }

    #[test]
    fn a_text_that_is_tamed_in_place_keeps_its_lines_and_places() {
        let text = "a\x1b[2J\nb\u{202e}\u{9b}\u{e0041}\tc";
        let tamed = tame_in_place(text);
        assert_eq!(tamed.len(), text.len());
        assert_eq!(tamed, "a?[2J\nb\u{fffd}??\u{fffd}?\tc");
    }

    #[test]
    fn a_cut_never_exceeds_its_width_and_parts_no_mark_from_its_letter() {
        for text in [
            "plain text that is long",
            "你好你好你好你好你好你好",
            "e\u{301}e\u{301}e\u{301}abcdefghijklmnopqrst",
            "🎬🎬🎬🎬🎬🎬🎬🎬🎬🎬🎬🎬",
        ] {
            for width in 0..20 {
                for cut in [cut(text, width), cut_end(text, width)] {
                    assert!(columns(&cut) <= width, "{text} in {width}: {cut}");
                }
            }
        }
        assert_eq!(cut("e\u{301}e\u{301}e\u{301}xyz", 4), "e\u{301}e\u{301}…z");
        assert_eq!(cut("2026-holiday-raw.mov", 11), "2026-…w.mov");
        assert_eq!(cut_end("a few words too many", 12), "a few words…");
        assert_eq!(cut("short", 5), "short");
    }

    #[test]
    fn wide_characters_take_two_columns_and_marks_none() {
        assert_eq!(columns("日本"), 4);
        assert_eq!(columns("e\u{301}"), 1);
        assert_eq!(columns("🎬"), 2);
        assert_eq!(pad("日本", 6), "日本  ");
    }

    #[test]
    fn sentences_are_broken_between_words_and_long_names_are_not() {
        let lines = wrap("why  ", "the disk is full and nothing can be written", Some(30));
        assert_eq!(lines, ["why  the disk is full and", "     nothing can be written"]);
        let name = "/srv/media/a-very-long-name-that-does-not-fit.mp4";
        assert_eq!(
            wrap("at ", &format!("in {name}"), Some(24)),
            ["at in".to_owned(), format!("   {name}")]
        );
        assert_eq!(wrap("at ", "a b", None), ["at a b"]);
    }
}
