//! What became of it (E16-E19), and calling it off (E20).

use std::time::Duration;

use nexo::{ErrorCondition, Response};
use relay::exchange::{Answer, Standing, StatusAnswer};
use relay::ledger::{LedgerFacts, Outcome, Refused, Restored};
use relay::{ResultMessage, ToGateway, WallMs};

use crate::message::{
    Ask, abort, diagnosis, input_update, payment, status, status_of_the_last, status_with_receipt,
    with_card_number,
};
use crate::pair::{Mode, Pair, Turn};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

const NOT_FOUND: Option<Answer> = Some(Answer::Status(StatusAnswer::NotFound));
const IN_PROGRESS: Option<Answer> = Some(Answer::Status(StatusAnswer::InProgress));

fn is_terminals_not_found(answer: &Option<Answer>) -> bool {
    matches!(answer, Some(Answer::Response(message)) if Response::parse(message.clone()).unwrap().is_not_found())
}

fn is_failure(answer: &Option<Answer>, expected: ErrorCondition) -> bool {
    matches!(answer, Some(Answer::Failure { condition, .. }) if *condition == expected)
}

/// Restored an hour ago from a backup of the day before.
fn restored() -> LedgerFacts {
    let at = Pair::new().now.wall.minus(HOUR);
    LedgerFacts { complete_since: at, restored: Some(Restored { at, backup: at.minus(24 * HOUR) }) }
}

#[test]
fn e16_not_found_by_the_ledger_closes_the_service_id_first() {
    let mut pair = Pair::new();
    pair.mode = Mode::Stalled;
    let asked = pair.send(&status("1", "42"));
    pair.apply_next();
    pair.reply_next();
    assert!(!pair.ledger.is_fenced(&pair.key("42")));
    assert_eq!(pair.answer(asked), None);
    pair.mode = Mode::Prompt;
    pair.drive();
    assert_eq!(pair.answer(asked), NOT_FOUND);
    assert!(pair.ledger.is_fenced(&pair.key("42")));
    pair.arrive();
    let Some(Answer::Failure { condition, message, .. }) = pair.ask(&payment("42")) else {
        panic!("no failure")
    };
    assert_eq!(condition, ErrorCondition::NOT_ALLOWED);
    assert!(message.contains("NotFound"), "{message}");
    assert!(pair.written.is_empty());
    assert!(pair.gateway.is_idle());
}

