//! What a push may do, beyond what the origin itself allows.

use serde::{Deserialize, Serialize};

use crate::{ByteSize, Glob, RepoName, RepoPattern};

/// The operator's rules for pushes. The default is transparent: what the origin allows, and no `refs/pull/*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Whether the refs of one push stand or fall together at the origin, even if the client did not ask.
    pub atomic: bool,
    /// Refs that no push may name; they are mirrored and served all the same.
    pub hidden_refs: Vec<Glob>,
    /// Paths that no pushed commit may add, change or delete.
    pub protected_paths: Vec<Glob>,
    /// The largest file a push may bring.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_file_size: Option<ByteSize>,
    /// Addresses one of which the author of each new commit must have; none given: any.
    pub author_emails: Vec<Glob>,
    /// The same for committers.
    pub committer_emails: Vec<Glob>,
    /// Rules for refs; the first whose patterns fit decides, and a ref that none fits is free.
    #[serde(rename = "ref")]
    pub refs: Vec<RefRule>,
}

/// What may happen to the refs that a pattern fits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefRule {
    /// Full ref names, such as `refs/heads/main` or `refs/heads/agent/*`.
    pub name: Glob,
    /// The repositories it holds for; all, if it names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<RepoPattern>,
    /// A ref that was not there.
    #[serde(default = "yes")]
    pub create: bool,
    /// A fast-forward.
    #[serde(default = "yes")]
    pub update: bool,
    /// A move that leaves commits behind.
    #[serde(default = "yes")]
    pub force: bool,
    #[serde(default = "yes")]
    pub delete: bool,
}

impl Policy {
    /// The rule that decides on a ref.
    pub fn rule_for(&self, repo: &RepoName, ref_name: &[u8]) -> Option<&RefRule> {
        let here = |rule: &&RefRule| rule.repo.as_ref().is_none_or(|pattern| pattern.matches(repo));
        self.refs.iter().filter(here).find(|rule| rule.name.matches(ref_name))
    }

    pub fn is_hidden(&self, ref_name: &[u8]) -> bool {
        self.hidden_refs.iter().any(|pattern| pattern.matches(ref_name))
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            atomic: false,
            hidden_refs: vec![Glob::new("refs/pull/*")],
            protected_paths: Vec::new(),
            max_file_size: None,
            author_emails: Vec::new(),
            committer_emails: Vec::new(),
            refs: Vec::new(),
        }
    }
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rule = |name: &str, repo: Option<&str>, force| RefRule {
            name: Glob::new(name),
            repo: repo.map(|repo| RepoPattern::parse(repo).unwrap()),
            create: true,
            update: true,
            force,
            delete: true,
        };
        let refs =
            vec![rule("refs/heads/*", Some("free/*"), true), rule("refs/heads/*", None, false)];
        let policy = Policy { refs, ..Policy::default() };
        let force = |repo: &str, name: &str| {
            policy.rule_for(&RepoName::parse(repo).unwrap(), name.as_bytes()).map(|rule| rule.force)
        };
        assert_eq!(force("free/app", "refs/heads/main"), Some(true));
        assert_eq!(force("acme/app", "refs/heads/main"), Some(false));
        assert_eq!(force("acme/app", "refs/tags/v1"), None);
    }
}
