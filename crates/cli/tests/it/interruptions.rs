//! Whatever is killed, frozen or cut in the middle of a payment: it is never executed twice, its result is never lost, and
//! no POS is told that it failed when it did not.
//!
//! Each case has a gateway, a terminal and a POS of its own. The POS acts on what it is told, as the Terminal API asks of
//! it: after *no response* it asks with TransactionStatus, and what did not happen it sends again under a new ServiceID.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

use crate::gateway_process::MERCHANT;
use crate::pos::Heard;
use crate::process::until;
use crate::proxy::{Break, Side};
use crate::shop::{AT_ONCE, FIRST, LATER, SALE, SECOND, SOON, Shop};

/// A half-open link is found after 40 s, and then its terminal has to come back.
const SETTLED_MAX: Duration = Duration::from_secs(55);

/// Cases that run at once, each of two processes.
const CASES_AT_ONCE: usize = 4;

/// How a case ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The sale is paid, once.
    Paid,
    /// Only a person can tell, by a look at the terminal: nothing was executed, and nothing is sent again.
    ForAPerson,
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    interrupted: String,
    executed: usize,
    told: Heard,
    status: Heard,
    repeated: Heard,
    retry: Option<Heard>,
    took: Duration,
}

const HEADING: &str = "| interrupted                                       | executed | POS heard     | status says   \
    | a copy gets   | retry   |   took |";

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { interrupted, executed, told, status, repeated, retry, took } = self;
        let [told, status, repeated] = [told, status, repeated].map(Heard::to_string);
        let retry = retry.as_ref().map_or("-".into(), Heard::to_string);
        write!(
            f,
            "| {interrupted:49} | {executed:8} | {told:13} | {status:13} | {repeated:13} | {retry:7} "
        )?;
        write!(f, "| {:4.1} s |", took.as_secs_f64())
    }
}

