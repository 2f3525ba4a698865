//! What runs inside: holds the agent back until its network is proved closed, and proves it.
//!
//! The program `bottle-guest` is this module. It is linked statically and needs nothing of the
//! image it is copied into.

pub mod forward;
pub mod hold;
pub mod net;
pub mod netlink;
pub mod prove;
pub mod resolver;
pub mod spec;
