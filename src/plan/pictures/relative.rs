//! How a file says where another one is.

use crate::object::ObjectKey;
use crate::plan::names::in_url;

/// The way from one file to another as a reference in a URL.
pub fn relative(from: &ObjectKey, to: &ObjectKey) -> String {
    let own: Vec<&[u8]> = from.directory().split(|byte| *byte == b'/').collect();
    let other: Vec<&[u8]> = to.as_bytes().split(|byte| *byte == b'/').collect();
    // A directory ends in `/`: the last part of it is empty.
    let own = &own[..own.len() - 1];
    let shared = own.iter().zip(&other).take_while(|(one, other)| one == other).count();
    let shared = shared.min(other.len() - 1);
    let up = "../".repeat(own.len() - shared);
    let down: Vec<String> = other[shared..].iter().map(|part| in_url(part)).collect();
    format!("{up}{}", down.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_from_where_the_other_lies() {
        let way = |from: &str, to: &str| relative(&from.parse().unwrap(), &to.parse().unwrap());
        assert_eq!(way("a.vtt", "a.jpg"), "a.jpg");
        assert_eq!(way("vod/a.vtt", "vod/a.jpg"), "a.jpg");
        assert_eq!(way("vod/maps/a.vtt", "vod/sheets/1/a.jpg"), "../sheets/1/a.jpg");
        assert_eq!(way("a.vtt", "sheets/a.jpg"), "sheets/a.jpg");
        assert_eq!(way("x/a.vtt", "a.jpg"), "../a.jpg");
        assert_eq!(way("x/a.vtt", "x"), "../x");
        assert_eq!(way("a.vtt", "ein Film #1: 50%.jpg"), "ein%20Film%20%231%3A%2050%25.jpg");
        assert_eq!(way("a.vtt", "é.jpg"), "%C3%A9.jpg");
    }
}
