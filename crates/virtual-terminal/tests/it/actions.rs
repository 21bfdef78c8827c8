//! A terminal of the Actions API.

use std::path::Path;
use std::time::Duration;

use nexo::PoiId;
use relay::actions::{FromClient, PaymentStatus, Resume};
use serde_json::json;
use virtual_terminal::{Actions, Config, Dialect, Habit, Secret, State, VirtualTerminal};

use crate::gateway::{Gateway, Link, POI, TOKEN};
use crate::{NEVER, reaches};

const PAYMENT: &str = r#"{"action":"paymentRequest","desktopId":"c_1","paymentRequest":{"transactionId":"T-1","amount":"10.99","currency":"EUR"},"timestamp":"2026-11-20T08:15:01.000Z"}"#;

fn config(gateway: &Gateway, dir: &Path, habit: Habit) -> Config {
    let mut config = Config::new(&gateway.url, dir, PoiId::parse(POI).unwrap());
    config.dialect = Dialect::Actions(Actions { key: Secret::new(TOKEN), habit });
    config.cardholder = Duration::from_millis(10);
    config
}

async fn resumed(link: &mut Link) -> Resume {
    match link.said().await {
        FromClient::Resume(resume) => resume,
        other => panic!("expected resume, got {other:?}"),
    }
}

async fn answered(link: &mut Link) -> PaymentStatus {
    match link.said().await {
        FromClient::PaymentResponse { response, .. } => response.status,
        other => panic!("expected an answer, got {other:?}"),
    }
}

#[tokio::test]
async fn an_actions_terminal_connects_pays_and_tells_until_it_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    let terminal = VirtualTerminal::start(config(&gateway, dir.path(), Habit::Acknowledges)).await.unwrap();
    let mut link = gateway.opened().await;
    let first = resumed(&mut link).await;
    assert_eq!(first.payments, []);
    assert_eq!(*terminal.state().borrow(), State::Connecting);
    link.send_text(PAYMENT).await;
    assert!(matches!(link.said().await, FromClient::PaymentReceived(_)));
    assert_eq!(*terminal.state().borrow(), State::Online);
    assert_eq!(answered(&mut link).await, PaymentStatus::Success);
    assert_eq!(terminal.executed_payments().len(), 1);
    terminal.unplug().await;

    let terminal = VirtualTerminal::start(config(&gateway, dir.path(), Habit::Acknowledges)).await.unwrap();
    let mut link = gateway.opened().await;
    let second = resumed(&mut link).await;
    assert_eq!((second.journal, second.payments.len()), (first.journal, 1));
    assert_eq!(answered(&mut link).await, PaymentStatus::Success);
    link.send_text(r#"{"action":"paymentRecorded","transactionId":"T-1","desktopId":"c_1"}"#).await;
    link.send_text(r#"{"action":"forceDisconnect","reason":"REPLACED_BY_NEW_CONNECTION","timestamp":""}"#)
        .await;
    assert_eq!(link.closed().await, 1000);
    reaches(&terminal, |state| *state == State::Replaced { winner: None }).await;
    terminal.stop().await;
    assert_eq!(gateway.upgrades(), 2);
    assert_eq!((gateway.boardings().len(), gateway.maintenance().len()), (0, 0));
}

#[tokio::test]
async fn an_actions_terminal_that_lost_its_power_in_mid_payment_says_that_it_can_not_tell() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    let waits = Config { cardholder: NEVER, ..config(&gateway, dir.path(), Habit::Acknowledges) };
    let terminal = VirtualTerminal::start(waits).await.unwrap();
    let mut link = gateway.opened().await;
    resumed(&mut link).await;
    link.send_text(PAYMENT).await;
    assert!(matches!(link.said().await, FromClient::PaymentReceived(_)));
    let mut busy = terminal.busy();
    busy.wait_for(|busy| *busy).await.unwrap();
    terminal.unplug().await;

    let terminal = VirtualTerminal::start(config(&gateway, dir.path(), Habit::Acknowledges)).await.unwrap();
    let mut link = gateway.opened().await;
    assert_eq!(resumed(&mut link).await.payments.len(), 1);
    // Power may have gone before the start was on disk: then it certainly did not begin.
    assert!(matches!(answered(&mut link).await, PaymentStatus::Unknown | PaymentStatus::Cancelled));
    assert_eq!(terminal.executed_payments().len(), 0);
    terminal.stop().await;
}

#[tokio::test]
async fn a_plain_terminal_says_its_last_result_again_after_a_reconnect() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    let terminal =
        VirtualTerminal::start(config(&gateway, dir.path(), Habit::PlainAndRepeats)).await.unwrap();
    let mut link = gateway.opened().await;
    link.send_text(PAYMENT).await;
    assert_eq!(answered(&mut link).await, PaymentStatus::Success);
    drop(link);
    let mut link = gateway.opened().await;
    assert_eq!(answered(&mut link).await, PaymentStatus::Success);
    assert_eq!(terminal.executed_payments().len(), 1);
    terminal.stop().await;
}

#[tokio::test]
async fn a_key_that_is_not_taken_needs_a_person() {
    for (status, detail, told) in [
        ("401 Unauthorized", "No such key.", "the gateway does not take this key"),
        ("403 Forbidden", "Another place.", "this key is not for an Actions terminal here"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let gateway = Gateway::start().await;
        gateway.refuse_link(status, "", json!({ "detail": detail }));
        let terminal =
            VirtualTerminal::start(config(&gateway, dir.path(), Habit::Acknowledges)).await.unwrap();
        let state = reaches(&terminal, |state| matches!(state, State::Stopped { .. })).await;
        let State::Stopped { why } = state else { panic!("not stopped") };
        assert!(why.starts_with(told) && why.contains(detail), "{why}");
        terminal.stop().await;
    }
}
