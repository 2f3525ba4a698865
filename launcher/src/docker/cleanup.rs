//! Removes what launches made: after any crash, in any order, twice.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::errors::Error as Refusal;
use bollard::models::EventMessage;
use bollard::query_parameters::{
    EventsOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptions,
};
use futures_util::future::join_all;
use futures_util::{Stream, StreamExt as _};
use tokio::time::Instant;

use super::engine::{Engine, EngineError, Step, dress, is_gone};
use super::find::{self, Found, Kind};
use super::lock;
use crate::guest::hold;
use crate::host::Host;
use crate::names::BottleName;

/// How long the engine's word is waited for that a thing in the way has ended.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What is to be done with one bottle.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nobody minds it and its agent does not run.
    Remove,
    /// A launcher lives and minds it.
    Minded { by: String },
    /// Its agent runs and works.
    Running,
}

impl Engine {
    /// Judges whether a bottle is a leftover.
    ///
    /// An agent that was never let go (its launcher died before) does not count as running.
    pub async fn judge(&self, host: &Host, bottle: &str, things: &[Found], force: bool) -> Verdict {
        if let Ok(name) = BottleName::parse(bottle)
            && let Err(lock::Error::Held { pid, .. }) = lock::take(host, &name)
        {
            return Verdict::Minded { by: pid };
        }
        let running = find::agent(things).filter(|agent| agent.state == "running");
        match running {
            Some(agent) if !force && self.has_file(&agent.id, hold::OPEN).await => Verdict::Running,
            Some(_) | None => Verdict::Remove,
        }
    }

    /// Removes the things, containers first. What is gone already is no error.
    ///
    /// Goes on after a refusal, so that one stuck thing does not keep the others, and asks again when the
    /// engine tells of an end: another `bottle` may be removing the containers that keep a network.
    ///
    /// # Errors
    /// The last refusals, each with the engine's words.
    pub async fn remove(&self, things: &[Found]) -> Result<(), Vec<EngineError>> {
        let until = Instant::now() + PATIENCE;
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut ends = std::pin::pin!(self.ends_since(began));
        let mut last = false;
        loop {
            let mut refusals = Vec::new();
            for kind in [Kind::Container, Kind::Network, Kind::Volume] {
                let of_kind = things.iter().filter(|thing| thing.kind == kind);
                let results = join_all(of_kind.map(|thing| self.remove_one(thing))).await;
                refusals.extend(results.into_iter().filter_map(Result::err));
            }
            if refusals.is_empty() {
                return Ok(());
            }
            if last {
                return Err(refusals);
            }
            // Whatever does not let us wait for long leaves one more try.
            let end = tokio::time::timeout_at(until, ends.next()).await;
            last = !matches!(end, Ok(Some(Ok(_))));
        }
    }

    /// Removes all that one launch made.
    pub(super) async fn remove_launch(
        &self,
        bottle: &BottleName,
        launch: &str,
    ) -> Result<(), Vec<EngineError>> {
        let found = self.find(Some(bottle)).await.map_err(|error| vec![error])?;
        let own: Vec<Found> = found.into_iter().filter(|it| it.launch == launch).collect();
        self.remove(&own).await
    }

    /// Each end of a container, a network or a volume, of any bottle and of none.
    ///
    /// Asked for when it is first awaited; the engine keeps what it told of before.
    fn ends_since(&self, began: u64) -> impl Stream<Item = Result<EventMessage, Refusal>> {
        let filters = HashMap::from([
            ("type", vec!["container", "network", "volume"]),
            ("event", vec!["destroy", "disconnect", "unmount"]),
        ]);
        let options =
            EventsOptionsBuilder::default().since(&began.to_string()).filters(&filters).build();
        self.docker.events(Some(options))
    }

    async fn remove_one(&self, thing: &Found) -> Result<(), EngineError> {
        let result = match thing.kind {
            Kind::Container => {
                let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
                self.docker.remove_container(&thing.id, Some(options)).await
            }
            Kind::Network => self.docker.remove_network(&thing.id).await,
            Kind::Volume => {
                self.docker.remove_volume(&thing.name, None::<RemoveVolumeOptions>).await
            }
        };
        let step = Step::new("remove", &thing.name, &thing.bottle);
        match result {
            Ok(()) => Ok(()),
            Err(refusal) if is_gone(&refusal) => Ok(()),
            // Two cleanups at once: the other one is at it.
            Err(refusal) if refusal.to_string().contains("already in progress") => Ok(()),
            Err(refusal) => Err(dress(&step, &refusal)),
        }
    }
}
