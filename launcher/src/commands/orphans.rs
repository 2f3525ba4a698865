//! What stands where a launch wants to make its own.

use crate::docker::find::Orphan;
use crate::docker::{Engine, EngineError};
use crate::guest::hold;
use crate::names::Role;
use crate::plan::Plan;

/// Something stands where a launch wants to make its own.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.render())]
pub(super) struct Orphans {
    bottle: String,
    pub(super) orphans: Vec<Orphan>,
    /// Its agent was let go, and works.
    runs: bool,
}

/// What bears the names of this launch already.
pub(super) async fn find(engine: &Engine, plan: &Plan) -> Result<Option<Orphans>, EngineError> {
    let orphans = engine.orphans(plan).await?;
    if orphans.is_empty() {
        return Ok(None);
    }
    let agent = plan.container(Role::Agent).map(|agent| agent.name.as_str()).unwrap_or_default();
    let alive = orphans.iter().any(|it| it.ours && it.name == agent && it.state == "running");
    let runs = alive && engine.has_file(agent, hold::OPEN).await;
    Ok(Some(Orphans { bottle: plan.bottle.to_string(), orphans, runs }))
}

impl Orphans {
    fn render(&self) -> String {
        let Self { bottle, orphans, runs } = self;
        let mut text = format!("bottle {bottle} cannot be launched: its names are taken");
        for orphan in orphans {
            let Orphan { name, kind, .. } = orphan;
            let kind = kind.as_str();
            let state = [orphan.state.as_str(), orphan.status.as_str()]
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join(", ");
            text.push_str(&format!("\n  {kind} {name} ({state})"));
            if !orphan.ours {
                text.push_str(&format!(
                    ": not made by bottle; if it is yours, docker {kind} rm {name}"
                ));
            }
        }
        let next = if *runs {
            format!("it runs: bottle attach {bottle}, or bottle stop {bottle}")
        } else if orphans.iter().any(|orphan| orphan.ours) {
            format!("run `bottle cleanup {bottle}`")
        } else {
            format!(
                "as above, or give the bottle another name; bottle cleanup {bottle} takes only what bottle made"
            )
        };
        text.push_str(&format!("\n  next: {next}"));
        text
    }
}
