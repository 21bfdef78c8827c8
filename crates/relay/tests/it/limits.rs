//! Everything has a bound, and what is over it is told so.

use std::time::Duration;

use relay::exchange::{Answer, CHECK_WAIT, EXCHANGES_MAX};
use relay::{CallId, CloseReason, DeliveryId, ToGateway};

use crate::message::{abort, payment, status};
use crate::pair::{Mode, Pair};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn exchanges_over_the_terminals_limit_are_told_to_slow_down_and_questions_still_pass() {
    let mut pair = Pair::connected();
    pair.transmits = false;
    let sent: Vec<CallId> = (0..EXCHANGES_MAX).map(|n| pair.send(&payment(&n.to_string()))).collect();
    assert_eq!(pair.ask(&payment("over")), Some(Answer::TooMany));
    for n in EXCHANGES_MAX..2 * EXCHANGES_MAX {
        let asked = pair.send(&abort(&format!("A{n}"), "none"));
        pair.drive();
        assert_eq!(pair.answer(asked), None);
    }
    assert_eq!(pair.ask(&abort("over", "none")), Some(Answer::TooMany));
    pair.transmits = true;
    pair.drive();
    assert!(sent.iter().all(|sent| pair.answer(*sent).is_some()));
    assert!(pair.gateway.is_idle());
}

#[test]
fn questions_do_not_take_the_places_of_payments() {
    let mut pair = Pair::connected();
    pair.reads = false;
    for n in 0..EXCHANGES_MAX {
        pair.send(&status(&format!("T{n}"), "none"));
    }
    pair.drive();
    let sent = pair.send(&payment("42"));
    pair.drive();
    assert_eq!(pair.answer(sent), None);
    assert_eq!(pair.written.len(), EXCHANGES_MAX + 1);
}

#[test]
fn a_request_whose_time_is_over_gives_its_place_back() {
    let mut pair = Pair::connected();
    pair.works = false;
    for n in 0..EXCHANGES_MAX {
        pair.send(&payment(&n.to_string()).wait(5));
    }
    pair.live(5 * SECOND);
    pair.works = true;
    assert!(matches!(pair.ask(&payment("next")), Some(Answer::Response(_))));
    assert!(pair.gateway.is_idle());
}

#[test]
fn calls_that_wait_for_one_exchange_are_bounded() {
    let (mut pair, _) = Pair::paying("42");
    let repeats: Vec<_> = (0..100).map(|_| pair.send(&payment("42"))).collect();
    let refused = repeats.iter().filter(|r| pair.answer(**r) == Some(Answer::TooMany)).count();
    assert_eq!(refused, 100 - 15);
    pair.works = true;
    pair.drive();
    assert!(repeats.iter().all(|r| pair.answer(*r).is_some()));
    assert!(pair.gateway.is_idle());
}

#[test]
fn questions_that_wait_for_the_ledger_are_bounded_and_answered_in_time() {
    let mut pair = Pair::new();
    pair.mode = Mode::Stalled;
    let asked: Vec<_> = (0..100).map(|n| pair.send(&status(&format!("T{n}"), "42"))).collect();
    assert_eq!(asked.iter().filter(|a| pair.answer(**a) == Some(Answer::TooMany)).count(), 100 - 64);
    pair.pass(2 * SECOND);
    assert!(asked.iter().all(|a| pair.answer(*a).is_some()));
    pair.mode = Mode::Prompt;
    pair.drive();
    assert!(pair.gateway.is_idle());
}

#[test]
fn a_link_that_does_not_take_what_it_is_given_is_closed_as_too_slow() {
    let mut pair = Pair::connected();
    pair.ask(&payment("42"));
    let delivery = pair.written[0].clone();
    let result = pair.terminal.result(&delivery).cloned().expect("a result");
    pair.transmits = false;
    for _ in 0..10_000 {
        pair.say(result.clone());
    }
    pair.drive();
    assert_eq!(pair.gateway.presence().lease(), None);
    pair.transmits = true;
    pair.drive();
    assert_eq!(pair.sockets[0].closed, Some(CloseReason::TooSlow));
    assert!(pair.gateway.is_idle());
}

