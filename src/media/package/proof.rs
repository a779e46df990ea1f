//! Reads what was written back from its files, and holds it against what went in.

use super::track::{FIRST, Written};
use super::{CLOCK, Segment, crypt, parse, transport};
use crate::job::{ErrorKind, Failure};
use crate::media::failure::writing;
use crate::rule::SegmentForm;

/// Reads every segment of a track, and every packet in it; `tick` is called now and then.
///
/// # Errors
/// `BadOutput`, with what is wrong.
pub fn track(track: &Written, tick: &mut dyn FnMut()) -> Result<(), Failure> {
    let order = &track.order;
    let mut before = None;
    let mut next = track.segments.first().map_or(0, |first| first.start);
    for (segment, number) in track.segments.iter().zip(FIRST..) {
        tick();
        let file = format!("{}{}", order.prefix, segment.file);
        let bad = |what: String| Failure::new(ErrorKind::BadOutput, format!("{file} cannot be read back: {what}"));
        let bytes = std::fs::read(&file).map_err(|error| writing(&file, &error))?;
        if bytes.len() as u64 != segment.bytes {
            return Err(bad(format!("it has {} bytes of {}", bytes.len(), segment.bytes)));
        }
        let plain = match &order.key {
            Some(key) => {
                let plain = crypt::decrypt(&key.0, number, bytes);
                plain.ok_or_else(|| bad("its key does not open it".to_owned()))?
            }
            None => bytes,
        };
        if segment.start != next {
            return Err(bad("it does not begin where the one before it ends".to_owned()));
        }
        next = segment.end;
        match order.form {
            SegmentForm::Cmaf => fragments(&plain, segment).map_err(bad)?,
            SegmentForm::Ts => {
                let read = parse::transport(&plain, transport::STREAM, before.as_ref()).map_err(bad)?;
                let ticks = u128::from(segment.start) * u128::from(CLOCK) / u128::from(order.timescale.max(1));
                let start = (ticks + u128::from(transport::ZERO)) % u128::from(transport::TIMES);
                if read.units != segment.units || read.start.map(u128::from) != Some(start) {
                    return Err(bad("its packets are not those that were written".to_owned()));
                }
                // Players that go by times of decoding would show the one and the other segment at odds with the sound.
                let differs = |before: &parse::Stream| before.ahead != read.ahead;
                if before.as_ref().is_some_and(differs) {
                    return Err(bad(
                        "its pictures are decoded earlier or later than those before".to_owned()
                    ));
                }
                before = Some(read);
            }
        }
    }
    if let Some(init) = &track.init {
        let file = format!("{}{}", order.prefix, order.init());
        let same = std::fs::read(&file).is_ok_and(|read| &read == init);
        if !same || parse::names(init).is_err() {
            let what = format!("{file} cannot be read back");
            return Err(Failure::new(ErrorKind::BadOutput, what));
        }
    }
    Ok(())
}

fn fragments(plain: &[u8], segment: &Segment) -> Result<(), String> {
    let fragments = parse::segment(plain)?;
    let mut at = segment.start;
    let mut samples = 0;
    for fragment in &fragments {
        if fragment.start != at {
            return Err(format!("a fragment begins at {}, not at {at}", fragment.start));
        }
        at += fragment
            .samples
            .iter()
            .map(|sample| u64::from(sample.length))
            .sum::<u64>();
        samples += fragment.samples.len() as u64;
        let key = fragment.samples.first().is_some_and(|first| first.key);
        if !key {
            return Err("a fragment does not begin with a key frame".to_owned());
        }
    }
    if at != segment.end || samples != segment.samples {
        return Err(format!(
            "it has {samples} packets to {at}, not {} to {}",
            segment.samples, segment.end
        ));
    }
    Ok(())
}

/// Whether all forms of the film are cut at the same pictures.
///
/// # Errors
/// `BadOutput`, where they are not.
pub fn alike<'a>(mut films: impl Iterator<Item = &'a Written>) -> Result<(), Failure> {
    let cuts = |track: &Written| -> Vec<(u64, u64, u64)> {
        let segments = track.segments.iter();
        segments
            .map(|segment| (segment.start, segment.end, segment.samples))
            .collect()
    };
    let Some(first) = films.next() else {
        return Ok(());
    };
    let wanted = cuts(first);
    match films.find(|track| cuts(track) != wanted) {
        None => Ok(()),
        Some(other) => Err(Failure::new(
            ErrorKind::BadOutput,
            format!(
                "{} and {} are not cut at the same pictures",
                first.order.name, other.order.name
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::media::package::boxes::Content;
    use crate::media::package::cut::Rule;
    use crate::media::package::testing::{self, packet};
    use crate::media::package::track::{Order, Track};
    use crate::plan::PackageKey;

    fn written(folder: &Path, form: SegmentForm, key: Option<PackageKey>) -> Written {
        let order = Order {
            prefix: format!("{}/t.", folder.display()),
            name: "720p".to_owned(),
            form,
            rule: Rule::Keys { wanted: 4, ahead: 2 },
            timescale: 25,
            key,
        };
        let content = Content::Film(testing::pictures(vec![1, 0x64, 0, 0x1f, 0xff, 0xe0, 0]));
        let mut track = Track::new(order, content).unwrap();
        for at in 0..10 {
            track.push(packet(at, at % 2 == 0)).unwrap();
        }
        track.finish(None).unwrap().unwrap()
    }

    #[test]
    fn what_was_written_is_found_again_and_damage_is_not_overlooked() {
        for form in [SegmentForm::Cmaf, SegmentForm::Ts] {
            for key in [None, Some(PackageKey([3; 16]))] {
                let folder = tempfile::tempdir().unwrap();
                let made = written(folder.path(), form, key);
                assert_eq!(made.segments.len(), 3);
                assert_eq!(made.segments[0].keys.len(), 2);
                track(&made, &mut || ()).unwrap();
                let file = format!("{}{}", made.order.prefix, made.segments[1].file);
                let whole = std::fs::read(&file).unwrap();
                std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
                assert!(track(&made, &mut || ()).is_err(), "shorter");
                std::fs::copy(format!("{}{}", made.order.prefix, made.segments[0].file), &file).unwrap();
                assert!(track(&made, &mut || ()).is_err(), "another");
            }
        }
    }

    #[test]
    fn films_that_are_cut_elsewhere_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let one = written(folder.path(), SegmentForm::Cmaf, None);
        let mut other = one.clone();
        alike([&one, &other].into_iter()).unwrap();
        other.segments[1].end += 1;
        assert!(alike([&one, &other].into_iter()).is_err());
    }

    #[test]
    fn a_track_without_packets_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let order = Order {
            prefix: format!("{}/t.", folder.path().display()),
            name: "audio-1".to_owned(),
            form: SegmentForm::Cmaf,
            rule: Rule::Grid(Duration::from_secs(4), 48_000),
            timescale: 48_000,
            key: None,
        };
        let content = Content::Aac {
            config: vec![0x11, 0x90],
            channels: 2,
            rate: 48_000,
        };
        assert!(Track::new(order, content).unwrap().finish(None).unwrap().is_none());
    }
}
