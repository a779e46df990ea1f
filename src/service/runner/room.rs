//! Whether there is room for what an attempt would write.

use super::super::publishing::root;
use super::attempt::{Attempt, Break, Outcome};
use crate::job::{Job, TaskRecord};
use crate::plan::{MediaInfo, Shortage, estimate};

impl Attempt<'_> {
    /// Whether the first run has room, as far as that can be told before a worker is started for it.
    pub(super) async fn look_for_room(&self, job: &Job, group: &[TaskRecord]) -> Result<(), Break> {
        let known: Option<MediaInfo> = job.media.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let need = known.map_or(0, |media| {
            let records: Vec<&TaskRecord> = group.iter().collect();
            let planned = self.plan(job, &records, Ok(&media));
            let first = planned.runs.first();
            first.map_or(0, |run| estimate(run, job.object.identity.size))
        });
        let place = root(self.mill, &self.rule.output.bucket);
        let looked = self
            .mill
            .room
            .look(&place, need.saturating_add(self.to_fetch(job)))
            .await;
        looked.map_err(|shortage| self.no_room(&shortage))
    }

    pub(super) fn no_room(&self, shortage: &Shortage) -> Break {
        let words = shortage.words(self.rule.output.bucket.as_str());
        Break::Leave(Outcome::NoRoom {
            reason: format!("waits for room: {words}"),
            total: shortage.is_total(),
        })
    }
}
