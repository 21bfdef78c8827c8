//! Looks for a way to be wrong about money: `cargo xtask simulate`.
//!
//! Runs the real `relay` code and the real virtual terminals in a world of its own, in which network, clocks, disks and
//! processes fail in every way that a seed can ask for; `judge` says what came of it.

fn main() {}
