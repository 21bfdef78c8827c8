//! Journals that were copied or lost: whoever holds the terminal's money memory is never taken for somebody else.

use std::time::Duration;

use crate::gateway_process::{GatewayProcess, MERCHANT, POI};
use crate::pos::Heard;
use crate::process::until;
use crate::shop::{AT_ONCE, FIRST, LATER, SALE, SECOND, SOON, Shop};
use crate::wire_terminal::{Incoming, WireTerminal};

/// How long a program may take to see that it has to stop.
const STOP_MAX: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_copy_of_a_journal_takes_over_and_the_first_process_stops() {
    let mut shop = Shop::open(SOON).await;
    assert_eq!(shop.begin_to_pay().await.expect("a POS hears something"), Heard::Success);
    let mut copy = shop.terminal.start_copy();
    let ended = shop.terminal.process().ended(STOP_MAX).await;
    assert_eq!(ended.code(), Some(6), "the first one says that another process is this terminal now");
    shop.is_connected().await;

    // What the first one did is not done again, and what comes now is done by the copy alone.
    assert_eq!(shop.pos.pay(FIRST, SALE).await, Heard::Success);
    assert_eq!(shop.pos.pay(SECOND, "sale-2").await, Heard::Success);
    assert_eq!((shop.terminal.executions().len(), copy.executions().len()), (1, 2));

    // The first one again: its attempts are those that the copy has used.
    shop.terminal.start_again();
    until("its hello was refused", STOP_MAX, async || {
        shop.terminal.process().output().iter().any(|line| line.contains("stale hello")).then_some(())
    })
    .await;
    assert_eq!(shop.pos.is_connected(MERCHANT).await, Some(true));
    assert_eq!(shop.pos.pay("third", "sale-3").await, Heard::Success);
    assert_eq!((shop.terminal.executions().len(), copy.executions().len()), (1, 3));
    assert_eq!(copy.process().exit(), None);
    assert!(shop.proxy.writes_per_delivery().values().all(|writes| *writes == 1), "delivered twice");
}

#[tokio::test]
async fn a_journal_copied_in_mid_payment_pays_nothing_twice_and_denies_nothing() {
    let mut shop = Shop::open(SOON).await;
    let paying = shop.begin_to_pay();
    shop.terminal.has_started().await;
    let copy = shop.terminal.start_copy();
    assert_eq!(shop.terminal.process().ended(STOP_MAX).await.code(), Some(6));
    shop.is_connected().await;
    // The copy knows that it was started, and not what became of it: nobody but a person can tell.
    assert_eq!(paying.await.expect("a POS hears something"), Heard::NoResponse);
    assert_eq!(shop.pos.ask_until_settled(FIRST, STOP_MAX).await, Heard::NoResponse);
    assert_eq!(shop.pos.pay(FIRST, SALE).await, Heard::NoResponse);
    assert_eq!(copy.executions().len(), 0);
    assert!(shop.terminal.executions().len() <= 1);
    assert!(shop.proxy.writes_per_delivery().values().all(|writes| *writes == 1), "delivered twice");
}

#[tokio::test]
async fn a_terminal_without_its_journal_boards_again_and_an_open_payment_stays_unknown() {
    let mut shop = Shop::open(LATER).await;
    let paying = shop.begin_to_pay();
    shop.terminal.has_started().await;
    shop.terminal.kill();
    shop.terminal.cardholder_seconds = 0.0;
    shop.terminal.start_anew(None);
    let ended = shop.terminal.process().ended(STOP_MAX).await;
    assert_eq!(ended.code(), Some(1), "without journal and code it can't be anybody");

    let code = shop.gateway.boarding_code(POI).await;
    shop.terminal.start_anew(Some(&code));
    shop.is_connected().await;
    assert_eq!(paying.await.expect("a POS hears something"), Heard::NoResponse);
    assert_eq!(shop.pos.ask_until_settled(FIRST, STOP_MAX).await, Heard::NoResponse);
    assert_eq!(shop.pos.pay(FIRST, SALE).await, Heard::NoResponse);
    assert_eq!(shop.terminal.executions().len(), 0, "it was not sent to the new journal");
    assert_eq!(shop.pos.pay(SECOND, "sale-2").await, Heard::Success);
    assert_eq!(shop.terminal.executions().len(), 1);
}

#[tokio::test]
async fn a_payment_that_a_lost_journal_may_have_had_is_not_denied() {
    let mut shop = Shop::open(AT_ONCE).await;
    let mut held = shop.proxy.hold("received");
    let paying = shop.begin_to_pay();
    held.caught().await;
    let executed = async || (shop.executed(FIRST) == 1).then_some(());
    until("the payment is executed", STOP_MAX, executed).await;
    // The gateway never heard that the terminal had it, and who could tell has lost its memory.
    shop.terminal.kill();
    let code = shop.gateway.boarding_code(POI).await;
    shop.terminal.start_anew(Some(&code));
    assert_eq!(paying.await.expect("a POS hears something"), Heard::NoResponse);
    assert_eq!(shop.pos.ask_until_settled(FIRST, STOP_MAX).await, Heard::NoResponse);
    assert_eq!(shop.pos.pay(FIRST, SALE).await, Heard::NoResponse);
    assert_eq!(shop.terminal.executions().len(), 0, "it was not sent to the new journal");
}

#[tokio::test]
async fn neither_an_old_token_nor_an_old_journal_opens_a_link_after_boarding_again() {
    let gateway = GatewayProcess::start().await;
    let board = async |journal_id| {
        let code = gateway.boarding_code(POI).await;
        WireTerminal::board(&gateway.base_url(), POI, &code, journal_id).await
    };
    let before = board("j_before").await;
    drop(before.welcomed(9, "p_before").await);
    let mut after = board("j_after").await;

    let refused = before.try_connect().await.map(|_| "a link").expect_err("the old token has ended");
    assert!([401, 403].contains(&refused), "HTTP {refused}");
    after.journal_id = "j_before".into();
    match after.hello(10, "p_after").await.next().await {
        Incoming::Closed(code, reason) => assert_eq!((code, &*reason), (4403, "board-again")),
        other => panic!("expected a close, got {other:?}"),
    }
    after.journal_id = "j_after".into();
    // A new journal begins to count anew.
    after.welcomed(1, "p_after").await;
}
