//! What a track is called, whatever its source says.

use std::sync::atomic::{AtomicBool, Ordering};

use gst::prelude::*;

/// Says of what passes this pad that it is in this language.
pub fn say(pad: &gst::Pad, code: &str) {
    let code = code.to_owned();
    let told = AtomicBool::new(false);
    let kinds = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    pad.add_probe(kinds, move |pad, info| {
        match &mut info.data {
            Some(gst::PadProbeData::Event(event)) => {
                if let gst::EventView::Tag(tag) = event.view()
                    && tag.tag().scope() == gst::TagScope::Stream
                {
                    let mut tags = tag.tag().to_owned();
                    call(tags.make_mut(), &code);
                    told.store(true, Ordering::SeqCst);
                    *event = gst::event::Tag::new(tags);
                }
            }
            // Nothing was said of the stream at all.
            _ if !told.swap(true, Ordering::SeqCst) => {
                let mut tags = gst::TagList::new();
                let own = tags.make_mut();
                own.set_scope(gst::TagScope::Stream);
                call(own, &code);
                pad.push_event(gst::event::Tag::new(tags));
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

fn call(tags: &mut gst::TagListRef, code: &str) {
    tags.remove::<gst::tags::LanguageName>();
    tags.add::<gst::tags::LanguageCode>(&code, gst::TagMergeMode::Replace);
}
