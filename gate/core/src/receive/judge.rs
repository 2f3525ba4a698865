//! From connected to accepted: the scan, then policy.

use std::sync::Arc;

use gate_store::Connected;
use proto::send_pack::Update;
use tokio::sync::watch;

use super::Push;
use super::refused::{By, Refused};
use super::stages::{Accepted, Scanned, Unscanned};
use crate::Error;
use crate::blocking::run;
use crate::scan::{Progress, Running};

impl Push<'_> {
    /// `scanner` is there unless the push only deletes and has no options.
    pub(super) async fn judge(
        &mut self,
        connected: Arc<Connected>,
        updates: Vec<Update>,
        scanner: Option<Running>,
    ) -> Result<Result<Accepted, Refused>, Error> {
        let scanned = match scanner {
            Some(running) => self.scan(running, connected, updates).await?,
            None => Scanned::of_deletions(connected, updates).ok_or_else(|| {
                Refused::gate(&self.session.id, &*Box::<dyn std::error::Error>::from("no scanner"))
            }),
        };
        let scanned = match scanned {
            Ok(scanned) => scanned,
            Err(refused) => return Ok(Err(refused)),
        };
        self.audit.scan = scanned.summary();
        if let Some(refused) = self.take_broken() {
            return Ok(Err(refused));
        }
        let (config, rule) = (Arc::clone(&self.context.config), Arc::clone(&self.context.rule));
        let work = run(&self.context.pools.cpu, move |interrupt| {
            Accepted::judge(scanned, &config.policy, &rule.name, interrupt)
        });
        let judged = self.companion().during(&String::new, None, work).await?;
        Ok(match judged {
            Ok(Ok(accepted)) => Ok(accepted),
            Ok(Err(refusals)) => Err(Refused::refs(By::Policy, refusals)),
            Err(error) => Err(Refused::gate(&self.session.id, &error)),
        })
    }

    async fn scan(
        &mut self,
        running: Running,
        connected: Arc<Connected>,
        updates: Vec<Update>,
    ) -> Result<Result<Scanned, Refused>, Error> {
        let (progress, seen) = watch::channel(Progress::Idle);
        let options = self.request.options.clone();
        let scan = Scanned::scan(running, connected, updates, options, progress);
        let scanned = self.companion().during(&|| told(*seen.borrow()), None, scan).await?;
        Ok(scanned.map_err(|unscanned| match unscanned {
            Unscanned::Found(summary, refusal) => {
                self.audit.scan = Some(summary);
                Refused::found(&refusal)
            }
            // what breaks git's rules may well be what can't be scanned
            Unscanned::Failed(error) => {
                self.take_broken().unwrap_or_else(|| Refused::unscanned(&error))
            }
        }))
    }
}

fn told(progress: Progress) -> String {
    match progress {
        Progress::Idle => "scanning".to_owned(),
        Progress::Queued { ahead } => format!("waiting for a scanner, {ahead} pushes ahead"),
        Progress::Scanning { done, total } if total >= 1_000_000 => {
            format!("scanning {} of {} MB", done / 1_000_000, total.div_ceil(1_000_000))
        }
        Progress::Scanning { .. } => "scanning".to_owned(),
    }
}
