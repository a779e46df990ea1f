//! Shows diagnostics to people (with the line and a mark under the place) and to programs (as JSON).
//!
//! Decides nothing: what is wrong was found elsewhere.

use std::fmt;
use std::io::IsTerminal;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource};
use serde_json::{Value, json};

use super::terminal::{tame, tame_in_place};
use crate::diagnostic::{Diagnostic, Severity};

/// Shows diagnostics on standard error: in colour on a terminal, unless `NO_COLOR` is set.
pub fn to_stderr(diagnostics: &[Diagnostic]) {
    let terminal = std::io::stderr().is_terminal();
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let theme = match (terminal, plain) {
        (true, false) => GraphicalTheme::unicode(),
        (true, true) => GraphicalTheme::unicode_nocolor(),
        (false, _) => GraphicalTheme::none(),
    };
    eprint!("{}", render(diagnostics, theme));
}

/// The same as text, without colour.
#[must_use]
pub fn to_text(diagnostics: &[Diagnostic]) -> String {
    render(diagnostics, GraphicalTheme::none())
}

fn render(diagnostics: &[Diagnostic], theme: GraphicalTheme) -> String {
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_links(false)
        .with_width(100)
        .with_context_lines(1);
    let mut text = String::new();
    for diagnostic in diagnostics {
        let report = Report::new(diagnostic);
        if handler.render_report(&mut text, &report).is_err() {
            text.push_str(&diagnostic.message);
        }
        text.push('\n');
    }
    text
}

/// Diagnostics for programs: a list of `{file, line, column, severity, message, help}`.
#[must_use]
pub fn to_json(diagnostics: &[Diagnostic]) -> Value {
    let entry = |one: &Diagnostic| {
        let (line, column) = one.position().unzip();
        json!({
            "file": one.file.as_ref().map(|file| file.path.to_string_lossy()),
            "line": line,
            "column": column,
            "severity": match one.severity {
                Severity::Warning => "warning",
                Severity::Error => "error",
            },
            "message": one.message,
            "help": one.help,
        })
    };
    diagnostics.iter().map(entry).collect()
}

/// A diagnostic in the form that the renderer takes.
#[derive(Debug)]
struct Report<'d> {
    diagnostic: &'d Diagnostic,
    source: Option<NamedSource<String>>,
}

impl<'d> Report<'d> {
    fn new(diagnostic: &'d Diagnostic) -> Self {
        let source = diagnostic.file.as_ref().map(|file| {
            // The places in it stay true.
            NamedSource::new(tame(&file.path.to_string_lossy()), tame_in_place(&file.text))
        });
        Self { diagnostic, source }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.diagnostic.file, &self.diagnostic.span) {
            // Without a place in the text the file would not be named at all.
            (Some(file), None) => write!(
                f,
                "{}: {}",
                tame(&file.path.to_string_lossy()),
                tame(&self.diagnostic.message)
            ),
            _ => f.write_str(&tame(&self.diagnostic.message)),
        }
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Warning => miette::Severity::Warning,
            Severity::Error => miette::Severity::Error,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = self.diagnostic.help.as_ref()?;
        Some(Box::new(tame_in_place(help)))
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.diagnostic.span.as_ref()?;
        self.source.as_ref().map(|source| source as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.diagnostic.span.clone()?;
        let length = self.diagnostic.file.as_ref()?.text.len();
        let start = span.start.min(length);
        let end = span.end.clamp(start, length);
        Some(Box::new(std::iter::once(LabeledSpan::underline(start..end))))
    }
}
