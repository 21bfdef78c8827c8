//! Terminals of the Actions API, as real processes, paid over the Terminal API: one ledger, whatever a terminal speaks.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::actions_wire::{COMPANY, desktop_key, terminal_key};
use crate::gateway_process::{GatewayProcess, MERCHANT};
use crate::pos::{Heard, Pos};
use crate::process::until;
use crate::shop::{AT_ONCE, FIRST, LATER, SALE, SECOND, SOON};
use crate::terminal_process::TerminalProcess;

const POI: &str = "ACT1-000000001";

/// The terminal is back within the delays of its reconnects.
const SETTLED_MAX: Duration = Duration::from_secs(40);

const ACKNOWLEDGING: &[&str] = &[];
const PLAIN: &[&str] = &["--plain", "repeats"];

/// A gateway, a terminal of the Actions API, and a till that knows nothing of it.
struct Shop {
    gateway: GatewayProcess,
    terminal: TerminalProcess,
    pos: Arc<Pos>,
    key: String,
}

impl Shop {
    async fn open(habit: &[&str], cardholder_seconds: f64) -> Shop {
        let gateway = GatewayProcess::start().await;
        let key = terminal_key(&gateway, COMPANY, MERCHANT, POI, "TERM-001").await;
        let url = gateway.base_url();
        let terminal = TerminalProcess::start_actions(&url, POI, &key, habit, cardholder_seconds);
        let pos = Arc::new(gateway.pos(POI));
        let mut shop = Shop { gateway, terminal, pos, key };
        // A new terminal is introduced as a plain one first, and anew once it has said `resume`.
        until("the terminal says so", Duration::from_secs(20), async || {
            let output = shop.terminal.process().output();
            output.iter().any(|line| line.ends_with("  connected")).then_some(())
        })
        .await;
        shop.is_connected().await;
        shop
    }

    async fn is_connected(&self) {
        until("the terminal is connected", Duration::from_secs(20), async || {
            self.pos.connected(MERCHANT).await?.contains(&self.pos.poi_id).then_some(())
        })
        .await;
    }

    fn begin_to_pay(&self) -> JoinHandle<Heard> {
        let pos = self.pos.clone();
        tokio::spawn(async move { pos.pay(FIRST, SALE).await })
    }
}

#[tokio::test]
async fn a_till_pays_at_an_actions_terminal_like_at_any_other() {
    for habit in [ACKNOWLEDGING, PLAIN] {
        let mut shop = Shop::open(habit, AT_ONCE).await;
        assert_eq!(shop.pos.pay(FIRST, SALE).await, Heard::Success);
        assert_eq!(shop.pos.pay(FIRST, SALE).await, Heard::Success, "the same request once more");
        assert_eq!(shop.pos.ask(FIRST).await, Heard::Success);
        assert_eq!(shop.pos.pay(SECOND, "sale-2").await, Heard::Success);
        let executions = shop.terminal.executions();
        let sales: Vec<_> = executions.iter().map(|done| done.sale_transaction.as_deref()).collect();
        assert_eq!(sales, [Some(SALE), Some("sale-2")], "{habit:?}");
        assert_eq!(executions[0].amount.to_string(), "10.99");
        until("it says what it did", Duration::from_secs(20), async || {
            let said = shop.terminal.process().output().join("\n");
            said.contains("paid 10.99 EUR, transaction sale-1").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_terminal_that_is_killed_in_mid_payment_can_not_tell_and_nothing_is_paid_twice() {
    let mut shop = Shop::open(ACKNOWLEDGING, LATER).await;
    let paying = shop.begin_to_pay();
    shop.terminal.has_started().await;
    shop.terminal.kill();
    shop.terminal.cardholder_seconds = AT_ONCE;
    shop.terminal.start_again();
    let told = paying.await.expect("a POS hears something");
    let status = shop.pos.ask_until_settled(FIRST, SETTLED_MAX).await;
    let repeated = shop.pos.pay(FIRST, SALE).await;
    // It may have happened, as far as anybody knows: so nobody says that it did, or did not.
    assert_eq!([&told, &status, &repeated], [&Heard::NoResponse; 3]);
    assert_eq!(shop.terminal.executions().len(), 0);
    assert_eq!(shop.pos.pay(SECOND, "sale-2").await, Heard::Success, "it takes the next one");
    assert_eq!(shop.terminal.executions().len(), 1);
}

#[tokio::test]
async fn a_result_that_the_gateway_was_not_there_for_is_told_to_the_next_one() {
    for habit in [ACKNOWLEDGING, PLAIN] {
        let mut shop = Shop::open(habit, SOON).await;
        let paying = shop.begin_to_pay();
        shop.terminal.has_started().await;
        shop.gateway.kill();
        assert!(!paying.await.expect("a POS hears something").denies());
        until("the payment is executed", Duration::from_secs(20), async || {
            (shop.terminal.executions().len() == 1).then_some(())
        })
        .await;
        shop.gateway.start_again().await;
        assert_eq!(shop.pos.ask_until_settled(FIRST, SETTLED_MAX).await, Heard::Success, "{habit:?}");
        assert_eq!(shop.terminal.executions().len(), 1);
    }
}

#[tokio::test]
async fn a_terminal_that_both_ends_lost_on_the_way_tells_what_it_has_stored() {
    let mut shop = Shop::open(ACKNOWLEDGING, SOON).await;
    let paying = shop.begin_to_pay();
    shop.terminal.has_started().await;
    shop.gateway.kill();
    assert!(!paying.await.expect("a POS hears something").denies());
    until("the payment is executed", Duration::from_secs(20), async || {
        (shop.terminal.executions().len() == 1).then_some(())
    })
    .await;
    shop.terminal.kill();
    shop.gateway.start_again().await;
    shop.terminal.start_again();
    assert_eq!(shop.pos.ask_until_settled(FIRST, SETTLED_MAX).await, Heard::Success);
    assert_eq!(shop.terminal.executions().len(), 1);
}

#[tokio::test]
async fn a_second_terminal_with_the_same_key_is_not_fought() {
    let mut shop = Shop::open(ACKNOWLEDGING, AT_ONCE).await;
    let url = shop.gateway.base_url();
    let second = TerminalProcess::start_actions(&url, POI, &shop.key, ACKNOWLEDGING, AT_ONCE);
    let status = shop.terminal.process().ended(Duration::from_secs(20)).await;
    assert_eq!(status.code(), Some(6));
    let said = shop.terminal.process().output().join("\n");
    assert!(said.contains("another program is connected with this key now"), "{said}");
    shop.is_connected().await;
    assert_eq!(shop.pos.pay(FIRST, SALE).await, Heard::Success);
    assert_eq!(second.executions().len(), 1);
}

#[tokio::test]
async fn a_key_that_is_of_no_use_is_told_with_what_to_do() {
    let gateway = GatewayProcess::start().await;
    let desktop = desktop_key(&gateway, COMPANY, &[MERCHANT]).await;
    for (key, why) in [
        ("tg_key_unknown", "the gateway does not take this key"),
        (gateway.key(), "this key is not for an Actions terminal here"),
        (&desktop, "this key is a desktop's"),
    ] {
        let mut terminal =
            TerminalProcess::start_actions(&gateway.base_url(), POI, key, ACKNOWLEDGING, AT_ONCE);
        let status = terminal.process().ended(Duration::from_secs(20)).await;
        let said = terminal.process().output().join("\n");
        assert_eq!(status.code(), Some(5), "{said}");
        assert!(said.contains(why) && said.contains("tillgate key new --role actions-terminal"), "{said}");
    }
}
