//! `owner`, `group` and `mode` of results, as a rule says them.

/// What a rule says of who owns its results and who may read them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessSpec {
    /// A user.
    pub owner: Option<Principal>,
    /// A group.
    pub group: Option<Principal>,
    /// Permission bits of files, 0o400 ..= 0o777.
    pub mode: Option<u32>,
}

/// A user or a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// By name.
    Name(String),
    /// By number.
    Id(u32),
}
