//! Fleets from files and into files, and settings of a level, without a gateway.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::program::{run, stderr, stdout};

/// An installation with ACME, ACME_EU and its SHOP_1, and ACME_US, which represents a store.
fn installed(dir: &Path) -> String {
    let data = dir.join("data").display().to_string();
    for (merchant, store) in [("ACME_EU", Some("SHOP_1")), ("ACME_US", None)] {
        let mut args = vec!["init", "--data-dir", &data, "--company", "ACME", "--merchant-account", merchant];
        args.extend(store.iter().flat_map(|store| ["--store", store]));
        let made = run(&args);
        assert!(made.status.success(), "{}", stderr(&made));
    }
    data
}

fn fleet(data: &str, args: &[&str]) -> Output {
    run(&[&["fleet"], args, &["--company", "ACME", "--data-dir", data]].concat())
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    stdout(output)
}

const GOOD: &str = "\
terminal,merchantAccount,store,inventory,country,displayLabel
V400m-100000001,,,,NL,
V400m-100000002,ACME_EU,,true,,
V400m-100000003,ACME_EU,SHOP_1,,NL,\"Till 3, left\"
V400m-100000004,ACME_US,,false,US,
";

#[test]
fn what_is_imported_is_listed_and_exported_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let data = installed(dir.path());
    let file = dir.path().join("fleet.csv").display().to_string();
    fs::write(&file, GOOD).unwrap();
    let told = succeeded(&fleet(&data, &["import", &file, "--dry-run"]));
    assert!(told.starts_with("4 terminals can be imported"), "{told}");
    assert_eq!(succeeded(&fleet(&data, &["list"])), "");
    assert_eq!(succeeded(&fleet(&data, &["import", &file])), "4 terminals imported\n");
    let listed = succeeded(&fleet(&data, &["list"]));
    let places: Vec<_> = listed.lines().map(|line| line.split_once(' ').unwrap().1.trim()).collect();
    let expected =
        ["company inventory", "inventory of ACME_EU", "store SHOP_1 of ACME_EU", "in store at ACME_US"];
    assert_eq!(places, expected);
    let of_store = succeeded(&fleet(&data, &["list", "--merchant-account", "ACME_EU", "--store", "SHOP_1"]));
    assert!(of_store.starts_with("V400m-100000003 ") && of_store.lines().count() == 1, "{of_store}");

    // Another installation takes the export, in either form, and exports the same.
    for form in ["csv", "jsonl"] {
        let exported = succeeded(&fleet(&data, &["export", "--format", form]));
        assert!(exported.contains("Till 3, left"), "{exported}");
        let other = tempfile::tempdir().unwrap();
        let copied = installed(other.path());
        let file = other.path().join(format!("fleet.{form}")).display().to_string();
        fs::write(&file, &exported).unwrap();
        assert_eq!(succeeded(&fleet(&copied, &["import", &file])), "4 terminals imported\n");
        assert_eq!(succeeded(&fleet(&copied, &["export", "--format", form])), exported);
    }
}

#[test]
fn each_bad_line_is_told_by_its_number_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let data = installed(dir.path());
    let csv = dir.path().join("fleet.csv").display().to_string();
    let lines = [
        "V400m-200000001,,,",
        "V400m-200000002,NO_SUCH,,true",
        "V400m-200000003,ACME_EU,,false",
        "V400m-200000001,,,",
        "V400m-200000004,ACME_EU,SHOP_1,maybe",
        "V400m-200000005,ACME_EU,,",
        "V400m-200000006,ACME_EU",
        ",,,",
    ];
    fs::write(&csv, format!("terminal,merchantAccount,store,inventory\n{}\n", lines.join("\n"))).unwrap();
    let told = fleet(&data, &["import", &csv]);
    assert!(!told.status.success());
    let told = stderr(&told);
    let bad: Vec<_> = told.lines().filter(|line| line.starts_with("line ")).collect();
    let wrong = ["3: ", "4: ", "5: ", "6: ", "7: ", "8: ", "9: "];
    assert_eq!(bad.len(), wrong.len(), "{told}");
    for (line, number) in bad.iter().zip(wrong) {
        assert!(line.starts_with(&format!("line {number}")), "{told}");
    }
    assert!(told.contains("7 of 8 lines can't be imported. Nothing was written"), "{told}");
    let jsonl = dir.path().join("fleet.jsonl").display().to_string();
    fs::write(&jsonl, "{\"terminal\":\"V400m-200000001\"}\n\n{\"terminal\":\"V400m-2\",\"shop\":\"A\"}\n{\n")
        .unwrap();
    let told = stderr(&fleet(&data, &["import", &jsonl]));
    assert!(told.contains("line 3: unknown field `shop`") && told.contains("line 4: "), "{told}");
    assert_eq!(succeeded(&fleet(&data, &["list"])), "");
}

#[test]
fn settings_are_shown_and_set_at_each_level() {
    let dir = tempfile::tempdir().unwrap();
    let data = installed(dir.path());
    let file = dir.path().join("fleet.csv").display().to_string();
    fs::write(&file, GOOD).unwrap();
    succeeded(&fleet(&data, &["import", &file]));
    let settings = |args: &[&str]| run(&[&["settings"], args, &["--data-dir", &data]].concat());
    let store = ["--merchant-account", "ACME_EU", "--store", "SHOP_1"];
    let terminal = ["--terminal", "V400m-100000003"];
    let of = |level: &[&str]| {
        let told = succeeded(&settings(&[&["show"], level].concat()));
        told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(of(&["--company", "ACME"])[1], "terminalApiEnabled on set here");
    assert_eq!(of(&terminal)[1], "terminalApiEnabled on inherited");
    succeeded(&settings(&[&["set"], &store[..], &["--terminal-api", "off"]].concat()));
    assert_eq!(of(&terminal)[1], "terminalApiEnabled off inherited");
    succeeded(&settings(&[&["set"], &terminal[..], &["--terminal-api", "on"]].concat()));
    assert_eq!(of(&terminal)[1], "terminalApiEnabled on set here");
    succeeded(&settings(&[&["set"], &terminal[..], &["--terminal-api", "inherit"]].concat()));
    assert_eq!(of(&terminal)[1], "terminalApiEnabled off inherited");
    assert_eq!(of(&terminal)[2], "displayLabel Till 3, left set here");
    for wrong in [&["show"][..], &["set", "--company", "ACME"], &["show", "--company", "NO_SUCH"]] {
        assert!(!settings(wrong).status.success(), "{wrong:?}");
    }
}
