//! Pushes against real git: its receive-pack is the origin, its client pushes to us.

mod forward;
mod support;
