//! The manifest of DASH (ISO/IEC 23009-1): static, with a timeline of segments, which every player knows.

use std::fmt::Write as _;

use super::Segment;
use super::track::FIRST;
use crate::media::colour::Numbers;
use crate::plan::same_ratio;

/// The number of the transfer that is made for screens of a high range alone (ISO/IEC 23091-2).
const PQ: u8 = 16;

/// Tracks between which a player may switch at any segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Set<'a> {
    /// What it is, with the forms of it.
    pub sort: Sort<'a>,
    /// As BCP 47 has it.
    pub language: Option<&'a str>,
    /// For people.
    pub label: Option<&'a str>,
}

/// What a set of tracks is.
#[derive(Debug, Clone, PartialEq)]
pub enum Sort<'a> {
    /// Forms of the film in one codec, and what their samples mean where that is not what every screen shows.
    Film(Vec<Form<'a>>, Option<Numbers>),
    /// One sound: itself, how many channels, samples a second, and whether it is the one that is heard first.
    Sound(Form<'a>, u32, u32, bool),
    /// A file of subtitles.
    Text {
        /// Its name.
        uri: String,
        /// What it is called among all forms.
        id: &'a str,
    },
}

/// A form of a track.
#[derive(Debug, Clone, PartialEq)]
pub struct Form<'a> {
    /// What its files are called by.
    pub id: &'a str,
    /// As RFC 6381 has it.
    pub codecs: String,
    /// Bits a second at most.
    pub bandwidth: u64,
    /// In pixels; of a film.
    pub size: (u32, u32),
    /// Frames a second, as a fraction; of a film.
    pub fps: Option<(u32, u32)>,
    /// Ticks a second.
    pub timescale: u32,
    /// What was written.
    pub segments: &'a [Segment],
}

/// The manifest.
///
/// `folder` holds the segments, `length` is that of the longest track in microseconds, and `buffer` that of the longest segment
/// in seconds.
#[must_use]
pub fn manifest(folder: &str, sets: &[Set<'_>], length: u128, buffer: u64) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:isoff-live:2011\" type=\"static\" \
         mediaPresentationDuration=\"PT{}.{:06}S\" minBufferTime=\"PT{buffer}S\">",
        length / 1_000_000,
        length % 1_000_000,
    );
    let _ = writeln!(out, "  <Period id=\"1\" start=\"PT0S\">");
    for (set, id) in sets.iter().zip(1..) {
        let _ = write!(out, "    <AdaptationSet id=\"{id}\"");
        if let Some(language) = set.language {
            let _ = write!(out, " lang=\"{}\"", escaped(language));
        }
        if let Sort::Film(forms, _) = &set.sort {
            most(&mut out, forms);
        }
        match &set.sort {
            Sort::Film(forms, colours) => film(&mut out, folder, forms, *colours),
            Sort::Sound(form, channels, rate, first) => {
                out.push_str(
                    " contentType=\"audio\" mimeType=\"audio/mp4\" segmentAlignment=\"true\" startWithSAP=\"1\">\n",
                );
                inner(&mut out, set.label, if *first { "main" } else { "alternate" });
                template(&mut out, folder, form);
                let _ = writeln!(
                    out,
                    "      <Representation id=\"{}\" codecs=\"{}\" bandwidth=\"{}\" audioSamplingRate=\"{rate}\">\n        \
                     <AudioChannelConfiguration schemeIdUri=\"urn:mpeg:dash:23003:3:audio_channel_configuration:2011\" \
                     value=\"{channels}\"/>\n      </Representation>",
                    form.id, form.codecs, form.bandwidth,
                );
            }
            Sort::Text { uri, id } => {
                out.push_str(" contentType=\"text\" mimeType=\"text/vtt\">\n");
                inner(&mut out, set.label, "subtitle");
                let _ = writeln!(
                    out,
                    "      <Representation id=\"{id}\" bandwidth=\"1000\">\n        <BaseURL>{}</BaseURL>\n      </Representation>",
                    escaped(uri),
                );
            }
        }
        out.push_str("    </AdaptationSet>\n");
    }
    out.push_str("  </Period>\n</MPD>\n");
    out
}

