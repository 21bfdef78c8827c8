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
    let (running, started) = serve_with(dir, &[]);
    (running, format!("http://{}", started["http"].as_str().unwrap()))
}

/// The same with these arguments, and the line of its log that says where it listens.
fn serve_with(dir: &Path, args: &[&str]) -> (Running, serde_json::Value) {
    let log = dir.join("log");
    let mut command = tillgate();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.join("data")).args(args);
    let mut running = Running::start_logging(&mut command, &log);
    let started = running.wait_for("the address in the log", || {
        let log = std::fs::read_to_string(&log).ok()?;
        let line = log.lines().find(|line| line.contains("\"started\""))?;
        serde_json::from_str(line).ok()
    });
    (running, started)
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
fn a_terminal_that_is_elsewhere_stays_there_and_one_without_its_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    let first = init(&data);
    assert!(first.status.success() && stdout(&first).contains("Cloud Device API role"), "{}", stdout(&first));
    let place = |more: &[&str]| {
        let args = ["init", "--data-dir", &data, "--company", "ACME", "--merchant-account", "ACME_EU"];
        tillgate().args(args).args(more).output().unwrap()
    };
    let moved = place(&["--store", "SHOP_2", "--terminal", "V400m-100200300"]);
    let text = stdout(&moved);
    let told = "terminal V400m-100200300 is somewhere else already, and was not moved: store SHOP_1 of ACME_EU, company account ACME";
    assert!(moved.status.success() && text.contains(told), "{text}");

    let homeless = place(&["--terminal", "V400m-100200399"]);
    assert_eq!(homeless.status.code(), Some(1));
    let text = stderr(&homeless);
    assert!(text.contains("V400m-100200399 was not added") && text.contains("--store NAME"), "{text}");
}

#[test]
fn a_certificate_that_is_refused_is_told_apart_from_a_gateway_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let made = init(&dir.path().join("data").display().to_string());
    assert!(made.status.success(), "{}", stderr(&made));
    let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let signer = rcgen::KeyPair::generate().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, params.self_signed(&signer).unwrap().pem()).unwrap();
    std::fs::write(&key, signer.serialize_pem()).unwrap();
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let tls = ["--tls-listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key];
    let (_serving, started) = serve_with(dir.path(), &tls);
    let url = format!("https://{}", started["https"].as_str().unwrap());
    let pay =
        ["pay", "--poi-id", "V400m-1", "--amount", "10.99", "--url", &url, "--key", "k", "--ca-file", cert];
    let output = run(&pay);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("was refused") && text.contains("that of a CA"), "{text}");
    assert!(!text.contains("nothing answers"), "{text}");
}

#[test]
fn the_roles_of_a_key_are_listed_in_its_help() {
    let help = stdout(&run(&["key", "new", "--help"]));
    assert!(help.contains("cloud-device-api") && help.contains("terminal-actions-write"), "{help}");
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
fn keys_of_the_actions_api_have_groups_and_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").display().to_string();
    assert!(init(&data).status.success());
    let key = |args: &[&str]| tillgate().arg("key").args(args).args(["--data-dir", &data]).output().unwrap();
    let new = |args: &[&str]| key(&[&["new", "--company", "ACME"], args].concat());
    let desktop = new(&["--role", "actions-desktop", "--group", "SHOP_1"]);
    assert!(desktop.status.success(), "{}", stderr(&desktop));
    let secret = after(&stdout(&desktop), "Secret");
    assert!(secret.starts_with("tg_secret_"), "{secret}");
    let device = ["--device-id", "TERM-001", "--metadata", r#"{"lane":"4"}"#];
    let terminal =
        [&["--role", "actions-terminal", "--group", "SHOP_1", "--poi-id", "ACT1-1"], &device[..]].concat();
    let made = new(&terminal);
    assert!(made.status.success() && !stdout(&made).contains("Secret"), "{}", stderr(&made));

    let list = stdout(&key(&["list", "--company", "ACME"]));
    assert!(list.contains("  Actions desktop role\n  desktop of SHOP_1\n"), "{list}");
    assert!(
        list.contains("  Actions terminal role\n  terminal ACT1-1, device TERM-001 of SHOP_1\n"),
        "{list}"
    );
    assert!(!list.contains(&secret));

    let taken = new(&terminal);
    assert_eq!(taken.status.code(), Some(1));
    assert!(stderr(&taken).contains("ACT1-1 already exists"), "{}", stderr(&taken));
    for (args, text) in [
        (&["--role", "actions-desktop"][..], "has groups"),
        (&["--role", "actions-terminal", "--group", "SHOP_1"], "a POIID and a device ID"),
        (&["--role", "actions-terminal", "--poi-id", "ACT1-2", "--device-id", "T"], "with one --group"),
        (&["--role", "actions-terminal", "--group", "SHOP_1", "--poi-id", "ACT1-2"], "--device-id"),
        (&["--group", "SHOP_1"], "role of an Actions desktop"),
    ] {
        let refused = new(args);
        assert!(
            !refused.status.success() && stderr(&refused).contains(text),
            "{args:?}: {}",
            stderr(&refused)
        );
    }
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
