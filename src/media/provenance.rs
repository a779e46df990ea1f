//! Writes down what ran: elements, their settings, how they hang together, and their versions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::OnceLock;

use gst::prelude::*;

use crate::plan::Provenance;

/// How the names of libraries of codecs begin.
const CODECS: [&str; 22] = [
    "libaom.",
    "libav",
    "libdav1d.",
    "libde265.",
    "libdv.",
    "libfaac.",
    "libfdk",
    "libjpeg.",
    "libmp3lame.",
    "libmpeg2.",
    "libmpg123.",
    "libopenh264.",
    "libopus.",
    "libpng",
    "libsw",
    "libSvtAv1",
    "libtheora",
    "libvorbis",
    "libvpx.",
    "libwebp",
    "libx264.",
    "libx265.",
];

/// Longer values of settings are cut.
const LONGEST_VALUE: usize = 300;

fn kept() -> &'static OnceLock<Vec<String>> {
    static LIBRARIES: OnceLock<Vec<String>> = OnceLock::new();
    &LIBRARIES
}

/// Looks which libraries are loaded; to be called before the worker is shut in, where that can still be read.
pub fn look_at_libraries() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let names: BTreeSet<&str> = maps
        .lines()
        .filter_map(|line| line.rsplit_once('/').map(|(_, name)| name))
        .filter(|name| CODECS.iter().any(|codec| name.starts_with(codec)))
        .collect();
    let names = names.into_iter().map(str::to_owned).collect();
    // Once is enough.
    let _ = kept().set(names);
}

/// What a pipeline that has its elements and settings is made of.
pub fn of(pipeline: &gst::Bin) -> Provenance {
    let mut elements = Vec::new();
    gather(pipeline, &mut elements);
    told(&elements)
}

/// What a branch of a pipeline is made of, and what leads to it.
pub fn of_branch(pipeline: &gst::Bin, branch: &gst::Bin) -> Provenance {
    let (mut elements, mut own) = (Vec::new(), Vec::new());
    gather(pipeline, &mut elements);
    gather(branch, &mut own);
    let mut leads: BTreeSet<gst::Element> = own.into_iter().collect();
    // From the sinks up, what leads on is known before what leads to it.
    for element in elements.iter().rev() {
        if element
            .src_pads()
            .iter()
            .filter_map(led_to)
            .any(|next| leads.contains(&next))
        {
            leads.insert(element.clone());
        }
    }
    elements.retain(|element| leads.contains(element));
    told(&elements)
}

fn told(elements: &[gst::Element]) -> Provenance {
    let mut plugins = BTreeMap::new();
    for element in elements {
        if let Some(plugin) = element.factory().and_then(|factory| factory.plugin()) {
            plugins.insert(plugin.plugin_name().to_string(), plugin.version().to_string());
        }
    }
    plugins.insert("gstreamer".to_owned(), version());
    Provenance {
        pipeline: chains(elements),
        plugins,
        libraries: kept().get().cloned().unwrap_or_default(),
    }
}

/// The version of GStreamer.
fn version() -> String {
    let (major, minor, micro, _) = gst::version();
    format!("{major}.{minor}.{micro}")
}

/// The elements in the order in which data passes them.
fn gather(bin: &gst::Bin, into: &mut Vec<gst::Element>) {
    let mut children: Vec<gst::Element> = bin.iterate_sorted().into_iter().flatten().collect();
    // It is sorted from the sinks.
    children.reverse();
    for child in children {
        match child.downcast_ref::<gst::Bin>() {
            Some(inner) => gather(inner, into),
            None => into.push(child),
        }
    }
}

fn chains(elements: &[gst::Element]) -> Vec<String> {
    let place = |element: &gst::Element| elements.iter().position(|one| one == element);
    // Where each one leads to.
    let next: Vec<Vec<usize>> = elements
        .iter()
        .map(|element| {
            element
                .src_pads()
                .iter()
                .filter_map(led_to)
                .filter_map(|to| place(&to))
                .collect()
        })
        .collect();
    let mut led: Vec<usize> = vec![0; elements.len()];
    for to in next.iter().flatten() {
        led[*to] += 1;
    }
    let knot = |at: usize| next[at].len() > 1 || led[at] > 1;
    let mut lines = Vec::new();
    for (at, element) in elements.iter().enumerate() {
        let starts: Vec<usize> = if knot(at) {
            next[at].clone()
        } else if led[at] == 0 {
            vec![at]
        } else {
            continue;
        };
        if knot(at) && led[at] == 0 {
            lines.push(spelled(element, true));
        }
        for start in starts {
            let mut line = if knot(at) {
                format!("{}.", element.name())
            } else {
                String::new()
            };
            let mut here = Some(start);
            while let Some(one) = here {
                if !line.is_empty() {
                    line.push_str(" ! ");
                }
                // What several chains lead to is spelled where the first of them ends.
                let met = knot(one) && lines.iter().any(|said: &String| names(said, &elements[one]));
                if met {
                    write!(line, "{}.", elements[one].name()).ok();
                } else {
                    line.push_str(&spelled(&elements[one], knot(one)));
                }
                here = if knot(one) { None } else { next[one].first().copied() };
            }
            lines.push(line);
        }
    }
    lines
}