/// What no form of the film is above, as players without a decoder for all of that want to know at once.
fn most(out: &mut String, forms: &[Form<'_>]) {
    let Some(largest) = forms.iter().map(|form| form.size).max() else {
        return;
    };
    let width = forms.iter().map(|form| form.size.0).max().unwrap_or(0);
    let height = forms.iter().map(|form| form.size.1).max().unwrap_or(0);
    let _ = write!(out, " maxWidth=\"{width}\" maxHeight=\"{height}\"");
    if forms.iter().all(|form| same_ratio(form.size, largest)) {
        let (mut common, mut rest) = largest;
        while rest > 0 {
            (common, rest) = (rest, common % rest);
        }
        let common = common.max(1);
        let _ = write!(out, " par=\"{}:{}\"", largest.0 / common, largest.1 / common);
    }
    let faster = |one: &(u32, u32), other: &(u32, u32)| {
        let product = |rate: u32, per: u32| u64::from(rate) * u64::from(per);
        product(one.0, other.1).cmp(&product(other.0, one.1))
    };
    if let Some(fps) = forms.iter().filter_map(|form| form.fps).max_by(faster) {
        let _ = write!(out, " maxFrameRate=\"{}\"", rate(fps));
    }
}

fn rate((rate, per): (u32, u32)) -> String {
    if per == 1 {
        rate.to_string()
    } else {
        format!("{rate}/{per}")
    }
}

fn film(out: &mut String, folder: &str, forms: &[Form<'_>], colours: Option<Numbers>) {
    out.push_str(" contentType=\"video\" mimeType=\"video/mp4\" segmentAlignment=\"true\" startWithSAP=\"1\">\n");
    if let Some(told) = colours {
        // What a screen of the usual range cannot show at all is not for players that do not know of it; hybrid forms are.
        let property = if told.transfer == PQ {
            "EssentialProperty"
        } else {
            "SupplementalProperty"
        };
        let told = [
            ("ColourPrimaries", told.primaries),
            ("TransferCharacteristics", told.transfer),
            ("MatrixCoefficients", told.matrix),
        ];
        for (what, number) in told {
            let _ = writeln!(
                out,
                "      <{property} schemeIdUri=\"urn:mpeg:mpegB:cicp:{what}\" value=\"{number}\"/>"
            );
        }
    }
    // All are cut at the same pictures: one timeline is enough.
    if let Some(first) = forms.first() {
        template(out, folder, first);
    }
    for form in forms {
        let (width, height) = form.size;
        let _ = write!(
            out,
            "      <Representation id=\"{}\" codecs=\"{}\" bandwidth=\"{}\" width=\"{width}\" height=\"{height}\" sar=\"1:1\"",
            form.id, form.codecs, form.bandwidth,
        );
        if let Some(fps) = form.fps {
            let _ = write!(out, " frameRate=\"{}\"", rate(fps));
        }
        out.push_str("/>\n");
    }
}

fn inner(out: &mut String, label: Option<&str>, role: &str) {
    if let Some(label) = label {
        let _ = writeln!(out, "      <Label>{}</Label>", escaped(label));
    }
    let _ = writeln!(
        out,
        "      <Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"{role}\"/>"
    );
}

fn template(out: &mut String, folder: &str, form: &Form<'_>) {
    let _ = writeln!(
        out,
        "      <SegmentTemplate timescale=\"{}\" startNumber=\"{FIRST}\" \
         initialization=\"{folder}/$RepresentationID$-init.mp4\" media=\"{folder}/$RepresentationID$-$Number%05d$.m4s\">\n        \
         <SegmentTimeline>",
        form.timescale,
    );
    let mut rest = form.segments;
    while let Some(first) = rest.first() {
        let length = first.end - first.start;
        let same = rest
            .iter()
            .take_while(|segment| segment.end - segment.start == length)
            .count();
        let _ = write!(out, "          <S t=\"{}\" d=\"{length}\"", first.start);
        if same > 1 {
            let _ = write!(out, " r=\"{}\"", same - 1);
        }
        out.push_str("/>\n");
        rest = &rest[same..];
    }
    out.push_str("        </SegmentTimeline>\n      </SegmentTemplate>\n");
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::package::testing::segments;

    #[test]
    fn a_manifest_says_where_every_segment_is_and_when() {
        let films = segments("720p", &[(100, 9), (100, 9), (50, 9)]);
        let sounds = segments("audio-1", &[(10, 9)]);
        let form = |id, segments| Form {
            id,
            codecs: "x".to_owned(),
            bandwidth: 9,
            size: (1280, 720),
            fps: Some((30_000, 1001)),
            timescale: 25,
            segments,
        };
        let sets = [
            Set {
                sort: Sort::Film(vec![form("720p", &films)], None),
                language: None,
                label: None,
            },
            Set {
                sort: Sort::Sound(form("audio-1", &sounds), 2, 48_000, true),
                language: Some("de"),
                label: Some("A & B"),
            },
            Set {
                sort: Sort::Text {
                    uri: "job/subtitles-1.vtt".to_owned(),
                    id: "subtitles-1",
                },
                language: None,
                label: None,
            },
        ];
        insta::assert_snapshot!(manifest("job", &sets, 10_000_000, 4), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011" type="static" mediaPresentationDuration="PT10.000000S" minBufferTime="PT4S">
          <Period id="1" start="PT0S">
            <AdaptationSet id="1" maxWidth="1280" maxHeight="720" par="16:9" maxFrameRate="30000/1001" contentType="video" mimeType="video/mp4" segmentAlignment="true" startWithSAP="1">
              <SegmentTemplate timescale="25" startNumber="1" initialization="job/$RepresentationID$-init.mp4" media="job/$RepresentationID$-$Number%05d$.m4s">
                <SegmentTimeline>
                  <S t="0" d="100" r="1"/>
                  <S t="200" d="50"/>
                </SegmentTimeline>
              </SegmentTemplate>
              <Representation id="720p" codecs="x" bandwidth="9" width="1280" height="720" sar="1:1" frameRate="30000/1001"/>
            </AdaptationSet>
            <AdaptationSet id="2" lang="de" contentType="audio" mimeType="audio/mp4" segmentAlignment="true" startWithSAP="1">
              <Label>A &amp; B</Label>
              <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
              <SegmentTemplate timescale="25" startNumber="1" initialization="job/$RepresentationID$-init.mp4" media="job/$RepresentationID$-$Number%05d$.m4s">
                <SegmentTimeline>
                  <S t="0" d="10"/>
                </SegmentTimeline>
              </SegmentTemplate>
              <Representation id="audio-1" codecs="x" bandwidth="9" audioSamplingRate="48000">
                <AudioChannelConfiguration schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
              </Representation>
            </AdaptationSet>
            <AdaptationSet id="3" contentType="text" mimeType="text/vtt">
              <Role schemeIdUri="urn:mpeg:dash:role:2011" value="subtitle"/>
              <Representation id="subtitles-1" bandwidth="1000">
                <BaseURL>job/subtitles-1.vtt</BaseURL>
              </Representation>
            </AdaptationSet>
          </Period>
        </MPD>
        "#);
    }

    #[test]
    fn a_set_has_the_bounds_of_all_its_forms_and_a_ratio_only_where_they_share_it() {
        let told = |sizes: &[(u32, u32)]| {
            let forms = sizes.iter().map(|size| Form {
                id: "a",
                codecs: String::new(),
                bandwidth: 9,
                size: *size,
                fps: None,
                timescale: 25,
                segments: &[],
            });
            let mut out = String::new();
            most(&mut out, &forms.collect::<Vec<_>>());
            out
        };
        let rounded = told(&[(426, 240), (1920, 1080), (854, 480)]);
        assert_eq!(rounded, " maxWidth=\"1920\" maxHeight=\"1080\" par=\"16:9\"");
        let both = told(&[(640, 360), (480, 480)]);
        assert_eq!(both, " maxWidth=\"640\" maxHeight=\"480\"");
    }
}
