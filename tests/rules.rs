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
    assert_eq!(rules.len(), 3);
    for (rule, _) in &rules {
        assert_eq!(rule.enabled, rule.name.as_str() == "web");
    }
    let pairs: Vec<_> = rules.iter().map(|(rule, file)| (rule, *file)).collect();
    assert_eq!(check_together(&pairs), []);
}

#[test]
fn every_fault_of_a_broken_config_is_shown() {
    let text = "stat = \"x\"\nrules = 3\n[bucket.inbox]\npath = \"/a\"\npoll = \"0s\"\n[bucket.\"b c\"]\n[bucket.s]\ns3 = \"x\"\n\
                [bucket.in]\npath = \"/a/b\"\n[workers]\nslots = 0\njail = \"off\"\n[queue]\nageing = \"strickt\"\n[api]\nlisten = 1\n";
    let file = SourceFile {
        path: "/etc/reelmill.toml".into(),
        text: text.into(),
    };
    let (config, diagnostics) = config::check(&file);
    assert!(config.is_none());
    insta::assert_snapshot!("config", to_text(&diagnostics));
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
    assert_eq!(config.buckets[&buckets()[0]].path, Path::new("/etc/mill/inbox"));
}

#[test]
fn rules_and_presets_need_a_folder_each() {
    let file = |text: &str| SourceFile {
        path: "/etc/mill/reelmill.toml".into(),
        text: format!("{text}\n[bucket.inbox]\npath = \"/a\"\n").into(),
    };
    let (config, diagnostics) = config::check(&file("presets = \"../shared\""));
    assert_eq!(diagnostics, []);
    assert_eq!(config.unwrap().presets, Path::new("/etc/mill/../shared"));
    let (config, diagnostics) = config::check(&file("presets = \"rules\""));
    assert!(config.is_none());
    assert_eq!(diagnostics[0].position(), Some((1, 11)));
}
