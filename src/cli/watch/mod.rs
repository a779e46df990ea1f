//! `reelmill jobs watch`
//!
//! Asks the daemon over and over and shows what changed: on a terminal with a foot of bars, elsewhere a line for each
//! change, with `--json` a line of JSON. A daemon that stops or starts again is told and waited for.

mod lines;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::client::{Client, escape};
use super::exit::{Code, Trouble};
use super::live::Live;
use super::output::{Paint, length};
use super::status::read;
use super::terminal::{cut_end, tame};
use crate::app::view::JobView;
use crate::app::watch::WatchView;
use crate::diagnostic::quantity::counted;
use crate::job::JobState;
pub use lines::{Row, at_work, says, why};

/// Time between two questions.
const BEAT: Duration = Duration::from_millis(400);

/// How long an answer may take before the daemon counts as away.
const ANSWER: Duration = Duration::from_secs(5);

/// Shows jobs at work until those of these ids have ended; none named: until it is interrupted.
pub fn watch(client: &Client, ids: &[String], json: bool) -> Result<ExitCode, Trouble> {
    let mut named = Vec::with_capacity(ids.len());
    for id in ids {
        let job: JobView = read(client.get(&format!("/v1/jobs/{}", escape(id)))?)?;
        if !named.contains(&job.id) {
            named.push(job.id);
        }
    }
    let show = match Live::on_stdout() {
        _ if json => Show::Json,
        Some(live) => Show::Terminal(live, Paint::new()),
        None => Show::Lines,
    };
    client.block_on(Watch::new(client, named, show).run())
}

/// How it is shown.
enum Show {
    Terminal(Live<std::io::Stdout>, Paint),
    Lines,
    Json,
}

/// Something that people are told once.
#[derive(Debug, PartialEq)]
enum News {
    /// The daemon stopped answering: why.
    Away(String),
    /// It answers again; true: another one than before.
    Back(bool),
    /// A job is at work now, or in another phase.
    Works(Box<JobView>),
    /// A job has ended or was put back into the queue.
    Left(Box<JobView>),
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    view: Option<WatchView>,
    /// When the last answer came.
    answered: Option<Timestamp>,
    /// Since when the daemon is away.
    away: Option<Timestamp>,
    /// By id: as it was told last.
    jobs: BTreeMap<String, JobView>,
}

impl Seen {
    /// Takes in an answer; what is new in it.
    fn take(&mut self, view: WatchView, now: Timestamp) -> Vec<News> {
        self.answered = Some(now);
        let mut news = Vec::new();
        let restarted = self.view.as_ref().is_some_and(|before| before.started != view.started);
        if self.away.take().is_some() || restarted {
            news.push(News::Back(restarted));
        }
        let first = self.view.is_none();
        let ended = view.named.iter().filter(|job| job.state.is_final());
        for job in view.left.iter().chain(ended).chain(&view.running) {
            let phase = |job: &JobView| (job.state, job.attempt, job.work.as_ref().map(|work| work.phase.clone()));
            let known = self.jobs.get(&job.id);
            if known.is_some_and(|known| phase(known) == phase(job)) {
                continue;
            }
            let told = Box::new(job.clone());
            news.push(match job.state {
                JobState::Running => News::Works(told),
                _ => News::Left(told),
            });
            self.jobs.insert(job.id.clone(), job.clone());
        }
        if first || self.jobs.len() > 10_000 {
            // Only those at work can be met again.
            let at_work: Vec<&str> = view
                .running
                .iter()
                .chain(&view.named)
                .map(|job| job.id.as_str())
                .collect();
            self.jobs.retain(|id, _| at_work.contains(&id.as_str()));
        }
        self.view = Some(view);
        news
    }

    fn lose(&mut self, trouble: &Trouble) -> Vec<News> {
        if self.away.is_some() {
            return Vec::new();
        }
        self.away = self.answered;
        vec![News::Away(trouble.message.clone())]
    }
}

struct Watch<'a> {
    client: &'a Client<'a>,
    named: Vec<String>,
    show: Show,
    seen: Seen,
    tick: usize,
    /// JSON: what was written of each job, and of the queue.
    written: BTreeMap<String, Value>,
}

