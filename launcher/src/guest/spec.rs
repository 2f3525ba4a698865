//! What the self-test is asked to prove, and what it answers, one JSON object a line.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// What must answer, and soon.
    pub sidecars: Vec<Sidecar>,
    /// How long the sidecars may take to be ready, all together.
    pub ready_ms: u64,
    /// What must not answer.
    pub closed: Vec<Target>,
    /// How long an answer is waited for.
    pub answer_ms: u64,
    /// A name outside, which the engine's own resolver must not find out about.
    pub outside_name: String,
    /// Where frames sent to a sidecar's address are meant to go on to.
    pub forward_to: Vec<Ipv4Addr>,
}

/// A sidecar by its name in the closed network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sidecar {
    pub name: String,
    pub port: u16,
    pub ready: Ready,
    /// Ports that must not accept.
    pub admin: Vec<u16>,
}

/// When a sidecar counts as ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ready {
    /// It accepts a connection.
    Accepts,
    /// It answers 200 to this path, and the answer holds every one of these words.
    Says { path: String, words: Vec<String> },
}

/// One address that must not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Whose it is: `host`, `lan`, `metadata`, `outside`, `dns`, `ipv6`, `other bottle`.
    pub what: String,
    pub address: SocketAddr,
    pub by: By,
}

/// How an answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// A TCP connection; being refused is an answer as well.
    Tcp,
    /// A DNS query by UDP.
    Dns,
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// The sidecar is ready, so many milliseconds after the test began.
    Ready { name: String, after_ms: u64 },
    /// Something is not as it must be.
    Broken { what: String, why: String },
    /// The test ran to its end; `checks` were made.
    Done { checks: u32, broken: u32 },
}
