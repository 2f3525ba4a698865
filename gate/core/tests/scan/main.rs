//! The scan with the real gitleaks: what is found, what is not held against a push, and when there is no verdict.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail as the test itself does")]

mod content;

mod ends;
mod known;
mod long;
mod messages;
mod names;
mod own;
mod pushes;
mod repo;
mod scanner;
mod spare;
mod support;
mod switches;
mod trouble;
