//! From nothing to a gateway that takes payments: `init`, `serve`, `board`, `terminal`, `key`.

use std::path::Path;
use std::process::Output;

use crate::program::{Running, run, stderr, stdout, tillgate};

fn init(dir: &str) -> Output {
    run(&[
        "init",
        "--data-dir",
        dir,
        "--company",
        "ACME",
        "--merchant-account",
        "ACME_EU",
        "--store",
        "SHOP_1",
        "--terminal",
        "V400m-100200300",
    ])
}

/// What stands behind this word at the beginning of a line.
fn after(text: &str, word: &str) -> String {
    let line =
        text.lines().find(|line| line.starts_with(word)).unwrap_or_else(|| panic!("no {word:?} in\n{text}"));
    line[word.len()..].trim().to_owned()
}

/// A gateway on a free port. Its log says which.
fn serve(dir: &Path) -> (Running, String) {
    let log = dir.join("log");
    let mut command = tillgate();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.join("data"));
    let mut running = Running::start_logging(&mut command, &log);
    let url = running.wait_for("the address in the log", || {
        let log = std::fs::read_to_string(&log).ok()?;
        let line = log.lines().find(|line| line.contains("\"started\""))?;
        let entry: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(format!("http://{}", entry["http"].as_str()?))
    });
    (running, url)
}

#[test]
fn an_installation_takes_its_first_payment() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let made = init(&data);
    assert!(made.status.success(), "{}", stderr(&made));
    let key = after(&stdout(&made), "API key");
    let (serving, url) = serve(dir.path());

    // Beside the running gateway.
    let boarded = run(&["board", "V400m-100200300", "--url", &url, "--data-dir", &data]);
    assert!(boarded.status.success(), "{}", stderr(&boarded));
    let line = stdout(&boarded).lines().last().unwrap().trim().to_owned();
    let args: Vec<&str> = line[line.find("terminal --url").unwrap()..].split(' ').collect();
    let mut command = tillgate();
    command.args(args).args(["--cardholder-seconds", "0", "--data-dir"]).arg(dir.path().join("journal"));
    let mut terminal = Running::start(&mut command);
    let ask = |args: &[&str]| tillgate().args(args).args(["--url", &url, "--key", &key]).output().unwrap();
    terminal.wait_for("the terminal in the list", || {
        let list = ask(&["terminals", "--once", "--merchant-account", "ACME_EU", "--store", "SHOP_1"]);
        stdout(&list).contains("V400m-100200300").then_some(())
    });
    let paid = ask(&["pay", "--poi-id", "V400m-100200300", "--amount", "10.99"]);
    assert!(paid.status.success(), "{}", stderr(&paid));

    serving.signal("TERM");
    assert_eq!(serving.end().status.code(), Some(0));
}

#[test]
fn init_may_be_run_again_and_makes_no_second_key() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    assert!(init(&data).status.success());
    let again = init(&data);
    assert!(again.status.success(), "{}", stderr(&again));
    assert!(stdout(&again).contains("company account ACME is there already"), "{}", stdout(&again));
    assert!(!stdout(&again).contains("API key"), "{}", stdout(&again));
}

#[test]
fn keys_are_made_listed_and_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    assert!(init(&data).status.success());
    let key = |args: &[&str]| tillgate().arg("key").args(args).args(["--data-dir", &data]).output().unwrap();
    let made = key(&["new", "--company", "ACME", "--merchant-account", "ACME_EU", "--description", "till 4"]);
    assert!(made.status.success(), "{}", stderr(&made));
    let (secret, id) = (after(&stdout(&made), "API key"), after(&stdout(&made), "ID"));
    assert_eq!(after(&stdout(&made), "User"), format!("{id}@Company.ACME"));

    let list = stdout(&key(&["list", "--company", "ACME"]));
    let entry = &list[list.find(&id).unwrap()..];
    assert!(entry.contains("good\n  till 4\n  for ACME_EU\n  Terminal API role\n"), "{list}");
    assert!(!list.contains(&secret));

    assert!(key(&["revoke", &id]).status.success());
    assert!(stdout(&key(&["list", "--company", "ACME"])).contains("revoked"));
    let again = key(&["revoke", &id]);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("no API credential"), "{}", stderr(&again));
}

#[test]
fn a_company_that_is_not_there_is_named_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    assert!(init(&data).status.success());
    let output = run(&["key", "new", "--company", "NOBODY", "--data-dir", &data]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("NOBODY") && text.contains("tillgate init"), "{text}");
}
