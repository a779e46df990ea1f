//! Holds `deploy/reference.md` against what the readers of config and rules really know: keys, words, ranges, defaults.
//!
//! Every example of the page is read. Each key that a table was asked for meanwhile must be on the page, and each key of
//! the page must have been asked for.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::config;
use crate::diagnostic::known::{Known, noted};
use crate::diagnostic::{Diagnostic, SourceFile, any_error};
use crate::job::ErrorKind;
use crate::rule::Container;
use crate::rule::check::check;
use crate::rule::preset::{Presets, in_words};

const PAGE: &str = include_str!("../deploy/reference.md");

/// What a table of keys is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Config(String),
    Rule(String),
    /// Keys of every task.
    EveryTask,
    Task(String),
}

/// A line of a table of keys.
#[derive(Debug, Clone)]
struct Entry {
    key: String,
    value: String,
    default: String,
    /// Alternatives, each with its assignments.
    examples: Vec<Vec<String>>,
}

fn code_spans(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The cells of the table that follows a mark.
fn rows(mark: &str) -> Vec<Vec<String>> {
    let after = PAGE
        .split_once(mark)
        .unwrap_or_else(|| panic!("{mark} is not on the page"))
        .1;
    let mut lines = after.lines().skip_while(|line| line.is_empty()).peekable();
    if !lines.peek().is_some_and(|line| line.starts_with('|')) && lines.peek().is_some() {
        lines.next();
    }
    let lines = lines
        .skip_while(|line| line.is_empty())
        .take_while(|line| line.starts_with('|'));
    let cells = |line: &str| {
        line.trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    lines.skip(2).map(cells).collect()
}

fn sections() -> BTreeMap<Place, Vec<Entry>> {
    let marks = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("<!-- keys: ")?.strip_suffix(" -->"));
    let mut found = BTreeMap::new();
    for mark in marks {
        let (what, path) = mark.split_once(' ').unwrap_or((mark, ""));
        let place = match (what, path) {
            ("config", path) => Place::Config(path.to_owned()),
            ("rule", path) => Place::Rule(path.to_owned()),
            ("task", "") => Place::EveryTask,
            ("task", kind) => Place::Task(kind.to_owned()),
            _ => panic!("{mark} says nothing"),
        };
        let entries = rows(&format!("<!-- keys: {mark} -->")).into_iter().map(|cells| {
            assert_eq!(cells.len(), 5, "{cells:?}");
            let examples = code_spans(&cells[4]).into_iter();
            Entry {
                key: code_spans(&cells[0]).remove(0),
                value: cells[1].clone(),
                default: cells[2].clone(),
                examples: examples
                    .map(|one| one.split("; ").map(str::to_owned).collect())
                    .collect(),
            }
        });
        assert!(
            found.insert(place, entries.collect()).is_none(),
            "{mark} is there twice"
        );
    }
    take_over(&mut found);
    found
}

/// Tables within a task that are those of a transcode, as a line of the page says, have the keys that they have there.
fn take_over(sections: &mut BTreeMap<Place, Vec<Entry>>) {
    let of = sections[&Place::Task("transcode".to_owned())].clone();
    for entries in sections.values_mut() {
        let alike: Vec<_> = entries
            .iter()
            .filter(|entry| entry.value.contains("as of a [transcode](#transcode)"))
            .map(|entry| format!("{}.", entry.key))
            .collect();
        let below = |entry: &&Entry| alike.iter().any(|start| entry.key.starts_with(start));
        entries.extend(of.iter().filter(below).cloned());
    }
}

impl Place {
    /// A text that is good and as short as can be.
    fn base(&self) -> Table {
        let text = match self {
            Self::Config(path) => match path.as_str() {
                "bucket.FAR" => "bucket.FAR.s3 = \"uploads\"\nbucket.FAR.endpoint = \"https://s3.example.org\"",
                "bucket.FAR.sqs" => "bucket.FAR.sqs.queue = \"https://sqs.eu-west-1.amazonaws.com/1/q\"",
                "bucket.FAR.webhook" => "bucket.FAR.webhook.secret_file = \"uploads.secret\"",
                "http" => "bucket.NAME.path = \"/media\"\nhttp.listen = \"127.0.0.1:1\"",
                _ => "bucket.NAME.path = \"/media\"",
            }
            .to_owned(),
            Self::Rule(_) | Self::EveryTask => {
                "trigger.bucket = \"NAME\"\ntask.NAME.kind = \"probe\"\ntask.other.kind = \"probe\"".to_owned()
            }
            Self::Task(kind) => {
                let needs = match kind.as_str() {
                    "snapshot" => "task.NAME.at = [\"1s\"]\n",
                    "pipeline" => "task.NAME.launch = \"{input} ! {output}\"\ntask.NAME.extension = \"x\"\n",
                    _ => "",
                };
                format!("trigger.bucket = \"NAME\"\ntask.NAME.kind = \"{kind}\"\n{needs}task.other.kind = \"probe\"")
            }
        };
        text.parse().expect("a base")
    }

    /// Where its keys stand in the text.
    fn prefix(&self) -> String {
        match self {
            Self::Config(path) | Self::Rule(path) if path.is_empty() => String::new(),
            Self::Config(path) | Self::Rule(path) => format!("{path}."),
            Self::EveryTask | Self::Task(_) => "task.NAME.".to_owned(),
        }
    }

    /// Reads a text of this sort: what it means, where it is good, and what is wrong.
    fn read(&self, table: &Table) -> (Option<String>, Vec<Diagnostic>) {
        let file = SourceFile {
            path: "/etc/reelmill/reference.toml".into(),
            text: table.to_string().into(),
        };
        if matches!(self, Self::Config(_)) {
            let (config, found) = config::check(&file);
            return (config.map(|config| format!("{config:?}")), found);
        }
        let (rule, found) = check(
            &file,
            "reference",
            &["NAME".parse().unwrap(), "published".parse().unwrap()],
        );
        let meaning = rule.map(|mut rule| {
            rule.version.0.clear();
            format!("{rule:?}")
        });
        (meaning, found)
    }
}

fn set(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
            set(inner.as_table_mut().expect("a table"), rest, value);
        }
    }
}

