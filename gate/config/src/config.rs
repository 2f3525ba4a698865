//! The whole file, and the questions the gate asks of it.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::{ConfigError, Limits, Listen, Policy, Repo, RepoName, ResolvedRepo, Scan};

/// Everything the gate is told: where it listens, which repositories it stands in front of, and by which rules.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Config {
    /// Where the mirrors lie; one running gate owns the folder.
    pub data: PathBuf,
    pub listen: Listen,
    pub scan: Scan,
    pub policy: Policy,
    pub limits: Limits,
    #[serde(rename = "repo")]
    pub repos: Vec<Repo>,
}

impl Config {
    /// Reads a config file's text.
    ///
    /// # Errors
    /// Unknown keys, values of a wrong kind and contradictions, each with the line it stands on.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let file: File =
            toml::from_str(text).map_err(|e| ConfigError::new(text, e.span(), e.message()))?;
        if let Some(twice) = second_of_a_name(&file.repos) {
            let message = format!(
                "repository {} stands here a second time; each name has one origin",
                twice.as_ref().name
            );
            return Err(ConfigError::new(text, Some(twice.span()), &message));
        }
        Ok(Self {
            data: file.data,
            listen: file.listen,
            scan: file.scan,
            policy: file.policy,
            limits: file.limits,
            repos: file.repos.into_iter().map(Spanned::into_inner).collect(),
        })
    }

    /// Writes the config so that [`from_toml`](Self::from_toml) reads the same values; defaults are written out too.
    ///
    /// # Errors
    /// A path that is not UTF-8 has no TOML form.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(|e| ConfigError::new("", None, &e.to_string()))
    }

    /// Finds the rule for a name: the entry of exactly that name, else the longest pattern that matches it.
    pub fn resolve(&self, name: &RepoName) -> Option<ResolvedRepo> {
        self.repos
            .iter()
            .filter_map(|repo| Some((repo.name.rank(name)?, repo)))
            .max_by_key(|(rank, _)| *rank)
            .map(|(_, repo)| ResolvedRepo {
                name: name.clone(),
                origin: repo.origin.resolve(repo.name.rest(name)),
                identity: repo.identity.clone(),
                known_hosts: repo.known_hosts.clone(),
                token: repo.token.clone(),
                ca_file: repo.ca_file.clone(),
            })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data: PathBuf,
    #[serde(default)]
    listen: Listen,
    #[serde(default)]
    scan: Scan,
    #[serde(default)]
    policy: Policy,
    #[serde(default)]
    limits: Limits,
    #[serde(default, rename = "repo")]
    repos: Vec<Spanned<Repo>>,
}

fn second_of_a_name(repos: &[Spanned<Repo>]) -> Option<&Spanned<Repo>> {
    let mut seen = HashSet::new();
    repos.iter().find(|&repo| !seen.insert(&repo.as_ref().name))
}
