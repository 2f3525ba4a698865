//! The rules the scanner runs with: gitleaks' own, with the switches closed that pushed content could reach, and the
//! operator's.

mod ends;

use std::path::{Path, PathBuf};

use bstr::BStr;
use memchr::memmem;
use regex::bytes::RegexSet;
use sha2::{Digest, Sha256};
use toml::{Table, Value};

/// The gitleaks that the gate runs; `docker/gitleaks/build.sh` brings it.
pub const GITLEAKS_VERSION: &str = "8.30.1";
/// Its default rules lie in the binary as one piece of text; this is how long that is, and what it must hash to. With
/// another version, take them from `config/gitleaks.toml` in its source.
const DEFAULT_LENGTH: usize = 97_731;
const DEFAULT_SHA256: &str = "e163e53b9e7e8a8511e77271e2b323ed057759542a6d988258afe3a1fa329caf";
const DEFAULT_START: &[u8] = b"# This file has been auto-generated. Do not edit manually.\n";
/// The gate's own rules, on top of them.
const OWN_RULES: &str = include_str!("rules/own.toml");
/// The one rule that is no token's shape but a guess by entropy, and needs the default exemptions of lock files,
/// vendored code and placeholders.
const GUESSING_RULE: &str = "generic-api-key";

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    #[error("the scanner does not hold the default rules of gitleaks {GITLEAKS_VERSION}")]
    NotInBinary,
    #[error("parse the default rules")]
    Default(#[source] toml::de::Error),
    #[error("the gate's own rules: {0}")]
    Own(&'static str),
    #[error("read rules of {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("parse rules of {}", path.display())]
    Parse { path: PathBuf, source: toml::de::Error },
    #[error("rules of {}: {what}", path.display())]
    Shape { path: PathBuf, what: &'static str },
    #[error("print the rules")]
    Print(#[source] toml::ser::Error),
}

/// What a scan runs with.
#[derive(Debug)]
pub(super) struct Rules {
    /// The config for `gitleaks -c`.
    pub(super) config: String,
    pub(super) classes: PathClasses,
}

/// Which of the rules' path patterns a path matches: paths of one class are alike to every rule.
#[derive(Debug)]
pub(super) struct PathClasses {
    /// `None` if Rust's regex can't read one of them: then each path is its own class.
    patterns: Option<RegexSet>,
}

impl PathClasses {
    fn new(config: &Table) -> Self {
        let mut patterns = Vec::new();
        collect_paths(&Value::Table(config.clone()), &mut patterns);
        Self { patterns: RegexSet::new(patterns).ok() }
    }

    /// The class of a path.
    pub(super) fn of(&self, path: &BStr) -> Vec<u8> {
        match &self.patterns {
            Some(patterns) => {
                patterns.matches(path).into_iter().flat_map(usize::to_le_bytes).collect()
            }
            None => path.to_vec(),
        }
    }
}

fn collect_paths(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                match (key.as_str(), value) {
                    ("path", Value::String(pattern)) => into.push(pattern.clone()),
                    ("paths", Value::Array(patterns)) => {
                        into.extend(patterns.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    _ => collect_paths(value, into),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect_paths(value, into)),
        _ => {}
    }
}

/// Derives the config for `gitleaks -c` from the binary's own default and the operator's files.
///
/// In the default, the global exemptions (paths such as `node_modules`, values such as "false") are made to count for
/// `generic-api-key` alone, and no other rule keeps an exemption by path: a pushed file chooses its own name. All others
/// find a token in more places (see [`ends`]).
pub(super) fn derive(binary: &[u8], extra: &[PathBuf]) -> Result<Rules, RulesError> {
    let mut config: Table = toml::from_str(default_rules(binary)?).map_err(RulesError::Default)?;
    if let Some(Value::Table(mut global)) = config.remove("allowlist") {
        global.insert("targetRules".to_owned(), Value::Array(vec![GUESSING_RULE.into()]));
        config.insert("allowlists".to_owned(), Value::Array(vec![Value::Table(global)]));
    }
    for rule in tables(&mut config, "rules") {
        if rule.get("id").and_then(Value::as_str) != Some(GUESSING_RULE) {
            drop_path_exemptions(rule);
            if let Some(Value::String(pattern)) = rule.get_mut("regex") {
                *pattern = ends::widen(pattern);
            }
        }
    }
    merge(&mut config, toml::from_str(OWN_RULES).map_err(RulesError::Default)?)
        .map_err(RulesError::Own)?;
    for path in extra {
        add(&mut config, path)?;
    }
    let classes = PathClasses::new(&config);
    Ok(Rules { config: toml::to_string(&config).map_err(RulesError::Print)?, classes })
}

fn default_rules(binary: &[u8]) -> Result<&str, RulesError> {
    memmem::find_iter(binary, DEFAULT_START)
        .filter_map(|at| binary.get(at..at + DEFAULT_LENGTH))
        .find(|text| hex(&Sha256::digest(text)) == DEFAULT_SHA256)
        .and_then(|text| std::str::from_utf8(text).ok())
        .ok_or(RulesError::NotInBinary)
}

fn drop_path_exemptions(rule: &mut Table) {
    let Some(Value::Array(allowlists)) = rule.get_mut("allowlists") else { return };
    allowlists.retain_mut(|list| {
        let Value::Table(list) = list else { return false };
        let by_path = list.remove("paths").is_some();
        let all_needed = list.get("condition").and_then(Value::as_str).is_some_and(|c| c != "OR");
        // With all conditions needed, what is left would exempt more than before.
        !(by_path && all_needed)
            && ["regexes", "stopwords", "commits"].iter().any(|key| list.contains_key(*key))
    });
    if allowlists.is_empty() {
        rule.remove("allowlists");
    }
}

/// Adds an operator's file: its rules (one with a default rule's id takes its place) and its exemptions.
fn add(config: &mut Table, path: &Path) -> Result<(), RulesError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| RulesError::Read { path: path.into(), source })?;
    let own: Table =
        toml::from_str(&text).map_err(|source| RulesError::Parse { path: path.into(), source })?;
    merge(config, own).map_err(|what| RulesError::Shape { path: path.into(), what })
}

/// Puts rules and exemptions with those that are there; the error is for whoever wrote them.
fn merge(config: &mut Table, mut own: Table) -> Result<(), &'static str> {
    if own.contains_key("extend") {
        return Err("`extend` has no place here: gitleaks' default rules are always on");
    }
    if let Some(single) = own.remove("allowlist") {
        own.insert("allowlists".to_owned(), Value::Array(vec![single]));
    }
    for (key, missing) in [
        ("rules", "`rules` is not an array of tables"),
        ("allowlists", "`allowlists` is not an array"),
    ] {
        let Some(value) = own.remove(key) else { continue };
        let Value::Array(mut new) = value else { return Err(missing) };
        let Value::Array(all) = config.entry(key).or_insert_with(|| Value::Array(Vec::new()))
        else {
            return Err(missing);
        };
        if key == "rules" {
            if new.iter().any(|rule| rule.get("id").and_then(Value::as_str).is_none()) {
                return Err("a rule has no `id`");
            }
            all.retain(|old| new.iter().all(|new| new.get("id") != old.get("id")));
        }
        all.append(&mut new);
    }
    Ok(())
}

fn tables<'a>(config: &'a mut Table, key: &str) -> impl Iterator<Item = &'a mut Table> {
    config
        .get_mut(key)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_table_mut)
}

/// Bytes in hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
