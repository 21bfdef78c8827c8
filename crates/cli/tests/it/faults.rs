//! Each deliberate fault of the shell does harm by itself, and the steps that bring it out do none without it.

use std::time::Duration;

use crate::gateway_process::{GatewayProcess, POI};
use crate::pos::Heard;
use crate::shop::{AT_ONCE, FIRST, LATER, SALE, SECOND, Shop};
use crate::wire_terminal::{Incoming, WireTerminal, approved};

/// A kill between a reply and its commit is probable, and no more than that.
const KILLS: usize = 10;

/// More than may wait for one exchange.
const REPEATS: usize = 20;

/// How long a POS waits that repeats by itself: the gateway has its request by then, even on a busy machine in one of
/// two cases.
const PATIENCE: Duration = Duration::from_millis(200);

async fn open(cardholder_seconds: f64, fault: Option<&'static str>) -> Shop {
    let mut shop = Shop::open(cardholder_seconds).await;
    begin_again(&mut shop.gateway, fault).await;
    shop.is_connected().await;
    shop
}

async fn begin_again(gateway: &mut GatewayProcess, fault: Option<&'static str>) {
    gateway.kill();
    gateway.fault = fault;
    gateway.start_again().await;
}

/// Whether a success that a POS has heard is still one after the gateway was killed.
async fn success_outlives_a_kill(shop: &mut Shop) -> bool {
    let service = shop.pos.fresh_service();
    assert_eq!(shop.pos.pay(&service, &service).await, Heard::Success);
    shop.gateway.kill();
    shop.gateway.start_again().await;
    shop.is_connected().await;
    shop.pos.ask_until_settled(&service, Duration::from_secs(90)).await == Heard::Success
}

#[tokio::test]
async fn answer_before_commit() {
    let mut shop = open(AT_ONCE, None).await;
    assert!(success_outlives_a_kill(&mut shop).await);
    begin_again(&mut shop.gateway, Some("answer-before-commit")).await;
    shop.is_connected().await;
    for _ in 0..KILLS {
        if !success_outlives_a_kill(&mut shop).await {
            return;
        }
    }
    panic!("the fault did no harm");
}

/// Whether a POS that repeats, as often as it likes, and hangs up each time, is taken for too many.
async fn is_taken_for_many(fault: Option<&'static str>) -> bool {
    let shop = open(LATER, fault).await;
    let paying = shop.begin_to_pay();
    shop.terminal.has_started().await;
    let payment = shop.pos.payment(FIRST, SALE);
    let mut refused = false;
    for _ in 0..2 * REPEATS {
        let heard = tokio::time::timeout(PATIENCE, shop.pos.send(&payment)).await;
        refused |= matches!(heard, Ok(Some((429, _))));
    }
    paying.abort();
    refused
}

#[tokio::test]
async fn waiter_not_removed() {
    assert!(!is_taken_for_many(None).await);
    assert!(is_taken_for_many(Some("waiter-not-removed")).await, "the fault did no harm");
}

/// What is heard first, and by whom, when a second payment comes while the first one runs.
async fn first_heard(fault: Option<&'static str>) -> (&'static str, Heard) {
    let shop = open(LATER, fault).await;
    let paying = shop.begin_to_pay();
    shop.terminal.has_started().await;
    tokio::select! {
        heard = paying => (FIRST, heard.expect("no panic")),
        heard = shop.pos.pay(SECOND, "sale-2") => (SECOND, heard),
    }
}

#[tokio::test]
async fn wrong_waiter_woken() {
    let busy = Heard::Failure("Busy".into());
    assert_eq!(first_heard(None).await, (SECOND, busy.clone()));
    assert_eq!(first_heard(Some("wrong-waiter-woken")).await, (FIRST, busy));
}

/// What a POS hears after a terminal has come once more, and its older link has ended.
async fn heard_after_a_takeover(fault: Option<&'static str>) -> Heard {
    let mut gateway = GatewayProcess::start().await;
    begin_again(&mut gateway, fault).await;
    let code = gateway.boarding_code(POI).await;
    let terminal = WireTerminal::board(&gateway.base_url(), POI, &code, "j_1").await;
    let mut older = terminal.welcomed(1, "p_1").await;
    // With the fault it may be gone before it is even welcomed.
    let newer = tokio::spawn(terminal.hello(2, "p_1").await.serve(approved));
    assert!(matches!(older.next().await, Incoming::Closed(4409, _)));
    let heard = gateway.pos(POI).pay(FIRST, SALE).await;
    assert!(!newer.is_finished(), "the newer link stands");
    heard
}

#[tokio::test]
async fn epoch_not_passed() {
    assert_eq!(heard_after_a_takeover(None).await, Heard::Success);
    assert_eq!(heard_after_a_takeover(Some("epoch-not-passed")).await, Heard::NotDelivered);
}