impl<'a> Watch<'a> {
    fn new(client: &'a Client<'a>, named: Vec<String>, show: Show) -> Self {
        Self {
            client,
            named,
            show,
            seen: Seen::default(),
            tick: 0,
            written: BTreeMap::new(),
        }
    }

    async fn run(mut self) -> Result<ExitCode, Trouble> {
        let listen =
            |kind| signal(kind).map_err(|error| Trouble::io("cannot listen for signals", &error, Code::Internal));
        let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let mut resized = listen(SignalKind::window_change())?;
        loop {
            let question = ask(self.client, self.question());
            tokio::pin!(question);
            let asked = loop {
                let heard = tokio::select! {
                    asked = &mut question => break asked,
                    () = tokio::time::sleep(BEAT) => self.turn(),
                    _ = resized.recv() => self.tell(&[]),
                    code = ending(&mut interrupt, &mut terminate) => return Ok(self.leave(code)),
                };
                if heard.is_err() {
                    return Ok(ExitCode::SUCCESS);
                }
            };
            let news = match asked {
                Ok(view) => self.seen.take(view, Timestamp::now()),
                Err(trouble) if self.seen.view.is_some() && passes(&trouble) => self.seen.lose(&trouble),
                Err(trouble) => return Err(trouble),
            };
            if self.tell(&news).is_err() {
                // Nobody reads any more.
                return Ok(ExitCode::SUCCESS);
            }
            if let Some(code) = self.verdict() {
                self.clear();
                return Ok(code);
            }
            let next = tokio::time::sleep(BEAT);
            tokio::pin!(next);
            loop {
                tokio::select! {
                    () = &mut next => break,
                    _ = resized.recv() => self.tell(&[]).unwrap_or_default(),
                    code = ending(&mut interrupt, &mut terminate) => return Ok(self.leave(code)),
                }
            }
            self.tick += 1;
        }
    }

    fn question(&self) -> String {
        let mut path = "/v1/watch?".to_owned();
        if !self.named.is_empty() {
            write!(path, "jobs={}&", self.named.join(",")).ok();
        }
        if let Some(view) = &self.seen.view {
            write!(path, "cursor={}", escape(&view.cursor)).ok();
        }
        path
    }

    /// Nothing is new, but what turns goes on turning.
    fn turn(&mut self) -> std::io::Result<()> {
        self.tick += 1;
        self.tell(&[])
    }

    /// The exit code, once all named jobs have ended.
    fn verdict(&self) -> Option<ExitCode> {
        let view = self
            .seen
            .view
            .as_ref()
            .filter(|_| !self.named.is_empty() && self.seen.away.is_none())?;
        if view.named.iter().any(|job| !job.state.is_final()) {
            return None;
        }
        let good = view.named.iter().filter(|job| job.state == JobState::Succeeded);
        Some(if good.count() == self.named.len() {
            ExitCode::SUCCESS
        } else {
            Code::Failed.into()
        })
    }

    fn leave(&mut self, code: u8) -> ExitCode {
        self.clear();
        ExitCode::from(code)
    }

    fn clear(&mut self) {
        if let Show::Terminal(live, _) = &mut self.show {
            let size = live.size();
            live.clear(size).ok();
        }
    }

    fn tell(&mut self, news: &[News]) -> std::io::Result<()> {
        let wanted = |job: &JobView| self.named.is_empty() || self.named.contains(&job.id);
        match &mut self.show {
            Show::Terminal(live, paint) => {
                let size = live.size();
                // The last column stays free: a full line would be followed by an empty one.
                let width = size.0.saturating_sub(1).max(20);
                let above: Vec<String> = news
                    .iter()
                    .filter_map(|one| match one {
                        News::Left(job) if wanted(job) => Some(lines::ended(job, Some(width), paint)),
                        News::Left(_) | News::Works(_) => None,
                        News::Away(why) => Some(cut_end(&format!("Waiting: {}", tame(why)), width)),
                        News::Back(restarted) => Some(back(*restarted).to_owned()),
                    })
                    .collect();
                let foot = foot(&self.seen, &self.named, size, self.tick, paint);
                live.draw(&above, &foot, size)
            }
            Show::Lines => {
                let mut out = std::io::stdout().lock();
                for one in news {
                    let line = match one {
                        News::Left(job) if wanted(job) => lines::ended(job, None, &Paint::plain()),
                        News::Works(job) if wanted(job) => {
                            let phase = job.work.as_ref().map_or("running", |work| work.phase.as_str());
                            format!("{phase:<10}  {}  {}", tame(&job.rule), tame(&job.key))
                        }
                        News::Left(_) | News::Works(_) => continue,
                        News::Away(why) => format!("Waiting: {}", tame(why)),
                        News::Back(restarted) => back(*restarted).to_owned(),
                    };
                    writeln!(out, "{:.0}  {line}", Timestamp::now())?;
                }
                out.flush()
            }
            Show::Json => {
                let events = events(&self.seen, news, &mut self.written, wanted);
                let mut out = std::io::stdout().lock();
                for event in events {
                    writeln!(out, "{event}")?;
                }
                out.flush()
            }
        }
    }
}

