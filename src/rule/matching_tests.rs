use super::*;
use crate::diagnostic::SourceFile;
use crate::rule::check::check;

fn why(trigger: &str, key: &[u8], size: Option<u64>) -> String {
    let text = format!("[trigger]\nbucket = \"b\"\n{trigger}\n[task.a]\nkind = \"probe\"\n");
    let file = SourceFile {
        path: "r.toml".into(),
        text: text.into(),
    };
    let (rule, diagnostics) = check(&file, "r", &["b".parse().unwrap()]);
    let rule = rule.unwrap_or_else(|| panic!("{diagnostics:?}"));
    let key = ObjectKey::new(key).unwrap();
    let reasons = judge(&rule, &key, size);
    assert_eq!(
        Candidate::of(&key).is_wanted_by(&rule, size),
        reasons.is_empty(),
        "{reasons:?}"
    );
    reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[test]
fn what_fits_is_wanted() {
    for (trigger, key) in [
        ("", &b"clip.MP4"[..]),
        ("", b"a/b/\xff.mov"),
        ("directory = \"in\"", b"in/clip.mp4"),
        ("formats = [\".XYZ\"]", b"a.xyz"),
        ("formats = \"*\"", b"README"),
        ("include = [\"*.mp4\"]", b"deep/down/a.mp4"),
        ("include = [\"in/*.mp4\"]", b"in/a.mp4"),
        ("formats = \"*\"\ninclude = [\"*.part\"]", b"a.part"),
        ("include = [\".show/**\"]", b".show/a.mp4"),
    ] {
        assert_eq!(why(trigger, key, Some(1)), "", "{trigger}");
    }
}

#[test]
fn what_does_not_fit_is_told_why_in_words() {
    let told: Vec<_> = [
        ("directory = \"in\"", &b"inbox/clip.mp4"[..], None),
        ("", b"photo.JPG", None),
        ("formats = [\"mp4\"]", b"noext", None),
        ("include = [\"in/*.mp4\"]", b"in/b/a.mp4", None),
        ("exclude = [\"x/**\", \"*.mp4\"]", b"a.mp4", None),
        ("min_size = \"1KiB\"\nmax_size = \"1KiB\"", b"a.mp4", Some(1000)),
        ("max_size = 1", b"a.mp4", Some(2)),
        ("", b".reelmill/a.mp4", None),
        ("include = [\".reelmill/**\"]", b".reelmill/a.mp4", None),
        ("", b"a/.b/c.mp4", None),
        ("", b".clip.mp4.Xa93Zz", None),
        ("formats = \"*\"\ninclude = [\"**\"]", b"a.mp4.Part", None),
        ("formats = \"*\"", b"a.mp4~", None),
    ]
    .iter()
    .map(|(trigger, key, size)| why(trigger, key, *size))
    .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn known_extensions_are_sorted_out_and_hold_no_images() {
    let all: std::collections::BTreeSet<_> = MEDIA_EXTENSIONS.iter().collect();
    assert_eq!(all.len(), MEDIA_EXTENSIONS.len());
    for image in ["jpg", "png", "gif", "webp", "txt", "json", ""] {
        assert!(!takes_extension(&Formats::Known, image), "{image}");
    }
}
