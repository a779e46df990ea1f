//! The branch of an inspection: looks at every frame and listens to the first sound, and says what is wrong with them.

mod luma;
mod pictures;
mod sound;
mod spans;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;
use serde::Serialize;

use self::luma::{FORMATS, Luma};
use self::pictures::{Crop, Eye};
use self::sound::{Ear, Loudness};
use self::spans::Spans;
use super::branch::{Branch, Ending, Opened, guard, hang, queue, taker};
use super::failure::{element, internal, plain, writing};
use super::readback;
use super::sound::raw;
use crate::job::{Failure, Finding, FindingKind};
use crate::plan::{InspectPlan, MediaInfo, OutputReport};

/// More of one sort are counted in the findings of a job; the JSON has them.
const MOST_TOLD: usize = 10;
/// So many LU beyond a threshold are as bad as can be.
const WORST: f64 = 20.0;

/// What inspects a medium.
pub struct InspectBranch {
    bin: gst::Bin,
    plan: InspectPlan,
    eye: Option<Arc<Mutex<Eye>>>,
    ear: Option<Arc<Mutex<Ear>>>,
}

/// What is written.
#[derive(Debug, Serialize)]
struct Report {
    version: u32,
    /// How long the medium was, in seconds.
    duration: f64,
    loudness: Option<Loudness>,
    findings: Vec<Told>,
}

/// One finding.
#[derive(Debug, Serialize)]
struct Told {
    kind: FindingKind,
    start: f64,
    end: f64,
    score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    crop: Option<Crop>,
}

impl InspectBranch {
    /// A branch for this plan.
    ///
    /// # Errors
    /// Where elements are missing.
    pub fn new(name: &str, plan: &InspectPlan, opened: Opened<'_>) -> Result<Self, Failure> {
        let bin = gst::Bin::builder().name(name).build();
        let settings = &plan.settings;
        let (mut eye, mut ear) = (None, None);
        if settings.looks() && opened.film.is_some() {
            let seen = Arc::new(Mutex::new(Eye::new(settings)));
            let seeing = seen.clone();
            let formats = gst::Caps::builder("video/x-raw").field("format", gst::List::new(FORMATS));
            let filter = element("capsfilter")?;
            filter.set_property("caps", formats.build());
            let sink = taker(move |sample| {
                look(&sample, &seeing);
                Ok(())
            });
            // What is in one of these formats already is not touched.
            let chain = [guard()?, queue(2)?, element("videoconvert")?, filter, sink.upcast()];
            hang(&bin, "frames", &chain)?;
            eye = Some(seen);
        }
        let listens = settings.silent.is_some() || settings.quiet.is_some() || settings.loud.is_some();
        if let Some(index) = opened.sound.filter(|_| listens) {
            let heard = Arc::new(Mutex::new(Ear::new(settings)));
            let hearing = heard.clone();
            let mut chain = raw(None)?;
            let sink = taker(move |sample| {
                let at = appears(&sample);
                let mut ear = hearing.lock().unwrap_or_else(PoisonError::into_inner);
                ear.take(&sample, at).ok_or(gst::FlowError::NotNegotiated)
            });
            chain.push(sink.upcast());
            hang(&bin, &format!("sound-{index}"), &chain)?;
            ear = Some(heard);
        }
        let plan = plan.clone();
        Ok(Self { bin, plan, eye, ear })
    }

