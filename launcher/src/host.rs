//! What the launcher knows of the host it runs on. Read once, in `main`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The variables and the home of the person who launches.
#[derive(Clone, Default)]
pub struct Host {
    pub variables: BTreeMap<String, String>,
    pub home: PathBuf,
}

// Variables are where tokens are: none of them is ever printed by accident.
impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("home", &self.home).finish_non_exhaustive()
    }
}

impl Host {
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// `~/x` and relative paths, from the home.
    pub fn expand(&self, written: &str) -> PathBuf {
        match written.strip_prefix("~/") {
            Some(rest) => self.home.join(rest),
            None => self.home.join(written),
        }
    }

    /// Where the manifests lie.
    pub fn config_dir(&self) -> PathBuf {
        match self.variable("XDG_CONFIG_HOME").filter(|dir| Path::new(dir).is_absolute()) {
            Some(dir) => Path::new(dir).join("bottle"),
            None => self.home.join(".config/bottle"),
        }
    }

    /// Where a launch holds the lock of its bottle.
    pub fn runtime_dir(&self) -> PathBuf {
        match self.variable("XDG_RUNTIME_DIR").filter(|dir| Path::new(dir).is_absolute()) {
            Some(dir) => Path::new(dir).join("bottle"),
            None => self.home.join(".local/state/bottle"),
        }
    }
}
