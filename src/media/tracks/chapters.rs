//! The chapters of a result: those of the plan, and not what the source says on its way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gst::prelude::*;

use super::{index, silence};
use crate::job::Failure;
use crate::media::clips::Joining;
use crate::plan::{Chapter, TranscodePlan};

/// Drops what a source says of its chapters, and has the muxer write those of the plan, later by what is joined before the film.
/// Beside streams that are copied the part begins where those do; that is known when they come.
///
/// # Errors
/// Where the muxer is not what it should be.
pub fn chapters(
    bin: &gst::Bin,
    head: &gst::Element,
    plan: &TranscodePlan,
    joining: Option<&Joining>,
) -> Result<(), Failure> {
    let later = joining.map(Joining::later).unwrap_or_default();
    // Everything comes later by what encoders put before a sound.
    let silent = Duration::from_nanos(u64::try_from(silence(plan, joining)).unwrap_or_default());
    let all = if later.is_zero() {
        begun_early(&plan.tracks.chapters, silent)
    } else {
        moved(&plan.tracks.chapters, later + silent)
    };
    let setter = head.dynamic_cast_ref::<gst::TocSetter>().cloned();
    if let Some(setter) = &setter {
        announce(setter, &all);
    }
    let listed = Arc::new(Mutex::new(all));
    // A stream that is put together out of several pieces tells of each; only one of them has the start in it.
    let placed = Arc::new(AtomicBool::new(false));
    for pad in bin.sink_pads() {
        let (listed, placed, setter) = (listed.clone(), placed.clone(), setter.clone());
        let planned = plan.tracks.chapters.clone();
        let (copies, start) = (plan.settings.copies(), plan.span.start);
        pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            match info.event().map(|event| event.view()) {
                Some(gst::EventView::Toc(_)) => return gst::PadProbeReturn::Handled,
                Some(gst::EventView::Segment(segment)) if copies && !start.is_zero() => {
                    let segment = segment.segment().downcast_ref::<gst::ClockTime>();
                    let early = segment.and_then(|segment| running(segment, start));
                    if let Some(early) = early.filter(|_| !placed.swap(true, Ordering::SeqCst)) {
                        let all = begun_early(&planned, early + silent);
                        if let Some(setter) = &setter {
                            announce(setter, &all);
                        }
                        *listed.lock().unwrap_or_else(PoisonError::into_inner) = all;
                    }
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
    }
    if plan.settings.container.has_index_in_front() {
        index::amend(head, listed)?;
    }
    Ok(())
}

/// When this time of the medium comes in the result; none where the segment does not hold it.
fn running(segment: &gst::FormattedSegment<gst::ClockTime>, time: Duration) -> Option<Duration> {
    let time = gst::ClockTime::try_from(time).ok()?;
    let position = segment.position_from_stream_time(time)?;
    segment.to_running_time(position).map(Duration::from)
}

/// Chapters that come so much later.
fn moved(chapters: &[Chapter], later: Duration) -> Vec<Chapter> {
    let later = |chapter: &Chapter| Chapter {
        start: chapter.start + later,
        end: chapter.end.map(|end| end + later),
        title: chapter.title.clone(),
    };
    chapters.iter().map(later).collect()
}

/// Chapters of a part that begins so much before it was to. What was seen at its beginning is seen from there.
fn begun_early(chapters: &[Chapter], early: Duration) -> Vec<Chapter> {
    let mut all = moved(chapters, early);
    if let Some(first) = all.first_mut().filter(|first| first.start == early) {
        first.start = Duration::ZERO;
    }
    all
}

/// Has a muxer write chapters that it knows by itself.
fn announce(setter: &gst::TocSetter, chapters: &[Chapter]) {
    if chapters.is_empty() {
        return;
    }
    let mut toc = gst::Toc::new(gst::TocScope::Global);
    for (number, chapter) in (1..).zip(chapters) {
        let mut entry = gst::TocEntry::new(gst::TocEntryType::Chapter, &format!("chapter-{number}"));
        let nanos = |at: Duration| i64::try_from(at.as_nanos()).unwrap_or(i64::MAX);
        let mut tags = gst::TagList::new();
        tags.make_mut()
            .add::<gst::tags::Title>(&chapter.title.as_str(), gst::TagMergeMode::Append);
        if let Some(entry) = entry.get_mut() {
            entry.set_start_stop_times(nanos(chapter.start), chapter.end.map_or(-1, nanos));
            entry.set_tags(Some(tags));
        }
        if let Some(toc) = toc.get_mut() {
            toc.append_entry(entry);
        }
    }
    setter.set_toc(Some(&toc));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_where_its_own_segment_has_it() {
        gst::init().unwrap();
        let segment = |start, stop, time, base| {
            let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
            segment.set_start(gst::ClockTime::from_seconds(start));
            segment.set_stop(gst::ClockTime::from_seconds(stop));
            segment.set_time(gst::ClockTime::from_seconds(time));
            segment.set_base(gst::ClockTime::from_seconds(base));
            segment
        };
        let early = |segment, at| running(&segment, Duration::from_millis(at));
        assert_eq!(early(segment(3, 4, 3, 0), 3500), Some(Duration::from_millis(500)));
        // The next piece of the same stream, taken from elsewhere.
        assert_eq!(early(segment(10, 12, 4, 1), 3500), None);
        assert_eq!(early(segment(10, 12, 4, 1), 5000), Some(Duration::from_secs(2)));
    }
}
