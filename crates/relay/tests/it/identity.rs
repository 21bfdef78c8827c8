//! Who a ServiceID belongs to, and what a second request under it is told (E3-E7).

use std::time::Duration;

use nexo::ErrorCondition;
use relay::WallMs;
use relay::exchange::{Answer, Standing};
use relay::ledger::{LedgerFacts, Outcome};

use crate::message::{diagnosis, display, money, payment, status};
use crate::pair::{Mode, Pair, Turn};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn failure(answer: Option<Answer>) -> ErrorCondition {
    match answer {
        Some(Answer::Failure { condition, .. }) => condition,
        other => panic!("a failure was expected, and {other:?} came"),
    }
}

#[test]
fn e3_a_service_id_belongs_to_its_request_for_48_hours() {
    let mut pair = Pair::connected();
    pair.ask(&payment("42"));
    pair.live(48 * HOUR - SECOND);
    assert!(pair.hears_response(&payment("42"), Turn::Again));
    pair.live(2 * SECOND);
    assert!(pair.hears_response(&money("Payment", "42", "another sale"), Turn::First));
    assert_eq!((pair.charged("42"), pair.charged("another sale")), (1, 1));
}

#[test]
fn e3_devices_of_one_terminal_do_not_share_service_ids() {
    let mut pair = Pair::connected();
    pair.works = false;
    let first = pair.send(&display("7", "1"));
    let second = pair.send(&display("7", "2"));
    pair.drive();
    assert_eq!(pair.written.len(), 2);
    pair.works = true;
    pair.drive();
    assert!(matches!(pair.answer(first), Some(Answer::Response(_))));
    assert!(pair.answer(second).is_some());
}