/// Makes the table at this path where there is none.
fn open(table: &mut Table, path: &str) {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let inner = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
    if let (Some(inner), false) = (inner.as_table_mut(), rest.is_empty()) {
        open(inner, rest);
    }
}

fn remove(table: &mut Table, path: &str) {
    match path.split_once('.') {
        None => {
            table.remove(path);
        }
        Some((first, rest)) => {
            if let Some(Value::Table(inner)) = table.get_mut(first) {
                remove(inner, rest);
            }
        }
    }
}

/// Keys of which a task has one.
const EXCLUSIVE: [&str; 3] = ["at", "every", "count"];

/// Sets `key = value` below the prefix.
fn assign(table: &mut Table, prefix: &str, assignment: &str) {
    let (key, value) = assignment
        .split_once(" = ")
        .unwrap_or_else(|| panic!("{assignment} sets nothing"));
    let value: Table = format!("value = {value}")
        .parse()
        .unwrap_or_else(|error| panic!("{assignment}: {error}"));
    if EXCLUSIVE.contains(&key) {
        for other in EXCLUSIVE {
            remove(table, &format!("{prefix}{other}"));
        }
    }
    set(table, &format!("{prefix}{key}"), value["value"].clone());
}

/// Everything that the page says of keys, against everything that the readers know. Answers what does not fit.
fn differences() -> Vec<String> {
    // They are read once, by whoever asks first; what is asked of them then is not asked of a config.
    let _ = Presets::built_in();
    let mut wrong = Vec::new();
    let sections = sections();
    let mut asked: BTreeMap<Place, BTreeMap<String, Known>> = BTreeMap::new();
    for (place, entries) in &sections {
        let prefix = place.prefix();
        let mut texts = vec![(String::new(), place.base())];
        for entry in entries {
            if entry.examples.is_empty() {
                wrong.push(format!("{place:?}: `{}` has no example", entry.key));
            }
            for example in &entry.examples {
                let mut table = place.base();
                for one in example {
                    assign(&mut table, &prefix, one);
                }
                texts.push((example.join("; "), table));
            }
        }
        for (example, table) in &texts {
            let ((_, found), known) = noted(|| place.read(table));
            if any_error(&found) {
                let messages: Vec<_> = found.iter().map(|one| one.message.clone()).collect();
                wrong.push(format!(
                    "{place:?}: the example {example} is wrong: {}",
                    messages.join("; ")
                ));
            }
            for (path, known) in known {
                let all = asked.entry(place.clone()).or_default().entry(path).or_default();
                all.words.extend(known.words);
                all.ranges.extend(known.ranges);
            }
        }
        for entry in entries {
            check_entry(place, entry, &mut wrong);
        }
    }
    compare(&sections, &asked, &mut wrong);
    wrong
}

