//! The branch of one package: an encoder for each form of the film and each sound, and what becomes of their packets.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

use super::boxes::Content;
use super::chains::{STYLED, cue};
use super::cut::Rule;
use super::fed::Fed;
use super::film::{self, Frames, From};
use super::intake::{Intake, Sort};
use super::manifests::{self, Film, Sound, Text};
use super::silence::Until;
use super::track::Order;
use super::words::Cue;
use super::{CLOCK, labels, proof};
use crate::job::{ErrorKind, Failure, Finding, FindingKind};
use crate::media::branch::{Branch, Ending, Opened, guard, hang, only, queue, taker};
use crate::media::clip::Sort as Cut;
use crate::media::encoder;
use crate::media::failure::{internal, writing};
use crate::media::flat::{filler, flatten};
use crate::media::meter::Meter;
use crate::media::muxer;
use crate::media::overlay;
use crate::media::sound::{self, Source};
use crate::media::transcode::watch;
use crate::plan::{
    AdaptivePlan, Coded, KEY, MANIFEST, MASTER, OutputReport, PlannedRendition, PlannedSound, Span, TrackReport,
};
use crate::rule::{AudioSpec, Hdr, SegmentForm, VideoCodec};

/// A stream of text.
struct Words {
    stream: usize,
    cues: Arc<Mutex<Vec<Cue>>>,
}

/// Every track, and what is told of it.
type Complete = (Vec<Film>, Vec<Sound>, Vec<TrackReport>);

/// What writes one package.
pub struct PackageBranch {
    plan: AdaptivePlan,
    bin: gst::Bin,
    films: Vec<(PlannedRendition, Fed)>,
    sounds: Vec<(PlannedSound, Fed)>,
    words: Vec<Words>,
    /// Title of every stream that has one.
    titles: Vec<Option<String>>,
    /// Subtitles that are no text.
    pictures: usize,
    /// The end of the film, up to which every sound goes.
    until: Until,
}

/// The branch of this plan.
///
/// # Errors
/// Where elements are missing or refuse a setting.
pub fn package(name: &str, plan: &AdaptivePlan, opened: Opened<'_>) -> Result<PackageBranch, Failure> {
    let bin = gst::Bin::builder().name(name).build();
    let streams = &opened.medium.streams;
    let title = |tags: &gst::TagList| tags.get::<gst::tags::Title>().map(|title| title.get().to_owned());
    let mut branch = PackageBranch {
        plan: plan.clone(),
        bin,
        films: Vec::new(),
        sounds: Vec::new(),
        words: Vec::new(),
        titles: streams.iter().map(|stream| title(&stream.tags)).collect(),
        pictures: 0,
        until: Until::default(),
    };
    let has_range = opened.media.video().is_some_and(|shown| shown.colour.hdr.is_some());
    let keeps = plan.treatment.hdr == Hdr::Keep && has_range;
    let mut frames = BTreeMap::new();
    for (index, rendition) in plan.renditions.iter().enumerate() {
        let shown = opened.media.video();
        let shown = shown.ok_or_else(|| Failure::new(ErrorKind::NoSuchStream, "the medium has no video"))?;
        let keep = keeps && rendition.video.codec.holds_hdr();
        let frames = match frames.entry(keep) {
            Entry::Occupied(frames) => frames.into_mut(),
            Entry::Vacant(none) => none.insert(Frames::new(&branch.bin, plan, shown, keep)?),
        };
        let timescale = match plan.segments {
            SegmentForm::Cmaf => muxer::timescale(Some(&rendition.video), shown),
            SegmentForm::Ts => CLOCK,
        };
        let step = opened.steps.for_rendition(shown, plan, rendition);
        branch.add_film(frames.of(index, step), rendition, timescale, opened.threads)?;
    }
    if let Some(spec) = &plan.audio {
        for (index, sound) in plan.sounds.iter().enumerate() {
            let stream = sound.stream as usize;
            let source = Source::of(opened.media, stream, opened.gain(stream));
            branch.add_sound(index, sound, spec, source)?;
        }
    }
    for stream in &plan.subtitles {
        let stream = *stream as usize;
        let is_text = streams.get(stream).is_some_and(|stream| {
            let sort = stream.media_type();
            sort == "text/x-raw" || STYLED.contains(&sort)
        });
        if is_text {
            branch.add_words(stream)?;
        } else {
            branch.pictures += 1;
        }
    }
    Ok(branch)
}

