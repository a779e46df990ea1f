//! Reads TOML that a person wrote, and collects everything that is wrong with it.
//!
//! A [`Page`] is one file being read. From its [`Table`]s one takes [`Value`]s by key; each question to a value
//! answers `None` where it does not fit, after writing a [`Diagnostic`] with its place. Reading never stops at the
//! first fault. A table is closed with [`Table::finish`], which reports the keys that nobody asked for.
//!
//! Where the syntax itself is broken, what was read around the breaks may mislead: then absent keys are not
//! reported, nor anything on the broken lines.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Diagnostic, SourceFile, did_you_mean, quantity};
use crate::rule::Point;

/// One file while it is read.
#[derive(Debug)]
pub struct Page {
    file: SourceFile,
    broken_syntax: bool,
    found: RefCell<Vec<Diagnostic>>,
}

impl Page {
    /// Reads a file with `read`, which gets its outermost table, called `name` in messages.
    /// Answers what `read` did and all that is wrong, in the order of the file.
    pub fn read<T>(file: &SourceFile, name: &str, read: impl FnOnce(&Self, Table<'_>) -> T) -> (T, Vec<Diagnostic>) {
        let (document, errors) = DeTable::parse_recoverable(&file.text);
        let mut syntax: Vec<Diagnostic> = Vec::new();
        for error in errors {
            let found = Diagnostic::error(file, error.span(), error.message());
            if syntax.iter().all(|known| known.position() != found.position()) {
                syntax.push(found);
            }
        }
        let page = Self {
            file: file.clone(),
            broken_syntax: !syntax.is_empty(),
            found: RefCell::default(),
        };
        let table = Table {
            page: &page,
            entries: document.get_ref(),
            span: 0..0,
            name: name.to_owned(),
            path: String::new(),
            asked: BTreeSet::new(),
        };
        let answer = read(&page, table);

        let mut found = page.found.into_inner();
        let line = |one: &Diagnostic| one.position().map(|(line, _)| line);
        found.retain(|one| syntax.iter().all(|broken| line(broken) != line(one)));
        found.extend(syntax);
        found.sort_by_key(|one| one.span.as_ref().map(|span| (span.start, span.end)));
        (answer, found)
    }

    /// Adds an error.
    pub fn error(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        let found = Diagnostic::error(&self.file, Some(span), message).with_help(help);
        self.found.borrow_mut().push(found);
    }

    /// Adds an error about something that is absent, which broken syntax may merely have hidden.
    pub fn missing(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        if !self.broken_syntax {
            self.error(span, message, help);
        }
    }

    /// Adds a warning.
    pub fn warning(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        let found = Diagnostic::error(&self.file, Some(span), message)
            .with_help(help)
            .as_warning();
        self.found.borrow_mut().push(found);
    }
}

/// A table that is being read.
#[derive(Debug)]
pub struct Table<'p> {
    page: &'p Page,
    entries: &'p DeTable<'p>,
    /// Where its name or its opening brace stands; empty for the outermost.
    pub span: Range<usize>,
    name: String,
    path: String,
    asked: BTreeSet<String>,
}

impl<'p> Table<'p> {
    /// The value of a key, where it is there.
    pub fn get(&mut self, key: &str) -> Option<Value<'p>> {
        self.asked.insert(key.to_owned());
        let (written, value) = self.entries.get_key_value(key)?;
        Some(self.value(written, value))
    }

    /// Whether a key is there; does not count as asking for it.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The value of a key that must be there.
    pub fn require(&mut self, key: &str, help: &str) -> Option<Value<'p>> {
        let value = self.get(key);
        if value.is_none() {
            let message = format!("`{key}` is missing in {}", self.name);
            self.page.missing(self.span.clone(), message, help);
        }
        value
    }

    /// All entries, in the order of the file. Whoever takes them has asked for every key.
    pub fn entries(&mut self) -> Vec<(&'p str, Value<'p>)> {
        let mut entries: Vec<_> = self
            .entries
            .iter()
            .map(|(key, value)| (key.get_ref().as_ref(), self.value(key, value)))
            .collect();
        entries.sort_by_key(|(_, value)| value.key_span.start);
        self.asked.extend(entries.iter().map(|(key, _)| (*key).to_owned()));
        entries
    }

    fn value(&self, key: &'p Spanned<toml::de::DeString<'p>>, value: &'p Spanned<DeValue<'p>>) -> Value<'p> {
        let path = match self.path.as_str() {
            "" => key.get_ref().to_string(),
            path => format!("{path}.{}", key.get_ref()),
        };
        Value {
            page: self.page,
            path,
            key_span: key.span(),
            span: value.span(),
            is: value.get_ref(),
        }
    }

    /// Adds an error about something that is absent here.
    pub fn missing(&self, message: impl Into<String>, help: impl Into<String>) {
        self.page.missing(self.span.clone(), message, help);
    }

    /// Reports every key that was not asked for; those in `later` as known, but not in this version.
    pub fn finish(self, later: &[&str]) {
        for (key, value) in self.entries {
            let (word, span) = (key.get_ref().as_ref(), key.span());
            if self.asked.contains(word) {
                continue;
            }
            if later.contains(&word) {
                let path = self.value(key, value).path;
                self.page.error(
                    span,
                    format!("`{path}` is not in this version"),
                    "take it out; a later version will have it",
                );
                continue;
            }
            let asked = self.asked.iter().map(String::as_str);
            let help = match did_you_mean(word, asked.clone()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known here: {}", asked.collect::<Vec<_>>().join(", ")),
            };
            let message = format!("`{word}` is no key of {}", self.name);
            self.page.error(span, message, help);
        }
    }
}

