//! Each deliberate fault does harm by itself, and the steps that bring it out do none without it.

use std::time::Duration;

use nexo::ErrorCondition;
use relay::exchange::{Answer, StatusAnswer};
use relay::fault::{self, Fault};
use relay::ledger::{Cannot, Outcome};
use relay::{ResultMessage, ToGateway};

use crate::message::{abort, payment, status, with_card_number};
use crate::pair::{Mode, Pair, Turn};

const SECOND: Duration = Duration::from_secs(1);

/// The steps come to a good end; with the fault they end at a promise that is broken, in these words.
pub(crate) fn breaks(fault: Fault, promise: &str, steps: fn()) {
    steps();
    fault::switch(Some(fault));
    let end = std::panic::catch_unwind(steps);
    fault::switch(None);
    let panic = end.expect_err("the fault did no harm");
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
    assert!(said.contains(promise), "it ended at another promise: {said}");
}

/// A payment that the terminal has stored and charged, while the gateway has not heard a word of it.
fn paid_unheard() -> (Pair, relay::CallId) {
    let mut pair = Pair::connected();
    pair.hears = false;
    pair.works = false;
    let sent = pair.send(&payment("42"));
    pair.drive();
    assert!(pair.work());
    assert_eq!(pair.charged("42"), 1);
    (pair, sent)
}

fn back_and_heard(pair: &mut Pair) {
    pair.hears = true;
    pair.works = true;
    pair.arrive();
}

#[test]
fn deliver_twice() {
    breaks(Fault::DeliverTwice, "did reach", || {
        let (mut pair, sent) = paid_unheard();
        pair.cut_link();
        pair.live(150 * SECOND);
        assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
    });
    breaks(Fault::DeliverTwice, "is written to a link that it does not belong to", || {
        let (mut pair, sent) = paid_unheard();
        pair.cut_link();
        back_and_heard(&mut pair);
        assert!(pair.heard_response(sent, Turn::First));
    });
    breaks(Fault::DeliverTwice, "is written to a link that it does not belong to", || {
        let (mut pair, sent) = paid_unheard();
        pair.cut_link();
        pair.hears = true;
        pair.board_again();
        pair.arrive();
        assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
        assert_eq!(pair.charged("42"), 1);
    });
}

#[test]
fn drop_resume() {
    breaks(Fault::DropResume, "did reach", || {
        let (mut pair, sent) = paid_unheard();
        pair.cut_link();
        back_and_heard(&mut pair);
        assert!(pair.heard_response(sent, Turn::First));
    });
}

#[test]
fn match_by_arrival_order() {
    breaks(Fault::MatchByArrivalOrder, "a reply of", || {
        let (mut pair, first) = Pair::paying("42");
        let second = pair.send(&payment("43").sale("TILL-2"));
        pair.drive();
        assert!(pair.heard_response(second, Turn::First), "it hears that the terminal is busy");
        pair.works = true;
        pair.drive();
        assert!(pair.heard_response(first, Turn::First));
    });
}

#[test]
fn recorded_before_commit() {
    breaks(Fault::RecordedBeforeCommit, "is recorded and not on disk", || {
        let (mut pair, _) = Pair::paying("42");
        pair.mode = Mode::Stalled;
        pair.works = true;
        pair.drive();
        pair.crash_gateway(0);
        pair.come_to_rest();
        assert!(pair.hears_response(&payment("42"), Turn::Again));
    });
}

#[test]
fn ignore_epoch() {
    breaks(Fault::IgnoreEpoch, "is written with outcome NeverReached", || {
        let mut pair = Pair::connected();
        pair.mode = Mode::Stalled;
        let sent = pair.send(&payment("42"));
        pair.cut_link();
        pair.mode = Mode::Prompt;
        pair.drive();
        // Its hello disowns it, which is then on disk.
        pair.arrive();
        assert_eq!(pair.answer(sent), Some(Answer::NotDelivered));
        assert!(pair.written.is_empty());
    });
}

#[test]
fn settle_twice() {
    breaks(Fault::SettleTwice, "the result is lost", || {
        let mut pair = Pair::connected();
        pair.works = false;
        let sent = pair.send(&payment("42").wait(10));
        pair.drive();
        assert!(pair.work());
        // That its POS has given up is noted behind the result, which comes just then.
        pair.mode = Mode::Stalled;
        pair.pass(10 * SECOND);
        assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
        assert!(pair.work());
        pair.drive();
        pair.mode = Mode::Prompt;
        pair.drive();
        assert!(matches!(pair.outcome("42"), Some(Outcome::Answered(_))), "the result is lost");
    });
}

#[test]
fn not_found_without_fence() {
    breaks(Fault::NotFoundWithoutFence, "without a fence", || {
        let mut pair = Pair::new();
        assert_eq!(pair.ask(&status("9", "42")), Some(Answer::Status(StatusAnswer::NotFound)));
        pair.arrive();
        let late = pair.ask(&payment("42"));
        assert!(
            matches!(late, Some(Answer::Failure { condition, .. }) if condition == ErrorCondition::NOT_ALLOWED)
        );
        assert_eq!(pair.charged("42"), 0);
    });
}

