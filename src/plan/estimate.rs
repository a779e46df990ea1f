//! How much a run will write, about, and whether there is room for it. Pure.
//!
//! Estimates lean to the large side: a job that waits in vain is seen and understood, a disk that is full in the middle of
//! the night is not.

use super::pictures::bytes_a_pixel;
use super::{AdaptivePlan, MediaInfo, PlannedRun, TranscodePlan, Work};
use crate::rule::{AnimationFormat, Track, VideoCodec, VideoRate, VideoSpec};

/// What a PNG or a JPEG takes for each pixel, in bytes, at the worst.
const BYTES_A_PIXEL: u64 = 3;
/// What JSON of a probe takes.
const JSON: u64 = 64 << 10;
/// What JSON of an inspection takes, with all that it may find.
const INSPECTION: u64 = 1 << 20;
/// What every container takes beside its streams.
const CONTAINER: u64 = 256 << 10;
/// Bits for each pixel that even an easy film takes at `crf = 23`.
const BITS_A_PIXEL: f64 = 0.07;
/// How long a clip may be of which nobody knows it, in seconds.
const CLIP: f64 = 30.0;
/// Steps of `crf` that double the size.
const CRF_STEP: f64 = 6.0;
/// The usual `crf`, from which others are reckoned.
const CRF_USUAL: f64 = 23.0;
/// What a file gets for safety.
const MARGIN: f64 = 1.1;

/// Bytes that a run will have on the disk at once, about. `source` is the size of the source.
#[must_use]
pub fn estimate(run: &PlannedRun, source: u64) -> u64 {
    let media = run.plan.media.as_ref();
    run.plan
        .tasks
        .iter()
        .map(|task| match &task.work {
            Work::Probe { .. } => JSON,
            Work::Snapshot(plan) => {
                let (width, height) = plan.picture.size;
                let image = u64::from(width) * u64::from(height) * BYTES_A_PIXEL;
                let all = image.saturating_mul(plan.stills.len() as u64);
                // How many there will be, a medium of unknown length does not say.
                match media.and_then(|media| media.duration) {
                    Some(_) => all,
                    None => all.min(source.saturating_mul(4).saturating_add(image)),
                }
            }
            Work::Sprite(plan) => {
                let (width, height) = plan.cell.size;
                let cell = u64::from(width) * u64::from(height) * bytes_a_pixel(plan.settings.format);
                let all = cell.saturating_mul(plan.at.len() as u64).saturating_add(JSON);
                match media.and_then(|media| media.duration) {
                    Some(_) => all,
                    None => all.min(source.saturating_add(CONTAINER)),
                }
            }
            Work::Animation(plan) => {
                let (width, height) = plan.picture.size;
                let pixels = u64::from(width) * u64::from(height) * u64::from(plan.frames);
                CONTAINER
                    + match plan.settings.format {
                        // At the worst a pixel takes somewhat more than its byte.
                        AnimationFormat::Gif => pixels,
                        AnimationFormat::Webp => pixels / 4,
                    }
            }
            Work::Transcode(plan) if plan.settings.container.has_index_in_front() => {
                // The muxer writes the media twice before it is done.
                transcode(plan, media, source).saturating_mul(2)
            }
            Work::Transcode(plan) => transcode(plan, media, source),
            // What a pipeline makes nobody can know; most make something smaller.
            Work::Copy { .. } | Work::Pipeline(_) | Work::Extract(_) => source,
            Work::Waveform(plan) => {
                let (width, height) = (plan.settings.width, plan.settings.height);
                let picture = u64::from(width) * u64::from(height);
                // Flat colours take little of it; each point is a pair of numbers, in up to eight waves.
                let waves = if plan.settings.split { 8 } else { 1 };
                picture.saturating_add(u64::from(plan.settings.points) * 10 * waves)
            }
            Work::Inspect(_) => INSPECTION,
            Work::Adaptive(plan) => package(plan, media, source),
        })
        .fold(0, u64::saturating_add)
}

