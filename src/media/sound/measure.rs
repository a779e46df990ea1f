//! The run before a run: listens to what tasks with a loudness will encode, all of them over one decode of the sound.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

use super::Wanted;
use super::loudness::{Levels, ListenBranch, MISSED};
use crate::job::{Failure, Finding, FindingKind};
use crate::media::assembly::{Gains, Mill, Tasks, Turn};
use crate::media::branch::Ending;
use crate::media::clips::Reels;
use crate::media::decoder;
use crate::media::failure::internal;
use crate::media::run::Pulse;
use crate::media::source::Input;
use crate::plan::{MediaInfo, Work};
use crate::rule::{Loudness, TaskId};

/// Listening takes about this share of the whole time.
const SHARE: f64 = 0.1;

/// What was measured.
#[derive(Default)]
pub struct Measured {
    /// What brings each sound to its loudness.
    pub gains: Gains,
    /// Tasks whose sounds could not be listened to: what they made would be as loud as it likes.
    pub lost: Vec<(TaskId, Failure)>,
    /// What is to be said of sounds that do not come where they should.
    pub findings: Vec<(TaskId, Finding)>,
}

/// Measures the sounds of those tasks that want a loudness, each by itself.
///
/// # Errors
/// What ends the whole run.
pub fn measure(
    input: &Arc<Input>,
    media: &MediaInfo,
    works: &[(&TaskId, &Work)],
    pulse: &mut Pulse<'_>,
) -> Result<Measured, Failure> {
    let listened: Vec<_> = works
        .iter()
        .copied()
        .filter(|(_, work)| loudness(work).is_some())
        .collect();
    if listened.is_empty() {
        return Ok(Measured::default());
    }
    decoder::listen();
    let found: BTreeMap<&TaskId, Arc<Mutex<Levels>>> =
        listened.iter().map(|(task, _)| (*task, Arc::default())).collect();
    let tasks = Tasks {
        works: &listened,
        jump: Tasks::common_start(&listened),
        turn: Turn::First,
        gains: &Gains::new(),
        reels: &Reels::new(),
    };
    let mut mill = Mill::build(
        input,
        media,
        tasks,
        1,
        &|name, task, work, _| {
            let levels = found.get(task).cloned().unwrap_or_default();
            Ok(Box::new(ListenBranch::new(name, &Wanted::all(work), levels)?))
        },
        pulse,
    )?;
    if let Some(length) = tasks.common_length(media.duration) {
        pulse.set_length(length);
    }
    pulse.set_share(SHARE);
    let outcome = mill.turn(pulse);
    let _ = mill.medium.pipeline.set_state(gst::State::Null);
    pulse.set_share(1.0);
    pulse.next_part();
    outcome?;
    let mut measured = Measured::default();
    for (task, work) in listened {
        let done = match (mill.branches.remove(task), mill.failed.remove(task)) {
            (_, Some(failure)) => Err(failure),
            (Some(branch), None) => branch.finish(&mut Ending { task, media, pulse }),
            (None, None) => Err(internal("a task that nobody listened to")),
        };
        if let Err(failure) = done {
            measured.lost.push((task.clone(), failure));
            continue;
        }
        let levels = found.get(task).cloned().unwrap_or_default();
        let levels = std::mem::take(&mut *levels.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(wanted) = loudness(work) {
            for message in missed(&levels, wanted) {
                let finding = Finding {
                    kind: FindingKind::LoudnessMissed,
                    message,
                };
                measured.findings.push((task.clone(), finding));
            }
        }
        let gains = levels
            .into_iter()
            .filter_map(|(stream, level)| Some((stream, level?.gain)));
        measured.gains.insert(task.clone(), gains.collect());
    }
    // The run itself tells of damage.
    decoder::take_complaints();
    Ok(measured)
}

fn loudness(work: &Work) -> Option<Loudness> {
    Wanted::all(work).first()?.spec.loudness
}

/// What is to be said of sounds that do not come where they should.
fn missed(levels: &Levels, wanted: Loudness) -> Vec<String> {
    let name = |stream: usize| match levels.len() {
        1 => "the sound".to_owned(),
        _ => format!("the sound of stream {stream}"),
    };
    let told = levels.iter().filter_map(|(stream, level)| match level {
        Some(level) if (level.reaches - wanted.target).abs() <= MISSED => None,
        Some(level) => Some(format!(
            "{} reaches {:.1} LUFS, not {}: its peaks stand too far above the rest",
            name(*stream),
            level.reaches,
            wanted.target
        )),
        None => Some(format!(
            "{} keeps its level: it is silent, or too short to be measured",
            name(*stream)
        )),
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::super::loudness::Level;
    use super::*;

    #[test]
    fn of_every_sound_that_misses_its_loudness_it_is_told_why() {
        let wanted = Loudness {
            target: -16.0,
            true_peak: -1.0,
        };
        let level = |reaches| Some(Level { gain: 3.0, reaches });
        let told = |levels: Vec<Option<Level>>| missed(&(1..).zip(levels).collect(), wanted).join("; ");
        let table = [
            told(vec![level(-16.2)]),
            told(vec![level(-20.0)]),
            told(vec![None]),
            told(vec![level(-16.0), None, level(-19.0)]),
        ];
        insta::assert_snapshot!(table.join("\n"), @r"

        the sound reaches -20.0 LUFS, not -16: its peaks stand too far above the rest
        the sound keeps its level: it is silent, or too short to be measured
        the sound of stream 2 keeps its level: it is silent, or too short to be measured; the sound of stream 3 reaches -19.0 LUFS, not -16: its peaks stand too far above the rest
        ");
    }
}
