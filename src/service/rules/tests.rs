use std::fs;
use std::time::Duration;

use super::*;
use crate::rule::book::ArmingMode;
use crate::service::tests_support::mill_on_disk;

const RULE: &str = r#"
enabled = true
[trigger]
bucket = "inbox"
formats = ["mp4"]
[task.keep]
kind = "copy"
"#;

struct House {
    mill: Arc<Mill>,
    folder: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("rules")).unwrap();
        Self {
            mill: mill_on_disk(folder.path()).await,
            folder,
        }
    }

    fn save(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join("rules").join(name), text).unwrap();
    }

    async fn load(&self) {
        load(&self.mill, Timestamp::now()).await.unwrap();
    }

    fn live(&self) -> LiveRule {
        self.mill.book.get().rules[0].clone()
    }

    async fn record(&self) -> RuleRecord {
        self.mill.store.rules().await.unwrap().remove(0)
    }
}

fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_baseline_is_finished_by_the_book_that_began_it() {
    let house = House::new().await;
    house.save("copy.toml", RULE);
    house.load().await;
    let live = house.live();
    assert!(matches!(live.arming, Some(ArmingMode::Enabled)));
    assert!(save_cursor(&house.mill, &live, Some(&key("m.mp4"))).await.unwrap());
    let at_m = Arming::Enabled {
        cursor: Some(key("m.mp4")),
    };
    assert_eq!(house.record().await.arming, at_m);
    // Another round of reading leaves it where it is.
    house.load().await;
    assert_eq!(house.record().await.arming, at_m);
    assert!(arming_done(&house.mill, &live).await.unwrap());
    assert_eq!(house.record().await.arming, Arming::Done);
    assert!(house.live().arming.is_none());
}

#[tokio::test]
async fn a_baseline_that_another_took_the_place_of_is_not_written_on() {
    let house = House::new().await;
    house.save("copy.toml", RULE);
    house.load().await;
    let old = house.live();
    assert!(save_cursor(&house.mill, &old, Some(&key("m.mp4"))).await.unwrap());
    house.save("copy.toml", &RULE.replace("true", "false"));
    house.load().await;
    assert!(!arming_done(&house.mill, &old).await.unwrap(), "it is disabled");
    house.save("copy.toml", RULE);
    load(&house.mill, Timestamp::now() + Duration::from_secs(1))
        .await
        .unwrap();
    assert_eq!(house.live().rule.version, old.rule.version);
    assert!(!save_cursor(&house.mill, &old, Some(&key("z.mp4"))).await.unwrap());
    assert!(!arming_done(&house.mill, &old).await.unwrap());
    assert_eq!(house.record().await.arming, Arming::Enabled { cursor: None });
    assert!(arming_done(&house.mill, &house.live()).await.unwrap());
}

#[tokio::test]
async fn a_broken_file_is_visible_and_changes_nothing_until_it_is_mended() {
    let house = House::new().await;
    house.save("copy.toml", RULE);
    house.load().await;
    let before = house.record().await;
    house.save("copy.toml", "enabled = tru");
    house.load().await;
    assert!(house.live().enabled);
    assert_eq!(house.mill.book.get().broken[0].file, "copy.toml");
    let part = house.mill.health.all()["rules"].clone();
    assert!(!part.ok && part.message.contains("copy.toml"), "{part:?}");
    // A daemon that starts with it knows the last good version, too.
    let again = mill_on_disk(house.folder.path()).await;
    load(&again, Timestamp::now()).await.unwrap();
    assert!(again.book.get().rules[0].enabled);
    house.save("copy.toml", RULE);
    house.load().await;
    assert!(house.mill.book.get().broken.is_empty());
    assert!(house.mill.health.all()["rules"].ok);
    assert_eq!(house.record().await, before);
}

#[tokio::test]
async fn a_folder_that_is_not_there_leaves_the_book_as_it_is() {
    let house = House::new().await;
    house.save("copy.toml", RULE);
    house.load().await;
    let (rules, away) = (house.folder.path().join("rules"), house.folder.path().join("away"));
    fs::rename(&rules, &away).unwrap();
    assert!(matches!(
        load(&house.mill, Timestamp::now()).await,
        Err(LoadError::Folder(..))
    ));
    assert!(house.live().enabled);
    assert!(!house.mill.health.all()["rules"].ok);
    fs::rename(away, rules).unwrap();
    house.load().await;
    assert!(house.mill.health.all()["rules"].ok);
}

#[tokio::test]
async fn files_that_come_change_and_go_are_followed_without_being_asked() {
    let house = House::new().await;
    let stop = CancellationToken::new();
    let play = async {
        let until = async |what: &str, holds: &dyn Fn(&crate::rule::book::RuleBook) -> bool| {
            let deadline = Instant::now() + Duration::from_mins(1);
            let mut swapped = house.mill.book.watch();
            while !holds(&house.mill.book.get()) {
                let swap = tokio::time::timeout_at(deadline, swapped.changed()).await;
                assert!(swap.is_ok(), "waited in vain until {what}");
            }
        };
        house.save("copy.toml", RULE);
        until("it is loaded", &|book| book.rules.len() == 1).await;
        house.save(".copy.toml.new", &RULE.replace("true", "false"));
        let rules = house.folder.path().join("rules");
        fs::rename(rules.join(".copy.toml.new"), rules.join("copy.toml")).unwrap();
        until("it is disabled", &|book| book.rules.iter().all(|live| !live.enabled)).await;
        let presets = house.folder.path().join("presets");
        fs::create_dir(&presets).unwrap();
        fs::write(presets.join("mine.toml"), "kind = \"probe\"\n").unwrap();
        house.save("copy.toml", &RULE.replace("kind = \"copy\"", "preset = \"mine\""));
        let is = |book: &crate::rule::book::RuleBook, kind| {
            book.rules
                .iter()
                .all(|live| live.rule.tasks[0].kind.name() == kind && live.text.contains("[preset.mine]"))
        };
        until("its preset is used", &|book| is(book, "probe")).await;
        fs::write(presets.join("mine.toml"), "kind = \"copy\"\n").unwrap();
        until("its preset is changed", &|book| is(book, "copy")).await;
        fs::remove_file(rules.join("copy.toml")).unwrap();
        until("it is gone", &|book| book.rules.is_empty()).await;
        stop.cancel();
    };
    tokio::join!(run(house.mill.clone(), stop.clone()), play);
}
