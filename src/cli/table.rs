//! A small table: columns as wide as they must be, the flexible one cut with `…` where the terminal ends.

use super::output::{self, Paint};

/// Rows of cells under headings.
pub struct Table {
    heads: Vec<&'static str>,
    /// Which column gives way.
    flexible: usize,
    /// Which column is coloured by the word in it.
    coloured: Option<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table; `flexible` is the column that gives way where there is no room.
    pub fn new(heads: &[&'static str], flexible: usize) -> Self {
        Self {
            heads: heads.to_vec(),
            flexible,
            coloured: None,
            rows: Vec::new(),
        }
    }

    /// Colours this column by the word that its cells hold.
    #[must_use]
    pub fn coloured(mut self, column: usize) -> Self {
        self.coloured = Some(column);
        self
    }

    /// Adds a row; cells are made harmless.
    pub fn row(&mut self, cells: &[String]) {
        self.rows.push(cells.iter().map(|cell| output::tame(cell)).collect());
    }

    /// Writes it to standard output.
    pub fn print(&self) {
        let paint = Paint::new();
        for line in self.lines(output::width(), &paint) {
            output::print(&line);
        }
    }

    /// The lines, cut to `limit` columns where there is a limit.
    fn lines(&self, limit: Option<usize>, paint: &Paint) -> Vec<String> {
        let mut widths: Vec<usize> = self.heads.iter().map(|head| columns(head)).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(columns(cell));
            }
        }
        let total = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        if let Some(over) = limit.and_then(|limit| total.checked_sub(limit)) {
            let width = &mut widths[self.flexible];
            *width = width.saturating_sub(over).max(8);
        }
        let heads: Vec<String> = self.heads.iter().map(|head| (*head).to_owned()).collect();
        let mut lines = vec![paint.bold(&line(&heads, &widths, |_, cell| cell))];
        for row in &self.rows {
            lines.push(line(row, &widths, |column, cell| {
                if self.coloured == Some(column) {
                    paint.state(&row[column], &cell)
                } else {
                    cell
                }
            }));
        }
        lines
    }
}

fn line(cells: &[String], widths: &[usize], finish: impl Fn(usize, String) -> String) -> String {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let cut = cut(cell, *width);
        let room = width.saturating_sub(columns(&cut));
        text.push_str(&finish(column, cut));
        if column + 1 < cells.len() {
            text.push_str(&" ".repeat(room + 2));
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// A text within so many columns; the end is kept, since names differ there and extensions stand there.
pub fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let (tail_room, mut head_room) = (width.saturating_sub(1) / 2, width.saturating_sub(1).div_ceil(2));
    let mut head = String::new();
    for c in text.chars() {
        let Some(left) = head_room.checked_sub(column(c)) else {
            break;
        };
        head_room = left;
        head.push(c);
    }
    let mut room = tail_room;
    let mut tail: Vec<char> = Vec::new();
    for c in text.chars().rev() {
        let Some(left) = room.checked_sub(column(c)) else {
            break;
        };
        room = left;
        tail.push(c);
    }
    let tail: String = tail.into_iter().rev().collect();
    format!("{head}…{tail}")
}

/// Columns that a text takes on a terminal.
pub fn columns(text: &str) -> usize {
    text.chars().map(column).sum()
}

/// Near enough for tables: marks take none, East Asian characters and pictures two, the rest one.
fn column(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f
        | 0x0483..=0x0489
        | 0x0591..=0x05bd
        | 0x064b..=0x065f
        | 0x1ab0..=0x1aff
        | 0x1dc0..=0x1dff
        | 0x200b..=0x200d
        | 0x20d0..=0x20ff
        | 0xfe00..=0xfe0f
        | 0xfe20..=0xfe2f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["ID", "OBJECT", "STATE"], 1).coloured(2);
        table.row(&["1".into(), "a/short.mp4".into(), "failed".into()]);
        table.row(&[
            "22".into(),
            "视频/a very long name of a film.mkv".into(),
            "queued".into(),
        ]);
        table.row(&["3".into(), "two\nlines".into(), "running".into()]);
        table
    }

    #[test]
    fn columns_line_up_also_under_wide_characters() {
        let lines = table().lines(None, &Paint::new()).join("\n");
        insta::assert_snapshot!(lines, @r"
        ID  OBJECT                               STATE
        1   a/short.mp4                          failed
        22  视频/a very long name of a film.mkv  queued
        3   two�lines                            running
        ");
    }

    #[test]
    fn the_flexible_column_gives_way_and_keeps_both_ends() {
        let lines = table().lines(Some(36), &Paint::new());
        for line in &lines {
            assert!(columns(line) <= 36, "{line:?}");
        }
        insta::assert_snapshot!(lines.join("\n"), @r#"
    ID  OBJECT                   STATE
    1   a/short.mp4              failed
    22  视频/a very… a film.mkv  queued
    3   two�lines                running
    "#);
    }

    #[test]
    fn a_cut_never_exceeds_its_width() {
        for width in 1..20 {
            for text in [
                "plain text that is long",
                "你好你好你好你好你好你好",
                "e\u{301}e\u{301}e\u{301}abcdefghijklmnopqrst",
            ] {
                assert!(columns(&cut(text, width)) <= width, "{text} in {width}");
            }
        }
    }
}