    fn report(&self, media: &MediaInfo) -> (Report, Vec<Finding>) {
        let settings = &self.plan.settings;
        let mut all = All::default();
        let mut end = None;
        let mut crop = None;
        if let Some(eye) = &self.eye {
            let mut eye = eye.lock().unwrap_or_else(PoisonError::into_inner);
            eye.finish();
            end = eye.end();
            all.spans(FindingKind::Black, "the picture is black", eye.black.as_ref());
            all.spans(FindingKind::Frozen, "the picture does not move", eye.frozen.as_ref());
            all.spans(FindingKind::Blurred, "the picture is blurred", eye.blurred.as_ref());
            crop = eye.crop();
        }
        let mut loudness = None;
        if let Some(ear) = &self.ear {
            let mut ear = ear.lock().unwrap_or_else(PoisonError::into_inner);
            ear.finish(end);
            end = end.max(Some(ear.end()));
            all.spans(FindingKind::Silent, "there is no sound", ear.silent.as_ref());
            loudness = ear.loudness();
        }
        let end = end.or(media.duration).unwrap_or_default();
        let mut whole = |kind, score: f64, crop, message: &str| all.whole(kind, end, score, crop, message);
        if let Some((crop, share)) = crop {
            let Crop { x, y, width, height } = crop;
            let message = format!("the picture has black borders: inside are {width}x{height} pixels at {x},{y}");
            whole(FindingKind::BlackBorders, share, Some(crop), &message);
        }
        if let Some(is) = loudness.map(|loudness| loudness.integrated) {
            if let Some(least) = settings.quiet.filter(|least| is < *least) {
                let message = format!("the sound is at {is:.1} LUFS as a whole, below {least}");
                whole(FindingKind::TooQuiet, (least - is) / WORST, None, &message);
            }
            if let Some(most) = settings.loud.filter(|most| is > *most) {
                let message = format!("the sound is at {is:.1} LUFS as a whole, above {most}");
                whole(FindingKind::TooLoud, (is - most) / WORST, None, &message);
            }
        }
        if settings.no_audio && media.audio().is_none() {
            whole(FindingKind::NoAudio, 1.0, None, "the medium has no sound");
        }
        if settings.no_video && media.video().is_none() {
            whole(FindingKind::NoVideo, 1.0, None, "the medium has no video");
        }
        let report = Report {
            version: 1,
            duration: seconds(end),
            loudness,
            findings: all.told,
        };
        (report, all.findings)
    }
}

/// Findings for the JSON and for the job.
#[derive(Default)]
struct All {
    told: Vec<Told>,
    findings: Vec<Finding>,
}

impl All {
    fn spans(&mut self, kind: FindingKind, what: &str, spans: Option<&Spans>) {
        let Some(spans) = spans else { return };
        for (number, one) in spans.found.iter().enumerate() {
            let (start, end) = (seconds(one.start), seconds(one.end));
            self.told.push(Told {
                kind,
                start,
                end,
                score: rounded(one.score),
                crop: None,
            });
            if number < MOST_TOLD {
                let message = format!("{what} from {start:.2} s to {end:.2} s");
                self.findings.push(Finding { kind, message });
            }
        }
        let more = (spans.found.len().saturating_sub(MOST_TOLD)) as u64 + spans.left_out;
        if more > 0 {
            let message = format!("{what} at {more} more places");
            self.findings.push(Finding { kind, message });
        }
    }

    fn whole(&mut self, kind: FindingKind, end: Duration, score: f64, crop: Option<Crop>, message: &str) {
        self.told.push(Told {
            kind,
            start: 0.0,
            end: seconds(end),
            score: rounded(score.clamp(0.0, 1.0)),
            crop,
        });
        let message = plain(message);
        self.findings.push(Finding { kind, message });
    }
}

impl Branch for InspectBranch {
    fn bin(&self) -> &gst::Bin {
        &self.bin
    }

    fn finish(self: Box<Self>, ending: &mut Ending<'_, '_>) -> Result<(), Failure> {
        let (report, findings) = self.report(ending.media);
        let file = &self.plan.file;
        let mut text = serde_json::to_vec_pretty(&report).map_err(internal)?;
        text.push(b'\n');
        std::fs::write(file, text).map_err(|error| writing(file, &error))?;
        let (task, listener) = (ending.task, ending.pulse.listener());
        for finding in findings {
            listener.finding(Some(task), finding);
        }
        listener.output(task, file, readback::size(file)?, OutputReport::Bytes);
        Ok(())
    }

    fn abandon(self: Box<Self>) {
        let _ = std::fs::remove_file(&self.plan.file);
    }
}

/// When a frame or sound appears in the medium.
fn appears(sample: &gst::Sample) -> Option<Duration> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    match segment.to_running_time_full(sample.buffer()?.pts()?)? {
        gst::Signed::Positive(at) => Some(at.into()),
        gst::Signed::Negative(_) => Some(Duration::ZERO),
    }
}

fn look(sample: &gst::Sample, eye: &Mutex<Eye>) -> Option<()> {
    let info = gst_video::VideoInfo::from_caps(sample.caps()?).ok()?;
    let buffer = sample.buffer()?;
    let length = buffer.duration().map(Duration::from);
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).ok()?;
    let picture = Luma::of(&frame)?;
    let mut eye = eye.lock().unwrap_or_else(PoisonError::into_inner);
    eye.see(&picture, appears(sample)?, length);
    Some(())
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}

fn rounded(score: f64) -> f64 {
    (score * 1000.0).round() / 1000.0
}