fn transcode(plan: &TranscodePlan, media: Option<&MediaInfo>, source: u64) -> u64 {
    let Some((media, length)) = media.and_then(|media| Some((media, media.duration?))) else {
        return source.saturating_add(CONTAINER);
    };
    let whole = source as f64 * 8.0 / length.as_secs_f64().max(0.1);
    let end = plan.span.end.map_or(length, |end| end.min(length));
    let clips = plan.clips.all().count() as f64 * CLIP;
    let seconds = end.saturating_sub(plan.span.start).as_secs_f64() + clips;
    let mut bits = 0.0;
    let mut copied = false;
    match (&plan.settings.video, plan.picture) {
        (Track::Encode(spec), Some(picture)) => {
            bits += film_bits(spec, picture.size, media, whole);
        }
        (Track::Copy, _) => copied = true,
        _ => {}
    }
    for sound in &plan.tracks.sounds {
        let (Some(spec), Some((channels, rate))) = (plan.settings.audio.encoded(), sound.form) else {
            copied = true;
            continue;
        };
        let lossless = f64::from(channels) * f64::from(rate) * f64::from(if spec.depth == 0 { 24 } else { spec.depth });
        bits += if spec.bitrate == 0 {
            lossless
        } else {
            spec.bitrate as f64
        };
    }
    if copied {
        bits += whole;
    }
    bytes(bits * seconds / 8.0 * MARGIN).saturating_add(CONTAINER)
}

/// All forms of a film and all sounds, side by side.
fn package(plan: &AdaptivePlan, media: Option<&MediaInfo>, source: u64) -> u64 {
    let Some((media, length)) = media.and_then(|media| Some((media, media.duration?))) else {
        let forms = u64::try_from(plan.renditions.len()).unwrap_or(1).max(1);
        return source.saturating_mul(forms).saturating_add(CONTAINER);
    };
    let whole = source as f64 * 8.0 / length.as_secs_f64().max(0.1);
    let films = plan.renditions.iter();
    let film = films.map(|rendition| film_bits(&rendition.video, rendition.picture.size, media, whole));
    let sound = plan.audio.as_ref().map_or(0, |spec| spec.bitrate) as f64 * plan.sounds.len() as f64;
    let end = plan.span.end.map_or(length, |end| end.min(length));
    let seconds = end.saturating_sub(plan.span.start).as_secs_f64();
    bytes((film.sum::<f64>() + sound) * seconds / 8.0 * MARGIN).saturating_add(CONTAINER)
}

/// Bits a second of an encoded film.
fn film_bits(spec: &VideoSpec, picture: (u32, u32), media: &MediaInfo, whole: f64) -> f64 {
    match spec.rate {
        VideoRate::Bitrate(rate) => rate as f64,
        VideoRate::Crf(crf) => {
            // What the codec calls its usual quality is about as large as that of others.
            let (most, usual) = spec.codec.crf().unwrap_or((51.0, CRF_USUAL));
            // Where there are fewer steps, each is larger.
            let steps = (crf - usual) * 51.0 / most.max(1.0);
            let free = by_quality(CRF_USUAL + steps, picture, spec.fps, media, whole);
            let times = if spec.codec == VideoCodec::Mpeg2 { 2.0 } else { 1.0 };
            spec.max_bitrate.map_or(free * times, |most| free.min(most as f64))
        }
        VideoRate::Profile => {
            let a_pixel = bits_of_profile(spec.profile.as_deref());
            f64::from(picture.0) * f64::from(picture.1) * frames(spec.fps, media) * a_pixel
        }
    }
}

