//! The branch of one transcode: from decoded frames, sound or packets to a file.

use std::fs::OpenOptions;
use std::sync::Arc;

use gst::prelude::*;

use super::av1;
use super::boxes;
use super::branch::{Branch, Ending, Opened, connect, of_step};
use super::clip::{Sort, clip};
use super::clips::{Beside, Joining};
use super::copied::{self, copy};
use super::decoder::{Straightening, straight};
use super::encoder::{self, Pass};
use super::failure::{internal, writing};
use super::flac;
use super::flat::flatten;
use super::meter::Meter;
use super::muxer;
use super::overlay;
use super::readback::{self, Fed};
use super::reference;
use super::sound;
use super::tracks::{self, Flags, Places, Told};
use super::twice::notes;
use crate::job::{ErrorKind, Failure};
use crate::plan::{MediaInfo, Span, TranscodePlan, VideoStream};
use crate::rule::{AudioCodec, Container, Deinterlace, Hdr, Track, Treatment, VideoCodec};

/// What the encoder puts before sound in Opus. Other forms have a place of their own for it.
const OPUS_SILENCE: u32 = 312;

/// What writes one file.
pub struct TranscodeBranch {
    plan: TranscodePlan,
    bin: gst::Bin,
    /// What came in of the film ...
    video: Option<Arc<Meter>>,
    /// ... and of each sound.
    sounds: Vec<Arc<Meter>>,
    subtitles: Vec<Arc<Told>>,
    flags: Flags,
    /// The pictures that have their final number: encoded ones before their encoder, copied ones before the muxer.
    pictures: Option<Arc<Meter>>,
    /// What comes before and after the film.
    joining: Option<Joining>,
}

impl TranscodeBranch {
    /// The time that was fed into the file.
    fn fed(&self) -> Fed {
        Fed {
            video: self.video.as_ref().map(|meter| meter.span()).unwrap_or_default(),
            sounds: self.sounds.iter().map(|meter| meter.span()).collect(),
            pictures: self.pictures.as_ref().map_or(0, |meter| meter.buffers()),
        }
    }
}

impl Branch for TranscodeBranch {
    fn bin(&self) -> &gst::Bin {
        &self.bin
    }

    fn reads_to_end(&self) -> bool {
        self.plan.span.is_whole()
    }

    fn beside(&self) -> Beside {
        self.joining.as_ref().map(Joining::beside).unwrap_or_default()
    }

    fn stopped(&mut self) {
        let _ = std::fs::remove_file(muxer::spool(&self.plan.file));
    }

    fn finish(self: Box<Self>, ending: &mut Ending<'_, '_>) -> Result<(), Failure> {
        let (fed, file) = (self.fed(), &self.plan.file);
        let pulse = &mut *ending.pulse;
        let joined = self.joining.as_ref().map_or(Ok(()), Joining::complete);
        let done = joined
            .and_then(|()| tracks::any(&self.plan, self.video.as_ref().map(|_| fed.video), &fed.sounds))
            .and_then(|()| copied::begins(&self.plan, fed.video))
            .and_then(|()| complete_index(&self.plan, ending.media))
            .and_then(|()| {
                tracks::complete(&self.plan, &self.flags, &fed.sounds).map_err(|error| writing(file, &error))
            })
            .and_then(|()| readback::media(file, &fed, &mut |buffers| pulse.beat(None, buffers)))
            .and_then(|(size, report)| {
                tracks::all_there(&self.subtitles, &report).map_err(|what| Failure::new(ErrorKind::BadOutput, what))?;
                Ok((size, report))
            });
        pulse.next_part();
        match done {
            Ok((size, mut report)) => {
                for finding in tracks::unheard(&self.plan, &fed.sounds, &mut report) {
                    pulse.listener().finding(Some(ending.task), finding);
                }
                if let Some(finding) = tracks::empty(&self.subtitles) {
                    pulse.listener().finding(Some(ending.task), finding);
                }
                pulse.listener().output(ending.task, file, size, report);
            }
            Err(failure) => {
                self.abandon();
                return Err(failure);
            }
        }
        Ok(())
    }

    fn abandon(self: Box<Self>) {
        let _ = std::fs::remove_file(&self.plan.file);
    }
}

