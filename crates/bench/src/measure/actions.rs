//! Desktops and terminals of the Actions API: memory of their connections, and payments at a fixed rate.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use gateway::{ActionsKey, Admin, Config, NewKey, Role as KeyRole};
use nexo::PoiId;
use serde::Serialize;

use super::Scale;
use crate::load::actions::{ActionsLoad, Client, Role, device_id};
use crate::proc;
use crate::server::{Kind, Product, Server};

const COMPANY: &str = "BENCH";
const MERCHANT: &str = "BENCH_EU";

/// Terminals of one group, and as many desktops on one key: a shop of this size.
const GROUP: usize = 10;

/// Calls to the store under way at once: it commits them in groups.
const AT_ONCE: usize = 256;

const SETTLE: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_secs(2);

/// What the gateway needs for the Actions API.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Actions {
    pub(crate) desktops: usize,
    pub(crate) terminals: usize,
    /// Both kinds together.
    pub(crate) bytes_per_connection: f64,
    pub(crate) bytes_per_desktop: f64,
    pub(crate) bytes_per_terminal: f64,
    pub(crate) payments_per_s: u32,
    pub(crate) seconds: u64,
    pub(crate) succeeded: u64,
    /// Ends of another kind, by their code.
    pub(crate) others: BTreeMap<String, u64>,
    /// From the moment at which a payment was due until its end reached its desktop, microseconds; terminals answer at once.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    /// Server CPU.
    pub(crate) cpu_us_per_payment: f64,
    /// One minute's load average of the machine when it began.
    pub(crate) load_average: String,
}

/// Measures the gateway, with an installation of its own in `product`'s directory.
pub(crate) fn measure(product: &Product, scale: &Scale) -> Result<Actions> {
    let (desktops, terminals) = install(product, scale.actions)?;
    let load_average = proc::load_average();
    let server = Server::start_product(product, Kind::Tillgate)?;
    let pid = server.pid();
    let mut load = ActionsLoad::new(server.address)?;
    load.rest(SETTLE)?;
    let base = proc::private_memory(pid)?;
    load.connect(&terminals)?;
    load.rest(SETTLE)?;
    let with_terminals = proc::private_memory(pid)?;
    load.connect(&desktops)?;
    load.rest(SETTLE)?;
    let with_all = proc::private_memory(pid)?;
    let of_desktops: Vec<usize> = (terminals.len()..terminals.len() + desktops.len()).collect();
    let one_of_each: Vec<usize> = of_desktops.iter().copied().step_by(GROUP).collect();
    load.wait_for_terminals(&one_of_each, GROUP)?;
    load.pay(&of_desktops, scale.actions_rate, WARM_UP)?;
    let cpu = proc::cpu(pid)?;
    let paid = load.pay(&of_desktops, scale.actions_rate, Duration::from_secs(scale.actions_s))?;
    let cpu = (proc::cpu(pid)? - cpu).as_secs_f64();
    let each = |bytes: u64, of: usize| bytes as f64 / of as f64;
    let count = paid.succeeded + paid.others.values().sum::<u64>();
    Ok(Actions {
        desktops: desktops.len(),
        terminals: terminals.len(),
        bytes_per_connection: each(with_all.saturating_sub(base), desktops.len() + terminals.len()),
        bytes_per_desktop: each(with_all.saturating_sub(with_terminals), desktops.len()),
        bytes_per_terminal: each(with_terminals.saturating_sub(base), terminals.len()),
        payments_per_s: scale.actions_rate,
        seconds: scale.actions_s,
        succeeded: paid.succeeded,
        others: paid.others,
        p50: paid.latencies.quantile(0.5),
        p99: paid.latencies.quantile(0.99),
        p99_9: paid.latencies.quantile(0.999),
        cpu_us_per_payment: cpu * 1e6 / count as f64,
        load_average,
    })
}

/// A company with a store for each group of terminals; desktops and terminals, both in order of their groups.
fn install(product: &Product, terminals: usize) -> Result<(Vec<Client>, Vec<Client>)> {
    let dir = &product.dir;
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    fs::write(product.settings(), "")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let config = Config { data_dir: product.data_dir(), ..Config::default() };
        let admin = Admin::open(&config).await?;
        admin.create_company(COMPANY).await?;
        admin.switch_on(COMPANY).await?;
        admin.create_merchant_account(COMPANY, MERCHANT).await?;
        let admin = &admin;
        let mut desktops = Vec::new();
        for group in 0..terminals / GROUP {
            admin.create_store(MERCHANT, &store(group)).await?;
            let groups = [store(group)];
            let actions = ActionsKey::Desktop { groups: &groups, api_secret: None };
            let shown = admin.create_actions_credential(new_key(&[KeyRole::ActionsDesktop]), actions).await?;
            let api_key = shown.api_key.reveal().to_owned();
            desktops.extend((0..GROUP).map(|place| Client {
                api_key: api_key.clone(),
                role: Role::Desktop { terminal: group * GROUP + place },
            }));
        }
        let of_terminals = stream::iter(0..desktops.len())
            .map(|number| async move {
                let poi: PoiId = format!("ACT1-{number:09}").parse()?;
                let (group, device_id) = (store(number / GROUP), device_id(number));
                let actions =
                    ActionsKey::Terminal { group: &group, poi: &poi, device_id: &device_id, metadata: None };
                let shown =
                    admin.create_actions_credential(new_key(&[KeyRole::ActionsTerminal]), actions).await?;
                let role = if number % 2 == 0 { Role::AcknowledgingTerminal } else { Role::PlainTerminal };
                anyhow::Ok(Client { api_key: shown.api_key.reveal().to_owned(), role })
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        Ok((desktops, of_terminals))
    })
}

fn new_key(roles: &[KeyRole]) -> NewKey<'_> {
    NewKey { company: COMPANY, merchants: &[], roles, description: None }
}

fn store(group: usize) -> String {
    format!("STORE_{group}")
}