/// Bits a second of a film in this quality: what the source spends on as many pixels, and at least what an easy film
/// takes.
fn by_quality(crf: f64, picture: (u32, u32), fps: Option<f64>, media: &MediaInfo, whole: f64) -> f64 {
    let pixels = f64::from(picture.0) * f64::from(picture.1);
    let Some(video) = media.video() else {
        return whole;
    };
    let spent = media
        .video_stream()
        .and_then(|stream| stream.bitrate)
        .map_or(whole, |rate| rate as f64);
    let (width, height) = video.display_size();
    let scale = pixels / (f64::from(width) * f64::from(height)).max(1.0);
    let easy = pixels * frames(fps, media) * BITS_A_PIXEL;
    (spent * scale).max(easy) * 2f64.powf((CRF_USUAL - crf) / CRF_STEP)
}

/// Frames a second of the result.
fn frames(fps: Option<f64>, media: &MediaInfo) -> f64 {
    fps.unwrap_or(match media.video().map_or((0, 1), |video| video.fps) {
        (0, _) | (_, 0) => 30.0,
        (num, den) => f64::from(num) / f64::from(den),
    })
}

/// Bits for each pixel that a profile for editing takes.
fn bits_of_profile(profile: Option<&str>) -> f64 {
    match profile {
        Some("proxy" | "lb") => 0.8,
        Some("lt") => 1.8,
        Some("standard" | "sq") => 2.6,
        Some("4444") => 5.6,
        _ => 3.9,
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "such a cast keeps within the range, and sizes of files are far below it"
)]
fn bytes(value: f64) -> u64 {
    value.max(0.0) as u64
}

/// There is no room for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// What it needs.
    pub need: u64,
    /// What is free.
    pub free: u64,
    /// What is to stay free.
    pub reserve: u64,
    /// What other runs will still write.
    pub promised: u64,
}

impl Shortage {
    /// Whether there is no room for any run at all, however little it needs.
    #[must_use]
    pub fn is_total(&self) -> bool {
        self.free <= self.reserve
    }

    /// In words.
    #[must_use]
    pub fn words(&self, bucket: &str) -> String {
        let mut text = format!(
            "needs about {} on bucket {bucket}, {} are free",
            about(self.need),
            about(self.free)
        );
        let mut of_it = Vec::new();
        if self.promised > 0 {
            of_it.push(format!("{} are for runs under way", about(self.promised)));
        }
        if self.reserve > 0 {
            of_it.push(format!("{} are to stay free", about(self.reserve)));
        }
        if !of_it.is_empty() {
            text.extend([" (", &of_it.join(", "), ")"]);
        }
        text
    }
}

/// Whether a run fits into what is free, less what is to stay free and what other runs will still write.
///
/// # Errors
/// Where it does not.
pub fn admit(need: u64, free: u64, reserve: u64, promised: u64) -> Result<(), Shortage> {
    let room = free.saturating_sub(reserve).saturating_sub(promised);
    // What writes nothing yet needs at least that the disk is not full.
    if need > room || room == 0 && reserve > 0 {
        return Err(Shortage {
            need,
            free,
            reserve,
            promised,
        });
    }
    Ok(())
}

