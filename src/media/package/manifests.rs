//! All playlists and manifests of a package, from what was written.

use std::time::Duration;

use super::boxes::Content;
use super::codecs;
use super::mpd::{self, Form, Set};
use super::pictures::Pictures;
use super::playlists::{self, Beside, Entry, Head, Load, Variant};
use super::track::Written;
use super::transport;
use super::words::{self, Cue};
use crate::plan::AdaptivePlan;
use crate::rule::SegmentForm;

/// A form of the film.
pub struct Film {
    /// What was written.
    pub track: Written,
    /// Frames a second as a fraction, where they should come evenly.
    pub fps: Option<(u32, u32)>,
}

impl Film {
    /// Frames a second, and as a fraction where they come as evenly as they should: else of the liveliest segment.
    fn fps(&self) -> (f64, Option<(u32, u32)>) {
        let ticks = f64::from(self.track.order.timescale.max(1));
        let rate = |samples: u64, ticks_long: u64| samples as f64 * ticks / (ticks_long as f64).max(1.0);
        let segments = &self.track.segments;
        let whole = segments
            .first()
            .zip(segments.last())
            .map_or(1, |(first, last)| last.end - first.start);
        let average = rate(segments.iter().map(|segment| segment.samples).sum(), whole);
        if let Some((num, den)) = self.fps {
            let told = f64::from(num) / f64::from(den.max(1));
            if (told - average).abs() < told * 0.02 {
                return (told, Some((num, den)));
            }
        }
        let rates = segments
            .iter()
            .map(|segment| rate(segment.samples, segment.end - segment.start));
        (rates.fold(average, f64::max), None)
    }
}

/// A sound.
pub struct Sound {
    /// What was written.
    pub track: Written,
    /// How many.
    pub channels: u32,
    /// As BCP 47 has it.
    pub language: Option<String>,
    /// For people.
    pub name: String,
}

/// Subtitles.
pub struct Text {
    /// In the order of their times.
    pub cues: Vec<Cue>,
    /// As BCP 47 has it.
    pub language: Option<String>,
    /// For people.
    pub name: String,
}

/// All that was made.
pub struct Made<'a> {
    /// What was wanted.
    pub plan: &'a AdaptivePlan,
    /// Forms of the film.
    pub films: &'a [Film],
    /// Sounds.
    pub sounds: &'a [Sound],
    /// Subtitles.
    pub texts: &'a [Text],
}

