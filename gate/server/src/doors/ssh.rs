//! ssh: a channel runs one of git's two commands, and nothing else.
//!
//! What can reach the door may use it, as with the other doors, unless `listen.ssh_keys` names the keys that open it. The
//! client checks *our* key.

mod host_key;
mod ident;
mod keys;

use std::collections::HashMap;
use std::future::{Future, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use gate_config::RepoName;
use gate_core::client::Output;
use gate_core::session::{Door, Mode, Session, SessionId};
use proto::Version;
use proto::request::parse_command;
use russh::keys::PublicKey;
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, PublicKeyOffer, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelMsg, ChannelReadHalf, Disconnect, MethodKind, MethodSet};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::io::StreamReader;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Guest, Hall};

use ident::{Ident, Overheard};

pub use host_key::{HostKey, HostKeyError};
pub use keys::{Keys, KeysError};

/// The extended data that ssh shows as stderr (RFC 4254, 5.2).
const STDERR: u32 = 1;
/// How often a silent client is asked whether it is still there; it may miss three.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// How long a client may take to say that nothing more comes, when all is said to it.
const LAST_WORD: Duration = Duration::from_millis(500);

/// Serves the door until the hall closes.
pub async fn serve(hall: Hall, listener: TcpListener, key: HostKey) {
    let config = Arc::new(Config {
        methods: MethodSet::from(&[MethodKind::None, MethodKind::PublicKey][..]),
        keys: vec![key.into_inner()],
        inactivity_timeout: None,
        keepalive_interval: Some(KEEPALIVE),
        nodelay: true,
        auth_rejection_time_initial: Some(Duration::ZERO),
        ..Config::default()
    });
    hall.accept(listener, move |hall, guest| welcome(hall, guest, Arc::clone(&config))).await;
}

async fn welcome(hall: Hall, guest: Guest, config: Arc<Config>) {
    let Guest { read, write, peer, place: _place } = guest;
    let patience = hall.gate.config().limits.request.duration();
    let work = Arc::new(Work::default());
    let (stream, ident) = Overheard::new(tokio::io::join(read, write));
    let (visiting, working) = (hall.clone(), Arc::clone(&work));
    let visitor = Visitor {
        hall: visiting,
        peer,
        ident,
        work: working,
        channels: HashMap::new(),
        finished: HashMap::new(),
    };
    let begun = russh::server::run_stream(config, stream, visitor);
    let running = match timeout(patience, begun).await {
        Ok(Ok(running)) => running,
        Ok(Err(error)) => {
            debug!(peer.addr = %peer, error.chain = %error, "ssh did not begin");
            return;
        }
        Err(_) => {
            debug!(peer.addr = %peer, "ssh did not begin within limits.request");
            return;
        }
    };
    let handle = running.handle();
    tokio::select! {
        ended = running => if let Err(error) = ended {
            debug!(peer.addr = %peer, error.chain = %error, "ssh ended");
        },
        why = work.idle(&hall, patience) => {
            // it may be gone already
            drop(handle.disconnect(Disconnect::ByApplication, why.into(), "en".into()).await);
        }
    }
}

/// How many sessions of a connection are under way.
#[derive(Debug, Default)]
struct Work {
    sessions: AtomicUsize,
    changed: Notify,
}

impl Work {
    /// Waits until the connection has had nothing to do for `patience`, or for a moment once the hall closes.
    async fn idle(&self, hall: &Hall, patience: Duration) -> &'static str {
        loop {
            let changed = self.changed.notified();
            if self.sessions.load(Ordering::Acquire) > 0 {
                changed.await;
                continue;
            }
            tokio::select! {
                () = changed => {}
                () = hall.closing.cancelled() => return "the gate is closing",
                () = tokio::time::sleep(patience) => return "no command (limits.request)",
            }
        }
    }
}

/// Counts as long as it lives.
struct Working(Arc<Work>);

impl Working {
    fn begin(work: &Arc<Work>) -> Self {
        work.sessions.fetch_add(1, Ordering::AcqRel);
        work.changed.notify_waiters();
        Self(Arc::clone(work))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_waiters();
    }
}

struct Visitor {
    hall: Hall,
    peer: SocketAddr,
    ident: Ident,
    work: Arc<Work>,
    /// Channels on which nothing runs yet.
    channels: HashMap<ChannelId, Waiting>,
    /// Of channels on which something runs: whether the client has said that nothing more comes.
    finished: HashMap<ChannelId, CancellationToken>,
}

struct Waiting {
    channel: Channel<Msg>,
    version: Version,
}

impl Handler for Visitor {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, Self::Error> {
        if self.ident.is_libssh2() || self.needs_key() {
            return Ok(ask_for_a_key());
        }
        Ok(Auth::Accept)
    }

    async fn auth_publickey_offered(
        &mut self,
        _: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(if self.admits(offer.public_key) { Auth::Accept } else { ask_for_a_key() })
    }

    async fn auth_publickey(
        &mut self,
        _: &str,
        proved: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        if !self.admits(proved.public_key) {
            return Ok(ask_for_a_key());
        }
        let key = keys::fingerprint(proved.public_key);
        info!(peer.addr = %self.peer, session.door = "ssh", ssh.key = key, "key accepted");
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut russh::server::Session,
    ) -> Result<(), Self::Error> {
        let busy = self.channels.len() + self.work.sessions.load(Ordering::Acquire);
        if busy < self.hall.gate.config().limits.sessions_per_connection {
            self.channels.insert(channel.id(), Waiting { channel, version: Version::default() });
            reply.accept().await;
        }
        Ok(())
    }

