//! placeholder
use super::BucketError;
use super::remote::{Abilities, Remote};
/// Probes.
pub async fn probe(_remote: &dyn Remote, _scratch: &std::path::Path) -> Result<Abilities, BucketError> {
    Ok(Abilities::default())
}
