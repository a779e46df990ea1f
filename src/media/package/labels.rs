//! What tracks are called in players.

/// Names of languages in themselves, by their codes.
const LANGUAGES: [(&str, &str); 26] = [
    ("ar", "العربية"),
    ("cs", "Čeština"),
    ("da", "Dansk"),
    ("de", "Deutsch"),
    ("el", "Ελληνικά"),
    ("en", "English"),
    ("es", "Español"),
    ("fi", "Suomi"),
    ("fr", "Français"),
    ("he", "עברית"),
    ("hi", "हिन्दी"),
    ("hu", "Magyar"),
    ("id", "Bahasa Indonesia"),
    ("it", "Italiano"),
    ("ja", "日本語"),
    ("ko", "한국어"),
    ("nl", "Nederlands"),
    ("no", "Norsk"),
    ("pl", "Polski"),
    ("pt", "Português"),
    ("ru", "Русский"),
    ("sv", "Svenska"),
    ("tr", "Türkçe"),
    ("uk", "Українська"),
    ("vi", "Tiếng Việt"),
    ("zh", "中文"),
];

/// A code as manifests may hold it; none where it says nothing.
#[must_use]
pub fn language(code: &str) -> Option<String> {
    let parts: Vec<&str> = code.split(['-', '_']).collect();
    let plain = |part: &&str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let first = parts.first().filter(|first| (2..=3).contains(&first.len()))?;
    let says = !first.eq_ignore_ascii_case("und") && parts.iter().all(plain);
    says.then(|| parts.join("-"))
}

/// The name of a track: its title, its language, or what it is; with a number where another of those in `taken` is called so.
pub fn label(title: Option<&str>, language: Option<&str>, what: &str, taken: &mut Vec<String>) -> String {
    let short = language.and_then(|code| code.split('-').next()).unwrap_or_default();
    let known = LANGUAGES.iter().find(|(code, _)| *code == short).map(|(_, name)| *name);
    let title = title.map(str::trim).filter(|title| !title.is_empty());
    let name = title.or(known).or(language).unwrap_or(what);
    let name: String = name.chars().filter(|c| !c.is_control() && *c != '"').take(60).collect();
    let numbered = (2..).map(|number| format!("{name} {number}"));
    let free = std::iter::once(name.clone())
        .chain(numbered)
        .find(|name| !taken.contains(name));
    let free = free.unwrap_or(name);
    taken.push(free.clone());
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_kept_where_they_are_codes() {
        let table = ["en", "pt-BR", "pt_BR", "und", "", "x\"y", "german!", "deu"].map(language);
        let table = table.map(|code| code.unwrap_or_else(|| "-".to_owned()));
        assert_eq!(table.join(" "), "en pt-BR pt-BR - - - - deu");
    }

    #[test]
    fn no_two_tracks_are_called_the_same() {
        let mut taken = Vec::new();
        let mut name = |title, language| label(title, language, "Sound", &mut taken);
        assert_eq!(name(None, Some("de")), "Deutsch");
        assert_eq!(name(None, Some("de-AT")), "Deutsch 2");
        assert_eq!(name(Some("The \"director\"\n"), Some("de")), "The director");
        assert_eq!(name(None, Some("tlh")), "tlh");
        assert_eq!(name(None, None), "Sound");
        assert_eq!(name(Some(" "), None), "Sound 2");
    }
}
