//! Reads the source and holds what ARCHITECTURE.md says of it: layers, sizes, words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The most lines of code that a file may have: tests, comments and empty lines do not count.
const LONGEST: usize = 400;

/// The most lines of `main.rs`.
const LONGEST_MAIN: usize = 40;

const SURFACES: [&str; 4] = ["api", "app", "cli", "daemon"];
const SERVICES: [&str; 1] = ["service"];
const ADAPTERS: [&str; 7] = ["bucket", "config", "media", "publish", "store", "watch", "worker"];
const DOMAIN: [&str; 5] = ["diagnostic", "job", "object", "plan", "rule"];

/// Names that say nothing.
const EMPTY_NAMES: [&str; 5] = ["util", "utils", "common", "helpers", "types"];

struct Source {
    /// Below `src`.
    path: PathBuf,
    /// Without tests beside the code.
    code: String,
    /// All of it.
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                found.push(Source {
                    path: path.strip_prefix(&root).expect("below src").to_owned(),
                    code: code_of(&text),
                    text,
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 30, "the sources were not found");
    found
}

/// A text without its `mod tests { ... }`, which stands at the end.
fn code_of(text: &str) -> String {
    match text.find("\n#[cfg(test)]\nmod tests {") {
        Some(at) => text[..at].to_owned(),
        None => text.to_owned(),
    }
}

/// Files that exist for tests only: they may use whatever they like.
fn is_for_tests(source: &Source, all: &[Source]) -> bool {
    let stem = source.path.file_stem().expect("a name").to_string_lossy();
    if stem.ends_with("tests") || source.path.components().any(|part| part.as_os_str() == "tests") {
        return true;
    }
    // Or a parent declares the module, or one above it, under cfg(test).
    let mut parts: Vec<String> = source
        .path
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    (1..=parts.len()).any(|depth| {
        let name = &parts[depth - 1];
        let above = &parts[..depth - 1];
        let parents = [
            above.join("/") + ".rs",
            above.join("/") + if above.is_empty() { "lib.rs" } else { "/mod.rs" },
        ];
        all.iter()
            .filter(|parent| parents.iter().any(|path| Path::new(path) == parent.path))
            .any(|parent| {
                ["", "pub ", "pub(crate) ", "pub(super) "]
                    .iter()
                    .any(|seen| parent.text.contains(&format!("#[cfg(test)]\n{seen}mod {name};")))
            })
    })
}

/// The top-level modules of ours that a text names, and the lines where.
fn uses(code: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for (number, line) in code.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default();
        for part in line.split("crate::").skip(1) {
            let names: Vec<&str> = match part.strip_prefix('{') {
                Some(list) => list
                    .split(',')
                    .map(|name| name.split("::").next().unwrap_or_default())
                    .collect(),
                None => vec![part],
            };
            for name in names {
                let name: String = name
                    .trim()
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                found.entry(name).or_insert(number + 1);
            }
        }
    }
    found
}

fn layer(module: &str) -> Option<usize> {
    [&DOMAIN[..], &ADAPTERS[..], &SERVICES[..], &SURFACES[..]]
        .iter()
        .position(|layer| layer.contains(&module))
}

fn may_use(path: &Path, from: &str, to: &str) -> bool {
    let (Some(mine), Some(theirs)) = (layer(from), layer(to)) else {
        return false;
    };
    if from == to || theirs < mine {
        return true;
    }
    if theirs > mine {
        return false;
    }
    match mine {
        // Adapters do not know each other, with these exceptions; the config is data that all may read.
        1 => match (from, to) {
            (_, "config") | ("watch", "bucket") => true,
            ("worker", "media") => {
                path.starts_with("worker/child.rs")
                    || path.starts_with("worker/child")
                    || path == Path::new("worker/registry.rs")
                    || path == Path::new("worker/inventory.rs")
            }
            _ => false,
        },
        _ => true,
    }
}

#[test]
fn every_module_uses_only_what_lies_below_it() {
    let sources = sources();
    let mut wrong = Vec::new();
    for source in &sources {
        let first = source.path.components().next().expect("a name").as_os_str();
        let from = first.to_string_lossy().trim_end_matches(".rs").to_owned();
        if matches!(from.as_str(), "lib" | "main") || is_for_tests(source, &sources) {
            continue;
        }
        if layer(&from).is_none() {
            wrong.push(format!(
                "{}: the module {from} belongs to no layer",
                source.path.display()
            ));
        }
        for (to, line) in uses(&source.code) {
            if to.chars().all(|c| c.is_lowercase() || c == '_')
                && layer(&to).is_some()
                && !may_use(&source.path, &from, &to)
            {
                wrong.push(format!("{}:{line}: {from} may not use {to}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let sources = sources();
    let long: Vec<_> = sources
        .iter()
        .filter(|source| !is_for_tests(source, &sources))
        .map(|source| (lines_of_code(&source.code), &source.path))
        .filter(|(lines, path)| {
            let limit = if *path == Path::new("main.rs") {
                LONGEST_MAIN
            } else {
                LONGEST
            };
            *lines > limit
        })
        .collect();
    assert!(long.is_empty(), "split these: {long:?}");
}

fn lines_of_code(code: &str) -> usize {
    let counts = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    code.lines().filter(counts).count()
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    for source in sources() {
        for part in source.path.with_extension("").components() {
            let name = part.as_os_str().to_string_lossy();
            assert!(!EMPTY_NAMES.contains(&name.as_ref()), "{}", source.path.display());
        }
    }
}

#[test]
fn nothing_is_left_for_later() {
    let words = ["todo!", "unimplemented!", "FIXME", "TODO"];
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            for word in words {
                assert!(!line.contains(word), "{}:{}: {word}", source.path.display(), number + 1);
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    let sources = sources();
    for source in sources.iter().filter(|source| !is_for_tests(source, &sources)) {
        assert!(source.text.starts_with("//!"), "{}", source.path.display());
    }
}

#[test]
fn the_reader_of_uses_sees_what_it_should() {
    let code = "use crate::job::Job;\nuse crate::{store::Store, api};\n// crate::cli\nlet x = crate::watch::y();";
    let found: Vec<_> = uses(code).into_iter().collect();
    let expected = [("api", 2), ("job", 1), ("store", 2), ("watch", 4)];
    let expected: Vec<_> = expected.map(|(name, line)| (name.to_owned(), line)).into();
    assert_eq!(found, expected);
    let at = Path::new("x.rs");
    assert!(!may_use(at, "job", "store"));
    assert!(!may_use(at, "store", "bucket"));
    assert!(!may_use(at, "service", "app"));
    assert!(!may_use(Path::new("worker/spawn.rs"), "worker", "media"));
    assert!(may_use(Path::new("worker/child.rs"), "worker", "media"));
    assert!(may_use(at, "api", "rule"));
}
