//! How much of `relay` the simulator alone runs through: lines and regions, and what it misses.
//!
//! A region is the smallest piece of code that is counted by itself: an arm, a `?`, one side of `&&`. A line counts as
//! covered as soon as one of its regions is. A `}` that is missed stands for the `else` that was not written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::simulate::told_its_commit;
use crate::tool::{self, LlvmTool};
use crate::workspace::{Log, Workspace};

/// The code that is looked at.
const SOURCES: &str = "crates/relay/src";

/// Builds the simulator with counters in it, runs these seeds, prints a table and writes `target/coverage/missed.txt`. An
/// error if a seed was wrong about money: that run broke off, so it has no figures.
pub(crate) fn run(workspace: &Workspace, seeds: &str) -> Result<()> {
    let log = workspace.log("coverage")?;
    let folder = workspace.folder("coverage")?;
    let mut profdata = tool::llvm(LlvmTool::Profdata, workspace, &log)?;
    let mut cov = tool::llvm(LlvmTool::Cov, workspace, &log)?;

    // Into a folder of its own, as the flag would have every other build begin again.
    let build_folder = folder.join("build");
    let mut build = workspace.cargo(["build", "--package", "simulator", "--target-dir"]);
    build.arg(&build_folder).env("RUSTFLAGS", "-C instrument-coverage");
    // Build scripts count too; nobody reads it, but without a name it would lie about in the checkout.
    build.env("LLVM_PROFILE_FILE", folder.join("build.profraw"));
    succeeds(log.run(&mut build)?, &log)?;

    let simulator = build_folder.join("debug/simulator");
    let raw = folder.join("simulator.profraw");
    let mut simulate = workspace.command(&simulator);
    simulate.args(["run", "--seeds", seeds]).env("LLVM_PROFILE_FILE", &raw);
    // What an earlier run has left would be taken for this one's.
    if raw.exists() {
        fs::remove_file(&raw).with_context(|| format!("cannot remove {}", raw.display()))?;
    }
    succeeds(log.run(told_its_commit(workspace, &mut simulate))?, &log)?;

    let merged = folder.join("simulator.profdata");
    succeeds(log.run(profdata.args(["merge", "--sparse", "--output"]).args([&merged, &raw]))?, &log)?;
    cov.args(["export", "--skip-functions", "--instr-profile"]).arg(&merged).arg(&simulator);
    cov.arg("--sources").arg(workspace.path(SOURCES));
    let export = cov.output().context("cannot start llvm-cov")?;
    ensure!(export.status.success(), "llvm-cov: {}", String::from_utf8_lossy(&export.stderr));

    let mut files = read_export(&export.stdout, &workspace.path(SOURCES))?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let mut missed = String::new();
    for file in &files {
        let path = format!("{SOURCES}/{}", file.name);
        let source =
            fs::read_to_string(workspace.path(&path)).with_context(|| format!("cannot read {path}"))?;
        for (lines, text) in file.missed(&source) {
            writeln!(missed, "{path}:{lines}: {text}")?;
        }
    }
    let list = folder.join("missed.txt");
    fs::write(&list, missed).with_context(|| format!("cannot write {}", list.display()))?;
    print!("{}", table(&files));
    println!("seeds {seeds}; what is missed is in {}", list.display());
    Ok(())
}

fn succeeds(is_success: bool, log: &Log) -> Result<()> {
    ensure!(is_success, "that failed: {}", log.path().display());
    Ok(())
}

/// What is known of one source file.
#[derive(Debug)]
struct File {
    /// Within [`SOURCES`].
    name: String,
    segments: Vec<Segment>,
    regions: Share,
}

/// From here to the next segment, all code ran equally often, in llvm-cov's order: line and column, both from 1; how often;
/// whether it is code at all; whether a region begins here; whether it only fills a gap, which Rust's never do.
type Segment = (usize, usize, u64, bool, bool, bool);

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    covered: u64,
    count: u64,
}

/// Reads what `llvm-cov export` prints.
fn read_export(json: &[u8], sources: &Path) -> Result<Vec<File>> {
    let json: Value = serde_json::from_slice(json).context("llvm-cov printed no JSON")?;
    let files = json["data"][0]["files"].as_array().context("llvm-cov named no files")?;
    ensure!(!files.is_empty(), "no code of {} is in the program", sources.display());
    let file = |file: &Value| {
        let path = Path::new(file["filename"].as_str().context("a file without a name")?);
        let regions = &file["summary"]["regions"];
        anyhow::Ok(File {
            name: path.strip_prefix(sources).unwrap_or(path).display().to_string(),
            segments: serde_json::from_value(file["segments"].clone()).context("unknown segments")?,
            regions: Share {
                covered: regions["covered"].as_u64().context("regions without a number")?,
                count: regions["count"].as_u64().context("regions without a number")?,
            },
        })
    };
    files.iter().map(file).collect()
}

impl File {
    /// Each line that has code, and whether it ran. Not llvm-cov's own sum, which counts the lines of a closure twice.
    fn lines(&self) -> BTreeMap<usize, bool> {
        let mut lines = BTreeMap::new();
        for (at, &(line, _, count, is_code, begins, _)) in self.segments.iter().enumerate() {
            if !is_code {
                continue;
            }
            let end = self.segments.get(at + 1).map_or(line, |next| next.0);
            for line in if begins { line } else { line + 1 }..=end {
                *lines.entry(line).or_default() |= count > 0;
            }
        }
        lines
    }

    fn line_share(&self) -> Share {
        let lines = self.lines();
        let covered = lines.values().filter(|ran| **ran).count();
        Share { covered: covered as u64, count: lines.len() as u64 }
    }

