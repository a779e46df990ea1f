//! `max_running` and `enabled_hours`.

use super::{or_default, texts};
use crate::diagnostic::reader::Table;
use crate::rule::QueueSpec;
use crate::rule::hours::{FORM, Hours, Span};

pub(super) fn read(table: &mut Table<'_>) -> Option<QueueSpec> {
    let max_running = or_default(table.get("max_running"), None, |value| value.count(1..=1000).map(Some));
    let hours = or_default(table.get("enabled_hours"), None, |value| {
        let spans = texts(value, |one, text| {
            Span::parse(text)
                .map_err(|wrong| {
                    let message = format!("\"{}\" is no span of hours: {wrong}", text.escape_debug());
                    one.error(message, FORM);
                })
                .ok()
        })?;
        if spans.is_empty() {
            let help = format!("take it out, so that jobs start at any time; {FORM}");
            value.error("`enabled_hours` is empty, so no job could ever start", help);
            return None;
        }
        Some(Some(Hours::new(spans)))
    });
    Some(QueueSpec {
        max_running: max_running?,
        hours: hours?,
    })
}
