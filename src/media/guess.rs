//! Keeps parsers from guesses.
//!
//! A demuxer tells a stream that has nothing for a while of the gap. A parser that has seen no packet yet says then what the
//! stream may be, so that decoders can go on: one channel, 8000 samples a second. Whoever plans by that spoils the sound.

use gst::prelude::*;

/// Lets no gap into this element before its first packet, if it parses film or sound.
pub fn forbid(element: &gst::Element) {
    let film_or_sound = gst::ElementFactoryType::MEDIA_AUDIO | gst::ElementFactoryType::MEDIA_VIDEO;
    let parses = element
        .factory()
        .is_some_and(|factory| factory.has_type(gst::ElementFactoryType::PARSER | film_or_sound));
    let Some(entry) = element.static_pad("sink").filter(|_| parses) else {
        return;
    };
    entry.add_probe(
        gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM,
        |_, info| match &info.data {
            Some(gst::PadProbeData::Buffer(_)) => gst::PadProbeReturn::Remove,
            Some(gst::PadProbeData::Event(event)) if event.type_() == gst::EventType::Gap => {
                gst::PadProbeReturn::Handled
            }
            _ => gst::PadProbeReturn::Ok,
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_says_what_it_has_seen_and_not_before() {
        gst::init().unwrap();
        for forbidden in [false, true] {
            let parser = gst::ElementFactory::make("ac3parse").build().unwrap();
            if forbidden {
                forbid(&parser);
            }
            parser.set_state(gst::State::Playing).unwrap();
            let entry = parser.static_pad("sink").unwrap();
            entry.send_event(gst::event::StreamStart::new("stream"));
            let caps = gst::Caps::builder("audio/x-ac3").field("framed", true).build();
            entry.send_event(gst::event::Caps::new(&caps));
            let segment = gst::FormattedSegment::<gst::ClockTime>::new();
            entry.send_event(gst::event::Segment::new(&segment));
            entry.send_event(gst::event::Gap::builder(gst::ClockTime::ZERO).build());
            let guessed = parser.static_pad("src").unwrap().has_current_caps();
            parser.set_state(gst::State::Null).unwrap();
            assert_eq!(guessed, !forbidden);
        }
    }
}