    /// In the order of the file: lines that did not run (`12-15`) with the first of them, and lines that ran in part (`7`)
    /// with the parts that did not.
    fn missed(&self, source: &str) -> Vec<(String, String)> {
        let text: Vec<&str> = source.lines().collect();
        let text = |line: usize| text.get(line.wrapping_sub(1)).copied().unwrap_or_default();
        let lines = self.lines();
        let mut missed = Vec::new();
        let mut rest = lines.iter().peekable();
        while let Some((&first, &ran)) = rest.next() {
            if ran {
                let parts = self.missed_parts(first, text(first));
                if !parts.is_empty() {
                    missed.push((first.to_string(), parts.join(" … ")));
                }
                continue;
            }
            let mut last = first;
            while let Some((&line, _)) = rest.next_if(|(_, ran)| !**ran) {
                last = line;
            }
            let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
            missed.push((range, text(first).trim().to_owned()));
        }
        missed
    }

    /// The pieces of this line that did not run.
    fn missed_parts<'a>(&self, line: usize, text: &'a str) -> Vec<&'a str> {
        let pieces = self.segments.windows(2).filter_map(|pair| match *pair {
            [(begin, from, 0, true, true, _), (end, to, ..)] if begin == line => {
                let to = if end == line { to - 1 } else { text.len() };
                Some(text.get(from - 1..to).unwrap_or(text))
            }
            _ => None,
        });
        pieces.collect()
    }
}

/// In Markdown.
fn table(files: &[File]) -> String {
    let mut lines = Share::default();
    let mut regions = Share::default();
    let mut table = String::from("| file | lines | regions |\n|---|---:|---:|\n");
    for file in files {
        lines = lines.and(file.line_share());
        regions = regions.and(file.regions);
        table.push_str(&row(&format!("`{}`", file.name), file.line_share(), file.regions));
    }
    table + &row("all", lines, regions)
}

fn row(name: &str, lines: Share, regions: Share) -> String {
    format!("| {name} | {} | {} |\n", lines.in_words(), regions.in_words())
}

impl Share {
    fn and(self, other: Share) -> Share {
        Share { covered: self.covered + other.covered, count: self.count + other.count }
    }

    /// Percent to one place, rounded down, so that only all is 100.
    fn in_words(self) -> String {
        let permille = (self.covered * 1000).checked_div(self.count).unwrap_or(1000);
        format!("{} of {}, {}.{} %", self.covered, self.count, permille / 10, permille % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"pub fn sign(x: Option<i32>) -> Option<&'static str> {
    let x = x?;
    Some(if x < 0 { "minus" } else { "plus" })
}

pub fn never(a: u8) -> u8 {
    a + 1
}
"#;

    /// What llvm-cov 19 says of that source, compiled by rustc 1.95, after `sign(Some(3))`; without what is not read.
    const EXPORT: &str = r#"{"data":[{"files":[{"filename":"/src/sign.rs","segments":[
        [1,1,1,true,true,false],[1,52,0,false,false,false],[2,9,1,true,true,false],[2,10,0,false,false,false],
        [2,13,1,true,true,false],[2,14,0,true,true,false],[2,15,0,false,false,false],[3,13,1,true,true,false],
        [3,18,0,false,false,false],[3,21,0,true,true,false],[3,28,0,false,false,false],[3,38,1,true,true,false],
        [3,44,0,false,false,false],[4,1,1,true,true,false],[4,2,0,false,false,false],[6,1,0,true,true,false],
        [6,26,0,false,false,false],[7,5,0,true,true,false],[7,10,0,false,false,false],[8,1,0,true,true,false],
        [8,2,0,false,false,false]],"summary":{"regions":{"count":11,"covered":6}}}]}]}"#;

    fn sign() -> File {
        read_export(EXPORT.as_bytes(), Path::new("/src")).unwrap().pop().unwrap()
    }

    #[test]
    fn a_line_counts_once_and_as_soon_as_a_part_of_it_ran() {
        assert_eq!(sign().line_share(), Share { covered: 4, count: 7 });

        // A closure over lines 2 to 4 of a function that goes on behind it.
        let segments = vec![
            (1, 1, 1, true, true, false),
            (2, 5, 0, true, true, false),
            (4, 6, 1, true, false, false),
            (5, 2, 0, false, false, false),
        ];
        let file = File { name: String::new(), segments, regions: Share::default() };
        let ran = [(1, true), (2, true), (3, false), (4, false), (5, true)];
        assert_eq!(file.lines(), BTreeMap::from(ran));
    }

    #[test]
    fn what_is_missed_is_named_by_line_or_by_part_of_a_line() {
        let missed = sign().missed(SOURCE);
        let missed: Vec<_> = missed.iter().map(|(lines, text)| (lines.as_str(), text.as_str())).collect();
        assert_eq!(missed, [("2", "?"), ("3", r#""minus""#), ("6-8", "pub fn never(a: u8) -> u8 {")]);
    }

    #[test]
    fn the_table_ends_with_the_sum_and_rounds_down() {
        let table = table(&[sign(), sign()]);
        assert!(table.contains("| `sign.rs` | 4 of 7, 57.1 % | 6 of 11, 54.5 % |\n"), "{table}");
        assert!(table.ends_with("| all | 8 of 14, 57.1 % | 12 of 22, 54.5 % |\n"), "{table}");
        assert_eq!(Share { covered: 9999, count: 10_000 }.in_words(), "9999 of 10000, 99.9 %");
    }

    #[test]
    fn a_program_without_this_code_is_an_error() {
        assert!(read_export(br#"{"data":[{"files":[]}]}"#, Path::new("/src")).is_err());
        assert!(read_export(b"{}", Path::new("/src")).is_err());
    }
}
