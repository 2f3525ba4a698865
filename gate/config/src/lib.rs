//! The gate's configuration: values only, written by the launcher and read by the gate.
//!
//! One TOML file, parsed once into checked types: whoever holds a [`RepoName`] or an [`OriginUrl`] need not look at it
//! again. Secrets are never in it, only paths to the files that hold them. Nothing here touches the disk or the network.

mod config;
mod error;
mod glob;
mod limits;
mod listen;
mod name;
mod origin;
mod policy;
mod repo;
mod scan;
mod unit;

pub use config::Config;
pub use error::ConfigError;
pub use glob::Glob;
pub use limits::Limits;
pub use listen::{InvalidListenAddr, Listen, ListenAddr};
pub use name::{InvalidRepoName, MAX_REPO_NAME, RepoName, RepoPattern};
pub use origin::{Endpoint, InvalidOrigin, OriginPattern, OriginUrl};
pub use policy::{Policy, RefRule};
pub use repo::{MisfitRepo, Repo, ResolvedRepo};
pub use scan::Scan;
pub use unit::{ByteSize, InvalidUnit, Period};
