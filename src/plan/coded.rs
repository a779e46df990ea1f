//! How a film is coded: what a rule asks for, against what a file says of itself.

use serde::{Deserialize, Serialize};

use crate::rule::{VideoCodec, VideoSpec};

/// What players must understand of a film; none: nobody asks, or the file does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Coded {
    /// Profile, as GStreamer calls it: `main`, `high-10`.
    pub profile: Option<String>,
    /// Level: `4.1`.
    pub level: Option<String>,
    /// Bits a sample.
    pub depth: Option<u32>,
}

impl Coded {
    /// What a result of these settings must say.
    pub(super) fn wanted(spec: &VideoSpec) -> Self {
        let named = matches!(spec.codec, VideoCodec::H264 | VideoCodec::H265);
        Self {
            profile: spec.profile.clone().filter(|_| named),
            level: spec.level.clone().filter(|_| named),
            // Of 4444 nobody says how fine it is.
            depth: (!spec.codec.is_for_editing()).then_some(spec.depth),
        }
    }

    /// What is not as this asks for, in words.
    pub(super) fn differs(&self, found: &Self) -> Option<String> {
        let profile = self.profile.as_ref().zip(found.profile.as_ref());
        if let Some((wanted, found)) = profile.filter(|(wanted, found)| !is_profile(wanted, found)) {
            return Some(format!("has the profile {found}, not {wanted}"));
        }
        let level = self.level.as_ref().zip(found.level.as_ref());
        // "4" is short for "4.0".
        if let Some((wanted, found)) =
            level.filter(|(wanted, found)| wanted.trim_end_matches(".0") != found.trim_end_matches(".0"))
        {
            return Some(format!("has the level {found}, not {wanted}"));
        }
        let depth = self.depth.zip(found.depth);
        depth
            .filter(|(wanted, found)| wanted != found)
            .map(|(wanted, found)| format!("has {found} bits a sample, not {wanted}"))
    }
}

/// Whether GStreamer's word for a profile means what a rule's does, or less: `constrained-baseline`, `high-10`.
fn is_profile(wanted: &str, found: &str) -> bool {
    let plain = found.replace('-', "");
    let plain = ["constrained", "progressive"]
        .into_iter()
        .fold(plain.as_str(), |word, more| word.strip_prefix(more).unwrap_or(word));
    plain == wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coded(profile: &str, level: &str, depth: u32) -> Coded {
        Coded {
            profile: Some(profile.to_owned()),
            level: Some(level.to_owned()),
            depth: Some(depth),
        }
    }

    #[test]
    fn what_a_file_says_is_held_against_what_was_asked_for() {
        let wanted = coded("high10", "4.0", 10);
        assert_eq!(wanted.differs(&coded("high-10", "4", 10)), None);
        assert_eq!(wanted.differs(&Coded::default()), None);
        assert_eq!(Coded::default().differs(&wanted), None);
        let told = |found| wanted.differs(&found).unwrap();
        assert_eq!(told(coded("high", "4", 8)), "has the profile high, not high10");
        assert_eq!(told(coded("high-10", "3.1", 10)), "has the level 3.1, not 4.0");
        assert_eq!(told(coded("high-10", "4", 8)), "has 8 bits a sample, not 10");
        assert!(is_profile("baseline", "constrained-baseline") && is_profile("high", "progressive-high"));
        assert!(!is_profile("main", "main-10") && !is_profile("high", "high-10"));
    }
}
