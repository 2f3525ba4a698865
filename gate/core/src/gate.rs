//! The gate as a whole: which repositories there are, who may come in, and where each session goes.

mod report;
mod repos;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use gate_config::{Config, RepoName};
use proto::Service;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info_span};

use crate::blocking::{Pool, Pools};
use crate::client::{Input, Output};
use crate::company::Company;
use crate::dial::Dial;
use crate::limits::Places;
use crate::receive;
use crate::scan::Scanner;
use crate::upload::{self, Refresh};
use crate::{Client, Error, Session, mirror};

use report::Outcome;
pub use repos::Repo;
use repos::Repos;

/// Everything sessions share. One for the whole process, behind an `Arc`.
#[derive(Debug)]
pub struct Gate {
    rules: RwLock<Rules>,
    dial: Arc<dyn Dial>,
    pools: Pools,
    repos: Repos,
    sessions: Places,
    tails: TaskTracker,
}

/// What a reload exchanges.
#[derive(Clone, Debug)]
struct Rules {
    config: Arc<Config>,
    scanner: Scanner,
}

/// Walks and counts at once: they burn CPU, so more than twice the cores helps nobody.
const CPU_PER_CORE: usize = 2;
/// Packs on their way in from origins at once.
const FETCHES: usize = 8;

impl Gate {
    /// Opens nothing and asks nobody yet. `config` may be exchanged later, but not its data folder and its counts of
    /// sessions.
    pub fn new(config: Config, dial: Arc<dyn Dial>, scanner: Scanner) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(2, Into::into);
        let limits = &config.limits;
        let cpu = Pool::new(cores * CPU_PER_CORE);
        let context = mirror::Context {
            dial: Arc::clone(&dial),
            limits: limits.clone(),
            fetch: Pool::new(FETCHES),
            cpu: cpu.clone(),
            background: Pool::new(1),
        };
        Arc::new(Self {
            repos: Repos::new(context),
            sessions: Places::new(limits.sessions, "sessions"),
            pools: Pools { cpu, io: Pool::new(limits.sessions) },
            rules: RwLock::new(Rules { config: Arc::new(config), scanner }),
            dial,
            tails: TaskTracker::new(),
        })
    }

    /// The config in force. Who holds it sees no later change.
    pub fn config(&self) -> Arc<Config> {
        self.rules().config
    }

    /// The scanner in force.
    pub fn scanner(&self) -> Scanner {
        self.rules().scanner
    }

    fn rules(&self) -> Rules {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another config, and the scanner made by it, in force: sessions that come from now on go by them.
    pub fn set_config(&self, config: Config, scanner: Scanner) {
        let config = Arc::new(config);
        self.repos.apply(&config);
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Rules { config, scanner };
    }

    pub fn dial(&self) -> &Arc<dyn Dial> {
        &self.dial
    }

    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Work that outlives its session: what an origin has been told can't be taken back, so it runs to its end.
    /// Shutdown waits for it.
    pub fn tails(&self) -> &TaskTracker {
        &self.tails
    }

    /// The repository of this name, its mirror opened or made on first use.
    ///
    /// # Errors
    /// Unknown and forbidden names read alike.
    pub fn open(&self, name: &RepoName) -> Result<Arc<Repo>, Error> {
        self.repos.open(&self.config(), name)
    }

    /// Closes the mirrors that have been idle for `limits.mirror_idle`, and answers how many.
    pub fn close_idle(&self) -> usize {
        self.repos.close_idle(self.config().limits.mirror_idle.duration())
    }

    /// Serves one session to its end, tells the client if it failed, and logs what became of it. Whether it went well.
    ///
    /// `aside` is where the person at the other end can be told something beside the protocol.
    pub async fn serve(
        self: &Arc<Self>,
        session: Session,
        input: Input,
        output: Output,
        aside: Option<Output>,
    ) -> bool {
        let span = info_span!(
            "session",
            session.id = %session.id,
            session.door = session.door.as_str(),
            peer.addr = %session.peer,
            git.repo = session.repo.as_str(),
            git.service = session.service.as_str(),
            git.version = ?session.version,
        );
        let begun = Instant::now();
        let idle = self.config().limits.client_idle.duration();
        let mut client = Client::new(input, output, idle).with_aside(aside);
        let work = async {
            let result = Box::pin(self.dispatch(&session, &mut client)).await;
            if let Err(error) = &result {
                // whether the client still hears it changes nothing any more
                drop(client.tell(&error.to_string()).await);
            }
            let ended = client.finish(result.is_err()).await;
            let well = result.is_ok();
            report::log(result, ended, &client, begun.elapsed());
            well
        };
        work.instrument(span).await
    }

    async fn dispatch(
        self: &Arc<Self>,
        session: &Session,
        client: &mut Client,
    ) -> Result<Outcome, Error> {
        let config = self.config();
        let wait = config.limits.session_queue.duration();
        let repo = self.open(&session.repo)?;
        let _of_repo = repo.places().take(wait).await?;
        let _of_gate = self.sessions.take(wait).await?;
        match session.service {
            Service::UploadPack => {
                let context =
                    upload::Context { limits: config.limits.clone(), pools: self.pools.clone() };
                let mirror = repo.mirror().clone();
                let company = Company {
                    every: config.limits.keepalive.duration(),
                    progress: mirror.progress(),
                };
                let mut refresh = Refresh::new(mirror.format(), company, move || {
                    let asked = mirror.refresh();
                    Box::pin(async move { asked.await.map_err(Error::from) })
                });
                upload::serve(session, client, &mut refresh, &context).await.map(Outcome::Uploaded)
            }
            Service::ReceivePack => {
                let context = receive::Context {
                    config,
                    rule: repo.rule(),
                    mirror: repo.mirror().clone(),
                    dial: Arc::clone(&self.dial),
                    pools: self.pools.clone(),
                    scanner: self.scanner(),
                    tails: self.tails.clone(),
                };
                receive::serve(session, client, &context).await.map(Outcome::Pushed)
            }
        }
    }
}
