//! The daemon's log: lines for people, or JSON, to standard error.
//!
//! Under journald, lines carry the priority that it reads (`<4>`) and no time of ours. What is logged comes partly from
//! strangers: names of files, words of tools. Every value and message goes through [`tame`] here, so that nothing can end a
//! line, steer a terminal or turn the direction of text.

use std::fmt::{self, Debug, Write as _};
use std::io::{IsTerminal, Stderr};
use std::os::fd::AsFd;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::arguments::LogFormat;
use super::terminal::{is_unseen, tame};

/// Starts the log. `REELMILL_LOG` says what is logged; a second start in one process keeps the first log.
pub fn start(format: LogFormat) {
    let said = std::env::var("REELMILL_LOG").ok().filter(|said| !said.is_empty());
    let read = said.as_deref().map(EnvFilter::try_new);
    let (filter, wrong) = match read {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new("info"), Some(error)),
        None => (EnvFilter::new("info"), None),
    };
    let style = Style::of(format, &std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(style.colour)
        .event_format(style)
        .try_init()
        .ok();
    if let Some(error) = wrong {
        tracing::warn!(%error, "REELMILL_LOG is not understood; it is like info, or reelmill::service=debug,info");
    }
}

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Style {
    json: bool,
    /// The journal reads it: priority in front, and in text no time.
    journal: bool,
    colour: bool,
}

impl Style {
    fn of(format: LogFormat, err: &Stderr) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let json = format == LogFormat::Json;
        Self {
            json,
            journal: is_journal(err),
            colour: !json && err.is_terminal() && !refused && !dumb,
        }
    }

    fn write(self, writer: &mut Writer<'_>, event: &Event<'_>, now: Timestamp) -> fmt::Result {
        let level = *event.metadata().level();
        let mut line = Line::default();
        event.record(&mut line);
        if self.journal {
            write!(writer, "<{}>", priority(level))?;
        }
        if self.json {
            return writeln!(writer, "{}", line.to_json(level, now));
        }
        let (dim, colour, end) = if self.colour {
            ("\x1b[2m", colour(level), "\x1b[0m")
        } else {
            ("", "", "")
        };
        if !self.journal {
            write!(writer, "{dim}{now:.3}{end} {colour}{level:>5}{end} ")?;
        }
        write!(writer, "{}", line.message)?;
        for (name, value) in &line.fields {
            write!(writer, " {dim}{name}={end}{}", word(value))?;
        }
        writeln!(writer)
    }
}

/// Whether this stream is the one that the journal gave us: `JOURNAL_STREAM` is inherited by children whose stream is
/// another by then.
fn is_journal(stream: &impl AsFd) -> bool {
    let said = std::env::var("JOURNAL_STREAM").ok();
    let named = said.as_deref().and_then(|said| {
        let (device, inode) = said.split_once(':')?;
        Some((device.parse::<u64>().ok()?, inode.parse::<u64>().ok()?))
    });
    named.is_some_and(|named| rustix::fs::fstat(stream).is_ok_and(|about| (about.st_dev, about.st_ino) == named))
}

/// As syslog counts.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        _ => "\x1b[2m",
    }
}

impl<S, N> FormatEvent<S, N> for Style
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        self.write(&mut writer, event, Timestamp::now())
    }
}

/// What an event says, with every text neutralised.
#[derive(Debug, Default)]
struct Line {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Line {
    fn take(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = tame(&text),
            ("message", other) => self.message = other.to_string(),
            (name, value) => self.fields.push((name, value)),
        }
    }

