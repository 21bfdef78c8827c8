//! What goes wrong says what it is and what to do.

use crate::program::{Demo, run, stderr, tillgate};

fn fails(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    stderr(&output)
}

#[test]
fn a_bad_line_of_the_configuration_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tillgate.toml");
    std::fs::write(&file, "# a comment\nlisten = \"localhost\"\n").unwrap();
    let text = fails(&["serve", "--config", file.to_str().unwrap()]);
    let expected = format!("error: {}, line 2: expected an address and a port", file.display());
    assert!(text.starts_with(&expected), "{text}");
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let text = fails(&["serve", "--config", "/nowhere/tillgate.toml"]);
    assert!(text.starts_with("error: cannot read the configuration /nowhere/tillgate.toml: "), "{text}");
}

#[test]
fn plain_http_for_other_machines_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let text = fails(&["serve", "--listen", "0.0.0.0:0", "--data-dir", dir.path().to_str().unwrap()]);
    assert!(text.contains("plain HTTP") && text.contains("behind_proxy"), "{text}");
}

#[test]
fn half_of_https_is_refused() {
    let text = fails(&["serve", "--tls-cert", "cert.pem"]);
    assert!(text.contains("missing: --tls-listen, --tls-key"), "{text}");
}

#[test]
fn a_data_directory_that_can_not_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let path = file.join("data");
    let text = fails(&["demo", "--port", "0", "--data-dir", path.to_str().unwrap()]);
    assert!(text.starts_with(&format!("error: cannot make the data directory {}", path.display())), "{text}");
    assert!(text.contains("--data-dir"), "{text}");
}

#[test]
fn a_database_of_a_newer_release_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let made = run(&["init", "--data-dir", path, "--company", "ACME", "--merchant-account", "ACME_EU"]);
    assert!(made.status.success(), "{}", stderr(&made));
    let database = rusqlite::Connection::open(dir.path().join("tillgate.db")).unwrap();
    database.pragma_update(None, "user_version", 1_000_000).unwrap();
    drop(database);
    let text = fails(&["serve", "--listen", "127.0.0.1:0", "--data-dir", path]);
    assert!(text.contains("version 1000000") && text.contains("Start the release that wrote it"), "{text}");
}

#[test]
fn a_wrong_key_is_told_apart_from_a_gateway_that_is_not_there() {
    let demo = Demo::start();
    let wrong = demo.ask(&["pay", "--amount", "10.99", "--key", "tg_key_of_nobody"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(stderr(&wrong).contains("does not know this API key"), "{}", stderr(&wrong));

    let nobody = demo.ask(&["pay", "--amount", "10.99", "--url", "http://127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(1));
    let text = stderr(&nobody);
    assert!(
        text.contains("nothing answers at http://127.0.0.1:1") && text.contains("tillgate demo"),
        "{text}"
    );
    assert!(!text.contains("waiting"), "{text}");
}

#[test]
fn without_a_gateway_the_ways_to_name_one_are_listed() {
    let text = fails(&["pay", "--amount", "10.99"]);
    assert!(
        text.contains("--url") && text.contains("TILLGATE_URL") && text.contains("--ready-file"),
        "{text}"
    );
    let text = fails(&["pay", "--amount", "10.99", "--ready-file", "/nowhere/ready.json"]);
    assert!(text.contains("/nowhere/ready.json") && text.contains("is the demo running"), "{text}");
}

#[test]
fn a_terminal_without_a_code_is_told_where_to_get_one() {
    let dir = tempfile::tempdir().unwrap();
    let text = fails(&[
        "terminal",
        "--url",
        "http://127.0.0.1:1",
        "--poi-id",
        "V400m-1",
        "--data-dir",
        dir.path().join("journal").to_str().unwrap(),
    ]);
    assert!(text.contains("tillgate board V400m-1"), "{text}");
}

#[test]
fn an_unknown_terminal_gets_no_code() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let made = run(&["init", "--data-dir", path, "--company", "ACME", "--merchant-account", "ACME_EU"]);
    assert!(made.status.success(), "{}", stderr(&made));
    let text = fails(&["board", "V400m-1", "--data-dir", path]);
    assert!(text.contains("there is no terminal V400m-1"), "{text}");
}

#[test]
fn an_installation_that_is_not_there_is_not_made_by_asking_for_something_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let path = data.to_str().unwrap();
    for args in [&["board", "V400m-1"][..], &["key", "list", "--company", "ACME"]] {
        let text = fails(&[args, &["--data-dir", path]].concat());
        assert!(text.contains(path) && text.contains("--data-dir") && text.contains("--config"), "{text}");
        assert!(!data.exists());
    }
}

#[test]
fn only_what_is_missing_is_asked_for() {
    let text = fails(&["pay", "--amount", "10.99", "--url", "http://127.0.0.1:1"]);
    assert!(text.contains("--key") && !text.contains("Give --url"), "{text}");
    let text = fails(&["pay", "--amount", "10.99", "--key", "k", "--url", "127.0.0.1:1"]);
    assert!(text.contains("try http://127.0.0.1:1"), "{text}");
}

#[test]
fn https_at_a_plain_port_is_told_as_that() {
    let demo = Demo::start();
    let url = demo.ready["baseUrl"].as_str().unwrap();
    let output = demo.ask(&["pay", "--amount", "10.99", "--url", &url.replace("http:", "https:")]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("speaks plain HTTP") && text.contains(&format!("try {url}\n")), "{text}");
}

#[test]
fn version_and_help_are_there() {
    let version = tillgate().arg("--version").output().unwrap();
    assert_eq!(version.stdout, format!("tillgate {}\n", env!("CARGO_PKG_VERSION")).into_bytes());
    for command in ["demo", "serve", "init", "key", "board", "terminal", "terminals", "pay", "diagnose"] {
        assert!(run(&[command, "--help"]).status.success(), "{command}");
    }
}

#[test]
fn a_second_gateway_on_the_same_data_does_not_start() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let _demo = Demo::start_in(tempfile::tempdir().unwrap(), &["--data-dir", path]);
    let text = fails(&["serve", "--listen", "127.0.0.1:0", "--data-dir", path]);
    assert!(text.starts_with(&format!("error: another gateway runs on {path}: stop it")), "{text}");
}
