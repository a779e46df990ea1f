//! The graph of a job's tasks: who may run once others have ended, and how the job ends.
//!
//! Pure. Promises that no graph is left hanging: when nothing can run any more every task is final,
//! even where the tasks wait for each other in a circle (a checked rule has none).

use jiff::Timestamp;

use super::{TaskRecord, TaskState};
use crate::rule::When;

/// How a job whose tasks are all final ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Every failure was met by a task that waited for it.
    Succeeded,
    /// A failure was not met.
    Failed {
        /// The first such task's id and message.
        reason: String,
    },
}

enum Outlook {
    Open,
    Holds,
    Impossible,
}

/// Lets waiting tasks become queued where their condition holds, or skipped where it cannot hold any more, and
/// those after them likewise.
pub fn settle(tasks: &mut [TaskRecord], now: Timestamp) {
    loop {
        let mut changed = false;
        for at in 0..tasks.len() {
            if tasks[at].state != TaskState::Waiting {
                continue;
            }
            match outlook(tasks, &tasks[at]) {
                Outlook::Open => continue,
                Outlook::Holds => tasks[at].state = TaskState::Queued,
                Outlook::Impossible => skip(&mut tasks[at], now),
            }
            changed = true;
        }
        if changed {
            continue;
        }
        let can_move = tasks
            .iter()
            .any(|task| matches!(task.state, TaskState::Queued | TaskState::Running));
        if !can_move {
            for task in tasks.iter_mut().filter(|task| !task.state.is_final()) {
                skip(task, now);
            }
        }
        return;
    }
}

/// How the job ends; none while a task is not final.
#[must_use]
pub fn ending(tasks: &[TaskRecord]) -> Option<Ending> {
    if tasks.iter().any(|task| !task.state.is_final()) {
        return None;
    }
    let unmet = tasks
        .iter()
        .find(|task| task.state == TaskState::Failed && !is_met(tasks, task));
    Some(match unmet {
        None => Ending::Succeeded,
        Some(task) => Ending::Failed {
            reason: match &task.error {
                Some(failure) => format!("{}: {}", task.id, failure.message),
                None => format!("{} failed", task.id),
            },
        },
    })
}

fn is_met(tasks: &[TaskRecord], failed: &TaskRecord) -> bool {
    tasks.iter().any(|task| {
        task.state == TaskState::Succeeded
            && matches!(task.when, When::Failed | When::Any)
            && task.after.contains(&failed.id)
    })
}

fn outlook(tasks: &[TaskRecord], of: &TaskRecord) -> Outlook {
    // A predecessor that the job does not have can never do anything: it counts as skipped.
    let before = || {
        of.after.iter().map(|id| {
            tasks
                .iter()
                .find(|task| &task.id == id)
                .map_or(TaskState::Skipped, |task| task.state)
        })
    };
    let all_ended = before().all(TaskState::is_final);
    match of.when {
        When::Succeeded => {
            if before().any(|state| state.is_final() && state != TaskState::Succeeded) {
                Outlook::Impossible
            } else if all_ended {
                Outlook::Holds
            } else {
                Outlook::Open
            }
        }
        When::Failed => {
            if !all_ended {
                Outlook::Open
            } else if before().any(|state| state == TaskState::Failed) {
                Outlook::Holds
            } else {
                Outlook::Impossible
            }
        }
        When::Any if all_ended => Outlook::Holds,
        When::Any => Outlook::Open,
    }
}

fn skip(task: &mut TaskRecord, now: Timestamp) {
    task.state = TaskState::Skipped;
    task.ended = Some(now);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::testing::{at, task};

    fn settled(mut tasks: Vec<TaskRecord>) -> String {
        settle(&mut tasks, at(1));
        let mut words: Vec<String> = tasks
            .iter()
            .map(|task| format!("{} {}", task.id, task.state.as_str()))
            .collect();
        words.push(match ending(&tasks) {
            None => "goes on".to_owned(),
            Some(Ending::Succeeded) => "succeeded".to_owned(),
            Some(Ending::Failed { reason }) => format!("failed ({reason})"),
        });
        words.join(", ")
    }

    #[test]
    fn a_task_follows_how_those_before_it_ended() {
        use TaskState::{Failed, Running, Skipped, Succeeded};
        use When::{Any, Failed as IfFailed, Succeeded as IfSucceeded};
        let table: Vec<String> = [
            (IfSucceeded, Succeeded, Succeeded),
            (IfSucceeded, Succeeded, Running),
            (IfSucceeded, Failed, Running),
            (IfSucceeded, Skipped, Running),
            (IfFailed, Failed, Running),
            (IfFailed, Failed, Succeeded),
            (IfFailed, Succeeded, Succeeded),
            (IfFailed, Skipped, Running),
            (IfFailed, Skipped, Skipped),
            (Any, Failed, Running),
            (Any, Failed, Skipped),
            (Any, Skipped, Skipped),
        ]
        .into_iter()
        .map(|(when, first, second)| {
            let mut tasks = vec![task("a", &[]), task("b", &[]), task("c", &["a", "b"])];
            tasks[0].state = first;
            tasks[1].state = second;
            tasks[2].when = when;
            format!("{when:?}: {}", settled(tasks))
        })
        .collect();
        insta::assert_snapshot!(table.join("\n"), @r"
        Succeeded: a succeeded, b succeeded, c queued, goes on
        Succeeded: a succeeded, b running, c waiting, goes on
        Succeeded: a failed, b running, c skipped, goes on
        Succeeded: a skipped, b running, c skipped, goes on
        Failed: a failed, b running, c waiting, goes on
        Failed: a failed, b succeeded, c queued, goes on
        Failed: a succeeded, b succeeded, c skipped, succeeded
        Failed: a skipped, b running, c waiting, goes on
        Failed: a skipped, b skipped, c skipped, succeeded
        Any: a failed, b running, c waiting, goes on
        Any: a failed, b skipped, c queued, goes on
        Any: a skipped, b skipped, c queued, goes on
        ");
    }

    #[test]
    fn skipping_reaches_those_behind() {
        let mut tasks = vec![task("c", &["b"]), task("b", &["a"]), task("a", &[]), task("d", &["c"])];
        tasks[2].state = TaskState::Failed;
        tasks[3].when = When::Any;
        assert_eq!(settled(tasks), "c skipped, b skipped, a failed, d queued, goes on");
    }

    #[test]
    fn tasks_in_a_circle_are_skipped_when_nothing_else_can_run() {
        let tasks = vec![task("a", &["b"]), task("b", &["a"])];
        assert_eq!(settled(tasks), "a skipped, b skipped, succeeded");
    }

    #[test]
    fn a_failure_is_met_only_by_the_success_of_a_task_that_waited_for_it() {
        let mut tasks = vec![task("a", &[]), task("b", &["a"])];
        tasks[0].state = TaskState::Failed;
        tasks[1].state = TaskState::Succeeded;
        tasks[1].when = When::Failed;
        assert_eq!(ending(&tasks), Some(Ending::Succeeded));
        tasks[1].state = TaskState::Failed;
        assert_eq!(
            ending(&tasks),
            Some(Ending::Failed {
                reason: "a failed".to_owned()
            })
        );
    }
}
