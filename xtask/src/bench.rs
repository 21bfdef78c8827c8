//! The benchmark: built in release, and run. What it does is in `crates/bench`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;

/// Builds the product and the benchmark, and runs it with these arguments. `Ok(false)` if either fails.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<bool> {
    // Apart from each other: built together, the product would get the features that only the benchmark asks for.
    for package in ["tillgate", "bench"] {
        let mut build = workspace.cargo(["build", "--release", "--package", package]);
        if !build.status().context("cannot start Cargo")?.success() {
            return Ok(false);
        }
    }
    // Not by `cargo run`, which would take a core's time while the benchmark runs.
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let mut bench = workspace.command(workspace.root().join(target).join("release/bench"));
    let status = bench.arg("run").args(arguments).status().context("cannot start the benchmark")?;
    Ok(status.success())
}
