//! The POS is answered after the result's commit, or without it when the store is slow or broken (E23).

use std::time::Duration;

use relay::exchange::Answer;
use relay::ledger::{Cannot, Outcome};
use relay::{CloseReason, Status};

use crate::message::{payment, status};
use crate::pair::{Mode, Pair, Turn};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn e23_the_pos_is_answered_after_the_commit_of_the_result() {
    let (mut pair, sent) = Pair::paying("42");
    pair.mode = Mode::Stalled;
    pair.works = true;
    pair.drive();
    assert_eq!(pair.answer(sent), None);
    assert_eq!(pair.terminal.resume().len(), 1);
    pair.mode = Mode::Prompt;
    pair.drive();
    assert!(pair.heard_response(sent, Turn::First));
    assert!(pair.terminal.resume().is_empty());
    assert!(pair.gateway.is_idle());
}

#[test]
fn e23_after_two_seconds_it_gets_the_true_answer_all_the_same_and_recorded_is_withheld() {
    for mode in [Mode::Stalled, Mode::Failing] {
        let (mut pair, sent) = Pair::paying("42");
        pair.mode = mode;
        pair.works = true;
        pair.live(2 * SECOND);
        let told = pair.answer(sent);
        assert!(pair.heard_response(sent, Turn::First));
        assert_eq!(pair.terminal.resume().len(), 1);
        // Whoever repeats now hears the same.
        let Some(Answer::Response(message)) = told else { panic!("no response") };
        assert_eq!(pair.ask_heard(&payment("42")), (Answer::Response(message), Turn::Again));
        pair.mode = Mode::Prompt;
        pair.live(SECOND);
        assert!(matches!(pair.outcome("42"), Some(Outcome::Answered(_))));
        assert!(pair.terminal.resume().is_empty());
        assert!(pair.gateway.is_idle());
    }
}

#[test]
fn e23_the_same_for_indeterminate() {
    let (mut pair, sent) = Pair::paying("42");
    pair.crash_terminal();
    pair.arrive();
    pair.works = true;
    // The commit was prompt; now the same with a broken store.
    assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
    let (mut pair, sent) = Pair::paying("42");
    pair.crash_terminal();
    pair.mode = Mode::Failing;
    pair.maintain();
    pair.live(2 * SECOND);
    assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
    assert!(pair.recorded_for.is_empty());
    pair.mode = Mode::Prompt;
    pair.live(SECOND);
    assert_eq!(pair.outcome("42"), Some(Outcome::UnknownFinal(Cannot::Indeterminate)));
    assert_eq!(pair.recorded_for.len(), 1);
    assert!(pair.gateway.is_idle());
}

#[test]
fn e23_after_ten_seconds_the_link_is_closed_so_that_the_next_hello_hands_it_in_again() {
    let (mut pair, sent) = Pair::paying("42");
    pair.mode = Mode::Failing;
    pair.works = true;
    pair.live(9 * SECOND);
    assert_eq!(pair.gateway.presence().status(pair.now), Status::Online);
    pair.live(SECOND);
    assert_eq!(pair.sockets[0].closed, Some(CloseReason::Draining));
    assert!(matches!(pair.answer(sent), Some(Answer::Response(_))));
    assert!(pair.gateway.is_idle());
    pair.mode = Mode::Prompt;
    pair.arrive();
    assert!(matches!(pair.outcome("42"), Some(Outcome::Answered(_))));
    assert!(pair.terminal.resume().is_empty());
    assert!(pair.gateway.is_idle());
}

#[test]
fn e23_a_commit_that_is_told_as_failed_and_was_done_is_no_conflict() {
    let (mut pair, sent) = Pair::paying("42");
    pair.mode = Mode::FailingLate;
    pair.works = true;
    pair.live(SECOND);
    assert_eq!(pair.answer(sent), None);
    pair.mode = Mode::Prompt;
    pair.live(SECOND);
    assert!(matches!(pair.answer(sent), Some(Answer::Response(_))));
    assert!(pair.alarms.is_empty());
    assert!(pair.gateway.is_idle());
}

