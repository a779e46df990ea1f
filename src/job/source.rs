//! The step that deletes or moves a source after success: when it may be taken. Pure.
//!
//! A source goes only when all work on that very identity of it has succeeded, under every rule. Whoever failed keeps
//! it; where one rule wants it deleted and another wants it moved, it is moved.

use jiff::Timestamp;

use super::{Job, JobId, JobState};
use crate::object::{Object, ObjectKey};
use crate::rule::RuleName;
use crate::rule::source::AfterSuccess;

/// A source that is to be deleted or moved because a job on it succeeded.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceStep {
    /// Rises with every step.
    pub seq: i64,
    /// The job that succeeded.
    pub job: JobId,
    /// Its rule.
    pub rule: RuleName,
    /// What it worked on.
    pub object: Object,
    /// What is wanted.
    pub wish: AfterSuccess,
    /// How far it is.
    pub state: StepState,
    /// Why it waits, is held or was given up.
    pub reason: Option<String>,
    /// The hidden name beside the source under which it is put before it goes.
    pub aside: Option<ObjectKey>,
    /// Where it is moved to.
    pub target: Option<ObjectKey>,
    /// When the job succeeded.
    pub created: Timestamp,
    /// When it was done or given up.
    pub ended: Option<Timestamp>,
}

/// The life of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// To be taken as soon as it may.
    Due,
    /// A job of another rule on the source has failed; the next success of one makes the step due again.
    Held,
    /// The source is deleted or moved.
    Done,
    /// The source stays.
    GivenUp,
}

impl StepState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Due, Self::Held, Self::Done, Self::GivenUp];

    /// The one spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Held => "held",
            Self::Done => "done",
            Self::GivenUp => "given_up",
        }
    }

    /// The state of this spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Whether a step may be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Now.
    Go,
    /// Not yet.
    Wait(String),
    /// Not before another job succeeds.
    Held(String),
    /// Never.
    GiveUp(String),
}

/// Decides about a due step. `jobs` are those of its key, newest first; `undecided` are rules that want the object and
/// whose ledger does not have this identity yet; `rivals` are all steps of the key that are due.
#[must_use]
pub fn judge(step: &SourceStep, jobs: &[Job], undecided: &[RuleName], rivals: &[SourceStep]) -> Verdict {
    let same = |job: &&Job| job.object.identity == step.object.identity;
    let mut seen: Vec<&RuleName> = Vec::new();
    let mut held = None;
    for job in jobs.iter().filter(same) {
        if !job.state.is_final() {
            return Verdict::Wait(format!("job {} of the rule \"{}\" works on it", job.id, job.rule));
        }
        if seen.contains(&&job.rule) {
            continue;
        }
        seen.push(&job.rule);
        if job.state != JobState::Succeeded {
            let ended = match job.state {
                JobState::Failed => "failed",
                _ => "was cancelled",
            };
            held.get_or_insert_with(|| {
                format!(
                    "job {} of the rule \"{}\" {ended}, so the source is kept until a repetition succeeds",
                    job.id, job.rule
                )
            });
        }
    }
    if let Some(rule) = undecided.first() {
        return Verdict::Wait(format!("the rule \"{rule}\" wants it too and has not taken it up yet"));
    }
    if let Some(reason) = held {
        return Verdict::Held(reason);
    }
    let moves = |other: &&SourceStep| matches!(other.wish, AfterSuccess::Move { .. });
    let rival = rivals
        .iter()
        .filter(|other| other.seq != step.seq && other.object == step.object)
        .find(moves);
    match (&step.wish, rival) {
        (AfterSuccess::Delete, Some(rival)) => {
            Verdict::GiveUp(format!("the rule \"{}\" moves it, which comes first", rival.rule))
        }
        _ => Verdict::Go,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::testing::{at, job, task};
    use crate::object::Directory;

    fn of(rule: &str, state: JobState) -> Job {
        Job {
            rule: rule.parse().unwrap(),
            state,
            ..job(vec![task("copy", &[])])
        }
    }

    fn step(rule: &str, wish: AfterSuccess) -> SourceStep {
        let of = of(rule, JobState::Succeeded);
        SourceStep {
            seq: i64::try_from(rule.len()).unwrap(),
            job: of.id,
            rule: of.rule,
            object: of.object,
            wish,
            state: StepState::Due,
            reason: None,
            aside: None,
            target: None,
            created: at(0),
            ended: None,
        }
    }

    fn moving() -> AfterSuccess {
        AfterSuccess::Move {
            to: Directory::new("done").unwrap(),
            below: Directory::default(),
        }
    }

    #[test]
    fn a_source_goes_when_all_have_succeeded() {
        use JobState::{Cancelled, Failed, Queued, Running, Succeeded};
        let table = [
            (vec![("web", Succeeded)], vec![], "go"),
            (vec![("web", Succeeded), ("other", Succeeded)], vec![], "go"),
            (vec![("web", Succeeded), ("other", Queued)], vec![], "wait"),
            (vec![("web", Succeeded), ("other", Running)], vec![], "wait"),
            (vec![("web", Succeeded), ("other", Failed)], vec![], "held"),
            (vec![("web", Succeeded), ("other", Cancelled)], vec![], "held"),
            // Newest first: a repetition that succeeded counts, and so does one that failed.
            (
                vec![("other", Succeeded), ("other", Failed), ("web", Succeeded)],
                vec![],
                "go",
            ),
            (
                vec![("other", Failed), ("other", Succeeded), ("web", Succeeded)],
                vec![],
                "held",
            ),
            (vec![("web", Succeeded)], vec!["late"], "wait"),
            (vec![("web", Succeeded), ("other", Failed)], vec!["late"], "wait"),
        ];
        for (jobs, undecided, expected) in table {
            let jobs: Vec<Job> = jobs.iter().map(|(rule, state)| of(rule, *state)).collect();
            let undecided: Vec<RuleName> = undecided.iter().map(|name| name.parse().unwrap()).collect();
            let found = match judge(&step("web", AfterSuccess::Delete), &jobs, &undecided, &[]) {
                Verdict::Go => "go",
                Verdict::Wait(_) => "wait",
                Verdict::Held(_) => "held",
                Verdict::GiveUp(_) => "give up",
            };
            assert_eq!(found, expected, "{jobs:?}");
        }
    }

    #[test]
    fn work_on_another_version_of_the_source_does_not_matter() {
        let mut other = of("other", JobState::Failed);
        other.object.identity.size += 1;
        let verdict = judge(&step("web", AfterSuccess::Delete), &[other], &[], &[]);
        assert_eq!(verdict, Verdict::Go);
    }

    #[test]
    fn who_moves_wins_over_who_deletes() {
        let (delete, moved) = (step("web", AfterSuccess::Delete), step("archive", moving()));
        let rivals = [delete.clone(), moved.clone()];
        assert!(matches!(judge(&delete, &[], &[], &rivals), Verdict::GiveUp(_)));
        assert_eq!(judge(&moved, &[], &[], &rivals), Verdict::Go);
        assert_eq!(judge(&delete, &[], &[], &rivals[..1]), Verdict::Go);
    }
}
