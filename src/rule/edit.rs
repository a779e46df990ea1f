//! Changes a rule file as a person would: comments and layout stay.

use toml_edit::{Document, Item};

/// Writes `enabled` into a rule's text; after `name` where it was not there, else at the top.
///
/// # Errors
/// Where the text is no TOML.
pub fn set_enabled(text: &str, enabled: bool) -> Result<String, toml_edit::TomlError> {
    let parsed = Document::parse(text)?;
    if let Some(old) = parsed.get("enabled") {
        return Ok(match old.span() {
            Some(span) if old.as_bool() != Some(enabled) => {
                format!("{}{enabled}{}", &text[..span.start], &text[span.end..])
            }
            _ => text.to_owned(),
        });
    }
    let at = parsed.get("name").and_then(Item::span).map_or_else(
        || first_line_of_meaning(text),
        |span| text[span.end..].find('\n').map_or(text.len(), |end| span.end + end + 1),
    );
    let gap = if at > 0 && !text[..at].ends_with('\n') {
        "\n"
    } else {
        ""
    };
    Ok(format!("{}{gap}enabled = {enabled}\n{}", &text[..at], &text[at..]))
}

/// Where the first line begins that is neither empty nor a comment.
fn first_line_of_meaning(text: &str) -> usize {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        if !(bare.is_empty() || bare.starts_with('#')) {
            return at;
        }
        at += line.len();
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::set_enabled;

    #[test]
    fn everything_but_the_one_word_stays() {
        for (before, after) in [
            ("enabled=false # why\n[trigger]\n", "enabled=true # why\n[trigger]\n"),
            (
                "# mine\nname = \"a\" # b\n\n[trigger]\n",
                "# mine\nname = \"a\" # b\nenabled = true\n\n[trigger]\n",
            ),
            ("# mine\n\n[trigger]\n", "# mine\n\nenabled = true\n[trigger]\n"),
            ("name = \"a\"", "name = \"a\"\nenabled = true\n"),
            (
                "priority = 1\r\nenabled = false\r\n",
                "priority = 1\r\nenabled = true\r\n",
            ),
            ("enabled = true\n", "enabled = true\n"),
        ] {
            assert_eq!(set_enabled(before, true).unwrap(), after);
        }
        assert!(set_enabled("[trigger", true).is_err());
    }
}
