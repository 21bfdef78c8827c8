//! An installation of Tillgate with boarded terminals and an API key, made by its public ways.

use std::fs;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use gateway::{Admin, Config, Location, NewKey, Role};
use nexo::PoiId;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use serde::Deserialize;

use crate::load::{Boarded, Dialect, Load, Target};
use crate::messages::poi_id;
use crate::server::{Kind, Product, Server};

const COMPANY: &str = "BENCH";
const MERCHANT: &str = "BENCH_EU";
const STORE: &str = "STORE_1";

/// Calls to the store under way at once: it commits them in groups.
const AT_ONCE: usize = 256;

/// One key stands for all tills here, so that its limits have to be those of all. They are checked all the same.
const SETTINGS: &str = "[limits]
requests_per_second = 1000000
requests_burst = 10000000
exchanges_per_key = 100000
";

/// What clients need to know of it.
#[derive(Debug)]
pub(crate) struct Installation {
    pub(crate) product: Product,
    pub(crate) dialect: Arc<Dialect>,
    pub(crate) tls: Arc<ClientConfig>,
}

impl Installation {
    /// Makes it in its directory, which is emptied, with terminals from number 0.
    pub(crate) fn new(product: Product, terminals: usize) -> Result<Installation> {
        let dir = &product.dir;
        if dir.exists() {
            fs::remove_dir_all(dir).with_context(|| format!("cannot empty {}", dir.display()))?;
        }
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        fs::write(product.settings(), SETTINGS)?;
        let tls = certify(&product)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (api_key, codes) = runtime.block_on(add(&product, terminals))?;
        drop(runtime);
        let boarded = board(&product, &codes)?;
        Ok(Installation { product, dialect: Arc::new(Dialect::Tillgate { api_key, boarded }), tls })
    }
}

/// Company, store, key and terminals; the key, and the boarding codes in order.
async fn add(product: &Product, terminals: usize) -> Result<(String, Vec<String>)> {
    let config = Config { data_dir: product.data_dir(), ..Config::default() };
    let admin = Admin::open(&config).await?;
    admin.create_company(COMPANY).await?;
    admin.switch_on(COMPANY).await?;
    admin.create_merchant_account(COMPANY, MERCHANT).await?;
    admin.create_store(MERCHANT, STORE).await?;
    let key = NewKey { company: COMPANY, merchants: &[], roles: &[Role::TerminalApi], description: None };
    let key = admin.create_credential(key).await?;
    let admin = &admin;
    let at = Location::Store { merchant: MERCHANT, store: STORE };
    let codes = stream::iter(0..terminals)
        .map(|number| async move {
            let poi: PoiId = poi_id(number).parse()?;
            admin.add_terminal(COMPANY, &poi, at).await?;
            anyhow::Ok(admin.make_boarding_code(&poi).await?.code.reveal())
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok((key.api_key.reveal().to_owned(), codes))
}

/// Boards each terminal with its code, as it would do itself.
fn board(product: &Product, codes: &[String]) -> Result<Vec<Boarded>> {
    #[derive(Deserialize)]
    struct Answer {
        token: String,
    }
    let journals: Vec<String> = (0..codes.len()).map(|number| format!("j_bench_{number}")).collect();
    let bodies: Vec<String> = codes
        .iter()
        .zip(&journals)
        .enumerate()
        .map(|(number, (code, journal))| {
            let poi = poi_id(number);
            format!(r#"{{"poiId":"{poi}","boardingCode":"{code}","journalId":"{journal}"}}"#)
        })
        .collect();
    let server = Server::start_product(product, Kind::Tillgate)?;
    let target = Target { address: server.address, tls: None, dialect: Arc::new(Dialect::Bare) };
    let answers = Load::new(target)?.post_all("/terminal/v1/board", &bodies)?;
    answers
        .into_iter()
        .zip(journals)
        .map(|(answer, journal)| {
            let Answer { token } = serde_json::from_slice(&answer)?;
            Ok(Boarded { token, journal })
        })
        .collect()
}

/// Writes a certificate for localhost; a client's side that trusts it and nothing else.
fn certify(product: &Product) -> Result<Arc<ClientConfig>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = product.certificate();
    fs::write(certificate, made.cert.pem())?;
    fs::write(key, made.signing_key.serialize_pem())?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(made.cert.der().to_vec()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