#[test]
fn e3_a_result_after_48_hours_still_finds_its_exchange_by_its_delivery() {
    let (mut pair, sent) = Pair::paying("42");
    pair.live(151 * SECOND);
    assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
    pair.live(49 * HOUR);
    pair.works = true;
    pair.drive();
    assert!(matches!(pair.outcome("42"), Some(Outcome::Answered(_))));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e4_a_repeat_joins_the_running_exchange_with_its_own_deadline() {
    let (mut pair, first) = Pair::paying("42");
    let second = pair.send(&payment("42").wait(10));
    pair.live(10 * SECOND);
    assert_eq!(pair.answer(second), Some(Answer::NoResponse));
    assert_eq!(pair.answer(first), None);
    let third = pair.send(&payment("42"));
    pair.works = true;
    pair.drive();
    assert_eq!(pair.answer(first), pair.answer(third));
    assert!(pair.heard_response(first, Turn::First));
    assert_eq!(pair.charged("42"), 1);
    assert!(pair.gateway.is_idle());
}

#[test]
fn e4_a_repeat_that_joins_while_it_is_queued_is_answered_at_its_own_deadline() {
    let mut pair = Pair::connected();
    pair.transmits = false;
    let first = pair.send(&payment("42"));
    let second = pair.send(&payment("42").wait(3));
    pair.live(3 * SECOND);
    assert_eq!((pair.answer(first), pair.answer(second)), (None, Some(Answer::NoResponse)));
    pair.transmits = true;
    pair.drive();
    assert!(matches!(pair.answer(first), Some(Answer::Response(_))));
}

#[test]
fn e4_a_repeat_gets_the_recorded_answer_also_with_the_terminal_off() {
    for category in
        ["Payment", "Reversal", "StoredValue", "CardAcquisition", "EnableService", "Reconciliation"]
    {
        let mut pair = Pair::connected();
        let ask = money(category, "42", "sale");
        let (Answer::Response(message), Turn::First) = pair.ask_heard(&ask) else { panic!("no response") };
        pair.cut_link();
        assert_eq!(pair.ask_heard(&ask), (Answer::Response(message), Turn::Again), "{category}");
        assert_eq!(pair.written.len(), 1);
        assert!(pair.gateway.is_idle());
    }
}

#[test]
fn e4_a_repeat_to_a_terminal_that_is_long_gone_is_not_kept_waiting() {
    let (mut pair, _) = Pair::paying("42");
    pair.cut_link();
    pair.live(61 * SECOND);
    let again = pair.send(&payment("42"));
    pair.live(Duration::ZERO);
    pair.pass(Duration::ZERO);
    assert_eq!(pair.answer(again), Some(Answer::NoResponse));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e5_a_repeat_of_another_category_joins_while_it_runs_and_is_not_allowed_afterwards() {
    let mut pair = Pair::connected();
    pair.works = false;
    let first = pair.send(&diagnosis("7"));
    let second = pair.send(&diagnosis("7"));
    pair.drive();
    pair.works = true;
    pair.drive();
    assert_eq!(pair.answer(first), pair.answer(second));
    assert_eq!(failure(pair.ask(&diagnosis("7"))), ErrorCondition::NOT_ALLOWED);
    pair.cut_link();
    assert_eq!(failure(pair.ask(&diagnosis("7"))), ErrorCondition::NOT_ALLOWED);
    assert!(pair.gateway.is_idle());
}

#[test]
fn e6_another_body_is_in_progress_while_the_first_has_no_outcome_and_not_allowed_after() {
    let (mut pair, _) = Pair::paying("42");
    let clash = money("Payment", "42", "another sale");
    let other_till = payment("42").sale("TILL-2");
    assert_eq!(failure(pair.ask(&clash)), ErrorCondition::IN_PROGRESS);
    assert_eq!(failure(pair.ask(&other_till)), ErrorCondition::IN_PROGRESS);
    pair.cut_link();
    assert_eq!(failure(pair.ask(&clash)), ErrorCondition::IN_PROGRESS);
    pair.works = true;
    pair.arrive();
    assert_eq!(failure(pair.ask(&clash)), ErrorCondition::NOT_ALLOWED);
    assert_eq!(failure(pair.ask(&other_till)), ErrorCondition::NOT_ALLOWED);
    assert_eq!(pair.charged("another sale"), 0);
}

#[test]
fn e6_nothing_is_in_progress_before_the_ledger_has_said_whose_service_id_it_is() {
    let (mut pair, _) = Pair::paying("42");
    pair.live(151 * SECOND);
    pair.mode = Mode::Stalled;
    // The clash is on its way to the disk when the repeat of the real one comes.
    let clash = pair.send(&money("Payment", "42", "another sale"));
    assert_eq!(pair.ask(&payment("42")), Some(Answer::TryAgain));
    pair.mode = Mode::Prompt;
    pair.drive();
    assert_eq!(failure(pair.answer(clash)), ErrorCondition::IN_PROGRESS);
}

#[test]
fn e7_that_an_absent_terminal_was_not_reached_is_on_disk_before_it_is_told() {
    let mut pair = Pair::new();
    pair.mode = Mode::Stalled;
    let sent = pair.send(&payment("42"));
    pair.drive();
    assert_eq!(pair.answer(sent), None);
    pair.mode = Mode::Prompt;
    pair.drive();
    assert_eq!(pair.answer(sent), Some(Answer::NotDelivered));
    assert_eq!(pair.outcome("42"), Some(Outcome::NeverReached));
    // A later copy gets the same answer, also when the terminal is here by then.
    pair.arrive();
    assert_eq!(pair.ask(&payment("42")), Some(Answer::NotDelivered));
    assert!(pair.written.is_empty());
    assert!(pair.gateway.is_idle());
}

#[test]
fn e7_if_that_commit_fails_the_same_service_id_may_be_used_again() {
    let mut pair = Pair::new();
    pair.mode = Mode::Failing;
    assert_eq!(pair.ask(&payment("42")), Some(Answer::TryAgain));
    pair.mode = Mode::Prompt;
    pair.live(SECOND);
    pair.arrive();
    assert!(matches!(pair.ask(&payment("42")), Some(Answer::Response(_))));
}

#[test]
fn e7_for_other_categories_the_service_id_is_free_again() {
    let mut pair = Pair::new();
    assert_eq!(pair.ask(&diagnosis("7")), Some(Answer::NotDelivered));
    pair.arrive();
    assert!(matches!(pair.ask(&diagnosis("7")), Some(Answer::Response(_))));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e7_one_that_a_hello_proved_unreached_is_a_recorded_answer() {
    let mut pair = Pair::connected();
    pair.reads = false;
    let sent = pair.send(&payment("42"));
    pair.drive();
    pair.reads = true;
    pair.arrive();
    assert_eq!(pair.answer(sent), Some(Answer::NotDelivered));
    assert_eq!(pair.ask(&payment("42")), Some(Answer::NotDelivered));
    assert_eq!(pair.charged("42"), 0);
}

#[test]
fn e7_a_fence_beats_a_recorded_refusal() {
    let mut pair = Pair::new();
    assert_eq!(pair.ask(&payment("42")), Some(Answer::NotDelivered));
    pair.ask(&status("1", "42"));
    assert!(pair.ledger.is_fenced(&pair.key("42")));
    assert_eq!(failure(pair.ask(&payment("42"))), ErrorCondition::NOT_ALLOWED);
}

#[test]
fn e7_a_terminal_that_nobody_knows_is_answered_as_an_absent_one_and_its_service_id_is_closed() {
    let facts = LedgerFacts { complete_since: WallMs(0), restored: None };
    let mut pair = Pair::with(facts, Standing::Unknown);
    pair.mode = Mode::Failing;
    assert_eq!(pair.ask(&payment("42")), Some(Answer::TryAgain));
    pair.mode = Mode::Prompt;
    assert_eq!(pair.ask(&payment("42")), Some(Answer::NotDelivered));
    assert!(pair.ledger.is_fenced(&pair.key("42")));
    assert_eq!(pair.ask(&payment("42")), Some(Answer::NotDelivered));
    assert_eq!(pair.ask(&diagnosis("7")), Some(Answer::NotDelivered));
    assert!(!pair.ledger.is_fenced(&pair.key("7")));
    assert!(pair.gateway.is_idle());
}
