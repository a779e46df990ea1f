//! What samples mean: from caps to words and to the numbers of ISO/IEC 23091-2 that bitstreams carry.

use gst_video::{VideoColorMatrix, VideoColorPrimaries, VideoColorRange, VideoColorimetry, VideoTransferFunction};

use crate::plan::{Colour, HdrForm};

/// A value of a table: its word and its number.
type Meaning = (&'static str, u8);

/// A film's colours in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// Of its primaries.
    pub primaries: u8,
    /// Of its transfer.
    pub transfer: u8,
    /// Of its matrix.
    pub matrix: u8,
    /// Samples reach from 0 to the largest number.
    pub full_range: bool,
}

/// What caps say of the colours of a film; nothing where they say nothing.
pub fn of(fields: &gst::StructureRef) -> Colour {
    let Some(told) = colorimetry(fields) else {
        return Colour::default();
    };
    let word = |meaning: Option<Meaning>| meaning.map(|(word, _)| word.to_owned());
    Colour {
        transfer: word(transfer(told.transfer())),
        primaries: word(primaries(told.primaries())),
        matrix: word(matrix(told.matrix())),
        full_range: told.range() == VideoColorRange::Range0_255,
        hdr: match told.transfer() {
            VideoTransferFunction::Smpte2084 => Some(HdrForm::Pq),
            VideoTransferFunction::AribStdB67 => Some(HdrForm::Hlg),
            _ => None,
        },
        peak: peak(fields),
    }
}

/// The numbers of what caps say, where they say all of it.
pub fn numbers(caps: &gst::CapsRef) -> Option<Numbers> {
    let told = colorimetry(caps.structure(0)?)?;
    Some(Numbers {
        primaries: primaries(told.primaries())?.1,
        transfer: transfer(told.transfer())?.1,
        matrix: matrix(told.matrix())?.1,
        full_range: told.range() == VideoColorRange::Range0_255,
    })
}

fn colorimetry(fields: &gst::StructureRef) -> Option<VideoColorimetry> {
    fields.get::<&str>("colorimetry").ok()?.parse().ok()
}

/// The brightest light of the screen that the film was made on, or of the film itself.
fn peak(fields: &gst::StructureRef) -> Option<u32> {
    let numbers = |field| {
        let text = fields.get::<&str>(field).ok()?;
        let numbers = text.split(':').map(|number| number.parse::<u32>().ok());
        numbers.collect::<Option<Vec<_>>>()
    };
    // In ten thousandths; the darkest comes after it.
    let screen = numbers("mastering-display-info").and_then(|all| Some(all.get(8)? / 10_000));
    let film = numbers("content-light-level").and_then(|all| all.first().copied());
    film.filter(|nits| *nits > 0).or(screen.filter(|nits| *nits > 0))
}

fn transfer(told: VideoTransferFunction) -> Option<Meaning> {
    Some(match told {
        VideoTransferFunction::Bt709 => ("bt709", 1),
        VideoTransferFunction::Gamma22 => ("gamma22", 4),
        VideoTransferFunction::Gamma28 => ("gamma28", 5),
        VideoTransferFunction::Bt601 => ("smpte170m", 6),
        VideoTransferFunction::Smpte240m => ("smpte240m", 7),
        VideoTransferFunction::Gamma10 => ("linear", 8),
        VideoTransferFunction::Log100 => ("log100", 9),
        VideoTransferFunction::Log316 => ("log316", 10),
        VideoTransferFunction::Srgb => ("iec61966-2-1", 13),
        VideoTransferFunction::Bt202010 => ("bt2020-10", 14),
        VideoTransferFunction::Bt202012 => ("bt2020-12", 15),
        VideoTransferFunction::Smpte2084 => ("smpte2084", 16),
        VideoTransferFunction::AribStdB67 => ("arib-std-b67", 18),
        _ => return None,
    })
}

fn primaries(told: VideoColorPrimaries) -> Option<Meaning> {
    Some(match told {
        VideoColorPrimaries::Bt709 => ("bt709", 1),
        VideoColorPrimaries::Bt470m => ("bt470m", 4),
        VideoColorPrimaries::Bt470bg => ("bt470bg", 5),
        VideoColorPrimaries::Smpte170m => ("smpte170m", 6),
        VideoColorPrimaries::Smpte240m => ("smpte240m", 7),
        VideoColorPrimaries::Film => ("film", 8),
        VideoColorPrimaries::Bt2020 => ("bt2020", 9),
        VideoColorPrimaries::Smptest428 => ("smpte428", 10),
        VideoColorPrimaries::Smpterp431 => ("smpte431", 11),
        VideoColorPrimaries::Smpteeg432 => ("smpte432", 12),
        _ => return None,
    })
}

fn matrix(told: VideoColorMatrix) -> Option<Meaning> {
    Some(match told {
        VideoColorMatrix::Rgb => ("rgb", 0),
        VideoColorMatrix::Bt709 => ("bt709", 1),
        VideoColorMatrix::Fcc => ("fcc", 4),
        VideoColorMatrix::Bt601 => ("smpte170m", 6),
        VideoColorMatrix::Smpte240m => ("smpte240m", 7),
        VideoColorMatrix::Bt2020 => ("bt2020", 9),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_named_and_a_high_range_is_seen() {
        gst::init().unwrap();
        let colour = |colorimetry: Option<&str>| {
            let mut caps = gst::Structure::new_empty("video/x-raw");
            if let Some(text) = colorimetry {
                caps.set("colorimetry", text);
            }
            of(&caps)
        };
        assert_eq!(colour(None), Colour::default());
        let pq = colour(Some("bt2100-pq"));
        assert_eq!((pq.transfer.as_deref(), pq.hdr), (Some("smpte2084"), Some(HdrForm::Pq)));
        assert_eq!(colour(Some("bt2100-hlg")).hdr, Some(HdrForm::Hlg));
        let usual = colour(Some("bt709"));
        assert_eq!((usual.primaries.as_deref(), usual.hdr), (Some("bt709"), None));
    }

    #[test]
    fn the_brightest_light_is_that_of_the_film_else_of_its_screen() {
        gst::init().unwrap();
        let screen = "35400:14600:8500:39850:6550:2300:15635:16450:10000000:1";
        let mut caps = gst::Structure::new_empty("video/x-raw");
        caps.set("colorimetry", "bt2100-pq");
        caps.set("mastering-display-info", screen);
        assert_eq!(of(&caps).peak, Some(1000));
        caps.set("content-light-level", "640:120");
        assert_eq!(of(&caps).peak, Some(640));
        caps.set("content-light-level", "0:0");
        assert_eq!(of(&caps).peak, Some(1000));
    }
}
