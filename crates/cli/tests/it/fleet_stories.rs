//! Terminals that are assigned to somewhere else, as real processes: what a fleet team asks for, what the terminal does, and what
//! everybody is told on the way.

use std::time::Duration;

use serde_json::{Value, json};

use crate::gateway_process::GatewayProcess;
use crate::pos::{Heard, Pos, http_client};
use crate::process::until;
use crate::shop::{AT_ONCE, FIRST, SALE, SECOND, SOON};
use crate::terminal_process::TerminalProcess;

const COMPANY: &str = "SHOP";
const STORES: &str = "CHAIN";
const AMS: &str = "AMS";
const PAR: &str = "PAR";

/// What a terminal and a gateway need for each other, on a machine that is busy with other tests.
const SOON_ENOUGH: Duration = Duration::from_secs(30);

/// A chain of two stores, and a terminal that stands in the first.
struct Chain {
    gateway: GatewayProcess,
    terminal: TerminalProcess,
    http: reqwest::Client,
}

impl Chain {
    /// Open when the terminal is boarded and connected.
    async fn open(cardholder_seconds: f64) -> Chain {
        let gateway = GatewayProcess::start().await;
        let poi = "V400m-100000001";
        let fleet = |store, terminals: &[&str]| {
            let mut words = vec!["--company", COMPANY, "--merchant-account", STORES, "--store", store];
            words.extend(terminals.iter().flat_map(|poi| ["--terminal", poi]));
            words.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        gateway.run("init", &fleet(AMS, &[poi])).await;
        gateway.run("init", &fleet(PAR, &[])).await;
        let code = gateway.boarding_code(poi).await;
        let terminal = TerminalProcess::start(&gateway.base_url(), poi, &code, cardholder_seconds);
        let chain = Chain { gateway, terminal, http: http_client() };
        chain.is_connected().await;
        chain
    }

    fn poi(&self) -> &'static str {
        "V400m-100000001"
    }

    fn pos(&self) -> Pos {
        self.gateway.pos(self.poi())
    }

    async fn is_connected(&self) {
        until("the terminal is connected", SOON_ENOUGH, async || {
            self.pos().connected(STORES).await?.iter().any(|poi| poi == self.poi()).then_some(())
        })
        .await;
    }

