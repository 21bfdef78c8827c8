//! What a terminal may not be asked for now, because a switch is off (E4, E7, E19).

use nexo::ErrorCondition;
use relay::exchange::Answer;

use crate::message::{diagnosis, payment, status};
use crate::pair::{Pair, Turn};

/// A connected terminal that may not be asked for payments.
fn switched_off() -> Pair {
    let mut pair = Pair::connected();
    pair.switched_off = true;
    pair
}

#[track_caller]
fn is_not_allowed(answer: Option<Answer>, words: &str) {
    let Some(Answer::Failure { condition, message, .. }) = answer else {
        panic!("a failure was expected, and {answer:?} came")
    };
    assert_eq!(condition, ErrorCondition::NOT_ALLOWED);
    assert!(message.contains(words), "{message}");
}

#[test]
fn what_is_barred_is_told_why_and_nothing_of_it_is_written() {
    let mut pair = switched_off();
    is_not_allowed(pair.ask(&payment("42")), "switched off");
    is_not_allowed(pair.ask(&diagnosis("43")), "switched off");
    assert!(pair.written.is_empty() && pair.gateway.is_idle());
}

#[test]
fn e7_a_barred_payment_never_runs_under_its_service_id_also_when_it_is_switched_on() {
    let mut pair = switched_off();
    is_not_allowed(pair.ask(&payment("42")), "switched off");
    pair.switched_off = false;
    is_not_allowed(pair.ask(&payment("42")), "ServiceID is closed");
    assert_eq!(pair.charged("42"), 0);
    assert!(pair.hears_response(&payment("43"), Turn::First));
}

#[test]
fn e7_a_barred_diagnosis_may_be_sent_again_under_its_service_id() {
    let mut pair = switched_off();
    is_not_allowed(pair.ask(&diagnosis("42")), "switched off");
    pair.switched_off = false;
    assert!(pair.hears_response(&diagnosis("42"), Turn::First));
}

#[test]
fn e4_who_repeats_a_payment_that_ran_hears_how_it_ended_though_it_is_switched_off_since() {
    let mut pair = Pair::connected();
    assert!(pair.hears_response(&payment("42"), Turn::First));
    pair.switched_off = true;
    assert!(pair.hears_response(&payment("42"), Turn::Again));
    assert_eq!(pair.charged("42"), 1);
}

#[test]
fn e4_who_repeats_a_payment_that_runs_joins_it_though_it_is_switched_off_since() {
    let (mut pair, sent) = Pair::paying("42");
    pair.switched_off = true;
    let again = pair.send(&payment("42"));
    pair.works = true;
    pair.drive();
    assert!(pair.heard_response(sent, Turn::First) && pair.heard_response(again, Turn::First));
    assert_eq!(pair.charged("42"), 1);
}

#[test]
fn e16_a_question_about_what_was_barred_is_told_that_it_never_ran() {
    let mut pair = switched_off();
    is_not_allowed(pair.ask(&payment("42")), "switched off");
    let Some(Answer::Response(told)) = pair.ask(&status("43", "42")) else {
        panic!("an answer was expected")
    };
    let told = String::from_utf8(told.to_vec()).expect("text");
    assert!(told.contains(r#""ErrorCondition":"NotFound""#), "{told}");
    assert_eq!(pair.charged("42"), 0);
}
