//! The store against real git: one binary, since linking costs more than running.

mod changes;
mod commit;
mod connect;
mod consolidate;
mod count;
mod forge;
mod fsck_parity;
#[allow(dead_code, reason = "a kit for all modules")]
mod gate;
#[allow(dead_code, reason = "a kit for all modules")]
mod history;
mod kept;
#[allow(dead_code, reason = "a kit for all modules")]
mod mirror;
mod packs;
mod quarantine;
mod shallow;
mod store;
#[allow(dead_code, reason = "a kit for all modules; not each part is used at all times")]
mod support;
mod write_objects;