/// A size as people say it.
fn about(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 100.0 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diagnostic::SourceFile;
    use crate::job::JobId;
    use crate::job::testing::task;
    use crate::object::{Identity, Object};
    use crate::plan::testing::{audio, film, media, video};
    use crate::plan::{PackageKey, Wanted, plan};
    use crate::rule::check::check;

    /// What a run of these tasks on a film of a minute in HD, with 8 Mbit/s, needs, in MiB.
    fn need(tasks: &str) -> u64 {
        let text = format!("[trigger]\nbucket = \"inbox\"\n[output]\nbucket = \"out\"\n{tasks}");
        let file = SourceFile {
            path: "web.toml".into(),
            text: text.into(),
        };
        let (rule, found) = check(&file, "web", &["inbox".parse().unwrap(), "out".parse().unwrap()]);
        let rule = rule.unwrap_or_else(|| panic!("{found:?}"));
        let object = Object {
            bucket: "inbox".parse().unwrap(),
            key: "a.mov".parse().unwrap(),
            identity: Identity::local(60_000_000, 1),
        };
        let mut medium = media(vec![video(film(1920, 1080)), audio(2, 48_000)]);
        medium.duration = Some(std::time::Duration::from_mins(1));
        let records: Vec<_> = rule.tasks.iter().map(|of| task(of.id.as_str(), &[])).collect();
        let records: Vec<_> = records.iter().collect();
        let planned = plan(&Wanted {
            rule: &rule,
            object: &object,
            media: Ok(&medium),
            tasks: &records,
            job: &JobId::parse("000000000000001").unwrap(),
            date: jiff::civil::Date::constant(2000, 1, 1),
            threads: 1,
            key: PackageKey::default(),
        });
        assert_eq!(planned.failures, []);
        estimate(&planned.runs[0], object.identity.size) >> 20
    }

    #[test]
    fn needs_follow_what_is_wanted() {
        let web = |settings: &str| need(&format!("[task.a]\nkind = \"transcode\"\n{settings}"));
        assert_eq!(need("[task.a]\nkind = \"copy\""), 57, "as much as the source");
        assert_eq!(need("[task.a]\nkind = \"probe\""), 0);
        let still = need("[task.a]\nkind = \"snapshot\"\nat = [\"1s\", \"2s\"]");
        assert!((5..15).contains(&still), "{still}");
        // 4 Mbit/s for a minute are 29 MiB, twice on the disk until the index is in front.
        let rate = web("video = { codec = \"h264\", bitrate = \"4000k\" }\naudio = \"none\"");
        assert!((57..70).contains(&rate), "{rate}");
        let whole = web("video = { codec = \"h264\", crf = 23 }");
        assert!((120..180).contains(&whole), "{whole}");
        let small = web("height = 540\nvideo = { codec = \"h264\", crf = 23 }");
        assert!(small < whole / 2, "{small}");
        let bound = web("video = { codec = \"h264\", crf = 17, max_bitrate = \"1M\" }\naudio = \"none\"");
        assert!(bound < 20, "{bound}");
        // Two minutes of this take a gigabyte each.
        let editing = web("container = \"mov\"\nvideo = { codec = \"prores\", profile = \"hq\" }");
        assert!((2000..3500).contains(&editing), "{editing}");
        let fine = web("video = { codec = \"h264\", crf = 17 }");
        assert!(fine > whole * 3 / 2, "{fine}");
        let both =
            need("[task.a]\nkind = \"copy\"\n[task.b]\nkind = \"transcode\"\nvideo = { codec = \"h264\", crf = 23 }");
        assert_eq!(both, whole + 57);
    }

    #[test]
    fn a_shortage_says_what_is_needed_and_where_the_rest_goes() {
        let words = |need, free, reserve, promised| admit(need, free, reserve, promised).unwrap_err().words("out");
        let gib = 1 << 30;
        assert_eq!(
            words(4 * gib + gib / 10, gib + gib / 5, 0, 0),
            "needs about 4.1 GiB on bucket out, 1.2 GiB are free"
        );
        assert_eq!(
            words(gib, 2 * gib, 512 << 20, gib),
            "needs about 1.0 GiB on bucket out, 2.0 GiB are free (1.0 GiB are for runs under way, 512 MiB are to stay free)"
        );
    }

    #[test]
    fn nothing_begins_on_a_disk_that_is_fuller_than_it_should_be() {
        assert!(admit(0, 100, 200, 0).is_err());
        assert!(admit(0, 300, 200, 0).is_ok());
        assert!(admit(0, 0, 0, 0).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_admitted_fits_beside_all_else(need in 0..1u64 << 50, free in 0..1u64 << 50, reserve in 0..1u64 << 50, promised in 0..1u64 << 50) {
            let fits = need + reserve + promised <= free;
            if admit(need, free, reserve, promised).is_ok() {
                prop_assert!(fits || need == 0);
            } else {
                prop_assert!(!fits || free == reserve + promised);
            }
        }
    }
}
