//! The child process that reads media, seen from both sides.
//!
//! [`protocol`] is what the two say to each other, [`ranges`] how an input far away is read, [`spawn`] is the daemon's
//! side, [`child`] the worker's.
//! Only `child` may call `media`.

pub mod cgroup;
pub mod child;
mod distrust;
mod ending;
pub mod frame;
pub mod inventory;
pub mod jail;
mod launch;
mod manners;
mod measure;
pub mod protocol;
pub mod ranges;
pub mod registry;
mod settings;
pub mod spawn;
pub mod template;
