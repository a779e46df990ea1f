//! How texts stand in requests and answers.

/// Spells bytes with `%XX`, but for those that `keep` names.
fn escape(bytes: &[u8], keep: impl Fn(u8) -> bool) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if keep(byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    text
}

/// Undoes `%XX`; what is no such thing stays as it is.
fn unescape(text: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let spelled = (byte == b'%')
            .then(|| Some(digit(text.get(at + 1))? * 16 + digit(text.get(at + 2))?))
            .flatten()
            .and_then(|code| u8::try_from(code).ok());
        bytes.push(spelled.unwrap_or(byte));
        at += if spelled.is_some() { 3 } else { 1 };
    }
    bytes
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// A text as a value in a query, in the one way that can be signed.
#[must_use]
pub fn in_query(text: &str) -> String {
    escape(text.as_bytes(), is_unreserved)
}

/// A key as a listing with `encoding-type=url` spells it.
pub(super) fn listed_key(text: &str) -> Vec<u8> {
    unescape(text.replace('+', " ").as_bytes())
}

/// Where a copy comes from, as its header spells it.
pub(super) fn copy_source(bucket: &str, key: &str, version: Option<&str>) -> String {
    let path = escape(key.as_bytes(), |byte| is_unreserved(byte) || byte == b'/');
    match version {
        Some(version) => format!("{bucket}/{path}?versionId={}", in_query(version)),
        None => format!("{bucket}/{path}"),
    }
}

/// Tags, as their header spells them.
pub(super) fn tagging<'a>(tags: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    tags.into_iter()
        .map(|(name, value)| {
            let [name, value] = [name, value].map(in_query);
            format!("{name}={value}")
        })
        .collect::<Vec<_>>()
        .join("&")
}

/// A value of metadata as it stands in a header, where only printable ASCII comes through everywhere and blanks at the
/// ends do not: the rest is spelled `%XX`.
pub(super) fn metadata_out(value: &str) -> String {
    let bytes = value.as_bytes();
    let trimmed = value.trim_matches(' ') == value;
    escape(bytes, |byte| {
        (byte.is_ascii_graphic() && byte != b'%') || (byte == b' ' && trimmed)
    })
}

/// A value of metadata as it was given.
pub(super) fn metadata_in(value: &str) -> String {
    match String::from_utf8(unescape(value.as_bytes())) {
        Ok(text) => text,
        Err(_) => value.to_owned(),
    }
}

/// An entity tag without its quotes; none where there is nothing.
pub(super) fn etag_in(etag: Option<&str>) -> Option<String> {
    let etag = etag?;
    let etag = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"');
    (!etag.is_empty()).then(|| etag.to_owned())
}

/// An entity tag as conditions spell it.
pub(super) fn etag_out(etag: &str) -> String {
    format!("\"{etag}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_read_as_each_server_spells_them() {
        let key = "in/a b+ü.mp4".as_bytes();
        for spelled in [
            "in%2Fa+b%2B%C3%BC.mp4",
            "in/a%20b%2B%C3%BC.mp4",
            "in/a+b%2b%c3%bc.mp4",
            "in/a b%2Bü.mp4",
        ] {
            assert_eq!(listed_key(spelled), key, "{spelled}");
        }
        assert_eq!(listed_key("100%25%0A.mp4"), b"100%\n.mp4");
    }

    #[test]
    fn a_sign_that_spells_nothing_stays() {
        for text in ["100%", "100%4", "%zz", "%", "a%+1b"] {
            assert_eq!(metadata_in(text), text);
        }
        assert_eq!(metadata_in("%ff"), "%ff", "no text at all");
    }

    #[test]
    fn tags_of_any_text_stand_in_one_header() {
        let tags = [("team", "video"), ("a=b", "c & d/ü")];
        assert_eq!(tagging(tags), "team=video&a%3Db=c%20%26%20d%2F%C3%BC");
    }

    #[test]
    fn a_copy_names_its_source_so_that_nothing_in_it_is_taken_for_syntax() {
        assert_eq!(copy_source("b", "a/c d?ü", None), "b/a/c%20d%3F%C3%BC");
        assert_eq!(copy_source("b", "x", Some("v/1")), "b/x?versionId=v%2F1");
    }

    #[test]
    fn entity_tags_lose_their_quotes() {
        assert_eq!(etag_in(Some("\"abc-2\"")).as_deref(), Some("abc-2"));
        assert_eq!(etag_in(Some("W/\"abc\"")).as_deref(), Some("abc"));
        assert_eq!(etag_in(Some("\"\"")), None);
        assert_eq!(etag_in(None), None);
    }

    proptest! {
        #[test]
        fn any_text_survives_in_metadata(text in any::<String>()) {
            let out = metadata_out(&text);
            prop_assert!(out.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
            prop_assert_eq!(out.trim(), &out);
            prop_assert_eq!(metadata_in(&out), text);
        }
    }
}