/// A value with its place.
#[derive(Debug, Clone)]
pub struct Value<'p> {
    page: &'p Page,
    /// Its keys from the top, with dots: `task.web.video.crf`.
    pub path: String,
    /// Where its key stands.
    pub key_span: Range<usize>,
    /// Where it stands.
    pub span: Range<usize>,
    is: &'p DeValue<'p>,
}

impl<'p> Value<'p> {
    /// Adds an error about this value.
    pub fn error(&self, message: impl Into<String>, help: impl Into<String>) {
        self.page.error(self.span.clone(), message, help);
    }

    /// Adds a warning about this value.
    pub fn warning(&self, message: impl Into<String>, help: impl Into<String>) {
        self.page.warning(self.span.clone(), message, help);
    }

    /// Adds an error about the key of this value.
    pub fn key_error(&self, message: impl Into<String>, help: impl Into<String>) {
        self.page.error(self.key_span.clone(), message, help);
    }

    /// Adds an error about the part of this string that begins at byte `at` of it.
    pub fn error_within(&self, at: usize, message: impl Into<String>, help: impl Into<String>) {
        let text = self.page.file.text.get(self.span.clone()).unwrap_or("");
        // Only where nothing is escaped are the bytes of the value those of the file.
        let start = match self.is.as_str() {
            Some(value) if text.len() == value.len() + 2 => self.span.start + 1 + at,
            _ => self.span.start,
        };
        self.page.error(start..self.span.end, message, help);
    }

    /// Whether it is written as a string.
    pub fn is_text(&self) -> bool {
        self.is.is_str()
    }

    /// Whether it is this string.
    pub fn is_word(&self, word: &str) -> bool {
        self.is.as_str() == Some(word)
    }

    /// Whether it is the number 0.
    pub fn is_zero(&self) -> bool {
        self.is.as_integer().is_some_and(|number| number.as_str() == "0")
    }

    /// Whether it is written as a list.
    pub fn is_list(&self) -> bool {
        self.is.is_array()
    }

    fn wrong_type<T>(&self, wanted: &str, help: impl Into<String>) -> Option<T> {
        let is = match self.is {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(format!("`{}` must be {wanted}, not {is}", self.path), help);
        None
    }

    /// A string.
    pub fn text(&self) -> Option<&'p str> {
        self.is
            .as_str()
            .or_else(|| self.wrong_type("a string", "put it in quotes"))
    }

    /// `true` or `false`.
    pub fn boolean(&self) -> Option<bool> {
        self.is
            .as_bool()
            .or_else(|| self.wrong_type("true or false", "write it without quotes"))
    }

    /// A whole number in this range.
    pub fn integer(&self, range: RangeInclusive<i64>) -> Option<i64> {
        let (low, high) = (range.start(), range.end());
        let help = format!("a whole number from {low} to {high}");
        let Some(number) = self.is.as_integer() else {
            return self.wrong_type("a whole number", help);
        };
        i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .filter(|number| range.contains(number))
            .or_else(|| self.out_of_range(help))
    }

    /// A whole number in this range, from 0.
    pub fn count(&self, range: RangeInclusive<u32>) -> Option<u32> {
        self.integer(i64::from(*range.start())..=i64::from(*range.end()))
            .and_then(|number| u32::try_from(number).ok())
    }