async fn ask(client: &Client<'_>, path: String) -> Result<WatchView, Trouble> {
    match tokio::time::timeout(ANSWER, client.fetch(&path)).await {
        Ok(answer) => read(answer?),
        Err(_) => Err(Trouble::new(Code::Temporary, "the daemon does not answer")),
    }
}

/// Troubles that pass: the daemon stops, starts, or is busy.
fn passes(trouble: &Trouble) -> bool {
    matches!(trouble.code, Code::Unavailable | Code::Temporary)
}

/// The exit code of the signal that comes first.
async fn ending(interrupt: &mut Signal, terminate: &mut Signal) -> u8 {
    tokio::select! {
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    }
}

fn back(restarted: bool) -> &'static str {
    if restarted {
        "The daemon was started again."
    } else {
        "The daemon answers again."
    }
}

/// The header and a line for each job at work.
fn foot(seen: &Seen, named: &[String], size: (usize, usize), tick: usize, paint: &Paint) -> Vec<String> {
    let width = size.0.saturating_sub(1).max(20);
    let Some(view) = &seen.view else {
        return Vec::new();
    };
    let figure = |state: &str| view.queue.get(state).copied().unwrap_or_default();
    let header = if let Some(since) = seen.away {
        let waited = length(Timestamp::now().duration_since(since).as_secs_f64());
        format!("The daemon is away: waiting for it, {waited} so far")
    } else if named.is_empty() {
        format!(
            "{} running ({}), {} queued, {} failed in all",
            figure("running"),
            counted(view.slots.into(), "slot"),
            figure("queued"),
            figure("failed")
        )
    } else {
        let of = |state| view.named.iter().filter(|job| job.state == state).count();
        format!(
            "{}: {} running, {} queued, {} done, {} failed",
            counted(named.len() as u64, "job"),
            of(JobState::Running),
            of(JobState::Queued),
            of(JobState::Succeeded),
            of(JobState::Failed) + of(JobState::Cancelled)
        )
    };
    let mut foot = vec![paint.bold(&cut_end(&header, width))];
    if seen.away.is_some() {
        return foot;
    }
    let jobs: Vec<&JobView> = if named.is_empty() {
        view.running.iter().collect()
    } else {
        view.named.iter().filter(|job| !job.state.is_final()).collect()
    };
    let room = size.1.saturating_sub(3).max(1);
    let shown = if jobs.len() > room { room - 1 } else { jobs.len() };
    let rows: Vec<Row> = jobs[..shown].iter().map(|job| Row::new(job)).collect();
    foot.extend(at_work(&rows, width, tick, paint));
    if shown < jobs.len() {
        foot.push(format!("and {} more", jobs.len() - shown));
    }
    foot
}

