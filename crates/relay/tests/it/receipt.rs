//! Calls that wait only until the terminal has the request: E21, E22.

use std::time::Duration;

use nexo::ErrorCondition;
use relay::exchange::{Answer, ReplyMode, StatusAnswer};
use relay::ledger::{Op, Outcome};
use relay::{ResultMessage, ToGateway};

use crate::message::{Ask, abort, diagnosis, display, input_update, payment, response, status};
use crate::pair::{Mode, Pair, Turn};

const SECOND: Duration = Duration::from_secs(1);

fn asynchronous(service: &str) -> Ask {
    payment(service).asynchronous()
}

fn owes(pair: &Pair, service: &str) -> bool {
    pair.record(service).is_some_and(|record| record.webhook)
}

#[test]
fn e21_ok_is_told_once_the_terminal_has_it_and_not_before() {
    let mut pair = Pair::connected();
    pair.works = false;
    pair.reads = false;
    let sent = pair.send(&asynchronous("42"));
    pair.drive();
    assert_eq!((pair.written.len(), pair.answer(sent)), (1, None));
    pair.reads = true;
    pair.drive();
    assert_eq!(pair.answer(sent), Some(Answer::Ok));
    assert_eq!(pair.outcome("42"), Some(Outcome::Open));
    pair.works = true;
    pair.drive();
    assert!(matches!(pair.outcome("42"), Some(Outcome::Answered(_))) && owes(&pair, "42"));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e21_a_result_that_does_not_fit_is_no_receipt_however_often_it_comes() {
    let mut pair = Pair::connected();
    pair.reads = false;
    let sent = pair.send(&asynchronous("42"));
    pair.drive();
    let delivery = pair.written[0].clone();
    let misfit = response(diagnosis("ZZZ").request().header(), None, 0);
    pair.mode = Mode::Stalled;
    for _ in 0..2 {
        pair.say(ToGateway::Result(delivery.clone(), ResultMessage::Message(misfit.clone())));
        pair.drive();
    }
    assert_eq!(pair.answer(sent), None);
    pair.mode = Mode::Prompt;
    pair.drive();
    assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
}

#[test]
fn e21_without_received_in_10_s_it_is_not_known_and_goes_on() {
    let mut pair = Pair::connected();
    pair.transmits = false;
    let sent = pair.send(&asynchronous("42"));
    pair.live(10 * SECOND - Duration::from_millis(1));
    assert_eq!(pair.answer(sent), None);
    pair.live(Duration::from_millis(1));
    assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
    assert_eq!(pair.outcome("42"), Some(Outcome::Open));
    pair.transmits = true;
    pair.drive();
    assert!(matches!(pair.outcome("42"), Some(Outcome::Answered(_))) && owes(&pair, "42"));
    assert_eq!(pair.charged("42"), 1);
    assert!(pair.gateway.is_idle());
}

#[test]
fn e21_proved_absence_is_told_at_once_and_nothing_is_owed() {
    let mut pair = Pair::new();
    pair.live(61 * SECOND);
    assert_eq!(pair.ask(&asynchronous("42")), Some(Answer::NotDelivered));
    assert_eq!(pair.outcome("42"), Some(Outcome::NeverReached));
    assert!(!owes(&pair, "42"));
    assert_eq!(pair.ask_heard(&asynchronous("42")), (Answer::NotDelivered, Turn::Again));
    assert_eq!(pair.ask(&diagnosis("7").asynchronous()), Some(Answer::NotDelivered));
}

#[test]
fn e21_absence_that_a_hello_proves_within_the_10_s_is_told_then() {
    let mut pair = Pair::connected();
    pair.reads = false;
    let sent = pair.send(&asynchronous("42"));
    pair.drive();
    pair.cut_link();
    pair.live(3 * SECOND);
    assert_eq!(pair.answer(sent), None);
    pair.reads = true;
    pair.arrive();
    assert_eq!(pair.answer(sent), Some(Answer::NotDelivered));
}

#[test]
fn e21_a_hello_that_resumes_it_says_that_the_terminal_has_it() {
    let mut pair = Pair::connected();
    pair.works = false;
    pair.hears = false;
    let sent = pair.send(&asynchronous("42"));
    pair.drive();
    pair.cut_link();
    assert_eq!(pair.answer(sent), None);
    pair.hears = true;
    pair.arrive();
    assert_eq!(pair.answer(sent), Some(Answer::Ok));
}

#[test]
fn e21_the_terminal_has_as_long_as_for_any_other_request() {
    let mut pair = Pair::connected();
    pair.reads = false;
    pair.send(&asynchronous("42"));
    pair.drive();
    assert_eq!(pair.delivers_waiting()[0].time_left_ms, 145_000);
}

#[test]
fn e21_it_keeps_its_place_at_the_terminal_until_its_time_is_over_and_its_result_counts_after_it() {
    let mut pair = Pair::connected();
    pair.works = false;
    assert_eq!(pair.ask(&asynchronous("42")), Some(Answer::Ok));
    assert!(pair.work() && pair.terminal.is_running());
    pair.live(149 * SECOND);
    assert!(!pair.gateway.is_idle());
    pair.live(SECOND);
    assert!(pair.gateway.is_idle());
    pair.works = true;
    pair.drive();
    assert!(matches!(pair.outcome("42"), Some(Outcome::Answered(_))) && owes(&pair, "42"));
}

#[test]
fn e22_a_webhook_is_owed_from_the_admission_on() {
    let mut pair = Pair::connected();
    pair.transmits = false;
    pair.send(&asynchronous("42"));
    pair.drive();
    assert!(owes(&pair, "42"));
    pair.send(&payment("43"));
    pair.drive();
    assert!(!owes(&pair, "43"));
}

#[test]
fn e22_two_joined_calls_are_two_ok_and_one_webhook() {
    let mut pair = Pair::connected();
    pair.works = false;
    assert_eq!(pair.ask(&asynchronous("42")), Some(Answer::Ok));
    assert_eq!(pair.ask_heard(&asynchronous("42")), (Answer::Ok, Turn::First));
    pair.works = true;
    pair.drive();
    assert_eq!(pair.ask_heard(&asynchronous("42")), (Answer::Ok, Turn::Again));
    assert_eq!(pair.ledger.records().filter(|record| record.webhook).count(), 1);
    assert_eq!((pair.written.len(), pair.charged("42")), (1, 1));
}

#[test]
fn e22_who_joins_a_synchronous_request_hears_ok_only_when_its_webhook_is_owed_on_disk() {
    let (mut pair, sent) = Pair::paying("42");
    pair.mode = Mode::Stalled;
    let joined = pair.send(&asynchronous("42"));
    pair.drive();
    assert_eq!((pair.answer(joined), owes(&pair, "42")), (None, false));
    pair.mode = Mode::Prompt;
    pair.drive();
    assert_eq!((pair.answer(joined), owes(&pair, "42")), (Some(Answer::Ok), true));
    assert_eq!(pair.answer(sent), None);
    pair.works = true;
    pair.drive();
    assert!(pair.heard_response(sent, Turn::First));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e22_a_debt_that_cannot_be_written_down_is_not_told_ok() {
    let (mut pair, _) = Pair::paying("42");
    pair.mode = Mode::Failing;
    assert_eq!(pair.ask(&asynchronous("42")), Some(Answer::TryAgain));
    pair.mode = Mode::Stalled;
    let slow = pair.send(&asynchronous("42"));
    pair.live(2 * SECOND);
    assert_eq!(pair.answer(slow), Some(Answer::TryAgain));
    assert!(!owes(&pair, "42"));
}

#[test]
fn e22_a_repeat_of_what_was_answered_synchronously_is_owed_its_own_webhook() {
    let mut pair = Pair::connected();
    pair.ask(&payment("42"));
    assert!(!owes(&pair, "42"));
    assert_eq!(pair.ask_heard(&asynchronous("42")), (Answer::Ok, Turn::Again));
    assert!(owes(&pair, "42"));
    pair.cut_link();
    pair.live(61 * SECOND);
    assert_eq!(pair.ask_heard(&asynchronous("42")), (Answer::Ok, Turn::Again));
    assert!(pair.hears_response(&payment("42"), Turn::Again));
    assert_eq!(pair.charged("42"), 1);
}

#[test]
fn e22_who_joins_while_a_hello_is_taken_is_owed_a_webhook_with_the_admission() {
    let mut pair = Pair::connected();
    pair.mode = Mode::Stalled;
    pair.connect();
    pair.hear(1);
    let sent = pair.send(&payment("42"));
    let joined = pair.send(&asynchronous("42"));
    assert_eq!((pair.answer(sent), pair.answer(joined)), (None, None));
    pair.mode = Mode::Prompt;
    pair.drive();
    assert!(pair.heard_response(sent, Turn::First));
    assert_eq!((pair.answer(joined), owes(&pair, "42")), (Some(Answer::Ok), true));
}

#[test]
fn after_a_restart_a_repeat_joins_what_the_ledger_holds() {
    let mut pair = Pair::connected();
    pair.works = false;
    assert_eq!(pair.ask(&asynchronous("42")), Some(Answer::Ok));
    pair.crash_gateway(0);
    let again = pair.send(&asynchronous("42"));
    pair.works = true;
    pair.arrive();
    assert_eq!(pair.answer(again), Some(Answer::Ok));
    assert!(matches!(pair.outcome("42"), Some(Outcome::Answered(_))));
    assert_eq!(pair.charged("42"), 1);
}

#[test]
fn what_has_no_response_is_answered_at_once_in_either_way() {
    let (mut pair, sent) = Pair::paying("42");
    assert_eq!(pair.ask(&abort("A1", "42").asynchronous()), Some(Answer::Ok));
    assert_eq!(pair.ask(&input_update("U1", "1").asynchronous()), Some(Answer::Ok));
    assert!(!owes(&pair, "A1") && !owes(&pair, "U1"));
    pair.works = true;
    pair.drive();
    assert!(pair.answer(sent).is_some());
}

#[test]
fn a_question_about_a_payment_is_not_answered_by_webhook() {
    let mut pair = Pair::connected();
    pair.ask(&asynchronous("42"));
    let refused = pair.ask(&status("T1", "42").asynchronous());
    assert!(
        matches!(refused, Some(Answer::Failure { condition, .. }) if condition == ErrorCondition::NOT_ALLOWED)
    );
    assert!(matches!(pair.ask(&status("T1", "42")), Some(Answer::Status(StatusAnswer::Found(_)))));
    assert!(pair.gateway.is_idle());
}

#[test]
fn the_same_service_id_with_another_body_clashes_in_either_way() {
    let mut pair = Pair::connected();
    pair.ask(&display("7", "1").asynchronous());
    pair.works = false;
    pair.ask(&asynchronous("42"));
    let clash = pair.ask(&asynchronous("42").sale("TILL-2"));
    assert!(
        matches!(clash, Some(Answer::Failure { condition, .. }) if condition == ErrorCondition::IN_PROGRESS)
    );
    assert_eq!(asynchronous("42").reply, ReplyMode::Async);
}

#[test]
fn a_debt_waits_in_the_lane_of_money() {
    let delivery = relay::DeliveryId::parse("d_1").unwrap();
    assert_eq!(Op::OweWebhook(delivery).lane(), relay::ledger::Lane::Money);
}

#[test]
fn what_is_being_settled_as_never_reached_is_not_told_ok_whatever_the_terminal_says_then() {
    let mut pair = Pair::connected();
    pair.transmits = false;
    let sent = pair.send(&asynchronous("42"));
    pair.drive();
    pair.mode = Mode::Stalled;
    pair.cut_link();
    // A terminal that breaks its rules says that it has what was never written to it.
    let delivery = pair.record("42").expect("a record").delivery.clone();
    pair.gateway.handle_received(&pair.sockets[0].id.clone(), &delivery);
    assert_eq!(pair.answer(sent), None);
    pair.mode = Mode::Prompt;
    pair.drive();
    assert_eq!(pair.answer(sent), Some(Answer::NotDelivered));
}

#[test]
fn what_nobody_can_tell_any_more_raises_an_alarm() {
    let mut pair = Pair::connected();
    pair.works = false;
    assert_eq!(pair.ask(&asynchronous("42")), Some(Answer::Ok));
    pair.board_again();
    pair.arrive();
    assert!(matches!(pair.outcome("42"), Some(Outcome::UnknownFinal(_))), "{:?}", pair.outcome("42"));
    assert_eq!(pair.alarms.len(), 1);
}
