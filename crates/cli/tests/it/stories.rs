//! The stories that this field tells about money, one after another, each as what happens here instead. `docs/money.md`
//! tells them in full, and names these tests.
//!
//! Every one has a real gateway, a real terminal on the other side of a proxy that can hold and cut single frames, and a
//! till that sees nothing but HTTP. A test is named after its story's number and after what it proves.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::gateway_process::{GatewayProcess, MERCHANT, POI};
use crate::pos::{Answer, Heard};
use crate::process::until;
use crate::proxy::{Break, Side};
use crate::shop::{AT_ONCE, FIRST, LATER, SECOND, SOON, Shop};
use crate::wire_terminal::{Incoming, WireLink, WireTerminal};

/// The orders that are paid for; [`FIRST`] and [`SECOND`] are the ServiceIDs of their payments.
const ORDER_1: &str = "order-1";
const ORDER_2: &str = "order-2";

/// What any one step may take on a machine that runs other tests as well.
const STEP_MAX: Duration = Duration::from_secs(20);

// Story 1: a retry after a lost reply was charged twice.

#[tokio::test]
async fn story_1_a_retry_after_a_lost_reply_gets_the_first_result_and_charges_nothing() {
    let mut shop = Shop::open(AT_ONCE).await;
    let payment = shop.pos.payment(FIRST, ORDER_1);
    shop.send_and_lose_the_reply(&payment).await;

    let retry = shop.sync(&payment).await;
    assert_eq!((retry.heard(), retry.repeated), (Heard::Success, true));
    shop.gateway.kill();
    shop.gateway.start_again().await;
    let later = shop.sync(&payment).await;
    assert_eq!((later.text, later.repeated), (retry.text, true), "the very bytes, also after a crash");
    assert_eq!((shop.executed(FIRST), shop.deliveries()), (1, 1));
}

#[tokio::test]
async fn story_1_a_retry_while_the_first_try_still_runs_joins_it() {
    let shop = Shop::open(AT_ONCE).await;
    let mut held = shop.proxy.hold("result");
    let payment = shop.pos.payment(FIRST, ORDER_1);
    let first = shop.begin(&payment);
    held.caught().await;
    assert_eq!(
        shop.sync_for(1, &payment).await.heard(),
        Heard::NoResponse,
        "it waited with the first, in vain"
    );
    let retry = shop.begin(&payment);
    held.pass_on();
    let (first, retry) = (heard_by(first).await, heard_by(retry).await);
    assert_eq!((first.heard(), first.text), (Heard::Success, retry.text));
    assert_eq!((shop.executed(FIRST), shop.deliveries()), (1, 1));
}

#[tokio::test]
async fn story_1_a_late_copy_of_what_was_told_undelivered_never_runs() {
    let mut shop = Shop::open(AT_ONCE).await;
    let payment = shop.pos.payment(FIRST, ORDER_1);
    shop.terminal.kill();
    shop.is_gone().await;
    assert_eq!(shop.sync(&payment).await.heard(), Heard::NotDelivered);

    shop.terminal.start_again();
    shop.is_connected().await;
    assert_eq!(shop.sync(&shop.pos.payment(SECOND, ORDER_1)).await.heard(), Heard::Success);
    // The same request once more, as a network delivers it that had kept a copy.
    assert_eq!(shop.sync(&payment).await.heard(), Heard::NotDelivered);
    assert_eq!((shop.executed(FIRST), shop.executed(SECOND)), (0, 1));
}

// Story 2: the next order received the previous order's result.

#[tokio::test]
async fn story_2_a_late_result_of_the_last_order_does_not_answer_the_next_one() {
    let shop = Shop::open(AT_ONCE).await;
    let mut late = shop.proxy.hold("result");
    let gave_up = shop.sync_for(1, &shop.pos.payment(FIRST, ORDER_1)).await;
    assert_eq!(gave_up.heard(), Heard::NoResponse);
    late.caught().await;

    let next = shop.begin(&shop.pos.payment(SECOND, ORDER_2));
    shop.has_executed(SECOND).await;
    // Only now, while the next order waits, the last one's result gets through, and the next one's behind it.
    late.pass_on();
    let next = heard_by(next).await;
    assert_eq!((next.heard(), next.sale().as_deref()), (Heard::Success, Some(ORDER_2)));
    let first = shop.ask_until_settled(FIRST).await;
    assert_eq!((first.heard(), first.sale().as_deref()), (Heard::Success, Some(ORDER_1)));
}