/// Lines of JSON: one for each job or figure that is another now than when it was last written.
fn events(
    seen: &Seen,
    news: &[News],
    written: &mut BTreeMap<String, Value>,
    wanted: impl Fn(&JobView) -> bool,
) -> Vec<Value> {
    let now = Timestamp::now();
    let mut events = Vec::new();
    for one in news {
        match one {
            News::Away(why) => events.push(json!({ "event": "daemon", "time": now, "state": "away", "message": why })),
            News::Back(restarted) => {
                let state = if *restarted { "restarted" } else { "back" };
                events.push(json!({ "event": "daemon", "time": now, "state": state }));
            }
            News::Left(_) | News::Works(_) => {}
        }
    }
    let Some(view) = seen.view.as_ref().filter(|_| seen.away.is_none()) else {
        return events;
    };
    let queue = json!(view.queue);
    if written.get("").is_none_or(|before| *before != queue) {
        events.push(json!({ "event": "queue", "time": now, "queue": queue }));
        written.insert(String::new(), queue);
    }
    let mut present = vec![""];
    for job in view
        .left
        .iter()
        .chain(&view.running)
        .chain(&view.named)
        .filter(|job| wanted(job))
    {
        present.push(&job.id);
        // What only says the same of a later moment is no change.
        let mut bare = job.clone();
        if let Some(work) = &mut bare.work {
            (work.elapsed, work.eta, work.speed) = (0.0, None, None);
        }
        let bare = json!(bare);
        if written.get(&job.id).is_none_or(|before| *before != bare) {
            events.push(json!({ "event": "job", "time": now, "job": job }));
            written.insert(job.id.clone(), bare);
        }
    }
    written.retain(|id, _| present.contains(&id.as_str()));
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: &str, state: &str, attempt: u32, phase: Option<&str>) -> JobView {
        let work =
            phase.map(|phase| json!({ "phase": phase, "position": 1.0, "duration": null, "speed": null, "eta": null }));
        serde_json::from_value(json!({
            "id": id, "rule": "web", "rule_version": "1", "bucket": "inbox", "key": "a.mp4", "identity": "1-1",
            "size": 1, "generation": 1, "state": state, "reason": null, "priority": 0, "attempt": attempt,
            "created": "2026-01-01T00:00:00Z", "started": null, "ended": null, "progress": null, "work": work,
            "tasks": [],
        }))
        .expect("a job")
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn view(started: i64, running: &[JobView], left: &[JobView]) -> WatchView {
        WatchView {
            started: at(started),
            cursor: "1-1".to_owned(),
            slots: 2,
            queue: BTreeMap::new(),
            running: running.to_vec(),
            left: left.to_vec(),
            named: Vec::new(),
        }
    }

    fn told(news: &[News]) -> Vec<String> {
        news.iter()
            .map(|one| match one {
                News::Away(why) => format!("away: {why}"),
                News::Back(restarted) => format!("back {restarted}"),
                News::Works(job) => format!("{} {}", job.id, job.work.as_ref().map_or("", |work| &work.phase)),
                News::Left(job) => format!("{} {}", job.id, job.state.as_str()),
            })
            .collect()
    }

    #[test]
    fn each_change_is_told_once() {
        let mut seen = Seen::default();
        let working = job("a", "running", 1, Some("working"));
        let probing = job("a", "running", 1, Some("probing"));
        assert_eq!(told(&seen.take(view(1, &[probing], &[]), at(5))), ["a probing"]);
        let both = [working.clone()];
        assert_eq!(told(&seen.take(view(1, &both, &[]), at(6))), ["a working"]);
        assert_eq!(told(&seen.take(view(1, &both, &[]), at(7))), [""; 0]);
        let again = job("a", "queued", 1, None);
        assert_eq!(told(&seen.take(view(1, &[], &[again]), at(8))), ["a queued"]);
        let end = [job("a", "succeeded", 2, None), job("b", "failed", 1, None)];
        assert_eq!(told(&seen.take(view(1, &[], &end), at(9))), ["a succeeded", "b failed"]);
        assert_eq!(told(&seen.take(view(1, &[], &end), at(9))), [""; 0]);
    }

    #[test]
    fn a_daemon_that_goes_and_comes_is_told() {
        let mut seen = Seen::default();
        let gone = Trouble::new(Code::Unavailable, "nobody listens");
        seen.take(view(1, &[], &[]), at(5));
        assert_eq!(told(&seen.lose(&gone)), ["away: nobody listens"]);
        assert_eq!(seen.away, Some(at(5)), "since the last answer");
        assert_eq!(told(&seen.lose(&gone)), [""; 0]);
        assert_eq!(told(&seen.take(view(1, &[], &[]), at(9))), ["back false"]);
        seen.lose(&gone);
        assert_eq!(told(&seen.take(view(2, &[], &[]), at(12))), ["back true"]);
        assert_eq!(
            told(&seen.take(view(3, &[], &[]), at(13))),
            ["back true"],
            "too fast to be missed"
        );
    }
}
