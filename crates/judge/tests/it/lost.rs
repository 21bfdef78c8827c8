//! P2: what was reported is kept, and what was charged is known.

use judge::Figure::{Lost, WithoutOutcome, WrongStatus};
use judge::{Outcome, What};
use serde_json::json;

use crate::story::{NO_RESPONSE, POI, Story, paid};

#[test]
fn a_result_that_was_acknowledged_and_is_not_kept_is_lost() {
    let (mut story, call, _) = paid();
    story.row(call, "d1", Outcome::UnknownFinal);
    let verdict = story.breaks(&[Lost]);
    let text = "the result of d1 was acknowledged, but the ledger says UnknownFinal";
    assert_eq!(verdict.violations[0].text, text);
}

#[test]
fn a_result_that_is_kept_with_other_bytes_is_lost() {
    let (mut story, call, mut other) = paid();
    other["SaleToPOIResponse"]["PaymentResponse"]["AmountsResp"] = json!({"AuthorizedAmount":10.0});
    story.answered(call, "d1", &other);
    // That row holds what nobody said, besides.
    story.breaks(&[Lost, WrongStatus]);
}

#[test]
fn a_result_that_may_not_be_told_again_is_kept_as_answered() {
    let (mut story, call, _) = paid();
    story.at_rest().row(call, "d1", Outcome::Answered);
    story.breaks_nothing();
}

#[test]
fn a_row_that_is_missing_is_lost() {
    let (mut story, _, _) = paid();
    let other = story.pay("S2", "B");
    let failure = story.failure_of(other, "Cancel");
    story.deliver("d2", other).result("d2", &failure).recorded("d2").tell(other, &failure);
    story.answered(other, "d2", &failure);
    story.breaks(&[WithoutOutcome, Lost]);
}

#[test]
fn a_second_result_that_differs_replaces_nothing_and_loses_nothing() {
    let (mut story, call, success) = paid();
    let failure = story.failure_of(call, "Cancel");
    story.result("d1", &failure).recorded_with_problem("d1").at_rest().answered(call, "d1", &success);
    story.breaks_nothing();
}

#[test]
fn a_result_that_was_read_comes_again_and_has_to_be_kept_in_the_end() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let success = story.success_of(call);
    story.deliver("d1", call).received("d1").execute("d1", call).result("d1", &success);
    story.tell(call, &success).at_rest().row(call, "d1", Outcome::UnknownFinal);
    story.breaks(&[Lost]);
}

#[test]
fn a_result_that_was_lost_with_the_journal_before_it_was_acknowledged_is_for_a_person() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let success = story.success_of(call);
    story.deliver("d1", call).received("d1").execute("d1", call).result("d1", &success);
    story.event(What::Ended { call }).event(What::JournalLost { poi: POI.into() });
    story.at_rest().row(call, "d1", Outcome::UnknownFinal);
    let verdict = story.breaks_nothing();
    assert_eq!(verdict.outcomes.get("sales for a person (unknown, final)"), 1);
}

#[test]
fn a_journal_that_is_lost_after_the_acknowledgement_excuses_nothing() {
    let (mut story, call, _) = paid();
    story.event(What::JournalLost { poi: POI.into() }).at_rest().row(call, "d1", Outcome::UnknownFinal);
    story.breaks(&[Lost]);
}

#[test]
fn a_charge_that_is_open_and_of_which_nobody_was_told_is_lost() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.deliver("d1", call).execute("d1", call).reject(call, NO_RESPONSE);
    story.row(call, "d1", Outcome::Unknown);
    story.breaks(&[Lost]);
}

#[test]
fn a_charge_that_is_shown_to_a_person_is_not_lost() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.deliver("d1", call).received("d1").execute("d1", call).indeterminate("d1").recorded("d1");
    story.reject(call, NO_RESPONSE).at_rest();
    let question = story.ask("Q1", "S1");
    story.reject(question, NO_RESPONSE).row(call, "d1", Outcome::UnknownFinal);
    story.breaks_nothing();
}

#[test]
fn a_misfit_is_no_result() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let mut misfit = story.success_of(call);
    misfit["SaleToPOIResponse"]["MessageHeader"]["ServiceID"] = "S9".into();
    story.deliver("d1", call).execute("d1", call).result("d1", &misfit).recorded_with_problem("d1");
    story.reject(call, NO_RESPONSE).at_rest().row(call, "d1", Outcome::UnknownFinal);
    story.breaks_nothing();
}

#[test]
fn a_result_that_fits_after_a_misfit_has_to_be_kept() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let success = story.success_of(call);
    story.deliver("d1", call).execute("d1", call);
    story.up(json!({"action":"result","deliveryId":"d1","tooLarge":200_000})).recorded_with_problem("d1");
    story.result("d1", &success).recorded("d1").reject(call, NO_RESPONSE).at_rest();
    story.row(call, "d1", Outcome::UnknownFinal);
    story.breaks(&[Lost]);
}

#[test]
fn a_result_for_what_was_proved_never_to_be_there_is_for_a_person_to_look_at() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let aborted = story.failure_of(call, "Aborted");
    story.deliver("d1", call).hello(2, &[]).reject(call, crate::story::NOT_DELIVERED);
    story.result("d1", &aborted).recorded_with_problem("d1").at_rest().row(call, "d1", Outcome::NeverReached);
    story.breaks_nothing();
}

#[test]
fn a_question_in_the_end_has_to_find_the_charge() {
    let (mut story, call, success) = paid();
    story.at_rest();
    let question = story.ask("Q1", "S1");
    story.reject(question, NO_RESPONSE).answered(call, "d1", &success);
    story.breaks(&[Lost]);
}

#[test]
fn a_result_that_the_terminal_was_told_to_forget_because_of_a_misfit_does_not_come_again() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let success = story.success_of(call);
    story.deliver("d1", call).received("d1").execute("d1", call);
    story.up(json!({"action":"result","deliveryId":"d1","message":{}})).recorded_with_problem("d1");
    story.result("d1", &success).event(What::Ended { call }).at_rest().row(call, "d1", Outcome::UnknownFinal);
    story.breaks_nothing();
}

#[test]
fn a_result_that_fits_and_is_acknowledged_as_odd_is_lost() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let success = story.success_of(call);
    story.deliver("d1", call).received("d1").execute("d1", call).result("d1", &success);
    story.recorded_with_problem("d1").reject(call, NO_RESPONSE);
    story.at_rest().row(call, "d1", Outcome::UnknownFinal);
    story.breaks(&[Lost]);
}

#[test]
fn a_result_that_maintenance_handed_in_is_a_result() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let success = story.success_of(call);
    story.deliver("d1", call).received("d1").execute("d1", call).reject(call, NO_RESPONSE);
    let frame = json!({"action":"result","deliveryId":"d1","message":success});
    story.event(What::FromTerminal { poi: POI.into(), link: None, frame: frame.to_string().into() });
    story.at_rest().row(call, "d1", Outcome::UnknownFinal);
    story.breaks(&[Lost]);
}

#[test]
fn what_another_terminal_says_about_a_delivery_is_no_result_of_it() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let failure = story.failure_of(call, "Cancel");
    story.deliver("d1", call).indeterminate("d1").reject(call, NO_RESPONSE);
    let frame = json!({"action":"result","deliveryId":"d1","message":failure});
    story.event(What::FromTerminal { poi: "V400m-2".into(), link: Some(9), frame: frame.to_string().into() });
    story.at_rest().row(call, "d1", Outcome::UnknownFinal);
    story.breaks_nothing();
}
