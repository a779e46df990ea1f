//! What is wrong with something that a person wrote: data, collected all at once, rendered by a surface.
//!
//! [`reader`] and [`table`] read TOML with the place of everything in it, [`quantity`] reads times, sizes and rates.

pub mod known;
mod lent;
pub mod quantity;
pub mod reader;
pub mod table;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// A file that a person wrote, with the text that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Where it lies, as the person would name it.
    pub path: PathBuf,
    /// What it holds.
    pub text: Arc<str>,
}

/// How bad a [`Diagnostic`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Works, but is probably not what was meant.
    Warning,
    /// Must be mended before the file can be used.
    Error,
}

/// One thing that is wrong: where, what, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file; none where the fault lies in no single file.
    pub file: Option<SourceFile>,
    /// Byte range in the file's text.
    pub span: Option<Range<usize>>,
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at this place of a file.
    #[must_use]
    pub fn error(file: &SourceFile, span: Option<Range<usize>>, message: impl Into<String>) -> Self {
        Self {
            file: Some(file.clone()),
            span,
            severity: Severity::Error,
            message: message.into(),
            help: None,
        }
    }

    /// The same, with what would be right.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, as a warning.
    #[must_use]
    pub fn as_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Line and column of the span's start, both from 1, columns in characters.
    #[must_use]
    pub fn position(&self) -> Option<(usize, usize)> {
        let (file, span) = (self.file.as_ref()?, self.span.as_ref()?);
        let before = file.text.get(..span.start)?;
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Some((line, column))
    }
}

/// Whether any of these must be mended before the file can be used.
#[must_use]
pub fn any_error(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|found| found.severity == Severity::Error)
}

/// Of the words on offer the one that was probably meant.
pub fn did_you_mean<'w>(written: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let written = written.to_lowercase();
    words
        .into_iter()
        .map(|word| {
            let distance = strsim::damerau_levenshtein(&written, &word.to_lowercase());
            (distance, word)
        })
        .filter(|(distance, word)| *distance <= (word.chars().count() / 3).max(1))
        .min()
        .map(|(_, word)| word)
}
