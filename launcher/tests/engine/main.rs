//! `bottle` on a real engine. Needs root and Docker; BOTTLE_TEST_ENGINE=skip leaves it out, and says so.
//!
//! No test reaches beyond this machine: what a launch's self-test asks are addresses for documentation
//! (RFC 5737) and listeners in containers and namespaces that the test made.

mod claude;
mod cleanup;
mod closed;
mod crash;
mod kit;
mod many;
mod refusals;
mod run;
mod secrets;
mod terminal;
mod whole;
mod world;
