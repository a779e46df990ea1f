use proptest::prelude::*;

use super::*;
use crate::diagnostic::Severity;
use crate::rule::check::{check, check_with};
use crate::rule::{Rule, TaskKind, Track, VideoRate, VideoSpec};

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile {
        path: path.into(),
        text: text.into(),
    }
}

fn rule_text(rest: &str) -> String {
    format!("[trigger]\nbucket = \"b\"\nformats = [\"mp4\"]\n{rest}")
}

fn read_with(rest: &str, presets: &Presets) -> (Option<Rule>, Vec<Diagnostic>) {
    check_with(&file("r.toml", &rule_text(rest)), "r", &["b".parse().unwrap()], presets)
}

fn read(rest: &str) -> (Option<Rule>, Vec<Diagnostic>) {
    read_with(rest, Presets::built_in())
}

fn good(rest: &str) -> Rule {
    let (rule, found) = read(rest);
    rule.unwrap_or_else(|| panic!("{rest}\n{found:#?}"))
}

fn with_files(files: &[(&str, &str)]) -> Presets {
    let files: Vec<_> = files.iter().map(|(path, text)| file(path, text)).collect();
    Presets::with_files(&files, &[])
}

/// `file:line:column: message` of everything that is wrong.
fn told(found: &[Diagnostic]) -> Vec<String> {
    let told = found.iter().map(|one| {
        let (line, column) = one.position().unwrap_or((0, 0));
        let path = one.file.as_ref().map(|file| file.path.display().to_string());
        format!("{}:{line}:{column}: {}", path.unwrap_or_default(), one.message)
    });
    told.collect()
}

#[test]
fn every_built_in_preset_is_good_by_itself_and_in_a_rule() {
    assert!(Presets::built_in().iter().count() >= 8);
    for preset in Presets::built_in().iter() {
        assert_eq!(preset.diagnostics, [], "{}", preset.name);
        assert!(is_good_name(&preset.name));
        let rule = good(&format!("[task.a]\npreset = \"{}\"\n", preset.name));
        let keys: Table = preset.file.text.parse().unwrap();
        let copied = format!(
            "{}[task.a]\npreset = \"{}\"\n",
            as_rule_table(&preset.name, &keys),
            preset.name
        );
        assert_eq!(good(&copied).version, rule.version);
        assert!(!in_words(&keys).is_empty());
    }
}

#[test]
fn the_version_of_a_rule_without_presets_is_what_it_always_was() {
    let rule = good("[task.web]\nkind = \"transcode\"\nheight = 720\nvideo = { crf = 20.0, gop = \"2s\" }\n");
    assert_eq!(rule.version.0, "7ead4ee343a64851");
}

#[test]
fn a_task_over_a_preset_is_as_if_it_had_said_everything_itself() {
    let preset = "[preset.p]\nkind = \"transcode\"\nheight = 720\nvideo = { crf = 23, preset = \"slow\" }\n\
                  audio = { bitrate = \"96k\" }\n";
    for (task, whole) in [
        (
            "video = { crf = 20 }",
            "height = 720\nvideo = { crf = 20, preset = \"slow\" }\naudio = { bitrate = \"96k\" }",
        ),
        (
            "video = { bitrate = \"2M\" }",
            "height = 720\nvideo = { bitrate = \"2M\", preset = \"slow\" }\naudio = { bitrate = \"96k\" }",
        ),
        ("video = \"none\"", "video = \"none\"\naudio = { bitrate = \"96k\" }"),
        (
            "short_side = 480",
            "short_side = 480\nvideo = { crf = 23, preset = \"slow\" }\naudio = { bitrate = \"96k\" }",
        ),
        (
            "audio = \"none\"",
            "height = 720\nvideo = { crf = 23, preset = \"slow\" }\naudio = \"none\"",
        ),
    ] {
        let over = good(&format!("{preset}[task.a]\npreset = \"p\"\n{task}\n"));
        let alone = good(&format!("[task.a]\nkind = \"transcode\"\n{whole}\n"));
        assert_eq!(over.version, alone.version, "{task}");
        assert_eq!(format!("{:?}", over.tasks), format!("{:?}", alone.tasks));
    }
}

