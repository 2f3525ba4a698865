//! What `bottle init` writes.

/// The agents `bottle init --agent` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Known {
    /// Claude Code
    Claude,
}

/// A manifest with a comment for every key.
pub fn plain(name: &str) -> String {
    include_str!("template/plain.toml").replace("{name}", name)
}

/// A manifest that runs that agent as it is.
pub fn for_agent(name: &str, agent: Known) -> String {
    match agent {
        Known::Claude => include_str!("template/claude.toml").replace("{name}", name),
    }
}
