//! A terminal on a bench: its disk, its device and its gateway played by the test, which may kill it at any moment.

mod sealed;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use nexo::{ResultCode, SaleId, ServiceId};
use proptest::prelude::*;

use super::*;
use crate::time::WallMs;

const POI: &str = "V400m-324688179";
const START: WallMs = WallMs(1_795_166_102_118);

/// A terminal, what is on its disk, and everything that it did. Each effect is checked as it comes.
struct Bench {
    terminal: Terminal,
    key: Option<EncryptionKey>,
    now: Now,
    disk: Vec<JournalEntry>,
    unsynced: VecDeque<(u64, JournalEntry)>,
    dialled: Option<u64>,
    link: Option<u64>,
    /// Of every link, in order.
    sent: Vec<ToGateway>,
    closed: Vec<CloseReason>,
    cancelled: Vec<(DeliveryId, Stop)>,
    running: Option<DeliveryId>,
    started: BTreeSet<DeliveryId>,
    started_services: BTreeSet<String>,
    services: BTreeMap<DeliveryId, String>,
    /// What the gateway has said `recorded` to.
    recorded: BTreeSet<DeliveryId>,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            terminal: Terminal::new(),
            key: None,
            now: Now { mono: Duration::from_secs(1000), wall: START },
            disk: Vec::new(),
            unsynced: VecDeque::new(),
            dialled: None,
            link: None,
            sent: Vec::new(),
            closed: Vec::new(),
            cancelled: Vec::new(),
            running: None,
            started: BTreeSet::new(),
            started_services: BTreeSet::new(),
            services: BTreeMap::new(),
            recorded: BTreeSet::new(),
        }
    }

    fn online() -> Bench {
        let mut bench = Bench::new();
        bench.connect();
        bench
    }

    fn connect(&mut self) {
        self.link = None;
        self.terminal.connect();
        self.drain();
        self.sync();
        self.welcome();
    }

    fn welcome(&mut self) {
        if let Some(attempt) = self.dialled.take() {
            self.link = Some(attempt);
            self.terminal.handle_welcome(attempt, 128 * 1024);
            self.drain();
        }
    }

    fn cut(&mut self) {
        if let Some(attempt) = self.link.take().or(self.dialled.take()) {
            self.terminal.handle_lost(attempt);
            self.drain();
        }
    }

    fn deliver(&mut self, id: &str, message: &str) -> DeliveryId {
        self.deliver_within(id, message, 145_000)
    }

    fn deliver_within(&mut self, id: &str, message: &str, time_left_ms: u64) -> DeliveryId {
        let delivery = DeliveryId::parse(id).unwrap();
        let message = Bytes::copy_from_slice(message.as_bytes());
        if let Ok(request) = Request::parse(message.clone()) {
            self.services.insert(delivery.clone(), request.service_id().to_string());
        }
        if let Some(attempt) = self.link {
            let deliver = Deliver { delivery: delivery.clone(), time_left_ms, message };
            self.terminal.handle_deliver(self.now, attempt, deliver);
            self.drain();
        }
        delivery
    }

    /// Puts all that waits on the disk, and all that follows from it.
    fn sync(&mut self) {
        while !self.unsynced.is_empty() {
            self.sync_some(usize::MAX);
        }
    }

    fn sync_some(&mut self, count: usize) {
        let count = count.min(self.unsynced.len());
        let Some(last) = self.land(count) else { return };
        self.terminal.handle_stored(self.now, last);
        self.drain();
    }

    /// Puts entries on the disk without telling the terminal.
    fn land(&mut self, count: usize) -> Option<u64> {
        let landed: Vec<_> = self.unsynced.drain(..count).collect();
        let last = landed.last().map(|(seq, _)| *seq);
        self.disk.extend(landed.into_iter().map(|(_, entry)| entry));
        last
    }

    fn finish(&mut self) {
        let Some(delivery) = self.running.take() else { return };
        let outcome = Outcome::Message(Bytes::from(format!(
            r#"{{"SaleToPOIResponse":{{"MessageHeader":{{"MessageClass":"Service","MessageCategory":"Payment","MessageType":"Response","ServiceID":"{}","SaleID":"POS1","POIID":"{POI}"}},"PaymentResponse":{{"Response":{{"Result":"Success"}}}}}}}}"#,
            self.services[&delivery]
        )));
        let execution = Execution {
            delivery: delivery.clone(),
            kind: ExecutionKind::Payment,
            service: ServiceId::parse(&self.services[&delivery]).ok(),
            sale: SaleId::parse("POS1").unwrap(),
            sale_transaction: Some("27908".into()),
            poi_transaction: format!("tx.{delivery}"),
            amount: "10.99".parse().unwrap(),
            currency: "EUR".into(),
            at: self.now.wall,
        };
        assert!(self.terminal.handle_finished(self.now, &delivery, outcome, Some(execution)));
        self.drain();
    }

    fn record(&mut self, delivery: &DeliveryId) {
        self.recorded.insert(delivery.clone());
        self.terminal.handle_recorded(self.now, delivery);
        self.drain();
    }

    fn pass(&mut self, time: Duration) {
        self.now = Now { mono: self.now.mono + time, wall: self.now.wall.plus(time) };
        self.terminal.handle_timeout(self.now);
        self.drain();
    }

    /// Kills the program while `landed` more entries reach the disk, and starts it again.
    fn crash(&mut self, landed: usize) {
        self.land(landed.min(self.unsynced.len()));
        self.unsynced.clear();
        (self.link, self.dialled, self.running) = (None, None, None);
        let kept = ends_on(&self.disk);
        self.terminal = Terminal::restore_with(self.now, self.key.clone(), self.disk.clone());
        let known: BTreeMap<_, _> = self.terminal.results().map(|(d, o)| (d.clone(), o.clone())).collect();
        for (delivery, (outcome, recorded)) in kept {
            assert_eq!(recorded, !known.contains_key(&delivery), "{delivery} is kept until it is recorded");
            assert!(recorded || known[&delivery] == outcome, "{delivery} keeps its result");
        }
        self.drain();
    }

    /// Replaces the journal by its shortest form.
    fn compact(&mut self) {
        self.disk = self.terminal.snapshot();
        if let Some((last, _)) = self.unsynced.drain(..).next_back() {
            self.terminal.handle_stored(self.now, last);
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(effect) = self.terminal.poll_effect() {
            match effect {
                Effect::Journal { seq, entry } => {
                    assert!(self.unsynced.back().is_none_or(|(last, _)| *last < seq));
                    self.unsynced.push_back((seq, entry));
                }
                Effect::Dial { attempt } => {
                    assert_eq!(highest_attempt(&self.disk), attempt, "the attempt is on disk (T2)");
                    let on_disk = stored_on(&self.disk);
                    let resume: BTreeSet<_> = self.terminal.resume().into_iter().collect();
                    for delivery in on_disk.difference(&self.recorded) {
                        assert!(resume.contains(delivery), "{delivery} is named in hello (T6)");
                    }
                    assert!(resume.is_subset(&on_disk), "hello names only what is stored");
                    self.dialled = Some(attempt);
                }
                Effect::Send(frame) => {
                    assert!(self.link.is_some(), "nothing is sent without a link");
                    self.check_sent(&frame);
                    self.sent.push(frame);
                }
                Effect::Start { delivery, .. } => {
                    assert!(self.disk_has(|e| *e == JournalEntry::Started(delivery.clone())));
                    assert!(
                        self.sent.contains(&ToGateway::Received(delivery.clone())),
                        "received comes first"
                    );
                    assert!(self.started.insert(delivery.clone()), "{delivery} is started once");
                    let service = self.services[&delivery].clone();
                    assert!(self.started_services.insert(service), "a ServiceID is started once (T8)");
                    assert_eq!(self.running.replace(delivery), None, "one transaction at a time");
                }
                Effect::Cancel { delivery, stop } => {
                    assert_eq!(self.running.as_ref(), Some(&delivery));
                    self.cancelled.push((delivery, stop));
                }
                Effect::Close(reason) => {
                    self.closed.push(reason);
                    (self.link, self.dialled) = (None, None);
                }
            }
        }
    }

    fn check_sent(&self, frame: &ToGateway) {
        let ends = ends_on(&self.disk);
        match frame {
            ToGateway::Received(delivery) => {
                assert!(
                    stored_on(&self.disk).contains(delivery),
                    "{delivery} is stored before `received` (T4)"
                );
            }
            ToGateway::Result(delivery, result) => {
                let (outcome, _) = &ends[delivery];
                assert!(matches!(outcome, Outcome::Message(_) | Outcome::Empty), "stored before sent (T5)");
                if let ResultMessage::Message(message) = result
                    && is_failure(self.plain(message).bytes(), ErrorCondition::ABORTED)
                {
                    assert!(!self.started.contains(delivery), "{delivery} certainly was not started");
                }
            }
            ToGateway::Indeterminate(delivery, _) => {
                assert!(matches!(ends[delivery].0, Outcome::Indeterminate(_)), "stored before sent (T5)");
            }
            other => panic!("a terminal does not send {other:?}"),
        }
    }

    fn disk_has(&self, is: impl Fn(&JournalEntry) -> bool) -> bool {
        self.disk.iter().any(is)
    }

    /// What was last sent as the end of a delivery.
    fn answer(&self, delivery: &DeliveryId) -> Option<&ToGateway> {
        self.sent.iter().rev().find(|frame| match frame {
            ToGateway::Result(d, _) | ToGateway::Indeterminate(d, _) => d == delivery,
            _ => false,
        })
    }

    fn response(&self, delivery: &DeliveryId) -> nexo::Response {
        match self.answer(delivery) {
            Some(ToGateway::Result(_, ResultMessage::Message(message))) => {
                nexo::Response::parse(message.clone()).unwrap()
            }
            other => panic!("no message: {other:?}"),
        }
    }

    /// A response as whoever has this terminal's key reads it.
    fn plain(&self, message: &Bytes) -> nexo::Response {
        let response = nexo::Response::parse(message.clone()).unwrap();
        match &self.key {
            Some(key) => key.open_response(&response).unwrap_or(response),
            None => response,
        }
    }

    fn condition(&self, delivery: &DeliveryId) -> Option<ErrorCondition> {
        self.response(delivery).outcome().unwrap().error_condition
    }
}

