//! A table while it is read: remembers which keys were asked for, so that the others can be told to be wrong, and may
//! have other tables below it that stand in where it says nothing.
//!
//! Promises: the upper table always wins; two tables under the same key are merged in the same way; every value keeps
//! the file and the place where it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::did_you_mean;
use super::known::note;
use super::reader::{Origin, Page, Parsed, Value};

/// Whether a table says something with which this key of a table below it does not go together, and so does not count.
pub type RulesOut = fn(above: &DeTable<'_>, key: &str) -> bool;

/// One of the tables that lie over each other.
#[derive(Debug, Clone)]
pub(super) struct Layer<'p> {
    pub(super) entries: &'p DeTable<'p>,
    pub(super) origin: Origin<'p>,
    pub(super) name: String,
    pub(super) path: String,
}

/// A table that is being read.
#[derive(Debug)]
pub struct Table<'p> {
    page: &'p Page,
    /// The uppermost first; never empty.
    layers: Vec<Layer<'p>>,
    rules_out: RulesOut,
    /// Where its name or its opening brace stands; empty for the outermost.
    pub span: Range<usize>,
    asked: BTreeSet<String>,
    /// What is absent may still come from elsewhere.
    partial: bool,
}

impl<'p> Table<'p> {
    pub(super) fn outermost(page: &'p Page, parsed: &'p Parsed<'p>, name: &str) -> Self {
        let layer = Layer {
            entries: parsed.entries(),
            origin: Origin {
                file: parsed.file,
                user: None,
            },
            name: name.to_owned(),
            path: String::new(),
        };
        Self {
            page,
            layers: vec![layer],
            rules_out: |_, _| false,
            span: 0..0,
            asked: BTreeSet::new(),
            partial: false,
        }
    }

    pub(super) fn layered(value: &Value<'p>, own: Layer<'p>) -> Self {
        let mut layers = vec![own];
        layers.extend(value.below.iter().cloned());
        Self {
            page: value.page,
            layers,
            rules_out: value.rules_out,
            span: value.key_span.clone(),
            asked: BTreeSet::new(),
            partial: value.partial,
        }
    }

    /// The outermost table of another file, read on the same page.
    pub fn of(page: &'p Page, parsed: &'p Parsed<'p>, name: &str) -> Self {
        Self::outermost(page, parsed, name)
    }

    /// The same table; that something is absent is no fault.
    #[must_use]
    pub fn partial(mut self) -> Self {
        self.partial = true;
        self
    }

    /// Lays this table over another, which `user` uses: what is wrong there is told with that name.
    #[must_use]
    pub fn over(mut self, below: Self, user: &Rc<str>, rules_out: RulesOut) -> Self {
        self.layers.extend(below.layers.into_iter().map(|mut layer| {
            layer.origin.user = Some(user.clone());
            layer
        }));
        self.rules_out = rules_out;
        self
    }

    /// The value of a key, where it is there.
    pub fn get(&mut self, key: &str) -> Option<Value<'p>> {
        if let Some(layer) = self.layers.first() {
            note(|| layer.path_of(key), |_| {});
        }
        self.asked.insert(key.to_owned());
        self.look(key)
    }

    /// Whether a key is there; does not count as asking for it.
    pub fn has(&self, key: &str) -> bool {
        self.found(key).next().is_some()
    }

    /// The value of a key that must be there.
    pub fn require(&mut self, key: &str, help: &str) -> Option<Value<'p>> {
        let value = self.get(key);
        if value.is_none() {
            self.missing(format!("`{key}` is missing in {}", self.name()), help);
        }
        value
    }

    /// All entries, in the order of the file. Whoever takes them has asked for every key.
    pub fn entries(&mut self) -> Vec<(&'p str, Value<'p>)> {
        let mut entries: Vec<_> = self.merged().into_iter().collect();
        entries.sort_by_key(|(_, value)| value.key_span.start);
        self.asked.extend(entries.iter().map(|(key, _)| (*key).to_owned()));
        entries
    }

    /// All entries by key; does not count as asking for them.
    pub fn merged(&self) -> BTreeMap<&'p str, Value<'p>> {
        let keys = self.layers.iter().flat_map(|layer| layer.entries.keys());
        let keys: BTreeSet<&'p str> = keys.map(|key| key.get_ref().as_ref()).collect();
        keys.into_iter()
            .filter_map(|key| Some((key, self.look(key)?)))
            .collect()
    }

    /// Adds an error about something that is absent here.
    pub fn missing(&self, message: impl Into<String>, help: impl Into<String>) {
        if !self.partial {
            self.page.missing(self.span.clone(), message, help);
        }
    }

    /// Reports every key that was not asked for; those in `later` as known, but not in this version.
    pub fn finish(self, later: &[&str]) {
        for layer in &self.layers {
            for key in layer.entries.keys() {
                let (word, span) = (key.get_ref().as_ref(), key.span());
                if self.asked.contains(word) {
                    continue;
                }
                let (message, help) = if later.contains(&word) {
                    (
                        format!("`{}` is not in this version", layer.path_of(word)),
                        "take it out; a later version will have it".to_owned(),
                    )
                } else {
                    let asked = self.asked.iter().map(String::as_str);
                    let help = match did_you_mean(word, asked.clone()) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => format!("known here: {}", asked.collect::<Vec<_>>().join(", ")),
                    };
                    (format!("`{word}` is no key of {}", layer.name), help)
                };
                self.page.error_at(&layer.origin, span, message, help);
            }
        }
    }

    fn name(&self) -> &str {
        self.layers.first().map_or("", |layer| &layer.name)
    }

    /// What the layers say under a key, the uppermost first, as far as nothing above rules it out.
    fn found<'s>(
        &'s self,
        key: &'s str,
    ) -> impl Iterator<Item = (&'s Layer<'p>, &'p Spanned<DeString<'p>>, &'p Spanned<DeValue<'p>>)> {
        let mut above = false;
        self.layers.iter().filter_map(move |layer| {
            let counts = !above;
            above |= (self.rules_out)(layer.entries, key);
            let (written, value) = layer.entries.get_key_value(key)?;
            counts.then_some((layer, written, value))
        })
    }

    fn look(&self, key: &str) -> Option<Value<'p>> {
        let mut found = self.found(key);
        let (layer, written, value) = found.next()?;
        let below = match value.get_ref() {
            DeValue::Table(_) => found
                .map_while(|(lower, _, value)| {
                    let path = lower.path_of(key);
                    Some(Layer {
                        entries: value.get_ref().as_table()?,
                        origin: lower.origin.clone(),
                        name: format!("[{path}]"),
                        path,
                    })
                })
                .collect(),
            _ => Vec::new(),
        };
        Some(Value {
            page: self.page,
            origin: layer.origin.clone(),
            below,
            rules_out: self.rules_out,
            partial: self.partial,
            path: layer.path_of(key),
            key_span: written.span(),
            span: value.span(),
            is: value.get_ref(),
        })
    }
}

impl Layer<'_> {
    fn path_of(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }
}