/// Cuts what comes into a chain, and measures what is left of it by the time of the package.
fn measured(chain: &[gst::Element], span: Span, sort: Cut) -> Result<Arc<Meter>, Failure> {
    watch(chain, span, sort)?;
    // Where it leaves the guard, it still has the time of the medium.
    let entry = chain.get(1).and_then(|queue| queue.static_pad("sink"));
    let entry = entry.ok_or_else(|| internal("a chain without a queue"))?;
    Ok(Meter::on(&entry))
}

impl PackageBranch {
    fn order(&self, name: &str, rule: Rule, timescale: u32) -> Order {
        Order {
            prefix: self.plan.prefix.clone(),
            name: name.to_owned(),
            form: self.plan.segments,
            rule,
            timescale,
            key: self.plan.lock.as_ref().map(|lock| lock.key),
        }
    }

    fn add_film(
        &mut self,
        (from, span): (From<'_>, Span),
        rendition: &PlannedRendition,
        timescale: u32,
        threads: u32,
    ) -> Result<(), Failure> {
        let chain = film::chain(rendition, threads)?;
        let wanted = self.plan.at_least.as_nanos() * u128::from(timescale) / 1_000_000_000;
        let ticks = |num: u64, den: u64| 2 * u64::from(timescale) * den / num.max(1);
        let in_order = matches!(rendition.video.codec, VideoCodec::Vp9 | VideoCodec::Av1);
        let rule = Rule::Keys {
            wanted: u64::try_from(wanted).unwrap_or(u64::MAX),
            // Two pictures; of a film whose pictures come as they like, of one with thirty a second. Where each packet shows
            // the next picture, none.
            ahead: match rendition.fps {
                _ if in_order => 0,
                Some((num, den)) => ticks(num.into(), den.into()),
                None => ticks(30, 1),
            },
        };
        let order = self.order(&rendition.name, rule, timescale);
        if let Some(entry) = encoder::entry(&chain) {
            overlay::lay(&entry, &rendition.cover, rendition.picture.size)?;
        }
        let source = measured(&chain, span, Cut::Frames)?;
        let fed = self.add(&from, chain, source, Intake::new(order, Sort::Film))?;
        self.films.push((rendition.clone(), fed));
        Ok(())
    }

    fn add_sound(
        &mut self,
        index: usize,
        sound: &PlannedSound,
        spec: &AudioSpec,
        source: Source<'_>,
    ) -> Result<(), Failure> {
        let mut chain = sound::encode(spec, sound.channels, sound.rate, source)?;
        // Sound that begins late, or has holes, is filled with silence: packets are counted.
        chain.insert(2, filler()?);
        if let Some(entry) = chain[1].static_pad("sink") {
            flatten(&entry);
        }
        let caps = gst::Caps::builder("audio/mpeg")
            .field("mpegversion", 4)
            .field("stream-format", "raw");
        if let Some(entry) = encoder::entry(&chain).filter(|_| !self.films.is_empty()) {
            let form = gst_audio::AudioCapsBuilder::new()
                .rate(i32::try_from(sound.rate).map_err(internal)?)
                .channels(i32::try_from(sound.channels).map_err(internal)?);
            self.until.fill(&entry, &form.build());
        }
        chain.push(only(&caps.build())?);
        let rule = Rule::Grid(self.plan.even, sound.rate);
        let order = self.order(&format!("audio-{}", index + 1), rule, sound.rate);
        let silent = sound::silence(spec.codec);
        let from = From::Pad(format!("sound-{}", sound.stream));
        let source = measured(&chain, self.plan.span, Cut::Sound)?;
        let fed = self.add(&from, chain, source, Intake::new(order, Sort::Sound { silent }))?;
        self.sounds.push((sound.clone(), fed));
        Ok(())
    }

    /// Hangs a chain that ends in packets.
    fn add(
        &mut self,
        from: &From<'_>,
        mut chain: Vec<gst::Element>,
        source: Arc<Meter>,
        intake: Intake,
    ) -> Result<Fed, Failure> {
        let is_film = intake.is_film();
        let intake = Arc::new(Mutex::new(intake));
        let taking = intake.clone();
        let sink = taker(move |sample| {
            let mut intake = taking.lock().unwrap_or_else(PoisonError::into_inner);
            intake.take(&sample);
            Ok(())
        });
        let entered = encoder::entry(&chain).map(|pad| Meter::on(&pad));
        if let Some((exit, film)) = sink.static_pad("sink").zip(entered.clone()).filter(|_| is_film) {
            let until = self.until.clone();
            exit.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
                if info.event().is_some_and(|event| event.type_() == gst::EventType::Eos) {
                    until.reach(film.span().end);
                }
                gst::PadProbeReturn::Ok
            });
        }
        chain.push(sink.upcast());
        from.lead(&self.bin, &chain)?;
        Ok(Fed {
            intake,
            source,
            entered,
        })
    }

    fn add_words(&mut self, stream: usize) -> Result<(), Failure> {
        let cues = Arc::new(Mutex::new(Vec::new()));
        let taking = cues.clone();
        let span = self.plan.span;
        let sink = taker(move |sample| {
            if let Some(cue) = cue(&sample, span) {
                taking.lock().unwrap_or_else(PoisonError::into_inner).push(cue);
            }
            Ok(())
        });
        hang(
            &self.bin,
            &format!("packets-{stream}"),
            &[guard()?, queue(0)?, sink.upcast()],
        )?;
        self.words.push(Words { stream, cues });
        Ok(())
    }

    /// Completes every track, and reads it back.
    fn complete(&self, tick: &mut dyn FnMut()) -> Result<Complete, Failure> {
        let (mut films, mut sounds, mut reports) = (Vec::new(), Vec::new(), Vec::new());
        for (rendition, fed) in &self.films {
            let written = fed.taken().finish(None)?;
            let nothing = || Failure::new(ErrorKind::Corrupt, "no picture of the medium could be decoded");
            let track = written.ok_or_else(nothing)?;
            let report = TrackReport {
                video: true,
                width: rendition.picture.size.0,
                height: rendition.picture.size.1,
                pictures: fed.entered.as_ref().map_or(0, |meter| meter.buffers()),
                coded: match &track.content {
                    Content::Film(film) => film.coded.clone(),
                    Content::Aac { .. } => Coded::default(),
                },
                ..fed.report(&track)
            };
            proof::track(&track, tick)?;
            reports.push(report);
            let fps = rendition.fps;
            films.push(Film { track, fps });
        }
        proof::alike(films.iter().map(|film| &film.track))?;
        for (sound, fed) in &self.sounds {
            let span = fed.entered.as_ref().map(|meter| meter.span()).unwrap_or_default();
            let written = fed.taken().finish(span.end)?;
            let nothing = || Failure::new(ErrorKind::Corrupt, "no sound of the medium could be decoded");
            let track = written.ok_or_else(nothing)?;
            proof::track(&track, tick)?;
            reports.push(TrackReport {
                channels: sound.channels,
                rate: sound.rate,
                ..fed.report(&track)
            });
            sounds.push(Sound {
                track,
                channels: sound.channels,
                language: None,
                name: String::new(),
            });
        }
        Ok((films, sounds, reports))
    }

    fn texts(&self, ending: &Ending<'_, '_>) -> Vec<Text> {
        let title = |stream: usize| self.titles.get(stream).and_then(Option::as_deref);
        let mut taken = Vec::new();
        let texts = self.words.iter().map(|words| {
            let mut cues = words.cues.lock().unwrap_or_else(PoisonError::into_inner).clone();
            cues.sort_by_key(|cue| cue.start);
            let language = ending
                .media
                .streams
                .get(words.stream)
                .and_then(|stream| stream.language.as_deref());
            let language = language.and_then(labels::language);
            Text {
                cues,
                name: labels::label(title(words.stream), language.as_deref(), "Subtitles", &mut taken),
                language,
            }
        });
        texts.collect()
    }
}