/// Whether a line spells this element out.
fn names(line: &str, element: &gst::Element) -> bool {
    let name = format!(" name={}", element.name());
    line.match_indices(&name).any(|(at, _)| {
        let after = line[at + name.len()..].chars().next();
        after.is_none_or(|one| one == ' ')
    })
}

/// The element that a pad leads to, through the walls of bins.
fn led_to(pad: &gst::Pad) -> Option<gst::Element> {
    let mut peer = pad.peer()?;
    loop {
        if let Some(ghost) = peer.downcast_ref::<gst::GhostPad>() {
            // Into a bin.
            peer = ghost.target()?;
        } else if peer.is::<gst::ProxyPad>() {
            // Out of one.
            let ghost = peer.parent()?.downcast::<gst::GhostPad>().ok()?;
            peer = ghost.peer()?;
        } else {
            return peer.parent_element();
        }
    }
}

fn spelled(element: &gst::Element, named: bool) -> String {
    let factory = element.factory();
    let mut text = factory.map_or_else(
        || element.type_().name().to_owned(),
        |factory| factory.name().to_string(),
    );
    if named {
        write!(text, " name={}", element.name()).ok();
    }
    for property in element.list_properties() {
        let flags = property.flags();
        let settable = flags.contains(gst::glib::ParamFlags::READWRITE);
        if !settable || ["name", "parent", "caps-change-mode"].contains(&property.name()) {
            continue;
        }
        let value = element.property_value(property.name());
        let (Ok(now), Ok(usual)) = (value.serialize(), property.default_value().serialize()) else {
            continue;
        };
        if now != usual {
            let cut = if now.len() > LONGEST_VALUE { "..." } else { "" };
            let now: String = now.chars().take(LONGEST_VALUE).collect();
            write!(text, " {}={now}{cut}", property.name()).ok();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_written_as_one_would_write_it() {
        gst::init().unwrap();
        let line = "videotestsrc num-buffers=3 ! tee name=t t. ! queue max-size-buffers=4 ! funnel name=f ! fakesink \
                    t. ! queue ! f.";
        let pipeline = gst::parse::launch(line).unwrap().downcast::<gst::Pipeline>().unwrap();
        let said = of(pipeline.upcast_ref());
        let again = gst::parse::launch(&said.pipeline.join(" "))
            .unwrap()
            .downcast::<gst::Pipeline>()
            .unwrap();
        assert_eq!(of(again.upcast_ref()).pipeline, said.pipeline);
        assert_eq!(said.pipeline.len(), 4, "{:#?}", said.pipeline);
        assert!(
            said.pipeline[0].starts_with("videotestsrc num-buffers=3 ! tee name=t"),
            "{:#?}",
            said.pipeline
        );
        assert!(said.plugins.contains_key("coreelements") && said.plugins.contains_key("videotestsrc"));
    }

    #[test]
    fn the_walls_of_bins_are_looked_through() {
        gst::init().unwrap();
        let outer = gst::Pipeline::new();
        let inner = gst::parse::bin_from_description("queue max-size-bytes=7", true).unwrap();
        // Some elements are made with other settings than those that they call their defaults.
        let source = gst::ElementFactory::make("fakesrc").build().unwrap();
        let sink = gst::ElementFactory::make("fakesink").build().unwrap();
        outer.add_many([&source, inner.upcast_ref(), &sink]).unwrap();
        gst::Element::link_many([&source, inner.upcast_ref(), &sink]).unwrap();
        let said = of(outer.upcast_ref());
        assert_eq!(
            said.pipeline,
            ["fakesrc filltype=nothing ! queue max-size-bytes=7 ! fakesink sync=false"]
        );
    }

    #[test]
    fn a_branch_is_told_of_with_what_leads_to_it() {
        gst::init().unwrap();
        let outer = gst::parse::launch(
            "fakesrc ! tee name=t t. ! identity ! queue name=q t. ! identity silent=true ! fakesink",
        )
        .unwrap()
        .downcast::<gst::Pipeline>()
        .unwrap();
        let branch = gst::parse::bin_from_description("fakesink name=end", true).unwrap();
        outer.add(&branch).unwrap();
        outer.by_name("q").unwrap().link(&branch).unwrap();
        let said = of_branch(outer.upcast_ref(), &branch).pipeline.join("\n");
        assert!(
            said.contains("identity ! queue ! fakesink") && !said.contains("silent"),
            "{said}"
        );
    }
}