fn is_failure(message: &Bytes, condition: ErrorCondition) -> bool {
    // One that is still encrypted here is of another key, and a repeat.
    nexo::Response::parse(message.clone()).unwrap().outcome().is_some_and(|outcome| {
        outcome.result == ResultCode::Failure && outcome.error_condition == Some(condition)
    })
}

fn highest_attempt(disk: &[JournalEntry]) -> u64 {
    let attempts = disk.iter().filter_map(|entry| match entry {
        JournalEntry::Attempt(attempt) => Some(*attempt),
        _ => None,
    });
    attempts.max().unwrap_or(0)
}

fn stored_on(disk: &[JournalEntry]) -> BTreeSet<DeliveryId> {
    let stored = disk.iter().filter_map(|entry| match entry {
        JournalEntry::Stored { delivery, .. } | JournalEntry::Remembered { delivery, .. } => {
            Some(delivery.clone())
        }
        _ => None,
    });
    stored.collect()
}

/// The ends on a disk, and whether the gateway has them.
fn ends_on(disk: &[JournalEntry]) -> BTreeMap<DeliveryId, (Outcome, bool)> {
    let mut ends = BTreeMap::new();
    for entry in disk.iter().cloned() {
        match entry {
            JournalEntry::Finished { delivery, outcome, .. } => {
                ends.insert(delivery, (outcome, false));
            }
            JournalEntry::Remembered { delivery, outcome, recorded, .. } => {
                ends.insert(delivery, (outcome, recorded));
            }
            JournalEntry::Recorded(delivery) => {
                if let Some((_, recorded)) = ends.get_mut(&delivery) {
                    *recorded = true;
                }
            }
            _ => {}
        }
    }
    ends
}

