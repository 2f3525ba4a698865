//! The command line.

use clap::{Parser, Subcommand};

use crate::template::Known;

/// Launches an agent that can reach nothing but its sidecars.
#[derive(Debug, Parser)]
#[command(name = "bottle", version, about)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a bottle, and end with its agent's exit code
    Run(Run),
    /// Show what `run` would do, and do none of it
    Plan {
        bottle: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List the bottles
    Ls {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Take up a bottle's terminal again; ctrl-p ctrl-q leaves it
    Attach { bottle: String },
    /// Run a command beside the agent
    Exec {
        bottle: String,
        #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Show the sidecars' logs as one, denials marked
    Logs {
        bottle: String,
        /// Go on as more come
        #[arg(short, long)]
        follow: bool,
        /// Denials only
        #[arg(long)]
        denied: bool,
    },
    /// Stop a bottle and remove all that belongs to it
    Stop {
        bottle: String,
        /// Seconds the agent may take to end
        #[arg(short, long, default_value_t = 10)]
        time: i32,
        /// Show what would be removed
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove what dead launches left behind
    Cleanup {
        /// Of this bottle only
        bottle: Option<String>,
        /// Also bottles whose agents run
        #[arg(long)]
        force: bool,
        /// Show what would be removed
        #[arg(long)]
        dry_run: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Look at all that a launch depends on
    Doctor {
        /// Prove a network closed with this bottle's images, runtime and self-test
        bottle: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a manifest to begin with
    Init {
        bottle: String,
        /// For this agent, ready to run
        #[arg(long)]
        agent: Option<Known>,
        /// Over a manifest that is there
        #[arg(long)]
        force: bool,
    },
}

/// The options of `run`.
#[derive(Debug, clap::Args)]
pub struct Run {
    pub bottle: String,
    /// Return when the agent runs
    #[arg(short, long)]
    pub detach: bool,
    /// Leave everything as it is when the launch fails or the agent ends
    #[arg(long)]
    pub keep: bool,
    /// Show the plan and do none of it
    #[arg(long)]
    pub dry_run: bool,
    /// Say nothing of the launch's progress
    #[arg(short, long)]
    pub quiet: bool,
    /// Answer a question of the manifest: NAME=VALUE
    #[arg(long = "answer", value_name = "NAME=VALUE")]
    pub answers: Vec<String>,
}