/// The branch of this plan. Its pads take packets where the plan says
/// that the stream is copied, else decoded frames and sound.
///
/// # Errors
/// Where elements are missing or refuse a setting, or the container cannot hold what is to be copied.
pub fn transcode(name: &str, plan: &TranscodePlan, opened: Opened<'_>) -> Result<TranscodeBranch, Failure> {
    let (mut film, mut pictures) = (None, None);
    let bin = gst::Bin::builder().name(name).build();
    let container = plan.settings.container;
    let writer = muxer::writer(container, &plan.file)?;
    bin.add_many(&writer).map_err(internal)?;
    gst::Element::link_many(&writer).map_err(internal)?;
    let head = writer.first().ok_or_else(|| internal("nothing writes the file"))?;
    let places = Places::new(container);

    let shows = plan.picture.is_some() && opened.film.is_some();
    let joining = opened.reel.map(|reel| Joining::new(reel, shows));
    let streams = &opened.medium.streams;
    if let Some((index, shown)) = opened.film.zip(opened.media.video()) {
        let notes = notes(&plan.file);
        let pass = if plan.is_two_pass() {
            Pass::Second(&notes)
        } else {
            Pass::Only
        };
        let chain = if matches!(plan.settings.video, Track::Copy) {
            let chain = copy(container, head, &streams[index], true)?;
            Some((format!("packets-{index}"), chain, Sort::Packets))
        } else {
            film_chain(plan, opened, pass)?
        };
        if let Some((name, mut chain, sort)) = chain {
            film = Some(watch(&chain, plan.span, sort)?);
            if container == Container::Mxf && plan.settings.video.encoded().is_some() {
                film = flat_meter(&chain);
            }
            let entry = encoder::entry(&chain);
            let joined = joining.as_ref().map(|joining| joining.pictures(&mut chain, plan));
            let joined = joined.transpose()?;
            if let Some(exit) = &joined {
                film = Some(Meter::on(exit));
            }
            let last = connect(&bin, &name, &chain)?;
            pictures = match plan.settings.video {
                Track::Copy => Some(Meter::inside(&last)),
                _ => joined.as_ref().or(entry.as_ref()).map(Meter::on),
            };
            if let Some((picture, entry)) = plan.picture.zip(entry) {
                overlay::lay(&entry, &plan.cover, picture.size)?;
            }
            last.set_offset(tracks::silence(plan, joining.as_ref()));
            let codec = plan.settings.video.encoded().map(|spec| spec.codec);
            let pad = muxer::film_entry(container, head, codec)?;
            if pad.has_property("trak-timescale") {
                let timescale = muxer::timescale(plan.settings.video.encoded(), shown);
                pad.set_property("trak-timescale", timescale);
            }
            last.link(&pad).map_err(internal)?;
            places.keep(&last);
        }
    }
    let mut sounds = tracks::sounds(&bin, (head, &places), plan, opened, joining.as_ref())?;
    if let Some((chain, exit)) = silent_film(plan, joining.as_ref())? {
        sounds.push(Meter::on(&exit));
        bin.add_many(&chain).map_err(internal)?;
        gst::Element::link_many(&chain).map_err(internal)?;
        let last = chain.last().and_then(|last| last.static_pad("src"));
        let last = last.ok_or_else(|| internal("a chain without an exit"))?;
        last.link(&muxer::entry(container, head, false)?).map_err(internal)?;
    }
    let subtitles = tracks::subtitles(&bin, head, plan, opened, joining.as_ref())?;
    reference::choose(head);
    tracks::chapters(&bin, head, plan, joining.as_ref())?;
    if bin.iterate_sink_pads().next().ok().flatten().is_none() {
        return Err(Failure::new(
            ErrorKind::NoSuchStream,
            "the medium has neither video nor sound that the task wants",
        ));
    }
    Ok(TranscodeBranch {
        plan: plan.clone(),
        bin,
        video: film,
        sounds,
        subtitles,
        flags: Flags::of(plan, opened),
        pictures,
        joining,
    })
}

/// The sound of clips around a film that has none.
fn silent_film(
    plan: &TranscodePlan,
    joining: Option<&Joining>,
) -> Result<Option<(Vec<gst::Element>, gst::Pad)>, Failure> {
    match (joining, &plan.settings.audio, plan.clips.alone) {
        (Some(joining), Track::Encode(spec), Some(form)) => joining.silent(spec, form),
        _ => Ok(None),
    }
}

/// What encodes the film: what its pad is fed, its elements, and what passes them; none where no film is encoded.
///
/// # Errors
/// Where elements are missing or refuse a setting.
pub fn film_chain(
    plan: &TranscodePlan,
    opened: Opened<'_>,
    pass: Pass<'_>,
) -> Result<Option<(String, Vec<gst::Element>, Sort)>, Failure> {
    let (Track::Encode(spec), Some(picture), Some(shown)) = (&plan.settings.video, plan.picture, opened.media.video())
    else {
        return Ok(None);
    };
    if opened.film.is_none() {
        return Ok(None);
    }
    let mut chain = encoder::video(plan, spec, picture, opened.threads, pass)?;
    let Treated { feed, source, how } = treated(shown, plan.settings.treatment);
    // What has no place for the time of a picture begins with the whole.
    if plan.settings.container == Container::Mxf
        && let Some(entry) = chain.get(1).and_then(|queue| queue.static_pad("sink"))
    {
        flatten(&entry);
    }
    // After the queue, so that it is not the decoder's thread that does it.
    chain.splice(2..2, straight(&source, how)?);
    // What is encoded beside a copy begins with it.
    let sort = if plan.settings.copies() {
        Sort::Packets
    } else {
        Sort::Frames
    };
    let step = opened.steps.for_transcode(shown, plan);
    Ok(Some((step.map_or(feed.to_owned(), of_step), chain, sort)))
}