fn message(category: &str, service: &str, body: &str) -> String {
    format!(
        r#"{{"SaleToPOIRequest":{{"MessageHeader":{{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"{category}","MessageType":"Request","ServiceID":"{service}","SaleID":"POS1","POIID":"{POI}"}},"{category}Request":{body}}}}}"#
    )
}

fn payment(service: &str) -> String {
    message(
        "Payment",
        service,
        r#"{"SaleData":{"SaleTransactionID":{"TransactionID":"27908","TimeStamp":"2026-11-20T09:15:02.118Z"}},"PaymentTransaction":{"AmountsReq":{"Currency":"EUR","RequestedAmount":10.99}}}"#,
    )
}

fn abort(service: &str, of: &str) -> String {
    message(
        "Abort",
        service,
        &format!(
            r#"{{"AbortReason":"MerchantAbort","MessageReference":{{"MessageCategory":"Payment","ServiceID":"{of}"}}}}"#
        ),
    )
}

fn status(service: &str, of: &str) -> String {
    message(
        "TransactionStatus",
        service,
        &format!(r#"{{"MessageReference":{{"MessageCategory":"Payment","ServiceID":"{of}"}}}}"#),
    )
}

#[test]
fn a_payment_is_stored_received_started_and_answered_in_that_order() {
    let mut bench = Bench::online();
    let delivery = bench.deliver("d_1", &payment("1"));
    assert_eq!(bench.sent, []);
    bench.sync_some(1);
    assert_eq!(bench.sent, [ToGateway::Received(delivery.clone())]);
    assert_eq!(bench.running, None);
    bench.sync_some(1);
    assert_eq!(bench.running, Some(delivery.clone()));
    bench.finish();
    assert_eq!(bench.answer(&delivery), None);
    bench.sync();
    assert_eq!(bench.response(&delivery).outcome().unwrap().result, ResultCode::Success);
    assert_eq!(bench.terminal.resume(), std::slice::from_ref(&delivery));
    bench.record(&delivery);
    assert_eq!(bench.terminal.resume(), []);
    assert_eq!(bench.terminal.executed_payments(), 1);
}

#[test]
fn a_crash_before_the_start_is_aborted_and_one_after_it_is_indeterminate() {
    for (synced, sure) in [(1, true), (2, false)] {
        let mut bench = Bench::online();
        let delivery = bench.deliver("d_1", &payment("1"));
        for _ in 0..synced {
            bench.sync_some(1);
        }
        bench.crash(0);
        bench.connect();
        if sure {
            assert_eq!(bench.condition(&delivery), Some(ErrorCondition::ABORTED));
            let response = bench.response(&delivery);
            let payment: nexo::PaymentResponse = response.payload().unwrap();
            assert!(payment.poi_data.is_some(), "clients expect both transaction IDs");
        } else {
            assert!(matches!(bench.answer(&delivery), Some(ToGateway::Indeterminate(..))));
        }
    }
}

#[test]
fn a_delivery_that_never_reached_the_disk_was_never_there() {
    let mut bench = Bench::online();
    bench.deliver("d_1", &payment("1"));
    bench.crash(0);
    assert_eq!(bench.terminal.resume(), []);
}

#[test]
fn a_stored_result_survives_a_crash_and_goes_out_again() {
    let mut bench = Bench::online();
    let delivery = bench.deliver("d_1", &payment("1"));
    bench.sync();
    bench.cut();
    bench.finish();
    bench.sync();
    assert_eq!(bench.answer(&delivery), None);
    bench.crash(0);
    assert_eq!(bench.terminal.executed_payments(), 1);
    bench.connect();
    assert_eq!(bench.response(&delivery).outcome().unwrap().result, ResultCode::Success);
}

#[test]
fn a_link_lost_before_received_aborts_and_one_lost_after_it_does_not() {
    let mut bench = Bench::online();
    let delivery = bench.deliver("d_1", &payment("1"));
    bench.cut();
    bench.sync();
    assert_eq!(bench.running, None);
    bench.connect();
    assert_eq!(bench.condition(&delivery), Some(ErrorCondition::ABORTED));

    let mut bench = Bench::online();
    let delivery = bench.deliver("d_1", &payment("1"));
    bench.sync_some(1);
    bench.cut();
    bench.sync();
    assert_eq!(bench.running, Some(delivery));
}

#[test]
fn a_delivery_of_an_older_link_is_dropped_for_good() {
    let mut bench = Bench::online();
    let older = bench.link.unwrap();
    bench.connect();
    let deliver = Deliver {
        delivery: DeliveryId::parse("d_1").unwrap(),
        time_left_ms: 1,
        message: Bytes::from(payment("1")),
    };
    bench.terminal.handle_deliver(bench.now, older, deliver);
    bench.drain();
    assert!(bench.unsynced.is_empty());
}

#[test]
fn a_second_request_is_busy_and_a_status_is_not() {
    let mut bench = Bench::online();
    bench.deliver("d_1", &payment("1"));
    bench.sync();
    let second = bench.deliver("d_2", &payment("2"));
    let diagnosis = bench.deliver("d_3", &message("Diagnosis", "3", "{}"));
    let asked = bench.deliver("d_4", &status("4", "1"));
    let absent = bench.deliver("d_5", &status("5", "99"));
    bench.sync();
    assert_eq!(bench.condition(&second), Some(ErrorCondition::BUSY));
    assert!(bench.response(&second).payload::<nexo::PaymentResponse>().unwrap().sale_data.is_some());
    assert_eq!(bench.condition(&diagnosis), Some(ErrorCondition::BUSY));
    assert_eq!(bench.condition(&asked), Some(ErrorCondition::IN_PROGRESS));
    assert_eq!(bench.condition(&absent), Some(ErrorCondition::NOT_FOUND));
    bench.finish();
    bench.sync();
    let asked = bench.deliver("d_6", &status("6", "1"));
    let latest = bench.deliver("d_7", &message("TransactionStatus", "7", "{}"));
    bench.sync();
    assert_eq!(bench.condition(&asked), None);
    // Of the two payments the latest is the one that was refused.
    let latest: nexo::TransactionStatusResponse = bench.response(&latest).payload().unwrap();
    assert_eq!(latest.message_reference.unwrap().service_id.unwrap().as_str(), "2");
}

#[test]
fn a_status_that_means_another_request_is_told_neither_its_result_nor_not_found() {
    let mut bench = Bench::online();
    bench.deliver("d_1", &payment("1"));
    bench.sync();
    bench.finish();
    bench.sync();
    let asking = |number: &str, named: &str| {
        let reference = format!(r#"{{"MessageReference":{{{named},"ServiceID":"1"}}}}"#);
        message("TransactionStatus", number, &reference)
    };
    let other_till = bench.deliver("d_2", &asking("2", r#""SaleID":"TILL-99""#));
    let other_category = bench.deliver("d_3", &asking("3", r#""MessageCategory":"Reversal""#));
    bench.sync();
    for asked in [other_till, other_category] {
        assert_eq!(bench.condition(&asked), Some(ErrorCondition::NOT_ALLOWED));
    }
}

#[test]
fn a_status_of_what_nobody_can_tell_is_indeterminate_too() {
    let mut bench = Bench::online();
    bench.deliver("d_1", &payment("1"));
    bench.sync();
    bench.crash(0);
    bench.connect();
    let asked = bench.deliver("d_2", &status("2", "1"));
    bench.sync();
    assert!(matches!(bench.answer(&asked), Some(ToGateway::Indeterminate(..))));
}

#[test]
fn an_abort_stops_what_it_names_and_nothing_else() {
    let mut bench = Bench::online();
    let delivery = bench.deliver("d_1", &payment("1"));
    bench.sync();
    let wrong = bench.deliver("d_2", &abort("2", "99"));
    bench.sync();
    assert_eq!(bench.cancelled, []);
    assert_eq!(bench.answer(&wrong), Some(&ToGateway::Result(wrong.clone(), ResultMessage::Empty)));
    bench.deliver("d_3", &abort("3", "1"));
    bench.deliver("d_4", &abort("4", "1"));
    bench.sync();
    assert_eq!(bench.cancelled, [(delivery, Stop::Aborted)]);
}

#[test]
fn an_abort_that_overtakes_the_start_prevents_it() {
    let mut bench = Bench::online();
    let delivery = bench.deliver("d_1", &payment("1"));
    bench.deliver("d_2", &abort("2", "1"));
    bench.sync();
    assert_eq!(bench.running, None);
    assert_eq!(bench.condition(&delivery), Some(ErrorCondition::ABORTED));
}

#[test]
fn a_request_whose_time_is_over_is_not_started() {
    let mut bench = Bench::online();
    let over = bench.deliver_within("d_1", &payment("1"), 0);
    bench.sync();
    assert_eq!(bench.condition(&over), Some(ErrorCondition::ABORTED));

    let slow_disk = bench.deliver_within("d_2", &payment("2"), 1000);
    bench.pass(Duration::from_secs(1));
    bench.sync();
    assert_eq!(bench.condition(&slow_disk), Some(ErrorCondition::ABORTED));
    assert_eq!(bench.started, BTreeSet::new());
}

#[test]
fn a_request_whose_time_ends_while_it_runs_is_cancelled_once() {
    let mut bench = Bench::online();
    let delivery = bench.deliver_within("d_1", &payment("1"), 5000);
    bench.sync();
    assert_eq!(bench.terminal.poll_timeout(), Some(bench.now.mono + Duration::from_secs(5)));
    bench.pass(Duration::from_secs(5));
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.cancelled, [(delivery.clone(), Stop::TimeOver)]);
    // The device was past the point of no return: it finishes and reports late.
    bench.finish();
    bench.sync();
    assert_eq!(bench.condition(&delivery), None);
}

#[test]
fn a_service_id_that_was_used_gets_the_stored_response_for_48_hours() {
    let mut bench = Bench::online();
    let first = bench.deliver("d_1", &payment("1"));
    bench.sync();
    let running = bench.deliver("d_2", &payment("1"));
    bench.sync();
    assert!(matches!(bench.answer(&running), Some(ToGateway::Indeterminate(..))));
    bench.finish();
    bench.sync();
    for delivery in [&first, &running] {
        bench.record(delivery);
    }
    bench.sync();
    bench.crash(0);
    bench.connect();

    let again = bench.deliver("d_3", &payment("1"));
    let other = bench.deliver("d_4", &message("Reversal", "1", "{}"));
    bench.sync();
    assert_eq!(bench.condition(&again), None);
    assert_eq!(bench.response(&again).bytes(), bench.response(&first).bytes());
    assert_eq!(bench.condition(&other), Some(ErrorCondition::NOT_ALLOWED));

    for delivery in [&again, &other] {
        bench.record(delivery);
    }
    bench.sync();
    bench.pass(MEMORY + Duration::from_secs(1));
    bench.started_services.clear();
    let later = bench.deliver("d_5", &payment("1"));
    bench.sync();
    assert_eq!(bench.running, Some(later));
    assert_eq!((bench.terminal.executions().len(), bench.terminal.executed_payments()), (0, 1));
}

#[test]
fn a_result_over_the_limit_is_told_by_its_length() {
    let mut bench = Bench::online();
    let delivery = bench.deliver("d_1", &payment("1"));
    bench.sync();
    bench.cut();
    bench.finish();
    bench.sync();
    bench.terminal.connect();
    bench.drain();
    bench.sync();
    let attempt = bench.dialled.take().unwrap();
    bench.link = Some(attempt);
    bench.terminal.handle_welcome(attempt, 100);
    bench.drain();
    assert!(
        matches!(bench.answer(&delivery), Some(ToGateway::Result(_, ResultMessage::TooLarge(n))) if *n > 100)
    );
}

#[test]
fn a_terminal_that_cannot_store_closes_the_link_and_takes_nothing_more() {
    let mut bench = Bench::online();
    let running = bench.deliver("d_1", &payment("1"));
    bench.sync();
    bench.deliver("d_2", &payment("2"));
    bench.terminal.handle_store_failed();
    bench.drain();
    assert_eq!(bench.closed, [CloseReason::Stopping]);
    assert_eq!(bench.cancelled, [(running, Stop::Stopping)]);
    assert!(bench.terminal.is_broken());
    bench.unsynced.clear();
    bench.terminal.connect();
    bench.drain();
    assert!(bench.unsynced.is_empty());
}

#[test]
fn more_than_a_hello_can_name_is_not_taken() {
    let mut bench = Bench::online();
    for number in 0..RESUME_MAX {
        bench.deliver(&format!("d_{number}"), &abort(&format!("a{number}"), "1"));
        bench.sync();
    }
    assert!(bench.terminal.is_full());
    bench.deliver("d_more", &payment("1"));
    assert_eq!(bench.closed, [CloseReason::TooSlow]);
    assert!(bench.unsynced.is_empty());
}

#[test]
fn recorded_comes_too_early_for_what_has_not_ended() {
    let mut bench = Bench::online();
    let delivery = bench.deliver("d_1", &payment("1"));
    bench.sync();
    bench.terminal.handle_recorded(bench.now, &delivery);
    bench.finish();
    bench.terminal.handle_recorded(bench.now, &delivery);
    assert_eq!(bench.terminal.resume(), std::slice::from_ref(&delivery));
    bench.sync();
    assert!(bench.answer(&delivery).is_some());
}

#[test]
fn what_was_meant_for_one_link_does_not_reach_the_next() {
    let mut bench = Bench::online();
    bench.deliver("d_1", &payment("1"));
    let last = bench.land(1).unwrap();
    bench.terminal.handle_stored(bench.now, last);
    bench.terminal.connect();
    let effects = std::iter::from_fn(|| bench.terminal.poll_effect());
    assert!(effects.into_iter().all(|effect| matches!(effect, Effect::Journal { .. })));
}

#[test]
fn a_message_without_header_is_indeterminate() {
    let mut bench = Bench::online();
    let delivery = bench.deliver("d_1", r#"{"SaleToPOIRequest":{}}"#);
    bench.sync();
    assert!(matches!(bench.answer(&delivery), Some(ToGateway::Indeterminate(..))));
}

#[test]
fn entries_survive_their_text() {
    let mut bench = Bench::online();
    bench.deliver("d_1", &payment("1").replace(',', ",\n"));
    bench.sync();
    bench.deliver("d_2", &abort("2", "99"));
    bench.deliver("d_3", r#"{"SaleToPOIRequest":{}}"#);
    bench.sync();
    bench.finish();
    bench.sync();
    for entry in bench.disk.iter().cloned().chain(bench.terminal.snapshot()) {
        let text = serde_json::to_string(&entry).unwrap();
        assert!(!text.contains('\n'));
        assert_eq!(serde_json::from_str::<JournalEntry>(&text).unwrap(), entry);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Deliver { service: u8, kind: Kind, time_left_ms: u64 },
    DeliverAgain(prop::sample::Index),
    Sync(usize),
    Finish,
    Record(prop::sample::Index),
    Pass(u64),
    Cut,
    Connect,
    Dial,
    Welcome,
    Crash(usize),
    Compact,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Payment,
    Diagnosis,
    Abort,
    Status,
}

fn a_step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        4 => Just(Kind::Payment),
        1 => Just(Kind::Diagnosis),
        1 => Just(Kind::Abort),
        1 => Just(Kind::Status),
    ];
    prop_oneof![
        6 => (0u8..6, kind, prop_oneof![Just(0u64), 1u64..5000, Just(145_000)])
            .prop_map(|(service, kind, time_left_ms)| Step::Deliver { service, kind, time_left_ms }),
        1 => any::<prop::sample::Index>().prop_map(Step::DeliverAgain),
        10 => (1usize..4).prop_map(Step::Sync),
        4 => Just(Step::Finish),
        4 => any::<prop::sample::Index>().prop_map(Step::Record),
        2 => (0u64..4000).prop_map(Step::Pass),
        2 => Just(Step::Cut),
        3 => Just(Step::Connect),
        1 => Just(Step::Dial),
        2 => Just(Step::Welcome),
        2 => (0usize..4).prop_map(Step::Crash),
        1 => Just(Step::Compact),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// The bench checks each effect: started once, stored before `received`, sent only when stored, kept until recorded.
    #[test]
    fn no_interleaving_starts_twice_or_loses_a_result(steps in prop::collection::vec(a_step(), 1..80)) {
        let mut bench = Bench::online();
        let mut delivered: Vec<(DeliveryId, String)> = Vec::new();
        for step in steps {
            match step {
                Step::Deliver { service, kind, time_left_ms } => {
                    let text = match kind {
                        Kind::Payment => payment(&service.to_string()),
                        Kind::Diagnosis => message("Diagnosis", &service.to_string(), "{}"),
                        Kind::Abort => abort(&format!("a{}", delivered.len()), &service.to_string()),
                        Kind::Status => status(&format!("s{}", delivered.len()), &service.to_string()),
                    };
                    let id = format!("d_{}", delivered.len());
                    let delivery = bench.deliver_within(&id, &text, time_left_ms);
                    delivered.push((delivery, text));
                }
                Step::DeliverAgain(which) if !delivered.is_empty() => {
                    let (delivery, text) = which.get(&delivered).clone();
                    bench.deliver(delivery.as_str(), &text);
                }
                Step::Sync(count) => bench.sync_some(count),
                Step::Finish => bench.finish(),
                Step::Record(which) => {
                    let told: Vec<_> = bench.sent.iter().filter_map(|frame| match frame {
                        ToGateway::Result(d, _) | ToGateway::Indeterminate(d, _) => Some(d.clone()),
                        _ => None,
                    }).collect();
                    if !told.is_empty() {
                        bench.record(which.get(&told));
                    }
                }
                Step::Pass(ms) => bench.pass(Duration::from_millis(ms)),
                Step::Cut => bench.cut(),
                Step::Connect => bench.connect(),
                Step::Dial => {
                    bench.link = None;
                    bench.dialled = None;
                    bench.terminal.connect();
                    bench.drain();
                }
                Step::Welcome => bench.welcome(),
                Step::Crash(landed) => bench.crash(landed),
                Step::Compact => bench.compact(),
                Step::DeliverAgain(_) => {}
            }
        }
        // Heard from again, the terminal accounts for all that it ever stored.
        bench.connect();
        bench.finish();
        bench.sync();
        bench.finish();
        bench.sync();
        for delivery in stored_on(&bench.disk) {
            prop_assert!(
                bench.answer(&delivery).is_some() || bench.recorded.contains(&delivery),
                "{} has no answer", delivery
            );
        }
        prop_assert_eq!(bench.terminal.running(), None);
        let executed: BTreeSet<_> = bench.terminal.executions().iter().map(|e| e.delivery.clone()).collect();
        prop_assert_eq!(executed.len(), bench.terminal.executions().len());
        prop_assert!(executed.is_subset(&bench.started));
    }
}
