//! What a queued job waits for. Pure.

use jiff::Timestamp;

use super::view::JobView;

/// What bears on the queue at this moment.
#[derive(Debug, Clone, Copy)]
pub struct Queue {
    /// No other job may be taken up.
    pub is_full: bool,
    /// How many run at once.
    pub slots: u32,
    /// Now.
    pub now: Timestamp,
}

/// What a queued job waits for, to follow on "it waits"; `same` are the other jobs of its rule and object.
pub fn waits_for(job: &JobView, same: &[JobView], queue: Queue) -> String {
    let because = job
        .reason
        .as_ref()
        .map_or_else(String::new, |reason| format!(", since {reason}"));
    // A reason that says itself what is waited for follows as it is.
    if let (Some(due), Some(why)) = (
        job.not_before.filter(|due| *due > queue.now),
        job.reason.as_deref().and_then(|reason| reason.strip_prefix("waits ")),
    ) {
        return format!("{why}; it is looked at again at {due}");
    }
    if let Some(due) = job.not_before.filter(|due| *due > queue.now) {
        return format!("until {due} for another attempt{because}");
    }
    let older = same
        .iter()
        .find(|other| other.id != job.id && other.state == crate::job::JobState::Running);
    if let Some(older) = older {
        return format!("for job {}, which works on another version of the object", older.id);
    }
    if queue.is_full {
        return match queue.slots {
            1 => format!("for another job to end: one runs at once{because}"),
            slots => format!("for another job to end: {slots} run at once{because}"),
        };
    }
    format!("for its turn{because}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(id: &str, state: &str, not_before: Option<&str>, reason: Option<&str>) -> JobView {
        serde_json::from_value(json!({
            "id": id, "rule": "web", "rule_version": "1", "bucket": "inbox", "key": "a.mp4", "identity": "1-1",
            "size": 1, "generation": 1, "state": state, "reason": reason, "priority": 0, "attempt": 1,
            "created": "2026-01-01T00:00:00Z", "started": null, "ended": null, "not_before": not_before,
            "progress": null, "tasks": [],
        }))
        .expect("a job")
    }

    #[test]
    fn a_job_waits_for_its_time_its_like_a_place_or_its_turn() {
        let queue = |is_full| Queue {
            is_full,
            slots: 2,
            now: "2026-01-01T12:00:00Z".parse().expect("a time"),
        };
        let later = job("b", "queued", Some("2026-01-01T12:00:30Z"), Some("the disk is full"));
        let plain = job("b", "queued", Some("2026-01-01T11:00:00Z"), None);
        let works = job("a", "running", None, None);
        assert_eq!(
            waits_for(&later, &[], queue(false)),
            "until 2026-01-01T12:00:30Z for another attempt, since the disk is full"
        );
        assert_eq!(
            waits_for(&plain, &[plain.clone(), works], queue(true)),
            "for job a, which works on another version of the object"
        );
        assert_eq!(
            waits_for(&plain, &[], queue(true)),
            "for another job to end: 2 run at once"
        );
        let reason = "waits for room: needs about 2 MiB";
        assert_eq!(
            waits_for(
                &job("d", "queued", Some("2026-01-01T12:00:30Z"), Some(reason)),
                &[],
                queue(false)
            ),
            "for room: needs about 2 MiB; it is looked at again at 2026-01-01T12:00:30Z"
        );
        assert_eq!(waits_for(&plain, &[], queue(false)), "for its turn");
    }
}
