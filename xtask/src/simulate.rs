//! The simulator's commands, built in release and run: many seeds, the deliberate faults, the exhaustive run. What they do
//! is in `crates/simulator`.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;

/// Runs one of the simulator's commands with these arguments. `Ok(false)` if it found something.
pub(crate) fn run(workspace: &Workspace, command: &str, arguments: &[String]) -> Result<bool> {
    // Arguments of the deliberate faults exist only where the faults do.
    let faults = command == "mutants" || arguments.iter().any(|argument| argument.starts_with("--fault"));
    let mut cargo = workspace.cargo(["run", "--quiet", "--release", "--package", "simulator"]);
    if faults {
        cargo.args(["--features", "faults"]);
    }
    let status = told_its_commit(workspace, cargo.args(["--", command]).args(arguments)).status();
    Ok(status.context("cannot start Cargo")?.success())
}

/// A run that found something says which commit it was of.
pub(crate) fn told_its_commit<'a>(workspace: &Workspace, command: &'a mut Command) -> &'a mut Command {
    let described = Command::new("git")
        .current_dir(workspace.root())
        .args(["describe", "--always", "--dirty", "--abbrev=12"])
        .output();
    let commit = match described {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        // An unpacked archive has none.
        _ => "unknown".to_owned(),
    };
    command.env("TILLGATE_COMMIT", commit)
}
