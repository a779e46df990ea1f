//! Reads TOML that a person wrote, and collects everything that is wrong with it.
//!
//! A [`Page`] is one file being read. From its [`Table`]s one takes [`Value`]s by key; each question to a value
//! answers `None` where it does not fit, after writing a [`Diagnostic`] with its place. Reading never stops at the
//! first fault. A table is closed with [`Table::finish`], which reports the keys that nobody asked for.
//!
//! Where the syntax itself is broken, what was read around the breaks may mislead: then absent keys are not
//! reported, nor anything on the broken lines.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::known::{Known, note};
use super::lent::Lent;
pub use super::table::Table;
use super::table::{Layer, RulesOut};
use super::{Diagnostic, SourceFile, did_you_mean, quantity};
use crate::rule::Point;

/// A file whose text has been parsed, as far as it could be.
#[derive(Debug)]
pub struct Parsed<'t> {
    pub(super) file: &'t SourceFile,
    document: Spanned<DeTable<'t>>,
    syntax: Vec<Diagnostic>,
}

impl<'t> Parsed<'t> {
    /// Parses the text of a file.
    pub fn new(file: &'t SourceFile) -> Self {
        let (document, errors) = DeTable::parse_recoverable(&file.text);
        let mut syntax: Vec<Diagnostic> = Vec::new();
        for error in errors {
            let found = Diagnostic::error(file, error.span(), error.message());
            if syntax.iter().all(|known| known.position() != found.position()) {
                syntax.push(found);
            }
        }
        Self { file, document, syntax }
    }

    /// Whether the text is TOML.
    pub fn is_sound(&self) -> bool {
        self.syntax.is_empty()
    }

    /// What it holds, as far as it could be parsed.
    pub fn entries(&self) -> &DeTable<'t> {
        self.document.get_ref()
    }
}

/// Whose value it is: the file that it stands in and, where that is not what is being read but something that it
/// uses, who uses it.
#[derive(Debug, Clone)]
pub(super) struct Origin<'p> {
    pub(super) file: &'p SourceFile,
    pub(super) user: Option<Rc<str>>,
}

/// Something that is wrong, with those who use the value that it is about.
#[derive(Debug)]
struct Found {
    diagnostic: Diagnostic,
    users: Vec<Rc<str>>,
}

/// One file while it is read.
#[derive(Debug)]
pub struct Page {
    file: SourceFile,
    broken_syntax: bool,
    found: RefCell<Vec<Found>>,
    pub(super) lent: RefCell<Lent>,
}

impl Page {
    /// Reads a file with `read`, which gets its outermost table, called `name` in messages.
    /// Answers what `read` did and all that is wrong, in the order of the file.
    pub fn read<T>(file: &SourceFile, name: &str, read: impl FnOnce(&Self, Table<'_>) -> T) -> (T, Vec<Diagnostic>) {
        Self::read_with(&Parsed::new(file), name, &[], |page, table, _| read(page, table))
    }

    /// The same with a parsed file, and with others that it uses: their tables may be laid below its own.
    pub fn read_with<'t, T>(
        parsed: &Parsed<'t>,
        name: &str,
        used: &[Parsed<'t>],
        read: impl for<'p> FnOnce(&'p Self, Table<'p>, &'p [Parsed<'p>]) -> T,
    ) -> (T, Vec<Diagnostic>) {
        let file = parsed.file;
        let page = Self {
            file: file.clone(),
            broken_syntax: !parsed.is_sound(),
            found: RefCell::default(),
            lent: RefCell::default(),
        };
        let answer = read(&page, Table::outermost(&page, parsed, name), used);

        let mut found: Vec<_> = page.found.into_inner().into_iter().map(Found::told).collect();
        let line = |one: &Diagnostic| one.position().map(|(line, _)| line);
        let here = |one: &Diagnostic| one.file.as_ref() == Some(file);
        found.retain(|one| !here(one) || parsed.syntax.iter().all(|broken| line(broken) != line(one)));
        found.extend(parsed.syntax.iter().cloned());
        found.sort_by_key(|one| {
            let span = one.span.as_ref().map(|span| (span.start, span.end));
            let elsewhere = one.file.as_ref().filter(|other| *other != file);
            (elsewhere.map(|other| other.path.clone()), span)
        });
        (answer, found)
    }

    /// Adds an error.
    pub fn error(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.add(Diagnostic::error(&self.file, Some(span), message).with_help(help), None);
    }

    /// Adds an error about something that is absent, which broken syntax may merely have hidden.
    pub fn missing(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        if !self.broken_syntax {
            self.error(span, message, help);
        }
    }

    /// Adds a warning.
    pub fn warning(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        let found = Diagnostic::error(&self.file, Some(span), message).with_help(help);
        self.add(found.as_warning(), None);
    }

    /// Adds what is wrong with something that `user` uses; one fault that several meet is told once.
    pub fn add(&self, diagnostic: Diagnostic, user: Option<Rc<str>>) {
        let mut found = self.found.borrow_mut();
        let same = |known: &Diagnostic| {
            known.message == diagnostic.message && known.span == diagnostic.span && known.file == diagnostic.file
        };
        match found.iter_mut().find(|known| same(&known.diagnostic)) {
            Some(known) => known.users.extend(user.filter(|user| !known.users.contains(user))),
            None => found.push(Found {
                diagnostic,
                users: user.into_iter().collect(),
            }),
        }
    }

    pub(super) fn error_at(&self, origin: &Origin<'_>, span: Range<usize>, message: String, help: String) {
        let found = Diagnostic::error(origin.file, Some(span), message).with_help(help);
        self.add(found, origin.user.clone());
    }
}

impl Found {
    fn told(mut self) -> Diagnostic {
        if !self.users.is_empty() {
            let users = self.users.join(", ");
            self.diagnostic.message = format!("{} (used by {users})", self.diagnostic.message);
        }
        self.diagnostic
    }
}

/// A value with its place.
#[derive(Debug, Clone)]
pub struct Value<'p> {
    pub(super) page: &'p Page,
    pub(super) origin: Origin<'p>,
    /// What lies below it, where both are tables.
    pub(super) below: Vec<Layer<'p>>,
    pub(super) rules_out: RulesOut,
    pub(super) partial: bool,
    /// Its keys from the top, with dots: `task.web.video.crf`.
    pub path: String,
    /// Where its key stands.
    pub key_span: Range<usize>,
    /// Where it stands.
    pub span: Range<usize>,
    pub(super) is: &'p DeValue<'p>,
}

impl<'p> Value<'p> {
    /// Adds an error about this value.
    pub fn error(&self, message: impl Into<String>, help: impl Into<String>) {
        self.error_at(self.span.clone(), message, help);
    }

