//! The fleet changes a terminal that runs, is restarted, or has no link.

use relay::{ChangeId, ChangedSettings, CloseReason, LinkToken, Placement, Settings, ToGateway, ToTerminal};
use serde_json::json;
use virtual_terminal::{Config, Notice, State, VirtualTerminal};

use crate::gateway::{Gateway, Link, POI, within};
use crate::{config, message, payment, reaches, result, start, start_waiting};

fn change(name: &str) -> ChangeId {
    ChangeId::parse(name).unwrap()
}

fn moved_to(merchant: &str, revision: u64) -> ChangedSettings {
    ChangedSettings {
        settings: Settings { revision, display_label: Some("Till 5".into()), ..Settings::default() },
        terminal: Some(Placement {
            poi_id: nexo::PoiId::parse(POI).unwrap(),
            merchant_account: merchant.into(),
            store: None,
        }),
    }
}

/// What the terminal's diagnosis says of where it stands.
async fn store_of(link: &mut Link, delivery: &str) -> String {
    let asked = link.deliver(delivery, message("Diagnosis", delivery, "{}")).await;
    link.received(&asked).await;
    link.response(&asked).await.outcome().unwrap().additional_response.unwrap()
}

#[tokio::test]
async fn a_terminal_that_is_moved_removes_its_configuration_confirms_and_goes_on_at_its_new_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    let terminal = start_waiting(&gateway, dir.path()).await;
    let (mut link, _) = gateway.welcomed().await;
    reaches(&terminal, |state| *state == State::Online).await;
    let mut notices = terminal.notices();
    let paid = link.deliver("d_1", payment("1")).await;
    link.received(&paid).await;
    link.send(ToTerminal::RemoveConfig(change("as_1"))).await;
    assert_eq!(within("a notice", notices.recv()).await, Ok(Notice::RemovesConfig { waits: true }));
    // Nothing is said before the payment has ended.
    let abort = message(
        "Abort",
        "2",
        r#"{"AbortReason":"MerchantAbort","MessageReference":{"MessageCategory":"Payment","ServiceID":"1"}}"#,
    );
    let abort = link.deliver("d_2", abort).await;
    link.received(&abort).await;
    assert_eq!(link.frame().await, ToGateway::Result(abort, relay::ResultMessage::Empty));
    link.response(&paid).await;
    assert_eq!(link.frame().await, ToGateway::ConfigRemoved(change("as_1")));
    assert_eq!(within("a notice", notices.recv()).await, Ok(Notice::ConfigRemoved));

    link.send(ToTerminal::Settings(Box::new(moved_to("M2", 9)))).await;
    link.applied(9).await;
    let text = store_of(&mut link, "3").await;
    assert!(text.contains("merchantAccount=M2") && !text.contains("STORE_AMS"), "{text}");
    terminal.stop().await;
}

#[tokio::test]
async fn a_terminal_that_is_killed_between_the_removal_and_its_answer_confirms_once_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    let terminal = start(&gateway, dir.path()).await;
    let (mut link, _) = gateway.welcomed().await;
    link.send(ToTerminal::RemoveConfig(change("as_1"))).await;
    assert_eq!(link.frame().await, ToGateway::ConfigRemoved(change("as_1")));
    terminal.unplug().await;
    drop(link);

    // It is told by maintenance at its start, and that call is the answer.
    gateway.maintenance_tells(json!({"settings": {"revision": 9},
        "terminal": {"poiId": POI, "merchantAccount": "M2", "store": "STORE_BER"}}));
    let terminal = start(&gateway, dir.path()).await;
    let mut notices = terminal.notices();
    let told = gateway.call(|call| call["configRemoved"] == "as_1").await;
    assert_eq!(told["appliedRevision"], json!(null));
    let moved = Notice::Moved { merchant_account: "M2".into(), store: Some("STORE_BER".into()) };
    assert_eq!(within("a notice", notices.recv()).await, Ok(moved));
    terminal.stop().await;
    let terminal = start(&gateway, dir.path()).await;
    let call = gateway.call(|call| call["appliedRevision"] == 9).await;
    assert_eq!(call["configRemoved"], json!(null));
    terminal.stop().await;
}

#[tokio::test]
async fn a_terminal_with_web_sockets_off_is_moved_and_comes_back_when_they_are_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    let off = json!({"revision": 8, "webSocketsEnabled": false});
    gateway.maintenance_tells(json!({"settings": off, "nextCallSeconds": 1}));
    gateway.refuse_link("403 Forbidden", "", json!({"title": "Forbidden", "code": "websockets-disabled"}));
    let terminal = start(&gateway, dir.path()).await;
    reaches(&terminal, |state| *state == State::SwitchedOff).await;

    gateway.maintenance_tells(json!({"removeConfig": {"changeId": "as_1"}}));
    gateway.call(|call| call["configRemoved"] == "as_1").await;
    gateway.maintenance_leaves_out("removeConfig");
    gateway.maintenance_tells(json!({"settings": {"revision": 9},
        "terminal": {"poiId": POI, "merchantAccount": "M2", "store": "STORE_BER"}}));
    gateway.link().await;
    terminal.stop().await;
}

#[tokio::test]
async fn a_terminal_in_inventory_hands_in_what_it_has_and_stops() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    let without_code = Config { boarding_code: None, ..config(&gateway, dir.path()) };
    let terminal = start(&gateway, dir.path()).await;
    let (link, _) = gateway.welcomed().await;
    reaches(&terminal, |state| *state == State::Online).await;
    terminal.unplug().await;
    drop(link);

    let terminal = VirtualTerminal::start(without_code).await.unwrap();
    let (mut link, _) = gateway.welcomed().await;
    let paid = link.deliver("d_1", payment("1")).await;
    link.received(&paid).await;
    assert_eq!(result(&link.response(&paid).await), nexo::ResultCode::Success);
    link.close(CloseReason::NotInStore).await;
    let state = reaches(&terminal, |state| matches!(state, State::Stopped { .. })).await;
    assert!(format!("{state:?}").contains("assign it to a store"), "{state:?}");
    gateway.call(|call| call["results"][0]["deliveryId"] == "d_1").await;
    terminal.stop().await;
}

#[tokio::test]
async fn a_new_token_opens_the_next_link_also_after_a_power_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start().await;
    let terminal = start(&gateway, dir.path()).await;
    let (mut link, _) = gateway.welcomed().await;
    link.send(ToTerminal::NewToken(LinkToken::parse("second-token").unwrap())).await;
    assert_eq!(link.frame().await, ToGateway::TokenStored);
    terminal.unplug().await;
    drop(link);
    gateway.rotate("second-token");
    let terminal = start(&gateway, dir.path()).await;
    gateway.welcomed().await;
    assert_eq!(gateway.boardings().len(), 1);
    terminal.stop().await;
}
