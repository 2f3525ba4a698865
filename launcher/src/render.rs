//! The files that are copied into the containers before they start.

pub mod cred_proxy;
pub mod gate;
pub mod gitconfig;
pub mod pipelock;
