//! What can be seen of a film: black, frozen, blurred, with borders.
//!
//! Black and frozen are looked for in every frame, at points of a grid, so that where they begin and end is exact to the
//! frame. Borders and blur are looked for once a second.

use std::time::Duration;

use super::luma::Luma;
use super::spans::Spans;
use crate::rule::Inspect;

/// Points of the grid at most.
const GRID: (usize, usize) = (320, 180);
/// A point below this is black: a tenth of white.
const BLACK_POINT: u8 = 25;
/// A picture of which so much is black is black.
const BLACK_SHARE: f64 = 0.98;
/// Points that differ by less on average do not move: what encoders add to a still picture.
const STILL: f64 = 0.6;
/// So many points may differ by more than [`MOVED`]: a clock in a corner moves more.
const FEW: usize = 3;
/// A point that differs by more moved.
const MOVED: u8 = 24;
/// How often borders and blur are looked for.
const EVERY: Duration = Duration::from_secs(1);
/// A blurred picture is told when it is there for so long.
const BLURRED_FOR: Duration = Duration::from_secs(3);
/// Narrower borders are none: a share of the side, and pixels.
const NARROW: (usize, usize) = (100, 4);
/// In a line of a border so few points are not black.
const SPECKS: usize = 100;

/// The part of the picture inside of its borders, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Crop {
    /// From the left.
    pub x: usize,
    /// From above.
    pub y: usize,
    /// Even.
    pub width: usize,
    /// Even.
    pub height: usize,
}

/// Distances of the picture from the sides of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Margins {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

/// Looks at frames as they come.
pub struct Eye {
    /// Where it is black.
    pub black: Option<Spans>,
    /// Where it does not move.
    pub frozen: Option<Spans>,
    /// Where it is blurred.
    pub blurred: Option<Spans>,
    borders: bool,
    blur: f64,
    grid: Vec<u8>,
    /// The frame that others are compared with, and since when it is shown.
    still: Option<(Vec<u8>, Duration)>,
    margins: Option<(Margins, (usize, usize))>,
    next: Duration,
    /// When the last frame appeared, and how long frames are shown.
    last: Option<(Duration, Duration)>,
}

impl Eye {
    /// Looks for what these settings want.
    pub fn new(settings: &Inspect) -> Self {
        Self {
            black: settings.black.map(Spans::new),
            frozen: settings.frozen.map(Spans::new),
            blurred: settings.blur.map(|_| Spans::new(BLURRED_FOR)),
            borders: settings.borders,
            blur: settings.blur.unwrap_or(1.0),
            grid: Vec::new(),
            still: None,
            margins: None,
            next: Duration::ZERO,
            last: None,
        }
    }

    /// Looks at a frame that appears now, for so long where that is known.
    pub fn see(&mut self, picture: &Luma<'_>, at: Duration, length: Option<Duration>) {
        let step = self.last.map_or(Duration::ZERO, |(last, _)| at.saturating_sub(last));
        self.last = Some((at, length.unwrap_or(step)));
        sample(picture, &mut self.grid);
        let dark = self.grid.iter().filter(|point| **point <= BLACK_POINT).count();
        let share = dark as f64 / self.grid.len().max(1) as f64;
        let is_black = share >= BLACK_SHARE;
        if let Some(black) = &mut self.black {
            black.see(at, is_black.then_some(share));
        }
        self.compare(at);
        if at >= self.next {
            self.next = at + EVERY;
            let blur = blur(picture).filter(|_| !is_black && self.blurred.is_some());
            if let Some(blurred) = &mut self.blurred {
                blurred.see(at, blur.filter(|blur| *blur >= self.blur));
            }
            if self.borders && !is_black {
                self.look_for_borders(picture);
            }
        }
    }

    fn compare(&mut self, at: Duration) {
        let Some(frozen) = &mut self.frozen else { return };
        let alike = self.still.as_ref().and_then(|(still, _)| likeness(still, &self.grid));
        match (alike, &mut self.still) {
            (Some(score), Some((_, since))) => {
                let since = *since;
                frozen.see(since, Some(score));
            }
            (_, still) => {
                frozen.see(at, None);
                let mut kept = still.take().map(|(kept, _)| kept).unwrap_or_default();
                kept.clone_from(&self.grid);
                *still = Some((kept, at));
            }
        }
    }

    fn look_for_borders(&mut self, picture: &Luma<'_>) {
        let size = (picture.width, picture.height);
        let seen = margins(picture);
        let all = match self.margins {
            Some((known, of)) if of == size => Margins {
                left: known.left.min(seen.left),
                right: known.right.min(seen.right),
                top: known.top.min(seen.top),
                bottom: known.bottom.min(seen.bottom),
            },
            _ => seen,
        };
        self.margins = Some((all, size));
    }

