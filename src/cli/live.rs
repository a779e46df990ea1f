//! A few lines at the foot of a terminal that are drawn again and again, below lines that scroll away.
//!
//! Nothing of the terminal is changed that would have to be set back: however the program ends, the shell goes on
//! below. When the terminal is made narrower it breaks the old lines itself; that is reckoned with, so a new size
//! leaves nothing behind.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};

use super::terminal::columns;

/// The foot of a terminal.
pub struct Live<W: Write> {
    out: W,
    /// Columns of each line that stands there now.
    drawn: Vec<usize>,
}

impl Live<std::io::Stdout> {
    /// That of standard output; none where it is no terminal.
    pub fn on_stdout() -> Option<Self> {
        let out = std::io::stdout();
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        (out.is_terminal() && !dumb).then(|| Self::new(out))
    }

    /// Columns and lines as they are now.
    pub fn size(&self) -> (usize, usize) {
        size(&self.out)
    }
}

impl Live<std::io::Stderr> {
    /// That of standard error; none where it is no terminal.
    pub fn on_stderr() -> Option<Self> {
        let out = std::io::stderr();
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        (out.is_terminal() && !dumb).then(|| Self::new(out))
    }

    /// Columns and lines as they are now.
    pub fn size(&self) -> (usize, usize) {
        size(&self.out)
    }
}

fn size(out: &impl std::os::fd::AsFd) -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(out).ok();
    let known = |value: Option<u16>| value.filter(|value| *value > 0).map(usize::from);
    (
        known(size.map(|size| size.ws_col)).unwrap_or(80),
        known(size.map(|size| size.ws_row)).unwrap_or(24),
    )
}

impl<W: Write> Live<W> {
    fn new(out: W) -> Self {
        Self { out, drawn: Vec::new() }
    }

    /// Puts lines above the foot, for good, and draws the foot anew: `lines`, on a terminal of this size. What has no room
    /// below is left out.
    ///
    /// # Errors
    /// Where nobody reads any more.
    pub fn draw(&mut self, above: &[String], lines: &[String], (width, height): (usize, usize)) -> std::io::Result<()> {
        let mut text = String::new();
        let rows: usize = self.drawn.iter().map(|columns| columns.div_ceil(width).max(1)).sum();
        if rows > 0 {
            text.push('\r');
            let up = (rows - 1).min(height.saturating_sub(1));
            if up > 0 {
                write!(text, "\x1b[{up}A").ok();
            }
            text.push_str("\x1b[J");
        }
        for line in above {
            text.push_str(line);
            text.push_str("\r\n");
        }
        let lines = &lines[..lines.len().min(height.saturating_sub(1).max(1))];
        text.push_str(&lines.join("\r\n"));
        self.drawn = lines.iter().map(|line| columns(&uncoloured(line))).collect();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Takes the foot away.
    ///
    /// # Errors
    /// Where nobody reads any more.
    pub fn clear(&mut self, size: (usize, usize)) -> std::io::Result<()> {
        self.draw(&[], &[], size)
    }
}

/// A text without the colours that were put into it.
fn uncoloured(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\x1b[") {
        bare.push_str(&rest[..at]);
        rest = rest[at..].split_once('m').map_or("", |(_, after)| after);
    }
    bare.push_str(rest);
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(live: &mut Live<Vec<u8>>) -> String {
        String::from_utf8(std::mem::take(&mut live.out)).expect("text")
    }

    #[test]
    fn the_foot_is_drawn_over_itself_and_what_has_ended_stays_above() {
        let mut live = Live::new(Vec::new());
        let lines = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        live.draw(&[], &lines(&["one", "two"]), (20, 10)).expect("drawn");
        assert_eq!(said(&mut live), "one\r\ntwo");
        live.draw(&lines(&["done"]), &lines(&["three"]), (20, 10))
            .expect("drawn");
        assert_eq!(said(&mut live), "\r\x1b[1A\x1b[Jdone\r\nthree");
        live.clear((20, 10)).expect("cleared");
        assert_eq!(said(&mut live), "\r\x1b[J");
    }

    #[test]
    fn a_narrower_terminal_has_broken_the_lines_that_stood_there() {
        let mut live = Live::new(Vec::new());
        let line = "\x1b[31mtwelve\x1b[0m-chars".to_owned();
        live.draw(&[], &[line.clone(), line], (20, 10)).expect("drawn");
        said(&mut live);
        live.draw(&[], &["x".to_owned()], (8, 10)).expect("drawn");
        assert_eq!(said(&mut live), "\r\x1b[3A\x1b[Jx");
    }

    #[test]
    fn a_low_terminal_shows_what_it_can() {
        let mut live = Live::new(Vec::new());
        let many: Vec<String> = (0..9).map(|number| number.to_string()).collect();
        live.draw(&[], &many, (20, 4)).expect("drawn");
        assert_eq!(said(&mut live), "0\r\n1\r\n2");
    }
}
