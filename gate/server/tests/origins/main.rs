//! Mirrors refreshed from real origins: git daemon, sshd, lighttpd with git http-backend, and git's own programs.

mod hostile;
mod refresh;
mod servers;
mod ssh;
mod support;
mod transports;
