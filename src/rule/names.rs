//! Names of outputs: templates such as `{stem}_{task}.{ext}`.

/// A checked name template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// As written.
    pub text: String,
}
