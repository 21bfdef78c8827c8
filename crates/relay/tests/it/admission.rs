//! Admission: on disk before anything is written (E1, E2), and in what order (E9).

use std::time::Duration;

use relay::exchange::Answer;
use relay::ledger::{Cannot, Outcome, Refused};

use crate::message::{abort, diagnosis, payment};
use crate::pair::{Mode, Pair, Turn};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn e1_nothing_is_written_before_the_admission_is_on_disk() {
    let mut pair = Pair::connected();
    pair.mode = Mode::Stalled;
    let sent = pair.send(&payment("42"));
    pair.drive();
    assert!(pair.written.is_empty());
    pair.apply_next();
    pair.drive();
    assert!(pair.written.is_empty(), "the desk does not know yet that it is on disk");
    pair.mode = Mode::Prompt;
    pair.drive();
    assert_eq!(pair.written.len(), 1);
    assert!(pair.heard_response(sent, Turn::First));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e1_a_commit_that_fails_is_refused_and_the_same_service_id_is_a_new_attempt_in_the_same_record() {
    let mut pair = Pair::connected();
    pair.mode = Mode::FailingLate;
    let sent = pair.send(&payment("42"));
    pair.drive();
    assert_eq!(pair.answer(sent), Some(Answer::TryAgain));
    let first = pair.record("42").expect("a record").exchange.clone();
    assert_eq!(pair.outcome("42"), Some(Outcome::Refused(Refused::Withdrawn)));
    pair.mode = Mode::Prompt;
    pair.live(SECOND);
    assert!(pair.gateway.is_idle());
    assert!(pair.hears_response(&payment("42"), Turn::First));
    assert_eq!(pair.record("42").map(|r| r.exchange.clone()), Some(first));
    assert_eq!(pair.charged("42"), 1);
}

#[test]
fn e1_a_commit_that_lands_after_two_seconds_is_settled_refused_and_never_written() {
    let mut pair = Pair::connected();
    pair.mode = Mode::Stalled;
    let sent = pair.send(&payment("42"));
    pair.pass(2 * SECOND);
    assert_eq!(pair.answer(sent), Some(Answer::TryAgain));
    pair.mode = Mode::Prompt;
    pair.drive();
    assert_eq!(pair.outcome("42"), Some(Outcome::Refused(Refused::Withdrawn)));
    assert!(pair.written.is_empty());
    assert!(pair.gateway.is_idle());
}

#[test]
fn e1_a_withdrawal_is_repeated_until_it_is_on_disk() {
    let mut pair = Pair::connected();
    pair.mode = Mode::Stalled;
    pair.send(&payment("42"));
    pair.apply_next();
    pair.pass(2 * SECOND);
    pair.mode = Mode::Failing;
    pair.live(60 * SECOND);
    assert_eq!(pair.outcome("42"), Some(Outcome::Open));
    assert!(!pair.gateway.is_idle());
    pair.mode = Mode::Prompt;
    pair.live(SECOND);
    assert_eq!(pair.outcome("42"), Some(Outcome::Refused(Refused::Withdrawn)));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e1_a_full_store_took_nothing_so_there_is_nothing_to_withdraw() {
    let mut pair = Pair::connected();
    pair.mode = Mode::Full;
    assert_eq!(pair.ask(&payment("42")), Some(Answer::TryAgain));
    assert!(pair.gateway.is_idle());
    assert_eq!(pair.record("42"), None);
}

#[test]
fn e1_a_repeat_while_the_withdrawal_is_under_way_is_told_to_try_again() {
    let mut pair = Pair::connected();
    pair.mode = Mode::Stalled;
    pair.send(&payment("42"));
    pair.pass(2 * SECOND);
    assert_eq!(pair.ask(&payment("42")), Some(Answer::TryAgain));
}

#[test]
fn e2_after_a_restart_an_admitted_exchange_counts_as_written_until_the_terminal_is_heard_from() {
    let mut pair = Pair::connected();
    pair.transmits = false;
    pair.send(&payment("42"));
    pair.drive();
    pair.crash_gateway(0);
    pair.transmits = true;
    // It never left the gateway, but nobody knows that any more.
    let again = pair.send(&payment("42"));
    pair.live(59 * SECOND);
    assert_eq!((pair.answer(again), pair.outcome("42")), (None, Some(Outcome::Open)));
    pair.arrive();
    assert_eq!(pair.answer(again), Some(Answer::NotDelivered));
    assert_eq!(pair.outcome("42"), Some(Outcome::NeverReached));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e2_a_restart_with_the_result_on_its_way_loses_nothing() {
    let (mut pair, _) = Pair::paying("42");
    pair.works = true;
    pair.hears = false;
    pair.drive();
    pair.crash_gateway(0);
    pair.hears = true;
    pair.arrive();
    assert!(matches!(pair.outcome("42"), Some(Outcome::Answered(_))));
    assert!(pair.hears_response(&payment("42"), Turn::Again));
    assert_eq!(pair.charged("42"), 1);
    assert!(pair.gateway.is_idle());
}

#[test]
fn e2_what_the_terminal_lost_too_is_unknown_for_good() {
    let (mut pair, _) = Pair::paying("42");
    pair.crash_gateway(0);
    pair.board_again();
    pair.arrive();
    assert_eq!(pair.outcome("42"), Some(Outcome::UnknownFinal(Cannot::JournalLost)));
    assert_eq!(pair.ask(&payment("42")), Some(Answer::NoResponse));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e9_requests_leave_in_the_order_of_their_admission() {
    let mut pair = Pair::connected();
    pair.transmits = false;
    for service in ["1", "2", "3"] {
        pair.send(&payment(service));
    }
    pair.send(&abort("4", "0"));
    pair.drive();
    pair.transmits = true;
    pair.drive();
    let services: Vec<_> = pair
        .written
        .iter()
        .filter_map(|d| pair.ledger.records().find(|r| r.delivery == *d).map(|r| r.key.service.to_string()))
        .collect();
    assert_eq!(services, ["1", "2", "3", "4"]);
}

#[test]
fn e9_one_that_is_refused_does_not_hold_up_those_behind_it() {
    let mut pair = Pair::connected();
    pair.mode = Mode::Stalled;
    let first = pair.send(&payment("1"));
    let second = pair.send(&payment("2"));
    pair.fail_next();
    pair.apply_next();
    // The second one is admitted while the first one still may be.
    let reply = pair.reply_next();
    assert!(reply);
    assert_eq!(pair.answer(first), Some(Answer::TryAgain));
    pair.mode = Mode::Prompt;
    pair.drive();
    assert!(matches!(pair.answer(second), Some(Answer::Response(_))));
}

#[test]
fn e9_one_whose_pos_gives_up_while_it_is_queued_is_withdrawn_and_not_written() {
    let mut pair = Pair::connected();
    pair.transmits = false;
    let sent = pair.send(&payment("42").wait(20));
    pair.live(20 * SECOND);
    assert_eq!(pair.answer(sent), Some(Answer::NotDelivered));
    assert_eq!(pair.outcome("42"), Some(Outcome::NeverReached));
    pair.transmits = true;
    pair.drive();
    assert!(pair.written.is_empty());
    assert!(pair.gateway.is_idle());
}

#[test]
fn e9_a_socket_that_comes_late_takes_nothing_whose_time_is_over() {
    let mut pair = Pair::connected();
    pair.mode = Mode::Stalled;
    let sent = pair.send(&diagnosis("42").wait(1));
    pair.apply_next();
    pair.pass(SECOND);
    pair.reply_next();
    pair.mode = Mode::Prompt;
    pair.live(SECOND);
    assert_eq!(pair.answer(sent), Some(Answer::NotDelivered));
    assert!(pair.written.is_empty());
    assert!(pair.gateway.is_idle());
}
