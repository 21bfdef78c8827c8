//! A terminal that breaks the link protocol is closed with the code that says so.

use futures_util::SinkExt as _;
use tokio_tungstenite::tungstenite::Message;

use crate::gateway_process::{GatewayProcess, POI};
use crate::wire_terminal::{Incoming, WireLink, WireTerminal};

async fn closed(mut link: WireLink) -> (u16, String) {
    match link.next().await {
        Incoming::Closed(code, reason) => (code, reason),
        other => panic!("expected a close, got {other:?}"),
    }
}

#[tokio::test]
async fn each_breach_of_the_protocol_has_its_code() {
    let mut gateway = GatewayProcess::start().await;
    let code = gateway.boarding_code(POI).await;
    let mut terminal = WireTerminal::board(&gateway.base_url(), POI, &code, "j_1").await;

    let mut link = terminal.try_connect().await.expect("the link opens");
    link.send(r#"{"action":"received","deliveryId":"d_1"}"#).await;
    assert_eq!(closed(link).await.0, 4400, "the first frame is no hello");

    let mut link = terminal.try_connect().await.expect("the link opens");
    link.send("[]").await;
    assert_eq!(closed(link).await.0, 4400, "a frame is no object");

    let mut link = terminal.welcomed(1, "p_1").await;
    link.socket.send(Message::binary(vec![1, 2, 3])).await.expect("the link stands");
    assert_eq!(closed(link).await.0, 4400, "a frame is binary");

    // Over the limit of a frame, and far over it.
    for (attempt, length) in [(2, 140_000), (3, 400_000)] {
        let mut link = terminal.welcomed(attempt, "p_1").await;
        link.send(&format!(r#"{{"action":"notify","filler":"{}"}}"#, "x".repeat(length))).await;
        assert_eq!(closed(link).await.0, 1009, "a frame of {length} bytes");
    }

    let older = terminal.welcomed(4, "p_older").await;
    let newer = terminal.welcomed(5, "p_newer").await;
    assert_eq!(closed(older).await, (4409, "p_newer".to_owned()));

    terminal.journal_id = "j_other".into();
    assert_eq!(closed(terminal.hello(6, "p_1").await).await, (4403, "board-again".to_owned()));
    terminal.journal_id = "j_1".into();

    gateway.stop().await;
    assert_eq!(closed(newer).await.0, 1001, "the gateway stops");
}
