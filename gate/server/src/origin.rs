//! Ways to origins: ssh, http(s), git and file, behind the core's port `Dial`.

mod file;
mod git;
mod http;
mod ssh;

use futures_util::future::BoxFuture;
use gate_config::{Endpoint, Limits, ResolvedRepo};
use gate_core::dial::{Connection, Dial, Error};
use proto::{Service, Version};

/// The user of an ssh origin whose URL names none: the gate has no login name of its own that would mean something there.
const DEFAULT_USER: &str = "git";

/// Dials every origin of the gate.
#[derive(Debug)]
pub struct Origins {
    limits: Limits,
    http: http::Clients,
    ssh: ssh::Connections,
}

impl Origins {
    /// Keeps connections from now on; opens none yet.
    pub fn new(limits: Limits) -> Self {
        let http = http::Clients::new(limits.connect.duration());
        let ssh = ssh::Connections::new(limits.mirror_idle.duration());
        Self { limits, http, ssh }
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
            Endpoint::Ssh { user, host, port, path } => {
                let target = ssh::Target {
                    user: user.clone().unwrap_or_else(|| DEFAULT_USER.to_owned()),
                    host: host.clone(),
                    port: *port,
                    identity: to.identity.clone(),
                    known_hosts: to.known_hosts.clone(),
                };
                self.ssh.dial(target, path, service, version).await.map(Connection::Stream)
            }
            Endpoint::Http { .. } => self.http.rpc(to, service, version).map(Connection::Rpc),
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
