//! Why a refresh failed, told to everybody who waited for it.

use std::sync::Arc;

use crate::dial::{self, ErrorKind};
use crate::{Blame, Error};

/// The origin could not be heard, or what it sent could not be kept. Shared by all who waited for the refresh.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct RefreshError(#[source] Arc<dial::Error>);

impl RefreshError {
    pub fn kind(&self) -> ErrorKind {
        self.0.kind()
    }

    /// The origin's own words; empty where it had none.
    pub fn words(&self) -> &str {
        self.0.words()
    }

    /// What failed in the gate itself; the client is told no more than that.
    pub(super) fn gate(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        dial::Error::new(ErrorKind::Gate, "").with_source(source).into()
    }
}

impl From<dial::Error> for RefreshError {
    fn from(error: dial::Error) -> Self {
        Self(Arc::new(error))
    }
}

impl From<RefreshError> for Error {
    fn from(error: RefreshError) -> Self {
        let blame = match error.kind() {
            ErrorKind::Gate => Blame::Gate,
            _ => Blame::Origin,
        };
        // the public line is the first error's; its sources follow in the log
        Self::new(blame, error.to_string()).with_source(Inner(error.0))
    }
}

/// Continues the chain behind the shared error, whose own text is the public line already.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.kind().as_str())]
struct Inner(#[source] Arc<dial::Error>);