/// How frames are brought to where a task wants them.
pub struct Treated {
    /// What the task is fed: see [`super::branch::Feed`].
    pub feed: &'static str,
    /// What that looks like ...
    pub source: VideoStream,
    /// ... and what is still to be done to it.
    pub how: Straightening,
}

impl Treated {
    /// Whether the task wants frames as nearly all tasks do.
    pub fn is_usual(&self) -> bool {
        self.feed == "frames" && self.how.turn == 0
    }
}

/// What is done for one task to the frames of this film.
pub fn treated(shown: &VideoStream, treatment: Treatment) -> Treated {
    let fields = match treatment.deinterlace {
        Deinterlace::Auto => false,
        Deinterlace::Always => !shown.interlaced,
        Deinterlace::Off => shown.interlaced,
    };
    let keeps_range = treatment.hdr == Hdr::Keep && shown.colour.hdr.is_some();
    let own = fields || keeps_range;
    let (feed, how) = if own {
        let turn = (shown.rotation % 360 + treatment.rotate) % 360;
        let how = Straightening {
            deinterlace: treatment.deinterlace,
            turn,
            keeps_range,
        };
        ("stored", how)
    } else {
        // What is fed is straight already, but for what the task wants besides.
        let how = Straightening {
            deinterlace: Deinterlace::Auto,
            turn: treatment.rotate,
            keeps_range: true,
        };
        ("frames", how)
    };
    let source = VideoStream {
        interlaced: own && shown.interlaced,
        ..shown.clone()
    };
    Treated { feed, source, how }
}

/// Cuts what comes into a chain at its guard, and measures what is left.
///
/// # Errors
/// Where the chain has no guard.
pub fn watch(chain: &[gst::Element], span: Span, sort: Sort) -> Result<Arc<Meter>, Failure> {
    let pad = |name| chain.first().and_then(|guard| guard.static_pad(name));
    let (Some(entry), Some(exit)) = (pad("sink"), pad("src")) else {
        return Err(internal("a chain without a guard"));
    };
    clip(&entry, &exit, span, sort);
    Ok(Meter::on(&exit))
}

/// Measures a chain by the time of the whole, where what comes after its guard has been made to count by that.
pub fn flat_meter(chain: &[gst::Element]) -> Option<Arc<Meter>> {
    let entry = chain.get(1)?.static_pad("sink")?;
    Some(Meter::on(&entry))
}

/// A cover that came with the only stream is one of the whole result: players look for it there, and some stumble
/// over a track that has one.
pub fn lift_cover(pad: &gst::Pad) {
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &mut info.data
            && let gst::EventView::Tag(tag) = event.view()
            && (tag.tag().get::<gst::tags::Image>().is_some() || tag.tag().get::<gst::tags::PreviewImage>().is_some())
        {
            let mut tags = tag.tag().to_owned();
            tags.make_mut().set_scope(gst::TagScope::Global);
            *event = gst::event::Tag::new(tags);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Muxers do not write which way a film that was copied is turned, nor where sound begins.
fn complete_index(plan: &TranscodePlan, media: &MediaInfo) -> Result<(), Failure> {
    let settings = &plan.settings;
    if settings.container == Container::Flac {
        return flac::mend(&plan.file).map_err(|error| writing(&plan.file, &error));
    }
    if !settings.container.has_index_in_front() {
        return Ok(());
    }
    let turned = media.video().map_or(0, |video| video.rotation);
    let turns = turned != 0 && matches!(settings.video, Track::Copy) && settings.container.keeps_rotation();
    let silent = settings.audio.encoded().map_or(0, |spec| match spec.codec {
        AudioCodec::Opus => OPUS_SILENCE,
        codec => sound::silence(codec),
    });
    let complete = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().read(true).write(true).open(&plan.file)?;
        if turns {
            boxes::turn(&mut file, turned)?;
        }
        if settings.audio.is_some() {
            boxes::prime(&mut file, silent)?;
        }
        if settings
            .video
            .encoded()
            .is_some_and(|spec| spec.codec == VideoCodec::Av1)
        {
            av1::correct(&mut file)?;
        }
        Ok(())
    };
    match complete() {
        // A track that a damaged source did not fill is missed when the file is read back, in better words.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(()),
        done => done.map_err(|error| writing(&plan.file, &error)),
    }
}
