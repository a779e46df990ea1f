//! A small table that fits the terminal: columns as wide as they must be; where there is no room, columns that may go
//! leave in the order that the table names, and those that may give way are cut in the middle.

use super::output::{self, Paint};
pub use super::terminal::columns;
use super::terminal::{cut, cut_end, pad, tame};

/// What the flexible column keeps as long as others can give way.
const COMFORT: usize = 28;

/// Columns between two cells.
const GAP: usize = 2;

/// Rows of cells under headings.
pub struct Table {
    heads: Vec<&'static str>,
    /// Which columns give way, and down to which width.
    flexible: Vec<(usize, usize)>,
    /// Which columns may go, the first to go first.
    expendable: Vec<usize>,
    /// Which column holds sentences: their end goes where there is no room.
    prose: Option<usize>,
    /// Which column is coloured by the word in it.
    coloured: Option<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table; `flexible` is the column that gives way where there is no room.
    pub fn new(heads: &[&'static str], flexible: usize) -> Self {
        Self {
            heads: heads.to_vec(),
            flexible: vec![(flexible, 16)],
            expendable: Vec::new(),
            prose: None,
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

    /// Another column that gives way, down to `least`.
    #[must_use]
    pub fn yielding(mut self, column: usize, least: usize) -> Self {
        self.flexible.push((column, least));
        self
    }

    /// Columns that may go, the first to go first; one without a word in it goes anyway.
    #[must_use]
    pub fn expendable(mut self, columns: &[usize]) -> Self {
        self.expendable = columns.to_vec();
        self
    }

    /// This column holds sentences, not names.
    #[must_use]
    pub fn prose(mut self, column: usize) -> Self {
        self.prose = Some(column);
        self
    }

    /// Adds a row; cells are made harmless.
    pub fn row(&mut self, cells: &[String]) {
        self.rows.push(cells.iter().map(|cell| tame(cell)).collect());
    }

    /// Writes it to standard output.
    pub fn print(&self) {
        let paint = Paint::new();
        for line in self.lines(output::width(), &paint) {
            output::print(&line);
        }
    }

    /// The lines, none longer than `limit` where there is a limit.
    fn lines(&self, limit: Option<usize>, paint: &Paint) -> Vec<String> {
        let shown = self.layout(limit);
        let heads: Vec<String> = self.heads.iter().map(|head| (*head).to_owned()).collect();
        let mut lines = vec![paint.bold(&self.line(&heads, &shown, |_, cell| cell))];
        for row in &self.rows {
            lines.push(self.line(row, &shown, |column, cell| {
                if self.coloured == Some(column) {
                    paint.state(&row[column], &cell)
                } else {
                    cell
                }
            }));
        }
        lines
    }

    /// Which columns are shown, and how wide.
    fn layout(&self, limit: Option<usize>) -> Vec<(usize, usize)> {
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        let idle = |column: &usize| self.expendable.contains(column) && cells(*column).all(String::is_empty);
        let widest = |column: usize| {
            let widths = cells(column).map(|cell| columns(cell));
            widths.chain([columns(self.heads[column])]).max().unwrap_or(0)
        };
        let mut shown: Vec<(usize, usize)> = (0..self.heads.len())
            .filter(|column| self.rows.is_empty() || !idle(column))
            .map(|column| (column, widest(column).min(limit.unwrap_or(usize::MAX))))
            .collect();
        let Some(limit) = limit else { return shown };
        let least = |column: usize, width: usize| {
            let own = self.flexible.iter().find(|(flexible, _)| *flexible == column);
            own.map_or(width, |(_, least)| width.min(*least))
        };
        for column in &self.expendable {
            let needed: Vec<_> = shown
                .iter()
                .map(|(column, width)| (0, least(*column, *width)))
                .collect();
            if total(&needed) <= limit {
                break;
            }
            shown.retain(|(shown, _)| shown != column);
        }
        let first = self.flexible.first().map_or(0, |(column, _)| *column);
        narrow(&mut shown, limit, |column, width| {
            if column == first {
                width.min(COMFORT)
            } else {
                least(column, width)
            }
        });
        narrow(&mut shown, limit, least);
        // Nothing but columns that do not give way: they have to.
        narrow(&mut shown, limit, |_, width| width.min(3));
        while total(&shown) > limit && shown.len() > 1 {
            shown.pop();
        }
        shown
    }

    fn line(&self, cells: &[String], shown: &[(usize, usize)], finish: impl Fn(usize, String) -> String) -> String {
        let mut text = String::new();
        for (at, (column, width)) in shown.iter().enumerate() {
            let whole = cells.get(*column).map_or("", String::as_str);
            let cell = if self.prose == Some(*column) {
                cut_end(whole, *width)
            } else {
                cut(whole, *width)
            };
            let padding = pad(&cell, *width).split_off(cell.len());
            text.push_str(&finish(*column, cell));
            if at + 1 < shown.len() {
                text.push_str(&padding);
                text.push_str(&" ".repeat(GAP));
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}

fn total(shown: &[(usize, usize)]) -> usize {
    shown.iter().map(|(_, width)| width).sum::<usize>() + GAP * shown.len().saturating_sub(1)
}

/// Takes columns off whichever is the widest of those that may still give way.
fn narrow(shown: &mut [(usize, usize)], limit: usize, least: impl Fn(usize, usize) -> usize) {
    while total(shown) > limit {
        let may = shown
            .iter_mut()
            .filter(|(column, width)| *width > least(*column, *width));
        let Some((_, width)) = may.max_by_key(|(_, width)| *width) else {
            return;
        };
        *width -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["ID", "OBJECT", "STATE", "AGE", "WHY"], 1)
            .coloured(2)
            .yielding(4, 8)
            .prose(4)
            .expendable(&[3, 4]);
        for (id, object, state, age, why) in [
            (
                "1",
                "a/short.mp4",
                "failed",
                "3 min ago",
                "the disk is full and stays so",
            ),
            ("22", "视频/a very long name of a film.mkv", "queued", "just now", ""),
            ("3", "two\nlines e\u{301}", "running", "2 h ago", ""),
            ("4", "🎬🎬 日本.mp4", "running", "2 h ago", ""),
        ] {
            table.row(&[id.into(), object.into(), state.into(), age.into(), why.into()]);
        }
        table
    }

    #[test]
    fn columns_line_up_also_under_wide_characters() {
        insta::assert_snapshot!(table().lines(None, &Paint::plain()).join("\n"));
    }

    #[test]
    fn where_there_is_no_room_columns_give_way_and_then_go() {
        let mut shown = String::new();
        for limit in [80, 60, 40, 30, 20, 8] {
            writeln!(shown, "{limit}").ok();
            for line in table().lines(Some(limit), &Paint::plain()) {
                assert!(columns(&line) <= limit, "{line:?}");
                writeln!(shown, "{line}").ok();
            }
        }
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn a_column_that_may_go_and_says_nothing_is_left_out() {
        let mut table = Table::new(&["ID", "WHY"], 1).expendable(&[1]);
        table.row(&["1".into(), String::new()]);
        assert_eq!(table.lines(None, &Paint::plain()), ["ID", "1"]);
    }
}