    async fn channel_close(
        &mut self,
        id: ChannelId,
        _: &mut russh::server::Session,
    ) -> Result<(), Self::Error> {
        self.channels.remove(&id);
        self.finish(id);
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        id: ChannelId,
        _: &mut russh::server::Session,
    ) -> Result<(), Self::Error> {
        self.finish(id);
        Ok(())
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        session: &mut russh::server::Session,
    ) -> Result<(), Self::Error> {
        match self.channels.get_mut(&id) {
            Some(waiting) if name == "GIT_PROTOCOL" => {
                waiting.version = Version::from_parameters(value.as_bytes());
                session.channel_success(id)
            }
            _ => session.channel_failure(id),
        }
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut russh::server::Session,
    ) -> Result<(), Self::Error> {
        let Some(waiting) = self.channels.remove(&id) else { return session.channel_failure(id) };
        session.channel_success(id)?;
        let handle = session.handle();
        match self.understand(command, waiting.version) {
            Ok(asked) => self.run(asked, waiting.channel, handle),
            Err(line) => {
                info!(peer.addr = %self.peer, session.door = "ssh", error.chain = line, "refused");
                refuse(waiting.channel, handle, line);
            }
        }
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _: &str,
        session: &mut russh::server::Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }

    async fn shell_request(
        &mut self,
        id: ChannelId,
        session: &mut russh::server::Session,
    ) -> Result<(), Self::Error> {
        let Some(waiting) = self.channels.remove(&id) else { return session.channel_failure(id) };
        session.channel_success(id)?;
        let line = "this is a git gate: it runs git-upload-pack and git-receive-pack, no shell";
        refuse(waiting.channel, session.handle(), line.to_owned());
        Ok(())
    }
}

/// Another key, please.
fn ask_for_a_key() -> Auth {
    let methods = MethodSet::from(&[MethodKind::PublicKey][..]);
    Auth::Reject { proceed_with_methods: Some(methods), partial_success: false }
}

impl Visitor {
    fn needs_key(&self) -> bool {
        self.hall.gate.config().listen.ssh_keys.is_some()
    }

    /// The file is read anew for each key: one that was taken out of it opens no more.
    fn admits(&self, key: &PublicKey) -> bool {
        let config = self.hall.gate.config();
        let Some(file) = &config.listen.ssh_keys else { return true };
        match Keys::read(file) {
            Ok(keys) => keys.admit(key),
            Err(error) => {
                let error = gate_core::chain(&error);
                warn!(error.chain = error, "listen.ssh_keys opens to nobody");
                false
            }
        }
    }

    fn understand(&self, command: &[u8], version: Version) -> Result<Session, String> {
        let (service, path) = parse_command(command).map_err(|error| error.to_string())?;
        let repo = RepoName::from_request(&path).map_err(|error| error.to_string())?;
        Ok(Session {
            id: SessionId::next(),
            door: Door::Ssh,
            peer: self.peer.to_string(),
            service,
            repo,
            version,
            mode: Mode::Stateful,
        })
    }

    fn finish(&mut self, id: ChannelId) {
        if let Some(finished) = self.finished.remove(&id) {
            finished.cancel();
        }
    }

    fn run(&mut self, asked: Session, channel: Channel<Msg>, handle: Handle) {
        let (gate, evicted) = (Arc::clone(&self.hall.gate), self.hall.evicting.clone());
        let working = Working::begin(&self.work);
        let (id, finished) = (channel.id(), CancellationToken::new());
        self.finished.insert(id, finished.clone());
        self.hall.guests.spawn(async move {
            let _working = working;
            // halves, and no stream: a stream that is dropped closes the channel, often before the exit status is sent
            let (read, write) = channel.split();
            let input = Box::new(StreamReader::new(Box::pin(stream::unfold(read, next_data))));
            let output = Box::new(Box::pin(write.make_writer()));
            let aside: Output = Box::new(Box::pin(write.make_writer_ext(Some(STDERR))));
            let served = tokio::select! {
                served = gate.serve(asked, input, output, Some(aside)) => served,
                () = evicted.cancelled() => false,
            };
            end(&handle, id, u32::from(!served), finished.cancelled()).await;
        });
    }
}

/// What the client sends next, until it says that this was all.
async fn next_data(mut channel: ChannelReadHalf) -> Option<(io::Result<Bytes>, ChannelReadHalf)> {
    loop {
        match channel.wait().await? {
            ChannelMsg::Data { data } => return Some((Ok(data), channel)),
            ChannelMsg::Eof | ChannelMsg::Close => return None,
            _ => {}
        }
    }
}

/// Tells a person why, where ssh shows it: on stderr.
fn refuse(channel: Channel<Msg>, handle: Handle, line: String) {
    let id = channel.id();
    let text = format!("{line}\n");
    tokio::spawn(async move {
        drop(channel.extended_data_bytes(STDERR, text).await);
        end(&handle, id, 1, ready(())).await;
    });
}

/// Ends a channel as a command does; if the client is gone already, there is nobody to tell. It is closed when the client
/// is `finished` too, or soon: some take it for an error that they can't say so any more (go-git).
async fn end(
    handle: &Handle,
    id: ChannelId,
    status: u32,
    finished: impl Future<Output = ()> + Send,
) {
    let told = async {
        handle.exit_status_request(id, status).await?;
        handle.eof(id).await?;
        drop(timeout(LAST_WORD, finished).await);
        handle.close(id).await
    };
    if told.await.is_err() {
        debug!("the ssh client went away");
    }
}
