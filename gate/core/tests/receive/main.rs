//! Pushes through the receiving half, from a client in memory to an origin that stock git serves.

mod cancel;
mod idle;
mod kit;
mod progress;
mod refusals;
#[allow(dead_code, reason = "shared with the tests of the scan")]
#[path = "../scan/scanner.rs"]
mod scanner;
#[allow(dead_code, reason = "shared with the tests of forwarding")]
#[path = "../../src/forward/tests/support.rs"]
mod support;

/// Where the shared helpers look for the port to origins.
use gate_core::dial;