/// Default and examples of one key.
fn check_entry(place: &Place, entry: &Entry, wrong: &mut Vec<String>) {
    let path = format!("{}{}", place.prefix(), entry.key);
    let mut without = place.base();
    remove(&mut without, &path);
    let (plain, found) = place.read(&without);
    if entry.default.starts_with("required") {
        if !any_error(&found) {
            wrong.push(format!("{place:?}: `{}` is not required", entry.key));
        }
        return;
    }
    let Some(plain) = plain else {
        wrong.push(format!("{place:?}: `{}` is required", entry.key));
        return;
    };
    let written = entry.default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    let Some(default) = written.filter(|default| !default.contains('`') && !default.starts_with('{')) else {
        return;
    };
    for (at, example) in entry.examples.iter().enumerate() {
        // What must be there for the key to be allowed.
        let mut around = place.base();
        let own = format!("{} = ", entry.key);
        for one in example.iter().filter(|one| !one.starts_with(&own)) {
            assign(&mut around, &place.prefix(), one);
        }
        let absent = if example.len() > 1 {
            place.read(&around).0.unwrap_or_default()
        } else {
            plain.clone()
        };
        let mut said = around.clone();
        assign(&mut said, &place.prefix(), &format!("{own}{default}"));
        let (meaning, _) = place.read(&said);
        // The same where only the table around it is there.
        let mut empty = around.clone();
        if let Some((parent, _)) = path.rsplit_once('.') {
            open(&mut empty, parent);
        }
        if at == 0 && place.read(&empty).0 != meaning {
            wrong.push(format!(
                "{place:?}: the default of `{}` in its empty table is not {default}",
                entry.key
            ));
        }
        if at == 0 && meaning.as_ref() != Some(&absent) {
            wrong.push(format!("{place:?}: the default of `{}` is not {default}", entry.key));
        }
        let same = example.iter().any(|one| *one == format!("{own}{default}"));
        let mut other = around;
        for one in example {
            assign(&mut other, &place.prefix(), one);
        }
        if !same && place.read(&other).0 == Some(absent) {
            wrong.push(format!("{place:?}: the example of `{}` changes nothing", entry.key));
        }
    }
}

/// Keys, words and ranges.
fn compare(
    sections: &BTreeMap<Place, Vec<Entry>>,
    asked: &BTreeMap<Place, BTreeMap<String, Known>>,
    wrong: &mut Vec<String>,
) {
    let mut on_page: BTreeMap<(bool, String), &Entry> = BTreeMap::new();
    for (place, entries) in sections
        .iter()
        .filter(|(place, _)| !matches!(place, Place::EveryTask | Place::Task(_)))
    {
        for entry in entries {
            let key = (
                matches!(place, Place::Config(_)),
                format!("{}{}", place.prefix(), entry.key),
            );
            on_page.insert(key, entry);
        }
    }
    let mut known: BTreeMap<(bool, String), Known> = BTreeMap::new();
    let mut of_tasks: BTreeMap<&str, BTreeMap<String, Known>> = BTreeMap::new();
    for (place, paths) in asked {
        for (path, about) in paths {
            if path.starts_with("preset.") || path.starts_with("task.") && !path.starts_with("task.NAME.") {
                continue;
            }
            let merged = match (place, path.strip_prefix("task.NAME.")) {
                (Place::Task(kind), Some(key)) => of_tasks.entry(kind).or_default().entry(key.to_owned()).or_default(),
                (Place::EveryTask, Some(key)) => of_tasks.entry("").or_default().entry(key.to_owned()).or_default(),
                (_, Some(_)) => continue,
                (place, None) => {
                    let key = (matches!(place, Place::Config(_)), path.clone());
                    known.entry(key).or_default()
                }
            };
            merged.words.extend(about.words.iter().cloned());
            merged.ranges.extend(about.ranges.iter().cloned());
        }
    }
    difference("config and rules", &on_page, &known, |(_, path)| path.clone(), wrong);
    let every: Vec<&Entry> = sections[&Place::EveryTask].iter().collect();
    for (kind, known) in &of_tasks {
        let own = sections.get(&Place::Task((*kind).to_owned()));
        // An example of every task may be of another kind.
        let known: BTreeMap<_, _> = known
            .iter()
            .filter(|(key, _)| !kind.is_empty() || every.iter().any(|entry| entry.key == **key))
            .map(|(key, about)| {
                let mut about = about.clone();
                if !kind.is_empty() && every.iter().any(|entry| entry.key == *key) {
                    // Told under every task.
                    about = Known::default();
                }
                (key.clone(), about)
            })
            .collect();
        let entries = every.iter().copied().chain(own.into_iter().flatten());
        let on_page: BTreeMap<String, &Entry> = entries.map(|entry| (entry.key.clone(), entry)).collect();
        difference(&format!("tasks {kind}"), &on_page, &known, String::clone, wrong);
    }
    let kinds: BTreeSet<String> = sections
        .keys()
        .filter_map(|place| match place {
            Place::Task(kind) => Some(kind.clone()),
            _ => None,
        })
        .collect();
    let real = &of_tasks[""]["kind"].words;
    if &kinds != real {
        wrong.push(format!("kinds on the page are {kinds:?}, not {real:?}"));
    }
}

