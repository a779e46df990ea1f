//! The plugins that media may meet. What is not listed here does not exist for a worker.
//!
//! [`load`] runs before the first byte of a medium is read: it loads these plugins and takes all others out of
//! the process's registry, so that nothing is loaded later, and no demuxer or decoder outside of the list can
//! be chosen by what a medium claims to be.

use gst::prelude::*;

use super::failure::internal;
use crate::config::Plugins;
use crate::job::{ErrorKind, Failure};

/// Without these no run works.
const NEEDED: [&str; 9] = [
    "coreelements",
    "typefindfunctions",
    "playback",
    "app",
    "videoconvertscale",
    "audioconvert",
    "audioresample",
    "isomp4",
    "libav",
];

/// These serve some media or some results.
const USEFUL: [&str; 43] = [
    "staticelements",
    "matroska",
    "avi",
    "mpegtsdemux",
    "mpegpsdemux",
    "flv",
    "ogg",
    "wavparse",
    "flac",
    "mpg123",
    "aiff",
    "id3demux",
    "apetag",
    "icydemux",
    "audioparsers",
    "opusparse",
    "videoparsersbad",
    "jpegformat",
    "ivfparse",
    "x264",
    "x265",
    "mxf",
    "vpx",
    "aom",
    "opus",
    "vorbis",
    "theora",
    "wavpack",
    "jpeg",
    "png",
    "webp",
    "videorate",
    "audiorate",
    "videofilter",
    "deinterlace",
    "debugutilsbad",
    "rawparse",
    "lame",
    "taglib",
    "wavenc",
    "mpegtsmux",
    "videocrop",
    "codectimestamper",
];

/// Of libav's hundreds, those for media that people bring.
const LIBAV: [&str; 41] = [
    "avdec_h264",
    "avdec_h265",
    "avdec_mpeg2video",
    "avdec_mpegvideo",
    "avdec_mpeg4",
    "avdec_msmpeg4",
    "avdec_msmpeg4v1",
    "avdec_msmpeg4v2",
    "avdec_h263",
    "avdec_h263p",
    "avdec_flv",
    "avdec_vp6",
    "avdec_vp6f",
    "avdec_vp8",
    "avdec_vp9",
    "avdec_prores",
    "avdec_dnxhd",
    "avdec_dvvideo",
    "avdec_mjpeg",
    "avdec_ffv1",
    "avdec_ffvhuff",
    "avdec_huffyuv",
    "avdec_utvideo",
    "avdec_wmv1",
    "avdec_wmv2",
    "avdec_wmv3",
    "avdec_vc1",
    "avdec_cfhd",
    "avdec_aac",
    "avdec_aac_latm",
    "avdec_mp2float",
    "avdec_mp3",
    "avdec_ac3",
    "avdec_eac3",
    "avdec_dca",
    "avdec_alac",
    "avdec_wmav1",
    "avdec_wmav2",
    "avenc_aac",
    "avenc_prores_ks",
    "avenc_dnxhd",
];

/// The demuxer beside it ends the process over files that it does not understand.
const MXF: [&str; 1] = ["mxfmux"];

/// Made once before media is read, so that their classes and tables exist.
const ELEMENTS: [&str; 36] = [
    "typefind",
    "parsebin",
    "multiqueue",
    "queue",
    "tee",
    "fakesink",
    "filesink",
    "capsfilter",
    "appsrc",
    "appsink",
    "identity",
    "errorignore",
    "videoconvert",
    "videoscale",
    "videoconvertscale",
    "videorate",
    "videoflip",
    "deinterlace",
    "audioconvert",
    "audioresample",
    "x264enc",
    "h264parse",
    "avenc_aac",
    "aacparse",
    "mp4mux",
    "qtdemux",
    "matroskademux",
    "tsdemux",
    "jpegenc",
    "pngenc",
    "jpegdec",
    "pngdec",
    "webpenc",
    "webpdec",
    "avdec_h264",
    "avdec_aac",
];

/// Tags of old files are written in these.
const CHARACTER_SETS: [&str; 8] = [
    "ISO-8859-1",
    "ISO-8859-15",
    "WINDOWS-1252",
    "WINDOWS-1251",
    "UTF-16",
    "UTF-16LE",
    "SHIFT_JIS",
    "GB18030",
];

/// Loads what is allowed and forgets the rest.
///
/// # Errors
/// Where a plugin is missing without which nothing works.
pub fn load(changes: &Plugins) -> Result<(), Failure> {
    let (needed, useful) = list(changes);
    let registry = gst::Registry::get();
    for plugin in registry.plugins() {
        let name = plugin.plugin_name();
        if !needed.contains(&name.as_str()) && !useful.contains(&name.as_str()) {
            registry.remove_plugin(&plugin);
        }
    }
    for name in needed {
        gst::Plugin::load_by_name(name).map_err(|_| {
            Failure::new(
                ErrorKind::Unsupported,
                format!("GStreamer's plugin {name} is not installed"),
            )
        })?;
    }
    for name in useful {
        if registry.find_plugin(name).is_some() {
            // One that cannot be loaded is as good as not installed.
            let _ = gst::Plugin::load_by_name(name);
        }
    }
    let part = [("libav", &LIBAV[..]), ("mxf", &MXF[..])];
    for (plugin, wanted) in part {
        for feature in registry.features_by_plugin(plugin) {
            if !wanted.contains(&feature.name().as_str()) {
                registry.remove_feature(&feature);
            }
        }
    }
    for name in ELEMENTS {
        if let Some(factory) = gst::ElementFactory::find(name) {
            factory.create().build().map_err(internal)?;
        }
    }
    Ok(())
}

/// The plugins of the list, with the changes of the config: those without which nothing works, and the others.
#[must_use]
pub fn list(changes: &Plugins) -> (Vec<&str>, Vec<&str>) {
    let usual = USEFUL
        .into_iter()
        .filter(|name| !changes.remove.iter().any(|removed| removed == name));
    let useful = usual.chain(changes.add.iter().map(String::as_str)).collect();
    (NEEDED.to_vec(), useful)
}

/// Has libraries read what they would look for later, behind closed doors: the time zone, the tables of old character
/// sets in which tags are written, a seed.
pub fn warm_up() {
    let _ = gst::glib::DateTime::now_local();
    let _ = gst::glib::random_int();
    for set in CHARACTER_SETS {
        let _ = gst::glib::convert(b"a", "UTF-8", set);
    }
}
