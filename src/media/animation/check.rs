//! Reads a finished animation back, every picture of it.

use std::fs::File;
use std::io::BufReader;
use std::time::Duration;

use gif::{ColorOutput, DecodeOptions, Repeat};

use crate::job::{ErrorKind, Failure};
use crate::media::failure::{internal, writing};
use crate::media::readback;
use crate::plan::{AnimationPlan, OutputReport};
use crate::rule::AnimationFormat;

/// Size of the file, and what it shows; `drawn` pictures were to be in it.
///
/// # Errors
/// Where it cannot be decoded to its end: `BadOutput`.
pub fn read(plan: &AnimationPlan, drawn: u32) -> Result<(u64, OutputReport), Failure> {
    let size = readback::size(&plan.file)?;
    let seen = match plan.settings.format {
        AnimationFormat::Gif => of_gif(&plan.file)?,
        AnimationFormat::Webp => of_webp(&plan.file, plan.time(drawn))?,
    };
    let report = OutputReport::Animation {
        width: seen.size.0,
        height: seen.size.1,
        frames: seen.frames,
        drawn,
        length: seen.length,
        endless: seen.endless,
    };
    Ok((size, report))
}

struct Seen {
    size: (u32, u32),
    frames: u32,
    length: Duration,
    endless: bool,
}

fn bad(file: &str, what: impl std::fmt::Display) -> Failure {
    Failure::new(ErrorKind::BadOutput, format!("{file} cannot be read back: {what}"))
}

fn of_gif(file: &str) -> Result<Seen, Failure> {
    let reader = File::open(file).map_err(|error| writing(file, &error))?;
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    let mut decoder = options
        .read_info(BufReader::new(reader))
        .map_err(|error| bad(file, error))?;
    let size = (u32::from(decoder.width()), u32::from(decoder.height()));
    let (mut frames, mut hundredths) = (0, 0_u64);
    while let Some(frame) = decoder.read_next_frame().map_err(|error| bad(file, error))? {
        frames += 1;
        hundredths += u64::from(frame.delay);
    }
    Ok(Seen {
        size,
        frames,
        length: Duration::from_millis(hundredths * 10),
        endless: decoder.repeat() == Repeat::Infinite,
    })
}

fn of_webp(file: &str, length: Duration) -> Result<Seen, Failure> {
    let bytes = std::fs::read(file).map_err(|error| writing(file, &error))?;
    let decoder = webp_animation::Decoder::new(&bytes).map_err(|error| bad(file, format!("{error:?}")))?;
    let (mut frames, mut end) = (0, 0);
    let mut size = (0, 0);
    for frame in decoder {
        frames += 1;
        end = frame.timestamp();
        size = frame.dimensions();
    }
    let rounds = rounds(&bytes);
    Ok(Seen {
        size,
        frames,
        // Where nothing ever changes, it is a still, which has no end.
        length: match rounds {
            None => length,
            Some(_) => Duration::from_millis(u64::try_from(end).map_err(internal)?),
        },
        endless: rounds.unwrap_or(0) == 0,
    })
}

/// How often it is played; none for a still.
fn rounds(bytes: &[u8]) -> Option<u16> {
    let mut at = 12;
    loop {
        let name = bytes.get(at..at + 4)?;
        let length = u32::from_le_bytes(bytes.get(at + 4..at + 8)?.try_into().ok()?) as usize;
        if name == b"ANIM" {
            // After the colour of the background.
            let rounds = bytes.get(at + 12..at + 14)?;
            return Some(u16::from_le_bytes(rounds.try_into().ok()?));
        }
        at += 8 + length + length % 2;
    }
}