#[test]
fn e16_not_found_by_the_terminal_closes_the_service_id_first() {
    let mut pair = Pair::connected();
    let asked = pair.send(&status("1", "42"));
    pair.drive();
    assert!(is_terminals_not_found(&pair.answer(asked)));
    assert!(pair.ledger.is_fenced(&pair.key("42")));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e16_if_the_fence_can_not_be_committed_not_found_is_not_told() {
    for connected in [true, false] {
        let mut pair = if connected { Pair::connected() } else { Pair::new() };
        pair.mode = Mode::FailingFences;
        assert_eq!(pair.ask(&status("1", "42")), Some(Answer::TryAgain));
        assert!(!pair.ledger.is_fenced(&pair.key("42")));
        assert_eq!(pair.written.len(), usize::from(connected));
        assert!(pair.gateway.is_idle());
    }
}

#[test]
fn e16_a_terminals_not_found_is_no_answer_for_what_the_ledger_knows_as_written() {
    let mut pair = Pair::connected();
    pair.ask(&payment("42"));
    pair.forget_all();
    pair.arrive();
    let answer = pair.ask(&status_with_receipt("1", "42"));
    assert!(matches!(answer, Some(Answer::Status(StatusAnswer::Found(_)))), "{answer:?}");
    assert!(!pair.ledger.is_fenced(&pair.key("42")));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e16_a_refused_or_withdrawn_record_is_not_found() {
    let mut pair = Pair::connected();
    pair.transmits = false;
    let sent = pair.send(&payment("42"));
    pair.drive();
    assert_eq!(pair.ask(&abort("1", "42")), Some(Answer::Ok));
    assert!(matches!(pair.answer(sent), Some(Answer::Failure { .. })));
    assert_eq!(pair.ask(&status("2", "42")), NOT_FOUND);
    assert!(pair.gateway.is_idle());
}

#[test]
fn e16_a_device_id_beside_a_payment_is_no_part_of_the_reference() {
    let mut pair = Pair::connected();
    pair.ask(&payment("42"));
    pair.cut_link();
    let body = r#"{"MessageReference":{"MessageCategory":"Payment","ServiceID":"42","DeviceID":"7"}}"#;
    let answer = pair.ask(&status("1", "42").body(body));
    assert!(matches!(answer, Some(Answer::Status(StatusAnswer::Found(_)))), "{answer:?}");
}

#[test]
fn e16_the_service_id_of_another_till_is_neither_found_nor_not_found() {
    let mut pair = Pair::connected();
    pair.ask(&payment("42").sale("TILL-2"));
    let answer = pair.ask(&status("1", "42"));
    assert!(is_failure(&answer, ErrorCondition::NOT_ALLOWED), "{answer:?}");
    pair.cut_link();
    let answer = pair.ask(&status("2", "42"));
    assert!(is_failure(&answer, ErrorCondition::NOT_ALLOWED), "{answer:?}");
    assert!(!pair.ledger.is_fenced(&pair.key("42")));
}

#[test]
fn e17_a_known_outcome_is_told_from_the_ledger_also_with_the_terminal_off() {
    let mut pair = Pair::connected();
    let Some(Answer::Response(message)) = pair.ask(&payment("42")) else { panic!("no response") };
    pair.cut_link();
    assert_eq!(pair.ask(&status("1", "42")), Some(Answer::Status(StatusAnswer::Found(message))));
    assert_eq!(pair.written.len(), 1);
    assert!(pair.gateway.is_idle());
}

#[test]
fn e17_it_is_in_progress_while_its_link_stands_or_is_lost_for_less_than_a_minute() {
    let (mut pair, _) = Pair::paying("42");
    assert_eq!(pair.ask(&status("1", "42")), IN_PROGRESS);
    pair.live(151 * SECOND);
    assert_eq!(pair.ask(&status("2", "42")), IN_PROGRESS, "also when its POS has long gone");
    pair.cut_link();
    pair.live(59 * SECOND);
    assert_eq!(pair.ask(&status("3", "42")), IN_PROGRESS);
    pair.live(SECOND);
    assert_eq!(pair.ask(&status("4", "42")), Some(Answer::NoResponse));
    assert_eq!(pair.written.len(), 1);
    assert!(pair.gateway.is_idle());
}

#[test]
fn e17_it_is_in_progress_for_a_minute_after_a_restart_until_the_terminal_is_heard_from() {
    let (mut pair, _) = Pair::paying("42");
    pair.crash_gateway(0);
    assert_eq!(pair.ask(&status("1", "42")), IN_PROGRESS);
    pair.live(60 * SECOND);
    assert_eq!(pair.ask(&status("2", "42")), Some(Answer::NoResponse));
    pair.works = true;
    pair.arrive();
    assert!(matches!(pair.ask(&status("3", "42")), Some(Answer::Status(StatusAnswer::Found(_)))));
}

#[test]
fn e17_what_was_never_reached_is_not_found_and_closed() {
    let mut pair = Pair::new();
    assert_eq!(pair.ask(&payment("42")), Some(Answer::NotDelivered));
    assert_eq!(pair.ask(&status("1", "42")), NOT_FOUND);
    assert!(pair.ledger.is_fenced(&pair.key("42")));
}

#[test]
fn e17_what_is_unknown_for_good_is_told_as_unknown() {
    let (mut pair, _) = Pair::paying("42");
    pair.board_again();
    pair.arrive();
    assert_eq!(pair.ask(&status("1", "42")), Some(Answer::NoResponse));
}

#[test]
fn e18_only_the_terminal_can_tell_of_an_encrypted_exchange() {
    let mut pair = Pair::connected();
    pair.ask(&payment("42").encrypted());
    assert!(matches!(pair.ask(&status("1", "42")), Some(Answer::Response(_))));
    pair.cut_link();
    assert_eq!(pair.ask(&status("2", "42")), Some(Answer::NoResponse));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e18_a_receipt_is_printed_by_the_terminal_and_a_question_without_reference_is_its_own() {
    let mut pair = Pair::connected();
    pair.ask(&payment("42"));
    assert!(matches!(pair.ask(&status_with_receipt("1", "42")), Some(Answer::Response(_))));
    assert!(matches!(pair.ask(&status_of_the_last("2")), Some(Answer::Response(_))));
    assert_eq!(pair.written.len(), 3);
    assert!(pair.gateway.is_idle());
}

#[test]
fn e18_what_is_older_than_the_ledger_is_for_the_terminal_to_tell() {
    let mut pair = Pair::connected();
    pair.ask(&payment("42"));
    let facts = LedgerFacts { complete_since: pair.now.wall.plus(SECOND), restored: None };
    pair.facts = facts;
    pair.crash_gateway(0);
    assert_eq!(pair.ask(&status("1", "42")), Some(Answer::NoResponse));
    pair.arrive();
    assert!(matches!(pair.ask(&status("2", "42")), Some(Answer::Response(_))));
}

#[test]
fn e18_a_question_that_was_passed_on_and_is_repeated_is_one_question() {
    let mut pair = Pair::connected();
    pair.reads = false;
    let first = pair.send(&status("1", "42"));
    pair.drive();
    let second = pair.send(&status("1", "42"));
    pair.drive();
    pair.reads = true;
    pair.drive();
    assert!(is_terminals_not_found(&pair.answer(first)));
    assert_eq!(pair.answer(first), pair.answer(second));
    assert_eq!(pair.written.len(), 1);
    let answer = pair.ask(&status("1", "42"));
    assert!(is_failure(&answer, ErrorCondition::NOT_ALLOWED), "{answer:?}");
    assert!(pair.gateway.is_idle());
}

#[test]
fn e18_a_question_waits_no_longer_than_its_pos_also_when_it_is_passed_on() {
    let mut pair = Pair::connected();
    pair.mode = Mode::Stalled;
    pair.reads = false;
    let asked = pair.send(&status("1", "42").wait(3));
    pair.pass(SECOND);
    pair.mode = Mode::Prompt;
    pair.live(2 * SECOND);
    assert_eq!(pair.answer(asked), Some(Answer::NoResponse));
}

#[test]
fn e19_for_48_hours_after_a_restore_nobody_is_told_that_a_request_did_not_reach_the_terminal() {
    let mut pair = Pair::with(restored(), Standing::Known);
    assert_eq!(pair.ask(&payment("42")), Some(Answer::NoResponse));
    assert_eq!(pair.outcome("42"), None);
    assert_eq!(pair.ask(&status("1", "43")), Some(Answer::NoResponse));
    assert!(!pair.ledger.is_fenced(&pair.key("43")));
    // One that is written down all the same, because a hello proved it, is told no other.
    pair.arrive();
    pair.reads = false;
    let sent = pair.send(&payment("44"));
    pair.drive();
    pair.reads = true;
    pair.arrive();
    assert_eq!(pair.answer(sent), Some(Answer::NoResponse));
    assert_eq!(pair.outcome("44"), Some(Outcome::NeverReached));
    pair.live(48 * HOUR);
    pair.cut_link();
    pair.drive();
    assert_eq!(pair.ask(&payment("45")), Some(Answer::NotDelivered));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e19_for_48_hours_after_a_restore_nothing_is_closed_for_a_terminal_that_nobody_knows() {
    let mut pair = Pair::with(restored(), Standing::Unknown);
    assert_eq!(pair.ask(&payment("42")), Some(Answer::NoResponse));
    assert!(!pair.ledger.is_fenced(&pair.key("42")));
}

#[test]
fn e18_what_the_gateway_never_sent_it_does_not_ask_a_terminal_for() {
    let mut pair = Pair::connected();
    let asked = pair.send(&status("1", "42").of_the_gateway());
    pair.drive();
    assert_eq!(pair.answer(asked), NOT_FOUND);
    assert!(pair.ledger.is_fenced(&pair.key("42")));
    assert!(pair.written.is_empty(), "{:?}", pair.written);
    assert_eq!(pair.ask(&status("2", "42").of_the_gateway()), NOT_FOUND, "however often it asks");
    assert!(pair.gateway.is_idle());
}

#[test]
fn e24_what_redaction_has_changed_still_tells_the_gateway_itself_how_its_request_ended() {
    let mut pair = Pair::connected();
    pair.works = false;
    let ask = payment("42");
    pair.send(&ask);
    pair.drive();
    let (delivery, message) = (pair.written[0].clone(), with_card_number(&ask.request()));
    pair.terminal.responses.push((delivery.clone(), message.clone()));
    pair.say(ToGateway::Result(delivery, ResultMessage::Message(message.clone())));
    pair.drive();
    pair.works = true;
    let told = pair.ask(&status("1", "42").of_the_gateway());
    let Some(Answer::Status(StatusAnswer::Found(kept))) = &told else { panic!("{told:?}") };
    assert_ne!(*kept, message, "what is kept is not the terminal's own text");
    assert_eq!(pair.written.len(), 1, "the terminal is not asked");
    let told = pair.ask(&status("2", "42"));
    assert!(matches!(told, Some(Answer::Response(_))), "anybody else hears the terminal itself: {told:?}");
}

#[test]
fn e19_after_a_restore_the_gateway_too_asks_the_terminal_for_what_may_be_lost() {
    let mut pair = Pair::with(restored(), Standing::Known);
    assert_eq!(pair.ask(&status("1", "42").of_the_gateway()), Some(Answer::NoResponse));
    pair.arrive();
    pair.ask(&status("2", "42").of_the_gateway());
    assert_eq!(pair.written.len(), 1);
    assert!(!pair.ledger.is_fenced(&pair.key("42")));
}

#[test]
fn e19_every_question_without_a_recorded_answer_is_passed_on() {
    let mut pair = Pair::with(restored(), Standing::Known);
    pair.arrive();
    pair.reads = false;
    pair.send(&payment("42"));
    pair.drive();
    pair.reads = true;
    pair.arrive();
    assert_eq!(pair.outcome("42"), Some(Outcome::NeverReached));
    // Its journal is younger than the backup: what it does not know may have run all the same.
    pair.board_again();
    pair.arrive();
    assert_eq!(pair.ask(&status("1", "42")), Some(Answer::NoResponse));
    assert_eq!(pair.ask(&status("2", "43")), Some(Answer::NoResponse));
    assert_eq!(pair.written.len(), 3);
    assert!(!pair.ledger.is_fenced(&pair.key("42")) && !pair.ledger.is_fenced(&pair.key("43")));
}

#[test]
fn e19_a_terminal_whose_journal_is_older_than_the_backup_may_say_not_found() {
    let mut pair = Pair::with(restored(), Standing::Known);
    let mut facts = restored();
    facts.restored = Some(Restored { at: pair.now.wall.minus(HOUR), backup: pair.now.wall.minus(2 * HOUR) });
    pair.facts = facts;
    pair.crash_gateway(0);
    pair.arrive();
    assert!(is_terminals_not_found(&pair.ask(&status("1", "43"))));
    assert!(pair.ledger.is_fenced(&pair.key("43")));
}

#[test]
fn e19_a_repeat_of_a_request_that_the_restore_lost_does_not_run_twice() {
    let mut pair = Pair::connected();
    pair.ask(&payment("42"));
    pair.lose_ledger();
    pair.facts = LedgerFacts {
        complete_since: pair.now.wall,
        restored: Some(Restored { at: pair.now.wall, backup: WallMs(0) }),
    };
    pair.crash_gateway(0);
    assert_eq!(pair.ask(&payment("42")), Some(Answer::NoResponse));
    pair.arrive();
    assert!(pair.hears_response(&payment("42"), Turn::First));
    assert_eq!(pair.charged("42"), 1);
}

#[test]
fn e19_an_abort_withdraws_nothing_that_may_be_the_repeat_of_a_lost_request() {
    let mut pair = Pair::with(restored(), Standing::Known);
    pair.arrive();
    pair.transmits = false;
    let sent = pair.send(&payment("42"));
    let called_off = pair.send(&abort("1", "42"));
    pair.drive();
    assert_eq!((pair.answer(sent), pair.answer(called_off)), (None, None));
    pair.works = false;
    pair.transmits = true;
    pair.drive();
    assert_eq!(pair.answer(called_off), Some(Answer::Ok));
    assert!(matches!(pair.answer(sent), Some(Answer::Response(_))), "the terminal said that it is aborted");
}

#[test]
fn e20_an_abort_withdraws_what_is_not_written_yet() {
    let mut pair = Pair::connected();
    pair.transmits = false;
    let sent = pair.send(&payment("42"));
    pair.drive();
    let called_off = pair.send(&abort("1", "42"));
    assert_eq!((pair.answer(sent), pair.answer(called_off)), (None, None), "not before it is on disk");
    pair.drive();
    assert_eq!(pair.answer(called_off), Some(Answer::Ok));
    assert!(is_failure(&pair.answer(sent), ErrorCondition::ABORTED));
    assert_eq!(pair.outcome("42"), Some(Outcome::Refused(Refused::Aborted)));
    pair.transmits = true;
    pair.drive();
    assert!(pair.written.is_empty());
    // A later copy gets the same answer.
    assert!(is_failure(&pair.ask(&payment("42")), ErrorCondition::ABORTED));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e20_an_abort_that_comes_during_the_admission_withdraws_it_too() {
    for stage in 0..2 {
        let mut pair = Pair::connected();
        pair.mode = Mode::Stalled;
        let sent = pair.send(&payment("42"));
        if stage > 0 {
            pair.apply_next();
        }
        let called_off = pair.send(&abort("1", "42"));
        pair.mode = Mode::Prompt;
        pair.drive();
        assert_eq!(pair.answer(called_off), Some(Answer::Ok));
        assert!(matches!(pair.answer(sent), Some(Answer::Failure { .. })));
        assert!(pair.written.is_empty());
        assert!(pair.gateway.is_idle());
    }
}

#[test]
fn e20_an_abort_that_comes_while_a_hello_is_taken_withdraws_it_too() {
    let mut pair = Pair::new();
    pair.mode = Mode::Stalled;
    pair.connect();
    pair.drive();
    let sent = pair.send(&payment("42"));
    let called_off = pair.send(&abort("1", "42"));
    pair.mode = Mode::Prompt;
    pair.drive();
    assert_eq!(pair.answer(called_off), Some(Answer::Ok));
    assert!(matches!(pair.answer(sent), Some(Answer::Failure { .. })));
    assert_eq!(pair.charged("42"), 0);
    assert!(pair.gateway.is_idle());
}

#[test]
fn e20_an_abort_of_what_was_found_to_run_already_is_not_told_ok() {
    let (mut pair, _) = Pair::paying("42");
    pair.live(151 * SECOND);
    pair.mode = Mode::Stalled;
    let again = pair.send(&payment("42"));
    let called_off = pair.send(&abort("1", "42"));
    pair.mode = Mode::Prompt;
    pair.drive();
    assert_eq!(pair.answer(called_off), Some(Answer::NoResponse));
    assert_eq!(pair.answer(again), None);
    pair.works = true;
    pair.drive();
    assert!(matches!(pair.answer(again), Some(Answer::Response(_))));
}

#[test]
fn e20_an_abort_passes_while_the_terminal_is_busy_and_is_answered_ok() {
    let mut pair = Pair::connected();
    pair.works = false;
    let sent = pair.send(&payment("42"));
    pair.drive();
    assert_eq!(pair.ask(&abort("1", "42")), Some(Answer::Ok));
    let Some(Answer::Response(message)) = pair.answer(sent) else { panic!("no response") };
    let outcome = Response::parse(message).unwrap().outcome().unwrap();
    assert_eq!(outcome.error_condition, Some(ErrorCondition::ABORTED));
    assert_eq!(pair.charged("42"), 0);
    assert!(pair.gateway.is_idle());
}

#[test]
fn e20_an_abort_or_input_update_that_is_not_ended_in_five_seconds_may_have_arrived() {
    for ask in [abort("1", "42"), input_update("1", "7")] {
        let mut pair = Pair::connected();
        pair.reads = false;
        let sent = pair.send(&ask);
        pair.drive();
        pair.pass(5 * SECOND);
        assert_eq!(pair.answer(sent), Some(Answer::NoResponse), "{}", ask.category);
    }
}

#[test]
fn e20_an_input_update_is_answered_ok() {
    let mut pair = Pair::connected();
    assert_eq!(pair.ask(&input_update("1", "7")), Some(Answer::Ok));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e20_a_reference_is_never_guessed() {
    let references: [fn(Ask) -> Ask; 2] = [
        |ask| ask.body(r#"{"AbortReason":"MerchantAbort","MessageReference":{"MessageCategory":"Payment"}}"#),
        |ask| {
            ask.sale("TILL-2")
                .body(r#"{"AbortReason":"MerchantAbort","MessageReference":{"ServiceID":"42"}}"#)
        },
    ];
    for reference in references {
        let mut pair = Pair::connected();
        pair.transmits = false;
        let sent = pair.send(&payment("42"));
        pair.drive();
        pair.send(&reference(abort("1", "42")));
        pair.drive();
        assert_eq!(pair.answer(sent), None);
        assert_eq!(pair.outcome("42"), Some(Outcome::Open));
    }
}

#[test]
fn e20_an_abort_for_an_absent_terminal_did_not_reach_it() {
    let mut pair = Pair::new();
    assert_eq!(pair.ask(&abort("1", "42")), Some(Answer::NotDelivered));
    assert_eq!(pair.ask(&diagnosis("2")), Some(Answer::NotDelivered));
    assert!(pair.gateway.is_idle());
}

#[test]
fn e16_a_repeat_of_a_question_that_outlived_the_gateway_is_not_answered_not_found_without_a_fence() {
    let mut pair = Pair::connected();
    pair.send(&status("1", "42"));
    let socket = pair.sockets.len() - 1;
    while pair.apply_next() || pair.reply_next() || pair.transmit(socket) || pair.read(socket) {}
    pair.sync(usize::MAX);
    pair.crash_gateway(0);
    let again = pair.send(&status("1", "42"));
    pair.arrive();
    pair.drive();
    assert_eq!(pair.answer(again), Some(Answer::NoResponse));
    assert!(!pair.ledger.is_fenced(&pair.key("42")));
    assert_eq!(pair.written.len(), 1);
}

#[test]
fn e18_a_question_that_only_an_absent_terminal_could_answer_is_never_told_as_not_delivered() {
    let mut pair = Pair::new();
    assert_eq!(pair.ask(&status_of_the_last("1")), Some(Answer::NoResponse));
    assert_eq!(pair.ask(&status("2", "42").encrypted()), Some(Answer::NoResponse));
}

#[test]
fn e16_another_tills_receipts_are_not_this_ones_to_ask_for() {
    let mut pair = Pair::connected();
    pair.ask(&payment("42").sale("TILL-2"));
    let answer = pair.ask(&status_with_receipt("1", "42"));
    assert!(is_failure(&answer, ErrorCondition::NOT_ALLOWED), "{answer:?}");
}