    /// Where the last frame is gone.
    pub fn end(&self) -> Option<Duration> {
        self.last.map(|(at, length)| at + length)
    }

    /// The film is over; what is still open ends with it. A black picture does not move either: that is told once.
    pub fn finish(&mut self) {
        let Some(end) = self.end() else { return };
        for spans in [&mut self.black, &mut self.frozen, &mut self.blurred]
            .into_iter()
            .flatten()
        {
            spans.finish(end);
        }
        if let (Some(black), Some(frozen)) = (&self.black, &mut self.frozen) {
            frozen.leave_out_what_lies_in(black);
        }
    }

    /// The picture inside of its borders, and how much of the frame those are; none where there are none.
    pub fn crop(&self) -> Option<(Crop, f64)> {
        let (margins, (width, height)) = self.margins?;
        let wide = |margin: usize, side: usize| {
            if margin < (side / NARROW.0).max(NARROW.1) {
                0
            } else {
                margin
            }
        };
        let (left, right) = (wide(margins.left, width), wide(margins.right, width));
        let (top, bottom) = (wide(margins.top, height), wide(margins.bottom, height));
        if left + right + top + bottom == 0 || left + right >= width || top + bottom >= height {
            return None;
        }
        let even = |number: usize| number / 2 * 2;
        let (x, y) = (left.next_multiple_of(2), top.next_multiple_of(2));
        let crop = Crop {
            x,
            y,
            width: even((width - right).saturating_sub(x)),
            height: even((height - bottom).saturating_sub(y)),
        };
        let share = 1.0 - (crop.width * crop.height) as f64 / (width * height) as f64;
        (crop.width > 0 && crop.height > 0).then_some((crop, share))
    }
}

/// Points of a picture, spread evenly.
fn sample(picture: &Luma<'_>, into: &mut Vec<u8>) {
    into.clear();
    let (columns, rows) = (picture.width.min(GRID.0), picture.height.min(GRID.1));
    for row in 0..rows {
        let y = (2 * row + 1) * picture.height / (2 * rows);
        into.extend((0..columns).map(|column| picture.at((2 * column + 1) * picture.width / (2 * columns), y)));
    }
}

/// How little two pictures differ, 0.0 ..= 1.0; none where something moved.
fn likeness(one: &[u8], other: &[u8]) -> Option<f64> {
    if one.len() != other.len() || one.is_empty() {
        return None;
    }
    let (mut sum, mut moved) = (0_u64, 0);
    for (one, other) in one.iter().zip(other) {
        let by = one.abs_diff(*other);
        sum += u64::from(by);
        moved += usize::from(by > MOVED);
    }
    let mean = sum as f64 / one.len() as f64;
    (mean <= STILL && moved <= FEW).then(|| 1.0 - mean / STILL * 0.5)
}

/// How far the picture is from each side of its frame.
fn margins(picture: &Luma<'_>) -> Margins {
    let (width, height) = (picture.width, picture.height);
    let row = |y: usize| is_border((0..width).step_by((width / 640).max(1)).map(|x| picture.at(x, y)));
    let column = |x: usize| is_border((0..height).step_by((height / 360).max(1)).map(|y| picture.at(x, y)));
    Margins {
        left: (0..width).take_while(|x| column(*x)).count(),
        right: (0..width).rev().take_while(|x| column(*x)).count(),
        top: (0..height).take_while(|y| row(*y)).count(),
        bottom: (0..height).rev().take_while(|y| row(*y)).count(),
    }
}

fn is_border(points: impl Iterator<Item = u8>) -> bool {
    let (mut all, mut bright) = (0, 0);
    for point in points {
        all += 1;
        bright += usize::from(point > BLACK_POINT);
    }
    bright * SPECKS <= all
}

/// How blurred a picture is: by how little its edges change when it is blurred once more, 0.0 ..= 1.0 (after Crete and
/// others, 2007). None where it has no edges.
fn blur(picture: &Luma<'_>) -> Option<f64> {
    const STEP: usize = 4;
    let mut line = Vec::new();
    let mut worst: Option<f64> = None;
    let (width, height) = (picture.width, picture.height);
    for across in [true, false] {
        let (lines, length) = if across { (height, width) } else { (width, height) };
        let (mut edges, mut kept, mut points) = (0.0, 0.0, 0_usize);
        for number in (0..lines).step_by(STEP) {
            line.clear();
            line.extend((0..length).map(|at| {
                let point = if across {
                    picture.at(at, number)
                } else {
                    picture.at(number, at)
                };
                i32::from(point)
            }));
            let (more, left) = softened(&line);
            edges += more;
            kept += left;
            points += length;
        }
        // A picture of one colour is neither sharp nor blurred.
        if edges < points as f64 * 0.25 {
            continue;
        }
        let blur = kept / edges;
        worst = Some(worst.map_or(blur, |worst| worst.max(blur)));
    }
    worst
}

