//! What every [`Store`] promises, as tests that take any of them.
//!
//! [`conformance!`] makes a test of each promise, given an expression for an empty [`Place`].

#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    reason = "tests: the name of a promise says what holds, and they panic where it does not"
)]

pub mod accepting;
pub mod afterwards;
pub mod claiming;
pub mod histories;
pub mod holding;
pub mod keeping;
pub mod looking;
pub mod publishing;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Acceptance, Accepted, Holds, NewJob, NewTask, PublishItem, PublishList, Store, StoreError};
use crate::job::order::Ageing;
use crate::job::state::Event;
use crate::job::testing::at;
use crate::job::{ErrorKind, Failure, Generation, Job, JobId, LeaseNumber, Priority};
use crate::object::{Identity, Object};
use crate::rule::{RuleVersion, When};

/// A database, empty at first, that can be opened again and again.
#[async_trait]
pub trait Place: Send + Sync {
    /// Opens it.
    async fn open(&self, ageing: Ageing) -> Arc<dyn Store>;
}

/// What a level of priority is worth unless a test says otherwise.
pub const HOURLY: Ageing = Ageing::Each(Duration::from_hours(1));

/// Makes a test of every promise.
macro_rules! conformance {
    ($place:expr) => {
        $crate::store::conformance::conformance! { $place =>
            accepting: a_new_identity_makes_one_job_however_often_it_is_accepted,
            accepting: a_stale_acceptance_changes_nothing,
            accepting: a_baseline_moves_the_ledger_without_a_job,
            accepting: a_newer_identity_cancels_what_waits_and_marks_what_runs,
            accepting: a_superseded_job_that_is_given_back_ends,
            accepting: keys_of_any_bytes_are_kept_apart,
            accepting: gone_keys_are_remembered,
            accepting: the_ledger_is_read_in_key_order,
            accepting: many_tasks_at_once_accept_and_claim_each_object_once,
            claiming: priority_is_a_head_start,
            claiming: strict_ageing_puts_priority_first,
            claiming: jobs_made_together_go_in_order,
            claiming: a_job_waits_for_its_time,
            claiming: only_one_job_of_a_key_runs,
            claiming: lease_numbers_never_repeat,
            claiming: a_lost_lease_cannot_write,
            claiming: renewing_answers_what_is_still_held,
            claiming: leases_that_ran_out_are_taken_back,
            claiming: a_daemon_takes_its_own_jobs_back_at_start,
            claiming: events_are_applied_all_or_none,
            holding: a_paused_queue_holds_what_waits_and_survives_a_reopen,
            holding: a_paused_mill_starts_nothing_and_does_not_forget_paused_rules,
            holding: held_rules_are_passed_over_and_the_order_of_the_rest_stays,
            holding: a_queued_job_gets_another_place_and_keeps_its_age,
            holding: a_wish_is_carried_out_once_in_seven_days,
            holding: what_never_came_to_a_good_end_is_unfinished,
            keeping: hints_are_kept_as_they_were_told_until_they_are_forgotten,
            keeping: what_ran_is_kept_with_its_job_and_goes_with_it,
            publishing: a_list_survives_a_reopen_and_is_rolled_forward,
            publishing: a_list_is_rolled_forward_after_the_job_was_given_back,
            publishing: a_list_of_a_cancelled_job_is_rolled_forward_without_its_events,
            publishing: a_name_belongs_to_one_source,
            publishing: a_superseded_job_publishes_nothing,
            publishing: what_a_newer_generation_lacks_is_removed_after_a_grace,
            publishing: an_abandoned_list_leaves_names_as_they_were,
            publishing: a_later_list_takes_names_off_an_earlier_one,
            publishing: a_second_list_of_a_task_replaces_the_first,
            publishing: notes_are_due_until_they_are_settled_and_go_with_the_next_success,
            histories: no_history_runs_a_key_twice_or_loses_its_newest_identity,
            looking: pages_hold_every_job_once,
            looking: filters_narrow_what_is_listed,
            looking: a_page_reaches_back_to_a_time,
            looking: jobs_are_found_by_either_end_of_their_ids,
            looking: counts_follow_the_states,
            looking: a_job_comes_back_as_it_was_made,
            looking: rules_come_back_as_they_were_saved,
            looking: what_is_not_there_is_not_found,
            afterwards: a_success_writes_the_step_of_its_source_with_the_same_stroke,
            afterwards: other_ends_and_other_rules_write_no_step,
            afterwards: a_step_begins_only_while_nobody_works_on_its_source,
            afterwards: a_step_that_is_held_is_due_again_with_the_next_success,
            afterwards: old_jobs_are_forgotten_a_few_at_a_time_and_the_ledger_never,
            afterwards: names_of_outputs_outlive_the_jobs_that_made_them,
            afterwards: nothing_is_forgotten_that_is_still_needed,
            afterwards: a_backup_is_a_whole_database_and_never_replaces_a_file,
        }
    };
    ($place:expr => $($group:ident: $promise:ident,)*) => {
        $(
            #[tokio::test]
            async fn $promise() {
                $crate::store::conformance::$group::$promise(&$place).await;
            }
        )*
    };
}
pub(crate) use conformance;

