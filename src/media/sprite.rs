//! Sheets of small pictures, and a WebVTT map that says which of them stands for which time.

use std::fmt::Write;
use std::time::Duration;

use super::album::{Album, Closing};
use super::failure::{internal, writing};
use super::readback::{self, Images};
use super::still::{Canvas, Painter, StillEncoder};
use crate::job::{ErrorKind, Failure};
use crate::plan::{Draw, OutputReport, Picture, SpritePlan};

/// The sheets of one task. One sheet is filled at a time.
pub struct SpriteAlbum {
    plan: SpritePlan,
    painter: Painter,
    sheet: Canvas,
    /// Which sheet that is.
    number: usize,
    /// Which of its pictures there are.
    filled: Vec<bool>,
    /// Sheets that have their file.
    written: usize,
    /// Pictures that there are, from the first without a gap.
    pictures: usize,
}

impl SpriteAlbum {
    /// Prepares for this plan.
    ///
    /// # Errors
    /// Where elements are missing.
    pub fn new(plan: &SpritePlan) -> Result<Self, Failure> {
        let (width, height) = plan.cell.size;
        Ok(Self {
            painter: Painter::new(plan.cell)?,
            sheet: Canvas::new(width * plan.settings.columns, height * plan.settings.rows),
            number: 0,
            filled: vec![false; plan.cells()],
            written: 0,
            pictures: 0,
            plan: plan.clone(),
        })
    }

    /// Where a picture of a sheet stands on it.
    fn place(&self, cell: usize) -> (u32, u32) {
        let cell = u32::try_from(cell).unwrap_or(u32::MAX);
        let (width, height) = self.plan.cell.size;
        let columns = self.plan.settings.columns;
        (cell % columns * width, cell / columns * height)
    }

    /// Writes the sheet that was being filled, cut to the rows that it has.
    fn close_sheet(&mut self) -> Result<(), Failure> {
        let count = self.filled.iter().take_while(|filled| **filled).count();
        if count == 0 {
            return Ok(());
        }
        let columns = self.plan.settings.columns as usize;
        let rows = u32::try_from(count.div_ceil(columns)).map_err(internal)?;
        let file = self
            .plan
            .sheets
            .get(self.number)
            .ok_or_else(|| internal("a sheet that was not planned"))?;
        let whole = self.sheet.top(rows * self.plan.cell.size.1);
        let picture = Picture {
            size: whole.size(),
            draw: Draw::Whole,
        };
        StillEncoder::new(self.plan.settings.format, self.plan.settings.quality, picture)?
            .write(&whole.into_sample()?, file)?;
        self.pictures = self.number * self.plan.cells() + count;
        self.written = self.number + 1;
        self.sheet.clear();
        self.filled.fill(false);
        Ok(())
    }

    /// The map: what is shown when, and where on which sheet.
    fn map(&self, end: Duration) -> String {
        let mut text = "WEBVTT\n".to_owned();
        let (width, height) = self.plan.cell.size;
        for picture in 0..self.pictures {
            let number = u32::try_from(picture).unwrap_or(u32::MAX);
            let from = self.plan.step * number;
            let to = if picture + 1 == self.pictures {
                end
            } else {
                self.plan.step * (number + 1)
            };
            let (sheet, cell) = (picture / self.plan.cells(), picture % self.plan.cells());
            let (x, y) = self.place(cell);
            let name = self.plan.names.get(sheet).map_or("", String::as_str);
            let _ = write!(
                text,
                "\n{} --> {}\n{name}#xywh={x},{y},{width},{height}\n",
                clock(from),
                clock(to.max(from + Duration::from_millis(1)))
            );
        }
        text
    }
}

/// `01:02:03.456`
fn clock(at: Duration) -> String {
    let millis = (at.as_nanos() + 500_000) / 1_000_000;
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    format!("{:02}:{:02}:{seconds:02}.{millis:03}", minutes / 60, minutes % 60)
}

impl Album for SpriteAlbum {
    fn take(&mut self, point: usize, frame: &gst::Sample) -> Result<(), Failure> {
        let (sheet, cell) = (point / self.plan.cells(), point % self.plan.cells());
        if sheet != self.number {
            self.close_sheet()?;
            self.number = sheet;
        }
        let (x, y) = self.place(cell);
        self.painter.paint(frame, &mut self.sheet, (x, y))?;
        if let Some(filled) = self.filled.get_mut(cell) {
            *filled = true;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, closing: &mut Closing<'_, '_>) -> Result<(), Failure> {
        self.close_sheet()?;
        if self.pictures == 0 {
            return Err(Failure::new(
                ErrorKind::Corrupt,
                "no frame of the medium could be decoded for any picture",
            ));
        }
        let shown = self.plan.step * u32::try_from(self.pictures).unwrap_or(u32::MAX);
        let whole = self.plan.end.filter(|_| self.pictures == self.plan.at.len());
        let map = self.map(whole.or(closing.end).unwrap_or(shown));
        std::fs::write(&self.plan.map, map).map_err(|error| writing(&self.plan.map, &error))?;
        let mut images = Images::new(self.plan.settings.format)?;
        for file in self.plan.sheets.iter().take(self.written) {
            let (size, report) = images.read(file)?;
            closing.pulse.listener().output(closing.task, file, size, report);
        }
        let size = readback::size(&self.plan.map)?;
        closing
            .pulse
            .listener()
            .output(closing.task, &self.plan.map, size, OutputReport::Bytes);
        Ok(())
    }

    fn abandon(self: Box<Self>) {
        for file in self.plan.sheets.iter().chain([&self.plan.map]) {
            let _ = std::fs::remove_file(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_map_are_written_as_players_read_them() {
        let clock = |millis| clock(Duration::from_millis(millis));
        assert_eq!(clock(0), "00:00:00.000");
        assert_eq!(clock(3_723_456), "01:02:03.456");
        assert_eq!(super::clock(Duration::from_micros(1_999_600)), "00:00:02.000");
        assert_eq!(clock(360_000_000), "100:00:00.000");
    }
}
