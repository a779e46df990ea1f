//! What people see of broken rule files, the examples that ship, and a broken config.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use reelmill::cli::report::to_text;
use reelmill::config::{self, read_rules};
use reelmill::diagnostic::SourceFile;
use reelmill::object::BucketName;
use reelmill::rule::check::{check, check_together};
use reelmill::rule::renewal::stem;

fn buckets() -> Vec<BucketName> {
    vec!["inbox".parse().unwrap(), "published".parse().unwrap()]
}

fn named(file: &SourceFile) -> SourceFile {
    SourceFile {
        path: file.path.file_name().unwrap().into(),
        text: file.text.clone(),
    }
}

#[test]
fn every_fault_of_a_broken_rule_is_shown_with_its_place_and_what_would_be_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules_broken");
    let found = read_rules(&folder).unwrap();
    assert!(found.files.len() >= 14);
    for file in found.files.iter().map(named) {
        let name = stem(&file.path);
        let (rule, mut diagnostics) = check(&file, &name, &buckets());
        if let Some(rule) = &rule {
            diagnostics.extend(check_together(&[(rule, &file)]));
        }
        assert!(!diagnostics.is_empty(), "{name} has no fault");
        insta::assert_snapshot!(name, to_text(&diagnostics));
    }
}

#[test]
fn the_examples_are_valid_and_only_the_web_rule_is_enabled() {
    let found = read_rules(&Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")).unwrap();
    let mut rules = Vec::new();
    for file in &found.files {
        let (rule, diagnostics) = check(file, &stem(&file.path), &buckets());
        assert!(diagnostics.is_empty(), "{}", to_text(&diagnostics));
        rules.push((rule.unwrap(), file));
    }
    assert!(rules.len() >= 7, "the examples were not found");
    for (rule, _) in &rules {
        assert_eq!(rule.enabled, rule.name.as_str() == "web");
    }
    let pairs: Vec<_> = rules.iter().map(|(rule, file)| (rule, *file)).collect();
    assert_eq!(check_together(&pairs), []);
}

#[test]
fn every_fault_of_a_broken_config_is_shown() {
    let text = "stat = \"x\"\nrules = 3\n[bucket.inbox]\npath = \"/a\"\npoll = \"0s\"\n[bucket.\"b c\"]\n[bucket.s]\ns3 = \"x\"\n\
                [bucket.in]\npath = \"/a/b\"\n[workers]\nslots = 0\njail = \"of\"\nmemory = \"64MiB\"\n[plugins]\nadd = [\"../x\"]\n[queue]\nageing = \"strickt\"\n[api]\nlisten = 1\n";
    let file = SourceFile {
        path: "/etc/reelmill.toml".into(),
        text: text.into(),
    };
    let (config, diagnostics) = config::check(&file);
    assert!(config.is_none());
    insta::assert_snapshot!("config", to_text(&diagnostics));
}

const BROKEN_BUCKETS: &str = r#"[bucket.both]
path = "inbox"
endpoint = "http://127.0.0.1:9000"
[bucket.far]
s3 = "a/b"
endpoint = "http://user:password@host"
region = ""
poll = "10s"
watch = ["listen", "sqs", "webhook", "kafka", "inotify"]
[bucket.queue]
s3 = "uploads"
watch = ["sqs"]
sqs = { endpoint = "sqs.example.org" }
[bucket.hook]
s3 = "uploads"
watch = ["webhook"]
webhook = { secret = "in the open" }
[bucket.unheard]
s3 = "uploads"
watch = ["webhook"]
webhook = { secret_file = "uploads.secret" }
"#;

#[test]
fn every_fault_of_buckets_over_a_network_is_shown() {
    let file = SourceFile {
        path: "/etc/reelmill.toml".into(),
        text: BROKEN_BUCKETS.into(),
    };
    let (config, diagnostics) = config::check(&file);
    assert!(config.is_none());
    insta::assert_snapshot!("buckets", to_text(&diagnostics));
}

#[test]
fn paths_of_a_config_are_relative_to_it() {
    let text = "state = \"state\"\n[bucket.inbox]\npath = \"./inbox\"\n";
    let file = SourceFile {
        path: "/etc/mill/reelmill.toml".into(),
        text: text.into(),
    };
    let (config, diagnostics) = config::check(&file);
    assert_eq!(diagnostics, []);
    let config = config.unwrap();
    assert_eq!(config.rules, Path::new("/etc/mill/rules"));
    assert_eq!(config.state, Path::new("/etc/mill/state"));
    assert_eq!(
        config.buckets[&buckets()[0]].local().unwrap().path,
        Path::new("/etc/mill/inbox")
    );
}

fn valid(name: &str, text: &str) -> (reelmill::rule::Rule, SourceFile) {
    let file = SourceFile {
        path: format!("{name}.toml").into(),
        text: text.into(),
    };
    let (rule, diagnostics) = check(&file, name, &buckets());
    (rule.unwrap_or_else(|| panic!("{}", to_text(&diagnostics))), file)
}

#[test]
fn sources_that_rules_would_move_round_in_a_circle_are_refused_and_chains_are_not() {
    let moving = |from: &str, to: &str| {
        format!(
            "after_success = \"move:{to}\"\n[trigger]\nbucket = \"inbox\"\ndirectory = \"{from}\"\n[output]\n\
             bucket = \"published\"\n[task.a]\nkind = \"probe\"\n"
        )
    };
    let together = |texts: &[(&str, String)]| {
        let rules: Vec<_> = texts.iter().map(|(name, text)| valid(name, text)).collect();
        let pairs: Vec<_> = rules.iter().map(|(rule, file)| (rule, file)).collect();
        to_text(&check_together(&pairs))
    };
    let circle = together(&[("one", moving("in", "next")), ("two", moving("next", "in/again"))]);
    assert!(
        circle.contains("rules would start each other for ever: \"one\" -> \"two\" -> \"one\""),
        "{circle}"
    );
    assert!(
        circle.contains("move sources to a directory that none of these rules watches"),
        "{circle}"
    );
    let chain = together(&[("one", moving("in", "next")), ("two", moving("next", "done"))]);
    assert_eq!(chain, "");
    // What is surely left alone closes no circle.
    let excluded =
        moving("in", "next").replace("directory = \"in\"", "directory = \"in\"\nexclude = [\"in/again/**\"]");
    assert_eq!(together(&[("one", excluded), ("two", moving("next", "in/again"))]), "");
    assert_eq!(
        together(&[("one", moving("", ".done"))]),
        "",
        "hidden directories are left alone"
    );
}

#[test]
fn room_and_history_are_read_and_their_faults_are_shown() {
    let read = |text: &str| {
        let file = SourceFile {
            path: "/etc/reelmill.toml".into(),
            text: format!("[bucket.inbox]\npath = \"/a\"\n{text}").into(),
        };
        config::check(&file)
    };
    let days = |count: u64| std::time::Duration::from_hours(24 * count);
    for (text, free, keep, jobs) in [
        ("", 512 << 20, Some(days(90)), Some(100_000)),
        (
            "[workers]\nmin_free = \"2GiB\"\n[history]\nkeep = \"7d\"",
            2 << 30,
            Some(days(7)),
            Some(100_000),
        ),
        (
            "[workers]\nmin_free = 0\n[history]\nkeep = \"forever\"\nkeep_jobs = \"all\"",
            0,
            None,
            None,
        ),
        ("[history]\nkeep_jobs = 5", 512 << 20, Some(days(90)), Some(5)),
    ] {
        let config = read(text).0.unwrap();
        assert_eq!(config.workers.min_free, free, "{text}");
        assert_eq!((config.history.keep, config.history.keep_jobs), (keep, jobs), "{text}");
    }
    let (config, diagnostics) =
        read("[workers]\nmin_free = \"some\"\n[history]\nkeep = \"90 days\"\nkeep_jobs = 0\nkep = 1\n");
    assert!(config.is_none());
    insta::assert_snapshot!("history", to_text(&diagnostics));
}

#[test]
fn rules_and_presets_need_a_folder_each() {
    let file = |text: &str| SourceFile {
        path: "/etc/mill/reelmill.toml".into(),
        text: format!("{text}\n[bucket.inbox]\npath = \"/a\"\n").into(),
    };
    let (config, diagnostics) = config::check(&file("presets = \"../common\""));
    assert_eq!(diagnostics, []);
    assert_eq!(config.unwrap().presets, Path::new("/etc/mill/../common"));
    let (config, diagnostics) = config::check(&file("presets = \"rules\""));
    assert!(config.is_none());
    assert_eq!(diagnostics[0].position(), Some((1, 11)));
}
