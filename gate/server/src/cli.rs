//! The command line.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::{Args, Parser, Subcommand};
use gate_config::{Config, Listen, ListenAddr, OriginPattern, OriginUrl, Repo, RepoPattern};

use crate::telemetry::Format;

/// A git server that stands between an untrusted client and the real origin.
#[derive(Debug, Parser)]
#[command(name = "git-gate", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// How log lines look (on stderr).
    #[arg(long, global = true, value_enum, env = "GIT_GATE_LOG_FORMAT", default_value = "text")]
    pub log_format: Format,
    /// What is logged, such as `info` or `gate_core=debug,info`.
    #[arg(long, global = true, env = "GIT_GATE_LOG", default_value = "info")]
    pub log: String,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Opens the doors and serves until told to stop.
    ///
    /// Prints one line a door, the URL that names are appended to, once it accepts. SIGTERM and SIGINT let sessions end
    /// first, a second one does not; SIGHUP reads the config again.
    Serve(Serve),
    /// Proves what `serve` needs: config, data folder, scanner, and each origin.
    Check {
        #[command(flatten)]
        source: Source,
        /// Prints one JSON object instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// Prints the version.
    Version,
}

#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    pub source: Source,
}

/// Where the config comes from: a file, or these options for a single origin.
#[derive(Debug, Args)]
pub struct Source {
    /// The config file.
    #[arg(long, value_name = "FILE", env = "GIT_GATE_CONFIG", conflicts_with = "origin")]
    pub config: Option<PathBuf>,
    /// Stands in front of this origin alone, without a config file.
    #[arg(long, value_name = "URL")]
    pub origin: Option<String>,
    /// The name clients call it by [default: the last part of the URL]
    #[arg(long, requires = "origin")]
    pub name: Option<String>,
    /// An ssh private key.
    #[arg(long, value_name = "FILE", requires = "origin")]
    pub identity: Option<PathBuf>,
    /// The origin's pinned ssh host keys.
    #[arg(long, value_name = "FILE", requires = "origin")]
    pub known_hosts: Option<PathBuf>,
    /// A file with a token for an http(s) origin.
    #[arg(long, value_name = "FILE", requires = "origin")]
    pub token: Option<PathBuf>,
    /// Where mirrors lie [default: the config's, or /var/lib/git-gate].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Opens the git:// door at this address [default with --origin and no other door: 127.0.0.1:9418].
    #[arg(long, value_name = "ADDR")]
    pub listen_git: Option<ListenAddr>,
    /// Opens the HTTP door at this address.
    #[arg(long, value_name = "ADDR")]
    pub listen_http: Option<ListenAddr>,
    /// Opens the ssh door at this address.
    #[arg(long, value_name = "ADDR")]
    pub listen_ssh: Option<ListenAddr>,
}

/// Where the config is looked for, and mirrors are kept, if nothing else was said.
const CONFIG: &str = "/etc/git-gate/config.toml";
const DATA: &str = "/var/lib/git-gate";

/// The door of a gate that is told only its origin: git's own port, for this machine alone.
const DOOR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9418);

const NO_DOOR: &str = "the config opens no door: name one under [listen], such as `git = \"127.0.0.1:9418\"`, or by \
                       --listen-git, --listen-http or --listen-ssh";

impl Source {
    /// Reads the config anew.
    ///
    /// # Errors
    /// It can't be read, or makes no sense; the text shows where.
    pub fn load(&self) -> Result<Config, anyhow::Error> {
        let mut config = match &self.origin {
            Some(origin) => self.single(origin)?,
            None => read(self.config.as_deref().unwrap_or(Path::new(CONFIG)))?,
        };
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        let Listen { git, http, ssh, ssh_keys } = config.listen;
        config.listen = Listen {
            git: self.listen_git.or(git),
            http: self.listen_http.or(http),
            ssh: self.listen_ssh.or(ssh),
            ssh_keys,
        };
        let Listen { git, http, ssh, .. } = &mut config.listen;
        if git.is_none() && http.is_none() && ssh.is_none() {
            ensure!(self.origin.is_some(), "{NO_DOOR}");
            *git = Some(ListenAddr(DOOR));
        }
        Ok(config)
    }

    fn single(&self, url: &str) -> Result<Config, anyhow::Error> {
        let origin = OriginPattern::parse(url).with_context(|| "the value of --origin")?;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => OriginUrl::parse(url)?
                .default_name()
                .context("the origin's URL suggests no name: give one by --name")?
                .to_string(),
        };
        let repo = Repo {
            name: RepoPattern::parse(&name).with_context(|| "the value of --name")?,
            origin,
            identity: self.identity.clone(),
            known_hosts: self.known_hosts.clone(),
            token: self.token.clone(),
            ca_file: None,
        };
        Ok(Config {
            data: PathBuf::from(DATA),
            listen: Listen::default(),
            scan: Default::default(),
            policy: Default::default(),
            limits: Default::default(),
            repos: vec![repo.check()?],
        })
    }
}

fn read(file: &Path) -> Result<Config, anyhow::Error> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("read the config {}", file.display()))?;
    Config::from_toml(&text).with_context(|| format!("in {}", file.display()))
}
