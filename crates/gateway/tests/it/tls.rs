//! HTTPS, with real handshakes.

use std::path::{Path, PathBuf};

use gateway::{Config, Location, Running, Tls};
use reqwest::{Certificate, Client};

use crate::support::{COMPANY, MERCHANT, SOON};

/// A gateway that speaks TLS too, with a certificate of its own in the file that is returned.
async fn with_tls(dir: &Path) -> (Running, PathBuf) {
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    write_pair(&cert, &key);
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: Some(Tls { listen: "127.0.0.1:0".parse().unwrap(), cert: cert.clone(), key }),
        data_dir: dir.join("data"),
        ..Config::default()
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    (gateway::start(config).await.unwrap(), cert)
}

#[tokio::test]
async fn https_is_served_beside_http() {
    let dir = tempfile::tempdir().unwrap();
    let (running, cert) = with_tls(dir.path()).await;
    let answer = trusting(&cert).get(health(&running)).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "ok");
    running.stop().await;
}

#[tokio::test]
async fn a_terminal_boards_and_keeps_its_link_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let (running, cert) = with_tls(dir.path()).await;
    let (admin, poi) = (running.admin(), nexo::PoiId::parse("V400m-1").unwrap());
    admin.create_company(COMPANY).await.unwrap();
    admin.switch_on(COMPANY).await.unwrap();
    admin.create_merchant_account(COMPANY, MERCHANT).await.unwrap();
    admin.add_terminal(COMPANY, &poi, Location::MerchantInStore(MERCHANT)).await.unwrap();
    let code = admin.make_boarding_code(&poi).await.unwrap().code.reveal();

    let url = format!("https://localhost:{}", running.tls_address().unwrap().port());
    let mut config = virtual_terminal::Config::new(url, dir.path().join("journal"), poi);
    config.boarding_code = Some(virtual_terminal::Secret::new(code));
    config.ca_file = Some(cert);
    let terminal = virtual_terminal::VirtualTerminal::start(config).await.unwrap();
    let mut state = terminal.state();
    let online = state.wait_for(|state| matches!(state, virtual_terminal::State::Online));
    tokio::time::timeout(SOON, online).await.expect("the terminal connects").unwrap();
    terminal.stop().await;
    running.stop().await;
}

#[tokio::test]
async fn a_certificate_whose_files_are_replaced_is_shown_to_new_connections_and_old_ones_live_on() {
    let dir = tempfile::tempdir().unwrap();
    let (running, cert) = with_tls(dir.path()).await;
    let key = dir.path().join("key.pem");
    let before = trusting(&cert);
    let old_cert = std::fs::read(&cert).unwrap();
    before.get(health(&running)).send().await.unwrap();

    // Half a file changes nothing, for as long as it is there.
    std::fs::write(&cert, &old_cert[..old_cert.len() / 2]).unwrap();
    write_pair(&dir.path().join("next.pem"), &key);
    trusting_bytes(&old_cert).get(health(&running)).send().await.unwrap();

    std::fs::rename(dir.path().join("next.pem"), &cert).unwrap();
    let shown = async {
        // A client that keeps no connection: each question is a new handshake.
        while trusting(&cert).get(health(&running)).send().await.is_err() {
            before.get(health(&running)).send().await.expect("a connection that stands goes on");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(SOON, shown).await.expect("the new certificate is shown");
    before.get(health(&running)).send().await.expect("a connection that stands goes on");
    assert!(
        trusting_bytes(&old_cert).get(health(&running)).send().await.is_err(),
        "the old one is shown no more"
    );
    running.stop().await;
}

fn write_pair(cert: &Path, key: &Path) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    std::fs::write(cert, made.cert.pem()).unwrap();
    std::fs::write(key, made.signing_key.serialize_pem()).unwrap();
}

/// A new client, which trusts this certificate and nothing else.
fn trusting(cert: &Path) -> Client {
    trusting_bytes(&std::fs::read(cert).unwrap())
}

fn trusting_bytes(pem: &[u8]) -> Client {
    let certificate = Certificate::from_pem(pem).unwrap();
    Client::builder().no_proxy().tls_certs_only([certificate]).build().unwrap()
}

fn health(running: &Running) -> String {
    format!("https://localhost:{}/healthz", running.tls_address().unwrap().port())
}