/// The sum of all steps of a line, and how much of it is left after it was blurred.
fn softened(line: &[i32]) -> (f64, f64) {
    const REACH: usize = 4;
    let taps = 2 * REACH + 1;
    if line.len() <= taps {
        return (0.0, 0.0);
    }
    let mut sum: i32 = line[..taps].iter().sum();
    let (mut edges, mut kept) = (0.0, 0.0);
    for at in REACH + 1..line.len() - REACH {
        let before = sum;
        sum += line[at + REACH] - line[at - REACH - 1];
        let step = f64::from((line[at] - line[at - 1]).abs());
        let soft = f64::from((sum - before).abs()) / taps as f64;
        edges += step;
        kept += soft.min(step);
    }
    (edges, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(at: f64) -> Duration {
        Duration::from_secs_f64(at)
    }

    /// A picture with edges, at a place that moves with `n`, in a frame with these margins.
    fn picture(n: usize, margins: (usize, usize)) -> Vec<u8> {
        (0..90_usize)
            .flat_map(|y| (0..160_usize).map(move |x| (x, y)))
            .map(|(x, y)| {
                let inside = x >= margins.0 && x < 160 - margins.0 && y >= margins.1 && y < 90 - margins.1;
                match ((x + n) / 5 + y / 5) % 2 {
                    _ if !inside => 0,
                    0 => 60,
                    _ => 200,
                }
            })
            .collect()
    }

    fn found(spans: Option<&Spans>) -> Vec<(f64, f64)> {
        let spans = spans.unwrap().found.iter();
        spans
            .map(|one| (one.start.as_secs_f64(), one.end.as_secs_f64()))
            .collect()
    }

    #[test]
    fn black_and_frozen_begin_and_end_with_their_frames() {
        let settings = Inspect {
            frozen: Some(seconds(1.0)),
            black: Some(seconds(1.0)),
            ..Inspect::usual()
        };
        let mut eye = Eye::new(&settings);
        for n in 0..250 {
            let data = match n {
                50..100 => vec![0; 160 * 90],
                // Unlike what is before and after.
                153..203 => picture(7, (0, 0)),
                n => picture(n, (0, 0)),
            };
            let at = seconds(n as f64 / 25.0);
            eye.see(&Luma::test(&data, 160), at, Some(seconds(0.04)));
        }
        eye.finish();
        assert_eq!(found(eye.black.as_ref()), [(2.0, 4.0)]);
        assert_eq!(found(eye.frozen.as_ref()), [(6.12, 8.12)]);
        assert_eq!(eye.end(), Some(seconds(10.0)));
        assert_eq!(eye.crop(), None);
    }

    #[test]
    fn borders_are_those_of_all_frames() {
        let mut eye = Eye::new(&Inspect::usual());
        for (second, margins) in [(16, 14), (20, 10), (17, 9)].into_iter().enumerate() {
            let data = picture(second, margins);
            eye.see(&Luma::test(&data, 160), seconds(second as f64), None);
        }
        let (crop, share) = eye.crop().unwrap();
        assert_eq!(
            crop,
            Crop {
                x: 16,
                y: 10,
                width: 128,
                height: 70
            }
        );
        assert!((share - (1.0 - 128.0 * 70.0 / 14_400.0)).abs() < 1e-9);
    }

    #[test]
    fn a_blurred_picture_is_more_blurred_than_a_sharp_one() {
        let sharp = picture(0, (0, 0));
        let soft: Vec<u8> = (0..sharp.len())
            .map(|at| {
                let around = at.saturating_sub(6)..(at + 7).min(sharp.len());
                let sum: u32 = sharp[around.clone()].iter().map(|point| u32::from(*point)).sum();
                u8::try_from(sum as usize / around.len()).unwrap()
            })
            .collect();
        let of = |data: &[u8]| blur(&Luma::test(data, 160));
        assert!(of(&sharp).unwrap() < 0.4, "{:?}", of(&sharp));
        assert!(of(&soft).unwrap() > of(&sharp).unwrap(), "{:?}", of(&soft));
        assert_eq!(of(&vec![90; 14_400]), None);
    }
}
