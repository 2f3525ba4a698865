//! The advertisement: the refs the origin has just confirmed, and only what is honoured.

use gate_store::Snapshot;
use proto::receive_pack::{Advertiser, Offer};

use super::Context;
use crate::{Client, Error, Session};

const AGENT: &str = concat!("git-gate/", env!("CARGO_PKG_VERSION"));
/// Bytes gathered before they are sent.
const PIECE: usize = 64 << 10;

/// Sends the refs of `snapshot`, but those that no push may name: a client that mirrors would ask to delete them.
pub(super) async fn advertise(
    session: &Session,
    client: &mut Client,
    context: &Context,
    snapshot: &Snapshot,
) -> Result<(), Error> {
    let offer = Offer {
        format: snapshot.format(),
        agent: AGENT.into(),
        session_id: session.id.to_string().into(),
        atomic: true,
        push_options: true,
    };
    let mut out = Vec::with_capacity(PIECE + 8192);
    let mut advertiser = Advertiser::begin(&mut out, session.version, &offer);
    for at in 0..snapshot.refs().len() {
        let entry = snapshot.refs().at(at);
        if !context.config.policy.is_hidden(entry.name) {
            advertiser.add(&mut out, entry.name, &entry.target);
        }
        if out.len() >= PIECE {
            client.send(&out).await?;
            out.clear();
        }
    }
    advertiser.finish(&mut out, snapshot.shallow());
    client.send(&out).await?;
    client.flush().await
}
