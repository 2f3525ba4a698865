//! `git-gate check`: proves what `serve` needs, one thing after the other, each with its own answer.

use std::path::Path;

use futures_util::StreamExt;
use futures_util::stream;
use gate_config::{Config, Repo, RepoPattern};
use gate_core::scan::Scanner;
use gate_core::{chain, mirror};
use gate_store::DataLock;
use serde::Serialize;

use crate::app;
use crate::doors::ssh::Keys;
use crate::origin::Origins;

/// Origins asked at once.
const ORIGINS: usize = 8;

/// What was proved.
#[derive(Debug, Serialize)]
pub struct Report {
    pub checks: Vec<Check>,
}

/// One thing `serve` needs.
#[derive(Debug, Serialize)]
pub struct Check {
    /// `config`, `data`, `scanner`, `ssh keys`, or `origin of NAME`.
    pub name: String,
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(tag = "outcome", content = "detail", rename_all = "lowercase")]
pub enum Outcome {
    Good(String),
    /// It can't be known, but nothing says that it would fail.
    Unknown(String),
    Bad(String),
}

impl Report {
    /// Proves a config that could be read.
    pub async fn of(config: &Config) -> Self {
        let mut checks = vec![Check {
            name: "config".into(),
            outcome: Outcome::Good(counted(config.repos.len(), "repository", "repositories")),
        }];
        let data = data(&config.data);
        let usable = !matches!(data, Outcome::Bad(_));
        checks.push(Check { name: "data".into(), outcome: data });
        checks.push(Check { name: "scanner".into(), outcome: scanner(config).await });
        if let Some(file) = &config.listen.ssh_keys {
            checks.push(Check { name: "ssh keys".into(), outcome: ssh_keys(file) });
        }
        if usable {
            checks.extend(origins(config).await);
        }
        Self { checks }
    }

    /// Whether nothing is bad.
    pub fn is_good(&self) -> bool {
        self.checks.iter().all(|check| !matches!(check.outcome, Outcome::Bad(_)))
    }

    /// Whether what is bad is the world's fault: an origin that can't be reached.
    pub fn is_unreachable(&self) -> bool {
        !self.is_good()
            && self.checks.iter().all(|check| {
                check.name.starts_with("origin of ") || !matches!(check.outcome, Outcome::Bad(_))
            })
    }

    /// One line a check.
    pub fn lines(&self) -> String {
        let line = |check: &Check| {
            let (word, detail) = match &check.outcome {
                Outcome::Good(detail) => ("ok", detail),
                Outcome::Unknown(detail) => ("?", detail),
                Outcome::Bad(detail) => ("FAILED", detail),
            };
            format!("{:6} {}: {detail}\n", word, check.name)
        };
        self.checks.iter().map(line).collect()
    }
}

fn data(dir: &Path) -> Outcome {
    let shown = dir.display();
    if let Err(error) = std::fs::create_dir_all(dir) {
        return Outcome::Bad(format!("{shown}: {error}"));
    }
    match DataLock::take(dir) {
        Ok(_) => match tempfile::tempfile_in(dir) {
            Ok(_) => Outcome::Good(format!("{shown} can be written")),
            Err(error) => Outcome::Bad(format!("{shown}: {error}")),
        },
        // a gate that runs is no reason why another could not, once that one is gone
        Err(error) => Outcome::Unknown(format!("{error}")),
    }
}

fn ssh_keys(file: &Path) -> Outcome {
    match Keys::read(file) {
        Ok(keys) => Outcome::Good(format!("{} may come in", keys.count())),
        Err(error) => Outcome::Bad(format!("{}: {}", file.display(), chain(&error))),
    }
}

async fn scanner(config: &Config) -> Outcome {
    let scanner = match app::scanner(config, None) {
        Ok(options) => Scanner::new(options),
        Err(error) => return Outcome::Bad(format!("{error:#}")),
    };
    match scanner.prove().await {
        Ok(build) => Outcome::Good(format!(
            "gitleaks {} ({}) found the canary, sha256 {}",
            build.version, build.engine, build.digest
        )),
        Err(error) => Outcome::Bad(chain(&error)),
    }
}

async fn origins(config: &Config) -> Vec<Check> {
    let dial = Origins::new(config.limits.clone());
    stream::iter(&config.repos)
        .map(|repo| async {
            let outcome = origin(config, &dial, repo).await;
            Check { name: format!("origin of {}", name(repo)), outcome }
        })
        .buffered(ORIGINS)
        .collect()
        .await
}

fn name(repo: &Repo) -> String {
    match &repo.name {
        RepoPattern::Exact(name) => name.to_string(),
        RepoPattern::Below(prefix) => format!("{prefix}*"),
    }
}

/// Lists the refs of an origin; what is behind a pattern is only known when it is asked for.
async fn origin(config: &Config, dial: &Origins, repo: &Repo) -> Outcome {
    let RepoPattern::Exact(name) = &repo.name else {
        return Outcome::Unknown("a pattern: its origins are met when they are asked for".into());
    };
    let Some(rule) = config.resolve(name) else {
        return Outcome::Bad("its name resolves to nothing".into());
    };
    match mirror::probe(dial, &rule, &config.limits).await {
        Ok(probe) => {
            let refs = counted(probe.refs, "ref", "refs");
            Outcome::Good(format!("{} answers, and has {refs}", rule.origin))
        }
        Err(error) => Outcome::Bad(gate_core::Error::from(error).chain()),
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
