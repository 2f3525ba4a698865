//! The git gate's rim: doors that accept, and ways to origins. The program is `main.rs`.

pub mod origin;