/// What is awaited of a case: one of these is what the POS is told at first, and how it ends.
type Expected<'a> = (&'a [&'a str], End);

/// Asks, repeats and retries after an interruption, and judges what everybody was told.
///
/// # Panics
/// When a promise is broken, or the case did not go as expected.
async fn settle(interrupted: impl Into<String>, shop: Shop, told: Heard, expected: Expected<'_>) -> Row {
    let status = shop.pos.ask_until_settled(FIRST, SETTLED_MAX).await;
    // A copy of the request gets what the ledger has of the first one, and is never executed.
    let repeated = shop.pos.pay(FIRST, SALE).await;
    let mut retry = None;
    if told.denies() || status.denies() {
        shop.is_connected().await;
        retry = Some(shop.pos.pay(SECOND, SALE).await);
    }
    let (first, second) = (shop.executed(FIRST), shop.executed(SECOND));
    let row = Row {
        interrupted: interrupted.into(),
        executed: first + second,
        told: told.clone(),
        status: status.clone(),
        repeated: repeated.clone(),
        retry: retry.clone(),
        took: shop.opened.elapsed(),
    };
    let hold = |promise: bool, broken: &str| assert!(promise, "{broken}:\n{HEADING}\n{row}\n");
    hold(first + second <= 1, "executed twice");
    hold(shop.proxy.writes_per_delivery().values().all(|writes| *writes == 1), "delivered twice");
    hold(first == 0 || status == Heard::Success, "lost");
    for heard in [&told, &status, &repeated] {
        hold(first == 0 || !heard.denies(), "false failure");
        hold(first == 1 || *heard != Heard::Success, "false success");
    }
    let (tellings, end) = expected;
    hold(tellings.contains(&&*told.to_string()), "the POS heard what was not expected");
    let paid = status == Heard::Success || retry == Some(Heard::Success);
    hold(paid == (end == End::Paid) && (first + second == 1) == paid, "it did not end as expected");
    row
}

/// What may be told when it is open whether the terminal still took the request in.
const ANY_OF_THREE: &[&str] = &["not delivered", "Aborted", "Success"];

pub(crate) async fn link_cut(side: Side, action: &'static str, how: Break) -> Row {
    let shop = Shop::open(AT_ONCE).await;
    let cut = shop.proxy.break_at(side, action, how);
    let paying = shop.begin_to_pay();
    cut.await.expect("the frame comes");
    let told = paying.await.expect("a POS hears something");
    let expected = match (side, action, how) {
        (Side::Before, "deliver", _) => &["not delivered"][..],
        (Side::After, "deliver", Break::Reset | Break::Close) => ANY_OF_THREE,
        _ => &["Success"],
    };
    settle(format!("link {how} {side} `{action}`"), shop, told, (expected, End::Paid)).await
}

/// The terminal hands its result in by a second link, and that one is cut while it opens.
async fn link_cut_twice(side: Side, action: &'static str) -> Row {
    let shop = Shop::open(AT_ONCE).await;
    let first_cut = shop.proxy.break_at(Side::Before, "result", Break::Reset);
    let second_cut = shop.proxy.break_at(side, action, Break::Reset);
    let paying = shop.begin_to_pay();
    first_cut.await.expect("the frame comes");
    second_cut.await.expect("the frame comes");
    let told = paying.await.expect("a POS hears something");
    let name = format!("link reset before `result`, then {side} `{action}`");
    settle(name, shop, told, (&["Success"], End::Paid)).await
}

async fn gateway_killed_in_mid_payment() -> Row {
    let mut shop = Shop::open(SOON).await;
    let paying = shop.begin_to_pay();
    shop.terminal.has_started().await;
    shop.gateway.kill();
    let told = paying.await.expect("a POS hears something");
    shop.gateway.start_again().await;
    settle("gateway killed in mid-payment", shop, told, (&["nothing"], End::Paid)).await
}

async fn gateway_killed_at(action: &'static str) -> Row {
    let mut shop = Shop::open(AT_ONCE).await;
    let mut held = shop.proxy.hold(action);
    let paying = shop.begin_to_pay();
    held.caught().await;
    // What the terminal is told to forget is on disk, so the POS is told as well.
    if action != "recorded" {
        shop.gateway.kill();
    }
    let told = paying.await.expect("a POS hears something");
    shop.gateway.kill();
    shop.gateway.start_again().await;
    let expected = if action == "recorded" { "Success" } else { "nothing" };
    settle(format!("gateway killed before `{action}` got through"), shop, told, (&[expected], End::Paid))
        .await
}

async fn gateway_stopped_in_mid_payment() -> Row {
    let mut shop = Shop::open(SOON).await;
    let paying = shop.begin_to_pay();
    shop.terminal.has_started().await;
    shop.gateway.stop().await;
    let told = paying.await.expect("a POS hears something");
    shop.gateway.start_again().await;
    settle("gateway stopped by Ctrl-C in mid-payment", shop, told, (&["Success"], End::Paid)).await
}

async fn terminal_killed_before_it_was_reached() -> Row {
    let mut shop = Shop::open(AT_ONCE).await;
    let mut held = shop.proxy.hold("deliver");
    let paying = shop.begin_to_pay();
    held.caught().await;
    shop.terminal.kill();
    shop.terminal.start_again();
    let told = paying.await.expect("a POS hears something");
    settle("terminal killed before `deliver` got through", shop, told, (&["not delivered"], End::Paid)).await
}

async fn terminal_stopped_in_mid_payment() -> Row {
    let mut shop = Shop::open(SOON).await;
    let paying = shop.begin_to_pay();
    shop.terminal.has_started().await;
    shop.terminal.process().interrupt();
    assert!(shop.terminal.process().ended(Duration::from_secs(10)).await.success());
    shop.terminal.start_again();
    let told = paying.await.expect("a POS hears something");
    settle("terminal stopped by Ctrl-C in mid-payment", shop, told, (&["Aborted"], End::Paid)).await
}

async fn terminal_killed_before_it_said_that_it_had_it() -> Row {
    let mut shop = Shop::open(AT_ONCE).await;
    let mut held = shop.proxy.hold("received");
    let paying = shop.begin_to_pay();
    held.caught().await;
    let executed = async || (shop.executed(FIRST) == 1).then_some(());
    until("the payment is executed", Duration::from_secs(10), executed).await;
    shop.terminal.kill();
    shop.terminal.start_again();
    let told = paying.await.expect("a POS hears something");
    settle("terminal killed before `received` got through", shop, told, (&["Success"], End::Paid)).await
}

async fn terminal_killed_in_mid_payment() -> Row {
    let mut shop = Shop::open(LATER).await;
    let paying = shop.begin_to_pay();
    shop.terminal.has_started().await;
    shop.terminal.kill();
    shop.terminal.start_again();
    let told = paying.await.expect("a POS hears something");
    settle("terminal killed in mid-payment", shop, told, (&["no response"], End::ForAPerson)).await
}

async fn terminal_killed_after_it_executed() -> Row {
    let mut shop = Shop::open(AT_ONCE).await;
    let mut held = shop.proxy.hold("result");
    let paying = shop.begin_to_pay();
    held.caught().await;
    shop.terminal.kill();
    assert_eq!(shop.executed(FIRST), 1, "it was executed before it was killed");
    shop.terminal.start_again();
    let told = paying.await.expect("a POS hears something");
    settle("terminal killed before `result` got through", shop, told, (&["Success"], End::Paid)).await
}

async fn terminal_killed_before_it_was_told_to_forget() -> Row {
    let mut shop = Shop::open(AT_ONCE).await;
    let mut held = shop.proxy.hold("recorded");
    let told = shop.begin_to_pay().await.expect("a POS hears something");
    held.caught().await;
    shop.terminal.kill();
    shop.terminal.start_again();
    shop.is_connected().await;
    settle("terminal killed before `recorded` got through", shop, told, (&["Success"], End::Paid)).await
}

async fn terminal_frozen_in_mid_payment() -> Row {
    let mut shop = Shop::open(SOON).await;
    let paying = shop.begin_to_pay();
    shop.terminal.has_started().await;
    shop.terminal.process().freeze().await;
    until("the terminal is missed", Duration::from_secs(10), async || {
        (shop.pos.is_connected(MERCHANT).await == Some(false)).then_some(())
    })
    .await;
    shop.terminal.process().thaw();
    let told = paying.await.expect("a POS hears something");
    settle("terminal frozen in mid-payment, and thawed", shop, told, (&["Success"], End::Paid)).await
}

async fn both_killed_in_mid_payment() -> Row {
    let mut shop = Shop::open(LATER).await;
    let paying = shop.begin_to_pay();
    shop.terminal.has_started().await;
    shop.gateway.kill();
    shop.terminal.kill();
    let told = paying.await.expect("a POS hears something");
    shop.gateway.start_again().await;
    shop.terminal.start_again();
    shop.is_connected().await;
    let row = settle("both killed in mid-payment", shop, told, (&["nothing"], End::ForAPerson)).await;
    assert_eq!(row.status, Heard::NoResponse);
    row
}

async fn both_killed_after_it_executed() -> Row {
    let mut shop = Shop::open(AT_ONCE).await;
    let mut held = shop.proxy.hold("result");
    let paying = shop.begin_to_pay();
    held.caught().await;
    shop.terminal.kill();
    shop.gateway.kill();
    let told = paying.await.expect("a POS hears something");
    shop.terminal.start_again();
    shop.gateway.start_again().await;
    settle("both killed before `result` got through", shop, told, (&["nothing"], End::Paid)).await
}

async fn pos_gone_in_mid_payment() -> Row {
    let shop = Shop::open(SOON).await;
    let paying = shop.begin_to_pay();
    shop.terminal.has_started().await;
    paying.abort();
    settle("POS hung up in mid-payment", shop, Heard::Nothing, (&["nothing"], End::Paid)).await
}

/// Cases under way, and the lines of those that have ended well.
pub(crate) struct Table {
    permits: Arc<Semaphore>,
    cases: JoinSet<(usize, Row)>,
}

impl Table {
    pub(crate) fn new() -> Table {
        Table { permits: Arc::new(Semaphore::new(CASES_AT_ONCE)), cases: JoinSet::new() }
    }

    pub(crate) fn add(&mut self, case: impl Future<Output = Row> + 'static) {
        let (permits, number) = (self.permits.clone(), self.cases.len());
        self.cases.spawn_local(async move {
            let _permit = permits.acquire_owned().await;
            (number, case.await)
        });
    }

    /// Waits for all, and prints them in the order in which they were added.
    pub(crate) async fn finish(mut self) {
        let (mut rows, mut failed) = (Vec::new(), 0);
        while let Some(ended) = self.cases.join_next().await {
            match ended {
                Ok(row) => rows.push(row),
                Err(_) => failed += 1,
            }
        }
        rows.sort_by_key(|(number, _)| *number);
        println!("{HEADING}");
        rows.iter().for_each(|(_, row)| println!("{row}"));
        // A case that breaks a promise has no line.
        assert_eq!(failed, 0, "cases that failed say above why");
        println!("{} cases: executed twice 0, lost 0, false failure 0, false success 0", rows.len());
    }
}

#[tokio::test]
async fn whatever_is_interrupted_a_sale_is_paid_once_and_nobody_is_told_otherwise() {
    LocalSet::new().run_until(every_case()).await;
}

async fn every_case() {
    let mut table = Table::new();
    for action in ["deliver", "received", "result", "recorded"] {
        for side in [Side::Before, Side::After] {
            for how in [Break::Reset, Break::Close] {
                table.add(link_cut(side, action, how));
            }
        }
    }
    for action in ["hello", "welcome"] {
        for side in [Side::Before, Side::After] {
            table.add(link_cut_twice(side, action));
        }
    }
    table.add(gateway_killed_in_mid_payment());
    table.add(gateway_stopped_in_mid_payment());
    for action in ["deliver", "received", "result", "recorded"] {
        table.add(gateway_killed_at(action));
    }
    table.add(terminal_killed_before_it_was_reached());
    table.add(terminal_killed_before_it_said_that_it_had_it());
    table.add(terminal_killed_in_mid_payment());
    table.add(terminal_stopped_in_mid_payment());
    table.add(terminal_killed_after_it_executed());
    table.add(terminal_killed_before_it_was_told_to_forget());
    table.add(terminal_frozen_in_mid_payment());
    table.add(both_killed_in_mid_payment());
    table.add(both_killed_after_it_executed());
    table.add(pos_gone_in_mid_payment());
    table.finish().await;
}
