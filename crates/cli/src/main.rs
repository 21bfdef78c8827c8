//! The `tillgate` program.
fn main() {}