impl Made<'_> {
    fn inside(&self, name: &str) -> String {
        format!("{}/{name}", self.plan.folder)
    }

    fn has_key_frames(&self) -> bool {
        self.plan.iframes && self.plan.lock.is_none()
    }

    fn tracks(&self) -> impl Iterator<Item = &Written> {
        let films = self.films.iter().map(|film| &film.track);
        films.chain(self.sounds.iter().map(|sound| &sound.track))
    }

    /// When the last track is over.
    fn end(&self) -> Duration {
        let end = |track: &Written| {
            let nanos = |ticks: u64| u128::from(ticks) * 1_000_000_000 / u128::from(track.order.timescale.max(1));
            let last = track.segments.last().map_or(0, |last| nanos(last.end));
            Duration::from_nanos(u64::try_from(last).unwrap_or(u64::MAX))
        };
        self.tracks().map(end).max().unwrap_or_default()
    }

    /// How long the segments of films and sounds are at most, as all of their playlists must say.
    fn target(&self) -> u64 {
        let of = |track: &Written| playlists::target(playlists::entries(track).iter(), track.order.timescale);
        self.tracks().map(of).max().unwrap_or(1)
    }

    /// Playlists of tracks and files of subtitles, by name.
    pub fn members(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        if self.plan.hls {
            let target = self.target();
            for track in self.tracks() {
                let init = track.order.init();
                let head = Head {
                    timescale: track.order.timescale,
                    init: track.init.is_some().then_some(init.as_str()),
                    key: self.plan.lock.as_ref().map(|lock| lock.uri.as_str()),
                    key_frames: false,
                    target,
                };
                let text = playlists::media(&head, &playlists::entries(track));
                files.push((format!("{}.m3u8", track.order.name), text.into_bytes()));
            }
            for film in self.films.iter().filter(|_| self.has_key_frames()) {
                let track = &film.track;
                let init = track.order.init();
                let head = Head {
                    timescale: track.order.timescale,
                    init: track.init.is_some().then_some(init.as_str()),
                    key: None,
                    key_frames: true,
                    target: playlists::target(playlists::key_frames(track).iter(), track.order.timescale),
                };
                let text = playlists::media(&head, &playlists::key_frames(track));
                files.push((format!("{}-iframes.m3u8", track.order.name), text.into_bytes()));
            }
        }
        for (text, number) in self.texts.iter().zip(1..) {
            let name = format!("subtitles-{number}");
            if self.plan.dash {
                let whole = words::file(&text.cues, Duration::ZERO, Duration::MAX, None);
                files.push((format!("{name}.vtt"), whole.into_bytes()));
            }
            if self.plan.hls {
                files.extend(self.words(text, &name));
            }
        }
        files
    }

    /// Subtitles in segments, and their playlist.
    fn words(&self, text: &Text, name: &str) -> Vec<(String, Vec<u8>)> {
        let clock = match self.plan.segments {
            SegmentForm::Cmaf => 0,
            SegmentForm::Ts => transport::ZERO,
        };
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (end, step) = (self.end(), self.plan.even.max(Duration::from_millis(1)));
        let (mut files, mut spans) = (Vec::new(), Vec::new());
        let mut from = Duration::ZERO;
        while from < end {
            let to = from.saturating_add(step).min(end);
            let file = format!("{name}-{:05}.vtt", files.len() + 1);
            let content = words::file(&text.cues, from, to, Some(clock));
            spans.push((millis(from), millis(to)));
            files.push((file, content.into_bytes()));
            from = to;
        }
        let entries: Vec<_> = files
            .iter()
            .zip(spans)
            .map(|((file, _), span)| Entry { file, span, part: None })
            .collect();
        let head = Head {
            timescale: 1000,
            target: playlists::target(entries.iter(), 1000),
            ..Head::default()
        };
        let playlist = playlists::media(&head, &entries);
        files.push((format!("{name}.m3u8"), playlist.into_bytes()));
        files
    }

    /// The playlist that HLS players open.
    pub fn master(&self) -> String {
        let loads: Vec<Load> = self.sounds.iter().map(|sound| playlists::load(&sound.track)).collect();
        let heaviest = Load {
            peak: loads.iter().map(|load| load.peak).max().unwrap_or(0),
            average: loads.iter().map(|load| load.average).max().unwrap_or(0),
        };
        let mut sound_codecs: Vec<String> = Vec::new();
        for sound in self.sounds {
            let name = codecs::name(&sound.track.content);
            if !sound_codecs.contains(&name) {
                sound_codecs.push(name);
            }
        }
        let playlist = |track: &Written| self.inside(&format!("{}.m3u8", track.order.name));
        let mut variants: Vec<Variant> = Vec::new();
        for film in self.films {
            let own = playlists::load(&film.track);
            let key_frames = self.has_key_frames().then(|| {
                let uri = self.inside(&format!("{}-iframes.m3u8", film.track.order.name));
                (uri, playlists::load_of_key_frames(&film.track))
            });
            variants.push(Variant {
                uri: playlist(&film.track),
                load: Load {
                    peak: own.peak + heaviest.peak,
                    average: own.average + heaviest.average,
                },
                codecs: [vec![codecs::name(&film.track.content)], sound_codecs.clone()].concat(),
                size: size(&film.track),
                fps: film.fps().0,
                range: pictures(&film.track).and_then(Pictures::range),
                key_frames,
            });
        }
        if let (true, Some(first)) = (self.films.is_empty(), self.sounds.first()) {
            variants.push(Variant {
                uri: playlist(&first.track),
                load: heaviest,
                codecs: sound_codecs,
                size: None,
                fps: 0.0,
                range: None,
                key_frames: None,
            });
        }
        let sounds = self.sounds.iter().map(|sound| Beside {
            uri: playlist(&sound.track),
            name: sound.name.clone(),
            language: sound.language.clone(),
            channels: Some(sound.channels),
        });
        // One sound by itself is the whole medium.
        let alone = self.films.is_empty() && self.sounds.len() == 1;
        let sounds: Vec<_> = sounds.filter(|_| !alone).collect();
        let texts = self.texts.iter().zip(1..).map(|(text, number)| Beside {
            uri: self.inside(&format!("subtitles-{number}.m3u8")),
            name: text.name.clone(),
            language: text.language.clone(),
            channels: None,
        });
        playlists::master(&variants, &sounds, &texts.collect::<Vec<_>>())
    }

    /// The manifest that DASH players open.
    pub fn manifest(&self) -> String {
        let form = |track: &'_ Written, fps| -> Form<'_> {
            Form {
                id: "",
                codecs: codecs::name(&track.content),
                bandwidth: playlists::load(track).peak,
                size: size(track).unwrap_or_default(),
                fps,
                timescale: track.order.timescale,
                segments: &[],
            }
        };
        let names: Vec<String> = (1..=self.texts.len())
            .map(|number| format!("subtitles-{number}"))
            .collect();
        // A player switches within a set while it plays: not from one codec to another.
        let codec = |film: &Film| pictures(&film.track).map(|film| film.codec);
        let mut sets: Vec<Set<'_>> = Vec::new();
        for (at, film) in self.films.iter().enumerate() {
            let first = self.films.iter().position(|one| codec(one) == codec(film));
            if first != Some(at) {
                continue;
            }
            let same = self.films.iter().filter(|one| codec(one) == codec(film));
            let forms = same.map(|film| Form {
                id: &film.track.order.name,
                segments: &film.track.segments,
                ..form(&film.track, film.fps().1)
            });
            let colours = pictures(&film.track).filter(|film| film.range().is_some());
            let colours = colours.and_then(|film| film.colours);
            sets.push(Set {
                sort: mpd::Sort::Film(forms.collect(), colours),
                language: None,
                label: None,
            });
        }
        for (index, sound) in self.sounds.iter().enumerate() {
            let own = Form {
                id: &sound.track.order.name,
                segments: &sound.track.segments,
                ..form(&sound.track, None)
            };
            sets.push(Set {
                sort: mpd::Sort::Sound(own, sound.channels, sound.track.order.timescale, index == 0),
                language: sound.language.as_deref(),
                label: Some(&sound.name),
            });
        }
        for (text, name) in self.texts.iter().zip(&names) {
            sets.push(Set {
                sort: mpd::Sort::Text {
                    uri: self.inside(&format!("{name}.vtt")),
                    id: name,
                },
                language: text.language.as_deref(),
                label: Some(&text.name),
            });
        }
        let longest = self.tracks().flat_map(|track| {
            let timescale = u64::from(track.order.timescale.max(1));
            let segments = track.segments.iter();
            segments.map(move |segment| (segment.end - segment.start).div_ceil(timescale))
        });
        // Rounded up: what lies behind the end nobody shows.
        let micros = self.end().as_nanos().div_ceil(1000);
        mpd::manifest(&self.plan.folder, &sets, micros, longest.max().unwrap_or(1))
    }
}

fn pictures(track: &Written) -> Option<&Pictures> {
    match &track.content {
        Content::Film(film) => Some(film),
        Content::Aac { .. } => None,
    }
}

fn size(track: &Written) -> Option<(u32, u32)> {
    pictures(track).map(|film| (u32::from(film.width), u32::from(film.height)))
}