#[test]
fn a_terminal_that_says_more_than_the_ledger_takes_is_asked_to_come_again() {
    let mut pair = Pair::connected();
    pair.mode = Mode::Stalled;
    for n in 0..10_000 {
        let delivery = DeliveryId::parse(&format!("d_x{n}")).expect("an ID");
        pair.say(ToGateway::Indeterminate(delivery, "?".into()));
    }
    pair.drive();
    assert_eq!(pair.sockets[0].closed, Some(CloseReason::Draining));
    assert!(pair.ops_waiting() <= 1100);
    pair.mode = Mode::Prompt;
    pair.drive();
    assert!(pair.gateway.is_idle());
}

#[test]
fn notifications_are_kept_recorded_and_bounded() {
    let mut pair = Pair::connected();
    pair.mode = Mode::Stalled;
    for n in 0..10_000 {
        let id = DeliveryId::parse(&format!("n_{n}")).expect("an ID");
        pair.say(ToGateway::Notify(Some(id), bytes::Bytes::from_static(b"{}")));
    }
    pair.drive();
    assert!(pair.ops_waiting() <= 1100);
    pair.mode = Mode::Prompt;
    pair.drive();
    assert!(pair.gateway.is_idle());
}

#[test]
fn hellos_that_wait_are_bounded() {
    let mut pair = Pair::new();
    pair.mode = Mode::Stalled;
    pair.notices = false;
    for attempt in 1..=10 {
        pair.dial_beside(attempt);
    }
    pair.drive();
    assert_eq!(pair.sockets.iter().filter(|s| s.closed == Some(CloseReason::Draining)).count(), 6);
    pair.mode = Mode::Prompt;
    pair.drive();
    assert!(pair.gateway.is_idle());
}

#[test]
fn one_ping_serves_all_who_ask_within_two_seconds() {
    let mut pair = Pair::connected();
    pair.pass(10 * SECOND);
    pair.check();
    pair.check();
    pair.drive();
    assert_eq!(pair.checked.iter().map(|(_, alive)| *alive).collect::<Vec<_>>(), [true, true]);
    pair.reads = false;
    pair.pass(SECOND);
    pair.check();
    assert_eq!(pair.checked.len(), 3, "it was there a second ago");
    assert!(pair.gateway.is_idle());
}

#[test]
fn a_check_of_a_half_open_link_ends_after_five_seconds_and_of_an_absent_terminal_at_once() {
    let mut pair = Pair::connected();
    pair.drop_link_silently();
    pair.pass(10 * SECOND);
    pair.check();
    pair.drive();
    assert!(pair.checked.is_empty());
    pair.live(CHECK_WAIT);
    assert_eq!(pair.checked.pop().map(|(_, alive)| alive), Some(false));
    pair.notice_all();
    pair.check();
    assert_eq!(pair.checked.pop().map(|(_, alive)| alive), Some(false));
    assert!(pair.gateway.is_idle());
}

#[test]
fn a_check_that_is_under_way_when_the_link_goes_is_answered() {
    let mut pair = Pair::connected();
    pair.pass(10 * SECOND);
    pair.check();
    pair.cut_link();
    assert_eq!(pair.checked.pop().map(|(_, alive)| alive), Some(false));
    assert!(pair.gateway.is_idle());
}

#[test]
fn a_pos_that_hangs_up_leaves_nothing_behind() {
    let mut pair = Pair::new();
    pair.mode = Mode::Stalled;
    let money = pair.send(&payment("42"));
    let question = pair.send(&status("1", "43"));
    pair.hang_up(money);
    pair.hang_up(question);
    pair.mode = Mode::Prompt;
    pair.drive();
    assert!(pair.gateway.is_idle());
    assert!(!pair.ledger.is_fenced(&pair.key("43")));
}