    /// One operation of the POS Terminal Management API, with real booleans.
    async fn call(&self, operation: &str, request: &Value) -> (u16, Value) {
        let url = format!("{}/postfmapi/terminal/{operation}", self.gateway.base_url());
        let sent = self.http.post(url).header("X-API-Key", self.gateway.key()).json(request).send().await;
        let answer = sent.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    async fn assign(&self, terminals: &[&str], target: Value) -> Value {
        let mut request = json!({"companyAccount": COMPANY, "terminals": terminals});
        request.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
        let (status, answer) = self.call("assignTerminals", &request).await;
        assert_eq!(status, 200, "{answer}");
        answer["results"].clone()
    }

    async fn find(&self, poi: &str) -> Value {
        let (status, answer) = self.call("findTerminal", &json!({"terminal": poi})).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn details(&self) -> Value {
        let (status, answer) = self.call("getTerminalDetails", &json!({"terminal": self.poi()})).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Waits until it is in this store.
    async fn is_in(&self, poi: &str, store: &str) {
        until("the terminal is in its new store", SOON_ENOUGH, async || {
            (self.find(poi).await["store"] == store).then_some(())
        })
        .await;
    }

    async fn settings(&self, settings: Value) {
        let url = format!("{}/v3/companies/{COMPANY}/terminalSettings", self.gateway.base_url());
        let sent = self.http.patch(url).header("X-API-Key", self.gateway.key()).json(&settings).send().await;
        let answer = sent.expect("an answer");
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap_or_default());
    }
}

fn store(code: &str) -> Value {
    json!({"merchantAccount": STORES, "store": code})
}

#[tokio::test]
async fn a_boarded_terminal_is_told_confirms_and_pays_in_its_new_store() {
    let chain = Chain::open(AT_ONCE).await;
    assert_eq!(chain.find(chain.poi()).await["store"], AMS);
    let results = chain.assign(&[chain.poi()], store(PAR)).await;
    assert_eq!(results, json!({chain.poi(): "RemoveConfigScheduled"}));
    chain.is_in(chain.poi(), PAR).await;
    until("it is online there", SOON_ENOUGH, async || {
        (chain.details().await["terminalStatus"] == "OnlineToday").then_some(())
    })
    .await;
    let details = chain.details().await;
    assert_eq!(
        (&details["storeDetails"]["store"], &details["store"]),
        (&json!(PAR), &json!(PAR)),
        "{details}"
    );
    // It has stayed boarded.
    chain.is_connected().await;
    assert_eq!(chain.pos().pay(FIRST, SALE).await, Heard::Success);
    // To where it is already: done, and nothing is removed.
    assert_eq!(chain.assign(&[chain.poi()], store(PAR)).await, json!({chain.poi(): "Done"}));
    assert_eq!(chain.pos().pay(SECOND, "sale-2").await, Heard::Success);
}

#[tokio::test]
async fn a_terminal_that_is_off_moves_when_it_is_back_whatever_the_gateway_did_meanwhile() {
    let mut chain = Chain::open(AT_ONCE).await;
    chain.terminal.kill();
    let results = chain.assign(&[chain.poi()], store(PAR)).await;
    assert_eq!(results, json!({chain.poi(): "RemoveConfigScheduled"}));
    assert_eq!(chain.details().await["terminalStatus"], "ReAssignToStorePending");
    chain.gateway.kill();
    chain.gateway.start_again().await;
    assert_eq!(chain.find(chain.poi()).await["store"], AMS, "nothing was removed yet");
    assert_eq!(chain.details().await["terminalStatus"], "ReAssignToStorePending");
    chain.terminal.start_again();
    chain.is_in(chain.poi(), PAR).await;
    chain.is_connected().await;
    assert_eq!(chain.pos().pay(FIRST, SALE).await, Heard::Success);
}

#[tokio::test]
async fn a_terminal_without_web_sockets_moves_by_a_maintenance_call() {
    let mut chain = Chain::open(AT_ONCE).await;
    chain.settings(json!({"connectivity": {"webSocketsEnabled": false}})).await;
    until("the link is closed", SOON_ENOUGH, async || {
        chain.pos().connected(STORES).await?.is_empty().then_some(())
    })
    .await;
    let results = chain.assign(&[chain.poi()], store(PAR)).await;
    assert_eq!(results, json!({chain.poi(): "RemoveConfigScheduled"}));
    // Its next maintenance call is minutes away; one that starts makes one at once.
    chain.terminal.kill();
    chain.terminal.start_again();
    chain.is_in(chain.poi(), PAR).await;
    assert_eq!(chain.pos().connected(STORES).await, Some(Vec::new()));
    chain.settings(json!({"connectivity": {"webSocketsEnabled": true}})).await;
    chain.terminal.kill();
    chain.terminal.start_again();
    chain.is_connected().await;
    assert_eq!(chain.pos().pay(FIRST, SALE).await, Heard::Success);
}

#[tokio::test]
async fn a_payment_that_runs_is_finished_and_recorded_before_its_terminal_moves() {
    let chain = Chain::open(SOON).await;
    let pos = chain.pos();
    let paying = tokio::spawn(async move { pos.pay(FIRST, SALE).await });
    chain.terminal.has_started().await;
    let results = chain.assign(&[chain.poi()], json!({})).await;
    assert_eq!(results, json!({chain.poi(): "RemoveConfigScheduled"}));
    assert_eq!(chain.details().await["terminalStatus"], "ReAssignToInventoryPending");
    assert_eq!(paying.await.expect("no panic"), Heard::Success);
    until("the terminal is in inventory", SOON_ENOUGH, async || {
        let found = chain.find(chain.poi()).await;
        (found == json!({"companyAccount": COMPANY, "terminal": chain.poi()})).then_some(())
    })
    .await;
    assert_eq!(chain.terminal.executions().len(), 1);
    assert_eq!(chain.pos().ask(FIRST).await, Heard::Success, "the ledger has it");
}

#[tokio::test]
async fn several_that_were_never_boarded_are_scheduled_and_done_within_seconds() {
    let chain = Chain::open(AT_ONCE).await;
    let spare: Vec<String> = (0..10).map(|n| format!("V400m-20000000{n}")).collect();
    let mut words = vec!["--company", COMPANY, "--merchant-account", STORES, "--store", AMS];
    words.extend(spare.iter().flat_map(|poi| ["--terminal", poi.as_str()]));
    chain.gateway.run("init", &words).await;
    let names: Vec<&str> = spare.iter().map(String::as_str).collect();
    let results = chain.assign(&names, store(PAR)).await;
    for poi in &spare {
        assert_eq!(results[poi], "AssignmentScheduled");
        chain.is_in(poi, PAR).await;
    }
    // One alone is done at once.
    assert_eq!(chain.assign(&names[..1], store(AMS)).await, json!({names[0]: "Done"}));
    assert_eq!(chain.find(names[0]).await["store"], AMS);
}

#[tokio::test]
async fn a_newer_assignment_supersedes_and_one_to_where_it_is_cancels() {
    let mut chain = Chain::open(AT_ONCE).await;
    chain.terminal.kill();
    let pending = json!({chain.poi(): "RemoveConfigScheduled"});
    assert_eq!(chain.assign(&[chain.poi()], store(PAR)).await, pending);
    assert_eq!(chain.assign(&[chain.poi()], json!({})).await, pending);
    assert_eq!(chain.details().await["terminalStatus"], "ReAssignToInventoryPending");
    assert_eq!(chain.assign(&[chain.poi()], store(AMS)).await, json!({chain.poi(): "Done"}));
    chain.terminal.start_again();
    chain.is_connected().await;
    assert_eq!(chain.find(chain.poi()).await["store"], AMS);
    assert_eq!(chain.pos().pay(FIRST, SALE).await, Heard::Success);
}
