//! The official Python library against a running `tillgate demo`, over HTTPS, with the demo's CA trusted and nothing switched off.
//!
//! The tests are in `clients/python/`. Its packages are below `target/`, so that nothing is installed into the checkout or
//! the machine.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::demo::Demo;
use crate::report::Verdict;
use crate::tally::Tally;
use crate::workspace::{Log, Workspace};

/// How long the tests may take: ten times what they do.
const TESTS_MAX: Duration = Duration::from_secs(300);

/// Builds the program, installs what the tests need, starts a demo, and runs the tests against it.
pub(crate) fn run(workspace: &Workspace, log: &Log) -> Result<Verdict> {
    if !log.run(&mut workspace.cargo(["build", "--bin", "tillgate"]))? {
        return Ok(Verdict::new(false, None));
    }
    let source = workspace.path("clients/python");
    let folder = workspace.folder("python")?;
    install(workspace, log, &source.join("requirements.txt"), &folder)?;
    let demo = Demo::start(workspace, "python-demo", folder.join("demo.json"))?;
    let mut tests = workspace.command(folder.join("packages/bin/python"));
    tests.args(["-m", "unittest", "discover", "--verbose", "--start-directory", "."]).current_dir(&source);
    tests.env("TILLGATE_READY_FILE", demo.ready_file());
    tests.env("PYTHONDONTWRITEBYTECODE", "1");
    let passed = log.run_within(TESTS_MAX, &mut tests)?;
    let tally = Tally::of_unittest(&log.text()?);
    ensure!(tally.is_some() || !passed, "the tests passed, but their summary cannot be read");
    demo.stop()?;
    Ok(Verdict::new(passed, tally))
}

/// Lets pip install exactly what the requirements say, unless that has been done.
fn install(workspace: &Workspace, log: &Log, requirements: &Path, folder: &Path) -> Result<()> {
    let packages = folder.join("packages");
    // Written when pip has finished, so that an installation which was cut short is not taken for a whole one.
    let installed = packages.join("installed-requirements.txt");
    let wanted = fs::read(requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    if fs::read(&installed).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    let mut venv = workspace.command("python3");
    ensure!(
        log.run(venv.args(["-m", "venv", "--clear"]).arg(&packages))?,
        "Python could not make a folder for packages"
    );
    let mut pip = workspace.command(packages.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--require-hashes",
        "--requirement",
    ]);
    ensure!(
        log.run(pip.arg(requirements))?,
        "pip could not install the packages of {}",
        requirements.display()
    );
    fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))
}
