//! What is said about a terminal's connection is true, and a terminal that is away is told apart at once.

use std::time::{Duration, Instant};

use crate::gateway_process::{GatewayProcess, MERCHANT, POI};
use crate::pos::Heard;
use crate::wire_terminal::{Incoming, WireTerminal, approved};

#[tokio::test]
async fn a_stale_hello_takes_nothing_over_from_a_living_link() {
    let gateway = GatewayProcess::start().await;
    let pos = gateway.pos(POI);
    let terminal =
        WireTerminal::board(&gateway.base_url(), POI, &gateway.boarding_code(POI).await, "j_1").await;
    let living = terminal.welcomed(5, "p_living").await;
    let living = tokio::spawn(living.serve(approved));

    for attempt in [5, 4, 0] {
        match terminal.hello(attempt, "p_stale").await.next().await {
            Incoming::Closed(code, reason) => assert_eq!((code, &*reason), (4400, "stale hello")),
            other => panic!("attempt {attempt}: expected a close, got {other:?}"),
        }
        assert_eq!(pos.is_connected(MERCHANT).await, Some(true), "the living link answers");
        assert_eq!(pos.pay(&pos.fresh_service(), "sale-1").await, Heard::Success);
    }
    assert!(!living.is_finished(), "the living link stands");
}

#[tokio::test]
async fn a_request_to_an_absent_terminal_is_refused_within_100_ms() {
    const REQUESTS: usize = 1_000;
    let gateway = GatewayProcess::start().await;
    let pos = gateway.pos(POI);
    let mut took = Vec::new();
    for _ in 0..REQUESTS {
        let asked = Instant::now();
        let heard = pos.pay(&pos.fresh_service(), "sale-1").await;
        took.push(asked.elapsed());
        assert_eq!(heard, Heard::NotDelivered);
    }
    took.sort();
    let (p50, p99) = (took[REQUESTS / 2], took[REQUESTS * 99 / 100]);
    println!("{REQUESTS} requests to an absent terminal: refused after p50 {p50:.1?}, p99 {p99:.1?}");
    assert!(p99 < Duration::from_millis(100), "p99 {p99:?}");
}