    /// A number in this range, with or without a fraction.
    pub fn float(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let help = format!("a number from {} to {}", range.start(), range.end());
        let number: Option<f64> = match self.is {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) => i32::from_str_radix(number.as_str(), number.radix()).ok().map(f64::from),
            _ => return self.wrong_type("a number", help),
        };
        number
            .filter(|number| range.contains(number))
            .or_else(|| self.out_of_range(help))
    }

    fn out_of_range<T>(&self, help: impl Into<String>) -> Option<T> {
        self.error(format!("`{}` is out of range", self.path), help);
        None
    }

    /// One of these words; those in `later` are known, but not in this version.
    pub fn one_of<T: Copy>(&self, words: &[(&str, T)], later: &[&str]) -> Option<T> {
        let offered = words.iter().map(|(word, _)| *word);
        let list = offered
            .clone()
            .map(|word| format!("\"{word}\""))
            .collect::<Vec<_>>()
            .join(", ");
        let Some(text) = self.is.as_str() else {
            return self.wrong_type("a word in quotes", format!("one of {list}"));
        };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        if later.contains(&text) {
            self.error(
                format!("`{}` = \"{text}\" is not in this version", self.path),
                format!("this version has {list}"),
            );
            return None;
        }
        let help = match did_you_mean(text, offered) {
            Some(meant) => format!("did you mean \"{meant}\"? It is one of {list}"),
            None => format!("one of {list}"),
        };
        let message = format!("`{}` cannot be \"{}\"", self.path, text.escape_debug());
        self.error(message, help);
        None
    }

    /// A string of a form that its type knows.
    pub fn name<T: FromStr<Err: Display>>(&self) -> Option<T> {
        let text = self.text()?;
        text.parse()
            .map_err(|error| {
                self.error(format!("`{}` is no good name", self.path), format!("{error}"));
            })
            .ok()
    }

    /// The values of a list, in order.
    pub fn list(&self) -> Option<Vec<Self>> {
        let Some(array) = self.is.as_array() else {
            return self.wrong_type("a list", "write it in square brackets: [ ... ]");
        };
        let values = array.iter().map(|value| Self {
            page: self.page,
            path: self.path.clone(),
            key_span: self.key_span.clone(),
            span: value.span(),
            is: value.get_ref(),
        });
        Some(values.collect())
    }

    /// A table within this one.
    pub fn table(&self) -> Option<Table<'p>> {
        let Some(entries) = self.is.as_table() else {
            return self.wrong_type(
                "a table",
                format!("write it as [{0}], or as {1} = {{ ... }}", self.path, self.last_key()),
            );
        };
        Some(Table {
            page: self.page,
            entries,
            span: self.key_span.clone(),
            name: format!("[{}]", self.path),
            path: self.path.clone(),
            asked: BTreeSet::new(),
        })
    }

    fn last_key(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or(&self.path)
    }

    /// A length of time in this range.
    pub fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let length = self.quantity(quantity::duration, quantity::DURATION_FORM)?;
        self.within(length, &range, quantity::show_duration)
    }

    /// A point in a medium.
    pub fn point(&self) -> Option<Point> {
        self.quantity(quantity::point, quantity::POINT_FORM)
    }

    /// A size in bytes, as a string with a unit or as a number of bytes.
    pub fn size(&self) -> Option<u64> {
        self.quantity_or_number(quantity::size, quantity::SIZE_FORM)
    }

    /// A rate in bits a second in this range, as a string with a unit or as a number of bits.
    pub fn rate(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let bits = self.quantity_or_number(quantity::rate, quantity::RATE_FORM)?;
        self.within(bits, &range, quantity::show_rate)
    }

    fn quantity_or_number(&self, parse: fn(&str) -> Option<u64>, form: &str) -> Option<u64> {
        match self.is.as_integer() {
            Some(number) => u64::from_str_radix(number.as_str(), number.radix())
                .ok()
                .or_else(|| self.out_of_range(form)),
            None => self.quantity(parse, form),
        }
    }

    fn quantity<T>(&self, parse: fn(&str) -> Option<T>, form: &str) -> Option<T> {
        let Some(text) = self.is.as_str() else {
            return self.wrong_type("a string", form);
        };
        parse(text).or_else(|| {
            let message = format!("`{}` cannot be \"{}\"", self.path, text.escape_debug());
            self.error(message, form);
            None
        })
    }

    fn within<T: PartialOrd + Copy>(&self, value: T, range: &RangeInclusive<T>, show: fn(T) -> String) -> Option<T> {
        if range.contains(&value) {
            return Some(value);
        }
        let (low, high) = (show(*range.start()), show(*range.end()));
        self.out_of_range(format!("from {low} to {high}"))
    }
}
