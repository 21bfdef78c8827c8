//! Programs in Node against a running `tillgate demo`: the official library, over HTTPS, with the demo's CA trusted and
//! nothing switched off; and the example of a POS on the Actions API, with its page in Chromium.
//!
//! The tests are in `clients/node/` and `examples/actions-pos/`. They run from copies below `target/`, beside the packages that
//! npm puts there, so that nothing is installed into the checkout itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::demo::Demo;
use crate::report::Verdict;
use crate::tally::Tally;
use crate::workspace::{Log, Workspace};

/// What npm reads; the packages are good for as long as the second one stays as it is.
const NPM_FILES: [&str; 3] = ["package.json", LOCK_FILE, ".npmrc"];
const LOCK_FILE: &str = "package-lock.json";

/// A folder of the checkout that npm installs and Node runs, and where below `target/` it is copied to.
#[derive(Clone, Copy)]
struct Package {
    source: &'static str,
    copy: &'static str,
}

const LIBRARY: Package = Package { source: "clients/node", copy: "node" };
const ACTIONS_POS: Package = Package { source: "examples/actions-pos", copy: "actions-pos" };

/// How long one of the two may take: ten times what it does.
const TESTS_MAX: Duration = Duration::from_secs(600);

/// Builds the program, installs what the tests need, starts a demo, and runs the tests against it.
pub(crate) fn run(workspace: &Workspace, log: &Log) -> Result<Verdict> {
    if !log.run(&mut workspace.cargo(["build", "--bin", "tillgate"]))? {
        return Ok(Verdict::new(false, None));
    }
    let folder = LIBRARY.install(workspace, log)?;
    let example_folder = ACTIONS_POS.install(workspace, log)?;
    let demo = Demo::start(workspace, "node-demo", folder.join("demo.json"))?;
    let mut library = workspace.command("node");
    library.arg("run.mjs").arg(demo.ready_file()).arg(workspace.path("docs/clients.md")).current_dir(&folder);
    let mut example = workspace.command("node");
    example.args(["--test", "--test-reporter=tap"]).env("TILLGATE_READY_FILE", demo.ready_file());
    let library = run_tests(log, &mut library)?;
    let example = run_tests(log, example.current_dir(&example_folder))?;
    demo.stop()?;
    let passed = library.0 && example.0;
    let tally = library.1.zip(example.1).map(|(library, example)| library + example);
    println!(
        "every call, its answer, and what the library made of it: {}",
        folder.join("calls.md").display()
    );
    Ok(Verdict::new(passed, tally))
}

/// Whether they passed, and what they have counted.
fn run_tests(log: &Log, tests: &mut Command) -> Result<(bool, Option<Tally>)> {
    let before = log.text()?.len();
    let passed = log.run_within(TESTS_MAX, tests)?;
    let tally = log.text()?.get(before..).and_then(Tally::of_tap);
    ensure!(tally.is_some() || !passed, "the tests passed, but their summary cannot be read");
    Ok((passed, tally))
}

impl Package {
    /// Copies it, and lets npm install exactly what the lock file says, unless that has been done. Its folder.
    fn install(self, workspace: &Workspace, log: &Log) -> Result<PathBuf> {
        let folder = workspace.folder(self.copy)?;
        install(workspace, log, &workspace.path(self.source), &folder)?;
        Ok(folder)
    }
}

fn install(workspace: &Workspace, log: &Log, source: &Path, folder: &Path) -> Result<()> {
    let mut packages = NPM_FILES.map(str::to_owned).to_vec();
    for entry in fs::read_dir(folder).with_context(|| cannot("read", folder))? {
        let path = entry?.path();
        if is_source(&path) {
            fs::remove_file(&path).with_context(|| cannot("remove", &path))?;
        }
    }
    for entry in fs::read_dir(source).with_context(|| cannot("read", source))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).filter(|_| is_source(&path));
        packages.extend(name.map(str::to_owned));
    }
    for name in packages {
        let from = source.join(name.as_str());
        fs::copy(&from, folder.join(name)).with_context(|| cannot("copy", &from))?;
    }
    // Written when npm has finished, so that an installation which was cut short is not taken for a whole one.
    let installed = folder.join("node_modules/installed-package-lock.json");
    let wanted = fs::read(folder.join(LOCK_FILE)).with_context(|| cannot("read", &folder.join(LOCK_FILE)))?;
    if fs::read(&installed).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    let mut npm = workspace.command("npm");
    ensure!(
        log.run(npm.args(["ci", "--no-progress"]).current_dir(folder))?,
        "npm could not install the packages of {}",
        source.display()
    );
    fs::write(&installed, wanted).with_context(|| cannot("write", &installed))
}

/// Whether it is a program or a page.
fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "mjs" || extension == "html")
}

fn cannot(what: &str, path: &Path) -> String {
    format!("cannot {what} {}", path.display())
}