#[test]
fn hello_while_old_link_read() {
    breaks(Fault::HelloWhileOldLinkRead, "did reach", || {
        let mut pair = Pair::connected();
        pair.reads = false;
        let sent = pair.send(&payment("42"));
        pair.drive();
        let deliver = pair.delivers_waiting()[0].clone();
        let older = pair.terminal.attempt;
        pair.connect();
        pair.terminal.deliver(pair.now, older, deliver);
        pair.settle_acts();
        pair.reads = true;
        pair.drive();
        assert_eq!(pair.answer(sent), Some(Answer::NotDelivered));
        assert_eq!(pair.charged("42"), 0);
    });
}

#[test]
fn journal_lost_and_believed() {
    breaks(Fault::JournalLostAndBelieved, "did reach", || {
        let (mut pair, sent) = Pair::paying("42");
        pair.board_again();
        pair.arrive();
        assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
        assert_eq!(pair.outcome("42"), Some(Outcome::UnknownFinal(Cannot::JournalLost)));
    });
}

#[test]
fn stale_hello_wins() {
    breaks(Fault::StaleHelloWins, "did reach", || {
        let mut pair = Pair::connected();
        let late = pair.dial_beside(pair.terminal.attempt);
        pair.hears = false;
        let sent = pair.send(&payment("42"));
        pair.drive();
        pair.hear(late);
        pair.drive();
        pair.hears = true;
        pair.drive();
        assert!(pair.heard_response(sent, Turn::First));
    });
}

#[test]
fn execute_before_journal() {
    breaks(Fault::ExecuteBeforeJournal, "a POS is told that", || {
        let mut pair = Pair::connected();
        pair.terminal.syncs = false;
        let sent = pair.send(&payment("42"));
        pair.drive();
        pair.crash_terminal();
        pair.terminal.syncs = true;
        pair.arrive();
        assert_eq!(pair.answer(sent), Some(Answer::NotDelivered));
        assert_eq!(pair.charged("42"), 0);
    });
}

#[test]
fn unreachable_after_delivery() {
    breaks(Fault::UnreachableAfterDelivery, "a POS is told that", || {
        let (mut pair, sent) = Pair::paying("42");
        pair.cut_link();
        pair.live(60 * SECOND);
        assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
    });
}

#[test]
fn repeat_answered_by_presence() {
    breaks(Fault::RepeatAnsweredByPresence, "a POS is told that", || {
        let mut pair = Pair::connected();
        assert!(pair.hears_response(&payment("42"), Turn::First));
        pair.cut_link();
        assert!(pair.hears_response(&payment("42"), Turn::Again));
    });
}

#[test]
fn replay_of_redacted() {
    breaks(Fault::ReplayOfRedacted, "a response that no terminal gave", || {
        let mut pair = Pair::connected();
        pair.works = false;
        let ask = payment("42");
        let sent = pair.send(&ask);
        pair.drive();
        let delivery = pair.written[0].clone();
        let message = with_card_number(&ask.request());
        pair.terminal.responses.push((delivery.clone(), message.clone()));
        pair.say(ToGateway::Result(delivery, ResultMessage::Message(message.clone())));
        pair.drive();
        assert_eq!(pair.answer(sent), Some(Answer::Response(message)));
        assert_eq!(pair.ask(&ask), Some(Answer::NoResponse));
    });
}

#[test]
fn abort_overtakes() {
    breaks(Fault::AbortOvertakes, "it is paid after it was aborted", || {
        let mut pair = Pair::connected();
        pair.mode = Mode::Stalled;
        pair.send(&payment("42"));
        let stop = pair.send(&abort("1", "42"));
        while pair.apply_next() {}
        pair.transmit(0);
        pair.mode = Mode::Prompt;
        pair.drive();
        assert_eq!(pair.answer(stop), Some(Answer::Ok));
        assert_eq!(pair.charged("42"), 0, "it is paid after it was aborted");
    });
}

#[test]
fn async_ok_without_received() {
    breaks(Fault::AsyncOkWithoutReceived, "which did not reach", || {
        let mut pair = Pair::connected();
        pair.transmits = false;
        let sent = pair.send(&payment("42").asynchronous());
        pair.drive();
        pair.cut_link();
        pair.drive();
        assert_eq!(pair.answer(sent), Some(Answer::NotDelivered));
    });
}

#[test]
fn every_fault_has_its_test() {
    let source = concat!(include_str!("faults.rs"), include_str!("faults_actions.rs"));
    for fault in Fault::ALL {
        let test = format!("fn {}()", fault.name().replace('-', "_"));
        assert!(source.contains(&test), "{fault}");
    }
}