fn difference<K: Ord>(
    what: &str,
    on_page: &BTreeMap<K, &Entry>,
    known: &BTreeMap<K, Known>,
    name: impl Fn(&K) -> String,
    wrong: &mut Vec<String>,
) {
    for path in known.keys().filter(|path| !on_page.contains_key(path)) {
        // What people name themselves is no key.
        let name = name(path);
        if !matches!(name.rsplit_once('.'), Some((_, "NAME" | "FAR" | "other"))) {
            wrong.push(format!("{what}: `{name}` is not on the page"));
        }
    }
    for (path, entry) in on_page {
        let below = format!("{}.", name(path));
        let is_table = entry.value == "table" || entry.value.starts_with("table,");
        if is_table && !on_page.keys().any(|other| name(other).starts_with(&below)) {
            wrong.push(format!("{what}: no key of the table `{}` is on the page", name(path)));
        }
        let Some(about) = known.get(path) else {
            wrong.push(format!("{what}: `{}` is on the page, but nobody reads it", name(path)));
            continue;
        };
        for range in about
            .ranges
            .iter()
            .filter(|range| !entry.value.contains(range.as_str()))
        {
            wrong.push(format!("{what}: `{}` may be {range}, not {}", name(path), entry.value));
        }
        let told: BTreeSet<String> = code_spans(&entry.value)
            .iter()
            .filter_map(|span| Some(span.strip_prefix('"')?.strip_suffix('"')?.to_owned()))
            .collect();
        if !about.words.is_empty() && told != about.words {
            wrong.push(format!(
                "{what}: `{}` may be {:?}, not {told:?}",
                name(path),
                about.words
            ));
        }
    }
}

#[test]
fn every_key_of_config_and_rules_is_on_the_page_as_it_is() {
    let wrong = differences();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn first_spans(mark: &str) -> Vec<String> {
    rows(mark).iter().map(|cells| code_spans(&cells[0]).remove(0)).collect()
}

fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(c.to_lowercase());
    }
    text
}

/// The lines of an item of the source, from its first line to the brace or bracket that closes it.
fn item<'s>(source: &'s str, first: &str) -> impl Iterator<Item = &'s str> {
    let after = source.split_once(first).unwrap_or_else(|| panic!("{first} is gone")).1;
    after
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with(['}', ']']))
        .map(str::trim)
}

#[test]
fn every_error_finding_field_and_exit_code_is_on_the_page() {
    let errors: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.as_str().to_owned()).collect();
    assert_eq!(first_spans("<!-- list: errors -->"), errors);

    let findings: Vec<_> = item(include_str!("job/failure.rs"), "pub enum FindingKind {")
        .filter_map(|line| line.strip_suffix(','))
        .map(snake_case)
        .collect();
    assert!(findings.len() >= 4);
    assert_eq!(first_spans("<!-- list: findings -->"), findings);

    let fields: Vec<_> = item(include_str!("rule/names.rs"), "\nconst FIELDS: [")
        .filter_map(|line| Some(format!("{{{}}}", line.strip_prefix("(\"")?.split('"').next()?)))
        .collect();
    assert!(fields.len() >= 12);
    assert_eq!(first_spans("<!-- list: fields -->"), fields);

    let codes = item(include_str!("cli/exit.rs"), "pub enum Code {")
        .filter_map(|line| Some(line.strip_suffix(',')?.split_once(" = ")?.1.to_owned()));
    let codes: Vec<_> = std::iter::once("0".to_owned()).chain(codes).collect();
    assert!(codes.len() >= 11);
    assert_eq!(first_spans("<!-- list: exit codes -->"), codes);
}

#[test]
fn every_container_is_on_the_page_with_its_codecs() {
    let list = |words: Vec<&str>| {
        if words.is_empty() {
            "–".to_owned()
        } else {
            words.join(", ")
        }
    };
    let real: Vec<Vec<String>> = Container::ALL
        .iter()
        .map(|(word, container)| {
            let video = container.video_codecs().iter().map(|codec| codec.word()).collect();
            let audio = container.audio_codecs().iter().map(|codec| codec.word()).collect();
            vec![format!("`{word}`"), list(video), list(audio)]
        })
        .collect();
    assert_eq!(rows("<!-- list: containers -->"), real);
}

#[test]
fn every_built_in_preset_is_on_the_page() {
    let real: BTreeSet<Vec<String>> = Presets::built_in()
        .iter()
        .map(|preset| {
            let keys: Table = preset.file.text.parse().unwrap();
            let kind = keys["kind"].as_str().unwrap().to_owned();
            vec![format!("`{}`", preset.name), kind, in_words(&keys)]
        })
        .collect();
    let written: BTreeSet<_> = rows("<!-- list: presets -->").into_iter().collect();
    assert_eq!(written, real);
}
