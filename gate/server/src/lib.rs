//! The git gate's rim: doors that accept, and ways to origins. The program is `main.rs`.

pub mod app;
pub mod check;
pub mod cli;
pub mod doors;
pub mod origin;
pub mod telemetry;
