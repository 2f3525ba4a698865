//! Serves a fetch, a clone or an `ls-remote`: refs the origin confirmed after the client came, and packs of what they reach.
//!
//! Knows no mirror: a [`Refresh`] brings the snapshot.

mod pack;
mod refresh;
mod refs;
mod v0;
mod v2;
mod wants;

use gate_config::Limits;
use proto::upload_pack::advert::Server;
use proto::{ObjectFormat, Version};

use crate::blocking::Pools;
use crate::{Client, Error, Mode, Session};

pub use refresh::{Asked, Refresh};

/// What serving needs beside the session itself.
#[derive(Clone, Debug)]
pub struct Context {
    pub limits: Limits,
    pub pools: Pools,
}

/// What was served, for the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uploaded {
    /// Refs listed.
    pub refs: usize,
    /// Packs sent; a stateful client may fetch more than once.
    pub packs: usize,
    pub pack_objects: u64,
    pub pack_bytes: u64,
}

/// Serves one session of upload-pack.
///
/// # Errors
/// What ended it early. The client has not been told yet, unless its [`voice`](Client::voice) is silent.
pub async fn serve(
    session: &Session,
    client: &mut Client,
    refresh: &mut Refresh,
    context: &Context,
) -> Result<Uploaded, Error> {
    let ground = Ground { session, context };
    let mut conversation = Conversation { ground, client, refresh, uploaded: Uploaded::default() };
    match session.version {
        Version::V2 => conversation.v2().await?,
        Version::V0 | Version::V1 => conversation.v0().await?,
    }
    Ok(conversation.uploaded)
}

/// One session under way; its phases are in the modules below.
struct Conversation<'a> {
    ground: Ground<'a>,
    client: &'a mut Client,
    refresh: &'a mut Refresh,
    uploaded: Uploaded,
}

/// What does not change while a session lasts.
#[derive(Clone, Copy)]
struct Ground<'a> {
    session: &'a Session,
    context: &'a Context,
}

impl Ground<'_> {
    fn limits(&self) -> proto::upload_pack::Limits {
        let limits = &self.context.limits;
        proto::upload_pack::Limits { wants: limits.wants, haves: limits.haves }
    }

    /// Whether the session begins with an advertisement.
    fn advertises(&self) -> bool {
        self.session.mode != Mode::Request
    }

    /// An internal error, under the session's id.
    fn internal(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::gate(&self.session.id, source)
    }
}

/// What advertisements say of this server.
fn server(format: ObjectFormat, session_id: &str) -> Server<'_> {
    Server { agent: AGENT, session_id, format }
}

const AGENT: &str = concat!("git-gate/", env!("CARGO_PKG_VERSION"));
