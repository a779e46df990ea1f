use super::*;
use crate::rule::book::ArmingMode;

const BODY: &str =
    "[trigger]\nbucket = \"b\"\ndirectory = \"in\"\n[output]\ndirectory = \"out\"\n[task.a]\nkind = \"transcode\"\n";

/// A rules folder and a store, driven round by round.
#[derive(Default)]
struct World {
    records: Vec<RuleRecord>,
    files: Vec<SourceFile>,
    presets: Vec<SourceFile>,
    second: i64,
}

impl World {
    fn write(&mut self, name: &str, text: &str) -> &mut Self {
        self.remove(name);
        self.files.push(SourceFile {
            path: name.into(),
            text: text.into(),
        });
        self
    }

    fn remove(&mut self, name: &str) -> &mut Self {
        self.files.retain(|file| file.path != Path::new(name));
        self
    }

    fn round(&mut self) -> RuleBook {
        self.second += 1;
        let now = Timestamp::from_second(self.second).unwrap();
        let renewal = renew(
            &self.records,
            &self.files,
            &[],
            &self.presets(),
            &["b".parse().unwrap()],
            now,
        );
        for record in renewal.save {
            self.records.retain(|old| old.name != record.name);
            self.records.push(record);
        }
        // The very same files change nothing.
        assert_eq!(
            renew(
                &self.records,
                &self.files,
                &[],
                &self.presets(),
                &["b".parse().unwrap()],
                now
            )
            .save,
            []
        );
        renewal.book
    }

    fn presets(&self) -> Presets {
        Presets::with_files(&self.presets, &[])
    }

    fn preset(&mut self, name: &str, text: &str) -> &mut Self {
        self.presets.retain(|file| file.path != Path::new(name));
        self.presets.push(SourceFile {
            path: name.into(),
            text: text.into(),
        });
        self
    }

    fn record(&self) -> &RuleRecord {
        &self.records[0]
    }
}

fn enabled(text: &str) -> String {
    format!("enabled = true\n{text}")
}

#[test]
fn a_rule_is_disabled_until_its_file_says_otherwise_and_armed_when_it_does() {
    let mut world = World::default();
    let book = world.write("r.toml", BODY).round();
    assert!(!book.rules[0].enabled && book.rules[0].arming.is_none());
    let book = world.write("r.toml", &enabled(BODY)).round();
    assert!(book.rules[0].enabled && matches!(book.rules[0].arming, Some(ArmingMode::Enabled)));
    assert_eq!(
        (world.record().since.as_second(), world.record().created.as_second()),
        (2, 1)
    );
    let book = world.write("r.toml", BODY).round();
    assert!(!book.rules[0].enabled && book.rules[0].arming.is_none());
}

#[test]
fn existing_objects_are_processed_where_the_rule_says_so() {
    let text = enabled(&BODY.replace("directory = \"in\"", "existing = \"process\"\ndirectory = \"in\""));
    let book = World::default().write("r.toml", &text).round();
    assert!(book.rules[0].enabled && book.rules[0].arming.is_none());
}

#[test]
fn a_broken_file_keeps_the_last_good_version_even_after_a_restart() {
    let mut world = World::default();
    let good = world.write("r.toml", &enabled(BODY)).round();
    let book = world.write("r.toml", "enabled = false\n[trigger").round();
    assert_eq!(book.rules[0].rule.version, good.rules[0].rule.version);
    assert!(book.rules[0].enabled);
    assert_eq!(book.broken[0].rule.as_ref().unwrap().as_str(), "r");
    let book = world.write("other.toml", "enabled = ").round();
    assert_eq!((book.rules.len(), book.broken.len()), (1, 2));
}

#[test]
fn a_rule_without_a_file_is_not_in_force_and_comes_back_as_it_was() {
    let mut world = World::default();
    world.write("r.toml", &enabled(BODY)).round();
    world.records[0].arming = Arming::Done;
    assert_eq!(world.remove("r.toml").round().rules.len(), 0);
    let named = format!("name = \"r\"\n{}", enabled(BODY));
    let book = world.write("renamed.toml", &named).round();
    assert!(book.rules[0].enabled && book.rules[0].arming.is_none());
    assert_eq!(world.record().since.as_second(), 1);
    assert_eq!(world.record().file, "renamed.toml");
}