#[test]
fn the_rule_goes_before_the_file_and_the_file_before_what_is_built_in() {
    let crf = |rule: Option<Rule>| match rule.map(|rule| rule.tasks[0].kind.clone()) {
        Some(TaskKind::Transcode(transcode)) => match transcode.video {
            Track::Encode(VideoSpec {
                rate: VideoRate::Crf(crf),
                ..
            }) => crf,
            _ => panic!("no crf"),
        },
        _ => panic!("no transcode"),
    };
    let task = "[task.a]\npreset = \"h264-720p\"\n";
    let files = with_files(&[("presets/h264-720p.toml", "kind = \"transcode\"\nvideo = { crf = 11 }\n")]);
    let own = format!("{task}[preset.h264-720p]\nkind = \"transcode\"\nvideo = {{ crf = 12 }}\n");
    let found = [read(task).0, read_with(task, &files).0, read_with(&own, &files).0].map(crf);
    assert_eq!(format!("{found:?}"), "[23.0, 11.0, 12.0]");
}

#[test]
fn a_fault_in_a_preset_is_told_at_its_place_once_with_those_who_use_it() {
    let presets = with_files(&[(
        "presets/bad.toml",
        "kind = \"transcode\"\nvideo = { crf = 99 }\nhigth = 1\n",
    )]);
    let (rule, found) = read_with(
        "[task.a]\npreset = \"bad\"\n[task.b]\npreset = \"bad\"\nwidth = 99999\n",
        &presets,
    );
    assert!(rule.is_none());
    assert_eq!(
        told(&found),
        [
            "r.toml:8:9: `task.b.width` is out of range",
            "presets/bad.toml:2:17: `video.crf` is out of range (used by task \"a\", task \"b\")",
            "presets/bad.toml:3:1: `higth` is no key of the preset \"bad\" (used by task \"a\", task \"b\")",
        ]
    );
    let (_, found) =
        read("[preset.own]\nkind = \"snapshot\"\nquality = 0\n[task.a]\npreset = \"own\"\nat = [\"1s\"]\n");
    assert_eq!(
        told(&found),
        ["r.toml:6:11: `preset.own.quality` is out of range (used by task \"a\")"]
    );
}

#[test]
fn what_only_the_task_makes_wrong_is_told_in_the_preset_too() {
    let (_, found) = read("[task.a]\npreset = \"h264-720p\"\nkind = \"snapshot\"\n");
    assert_eq!(
        told(&found),
        ["r.toml:6:8: the preset \"h264-720p\" is of kind \"transcode\""]
    );
    let (_, found) = read("[task.a]\npreset = \"h264-720p\"\nvideo = \"none\"\naudio = \"none\"\n");
    assert_eq!(told(&found), ["r.toml:7:9: neither video nor audio would be left"]);
    let own = "[preset.p]\nkind = \"transcode\"\naudio = \"none\"\n[task.a]\npreset = \"p\"\nvideo = \"none\"\n";
    let (_, found) = read(own);
    assert_eq!(
        told(&found),
        ["r.toml:6:9: neither video nor audio would be left (used by task \"a\")"]
    );
}

