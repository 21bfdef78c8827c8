//! Programs that the suites need beyond Cargo itself, and how a Debian machine gets them.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::workspace::{Log, Workspace};

/// The version that is built where there is none. An installed one of any version is used as it is.
const CARGO_DENY_VERSION: &str = "0.20.2";

/// The oldest LLVM that reads the counters and the map which Rust 1.95 writes, with its own LLVM 22; Debian has it since 12.
const LLVM_VERSION: &str = "19";

/// A program that may have to be installed first.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tool {
    Rustfmt,
    Clippy,
    /// For the bundled SQLite and for ring.
    CCompiler,
    /// For jemalloc.
    Make,
    /// Node with its test runner, and npm.
    Node,
    /// The browser that shows pages without a window.
    Chromium,
    /// Python with its `venv`.
    Python,
    /// LLVM's tools of [`LLVM_VERSION`].
    Llvm,
}

impl Tool {
    /// Makes sure that the program is there: looks, installs it if need be, and looks again.
    pub(crate) fn ensure(self, workspace: &Workspace, log: &Log) -> Result<()> {
        if self.answers(workspace) {
            return Ok(());
        }
        let installed = match self {
            Tool::Rustfmt => log.run(workspace.command("rustup").args(["component", "add", "rustfmt"])),
            Tool::Clippy => log.run(workspace.command("rustup").args(["component", "add", "clippy"])),
            Tool::CCompiler => install_debian_packages(&["gcc", "libc6-dev"], workspace, log),
            Tool::Make => install_debian_packages(&["make"], workspace, log),
            Tool::Node => install_debian_packages(&["nodejs", "npm"], workspace, log),
            Tool::Chromium => install_debian_packages(&["chromium"], workspace, log),
            Tool::Python => install_debian_packages(&["python3", "python3-venv"], workspace, log),
            Tool::Llvm => install_debian_packages(&[&format!("llvm-{LLVM_VERSION}")], workspace, log),
        };
        let name = self.name();
        let installed =
            installed.with_context(|| format!("{name} is missing, and cannot be installed here"))?;
        ensure!(installed && self.answers(workspace), "{name} is missing, and installing it failed");
        Ok(())
    }

    fn name(self) -> &'static str {
        match self {
            Tool::Rustfmt => "rustfmt",
            Tool::Clippy => "clippy",
            Tool::CCompiler => "a C compiler",
            Tool::Make => "make",
            Tool::Node => "Node with npm",
            Tool::Chromium => "Chromium",
            Tool::Python => "Python with venv",
            Tool::Llvm => "llvm-cov",
        }
    }

    fn answers(self, workspace: &Workspace) -> bool {
        let mut command = match self {
            Tool::Rustfmt => workspace.cargo(["fmt", "--version"]),
            Tool::Clippy => workspace.cargo(["clippy", "--version"]),
            Tool::CCompiler => version_of(workspace, "cc"),
            Tool::Make => version_of(workspace, "make"),
            Tool::Node if !is_there(&mut version_of(workspace, "node")) => return false,
            Tool::Node => version_of(workspace, "npm"),
            Tool::Chromium => version_of(workspace, "chromium"),
            Tool::Python => {
                let mut python = workspace.command("python3");
                // Debian leaves this part of it out.
                python.args(["-c", "import ensurepip, venv"]);
                python
            }
            Tool::Llvm => version_of(workspace, &LlvmTool::Cov.of_debian()),
        };
        is_there(&mut command)
    }
}

/// Is cargo-nextest there? It is faster than `cargo test` but not required, so it is never installed.
pub(crate) fn has_nextest(workspace: &Workspace) -> bool {
    is_there(&mut workspace.cargo(["nextest", "--version"]))
}

/// A command that starts cargo-deny, which is built below `target/` where there is none.
pub(crate) fn cargo_deny(workspace: &Workspace, log: &Log) -> Result<Command> {
    if is_there(&mut version_of(workspace, "cargo-deny")) {
        return Ok(workspace.command("cargo-deny"));
    }
    // The version is part of the path, so that a checkout with a newer one builds it.
    let root = workspace.tools().join(format!("cargo-deny-{CARGO_DENY_VERSION}"));
    let program = root.join("bin/cargo-deny");
    if !program.exists() {
        eprintln!("cargo-deny is missing: building it takes a minute or two, once");
        // Unoptimised, it is built in less than half the time and still checks within seconds. Its objects go to a
        // temporary folder, not to where the workspace's own are.
        let mut install = workspace.cargo(["install", "cargo-deny", "--locked", "--debug"]);
        install.args(["--version", CARGO_DENY_VERSION, "--root"]).arg(&root).env_remove("CARGO_TARGET_DIR");
        ensure!(log.run(&mut install)?, "cargo-deny is missing, and building it failed");
    }
    Ok(workspace.command(program))
}

/// One of the two that make figures of what an instrumented program has counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LlvmTool {
    Profdata,
    Cov,
}

impl LlvmTool {
    fn name(self) -> &'static str {
        match self {
            LlvmTool::Profdata => "llvm-profdata",
            LlvmTool::Cov => "llvm-cov",
        }
    }

    fn of_debian(self) -> String {
        format!("{}-{LLVM_VERSION}", self.name())
    }
}

/// A command that starts this tool: the compiler's own where `rustup component add llvm-tools` was, else Debian's, which is
/// installed where there is none.
pub(crate) fn llvm(tool: LlvmTool, workspace: &Workspace, log: &Log) -> Result<Command> {
    let printed = workspace.command("rustc").args(["--print", "target-libdir"]).output();
    let libraries = String::from_utf8(printed.context("cannot start rustc")?.stdout)?;
    let own = Path::new(libraries.trim()).with_file_name("bin").join(tool.name());
    if own.exists() {
        return Ok(workspace.command(own));
    }
    Tool::Llvm.ensure(workspace, log)?;
    Ok(workspace.command(tool.of_debian()))
}

fn version_of(workspace: &Workspace, program: &str) -> Command {
    let mut command = workspace.command(program);
    command.arg("--version");
    command
}

/// A program that cannot be started is not there.
fn is_there(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// `Ok(false)` if apt-get reports failure; an error if there is no apt-get, or no right to use it.
fn install_debian_packages(packages: &[&str], workspace: &Workspace, log: &Log) -> Result<bool> {
    let user = workspace.command("id").arg("-u").output().context("cannot find out who runs this")?;
    let as_root = |arguments: &[&str]| {
        let mut command = if user.stdout.trim_ascii() == b"0" {
            workspace.command("apt-get")
        } else {
            let mut sudo = workspace.command("sudo");
            sudo.args(["--non-interactive", "apt-get"]);
            sudo
        };
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    let install = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    Ok(log.run(&mut as_root(&["update"]))? && log.run(&mut as_root(&install))?)
}
