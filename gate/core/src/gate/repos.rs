//! Repositories by name: those the config spells out, and those a pattern lets be, once somebody asked for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gate_config::{Config, RepoName, ResolvedRepo};

use crate::limits::Places;
use crate::mirror::{self, Mirror};
use crate::{Blame, Error};

/// One repository that the gate stands in front of.
#[derive(Debug)]
pub struct Repo {
    name: RepoName,
    rule: Mutex<Arc<ResolvedRepo>>,
    mirror: Mirror,
    places: Places,
}

impl Repo {
    pub fn name(&self) -> &RepoName {
        &self.name
    }

    /// Where its origin is and how to get in there; a reload may change it.
    pub fn rule(&self) -> Arc<ResolvedRepo> {
        Arc::clone(&self.rule.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    fn set_rule(&self, rule: ResolvedRepo) {
        let mut current = self.rule.lock().unwrap_or_else(PoisonError::into_inner);
        if **current != rule {
            *current = Arc::new(rule.clone());
            self.mirror.set_rule(rule);
        }
    }
}

/// All repositories that were opened so far.
#[derive(Debug)]
pub(super) struct Repos {
    context: mirror::Context,
    open: Mutex<HashMap<RepoName, Arc<Repo>>>,
}

impl Repos {
    pub(super) fn new(context: mirror::Context) -> Self {
        Self { context, open: Mutex::default() }
    }

    pub(super) fn open(&self, config: &Config, name: &RepoName) -> Result<Arc<Repo>, Error> {
        let rule = config.resolve(name).ok_or_else(|| not_found(name))?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(repo) = open.get(name) {
            return Ok(Arc::clone(repo));
        }
        if open.len() >= config.limits.mirrors {
            // names that turned out to be nothing, or that nobody uses, make room
            open.retain(|_, repo| {
                Arc::strong_count(repo) > 1
                    || repo.mirror.is_busy()
                    || repo.mirror.format().is_some()
            });
        }
        if open.len() >= config.limits.mirrors {
            let most = config.limits.mirrors;
            let line = format!("the gate holds {most} repositories already (limits.mirrors)");
            return Err(Error::new(Blame::Client, line));
        }
        let repo = Arc::new(Repo {
            name: name.clone(),
            mirror: Mirror::open(name.mirror_dir(&config.data), rule.clone(), self.context.clone()),
            rule: Mutex::new(Arc::new(rule)),
            places: Places::new(config.limits.sessions_per_repo, "sessions_per_repo"),
        });
        open.insert(name.clone(), Arc::clone(&repo));
        Ok(repo)
    }

    /// Closes mirrors that nobody has asked for since `idle`, and answers how many. The next request opens them anew; as
    /// long as anything still works with one it stays, since two would not know of each other's writes.
    pub(super) fn close_idle(&self, idle: Duration) -> usize {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let before = open.len();
        open.retain(|_, repo| Arc::strong_count(repo) > 1 || !repo.mirror.is_idle(idle));
        before - open.len()
    }

    /// Lets a changed config reach the repositories that are open. One mirror stays one mirror: two would not know of
    /// each other's writes.
    pub(super) fn apply(&self, config: &Config) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, repo) in open.iter() {
            if let Some(rule) = config.resolve(name) {
                repo.set_rule(rule);
            }
        }
    }
}

fn not_found(name: &RepoName) -> Error {
    Error::client(format!("repository '{}' not found", name.as_str()))
}
