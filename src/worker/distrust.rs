//! What the daemon does with everything that a worker says: bounds it, cleans it, and refuses what was not asked for.

use std::collections::BTreeMap;

use super::protocol::FromWorker;
use crate::job::{ErrorKind, Failure};
use crate::plan::{AdaptivePlan, MOST_FILES, MediaInfo, Provenance, RunPlan, StreamKind, Work};
use crate::rule::TaskId;

const LONGEST_TEXT: usize = 500;
const MOST_ITEMS: usize = 1000;

/// All chains of a pipeline together.
const LONGEST_PIPELINE: usize = 128 << 10;

/// A chain of a pipeline, each element of which has its settings.
const LONGEST_CHAIN: usize = 8_000;

/// System calls, each of which becomes a line of the log.
const MOST_CALLS: usize = 50;
const LONGEST_NAME: usize = 40;

/// Files that a plan asks for, each with its task.
#[derive(Debug, Default)]
pub struct Asked {
    files: BTreeMap<String, TaskId>,
    packages: BTreeMap<TaskId, AdaptivePlan>,
    tasks: Vec<TaskId>,
}

impl Asked {
    /// What this plan asks for.
    pub fn of(plan: &RunPlan) -> Self {
        let mut asked = Self::default();
        for task in &plan.tasks {
            let files = task.work.files();
            asked
                .files
                .extend(files.into_iter().map(|file| (file.to_owned(), task.task.clone())));
            if let Work::Adaptive(plan) = &task.work {
                asked.packages.insert(task.task.clone(), (**plan).clone());
            }
            asked.tasks.push(task.task.clone());
        }
        asked
    }

    /// How many files this is at most.
    pub fn most_files(&self) -> usize {
        let packages = self.packages.len().saturating_mul(MOST_FILES);
        self.files.len().saturating_mul(2).saturating_add(packages)
    }

    /// The message with bounded, clean texts.
    ///
    /// # Errors
    /// `Protocol`, where it speaks of what was not asked for.
    pub fn admit(&self, mut message: FromWorker) -> Result<FromWorker, Failure> {
        let known = |task: &TaskId| {
            if self.tasks.contains(task) {
                Ok(())
            } else {
                Err(protocol("the worker spoke of a task that it was not given"))
            }
        };
        match &mut message {
            FromWorker::Hello { .. } => return Err(protocol("the worker greeted twice")),
            FromWorker::Media { media } => clean_media(media),
            FromWorker::Progress(_) | FromWorker::Done => {}
            FromWorker::Refused { calls } => {
                calls.truncate(MOST_CALLS);
                for (name, _) in calls {
                    clean(name);
                    *name = name.chars().take(LONGEST_NAME).collect();
                }
            }
            FromWorker::Output { task, file, .. } => {
                let member = || self.packages.get(task).is_some_and(|package| package.may_write(file));
                if self.files.get(file.as_str()) != Some(task) && !member() {
                    return Err(protocol("the worker named a file that it was not asked for"));
                }
            }
            FromWorker::Provenance { task, provenance } => {
                known(task)?;
                clean_provenance(provenance);
            }
            FromWorker::Finding { task, finding } => {
                task.as_ref().map_or(Ok(()), known)?;
                clean(&mut finding.message);
            }
            FromWorker::TaskFailed { task, failure } => {
                known(task)?;
                clean(&mut failure.message);
            }
            FromWorker::Failed { failure } => clean(&mut failure.message),
        }
        Ok(message)
    }
}

/// A failure of the conversation.
pub fn protocol(message: impl Into<String>) -> Failure {
    Failure::new(ErrorKind::Protocol, message)
}

/// Removes control characters and bounds the length.
pub fn clean(text: &mut String) {
    if text.len() > LONGEST_TEXT || text.chars().any(char::is_control) {
        *text = text.chars().filter(|c| !c.is_control()).take(LONGEST_TEXT).collect();
    }
}

fn clean_media(media: &mut MediaInfo) {
    clean(&mut media.container);
    media.streams.truncate(MOST_ITEMS);
    media.tags.truncate(MOST_ITEMS);
    media.chapters.truncate(MOST_ITEMS);
    for stream in &mut media.streams {
        clean(&mut stream.codec);
        clean(&mut stream.format);
        stream.language.iter_mut().for_each(clean);
        if let StreamKind::Video(video) = &mut stream.kind {
            video.rotation = video.rotation / 90 * 90 % 360;
        }
    }
    for (name, value) in &mut media.tags {
        clean(name);
        clean(value);
    }
    for chapter in &mut media.chapters {
        clean(&mut chapter.title);
    }
}

/// Bounds what is kept with every job.
fn clean_provenance(provenance: &mut Provenance) {
    let plain = |text: &mut String, most: usize| {
        *text = text.chars().filter(|c| !c.is_control()).take(most).collect();
    };
    provenance.pipeline.truncate(MOST_ITEMS);
    provenance.libraries.truncate(MOST_ITEMS);
    let mut room = LONGEST_PIPELINE;
    for line in &mut provenance.pipeline {
        plain(line, LONGEST_CHAIN.min(room));
        room = room.saturating_sub(line.len());
    }
    provenance.pipeline.retain(|line| !line.is_empty());
    provenance.libraries.iter_mut().for_each(clean);
    let plugins = std::mem::take(&mut provenance.plugins);
    for (mut name, mut version) in plugins.into_iter().take(MOST_ITEMS) {
        plain(&mut name, LONGEST_NAME);
        plain(&mut version, LONGEST_NAME);
        provenance.plugins.insert(name, version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Finding, FindingKind};
    use crate::plan::{OutputReport, TaskPlan};

    fn asked() -> Asked {
        Asked::of(&RunPlan {
            media: None,
            tasks: vec![TaskPlan {
                task: "keep".parse().expect("id"),
                work: Work::Copy {
                    file: "keep.mp4".to_owned(),
                },
            }],
            threads: 1,
        })
    }

    fn output(task: &str, file: &str) -> FromWorker {
        FromWorker::Output {
            task: task.parse().expect("id"),
            file: file.to_owned(),
            size: 1,
            report: OutputReport::Bytes,
        }
    }

    #[test]
    fn files_and_tasks_that_were_not_asked_for_are_refused() {
        assert!(asked().admit(output("keep", "keep.mp4")).is_ok());
        for (task, file) in [
            ("keep", "../../x"),
            ("keep", "/etc/passwd"),
            ("other", "keep.mp4"),
            ("keep", ""),
        ] {
            assert_eq!(
                asked().admit(output(task, file)).expect_err(file).kind,
                ErrorKind::Protocol
            );
        }
    }

    #[test]
    fn texts_lose_control_characters_and_excess() {
        let finding = Finding {
            kind: FindingKind::Corrupt,
            message: format!("\u{1b}[31mred\n{}", "x".repeat(10_000)),
        };
        let admitted = asked()
            .admit(FromWorker::Finding { task: None, finding })
            .expect("admitted");
        let FromWorker::Finding { finding, .. } = admitted else {
            panic!("another message")
        };
        assert!(finding.message.starts_with("[31mred"), "{}", finding.message);
        assert_eq!(finding.message.chars().count(), LONGEST_TEXT);
    }
}
