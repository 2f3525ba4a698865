//! Real `git upload-pack` is the judge: the same request bytes to both, the same answer from both.

mod kit;
mod odd;
mod parity;
mod refused;