#[test]
fn another_trigger_of_an_enabled_rule_writes_down_what_it_matches_newly() {
    let mut world = World::default();
    world.write("r.toml", &enabled(BODY)).round();
    world.records[0].arming = Arming::Done;
    let book = world
        .write("r.toml", &enabled(&format!("priority = 2\n{BODY}")))
        .round();
    assert!(book.rules[0].arming.is_none());
    let before = world.record().text.clone();
    let wider = enabled(&BODY.replace("directory = \"in\"", "formats = \"*\"\ndirectory = \"in\""));
    let book = world.write("r.toml", &wider).round();
    assert_eq!(
        world.record().arming,
        Arming::Widened {
            cursor: None,
            before: before.clone()
        }
    );
    assert!(matches!(&book.rules[0].arming, Some(ArmingMode::Widened(rule)) if rule.priority.get() == 2));
    // A second change keeps the text from before the first.
    world
        .write(
            "r.toml",
            &wider
                .replace("\"in\"", "\"\"")
                .replace("\"out\"", "\"/\"")
                .replace("directory = \"/\"", "overwrite = true"),
        )
        .round();
    assert_eq!(world.record().arming, Arming::Widened { cursor: None, before });
}

#[test]
fn rules_that_clash_are_refused_together_and_keep_their_last_good_versions() {
    let mut world = World::default();
    world.write("r.toml", &enabled(BODY)).round();
    let named = format!("name = \"r\"\n{BODY}");
    let book = world.write("twin.toml", &named).round();
    assert_eq!((book.rules.len(), book.broken.len()), (1, 2));
    assert!(book.rules[0].enabled);
    let looping = enabled(
        &BODY
            .replace("\"in\"\n", "\"in\"\noutputs = true\n")
            .replace("\"out\"", "\"in/x\""),
    );
    let book = world.remove("twin.toml").write("r.toml", &looping).round();
    assert!(!book.rules[0].rule.trigger.outputs && book.broken.len() == 1);
    assert!(book.broken[0].diagnostics[0].message.contains("start itself"));
    assert_eq!(world.remove("r.toml").write("r.toml", BODY).round().broken.len(), 0);
}

#[test]
fn only_meaning_changes_the_version() {
    let version = |text: &str| {
        let file = SourceFile {
            path: "r.toml".into(),
            text: text.into(),
        };
        check(&file, "r", &["b".parse().unwrap()]).0.unwrap().version
    };
    let first = version(BODY);
    assert_eq!(first.0.len(), 16);
    assert_eq!(
        first,
        version(&enabled(&format!("# why\nname = 'r'\n{}", BODY.replace(" = ", "="))))
    );
    assert_ne!(first, version(&format!("priority = 1\n{BODY}")));
    assert_ne!(first, version(&format!("name = \"q\"\n{BODY}")));
}

#[test]
fn a_changed_preset_is_a_new_version_that_is_not_armed_again_and_a_broken_one_keeps_the_last_good() {
    let uses = enabled(BODY).replace("kind = \"transcode\"", "preset = \"p\"");
    let mut world = World::default();
    world
        .write("r.toml", &uses)
        .preset("p.toml", "kind = \"transcode\"\nheight = 480\n");
    let first = world.round().rules[0].clone();
    assert!(first.arming.is_some());
    assert!(first.text.contains("height = 480"), "{}", first.text);
    world.records[0].arming = Arming::Done;

    let book = world.preset("p.toml", "kind = \"transcode\"\nheight = 720\n").round();
    let second = book.rules[0].clone();
    assert_ne!(second.rule.version, first.rule.version);
    assert_eq!((second.since, second.arming.is_none()), (first.since, true));

    let book = world.preset("p.toml", "kind = \"transcode\"\nheight = 7\n").round();
    assert_eq!(book.rules[0].rule.version, second.rule.version);
    assert_eq!(book.rules[0].text, second.text);
    assert_eq!(book.broken[0].file, "r.toml");
    let found = &book.broken[0].diagnostics[0];
    assert_eq!(found.file.as_ref().unwrap().path, Path::new("p.toml"));
    assert_eq!(found.position(), Some((2, 10)));
}