    /// Adds a warning about this value.
    pub fn warning(&self, message: impl Into<String>, help: impl Into<String>) {
        self.page.warning(self.span.clone(), message, help);
    }

    /// Adds an error about the key of this value.
    pub fn key_error(&self, message: impl Into<String>, help: impl Into<String>) {
        self.error_at(self.key_span.clone(), message, help);
    }

    fn error_at(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.page.error_at(&self.origin, span, message.into(), help.into());
    }

    /// Adds an error about the part of this string that begins at byte `at` of it.
    pub fn error_within(&self, at: usize, message: impl Into<String>, help: impl Into<String>) {
        let text = self.origin.file.text.get(self.span.clone()).unwrap_or("");
        // Only where nothing is escaped are the bytes of the value those of the file.
        let start = match self.is.as_str() {
            Some(value) if text.len() == value.len() + 2 => self.span.start + 1 + at,
            _ => self.span.start,
        };
        self.error_at(start..self.span.end, message, help);
    }

    /// Whether it is written as a string.
    pub fn is_text(&self) -> bool {
        self.is.is_str()
    }

    /// The value itself, as it is written.
    pub fn raw(&self) -> &'p DeValue<'p> {
        self.is
    }

    /// Whether it is written as a table.
    pub fn is_table(&self) -> bool {
        self.is.is_table()
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
        self.note_range(low, high);
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
        self.note_range(range.start(), range.end());
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

    fn note_range(&self, low: impl Display, high: impl Display) {
        self.note(|known| {
            known.ranges.insert(format!("{low} to {high}"));
        });
    }

    fn note(&self, what: impl FnOnce(&mut Known)) {
        // A value that is merely used is known where it is written.
        if self.origin.user.is_none() {
            note(|| self.path.clone(), what);
        }
    }

    fn out_of_range<T>(&self, help: impl Into<String>) -> Option<T> {
        self.error(format!("`{}` is out of range", self.path), help);
        None
    }

    /// One of these words; those in `later` are known, but not in this version.
    pub fn one_of<T: Copy>(&self, words: &[(&str, T)], later: &[&str]) -> Option<T> {
        let offered = words.iter().map(|(word, _)| *word);
        self.note(|known| known.words.extend(offered.clone().map(str::to_owned)));
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
            origin: self.origin.clone(),
            below: Vec::new(),
            rules_out: self.rules_out,
            partial: self.partial,
            path: self.path.clone(),
            // Tables of a list have a place of their own.
            key_span: if value.get_ref().is_table() {
                value.span()
            } else {
                self.key_span.clone()
            },
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
        let own = Layer {
            entries,
            origin: self.origin.clone(),
            name: format!("[{}]", self.path),
            path: self.path.clone(),
        };
        Some(Table::layered(self, own))
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

    /// A level in this range, as a string with this unit (`"-16 LUFS"`) or as a number.
    pub fn level(&self, unit: &str, range: RangeInclusive<f64>) -> Option<f64> {
        let form = format!("a level reads \"{} {unit}\"", range.start());
        let number: Option<f64> = match self.is {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) => i32::from_str_radix(number.as_str(), number.radix()).ok().map(f64::from),
            DeValue::String(text) => match quantity::level(text, unit) {
                None => {
                    let message = format!("`{}` cannot be \"{}\"", self.path, text.escape_debug());
                    self.error(message, form);
                    return None;
                }
                level => level,
            },
            _ => return self.wrong_type("a string", form),
        };
        self.within(number?, &range, |level| level.to_string())
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
        let (low, high) = (show(*range.start()), show(*range.end()));
        self.note_range(&low, &high);
        if range.contains(&value) {
            return Some(value);
        }
        self.out_of_range(format!("from {low} to {high}"))
    }
}