impl Branch for PackageBranch {
    fn bin(&self) -> &gst::Bin {
        &self.bin
    }

    fn reads_to_end(&self) -> bool {
        self.plan.span.is_whole()
    }

    fn finish(self: Box<Self>, ending: &mut Ending<'_, '_>) -> Result<(), Failure> {
        let (films, mut sounds, reports) = {
            let pulse = &mut *ending.pulse;
            self.complete(&mut || pulse.beat(None, 0))?
        };
        let mut taken = Vec::new();
        for (planned, _) in self.sounds.iter().filter(|(_, fed)| fed.source.span().start.is_none()) {
            let finding = Finding {
                kind: FindingKind::StreamLeftOut,
                message: format!(
                    "nothing is heard of the sound of stream {}: it is silent here",
                    planned.stream
                ),
            };
            ending.pulse.listener().finding(Some(ending.task), finding);
        }
        for (sound, (planned, _)) in sounds.iter_mut().zip(&self.sounds) {
            let stream = planned.stream as usize;
            let language = ending
                .media
                .streams
                .get(stream)
                .and_then(|stream| stream.language.as_deref());
            let language = planned.language.as_deref().or(language);
            sound.language = language.and_then(labels::language);
            let title = self.titles.get(stream).and_then(Option::as_deref);
            sound.name = labels::label(title, sound.language.as_deref(), "Sound", &mut taken);
        }
        let texts = self.texts(ending);
        let made = manifests::Made {
            plan: &self.plan,
            films: &films,
            sounds: &sounds,
            texts: &texts,
        };
        let mut files: Vec<(String, Vec<u8>)> = made.members();
        let key = self.plan.lock.as_ref().map(|lock| lock.key.0.to_vec());
        files.extend(key.map(|key| (KEY.to_owned(), key)));
        let mut fronts: Vec<(String, Vec<u8>)> = Vec::new();
        if self.plan.hls {
            fronts.push((MASTER.to_owned(), made.master().into_bytes()));
        }
        if self.plan.dash {
            fronts.push((MANIFEST.to_owned(), made.manifest().into_bytes()));
        }
        if self.pictures > 0 {
            let finding = Finding {
                kind: FindingKind::StreamLeftOut,
                message: format!(
                    "{} subtitle tracks of the source are no text that could be carried",
                    self.pictures
                ),
            };
            ending.pulse.listener().finding(Some(ending.task), finding);
        }
        let prefix = &self.plan.prefix;
        for (name, content) in files.iter().chain(&fronts) {
            let file = format!("{prefix}{name}");
            std::fs::write(&file, content).map_err(|error| writing(&file, &error))?;
        }
        let listener = ending.pulse.listener();
        let tracks = films
            .iter()
            .map(|film| &film.track)
            .chain(sounds.iter().map(|sound| &sound.track));
        for track in tracks {
            if let Some(init) = &track.init {
                let file = format!("{prefix}{}", track.order.init());
                listener.output(ending.task, &file, init.len() as u64, OutputReport::Bytes);
            }
            for segment in &track.segments {
                let file = format!("{prefix}{}", segment.file);
                listener.output(ending.task, &file, segment.bytes, OutputReport::Bytes);
            }
        }
        for (name, content) in files {
            let file = format!("{prefix}{name}");
            listener.output(ending.task, &file, content.len() as u64, OutputReport::Bytes);
        }
        for (name, content) in fronts {
            let file = format!("{prefix}{name}");
            let report = OutputReport::Package {
                tracks: reports.clone(),
            };
            listener.output(ending.task, &file, content.len() as u64, report);
        }
        Ok(())
    }

    fn abandon(self: Box<Self>) {
        let all = self
            .films
            .iter()
            .map(|(_, fed)| fed)
            .chain(self.sounds.iter().map(|(_, fed)| fed));
        for fed in all {
            fed.taken().abandon();
        }
    }
}
