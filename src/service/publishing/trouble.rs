//! Why publishing did not happen, and what that means for trying again.

use std::fmt;

use super::super::with_causes;
use crate::job::{ErrorKind, Failure, JobId};
use crate::publish::PublishError;
use crate::store::StoreError;

/// Why publishing did not happen.
#[derive(Debug)]
pub enum Trouble {
    /// The task failed, or this attempt at it.
    Failed(Failure),
    /// The files are made and on record; they get their names once the server answers.
    Waits(Failure),
    /// The source is another one now, or gone: the run is worth nothing.
    SourceChanged(String),
    /// The job is not ours any more.
    LeaseLost(JobId),
    /// A newer version of the source was accepted.
    Superseded,
    /// The database did not do its part.
    Store(StoreError),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) | Self::Waits(failure) => write!(f, "{}: {}", failure.kind.as_str(), failure.message),
            Self::SourceChanged(reason) => f.write_str(reason),
            Self::LeaseLost(job) => write!(f, "job {job} is held by somebody else"),
            Self::Superseded => f.write_str("a newer version of the source was accepted"),
            Self::Store(error) => write!(f, "{}", with_causes(error)),
        }
    }
}

/// Why a file did not get its name.
#[derive(Debug)]
pub enum Undone {
    /// Where it should go.
    Publish(PublishError),
    /// Something has the name that was not there before, or has gone.
    Conflict,
    /// It should not get it any more.
    Trouble(Trouble),
}

impl From<PublishError> for Undone {
    fn from(error: PublishError) -> Self {
        Self::Publish(error)
    }
}

impl From<Undone> for Trouble {
    fn from(undone: Undone) -> Self {
        match undone {
            Undone::Publish(error) => error.into(),
            Undone::Conflict => Self::Failed(Failure::new(ErrorKind::Io, "the name changed hands while it was given")),
            Undone::Trouble(trouble) => trouble,
        }
    }
}

impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish(error) => error.fmt(f),
            Self::Conflict => f.write_str("the name changed hands while it was given"),
            Self::Trouble(trouble) => trouble.fmt(f),
        }
    }
}

impl Undone {
    /// Trying again brings nothing.
    pub fn is_hopeless(&self) -> bool {
        match self {
            Self::Publish(error) => matches!(error, PublishError::NameTaken(_) | PublishError::Lost(_)),
            Self::Conflict => false,
            Self::Trouble(trouble) => !matches!(trouble, Trouble::Store(StoreError::Transient(_))) && !self.waits(),
        }
    }

    /// It waits for a server that does not answer.
    pub fn waits(&self) -> bool {
        match self {
            Self::Publish(PublishError::Bucket { waits, .. }) => *waits,
            Self::Trouble(trouble) => trouble.is_offline(),
            _ => false,
        }
    }

    /// The daemon does not wait for uploads any more.
    pub fn stopped() -> Self {
        Self::Publish(PublishError::Bucket {
            message: "the daemon stops".to_owned(),
            waits: true,
        })
    }
}

impl Trouble {
    /// A bucket does not answer, and may later.
    pub fn is_offline(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.kind == ErrorKind::Offline)
    }
}

impl From<PublishError> for Trouble {
    fn from(error: PublishError) -> Self {
        Self::Failed(error.failure())
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::LeaseLost(job) => Self::LeaseLost(job),
            other => Self::Store(other),
        }
    }
}
