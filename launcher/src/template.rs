//! What `bottle init` writes.

use std::path::{Path, PathBuf};

/// The agents `bottle init --agent` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Known {
    /// Claude Code
    Claude,
}

impl Known {
    /// The host's variable that its manifest takes the credential from.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Claude => "ANTHROPIC_API_KEY",
        }
    }
}

/// A manifest, and what lies beside it.
#[derive(Debug)]
pub struct Template {
    pub manifest: String,
    /// A file that the manifest names.
    pub beside: Option<(PathBuf, &'static str)>,
}

/// A manifest with a comment for every key.
pub fn plain(name: &str) -> Template {
    let manifest = include_str!("template/plain.toml").replace("{name}", name);
    Template { manifest, beside: None }
}

/// A manifest that runs that agent as it is; what it needs goes to a folder of the bottle's name beside it.
pub fn for_agent(name: &str, agent: Known, folder: &Path) -> Template {
    let (manifest, recipe) = match agent {
        Known::Claude => {
            (include_str!("template/claude.toml"), include_str!("../../docker/agent.Dockerfile"))
        }
    };
    let dockerfile = folder.join(name).join("Dockerfile");
    let manifest = manifest.replace("{name}", name).replace(
        "\"{dockerfile}\"",
        &toml::Value::from(dockerfile.display().to_string()).to_string(),
    );
    Template { manifest, beside: Some((dockerfile, recipe)) }
}