    fn to_json(&self, level: Level, now: Timestamp) -> String {
        let mut whole = Map::new();
        whole.insert("time".into(), Value::from(format!("{now:.3}")));
        whole.insert("level".into(), Value::from(level.as_str().to_ascii_lowercase()));
        whole.insert("message".into(), Value::from(self.message.as_str()));
        let fields = self.fields.iter();
        let fields: Map<_, _> = fields
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        whole.insert("fields".into(), Value::Object(fields));
        let text = Value::Object(whole).to_string();
        // What JSON need not escape may steer a terminal all the same. Such characters stand in strings only.
        let mut safe = String::with_capacity(text.len());
        for c in text.chars() {
            if c.is_control() || is_unseen(c) {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    write!(safe, "\\u{unit:04x}").ok();
                }
            } else {
                safe.push(c);
            }
        }
        safe
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, Value::from(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.take(field, Value::from(format!("{value:?}")));
    }
}

/// A value as one word of a line: in quotes where it could be taken for more than one.
fn word(value: &Value) -> String {
    let Value::String(text) = value else {
        return value.to_string();
    };
    let is_plain = !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || matches!(c, '"' | '='));
    if is_plain {
        return tame(text);
    }
    // What stands in quotes must not seem to end them.
    let text = if text.contains('"') || text.ends_with('\\') {
        text.replace('\\', "\\\\").replace('"', "\\\"")
    } else {
        text.clone()
    };
    format!("\"{}\"", tame(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex, PoisonError};

    const HOSTILE: &str = "a\x1b[31m\u{9b}2J\u{202e}gpj.\nlevel=error \u{2028}x\0";

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(style: Style, work: impl FnOnce()) -> String {
        let paper = Paper::default();
        let writer = paper.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .event_format(style)
            .finish();
        tracing::subscriber::with_default(subscriber, work);
        let bytes = paper.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).expect("text")
    }

    const PLAIN: Style = Style {
        json: false,
        journal: false,
        colour: false,
    };

    #[test]
    fn a_hostile_key_stays_within_its_line_and_its_field() {
        let text = logged(PLAIN, || {
            let (name, shown) = (HOSTILE, std::path::Path::new(HOSTILE));
            tracing::warn!(key = name, display = %name, path = %shown.display(), debug = ?name, "found {HOSTILE}");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            !text.trim_end().chars().any(|c| c.is_control() || is_unseen(c)),
            "{text:?}"
        );
        assert!(!text.contains(" level=error \\"), "{text}");
        assert!(
            text.contains(r#"key="a\u{1b}[31m\u{9b}2J\u{202e}gpj.\nlevel=error \u{2028}x\u{0}""#),
            "{text}"
        );
    }

    #[test]
    fn a_hostile_key_is_whole_in_json_and_steers_nothing() {
        let text = logged(Style { json: true, ..PLAIN }, || {
            tracing::error!(key = HOSTILE, count = 3, "found");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            !text.trim_end().chars().any(|c| c.is_control() || is_unseen(c)),
            "{text:?}"
        );
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["fields"]["key"], HOSTILE);
        assert_eq!(value["fields"]["count"], 3);
        assert_eq!(value["level"], "error");
        assert_eq!(value["message"], "found");
        assert!(
            value["time"]
                .as_str()
                .is_some_and(|time| time.parse::<Timestamp>().is_ok())
        );
    }

    #[test]
    fn the_journal_gets_the_priority_and_no_time() {
        let journal = Style { journal: true, ..PLAIN };
        let text = logged(journal, || {
            tracing::error!("one");
            tracing::warn!(jobs = 2, "two");
            tracing::info!(key = "a b.mp4", empty = "", "three");
        });
        assert_eq!(text, "<3>one\n<4>two jobs=2\n<6>three key=\"a b.mp4\" empty=\"\"\n");
        let json = logged(Style { json: true, ..journal }, || tracing::error!("one"));
        assert!(json.starts_with("<3>{"), "{json}");
    }

    #[test]
    fn colours_come_only_where_they_are_wanted() {
        let line = |style| logged(style, || tracing::warn!(key = "a", "found"));
        assert!(!line(PLAIN).contains('\x1b'));
        assert!(line(Style { colour: true, ..PLAIN }).contains("\x1b[33m WARN\x1b[0m found"));
        assert!(line(PLAIN).contains(" WARN found key=a\n"));
    }
}
