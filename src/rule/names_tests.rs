use proptest::prelude::*;

use super::*;
use crate::diagnostic::SourceFile;
use crate::rule::check::check;

fn rule(trigger: &str, output: &str) -> Rule {
    let text = format!(
        "[trigger]\nbucket = \"b\"\nformats = \"*\"\ndirectory = \"{trigger}\"\n[output]\n{output}\n[task.web]\nkind = \"probe\"\n"
    );
    let file = SourceFile {
        path: "r.toml".into(),
        text: text.into(),
    };
    let (rule, diagnostics) = check(&file, "r", &["b".parse().unwrap(), "p".parse().unwrap()]);
    rule.unwrap_or_else(|| panic!("{diagnostics:?}"))
}

fn key(rule: &Rule, object: &[u8], number: Option<(u32, u32)>) -> Result<ObjectKey, InvalidName> {
    output_key(
        rule,
        &Wanted {
            task: &"web".parse().unwrap(),
            object: &ObjectKey::new(object).unwrap(),
            ext: b"mp4",
            number,
            rendition: None,
            size: Some((640, 360)),
            date: jiff::civil::date(2026, 2, 3),
            job: &JobId::parse("000000000000001").unwrap(),
        },
    )
}

#[test]
fn names_are_made_as_the_rule_says() {
    let path = |template: &str| format!("bucket = \"p\"\ndirectory = \"vod\"\npath = \"{template}\"");
    for (output, object, number, name) in [
        ("bucket = \"p\"".to_owned(), "in/a/clip.mov", None, "in/a/clip_web.mp4"),
        (
            "directory = \"vod\"".to_owned(),
            "in/a/clip.mov",
            None,
            "vod/a/clip_web.mp4",
        ),
        (
            "directory = \"vod\"".to_owned(),
            "in/clip.mov",
            Some((2, 3)),
            "vod/clip_web_2.mp4",
        ),
        (
            "directory = \"vod\"".to_owned(),
            "in/clip.mov",
            Some((1, 1)),
            "vod/clip_web.mp4",
        ),
        ("directory = \"\"".to_owned(), "in/a/clip", None, "a/clip_web.mp4"),
        (
            path("{stem}/{task}/{name}"),
            "in/a/clip.mov",
            None,
            "vod/a/clip/web/clip_web.mp4",
        ),
        (
            path("{task}/{dir}/{stem}.{ext}"),
            "in/a/clip.mov",
            None,
            "vod/web/a/clip.mp4",
        ),
        (
            path("{task}/{dir}/{stem}.{ext}"),
            "in/clip.mov",
            None,
            "vod/web/clip.mp4",
        ),
        (
            path("{rule}-{width}x{height}-{n:03}-{date}-{job}"),
            "in/c.mov",
            Some((7, 9)),
            "vod/r-640x360-007-2026-02-03-000000000000001",
        ),
        (path("{stem}/x"), "in/...mov", None, "vod/__/x"),
    ] {
        let made = key(&rule("in", &output), object.as_bytes(), number).unwrap();
        assert_eq!(made.to_string(), name, "{output}");
    }
}

#[test]
fn a_broken_template_says_where() {
    for (text, at) in [
        ("", 0),
        ("a//b", 2),
        ("/a", 0),
        ("a/../b", 2),
        ("a/", 2),
        ("ab{stem", 2),
        ("ab}", 2),
        ("a{step}", 1),
        ("{n:3}", 0),
        ("{n:00}", 0),
        ("{stem:03}", 0),
        ("a\nb", 1),
    ] {
        assert_eq!(Template::parse(text).map_err(|error| error.at), Err(at), "{text}");
    }
}

#[test]
fn an_output_never_takes_the_place_of_its_source() {
    let rule = rule("in", "path = \"{stem}.{ext}\"\ndirectory = \"out\"");
    let mut same = rule.clone();
    same.output.directory = None;
    assert!(key(&rule, b"in/clip.mp4", None).is_ok());
    assert!(key(&same, b"in/clip.mov", None).is_ok());
    assert!(key(&same, b"in/clip.mp4", None).is_err());
}

#[test]
fn a_long_stem_is_cut_between_characters_and_keeps_what_tells_outputs_apart() {
    let rule = rule("", "directory = \"out\"");
    let long = format!("a/{}.mov", "ü".repeat(125));
    let made = key(&rule, long.as_bytes(), Some((12, 20))).unwrap();
    let name = String::from_utf8(made.file_name().to_vec()).unwrap();
    assert!(name.len() <= 255 && name.len() > 250, "{}", name.len());
    assert!(
        name.starts_with("üüü") && name.ends_with("_web_12.mp4") && name.contains("ü~"),
        "{name}"
    );
    let other = key(&rule, format!("b/{}.mov", "ü".repeat(125)).as_bytes(), Some((12, 20))).unwrap();
    assert_ne!(made.file_name(), other.file_name());
    let note = note_key(&rule, &ObjectKey::new(long).unwrap()).unwrap();
    assert!(note.file_name().len() <= 255 && note.file_name().ends_with(b".failed.txt"));
}

#[test]
fn a_directory_that_no_file_system_holds_leaves_the_name_as_it_is() {
    let rule = rule("", "directory = \"out\"");
    let source = format!("a/{}/clip.mov", "d".repeat(500));
    let made = key(&rule, source.as_bytes(), None).unwrap();
    assert_eq!(made.file_name(), b"clip_web.mp4");
    let longest = made.as_bytes().split(|b| *b == b'/').map(<[u8]>::len).max();
    assert_eq!(longest, Some(255));
}

proptest! {
    #[test]
    fn names_stay_in_the_directory_fit_the_file_system_and_are_always_the_same(
        segments in prop::collection::vec(prop::collection::vec(1u8..=255, 1..260), 1..4),
        template in "[a.]{0,3}(\\{(stem|ext|dir|name|task|n|rule)\\}|/?[.x]){1,6}",
    ) {
        let bytes = segments.join(&b'/');
        let Ok(object) = ObjectKey::new(bytes) else { return Ok(()) };
        let mut rule = rule("", "bucket = \"p\"\ndirectory = \"vod\"");
        let Ok(template) = Template::parse(&template) else { return Ok(()) };
        for path in [None, Some(template)] {
            rule.output.path = path;
            let Ok(made) = key(&rule, object.as_bytes(), Some((3, 4))) else { continue };
            prop_assert!(made.as_bytes().starts_with(b"vod/"));
            for segment in made.as_bytes().split(|b| *b == b'/') {
                prop_assert!(!segment.is_empty() && segment != b"." && segment != b".." && segment.len() <= 255);
            }
            prop_assert_eq!(key(&rule, object.as_bytes(), Some((3, 4))), Ok(made));
        }
        if let Ok(note) = note_key(&rule, &object) {
            prop_assert!(note.as_bytes().starts_with(b"vod/") && note.file_name().len() <= 255);
        }
    }
}