#[test]
fn what_a_preset_cannot_say_is_an_error_even_where_nobody_uses_it() {
    let (rule, found) = read(
        "[task.a]\nkind = \"probe\"\n[preset.p]\nkind = \"transcode\"\npreset = \"q\"\nafter = \"a\"\nvideo = { crf = 99 }\n\
         [preset.\"a b\"]\nkind = \"snapshot\"\n[preset.q]\nheight = 3\n",
    );
    assert!(rule.is_none());
    insta::assert_snapshot!(told(&found).join("\n"), @r#"
    r.toml:6:9: no task of this rule uses the preset "p"
    r.toml:8:1: a preset cannot take another preset
    r.toml:9:1: a preset cannot say `after`
    r.toml:10:17: `preset.p.video.crf` is out of range
    r.toml:11:9: "a b" is no name of a preset
    r.toml:11:9: no task of this rule uses the preset "a b"
    r.toml:13:9: `kind` is missing in [preset.q]
    r.toml:13:9: no task of this rule uses the preset "q"
    "#);
}

#[test]
fn a_preset_that_nobody_uses_is_a_warning() {
    let (rule, found) = read("[task.a]\nkind = \"probe\"\n[preset.p]\nkind = \"snapshot\"\n");
    assert!(rule.is_some());
    assert_eq!(found[0].severity, Severity::Warning);
    assert_eq!(told(&found), ["r.toml:6:9: no task of this rule uses the preset \"p\""]);
}

#[test]
fn an_unknown_preset_is_told_with_the_one_that_was_meant() {
    let (_, found) = read("[task.a]\npreset = \"h264-702p\"\n");
    assert_eq!(told(&found), ["r.toml:5:10: there is no preset \"h264-702p\""]);
    assert_eq!(found[0].help.as_deref(), Some("did you mean \"h264-720p\"?"));
}

#[test]
fn a_file_that_is_no_toml_breaks_only_the_rules_that_use_it() {
    let presets = with_files(&[("presets/half.toml", "kind = \"trans")]);
    let (rule, found) = read_with("[task.a]\npreset = \"half\"\n", &presets);
    assert!(rule.is_none());
    assert!(
        told(&found)[0].starts_with("presets/half.toml:1:"),
        "{:?}",
        told(&found)
    );
    assert!(told(&found)[0].ends_with("(used by task \"a\")"));
    assert!(read_with("[task.a]\nkind = \"probe\"\n", &presets).0.is_some());
    let unreadable = BrokenFile {
        file: "gone.toml".to_owned(),
        rule: None,
        diagnostics: vec![Diagnostic::error(
            &file("presets/gone.toml", ""),
            None,
            "the file cannot be read",
        )],
    };
    let (rule, found) = read_with(
        "[task.a]\npreset = \"gone\"\n",
        &Presets::with_files(&[], &[unreadable]),
    );
    assert!(rule.is_none());
    assert_eq!(
        told(&found),
        ["presets/gone.toml:0:0: the file cannot be read (used by task \"a\")"]
    );
}

#[test]
fn the_text_that_is_kept_needs_no_preset_from_elsewhere() {
    let presets = with_files(&[(
        "presets/mine.toml",
        "# why\nkind = \"transcode\"\nheight = 480\n[video]\ncrf = 30\n",
    )]);
    for rest in [
        "[task.a]\npreset = \"mine\"\n[task.b]\npreset = \"poster\"\n",
        "[task.a]\npreset = \"mine\"\nvideo.crf = 2\n[preset.x]\nkind = \"probe\"\n",
        "task = { a = { preset = \"mine\" }, c = { preset = \"x\" } }\npreset = { x = { kind = \"probe\" } }\n",
    ] {
        // Top-level keys before the first header.
        let text = if rest.starts_with("task") {
            format!("{rest}{}", rule_text(""))
        } else {
            rule_text(rest)
        };
        let buckets = ["b".parse().unwrap()];
        let (rule, found) = check_with(&file("r.toml", &text), "r", &buckets, &presets);
        let rule = rule.unwrap_or_else(|| panic!("{:?}", told(&found)));
        let kept = self_contained(&text, &presets);
        let (again, _) = check(&file("kept", &kept), "r", &buckets);
        let again = again.unwrap_or_else(|| panic!("{kept}"));
        assert_eq!(again.version, rule.version, "{kept}");
        assert_eq!(format!("{:?}", again.tasks), format!("{:?}", rule.tasks));
        // What the presets are by then does not matter.
        let other = with_files(&[
            ("presets/mine.toml", "kind = \"probe\""),
            ("presets/poster.toml", "kind = \"copy\""),
        ]);
        assert_eq!(
            check_with(&file("kept", &kept), "r", &buckets, &other)
                .0
                .unwrap()
                .version,
            rule.version
        );
        assert_eq!(self_contained(&kept, &other), kept);
    }
    let plain = rule_text("[task.a]\nkind = \"probe\"\n");
    assert_eq!(self_contained(&plain, &presets), plain);
}

#[test]
fn another_text_of_a_preset_is_another_version_of_those_who_use_it_only() {
    let before = with_files(&[("p.toml", "kind = \"transcode\"\nheight = 480\n")]);
    let after = with_files(&[("p.toml", "kind = \"transcode\"\nheight = 482\n")]);
    let comment = with_files(&[("p.toml", "# so\nheight = 480\nkind = \"transcode\"\n")]);
    let version = |rest, presets| read_with(rest, presets).0.unwrap().version;
    let uses = "[task.a]\npreset = \"p\"\n";
    assert_ne!(version(uses, &before), version(uses, &after));
    assert_eq!(version(uses, &before), version(uses, &comment));
    let plain = "[task.a]\nkind = \"probe\"\n";
    assert_eq!(version(plain, &before), version(plain, &after));
}

/// Some keys of a transcode: which are there, and their values.
fn keys() -> impl Strategy<Value = Table> {
    let track = |keys: [&'static str; 2]| {
        proptest::option::of(prop_oneof![
            1 => Just(Value::String("none".to_owned())),
            4 => proptest::collection::btree_map(proptest::sample::select(keys.to_vec()), 1i64..=2, 0..=2).prop_map(|map| {
                Value::Table(map.into_iter().map(|(key, value)| (key.to_owned(), scaled(key, value))).collect())
            }),
        ])
    };
    let sides = proptest::collection::btree_map(proptest::sample::select(vec!["width", "height"]), 100i64..=101, 0..=2);
    (sides, track(["crf", "fps"]), track(["bitrate", "channels"])).prop_map(|(sides, video, audio)| {
        let mut table: Table = sides
            .into_iter()
            .map(|(key, value)| (key.to_owned(), Value::Integer(value)))
            .collect();
        table.extend(video.map(|video| ("video".to_owned(), video)));
        table.extend(audio.map(|audio| ("audio".to_owned(), audio)));
        table
    })
}

fn scaled(key: &str, value: i64) -> Value {
    Value::Integer(if key == "bitrate" { value * 64_000 } else { value })
}

/// What the merge should come to, said in another way.
fn expected(own: &Table, preset: &Table) -> Table {
    let mut all = preset.clone();
    if own.get("video").is_some_and(Value::is_str) {
        all.remove("width");
        all.remove("height");
    }
    for (key, value) in own {
        match (value, all.get_mut(key)) {
            (Value::Table(own), Some(Value::Table(below))) => *below = expected(own, below),
            _ => {
                all.insert(key.clone(), value.clone());
            }
        }
    }
    all
}

fn task_version(own: &Table, preset: Option<&Table>) -> Option<String> {
    let mut rule: Table = rule_text("").parse().unwrap();
    let (mut own, kind) = (own.clone(), Value::String("transcode".to_owned()));
    if let Some(preset) = preset {
        let mut preset = preset.clone();
        preset.insert("kind".to_owned(), kind);
        own.insert("preset".to_owned(), Value::String("p".to_owned()));
        rule.insert(
            "preset".to_owned(),
            Value::Table([("p".to_owned(), Value::Table(preset))].into_iter().collect()),
        );
    } else {
        own.insert("kind".to_owned(), kind);
    }
    rule.insert(
        "task".to_owned(),
        Value::Table([("a".to_owned(), Value::Table(own))].into_iter().collect()),
    );
    let text = rule.to_string();
    let (rule, _) = check(&file("r.toml", &text), "r", &["b".parse().unwrap()]);
    rule.map(|rule| format!("{} {:?}", rule.version, rule.tasks))
}

proptest! {
    #[test]
    fn the_keys_of_the_task_win_and_those_of_the_preset_fill_in(own in keys(), preset in keys()) {
        let mut alone = preset.clone();
        alone.insert("kind".to_owned(), Value::String("transcode".to_owned()));
        prop_assume!(check_preset(&file("p.toml", &alone.to_string()), "p").is_empty());
        let whole = expected(&own, &preset);
        for (key, value) in own.iter().filter(|(_, value)| !value.is_table()) {
            prop_assert_eq!(whole.get(key), Some(value));
        }
        prop_assert_eq!(task_version(&own, Some(&preset)), task_version(&whole, None));
    }

    #[test]
    fn an_empty_preset_changes_nothing(own in keys()) {
        prop_assert_eq!(task_version(&own, Some(&Table::new())), task_version(&own, None));
    }
}
