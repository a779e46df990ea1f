//! Films and sounds that are joined before and after that of a task.

use crate::rule::asset::{Asset, AssetUse};

/// What comes before and after a film.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clips {
    /// Before it, in this order.
    pub head: Vec<Asset>,
    /// After it, in this order.
    pub tail: Vec<Asset>,
}

impl Clips {
    /// Whether the film stands alone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.tail.is_empty()
    }

    /// The files that they need.
    #[must_use]
    pub fn assets(&self) -> Vec<AssetUse> {
        let all = self.head.iter().chain(&self.tail);
        all.cloned().map(AssetUse::clip).collect()
    }
}
