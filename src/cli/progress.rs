//! A progress bar on a terminal; nothing elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::output::span;
use crate::app::view::WorkView;

/// Steps of a full bar.
const STEPS: u64 = 1000;

/// The bar.
pub struct Bar(ProgressBar);

impl Bar {
    /// An empty bar on standard error.
    pub fn new() -> Self {
        let bar = ProgressBar::new(STEPS);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Shows how far the work is.
    pub fn set(&self, work: &WorkView) {
        if let Some(duration) = work.duration.filter(|duration| *duration > 0.0) {
            let part = (work.position / duration).clamp(0.0, 1.0);
            // Between 0 and STEPS: nothing can be lost that would be seen.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            self.0.set_position((part * STEPS as f64) as u64);
        }
        let speed = work.speed.map_or_else(String::new, |speed| format!(", {speed:.1}x"));
        let left = work
            .eta
            .and_then(|eta| Duration::try_from_secs_f64(eta).ok())
            .map_or_else(String::new, |eta| format!(", {} left", span(eta.as_secs())));
        self.0.set_message(format!("{}{speed}{left}", work.phase));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
