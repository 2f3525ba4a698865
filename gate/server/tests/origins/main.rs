//! Mirrors refreshed from real origins: git daemon, sshd, lighttpd with git http-backend, and git's own programs.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a panic is their report")]

mod boundary;
mod exchanged;
mod http;
mod https;
mod race;
mod refresh;
mod servers;
mod slow;
mod ssh;
mod ssh_pool;
mod support;
mod transports;
