//! `bottle`: launches an agent that can reach nothing but its sidecars.
//!
//! A [`manifest`] is read and checked whole, a [`plan`] is made of it without side effects, and the
//! engine is asked to do exactly what the plan says.

pub mod cli;
pub mod commands;
pub mod docker;
pub mod guest;
pub mod host;
pub mod manifest;
pub mod names;
pub mod plan;

pub mod problem;
pub mod progress;
pub mod render;
pub mod template;
pub mod terminal;
pub mod ui;
