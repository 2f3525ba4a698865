//! Asks an origin for its refs and keeps nothing: whether it is there, and lets us in.

use gate_config::{Limits, ResolvedRepo};
use proto::{Service, Version};
use tokio::time::timeout;

use super::conversation::Conversation;
use super::error::RefreshError;
use crate::dial::{self, Dial};

/// What an origin answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// How many, HEAD not among them.
    pub refs: usize,
}

/// Lists the refs of an origin, within `limits.refresh`.
///
/// # Errors
/// As [`Mirror::refresh`](super::Mirror::refresh).
pub async fn probe(
    dial: &dyn Dial,
    rule: &ResolvedRepo,
    limits: &Limits,
) -> Result<Probe, RefreshError> {
    let patience = limits.refresh.duration();
    let asked = async {
        let link = dial.dial(rule, Service::UploadPack, Version::V2).await?;
        let mut conversation = Conversation::begin(link, None).await?;
        let mut refs = 0;
        conversation.list(patience, |listed| refs += usize::from(listed.name != b"HEAD")).await?;
        conversation.close().await;
        Ok::<_, dial::Error>(Probe { refs })
    };
    match timeout(patience, asked).await {
        Ok(probe) => Ok(probe?),
        Err(_) => Err(dial::Error::timed_out("refresh", patience).into()),
    }
}
