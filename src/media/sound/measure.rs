//! The run before a run: listens to what tasks with a loudness will encode, all of them over one decode of the sound.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

use super::Wanted;
use super::loudness::{Level, ListenBranch, MISSED};
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

/// Measures the sound of those tasks that want a loudness; answers what brings each there. What is silent has no answer.
///
/// # Errors
/// What ends the whole run.
pub fn measure(
    input: &Arc<Input>,
    media: &MediaInfo,
    works: &[(&TaskId, &Work)],
    pulse: &mut Pulse<'_>,
) -> Result<Gains, Failure> {
    let listened: Vec<_> = works
        .iter()
        .copied()
        .filter(|(_, work)| loudness(work).is_some())
        .collect();
    if listened.is_empty() {
        return Ok(Gains::new());
    }
    decoder::listen();
    let found: BTreeMap<&TaskId, Arc<Mutex<Option<Level>>>> =
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
        &|name, task, work, opened| {
            let (wanted, loudness) = Wanted::of(work)
                .zip(loudness(work))
                .ok_or_else(|| internal("a task without a loudness"))?;
            let level = found.get(task).cloned().unwrap_or_default();
            Ok(Box::new(ListenBranch::new(name, &wanted, loudness, opened, level)?))
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
    let mut gains = Gains::new();
    for (task, work) in listened {
        // What fails here fails again, and says so then.
        let Some(branch) = mill.branches.remove(task).filter(|_| !mill.failed.contains_key(task)) else {
            continue;
        };
        branch.finish(&mut Ending { task, media, pulse })?;
        let level = found
            .get(task)
            .and_then(|level| *level.lock().unwrap_or_else(PoisonError::into_inner));
        if let (Some(level), Some(wanted)) = (level, loudness(work)) {
            gains.insert(task.clone(), level.gain);
            if (level.reaches - wanted.target).abs() > MISSED {
                pulse.listener().finding(Some(task), missed(level, wanted));
            }
        }
    }
    // The run itself tells of damage.
    decoder::take_complaints();
    Ok(gains)
}

fn loudness(work: &Work) -> Option<Loudness> {
    Wanted::of(work)?.spec.loudness
}

fn missed(level: Level, wanted: Loudness) -> Finding {
    Finding {
        kind: FindingKind::LoudnessMissed,
        message: format!(
            "the sound reaches {:.1} LUFS, not {}: its peaks stand too far above the rest",
            level.reaches, wanted.target
        ),
    }
}
