//! Ways to origins: ssh, http(s), git and file, behind the core's port `Dial`.

mod file;
mod git;

use futures_util::future::BoxFuture;
use gate_config::{Endpoint, Limits, ResolvedRepo};
use gate_core::dial::{Connection, Dial, Error, ErrorKind};
use proto::{Service, Version};

/// Dials every origin of the gate.
#[derive(Debug)]
pub struct Origins {
    limits: Limits,
}

impl Origins {
    /// Keeps connections from now on; opens none yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }

    async fn connect(
        &self,
        to: &ResolvedRepo,
        service: Service,
        version: Version,
    ) -> Result<Connection, Error> {
        match to.origin.endpoint() {
            Endpoint::Git { host, port, path } => {
                git::dial(host, *port, path, service, version).await.map(Connection::Stream)
            }
            Endpoint::File { path } => file::dial(path, service, version).map(Connection::Stream),
            Endpoint::Ssh { .. } | Endpoint::Http { .. } => {
                Err(Error::new(ErrorKind::Unreachable, "no way there yet"))
            }
        }
    }
}

impl Dial for Origins {
    fn dial<'a>(
        &'a self,
        to: &'a ResolvedRepo,
        service: Service,
        version: Version,
    ) -> BoxFuture<'a, Result<Connection, Error>> {
        Box::pin(async move {
            let limit = self.limits.connect.duration();
            match tokio::time::timeout(limit, self.connect(to, service, version)).await {
                Ok(connection) => connection,
                Err(_) => Err(Error::timed_out("connect", limit)),
            }
        })
    }
}