/// A job id that was not used before.
pub fn fresh_id() -> JobId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    JobId::new(at(0), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// An object whose identity is told by `version`.
pub fn object(key: &str, version: i64) -> Object {
    Object {
        bucket: "inbox".parse().unwrap(),
        key: key.parse().unwrap(),
        identity: Identity::local(1000, version),
    }
}

/// A wish for a job with one task `copy`.
pub fn wish(key: &str, version: i64, seen: u64) -> Acceptance {
    Acceptance {
        rule: "web".parse().unwrap(),
        object: object(key, version),
        seen: Generation(seen),
        job: Some(NewJob {
            id: fresh_id(),
            rule_version: RuleVersion("0123456789abcdef".to_owned()),
            rule_text: "[trigger]".to_owned(),
            priority: Priority::default(),
            tasks: vec![new_task("copy")],
            retry_of: None,
            context: None,
            dedupe: None,
            after_success: None,
        }),
        listed: None,
    }
}

/// A task without conditions.
pub fn new_task(id: &str) -> NewTask {
    NewTask {
        id: id.parse().unwrap(),
        kind: "copy".to_owned(),
        after: Vec::new(),
        when: When::Succeeded,
    }
}

/// Accepts one wish that must be taken; answers the job's id and what it superseded.
pub async fn accept(store: &dyn Store, wish: Acceptance, now: Timestamp) -> (JobId, Vec<JobId>) {
    let id = wish.job.as_ref().unwrap().id.clone();
    match store.accept(vec![wish], now).await.unwrap().remove(0) {
        Accepted::Yes { superseded } => (id, superseded),
        other => panic!("{other:?}"),
    }
}

/// Claims a job that must be there.
pub async fn claim(store: &dyn Store, now: Timestamp) -> (Job, LeaseNumber) {
    let job = maybe_claim(store, now).await.expect("a job to claim");
    let number = job.lease.as_ref().unwrap().number;
    (job, number)
}

/// Claims a job.
pub async fn maybe_claim(store: &dyn Store, now: Timestamp) -> Option<Job> {
    let expires = now + Duration::from_mins(1);
    store.claim("here", &Holds::default(), now, expires).await.unwrap()
}

/// A run of the task `copy` begins.
pub fn started() -> Event {
    Event::RunStarted {
        tasks: vec!["copy".parse().unwrap()],
    }
}

/// The task `copy` is done.
pub fn succeeded() -> Event {
    Event::TaskSucceeded {
        task: "copy".parse().unwrap(),
        findings: Vec::new(),
    }
}

/// The task `copy` failed for good.
pub fn failed() -> Event {
    Event::TaskFailed {
        task: "copy".parse().unwrap(),
        failure: Failure::new(ErrorKind::Corrupt, "not a medium"),
        findings: Vec::new(),
    }
}

/// The job goes back to the queue.
pub fn given_back(not_before: Option<Timestamp>) -> Event {
    Event::GivenBack {
        reason: "backoff".to_owned(),
        not_before,
    }
}

/// A person cancels.
pub fn cancelled() -> Event {
    Event::Cancelled {
        reason: "by a person".to_owned(),
    }
}

/// Accepts, claims and starts a job.
pub async fn running(store: &dyn Store, key: &str, version: i64, seen: u64) -> (Job, LeaseNumber) {
    let (id, _) = accept(store, wish(key, version, seen), at(version)).await;
    let (job, lease) = claim(store, at(version)).await;
    assert_eq!(job.id, id);
    let job = store
        .apply(&job.id, Some(lease), &[started()], at(version))
        .await
        .unwrap();
    (job, lease)
}

/// A list of the task `copy` with these names.
pub fn publish_list(job: &Job, names: &[&str]) -> PublishList {
    PublishList {
        job: job.id.clone(),
        task: Some("copy".parse().unwrap()),
        items: names
            .iter()
            .map(|name| PublishItem {
                scratch: format!("/scratch/{}/{name}", job.id).into_bytes(),
                bucket: "out".parse().unwrap(),
                key: name.parse().unwrap(),
                identity: Identity::local(77, i64::try_from(job.generation.0).unwrap()),
                checksum: "00".repeat(32),
                replaces: None,
                overwrite: false,
            })
            .collect(),
        findings: Vec::new(),
    }
}

/// Whether a call was refused because the lease is lost.
pub fn is_lost<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::LeaseLost(_)))
}
