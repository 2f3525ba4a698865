//! The engine: the only part that acts.

pub mod archive;
pub mod attach;
pub mod cleanup;
mod context;
pub mod doctor;
pub mod engine;
pub mod exec;
pub mod find;
mod ignore;
pub mod images;
mod keys;
pub mod launch;
pub mod lock;
pub mod logs;
pub mod look;
pub mod prove;
mod spec;

pub use engine::{Engine, EngineError};
