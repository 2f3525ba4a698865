//! Finds what belongs to bottles, by label, and what bears their names without it.

use std::collections::{BTreeMap, HashMap};

use bollard::models::ContainerSummary;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptions,
    ListVolumesOptionsBuilder,
};

use super::engine::{Engine, EngineError, Step, ask};
use crate::names::{BottleName, LABEL_BOTTLE, LABEL_LAUNCH, LABEL_ROLE, Role};
use crate::plan::Plan;

/// Something that a launch made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Found {
    pub kind: Kind,
    pub id: String,
    pub name: String,
    pub bottle: String,
    pub launch: String,
    pub role: String,
    /// `running`, `exited`, `created`, …; empty for what has no state.
    pub state: String,
    /// `Up 3 minutes`, `Exited (0) 2 hours ago`; empty for what has none.
    pub status: String,
}

/// What kind of thing, in the order in which they are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Container,
    Network,
    Volume,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Network => "network",
            Self::Volume => "volume",
        }
    }
}

/// Something that stands where a launch wants to make its own.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Orphan {
    pub kind: Kind,
    pub name: String,
    pub state: String,
    /// In the engine's words: how old it is.
    pub status: String,
    /// It bears our label; what does not is not ours to remove.
    pub ours: bool,
}

impl Engine {
    /// Everything labelled as part of a bottle, of one or of all.
    ///
    /// # Errors
    /// When the engine does not list it.
    pub async fn find(&self, bottle: Option<&BottleName>) -> Result<Vec<Found>, EngineError> {
        let label = match bottle {
            Some(name) => format!("{LABEL_BOTTLE}={name}"),
            None => LABEL_BOTTLE.to_owned(),
        };
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        let mut found = Vec::new();
        for container in self.containers(Some(&filters)).await? {
            let labels = container.labels.unwrap_or_default();
            let names = container.names.unwrap_or_default();
            let name = names.first().map(|name| name.trim_start_matches('/').to_owned());
            found.push(Found {
                state: container.state.map(|state| state.to_string()).unwrap_or_default(),
                status: container.status.unwrap_or_default(),
                ..labelled(Kind::Container, container.id.unwrap_or_default(), name, &labels)
            });
        }
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let step = Step::new("list", "networks", "");
        for network in ask(&step, self.docker.list_networks(Some(options))).await? {
            let labels = network.labels.unwrap_or_default();
            let id = network.id.unwrap_or_default();
            found.push(labelled(Kind::Network, id, network.name, &labels));
        }
        let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
        let step = Step::new("list", "volumes", "");
        let volumes = ask(&step, self.docker.list_volumes(Some(options))).await?;
        for volume in volumes.volumes.unwrap_or_default() {
            let name = volume.name;
            found.push(labelled(Kind::Volume, name.clone(), Some(name), &volume.labels));
        }
        Ok(found)
    }

    /// What already bears a name that this launch would give.
    ///
    /// # Errors
    /// When the engine does not list it.
    pub async fn orphans(&self, plan: &Plan) -> Result<Vec<Orphan>, EngineError> {
        let mut orphans = Vec::new();
        for container in self.containers(None).await? {
            let ours = container.labels.as_ref().is_some_and(|l| l.contains_key(LABEL_BOTTLE));
            for name in container.names.iter().flatten() {
                let name = name.trim_start_matches('/');
                if plan.containers.iter().any(|planned| planned.name == name) {
                    orphans.push(Orphan {
                        kind: Kind::Container,
                        name: name.to_owned(),
                        state: container.state.map(|s| s.to_string()).unwrap_or_default(),
                        status: age(&container),
                        ours,
                    });
                }
            }
        }
        let step = Step::new("list", "networks", "");
        for network in ask(&step, self.docker.list_networks(None)).await? {
            let name = network.name.unwrap_or_default();
            if plan.networks.iter().any(|planned| planned.name == name) {
                let ours = network.labels.is_some_and(|labels| labels.contains_key(LABEL_BOTTLE));
                let created = network.created.map(|at| format!("created {at}"));
                orphans.push(plain(Kind::Network, name, created.unwrap_or_default(), ours));
            }
        }
        let step = Step::new("list", "volumes", "");
        let volumes = ask(&step, self.docker.list_volumes(None::<ListVolumesOptions>)).await?;
        for volume in volumes.volumes.unwrap_or_default() {
            if plan.volumes.contains(&volume.name) {
                let ours = volume.labels.contains_key(LABEL_BOTTLE);
                let created = volume.created_at.map(|at| format!("created {at}"));
                orphans.push(plain(Kind::Volume, volume.name, created.unwrap_or_default(), ours));
            }
        }
        orphans.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        Ok(orphans)
    }

    /// Containers, started or not.
    pub(super) async fn containers(
        &self,
        filters: Option<&HashMap<String, Vec<String>>>,
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        let mut options = ListContainersOptionsBuilder::default().all(true);
        if let Some(filters) = filters {
            options = options.filters(filters);
        }
        let step = Step::new("list", "containers", "");
        ask(&step, self.docker.list_containers(Some(options.build()))).await
    }
}

/// The containers of each bottle.
pub fn by_bottle(found: Vec<Found>) -> BTreeMap<String, Vec<Found>> {
    let mut bottles: BTreeMap<String, Vec<Found>> = BTreeMap::new();
    for thing in found {
        bottles.entry(thing.bottle.clone()).or_default().push(thing);
    }
    bottles
}

/// The agent's container, if there is one.
pub fn agent(things: &[Found]) -> Option<&Found> {
    things.iter().find(|thing| {
        thing.kind == Kind::Container && Role::parse(&thing.role) == Some(Role::Agent)
    })
}

/// In the engine's words, `Up 3 minutes`; of what was never started they say nothing.
fn age(container: &ContainerSummary) -> String {
    let status = container.status.clone().unwrap_or_default();
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    match container.created.and_then(|made| now.as_secs().checked_sub(made.try_into().ok()?)) {
        Some(seconds) if status == "Created" => format!("made {} ago", span(seconds)),
        _ => status,
    }
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn labelled(
    kind: Kind,
    id: String,
    name: Option<String>,
    labels: &HashMap<String, String>,
) -> Found {
    let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
    Found {
        kind,
        id,
        name: name.unwrap_or_default(),
        bottle: label(LABEL_BOTTLE),
        launch: label(LABEL_LAUNCH),
        role: label(LABEL_ROLE),
        state: String::new(),
        status: String::new(),
    }
}

fn plain(kind: Kind, name: String, status: String, ours: bool) -> Orphan {
    Orphan { kind, name, state: String::new(), status, ours }
}