#[tokio::test]
async fn story_2_a_terminal_that_answers_the_wrong_order_answers_no_till() {
    let gateway = GatewayProcess::start().await;
    let (mut link, pos) = (wire_link(&gateway).await, gateway.pos(POI));
    let (order_1, order_2) = (pos.payment(FIRST, ORDER_1), pos.payment(SECOND, ORDER_2));
    let (first, ()) = tokio::join!(pos.call("/sync", &order_1, None), async {
        let delivered = delivered(&mut link).await;
        link.send(&result(&delivered, &success(&delivered.message))).await;
    });
    assert_eq!((first.heard(), first.sale().as_deref()), (Heard::Success, Some(ORDER_1)));

    let (second, ()) = tokio::join!(pos.call("/sync", &order_2, None), async {
        let delivered = delivered(&mut link).await;
        link.send(&result(&delivered, &serde_json::from_str(&first.text).expect("JSON"))).await;
    });
    assert_eq!(second.heard(), Heard::NoResponse, "{}", second.text);
    assert_eq!(pos.ask(SECOND).await, Heard::NoResponse);
    assert_eq!(pos.ask(FIRST).await, Heard::Success);
}

#[tokio::test]
async fn story_2_two_tills_that_use_one_service_id_never_share_a_result() {
    let shop = Shop::open(AT_ONCE).await;
    let mut other_till = shop.gateway.pos(POI);
    other_till.sale_id = "TILL-05".into();
    assert_eq!(shop.sync(&shop.pos.payment(FIRST, ORDER_1)).await.heard(), Heard::Success);

    let clash = other_till.call("/sync", &other_till.payment(FIRST, ORDER_2), None).await;
    assert_eq!(clash.heard(), Heard::Failure("NotAllowed".into()));
    let question = other_till.call("/sync", &other_till.status_request(FIRST), None).await;
    assert_eq!(question.heard(), Heard::Failure("NotAllowed".into()), "neither the result nor NotFound");
    for answer in [clash, question] {
        assert!(answer.text.contains("TILL-04"), "it says whose it is: {}", answer.text);
    }
    assert_eq!(shop.executed(FIRST), 1);
}

// Story 3: the notification never came.