#[test]
fn e23_what_only_the_gateway_knows_is_tried_for_as_long_as_it_takes() {
    let mut pair = Pair::connected();
    pair.transmits = false;
    let sent = pair.send(&payment("42").wait(5));
    pair.drive();
    pair.mode = Mode::Failing;
    pair.live(60 * SECOND);
    assert_eq!(
        pair.answer(sent),
        Some(Answer::TryAgain),
        "that it was not delivered is told when it is on disk"
    );
    assert_eq!(pair.gateway.presence().status(pair.now), Status::Online);
    pair.mode = Mode::Prompt;
    pair.live(SECOND);
    assert_eq!(pair.outcome("42"), Some(Outcome::NeverReached));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e23_a_terminals_not_found_is_not_told_without_its_fence() {
    let mut pair = Pair::connected();
    pair.reads = false;
    let asked = pair.send(&status("1", "42"));
    pair.drive();
    pair.mode = Mode::Failing;
    pair.reads = true;
    pair.live(3 * SECOND);
    assert_eq!(pair.answer(asked), Some(Answer::TryAgain));
}

#[test]
fn e23_a_result_whose_record_can_not_be_looked_up_is_handed_in_again() {
    let (mut pair, _) = Pair::paying("42");
    pair.crash_gateway(0);
    pair.arrive();
    pair.mode = Mode::Failing;
    pair.works = true;
    pair.drive();
    assert!(pair.sockets.iter().any(|s| s.closed == Some(CloseReason::Draining)));
    assert_eq!(pair.terminal.resume().len(), 1);
    pair.mode = Mode::Prompt;
    pair.arrive();
    assert!(pair.terminal.resume().is_empty());
    assert!(matches!(pair.outcome("42"), Some(Outcome::Answered(_))));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e23_several_reports_of_one_delivery_are_all_recorded() {
    let (mut pair, _) = Pair::paying("42");
    pair.crash_gateway(0);
    pair.arrive();
    pair.mode = Mode::Stalled;
    pair.works = true;
    pair.drive();
    pair.maintain();
    pair.maintain();
    pair.mode = Mode::Prompt;
    pair.drive();
    assert_eq!(pair.recorded_for.len(), 2);
    assert!(pair.alarms.is_empty() && pair.terminal.resume().is_empty());
    assert!(pair.gateway.is_idle());
}

#[test]
fn e23_a_terminal_that_contradicts_itself_keeps_its_first_result_until_that_is_on_disk() {
    let (mut pair, _) = Pair::paying("42");
    pair.mode = Mode::Failing;
    pair.works = true;
    pair.drive();
    let contradiction = pair.terminal.contradict(0).expect("a result");
    pair.say(contradiction);
    pair.mode = Mode::Prompt;
    pair.drive();
    // The evidence is on disk, and the result is not yet.
    assert_eq!(pair.ledger.evidence().len(), 1);
    assert_eq!((pair.terminal.resume().len(), pair.outcome("42")), (1, Some(Outcome::Open)));
    pair.live(SECOND);
    assert!(matches!(pair.outcome("42"), Some(Outcome::Answered(_))));
    assert!(pair.terminal.resume().is_empty());
    assert_eq!(pair.alarms.len(), 1);
    assert!(pair.gateway.is_idle());
}

#[test]
fn e23_a_result_whose_evidence_can_not_be_kept_is_handed_in_again() {
    let mut pair = Pair::connected();
    pair.ask(&payment("42"));
    let contradiction = pair.terminal.contradict(0).expect("a result");
    pair.mode = Mode::Stalled;
    pair.say(contradiction);
    pair.drive();
    // Its record is found, and then the store breaks.
    pair.apply_next();
    pair.reply_next();
    pair.mode = Mode::Failing;
    pair.drive();
    assert_eq!(pair.sockets[0].closed, Some(CloseReason::Draining));
    assert!(pair.ledger.evidence().is_empty());
    assert!(pair.gateway.is_idle());
}
