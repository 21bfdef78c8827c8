//! What any one key or terminal may have at once, and what it hears above that: 429 in its dialect's form, with `Retry-After`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use gateway::{Config, Limits};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::published_schemas::assert_fits;
use crate::scripted_terminal::{Delivered, ScriptedTerminal};
use crate::support::{
    DIALECTS, Dialect, Heard, MERCHANT, POI, SOON, TestGateway, device_path, payment, status_of,
};

async fn limited(limits: Limits) -> TestGateway {
    TestGateway::configured(Config { limits, ..Config::default() }).await
}

/// 429 in the dialect's form; its text names the limit.
#[track_caller]
fn assert_too_many(dialect: Dialect, heard: &Heard, limit: &str) {
    assert_eq!((heard.status, heard.content_type.as_str()), (429, "application/json"), "{}", heard.text());
    assert!(heard.retry_after.is_some_and(|seconds| seconds >= 1), "{heard:?}");
    let error = heard.json();
    assert_eq!(error["status"], 429);
    let text = match dialect {
        Dialect::Classic => {
            assert_eq!((&error["errorCode"], &error["errorType"]), (&json!("000"), &json!("internal")));
            &error["message"]
        }
        Dialect::CloudDevice => {
            assert_fits("CloudDeviceService-v1", "DefaultErrorResponseEntity", &error);
            assert_eq!(error["errorCode"], "00_429");
            &error["detail"]
        }
    };
    let text = text.as_str().unwrap();
    assert!(text.contains(limit) && text.contains("with the same ServiceID"), "{text}");
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_how_long_to_wait_and_others_are_not_held_up() {
    for dialect in DIALECTS {
        let gateway =
            limited(Limits { requests_per_second: 1, requests_burst: 3, ..Limits::default() }).await;
        let (sale, other) = (gateway.speaker(dialect).await, gateway.speaker(dialect).await);
        let ask = async |n: usize| match (dialect, n % 2) {
            (_, 0) => sale.sync(payment("NoSuch-1", &format!("P{n}"), "1.00")).await,
            (Dialect::Classic, _) => {
                sale.post("/connectedTerminals", json!({ "merchantAccount": MERCHANT }).to_string()).await
            }
            (Dialect::CloudDevice, _) => sale.get(&device_path(MERCHANT, POI, "status")).await,
        };
        let (started, mut passed) = (Instant::now(), 0);
        let over = loop {
            let heard = ask(passed).await;
            if heard.status == 429 {
                break heard;
            }
            assert_eq!(heard.status, 200);
            passed += 1;
            assert!(started.elapsed() < SOON, "nothing was refused");
        };
        assert!(passed >= 3, "only {passed} of the burst passed");
        assert_too_many(dialect, &over, "requests_per_second");
        assert_eq!(other.sync(payment("NoSuch-1", "P1", "1.00")).await.status, 200);
    }
}

#[tokio::test]
async fn the_exchanges_of_one_terminal_are_limited_and_questions_still_pass() {
    for dialect in DIALECTS {
        let gateway = limited(Limits { exchanges_per_terminal: 1, ..Limits::default() }).await;
        let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
        let sale = gateway.speaker(dialect).await;
        let (first, ()) = tokio::join!(sale.sync(payment(POI, "P1", "1.00")), async {
            let delivered = terminal.delivered().await;
            let over = sale.sync(payment(POI, "P2", "1.00")).await;
            assert_too_many(dialect, &over, "exchanges_per_terminal");
            let status = sale.sync(status_of(POI, "S1", "P1")).await;
            assert_eq!(status.outcome().1, "InProgress");
            terminal.succeed(&delivered).await;
        });
        assert_eq!(first.outcome().0, "Success");
        // 429 said nothing about the ServiceID: it may be used again.
        let (second, ()) = tokio::join!(sale.sync(payment(POI, "P2", "1.00")), async {
            let delivered = terminal.delivered().await;
            terminal.succeed(&delivered).await;
        });
        assert_eq!(second.outcome().0, "Success");
    }
}

/// Takes every request, and answers them all once it may.
async fn hold(mut terminal: ScriptedTerminal, held: Arc<AtomicUsize>, mut go: watch::Receiver<()>) {
    let mut requests: Vec<Delivered> = Vec::new();
    loop {
        tokio::select! {
            delivered = terminal.delivered() => {
                terminal.received(&delivered).await;
                requests.push(delivered);
                held.fetch_add(1, Ordering::SeqCst);
            }
            _ = go.changed() => break,
        }
    }
    for delivered in &requests {
        terminal.succeed(delivered).await;
    }
}

#[tokio::test]
async fn five_hundred_requests_of_one_key_wait_at_once_and_the_next_one_is_told_to_repeat() {
    const EACH: u32 = 64;
    raise_open_files();
    let limits = Limits { exchanges_per_terminal: EACH, ..Limits::default().with_rates_raised(100) };
    let most = usize::try_from(limits.exchanges_per_key).unwrap();
    assert_eq!(most, 500);
    let gateway = Arc::new(limited(limits).await);
    let (held, (release, go)) = (Arc::new(AtomicUsize::new(0)), watch::channel(()));
    let mut terminals = JoinSet::new();
    let poi = |n: usize| format!("V400m-{}", n % most.div_ceil(EACH as usize));
    for n in 0..most.div_ceil(EACH as usize) {
        let terminal = ScriptedTerminal::connect(&gateway, &poi(n)).await;
        terminals.spawn(hold(terminal, held.clone(), go.clone()));
    }
    let key = gateway.key_for(&DIALECTS).await;
    let mut calls = JoinSet::new();
    for n in 0..most {
        let (gateway, key, poi) = (gateway.clone(), key.clone(), poi(n));
        calls.spawn(async move {
            let dialect = DIALECTS[n % 2];
            let sale = gateway.sale_with_key(&key).speaking(dialect);
            sale.sync(payment(&poi, &format!("P{n}"), "1.00")).await
        });
    }
    let started = Instant::now();
    while held.load(Ordering::SeqCst) < most {
        assert!(started.elapsed() < SOON, "only {} arrived", held.load(Ordering::SeqCst));
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    for dialect in DIALECTS {
        let over =
            gateway.sale_with_key(&key).speaking(dialect).sync(payment(&poi(0), "ONEMORE", "1.00")).await;
        assert_too_many(dialect, &over, "exchanges_per_key");
    }
    // Another key is not held up; the rest have their answers as soon as their terminals do.
    assert_eq!(gateway.sale().await.sync(payment("NoSuch-1", "P1", "1.00")).await.status, 200);
    release.send(()).unwrap();
    while let Some(heard) = calls.join_next().await {
        assert_eq!(heard.unwrap().outcome().0, "Success");
    }
    while let Some(terminal) = terminals.join_next().await {
        terminal.unwrap();
    }
}

/// Both ends of five hundred sockets are in this process.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_any_more_keeps_its_place_until_it_has_ended() {
    let gateway = limited(Limits { exchanges_per_key: 1, ..Limits::default() }).await;
    let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
    let sale = gateway.sale().await;
    let (heard, delivered) = tokio::join!(sale.r#async(payment(POI, "P1", "1.00")), async {
        let delivered = terminal.delivered().await;
        terminal.received(&delivered).await;
        delivered
    });
    assert_eq!(heard.text(), "ok");
    let over = sale.sync(payment("NoSuch-1", "P2", "1.00")).await;
    assert_too_many(Dialect::Classic, &over, "exchanges_per_key");
    terminal.succeed(&delivered).await;
    let started = Instant::now();
    while sale.sync(payment("NoSuch-1", "P3", "1.00")).await.status == 429 {
        assert!(started.elapsed() < SOON, "the place is not given back");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
