//! From one link to one write, and what a `hello` proves (E10-E15).

use std::time::Duration;

use nexo::Kept;
use relay::exchange::{Answer, StatusAnswer};
use relay::ledger::{Answered, Cannot, EvidenceKind, Outcome};
use relay::{CloseReason, Status, ToGateway};

use crate::message::{diagnosis, payment, response, status};
use crate::pair::{Mode, Pair, Turn, delivery};

const SECOND: Duration = Duration::from_secs(1);

fn result(of: &relay::DeliveryId, message: bytes::Bytes) -> ToGateway {
    ToGateway::Result(of.clone(), relay::ResultMessage::Message(message))
}

#[test]
fn e10_an_exchange_whose_link_goes_before_the_write_was_never_reached() {
    let mut pair = Pair::connected();
    pair.transmits = false;
    let sent = pair.send(&payment("42"));
    pair.drive();
    pair.cut_link();
    pair.drive();
    assert_eq!(pair.answer(sent), Some(Answer::NotDelivered));
    assert_eq!(pair.outcome("42"), Some(Outcome::NeverReached));
    pair.transmits = true;
    pair.arrive();
    assert!(pair.written.is_empty());
    assert!(pair.gateway.is_idle());
}

#[test]
fn e10_one_that_is_admitted_when_its_link_is_gone_already_was_never_reached() {
    let mut pair = Pair::connected();
    pair.mode = Mode::Stalled;
    let sent = pair.send(&payment("42"));
    pair.cut_link();
    pair.mode = Mode::Prompt;
    pair.drive();
    assert_eq!(pair.answer(sent), Some(Answer::NotDelivered));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e10_an_exchange_that_a_hello_supersedes_before_the_write_is_not_written_to_the_new_link() {
    let mut pair = Pair::connected();
    pair.transmits = false;
    let sent = pair.send(&payment("42"));
    pair.drive();
    pair.notices = false;
    pair.connect();
    pair.drive();
    pair.transmits = true;
    pair.drive();
    assert_eq!(pair.answer(sent), Some(Answer::NotDelivered));
    assert!(pair.written.is_empty());
    assert_eq!(
        pair.sockets[0].closed,
        Some(CloseReason::Replaced { winner: relay::ProcessId::parse("p_1").unwrap() })
    );
}

#[test]
fn e10_nothing_is_written_to_a_link_while_a_hello_may_be_taking_over() {
    let mut pair = Pair::connected();
    pair.transmits = false;
    let sent = pair.send(&payment("42"));
    pair.drive();
    pair.notices = false;
    pair.mode = Mode::Stalled;
    let newer = pair.connect();
    pair.hear(newer);
    pair.transmits = true;
    pair.drive();
    assert!(pair.written.is_empty());
    assert_eq!(pair.answer(sent), None);
}

#[test]
fn e10_after_a_write_a_pos_hears_that_the_terminal_may_have_it() {
    let mut pair = Pair::connected();
    pair.works = false;
    let sent = pair.send(&diagnosis("7"));
    pair.drive();
    pair.cut_link();
    pair.live(60 * SECOND);
    assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
    assert_eq!(pair.outcome("7"), Some(Outcome::Unknown));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e10_an_admission_under_an_epoch_that_has_passed_is_rerouted_once() {
    let mut pair = Pair::connected();
    pair.mode = Mode::Stalled;
    pair.notices = false;
    // The terminal is at another node by the time of the admission.
    pair.raise_epoch(99);
    let first = pair.send(&payment("1"));
    let second = pair.send(&payment("2"));
    pair.mode = Mode::Prompt;
    pair.drive();
    assert_eq!(pair.answer(first), Some(Answer::NotDelivered));
    assert_eq!(pair.answer(second), Some(Answer::NotDelivered));
    assert_eq!(pair.gateway.presence().lease(), None);
    assert_eq!(pair.sockets[0].closed, Some(CloseReason::Draining));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e11_the_terminal_gets_five_seconds_less_or_half_of_a_short_time() {
    for (wait, left) in [(150, 145_000), (11, 6_000), (10, 5_000), (1, 500)] {
        let mut pair = Pair::connected();
        pair.reads = false;
        pair.send(&payment("42").wait(wait));
        pair.drive();
        assert_eq!(pair.delivers_waiting().first().map(|d| d.time_left_ms), Some(left), "of {wait} s");
    }
}

#[test]
fn e11_a_link_lost_in_mid_exchange_keeps_the_pos_waiting_for_a_minute() {
    let (mut pair, sent) = Pair::paying("42");
    pair.live(5 * SECOND);
    pair.cut_link();
    pair.live(59 * SECOND);
    assert_eq!(pair.answer(sent), None);
    pair.works = true;
    pair.arrive();
    assert!(matches!(pair.answer(sent), Some(Answer::Response(_))));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e11_but_no_longer_than_the_pos_itself_waits() {
    let mut pair = Pair::connected();
    pair.works = false;
    let sent = pair.send(&payment("42").wait(20));
    pair.drive();
    pair.cut_link();
    pair.live(20 * SECOND);
    assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
}

#[test]
fn e12_a_pos_that_hangs_up_changes_nothing_for_the_terminal() {
    let (mut pair, sent) = Pair::paying("42");
    pair.hang_up(sent);
    pair.live(10 * SECOND);
    pair.works = true;
    pair.drive();
    assert!(matches!(pair.outcome("42"), Some(Outcome::Answered(_))));
    assert_eq!((pair.charged("42"), pair.answer(sent)), (1, None));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e12_one_that_hangs_up_before_the_admission_is_sent_all_the_same() {
    let mut pair = Pair::connected();
    pair.mode = Mode::Stalled;
    let sent = pair.send(&payment("42"));
    pair.hang_up(sent);
    pair.mode = Mode::Prompt;
    pair.drive();
    assert_eq!(pair.charged("42"), 1);
    assert!(pair.gateway.is_idle());
}

#[test]
fn e13_a_link_without_received_and_without_pong_is_dead_after_ten_seconds() {
    let mut pair = Pair::connected();
    pair.drop_link_silently();
    let sent = pair.send(&payment("42"));
    pair.drive();
    pair.live(9 * SECOND);
    assert_eq!(pair.gateway.presence().status(pair.now), Status::Online);
    pair.live(SECOND);
    assert_eq!(pair.gateway.presence().status(pair.now), Status::Reconnecting);
    assert_eq!(pair.sockets[0].closed, Some(CloseReason::Silent));
    // The terminal never read it, and says so.
    pair.arrive();
    assert_eq!(pair.answer(sent), Some(Answer::NotDelivered));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e13_a_terminal_that_only_pongs_is_dead_after_fifteen_seconds() {
    let mut pair = Pair::connected();
    pair.swallows = true;
    let sent = pair.send(&payment("42"));
    pair.live(14 * SECOND);
    assert_eq!(pair.gateway.presence().status(pair.now), Status::Online);
    pair.live(SECOND);
    assert_eq!(pair.sockets[0].closed, Some(CloseReason::Silent));
    assert_eq!(pair.answer(sent), None);
    pair.swallows = false;
    pair.arrive();
    assert_eq!(pair.answer(sent), Some(Answer::NotDelivered));
}

#[test]
fn e14_a_stale_hello_takes_nothing_over() {
    let mut pair = Pair::connected();
    let epoch = pair.epoch();
    pair.notices = false;
    let stale = pair.dial_beside(pair.terminal.attempt);
    pair.drive();
    assert_eq!(pair.sockets[stale].closed, Some(CloseReason::Protocol("stale hello".into())));
    assert_eq!(pair.epoch(), epoch);
    assert!(matches!(pair.ask(&payment("42")), Some(Answer::Response(_))));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e14_a_copied_journal_that_was_used_less_is_stale() {
    let mut pair = Pair::connected();
    for _ in 0..3 {
        pair.arrive();
    }
    let copy = pair.dial_beside(2);
    pair.drive();
    assert_eq!(pair.sockets[copy].closed, Some(CloseReason::Protocol("stale hello".into())));
}

#[test]
fn e14_another_journal_than_the_boarded_one_has_to_board_again() {
    let mut pair = Pair::connected();
    pair.lose_journal();
    let socket = pair.connect();
    pair.drive();
    assert_eq!(pair.sockets[socket].closed, Some(CloseReason::BoardAgain));
}

#[test]
fn e14_a_hello_that_was_overtaken_by_a_newer_one_is_refused() {
    let mut pair = Pair::new();
    pair.notices = false;
    let older = pair.connect();
    let newer = pair.connect();
    pair.hear(newer);
    pair.drive();
    assert!(pair.sockets[newer].welcomed);
    pair.hear(older);
    pair.drive();
    assert_eq!(pair.sockets[older].closed, Some(CloseReason::Protocol("stale hello".into())));
    assert_eq!(pair.gateway.presence().lease().map(|l| &l.connection), Some(&pair.sockets[newer].id));
}

#[test]
fn e14_written_and_not_in_resume_and_never_received_was_never_reached() {
    let mut pair = Pair::connected();
    pair.reads = false;
    let sent = pair.send(&payment("42"));
    pair.drive();
    assert_eq!(pair.written.len(), 1);
    pair.reads = true;
    pair.arrive();
    assert_eq!(pair.answer(sent), Some(Answer::NotDelivered));
    assert_eq!(pair.outcome("42"), Some(Outcome::NeverReached));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e14_what_is_in_resume_counts_as_received_and_waits_for_its_result() {
    let mut pair = Pair::connected();
    pair.works = false;
    pair.hears = false;
    let sent = pair.send(&payment("42"));
    pair.drive();
    pair.hears = true;
    // `received` is lost with the link, but the terminal has it.
    pair.cut_link();
    pair.arrive();
    assert_eq!(pair.answer(sent), None);
    assert_eq!(pair.record("42").map(|r| r.received), Some(true));
    pair.works = true;
    pair.drive();
    assert!(matches!(pair.answer(sent), Some(Answer::Response(_))));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e14_received_and_forgotten_is_unknown_for_good() {
    let (mut pair, sent) = Pair::paying("42");
    pair.forget_all();
    pair.arrive();
    assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
    assert_eq!(pair.outcome("42"), Some(Outcome::UnknownFinal(Cannot::Forgotten)));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e14_written_under_an_earlier_journal_is_unknown_for_good() {
    let mut pair = Pair::connected();
    pair.reads = false;
    let sent = pair.send(&payment("42"));
    pair.drive();
    pair.reads = true;
    pair.board_again();
    pair.arrive();
    assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
    assert_eq!(pair.outcome("42"), Some(Outcome::UnknownFinal(Cannot::JournalLost)));
}

#[test]
fn e14_indeterminate_is_unknown_for_good_and_told_so() {
    let (mut pair, sent) = Pair::paying("42");
    pair.crash_terminal();
    pair.arrive();
    assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
    assert_eq!(pair.outcome("42"), Some(Outcome::UnknownFinal(Cannot::Indeterminate)));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e14_welcome_follows_the_commit_of_what_the_hello_proved() {
    let mut pair = Pair::connected();
    pair.reads = false;
    pair.send(&payment("42"));
    pair.drive();
    pair.cut_link();
    pair.reads = true;
    pair.mode = Mode::Stalled;
    let socket = pair.connect();
    for _ in 0..3 {
        pair.drive();
        assert!(!pair.sockets[socket].welcomed);
        pair.apply_next();
        pair.reply_next();
    }
    pair.drive();
    assert_eq!(pair.outcome("42"), Some(Outcome::NeverReached));
    assert!(pair.sockets[socket].welcomed);
}

#[test]
fn e14_what_a_hello_proved_is_not_settled_when_a_newer_one_has_raised_the_epoch() {
    let mut pair = Pair::connected();
    pair.reads = false;
    pair.send(&payment("42"));
    pair.drive();
    pair.cut_link();
    pair.reads = true;
    pair.mode = Mode::Stalled;
    let socket = pair.connect();
    pair.drive();
    pair.apply_next();
    pair.reply_next();
    pair.raise_epoch(99);
    pair.mode = Mode::Prompt;
    pair.drive();
    assert_eq!(pair.sockets[socket].closed, Some(CloseReason::Draining));
    assert_ne!(pair.outcome("42"), Some(Outcome::NeverReached));
    assert_eq!(pair.gateway.presence().lease(), None);
}

#[test]
fn e14_a_hello_whose_commit_fails_takes_nothing_over_and_nothing_is_written_to_the_older_link() {
    for (raised, mode) in [(0, Mode::Failing), (0, Mode::FailingLate), (1, Mode::Failing)] {
        let mut pair = Pair::connected();
        pair.notices = false;
        pair.mode = Mode::Stalled;
        let older = pair.sockets.len() - 1;
        let newer = pair.dial_beside(pair.terminal.attempt + 1);
        pair.drive();
        for _ in 0..raised {
            pair.apply_next();
            pair.reply_next();
        }
        pair.mode = mode;
        pair.drive();
        assert_eq!(pair.sockets[newer].closed, Some(CloseReason::Draining));
        assert_eq!(pair.sockets[older].closed, Some(CloseReason::Draining));
        pair.mode = Mode::Prompt;
        assert_eq!(pair.ask(&payment("42")), Some(Answer::NotDelivered));
        assert!(pair.written.is_empty());
        assert!(pair.gateway.is_idle());
    }
}

#[test]
fn e14_a_hello_that_the_store_leaves_without_reply_is_closed_after_ten_seconds() {
    let mut pair = Pair::new();
    pair.mode = Mode::Stalled;
    let socket = pair.connect();
    pair.live(10 * SECOND);
    assert_eq!(pair.sockets[socket].closed, Some(CloseReason::Draining));
    pair.mode = Mode::Prompt;
    pair.drive();
    assert_eq!(pair.gateway.presence().lease(), None);
    assert!(pair.gateway.is_idle());
    pair.arrive();
    assert!(matches!(pair.ask(&payment("42")), Some(Answer::Response(_))));
}

#[test]
fn e14_a_request_that_comes_while_a_hello_is_taken_goes_to_the_new_link() {
    let mut pair = Pair::new();
    pair.mode = Mode::Stalled;
    pair.connect();
    pair.drive();
    let money = pair.send(&payment("42"));
    let question = pair.send(&diagnosis("7"));
    assert_eq!((pair.answer(money), pair.answer(question)), (None, None));
    pair.mode = Mode::Prompt;
    pair.drive();
    assert!(matches!(pair.answer(money), Some(Answer::Response(_))));
    assert!(pair.answer(question).is_some());
    assert!(pair.gateway.is_idle());
}

#[test]
fn e14_it_waits_two_seconds_for_a_hello_and_then_goes_without() {
    let mut pair = Pair::new();
    pair.mode = Mode::Stalled;
    pair.connect();
    pair.drive();
    let money = pair.send(&payment("42"));
    let question = pair.send(&diagnosis("7"));
    pair.pass(2 * SECOND);
    pair.skip_op();
    pair.mode = Mode::Prompt;
    pair.drive();
    assert_eq!(pair.answer(money), Some(Answer::NotDelivered));
    assert_eq!(pair.answer(question), Some(Answer::NotDelivered));
    assert_eq!(pair.outcome("42"), Some(Outcome::NeverReached));
    assert_eq!(pair.outcome("7"), None, "what is free again is not written down");
}

#[test]
fn e14_a_socket_that_ends_during_its_hello_is_not_present_and_what_it_proved_stands() {
    let mut pair = Pair::connected();
    pair.reads = false;
    let sent = pair.send(&payment("42"));
    pair.drive();
    pair.mode = Mode::Stalled;
    pair.connect();
    pair.drive();
    pair.cut_link();
    pair.reads = true;
    pair.mode = Mode::Prompt;
    pair.drive();
    assert_eq!(pair.gateway.presence().lease(), None);
    assert_eq!(pair.answer(sent), Some(Answer::NotDelivered));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e14_what_an_older_link_says_no_longer_counts() {
    let (mut pair, sent) = Pair::paying("42");
    pair.notices = false;
    pair.hears = false;
    pair.works = true;
    pair.drive();
    let older = pair.sockets.len() - 1;
    let newer = pair.connect();
    pair.hear(newer);
    while pair.reply_next() || pair.apply_next() {}
    assert_eq!(pair.gateway.presence().lease().map(|l| &l.connection), Some(&pair.sockets[newer].id));
    // The result that the older link still holds comes after the takeover.
    assert!(pair.hear(older));
    while pair.reply_next() || pair.apply_next() {}
    assert_eq!((pair.answer(sent), pair.outcome("42")), (None, Some(Outcome::Open)));
    pair.hears = true;
    pair.drive();
    assert!(matches!(pair.answer(sent), Some(Answer::Response(_))));
    assert!(pair.alarms.is_empty());
}

#[test]
fn e15_a_reply_is_matched_by_its_delivery_and_not_by_the_order_of_arrival() {
    let mut pair = Pair::connected();
    pair.works = false;
    let first = pair.send(&payment("1"));
    let second = pair.send(&payment("2"));
    pair.drive();
    // The second one is busy, and its answer comes first.
    assert!(matches!(pair.answer(second), Some(Answer::Response(_))));
    assert_eq!(pair.answer(first), None);
    pair.works = true;
    pair.drive();
    assert_eq!((pair.charged("1"), pair.charged("2")), (1, 0));
    assert_ne!(pair.answer(first), pair.answer(second));
}

#[test]
fn e15_a_result_that_does_not_fit_is_kept_and_never_forwarded() {
    let request = payment("42").request();
    for message in [
        response(payment("43").request().header(), None, 1),
        response(diagnosis("42").request().header(), None, 1),
        "{}".into(),
    ] {
        let (mut pair, sent) = Pair::paying("42");
        let delivery = pair.written[0].clone();
        pair.say(result(&delivery, message));
        pair.drive();
        assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
        assert_eq!(pair.outcome("42"), Some(Outcome::UnknownFinal(Cannot::Misfit)));
        assert_eq!(pair.ledger.evidence().len(), 1);
        // A fitting one of that very delivery still answers it.
        let fitting = response(request.header(), None, 2);
        pair.say(result(&delivery, fitting.clone()));
        pair.drive();
        assert_eq!(pair.outcome("42"), Some(Outcome::Answered(Answered::Message(Kept::of(&fitting)))));
        assert!(pair.gateway.is_idle());
    }
}

#[test]
fn e15_a_result_over_the_limit_is_unknown_for_good() {
    let (mut pair, sent) = Pair::paying("42");
    let delivery = pair.written[0].clone();
    pair.say(ToGateway::Result(delivery, relay::ResultMessage::TooLarge(2_000_000)));
    pair.drive();
    assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
    assert_eq!(pair.outcome("42"), Some(Outcome::UnknownFinal(Cannot::TooLarge)));
    assert_eq!(pair.ledger.evidence()[0].1.kind, EvidenceKind::TooLarge);
}

#[test]
fn e15_a_second_different_result_never_replaces_an_answer() {
    let mut pair = Pair::connected();
    let first = pair.ask(&payment("42"));
    let delivery = pair.written[0].clone();
    let outcome = pair.outcome("42");
    pair.say(result(&delivery, response(payment("42").request().header(), Some("Refusal"), 99)));
    pair.drive();
    assert_eq!(pair.outcome("42"), outcome);
    assert_eq!(pair.alarms, [delivery]);
    assert_eq!(pair.ledger.evidence()[0].1.kind, EvidenceKind::Conflict);
    let Some(Answer::Response(message)) = first else { panic!("no response") };
    assert_eq!(pair.ask_heard(&payment("42")), (Answer::Response(message), Turn::Again));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e15_the_same_result_again_is_recorded_again_and_no_conflict() {
    let mut pair = Pair::connected();
    pair.ask(&payment("42"));
    let delivery = pair.written[0].clone();
    let same = pair.terminal.result(&delivery).cloned().expect("a result");
    pair.say(same.clone());
    pair.say(same);
    pair.drive();
    assert!(pair.alarms.is_empty() && pair.ledger.evidence().is_empty());
    assert!(pair.gateway.is_idle());
}

#[test]
fn e15_a_fitting_result_while_a_misfit_is_on_its_way_to_the_disk_is_recorded_only_when_it_is_there() {
    let (mut pair, sent) = Pair::paying("42");
    let delivery = pair.written[0].clone();
    pair.mode = Mode::Stalled;
    pair.say(result(&delivery, "{}".into()));
    pair.drive();
    pair.works = true;
    pair.drive();
    // The misfit's commit comes back first, and is not the one that the result waits for.
    pair.apply_next();
    pair.reply_next();
    pair.drive();
    assert_eq!(pair.answer(sent), None);
    assert_eq!(pair.terminal.resume().len(), 1);
    pair.mode = Mode::Prompt;
    pair.drive();
    assert!(matches!(pair.answer(sent), Some(Answer::Response(_))));
    assert!(pair.terminal.resume().is_empty());
}

#[test]
fn e15_a_result_of_an_unknown_delivery_is_kept_as_an_orphan_and_recorded() {
    let mut pair = Pair::connected();
    let unknown = delivery(999);
    pair.say(result(&unknown, response(payment("42").request().header(), None, 1)));
    pair.drive();
    assert_eq!(pair.ledger.evidence()[0].1.kind, EvidenceKind::Orphan);
    assert!(pair.gateway.is_idle());
}

#[test]
fn e15_a_result_for_a_delivery_that_nobody_wrote_is_no_answer_to_it() {
    let mut pair = Pair::connected();
    pair.transmits = false;
    let sent = pair.send(&payment("42"));
    pair.drive();
    let delivery = pair.record("42").map(|r| r.delivery.clone()).expect("a record");
    pair.say(result(&delivery, response(payment("42").request().header(), None, 1)));
    pair.drive();
    assert_eq!(pair.answer(sent), None);
    assert_eq!(pair.ledger.evidence()[0].1.kind, EvidenceKind::Misfit);
    pair.transmits = true;
    pair.drive();
    assert_eq!(pair.charged("42"), 1);
}

#[test]
fn e15_a_result_for_one_that_was_never_reached_is_kept_and_alarmed() {
    let mut pair = Pair::new();
    pair.ask(&payment("42"));
    let delivery = pair.record("42").map(|r| r.delivery.clone()).expect("a record");
    pair.arrive();
    pair.say(result(&delivery, response(payment("42").request().header(), None, 1)));
    pair.drive();
    assert_eq!(pair.alarms, [delivery]);
    assert_eq!(pair.outcome("42"), Some(Outcome::NeverReached));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e15_a_late_result_is_found_by_the_next_status() {
    let (mut pair, sent) = Pair::paying("42");
    pair.live(151 * SECOND);
    assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
    pair.works = true;
    pair.drive();
    assert!(matches!(pair.ask(&status("1", "42")), Some(Answer::Status(StatusAnswer::Found(_)))));
    assert!(pair.gateway.is_idle());
}

#[test]
fn a_maintenance_call_hands_results_in_without_a_link() {
    let (mut pair, sent) = Pair::paying("42");
    pair.cut_link();
    while pair.work() {}
    pair.maintain();
    pair.drive();
    assert!(matches!(pair.answer(sent), Some(Answer::Response(_))));
    assert_eq!(pair.recorded_for.len(), 1);
    assert!(pair.terminal.resume().is_empty());
    assert!(pair.gateway.is_idle());
}
