//! The foot of a terminal while a rule is tried; nothing elsewhere.

use super::live::Live;
use super::output::Paint;
use super::watch::{Row, at_work};
use crate::app::view::WorkView;

/// The bar.
pub struct Bar {
    live: Option<Live<std::io::Stderr>>,
    file: String,
    size: u64,
    tick: usize,
}

impl Bar {
    /// An empty foot on standard error, for work on a file of this name and size.
    pub fn new(file: String, size: u64) -> Self {
        Self {
            live: Live::on_stderr(),
            file,
            size,
            tick: 0,
        }
    }

    /// Shows how far the work is.
    pub fn set(&mut self, work: &WorkView) {
        let Some(live) = &mut self.live else { return };
        let size = live.size();
        let row = Row::of_trial(&self.file, self.size, work);
        let lines = at_work(&[row], size.0.saturating_sub(1).max(20), self.tick, &Paint::plain());
        // A terminal that is gone shows nothing.
        live.draw(&[], &lines, size).ok();
        self.tick += 1;
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(live) = &mut self.live {
            let size = live.size();
            live.clear(size).ok();
        }
    }
}
