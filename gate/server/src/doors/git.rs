//! git://: one request line, then the conversation on the same stream.

use gate_config::RepoName;
use gate_core::client::{Client, Input, Output};
use gate_core::session::{Door, Mode, Session, SessionId};
use proto::request::{self, Request};
use tokio::io::{AsyncReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tracing::info;

use super::{Guest, Hall};

/// Serves the door until the hall closes.
pub async fn serve(hall: Hall, listener: TcpListener) {
    hall.accept(listener, welcome).await;
}

async fn welcome(hall: Hall, guest: Guest) {
    let Guest { mut read, write, peer, place: _place } = guest;
    let limits = hall.gate.config().limits.clone();
    let patience = limits.request.duration();
    let mut received = Vec::with_capacity(512);
    let asked = match timeout(patience, read_request(&mut read, &mut received)).await {
        Ok(asked) => asked,
        Err(_) => Err(Refused::Slow(patience)),
    };
    let output: Output = Box::new(write);
    match asked {
        Ok((request, repo, used)) => {
            let rest = std::io::Cursor::new(received.split_off(used));
            let input: Input = Box::new(BufReader::with_capacity(1, rest.chain(read)));
            let session = Session {
                id: SessionId::next(),
                door: Door::Git,
                peer: peer.to_string(),
                service: request.service,
                repo,
                version: request.version,
                mode: Mode::Stateful,
            };
            hall.gate.serve(session, input, output, None).await;
        }
        Err(Refused::Gone) => {}
        Err(refused) => {
            info!(peer.addr = %peer, session.door = "git", error.chain = %refused, "refused");
            let mut client = Client::new(Box::new(read), output, limits.client_idle.duration());
            // whether it still hears it changes nothing
            drop(client.tell(&refused.to_string()).await);
            drop(client.finish(true).await);
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Request(#[from] request::Error),
    #[error(transparent)]
    Name(#[from] gate_config::InvalidRepoName),
    #[error("no request within {0:?} (limits.request)")]
    Slow(std::time::Duration),
    #[error("the client went away")]
    Gone,
}

async fn read_request(
    read: &mut (impl AsyncReadExt + Unpin),
    received: &mut Vec<u8>,
) -> Result<(Request, RepoName, usize), Refused> {
    loop {
        if let Some((request, used)) = request::decode_line(received)? {
            let repo = RepoName::from_request(&request.path)?;
            return Ok((request, repo, used));
        }
        match read.read_buf(received).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(Refused::Gone),
        }
    }
}
