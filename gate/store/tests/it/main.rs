//! The store against real git: one binary, since linking costs more than running.

mod packs;
mod store;
#[allow(dead_code, reason = "a kit for all modules; not each part is used at all times")]
mod support;