#[tokio::test]
async fn story_3_a_result_whose_notification_never_comes_is_had_by_asking() {
    let mut shop = Shop::open(AT_ONCE).await;
    assert_eq!(shop.r#async(&shop.pos.payment(FIRST, ORDER_1)).await.text, "ok");
    shop.has_recorded(1).await;
    shop.terminal.kill();
    shop.gateway.kill();
    shop.gateway.start_again().await;
    let answer = shop.ask(FIRST).await;
    assert_eq!((answer.heard(), answer.sale().as_deref()), (Heard::Success, Some(ORDER_1)));
}

#[tokio::test]
async fn story_3_what_is_owed_is_on_disk_before_ok_is_said_and_stays_through_a_crash() {
    let mut shop = Shop::open(AT_ONCE).await;
    let mut held = shop.proxy.hold("result");
    assert_eq!(shop.r#async(&shop.pos.payment(FIRST, ORDER_1)).await.text, "ok");
    held.caught().await;
    shop.gateway.kill();
    assert_eq!(shop.owed(), [(FIRST.to_owned(), "open".to_owned())]);
    shop.gateway.start_again().await;
    assert_eq!(shop.ask_until_settled(FIRST).await.heard(), Heard::Success);
    assert_eq!(shop.owed(), [(FIRST.to_owned(), "answered".to_owned())]);
}

#[tokio::test]
async fn story_3_ok_is_not_said_of_what_no_terminal_has() {
    let shop = Shop::open(AT_ONCE).await;
    let held = shop.proxy.hold("deliver");
    let answer = shop.pos.call("/async", &shop.pos.payment(FIRST, ORDER_1), Some(1)).await;
    assert_eq!(answer.heard(), Heard::NoResponse, "{}", answer.text);
    held.pass_on();
    assert_eq!(shop.ask_until_settled(FIRST).await.heard(), Heard::Success);
}

// Story 4: the notification came twice.

#[tokio::test]
async fn story_4_whatever_is_repeated_one_notification_is_owed_for_one_result() {
    let shop = Shop::open(AT_ONCE).await;
    let payment = shop.pos.payment(FIRST, ORDER_1);
    // The till calls twice at once, and the terminal hands its result in twice, as it is not told that we have it.
    let cut = shop.proxy.break_at(Side::Before, "recorded", Break::Reset);
    let (one, other) = tokio::join!(shop.r#async(&payment), shop.r#async(&payment));
    assert_eq!((&*one.text, &*other.text), ("ok", "ok"));
    cut.await.expect("the frame comes");
    shop.has_recorded(2).await;
    let later = shop.r#async(&payment).await;
    assert_eq!((&*later.text, later.repeated), ("ok", true));

    assert_eq!(shop.proxy.seen("result").len(), 2, "the terminal said it twice");
    assert_eq!(shop.owed(), [(FIRST.to_owned(), "answered".to_owned())]);
    assert_eq!((shop.executed(FIRST), shop.deliveries()), (1, 1));
}

// Story 5: an authorised payment was silently lost.

#[tokio::test]
async fn story_5_an_authorised_payment_outlives_the_crash_of_everything_that_had_a_part_in_it() {
    let mut shop = Shop::open(AT_ONCE).await;
    let mut held = shop.proxy.hold("result");
    let paying = shop.begin_to_pay();
    held.caught().await;
    shop.terminal.kill();
    shop.gateway.kill();
    assert_eq!(paying.await.expect("no panic"), Heard::Nothing);
    assert_eq!(shop.executed(FIRST), 1, "the money has moved");

    shop.gateway.start_again().await;
    assert_eq!(shop.ask(FIRST).await.heard(), Heard::InProgress, "not yet known, and not denied");
    shop.terminal.start_again();
    assert_eq!(shop.ask_until_settled(FIRST).await.heard(), Heard::Success);
}

#[tokio::test]
async fn story_5_a_result_can_be_asked_for_after_its_terminal_is_gone() {
    let mut shop = Shop::open(AT_ONCE).await;
    shop.send_and_lose_the_reply(&shop.pos.payment(FIRST, ORDER_1)).await;
    shop.terminal.kill();
    shop.is_gone().await;
    let answer = shop.ask(FIRST).await;
    assert_eq!((answer.heard(), answer.sale().as_deref()), (Heard::Success, Some(ORDER_1)));
}

// Story 6: the cancel hit the wrong payment.

#[tokio::test]
async fn story_6_a_late_cancel_of_the_last_order_leaves_the_next_one_alone() {
    let mut shop = Shop::open(AT_ONCE).await;
    assert_eq!(shop.sync(&shop.pos.payment(FIRST, ORDER_1)).await.heard(), Heard::Success);
    shop.present_cards_after(SOON).await;
    let next = shop.begin(&shop.pos.payment(SECOND, ORDER_2));
    shop.terminal.has_started().await;
    assert_eq!(shop.sync(&shop.pos.abort_request(FIRST)).await.text, "ok", "there is nothing left to cancel");
    assert_eq!(heard_by(next).await.heard(), Heard::Success);
    assert_eq!(shop.ask(FIRST).await.heard(), Heard::Success, "nor was the last one undone");
}

#[tokio::test]
async fn story_6_a_cancel_that_names_no_payment_or_another_tills_cancels_nothing() {
    let shop = Shop::open(SOON).await;
    let paying = shop.begin_to_pay();
    shop.terminal.has_started().await;
    let another_tills = shop.pos.abort_request(FIRST).replace(&shop.pos.sale_id, "TILL-05");
    let unnamed = shop.pos.request("Abort", "unnamed", &json!({"AbortReason": "MerchantAbort"}));
    for abort in [unnamed, another_tills, shop.pos.abort_request(SECOND)] {
        assert_eq!(shop.sync(&abort).await.text, "ok", "it was dealt with, and found nothing to cancel");
    }
    assert_eq!(paying.await.expect("no panic"), Heard::Success);
}

// Story 7: only the last result was kept.

#[tokio::test]
async fn story_7_every_result_is_kept_and_not_only_the_last() {
    let mut shop = Shop::open(AT_ONCE).await;
    let orders: Vec<_> = (1..=5).map(|n| (format!("p{n}"), format!("order-{n}"))).collect();
    for (service, order) in &orders {
        assert_eq!(shop.sync(&shop.pos.payment(service, order)).await.heard(), Heard::Success);
    }
    shop.terminal.kill();
    shop.gateway.kill();
    shop.gateway.start_again().await;
    for (service, order) in &orders {
        let answer = shop.ask(service).await;
        assert_eq!((answer.heard(), answer.sale().as_ref()), (Heard::Success, Some(order)));
    }
}

// Story 8: stuck at "waiting for card" after the cancel.

#[tokio::test]
async fn story_8_after_a_cancel_the_terminal_is_free_for_the_next_order() {
    let shop = Shop::open(LATER).await;
    for (service, order) in [(FIRST, ORDER_1), (SECOND, ORDER_2)] {
        let paying = shop.begin(&shop.pos.payment(service, order));
        shop.terminal.has_started().await;
        assert_eq!(shop.sync(&shop.pos.abort_request(service)).await.text, "ok");
        assert_eq!(heard_by(paying).await.heard(), Heard::Failure("Aborted".into()), "{service}");
    }
    assert_eq!(shop.terminal.executions().len(), 0);
}

#[tokio::test]
async fn story_8_a_cancel_that_got_lost_is_not_called_ok_and_a_second_one_works() {
    let shop = Shop::open(LATER).await;
    let paying = shop.begin_to_pay();
    shop.terminal.has_started().await;
    let cut = shop.proxy.break_at(Side::Before, "deliver", Break::Reset);
    let lost = shop.sync(&shop.pos.abort_request(FIRST)).await;
    cut.await.expect("the frame comes");
    assert!([Heard::NotDelivered, Heard::NoResponse].contains(&lost.heard()), "{}", lost.text);
    shop.is_connected().await;
    assert_eq!(shop.sync(&shop.pos.abort_request(FIRST)).await.text, "ok");
    assert_eq!(paying.await.expect("no panic"), Heard::Failure("Aborted".into()));
    assert_eq!(shop.terminal.executions().len(), 0);
}

// Story 9: the client timed out though the payment succeeded.

#[tokio::test]
async fn story_9_a_client_that_timed_out_asks_and_learns_that_the_payment_succeeded() {
    let shop = Shop::open(AT_ONCE).await;
    let mut held = shop.proxy.hold("result");
    let payment = shop.pos.payment(FIRST, ORDER_1);
    let paying = shop.begin(&payment);
    held.caught().await;
    paying.abort();
    assert!(paying.await.is_err_and(|error| error.is_cancelled()), "the client gave up before an answer");

    assert_eq!(shop.ask(FIRST).await.heard(), Heard::InProgress, "so it neither failed nor succeeded yet");
    held.pass_on();
    assert_eq!(shop.ask_until_settled(FIRST).await.heard(), Heard::Success);
    assert_eq!(
        shop.sync(&payment).await.heard(),
        Heard::Success,
        "the same bytes again are as good a question"
    );
    assert_eq!((shop.executed(FIRST), shop.deliveries()), (1, 1));
}

// Story 10: the deadlines of POS and terminal differ.

#[tokio::test]
async fn story_10_the_terminal_gives_up_before_its_till_does() {
    let shop = Shop::open(LATER).await;
    // Of the till's 4 s the terminal has 2, and its answer the rest.
    for (service, order) in [(FIRST, ORDER_1), (SECOND, ORDER_2)] {
        let answer = shop.sync_for(4, &shop.pos.payment(service, order)).await;
        assert_eq!(answer.heard(), Heard::Failure("Aborted".into()), "{service}");
    }
    assert_eq!(shop.terminal.executions().len(), 0);
}

#[tokio::test]
async fn story_10_a_success_after_its_tills_deadline_is_neither_denied_nor_lost() {
    let shop = Shop::open(AT_ONCE).await;
    let mut late = shop.proxy.hold("result");
    let answer = shop.sync_for(1, &shop.pos.payment(FIRST, ORDER_1)).await;
    assert_eq!(answer.heard(), Heard::NoResponse, "not known, which is not the same as failed");
    late.caught().await;
    late.pass_on();
    assert_eq!(shop.ask_until_settled(FIRST).await.heard(), Heard::Success);
    assert_eq!(shop.executed(FIRST), 1);
}

// Story 11: a poll was answered with an old result.

#[tokio::test]
async fn story_11_a_repeated_question_is_answered_with_what_is_true_now() {
    let shop = Shop::open(AT_ONCE).await;
    let mut held = shop.proxy.hold("result");
    let paying = shop.begin_to_pay();
    held.caught().await;
    let question = shop.pos.status_request(FIRST);
    assert_eq!(shop.sync(&question).await.heard(), Heard::InProgress);
    held.pass_on();
    assert_eq!(paying.await.expect("no panic"), Heard::Success);
    let again = shop.sync(&question).await;
    assert_eq!((again.heard(), again.repeated), (Heard::Success, false));
}

#[tokio::test]
async fn story_11_a_question_that_the_terminal_answered_is_not_answered_again_from_memory() {
    let shop = Shop::open(AT_ONCE).await;
    let diagnosis = shop.pos.request("Diagnosis", "poll", &json!({"HostDiagnosisFlag": false}));
    assert!(shop.sync(&diagnosis).await.text.contains(r#""Result":"Success""#));
    let again = shop.sync(&diagnosis).await;
    assert!(again.text.contains(r#""ErrorCondition":"NotAllowed""#), "{}", again.text);
    assert!(again.text.contains("new+ServiceID"), "it says what to do: {}", again.text);
}

#[tokio::test]
async fn story_11_a_question_about_this_order_is_not_answered_with_the_last_one() {
    let shop = Shop::open(AT_ONCE).await;
    assert_eq!(shop.sync(&shop.pos.payment(FIRST, ORDER_1)).await.heard(), Heard::Success);
    let mut held = shop.proxy.hold("result");
    let next = shop.begin(&shop.pos.payment(SECOND, ORDER_2));
    held.caught().await;
    let meanwhile = shop.ask(SECOND).await;
    assert_eq!((meanwhile.heard(), meanwhile.sale()), (Heard::InProgress, None));
    // Answered while the next one waits, and again it is the one that was asked about.
    assert_eq!(shop.ask(FIRST).await.sale().as_deref(), Some(ORDER_1));
    held.pass_on();
    assert_eq!(heard_by(next).await.sale().as_deref(), Some(ORDER_2));
    assert_eq!(shop.ask(SECOND).await.sale().as_deref(), Some(ORDER_2));
}

#[tokio::test]
async fn story_11_a_question_over_async_is_refused_since_its_answer_may_come_when_it_is_old() {
    let shop = Shop::open(AT_ONCE).await;
    assert_eq!(shop.sync(&shop.pos.payment(FIRST, ORDER_1)).await.heard(), Heard::Success);
    let refused = shop.r#async(&shop.pos.status_request(FIRST)).await;
    assert!(refused.text.contains("errorCondition=NotAllowed"), "{}", refused.text);
    assert!(refused.text.contains("synchronous"), "it says what to do: {}", refused.text);
}

// The page that tells them.

#[test]
fn every_story_is_on_the_page_and_every_test_that_the_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/money.md")).expect("the page is there");
    let named: BTreeSet<&str> =
        page.split('`').skip(1).step_by(2).filter(|code| names_a_test(code)).collect();
    for name in &named {
        let (file, test) = name.split_once("::").expect("file::test");
        let is_there = std::fs::read_dir(root.join("crates")).expect("crates").any(|crate_dir| {
            let file = crate_dir.expect("a crate").path().join(format!("tests/it/{file}.rs"));
            std::fs::read_to_string(file).is_ok_and(|source| source.contains(&format!("fn {test}(")))
        });
        assert!(is_there, "docs/money.md names {name}, which is in no crate's tests/it/{file}.rs");
    }

    let this_file = include_str!("stories.rs");
    let stories = this_file.lines().filter_map(|line| line.strip_prefix("async fn story_")?.split_once('('));
    let stories: BTreeSet<String> = stories.map(|(rest, _)| format!("stories::story_{rest}")).collect();
    assert!(stories.len() >= 11, "{stories:?}");
    let untold: Vec<_> = stories.iter().filter(|story| !named.contains(story.as_str())).collect();
    assert!(untold.is_empty(), "docs/money.md does not tell {untold:?}");
}

/// Whether it is written like `file::test_name`.
fn names_a_test(code: &str) -> bool {
    let is_name = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    code.split_once("::").is_some_and(|(file, test)| is_name(file) && is_name(test))
}

// What the stories need of a shop.

impl Shop {
    /// A call to `/sync`.
    async fn sync(&self, body: &str) -> Answer {
        self.pos.call("/sync", body, None).await
    }

    /// The same of a till that waits for so long.
    async fn sync_for(&self, seconds: u32, body: &str) -> Answer {
        self.pos.call("/sync", body, Some(seconds)).await
    }

    /// TransactionStatus, once, with a ServiceID of its own.
    async fn ask(&self, service: &str) -> Answer {
        self.sync(&self.pos.status_request(service)).await
    }

    /// The same, again and again while it still runs.
    async fn ask_until_settled(&self, service: &str) -> Answer {
        until("it is settled", STEP_MAX, async || {
            Some(self.ask(service).await).filter(|answer| answer.heard() != Heard::InProgress)
        })
        .await
    }

    /// A call to `/sync` that goes on beside the test.
    fn begin(&self, body: &str) -> JoinHandle<Answer> {
        let (pos, body) = (self.pos.clone(), body.to_owned());
        tokio::spawn(async move { pos.call("/sync", &body, None).await })
    }

    /// Sends a request, waits until its reply has come, and goes away without having read a byte of it.
    async fn send_and_lose_the_reply(&self, body: &str) {
        let mut socket = TcpStream::connect(self.gateway.address()).await.expect("the gateway listens");
        socket.write_all(self.pos.raw_request(body).as_bytes()).await.expect("the gateway reads");
        let reply = tokio::time::timeout(STEP_MAX, socket.readable()).await;
        reply.expect("the reply comes").expect("the connection stands");
    }
    /// A call to `/async`.
    async fn r#async(&self, body: &str) -> Answer {
        self.pos.call("/async", body, None).await
    }

    /// How many deliveries were written to a link.
    fn deliveries(&self) -> usize {
        self.proxy.writes_per_delivery().values().sum()
    }

    /// Waits until the terminal has done it.
    async fn has_executed(&self, service: &str) {
        until("the payment is executed", STEP_MAX, async || (self.executed(service) == 1).then_some(()))
            .await;
    }

    /// Waits until the gateway has told the terminal so often that a result is on disk.
    async fn has_recorded(&self, times: usize) {
        until("it is recorded", STEP_MAX, async || {
            (self.proxy.seen("recorded").len() == times).then_some(())
        })
        .await;
    }

    /// Waits until the gateway knows that the terminal is gone.
    async fn is_gone(&self) {
        until("the terminal is missed", STEP_MAX, async || {
            self.pos.connected(MERCHANT).await.filter(Vec::is_empty).map(|_| ())
        })
        .await;
    }

    /// Starts the terminal again, with slower cardholders.
    async fn present_cards_after(&mut self, seconds: f64) {
        self.terminal.kill();
        self.is_gone().await;
        self.terminal.cardholder_seconds = seconds;
        self.terminal.start_again();
        self.is_connected().await;
    }

    /// The ServiceIDs for which the ledger owes a notification, and what became of them. There is no webhook yet that
    /// would show it.
    fn owed(&self) -> Vec<(String, String)> {
        let ledger = Connection::open_with_flags(self.gateway.database(), OpenFlags::SQLITE_OPEN_READ_ONLY);
        let ledger = ledger.expect("the database is there");
        let query = "SELECT service_id, outcome FROM exchanges WHERE webhook_owed = 1 ORDER BY seq";
        let mut owed = ledger.prepare(query).expect("a column for what is owed");
        let rows = owed.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        rows.collect::<Result<_, _>>().expect("two texts")
    }
}

/// What a call heard that went on beside the test.
async fn heard_by(call: JoinHandle<Answer>) -> Answer {
    call.await.expect("a POS hears something")
}

// A terminal whose frames are written by hand.

struct Delivered {
    id: String,
    message: Value,
}

async fn wire_link(gateway: &GatewayProcess) -> WireLink {
    let code = gateway.boarding_code(POI).await;
    WireTerminal::board(&gateway.base_url(), POI, &code, "j_1").await.welcomed(1, "p_1").await
}

/// The next request; the terminal has stored it.
async fn delivered(link: &mut WireLink) -> Delivered {
    loop {
        let Incoming::Frame(frame) = link.next().await else { panic!("the link has ended") };
        let frame: Value = serde_json::from_str(&frame).expect("frames are JSON");
        if frame["action"] == "deliver" {
            let id = frame["deliveryId"].as_str().expect("an ID").to_owned();
            link.send(&json!({"action": "received", "deliveryId": id}).to_string()).await;
            return Delivered { id, message: frame["message"].clone() };
        }
    }
}

/// The frame that answers a delivery with this message.
fn result(delivered: &Delivered, message: &Value) -> String {
    json!({"action": "result", "deliveryId": delivered.id, "message": message}).to_string()
}

/// The response of a payment that was approved.
fn success(request: &Value) -> Value {
    let mut header = request["SaleToPOIRequest"]["MessageHeader"].clone();
    header["MessageType"] = json!("Response");
    let sale = request["SaleToPOIRequest"]["PaymentRequest"]["SaleData"].clone();
    let payment = json!({"Response": {"Result": "Success"}, "SaleData": sale});
    json!({"SaleToPOIResponse": {"MessageHeader": header, "PaymentResponse": payment}})
}
