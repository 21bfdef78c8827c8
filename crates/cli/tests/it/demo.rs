//! `tillgate demo` from its start to its end, and the commands that talk to it.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use nexo::{EncryptionKey, ErrorCondition, Nonce, Passphrase, Request, Response, ResultCode};
use reqwest::{Certificate, Client};
use serde_json::{Value, json};

use crate::program::{Demo, Running, mode, run, stderr, stdout, tillgate};

#[test]
fn the_ready_file_is_complete_and_private() {
    let demo = Demo::start();
    assert_eq!(mode(&demo.ready_file()), 0o600);
    let ready = &demo.ready;
    assert!(ready["baseUrl"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{ready}");
    assert!(ready["tlsBaseUrl"].as_str().unwrap().starts_with("https://127.0.0.1:"), "{ready}");
    assert!(Path::new(ready["caFile"].as_str().unwrap()).is_absolute(), "{ready}");
    for key in [
        "terminalApi",
        "cloudDevice",
        "terminalManagement",
        "management",
        "actionsDesktop",
        "actionsTerminal",
        "otherMerchant",
        "otherCompany",
    ] {
        assert!(ready["apiKeys"][key].as_str().unwrap().starts_with("tg_key_"), "{ready}");
    }
    assert_eq!(ready["companyAccount"], "DEMO_COMPANY");
    assert_eq!(ready["merchantAccounts"].to_string(), r#"["DEMO_MERCHANT_EU","DEMO_MERCHANT_US"]"#);
    assert_eq!(ready["stores"].to_string(), r#"["STORE_AMS","STORE_PAR"]"#);
    let terminals = ready["terminals"].as_array().unwrap();
    let count = |holds: fn(&Value) -> bool| terminals.iter().filter(|terminal| holds(terminal)).count();
    let secret = ready["apiKeys"]["actionsDesktopSecret"].as_str().unwrap();
    assert!(secret.starts_with("tg_secret_"), "{ready}");
    assert_eq!(count(|t| t["boarded"] == true && t["kind"] == "payment-terminal"), 2);
    assert_eq!(count(|t| t["boarded"] == false && t["boardingCode"].is_string()), 1);
    assert_eq!(count(|t| t["platform"] == "android" && t["boarded"] == true), 1);
    assert_eq!(count(|t| t["boarded"] == true && t["merchantAccount"] == "DEMO_MERCHANT_US"), 0);
    assert!(terminals.iter().all(|t| t["merchantAccount"].is_string()), "{ready}");
    let of_actions = |device: &str| terminals.iter().find(|t| t["deviceId"] == device).unwrap();
    for (device, poi, boarded) in
        [("TERM-001", "ACT1-000000001", true), ("TERM-002", "ACT1-000000002", false)]
    {
        let terminal = of_actions(device);
        assert_eq!((&terminal["kind"], &terminal["poiId"]), (&"actions-terminal".into(), &poi.into()));
        assert_eq!((&terminal["store"], &terminal["boarded"]), (&"STORE_AMS".into(), &boarded.into()));
    }
}

#[test]
fn all_boarded_terminals_are_connected_when_it_is_ready() {
    let demo = Demo::start();
    let list = stdout(&demo.ask(&["terminals", "--once"]));
    assert_eq!(list, "ACT1-000000001\nS1F2-000158215131748\nV400m-324688179\n");
}

/// A client that trusts the demo's CA and nothing else.
fn client(demo: &Demo) -> Client {
    let ca = std::fs::read(demo.ready["caFile"].as_str().unwrap()).unwrap();
    trusting(Some(Certificate::from_pem(&ca).unwrap()))
}

fn trusting(certificate: Option<Certificate>) -> Client {
    // Another test in this process may have done so.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().tls_certs_only(certificate).build().unwrap()
}

#[tokio::test]
async fn https_is_trusted_by_whoever_trusts_the_ca_file_and_by_nobody_else() {
    let demo = Demo::start();
    let by_number = demo.ready["tlsBaseUrl"].as_str().unwrap();
    let by_name = by_number.replace("127.0.0.1", "localhost");
    for url in [by_number, &by_name] {
        let answer = client(&demo).get(format!("{url}/healthz")).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{url}");
    }
    let refused = trusting(None).get(format!("{by_number}/healthz")).send().await.unwrap_err();
    assert!(format!("{refused:?}").contains("UnknownIssuer"), "{refused:?}");

    let tls = Path::new(demo.ready["caFile"].as_str().unwrap()).parent().unwrap();
    let mut names: Vec<_> = std::fs::read_dir(tls).unwrap().map(|entry| entry.unwrap()).collect();
    names.sort_by_key(std::fs::DirEntry::file_name);
    let modes: Vec<_> =
        names.iter().map(|e| (e.file_name().into_string().unwrap(), mode(&e.path()))).collect();
    // The CA's own key is nowhere.
    assert_eq!(modes, ["ca.pem", "cert.pem", "key.pem"].map(|name| (name.to_owned(), 0o600)));
}

#[test]
fn commands_over_https_trust_the_demo_of_the_ready_file() {
    let demo = Demo::start();
    let url = demo.ready["tlsBaseUrl"].as_str().unwrap();
    let paid = demo.ask(&["pay", "--amount", "10.99", "--url", url]);
    assert!(paid.status.success(), "{}", stderr(&paid));
}

#[tokio::test]
async fn keys_for_other_accounts_reach_none_of_the_connected_terminals() {
    let demo = Demo::start();
    let connected = async |key: &str, merchant: &str| {
        let url = format!("{}/connectedTerminals", demo.ready["tlsBaseUrl"].as_str().unwrap());
        let request =
            client(&demo).post(url).header("x-api-key", demo.ready["apiKeys"][key].as_str().unwrap());
        let answer = request.json(&json!({"merchantAccount": merchant})).send().await.unwrap();
        let status = answer.status().as_u16();
        let list = answer.json::<Value>().await.unwrap()["uniqueTerminalIds"].take();
        (status, list.as_array().map(Vec::len))
    };
    assert_eq!(connected("terminalApi", "DEMO_MERCHANT_EU").await, (200, Some(3)));
    assert_eq!(connected("terminalApi", "DEMO_MERCHANT_US").await, (200, Some(0)));
    assert_eq!(connected("otherMerchant", "DEMO_MERCHANT_EU").await, (403, None));
    assert_eq!(connected("otherMerchant", "DEMO_MERCHANT_US").await, (200, Some(0)));
    assert_eq!(connected("otherCompany", "DEMO_MERCHANT_EU").await, (403, None));
    assert_eq!(connected("otherCompany", "DEMO_MERCHANT_US").await, (403, None));
    assert_eq!(connected("management", "DEMO_MERCHANT_EU").await, (403, None));
    assert_eq!(connected("cloudDevice", "DEMO_MERCHANT_EU").await, (200, Some(3)));

    let devices = async |key: &str| {
        let path = "/v1/merchants/DEMO_MERCHANT_EU/connectedDevices";
        let request = client(&demo).get(format!("{}{path}", demo.ready["tlsBaseUrl"].as_str().unwrap()));
        let answer = request.header("x-api-key", demo.ready["apiKeys"][key].as_str().unwrap()).send().await;
        answer.unwrap().status().as_u16()
    };
    for (key, status) in
        [("cloudDevice", 200), ("otherMerchant", 403), ("otherCompany", 403), ("terminalApi", 403)]
    {
        assert_eq!(devices(key).await, status, "{key}");
    }
}

/// The key of an entry of the ready file.
fn shared_key(entry: &Value) -> EncryptionKey {
    let key = &entry["encryptionKey"];
    let passphrase = Passphrase::parse(key["passphrase"].as_str().unwrap()).unwrap();
    let version = key["version"].as_u64().unwrap().try_into().unwrap();
    EncryptionKey::derive(key["identifier"].as_str().unwrap(), version, &passphrase)
}

fn diagnosis(poi: &str, service: &str) -> Request {
    let header = json!({"ProtocolVersion": "3.0", "MessageClass": "Service", "MessageCategory": "Diagnosis",
        "MessageType": "Request", "ServiceID": service, "SaleID": "TILL-01", "POIID": poi});
    let message = json!({"SaleToPOIRequest": {"MessageHeader": header, "DiagnosisRequest": {}}});
    Request::parse(message.to_string().into()).unwrap()
}

async fn sync(demo: &Demo, message: Bytes) -> Response {
    let url = format!("{}/sync", demo.ready["tlsBaseUrl"].as_str().unwrap());
    let request =
        client(demo).post(url).header("x-api-key", demo.ready["apiKeys"]["terminalApi"].as_str().unwrap());
    let answer = request.header("content-type", "application/json").body(message).send().await.unwrap();
    Response::parse(answer.bytes().await.unwrap()).unwrap()
}

#[tokio::test]
async fn connected_terminals_read_what_is_encrypted_with_the_key_of_the_ready_file() {
    let demo = Demo::start();
    let terminals = demo.ready["terminals"].as_array().unwrap();
    assert!(
        terminals.iter().all(|t| {
            t["encryptionKey"].is_object() == (t["boarded"] == true && t["kind"] == "payment-terminal")
        }),
        "{terminals:?}"
    );
    let entry = &terminals[0];
    let (poi, key) = (entry["poiId"].as_str().unwrap(), shared_key(entry));
    let request = diagnosis(poi, "E1");
    let answer = sync(&demo, key.seal_request(&request, Nonce([7; 16]))).await;
    let answer = key.open_response(&answer).unwrap();
    assert_eq!(answer.outcome().unwrap().result, ResultCode::Success);

    let other = EncryptionKey::derive(
        key.identifier(),
        key.version() + 1,
        &Passphrase::parse("Correct.Horse1").unwrap(),
    );
    let answer = sync(&demo, other.seal_request(&diagnosis(poi, "E2"), Nonce([8; 16]))).await;
    assert_eq!(answer.outcome().unwrap().error_condition, Some(ErrorCondition::NOT_ALLOWED));
}

#[tokio::test]
async fn a_terminal_of_its_own_process_takes_its_key_from_a_file_or_the_environment() {
    let demo = Demo::start();
    let entry =
        demo.ready["terminals"].as_array().unwrap().iter().find(|t| t["boardingCode"].is_string()).unwrap();
    let (poi, code) = (entry["poiId"].as_str().unwrap(), entry["boardingCode"].as_str().unwrap());
    let terminal = || {
        let mut command = tillgate();
        command.args(["terminal", "--url", demo.ready["baseUrl"].as_str().unwrap(), "--poi-id", poi]);
        command
            .args(["--nexo-key-identifier", "till-key", "--data-dir"])
            .arg(demo.dir.path().join("journal"));
        command
    };
    let without = terminal().output().unwrap();
    assert!(stderr(&without).contains("--nexo-passphrase-file"), "{}", stderr(&without));
    let weak = terminal().env("TILLGATE_NEXO_PASSPHRASE", "hunter2").output().unwrap();
    assert!(stderr(&weak).contains("at least 12 characters"), "{}", stderr(&weak));

    let file = demo.dir.path().join("passphrase");
    std::fs::write(&file, "Correct.Horse1\n").unwrap();
    let mut command = terminal();
    command.args(["--boarding-code", code, "--nexo-key-version", "3", "--nexo-passphrase-file"]).arg(&file);
    let mut running = Running::start(&mut command);
    running.wait_for("the terminal in the list", || {
        stdout(&demo.ask(&["terminals", "--once"])).contains(poi).then_some(())
    });
    let key = EncryptionKey::derive("till-key", 3, &Passphrase::parse("Correct.Horse1").unwrap());
    let answer = sync(&demo, key.seal_request(&diagnosis(poi, "E1"), Nonce([7; 16]))).await;
    assert_eq!(key.open_response(&answer).unwrap().outcome().unwrap().result, ResultCode::Success);
}

#[test]
fn a_payment_is_taken_and_a_declined_one_says_why() {
    let demo = Demo::start();
    let paid = demo.ask(&["pay", "--amount", "10.99"]);
    assert!(paid.status.success(), "{}", stderr(&paid));
    assert!(
        stdout(&paid).starts_with("Charged 10.99 EUR\n  Terminal    V400m-324688179\n"),
        "{}",
        stdout(&paid)
    );

    let declined = demo.ask(&["pay", "--amount", "1.24", "--poi-id", "S1F2-000158215131748"]);
    assert_eq!(declined.status.code(), Some(3));
    assert!(stdout(&declined).starts_with("Not charged\n  Why         Refusal: "), "{}", stdout(&declined));

    let answer = demo.ask(&["pay", "--amount", "10.99", "--currency", "usd", "--json"]);
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    let response = &answer["SaleToPOIResponse"]["PaymentResponse"];
    assert_eq!(response["PaymentResult"]["AmountsResp"]["Currency"], "USD", "{answer}");
}

#[test]
fn who_ends_the_wait_is_told_how_to_ask() {
    let demo = Demo::start();
    let mut command = tillgate();
    command.args(["pay", "--amount", "10.99", "--ready-file"]).arg(demo.ready_file());
    let log = demo.dir.path().join("log");
    let mut paying = Running::start_logging(&mut command, &log);
    let service = paying.wait_for("the ServiceID", || {
        let text = std::fs::read_to_string(&log).ok()?;
        let (_, rest) = text.split_once("10.99 EUR, ServiceID ")?;
        let (service, rest) = rest.split_once('\n')?;
        rest.contains("waiting for the answer").then(|| service.to_owned())
    });
    paying.signal("INT");
    let output = paying.end();
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(
        stdout(&output),
        format!("Not known: the payment goes on. Ask for ServiceID {service} with TransactionStatus.\n")
    );
}

#[test]
fn a_terminal_that_is_not_there_is_charged_nothing() {
    let demo = Demo::start();
    let output = demo.ask(&["pay", "--amount", "10.99", "--poi-id", "V400m-000000000"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).contains("The terminal is not connected"), "{}", stdout(&output));
}

#[test]
fn a_diagnosis_is_decoded() {
    let demo = Demo::start();
    let output = demo.ask(&["diagnose", "--poi-id", "S1F2-000158215131748"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.starts_with("S1F2-000158215131748 OK\n"), "{text}");
    assert!(text.contains("  batteryLevel                 87%\n"), "{text}");
    assert!(text.contains("  networkProfile.ip "), "{text}");
}

#[test]
fn the_request_to_paste_pays() {
    let demo = Demo::start();
    demo.running.signal("INT");
    // It was printed when the demo was ready; the demo has to run when it is pasted.
    let screen = stdout(&demo.running.end());
    let request = screen.split_once("curl ").unwrap().1.split_once("\nJSON\n").unwrap().0;
    let again = Demo::start();
    let url = |demo: &Value| demo["baseUrl"].as_str().unwrap().to_owned();
    let key = |demo: &Value| demo["apiKeys"]["terminalApi"].as_str().unwrap().to_owned();
    let script = format!("curl {request}\nJSON\n");
    let script =
        script.replace(&url(&demo.ready), &url(&again.ready)).replace(&key(&demo.ready), &key(&again.ready));
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let answer: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
    assert_eq!(answer["SaleToPOIResponse"]["PaymentResponse"]["Response"]["Result"], "Success", "{answer}");
}

#[test]
fn it_ends_by_either_signal_and_leaves_nothing() {
    for signal in ["INT", "TERM"] {
        let demo = Demo::start();
        assert_eq!(demo.temporary().len(), 1);
        demo.running.signal(signal);
        let (ready_file, dir) = (demo.ready_file(), demo.dir);
        let output = demo.running.end();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(stderr(&output), "");
        assert!(!ready_file.exists());
        assert_eq!(std::fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0, "temporary data was left");
    }
}

#[test]
fn data_that_is_kept_keeps_keys_and_boarding() {
    let keep = tempfile::tempdir().unwrap();
    let dir = keep.path().join("data").display().to_string();
    let first = Demo::start_in(tempfile::tempdir().unwrap(), &["--data-dir", &dir]);
    let before = first.ready["apiKeys"].clone();
    let ca = |demo: &Demo| std::fs::read(demo.ready["caFile"].as_str().unwrap()).unwrap();
    let trusted = ca(&first);
    let shared = first.ready["terminals"][0]["encryptionKey"].clone();
    first.running.signal("INT");
    assert!(first.running.end().status.success());
    assert_eq!(mode(&keep.path().join("data/demo-keys.json")), 0o600);
    assert_eq!(mode(&keep.path().join("data/demo-encryption-key.json")), 0o600);
    assert_eq!(mode(&keep.path().join("data")), 0o700);

    let second = Demo::start_in(tempfile::tempdir().unwrap(), &["--data-dir", &dir]);
    assert_eq!(second.ready["apiKeys"], before);
    assert_eq!(ca(&second), trusted, "whoever trusted it still does");
    assert_eq!(second.ready["terminals"][0]["encryptionKey"], shared);
    assert!(second.ask(&["pay", "--amount", "10.99"]).status.success());
}

#[test]
fn keys_of_an_older_demo_are_kept_and_those_that_it_lacks_are_added() {
    let keep = tempfile::tempdir().unwrap();
    let dir = keep.path().join("data").display().to_string();
    let first = Demo::start_in(tempfile::tempdir().unwrap(), &["--data-dir", &dir]);
    let before = first.ready["apiKeys"].clone();
    first.running.signal("INT");
    assert!(first.running.end().status.success());
    let file = keep.path().join("data/demo-keys.json");
    let mut kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    kept.as_object_mut().unwrap().retain(|name, _| name == "terminalApi" || name == "management");
    std::fs::write(&file, kept.to_string()).unwrap();

    let second = Demo::start_in(tempfile::tempdir().unwrap(), &["--data-dir", &dir]);
    let after = &second.ready["apiKeys"];
    assert_eq!(
        (&after["terminalApi"], &after["management"]),
        (&before["terminalApi"], &before["management"])
    );
    assert_ne!(after["otherMerchant"], before["otherMerchant"]);
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(kept["otherMerchant"]["apiKey"], after["otherMerchant"]);
}

#[test]
fn a_terminal_of_its_own_process_boards_and_takes_a_payment() {
    let demo = Demo::start();
    let entry =
        demo.ready["terminals"].as_array().unwrap().iter().find(|t| t["boardingCode"].is_string()).unwrap();
    let (poi, code) = (entry["poiId"].as_str().unwrap(), entry["boardingCode"].as_str().unwrap());
    let url = demo.ready["baseUrl"].as_str().unwrap();
    let journal = demo.dir.path().join("journal");
    let mut command = tillgate();
    command.args([
        "terminal",
        "--url",
        url,
        "--poi-id",
        poi,
        "--boarding-code",
        code,
        "--cardholder-seconds",
        "0",
    ]);
    let mut terminal = Running::start(command.arg("--data-dir").arg(&journal));
    terminal.wait_for("the terminal in the list", || {
        stdout(&demo.ask(&["terminals", "--once"])).contains(poi).then_some(())
    });
    assert!(demo.ask(&["pay", "--amount", "10.99", "--poi-id", poi]).status.success());

    terminal.signal("TERM");
    let output = terminal.end();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("connected\n")
            && stdout(&output).contains("paid 10.99 EUR, ServiceID ")
            && stdout(&output).ends_with("ended\n"),
        "{}",
        stdout(&output)
    );
    assert!(!stdout(&demo.ask(&["terminals", "--once"])).contains(poi));
}

#[test]
fn arrivals_and_departures_are_shown_as_they_happen() {
    let demo = Demo::start();
    let mut command = tillgate();
    let watch = Running::start(command.arg("terminals").arg("--ready-file").arg(demo.ready_file()));
    let entry =
        demo.ready["terminals"].as_array().unwrap().iter().find(|t| t["boardingCode"].is_string()).unwrap();
    let (poi, code) = (entry["poiId"].as_str().unwrap(), entry["boardingCode"].as_str().unwrap());
    let url = demo.ready["baseUrl"].as_str().unwrap();
    let mut watch = Lines::of(watch);
    watch.until("3 connected");
    let mut command = tillgate();
    command.args(["terminal", "--url", url, "--poi-id", poi, "--boarding-code", code]);
    let terminal = Running::start(command.arg("--data-dir").arg(demo.dir.path().join("journal")));
    watch.until(&format!("+ connected {poi}"));
    terminal.signal("INT");
    watch.until(&format!("- gone      {poi}"));
    watch.running.signal("INT");
    assert_eq!(watch.running.end().status.code(), Some(0));
}

/// What a program prints, line by line.
struct Lines {
    running: Running,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Lines {
    fn of(mut running: Running) -> Lines {
        use std::io::BufRead as _;
        let (sender, lines) = std::sync::mpsc::sync_channel(64);
        let stdout = std::io::BufReader::new(running.take_stdout());
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        Lines { running, lines }
    }

    fn until(&mut self, part: &str) {
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(std::time::Duration::from_secs(30)) {
            if line.contains(part) {
                return;
            }
            seen.push(line);
        }
        panic!("no {part:?} in {seen:?}");
    }
}

#[test]
fn a_port_that_is_taken_is_named_with_its_holder_and_the_way_out() {
    let demo = Demo::start();
    let port = demo.ready["baseUrl"].as_str().unwrap().rsplit(':').next().unwrap();
    let output = run(&["demo", "--port", port]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.starts_with(&format!("error: port {port} on 127.0.0.1 is taken by ")), "{text}");
    assert!(text.contains("--port 0"), "{text}");
}

#[test]
fn a_tls_port_that_is_taken_is_named_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(&["demo", "--port", "0", "--tls-port", &port]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.starts_with(&format!("error: port {port} on 127.0.0.1 is taken by ")), "{text}");
    assert!(text.contains("tillgate demo --tls-port 0"), "{text}");

    let output = run(&["demo", "--port", &port, "--tls-port", &port]);
    assert!(stderr(&output).contains("name another one with --tls-port"), "{}", stderr(&output));
}
