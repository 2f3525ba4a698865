mod host;
mod manifest;
mod names;
mod problem;
fn main() {}
