//! H.264 by x264 and H.265 by x265.

use gst::prelude::*;

use super::Pass;
use crate::job::Failure;
use crate::media::failure::{element, internal};
use crate::rule::{RateMode, VideoRate, VideoSpec};

/// Bits a second as these encoders count them.
fn kilobits(bits: u64) -> u64 {
    bits.div_ceil(1000).max(1)
}

/// The most bits a second and the buffer that bounds them, both in thousands.
fn bound(spec: &VideoSpec) -> Option<(u64, u64)> {
    match (spec.rate, spec.mode, spec.max_bitrate) {
        // What may pass in a second is what passes.
        (VideoRate::Bitrate(bits), RateMode::Cbr, _) => Some((kilobits(bits), kilobits(bits))),
        (_, _, Some(most)) => Some((kilobits(most), kilobits(most) * 2)),
        (VideoRate::Bitrate(bits), ..) => {
            let most = kilobits(bits + bits / 2);
            Some((most, most * 2))
        }
        _ => None,
    }
}

/// Adds the bound to the options in the words that both share.
fn add_bound(options: &mut Vec<String>, spec: &VideoSpec) {
    if let Some((most, buffer)) = bound(spec) {
        options.push(format!("vbv-maxrate={most}"));
        options.push(format!("vbv-bufsize={buffer}"));
    }
}

/// The profile in GStreamer's words, where the rule names one or the usual one would not do.
pub fn profile(spec: &VideoSpec) -> Option<&'static str> {
    match spec.profile.as_deref() {
        Some("baseline") => Some("constrained-baseline"),
        Some("main") => Some("main"),
        Some("high") => Some("high"),
        _ if spec.depth == 10 => Some("high-10"),
        _ => None,
    }
}

/// The encoder of H.264.
///
/// # Errors
/// Where it is missing or refuses a setting.
pub fn x264(spec: &VideoSpec, threads: u32, pass: Pass<'_>) -> Result<gst::Element, Failure> {
    let encoder = element("x264enc")?;
    encoder.set_property_from_str("speed-preset", &spec.preset);
    encoder.set_property("threads", threads);
    let mut options = Vec::new();
    match spec.rate {
        VideoRate::Crf(crf) => {
            encoder.set_property_from_str("pass", "qual");
            options.extend(set_quality(&encoder, crf));
        }
        VideoRate::Bitrate(bits) => {
            let (pass, file) = match pass {
                Pass::Only => ("cbr", None),
                Pass::First(file) => ("pass1", Some(file)),
                Pass::Second(file) => ("pass2", Some(file)),
            };
            encoder.set_property_from_str("pass", pass);
            if let Some(file) = file {
                encoder.set_property("multipass-cache-file", file);
            }
            let bitrate = u32::try_from(kilobits(bits)).map_err(internal)?;
            encoder.set_property("bitrate", bitrate.clamp(1, 2_048_000));
        }
        VideoRate::Profile => {}
    }
    if let (VideoRate::Crf(_), Some((most, _))) = (spec.rate, bound(spec)) {
        // Where quality leads, the element takes its bitrate for a bound, and no other.
        encoder.set_property("bitrate", u32::try_from(most).map_err(internal)?.clamp(1, 2_048_000));
        encoder.set_property("vbv-buf-capacity", 2_000_u32);
    } else {
        // Else the bitrate, or its default, would be the bound.
        encoder.set_property("vbv-buf-capacity", 0_u32);
        add_bound(&mut options, spec);
    }
    if let Some(level) = &spec.level {
        options.push(format!("level={level}"));
    }
    if let Some(count) = spec.bframes {
        encoder.set_property("bframes", count);
    }
    match spec.tune.as_deref() {
        Some(tune @ ("film" | "animation" | "grain")) => encoder.set_property_from_str("psy-tune", tune),
        Some(tune) => encoder.set_property_from_str("tune", tune),
        None => {}
    }
    if !options.is_empty() {
        encoder.set_property("option-string", options.join(":"));
    }
    encoder.set_property("qp-min", 0_u32);
    Ok(encoder)
}

/// The element takes whole numbers. What lies between two is reached by a zone over the whole film in which frames
/// may have that many more bits: six steps are twice as many.
fn set_quality(encoder: &gst::Element, crf: f64) -> Option<String> {
    let whole = crf.clamp(0.0, 50.0).ceil();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    encoder.set_property("quantizer", whole as u32);
    let between = whole - crf;
    let more = (between / 6.0).exp2();
    (between > 0.01 && between < 1.0).then(|| format!("zones=0,{},b={more:.4}", i32::MAX))
}

/// The encoder of H.265.
///
/// # Errors
/// Where it is missing or refuses a setting.
pub fn x265(spec: &VideoSpec, threads: u32, pass: Pass<'_>) -> Result<gst::Element, Failure> {
    let encoder = element("x265enc")?;
    encoder.set_property_from_str("speed-preset", &spec.preset);
    // Unless told otherwise, the element tunes for a measure and not for eyes.
    encoder.set_property_from_str("tune", spec.tune.as_deref().unwrap_or("0"));
    // What can be jumped to begins anew; muxers and players take nothing else for a key frame.
    let mut options = vec!["open-gop=0".to_owned()];
    if threads <= 1 {
        options.push("pools=none:frame-threads=1".to_owned());
    } else {
        options.push(format!("pools={threads}:frame-threads={}", threads.min(4)));
    }
    match spec.rate {
        VideoRate::Crf(crf) => options.push(format!("crf={crf}")),
        VideoRate::Bitrate(bits) => {
            encoder.set_property(
                "bitrate",
                u32::try_from(kilobits(bits)).map_err(internal)?.clamp(1, 102_400),
            );
            if spec.mode == RateMode::Cbr {
                options.push("strict-cbr=1".to_owned());
            }
            match pass {
                Pass::Only => {}
                Pass::First(file) => options.push(format!("pass=1:stats={file}")),
                Pass::Second(file) => options.push(format!("pass=2:stats={file}")),
            }
        }
        VideoRate::Profile => {}
    }
    add_bound(&mut options, spec);
    if let Some(level) = &spec.level {
        options.push(format!("level-idc={level}"));
    }
    if let Some(count) = spec.bframes {
        options.push(format!("bframes={count}"));
    }
    encoder.set_property("option-string", options.join(":"));
    Ok(encoder)
}
