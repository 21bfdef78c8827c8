//! Answers, statuses and rows are what they have to be.

use judge::Figure::{FalseFailure, WrongStatus};
use judge::Outcome;
use serde_json::json;

use crate::story::{NO_RESPONSE, NOT_DELIVERED, Story, abort, header, paid, payment, status};

#[test]
fn a_response_that_is_not_byte_for_byte_the_terminals_is_wrong() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let success = story.success_of(call);
    story.deliver("d1", call).execute("d1", call).result("d1", &success);
    story.tell_text(call, 200, &success.to_string().replace(':', ": "));
    story.breaks(&[WrongStatus]);
}

#[test]
fn white_space_around_a_response_is_no_part_of_it() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let success = story.success_of(call);
    story.deliver("d1", call).execute("d1", call).result("d1", &success);
    story.tell_text(call, 200, &format!("{success}\n"));
    story.breaks_nothing();
}

#[test]
fn a_failure_that_is_not_the_gateways_and_that_no_terminal_sent_is_wrong() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let refusal = story.failure_of(call, "Refusal");
    story.tell(call, &refusal);
    story.breaks(&[WrongStatus]);
}

#[test]
fn a_failure_of_the_gateways_own_is_right() {
    for condition in ["Aborted", "InProgress", "MessageFormat", "NotAllowed", "UnreachableHost"] {
        let mut story = Story::new();
        let call = story.pay("S1", "A");
        let failure = story.failure_of(call, condition);
        story.tell(call, &failure);
        story.breaks_nothing();
    }
}

#[test]
fn a_response_with_other_ids_is_wrong() {
    for member in ["ServiceID", "SaleID", "POIID", "MessageCategory"] {
        let mut story = Story::new();
        let call = story.pay("S1", "A");
        let mut failure = story.failure_of(call, "NotAllowed");
        failure["SaleToPOIResponse"]["MessageHeader"][member] = "other".into();
        story.tell(call, &failure);
        let verdict = story.breaks(&[WrongStatus]);
        assert!(verdict.violations[0].text.ends_with(member), "{}", verdict.violations[0].text);
    }
}

#[test]
fn a_response_to_another_request_under_the_same_service_id_is_wrong() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let refusal = story.failure_of(call, "Refusal");
    story.deliver("d1", call).result("d1", &refusal).tell(call, &refusal);
    let clash = story.pay("S1", "B");
    story.tell(clash, &refusal);
    story.breaks(&[WrongStatus]);
}

#[test]
fn a_status_of_another_service_id_is_wrong() {
    let (mut story, _, _) = paid();
    let other = story.pay("S2", "B");
    let refusal = story.failure_of(other, "Refusal");
    story.deliver("d2", other).result("d2", &refusal).tell(other, &refusal);
    let question = story.ask("Q1", "S1");
    let found = story.found(question, &refusal);
    story.tell(question, &found);
    story.breaks(&[FalseFailure, WrongStatus]);
}

#[test]
fn a_status_that_gives_away_another_tills_payment_is_wrong() {
    let (mut story, _, success) = paid();
    let mut asked = status("Q1", "S1");
    asked["SaleToPOIRequest"]["TransactionStatusRequest"]["MessageReference"]["SaleID"] = "TILL-2".into();
    let question = story.send("/sync", asked);
    let found = story.found(question, &success);
    story.tell(question, &found);
    story.breaks(&[WrongStatus]);
}

#[test]
fn a_status_that_repeats_other_bytes_is_wrong() {
    let (mut story, _, _) = paid();
    let question = story.ask("Q1", "S1");
    let success = story.response_of(1, json!({"Response":{"Result":"Success"},"POIData":{}}));
    let found = story.found(question, &success);
    story.tell(question, &found);
    story.breaks(&[WrongStatus]);
}

#[test]
fn a_status_that_the_terminal_answered_is_its_own() {
    let (mut story, _, success) = paid();
    let question = story.ask("Q1", "S1");
    let found = story.found(question, &success);
    story.deliver("d2", question).result("d2", &found).recorded("d2").tell(question, &found);
    story.breaks_nothing();
}

#[test]
fn ok_is_no_answer_to_a_payment_that_is_waited_for() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.tell_ok(call);
    story.breaks(&[WrongStatus]);
}

#[test]
fn ok_on_async_comes_after_the_terminal_has_it() {
    let mut story = Story::new();
    let call = story.send("/async", payment("S1", "A"));
    story.deliver("d1", call).tell_ok(call).received("d1");
    story.breaks(&[WrongStatus]);

    let mut story = Story::new();
    let call = story.send("/async", payment("S1", "A"));
    story.deliver("d1", call).hello(2, &["d1"]).tell_ok(call);
    story.breaks_nothing();
}

#[test]
fn ok_to_an_abort_comes_after_the_terminal_has_ended_it() {
    let mut story = Story::new();
    let call = story.send("/sync", abort("X1", "S1"));
    story.deliver("d1", call).received("d1").tell_ok(call);
    story.breaks(&[WrongStatus]);
}

#[test]
fn an_abort_does_not_overtake_what_it_is_to_stop() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let stop = story.send("/sync", abort("X1", "S1"));
    let success = story.success_of(call);
    story.deliver("d2", stop).up(json!({"action":"result","deliveryId":"d2"})).tell_ok(stop);
    story.deliver("d1", call).execute("d1", call).result("d1", &success).tell(call, &success);
    story.breaks(&[WrongStatus]);
}

#[test]
fn an_abort_may_come_before_a_repeat_of_what_was_told_503() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.tell_status(call, 503);
    let stop = story.send("/sync", abort("X1", "S1"));
    story.deliver("d2", stop).up(json!({"action":"result","deliveryId":"d2"})).tell_ok(stop);
    let repeat = story.pay("S1", "A");
    let success = story.success_of(repeat);
    story.deliver("d1", repeat).execute("d1", repeat).result("d1", &success).tell(repeat, &success);
    story.breaks_nothing();
}

#[test]
fn recorded_without_a_report_is_wrong() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.deliver("d1", call).received("d1").recorded("d1").reject(call, NO_RESPONSE);
    story.breaks(&[WrongStatus]);
}

#[test]
fn recorded_for_a_notification_or_an_orphan_is_right() {
    let mut story = Story::new();
    story.up(json!({"action":"notify","notificationId":"n_1","message":{}})).recorded("n_1");
    story.up(json!({"action":"result","deliveryId":"d_old"})).recorded_with_problem("d_old");
    story.breaks_nothing();
}

#[test]
fn an_answer_that_is_no_message_is_wrong() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.tell_text(call, 200, "OK\n");
    story.breaks(&[WrongStatus]);
}

#[test]
fn a_request_that_is_delivered_with_other_bytes_is_wrong() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let frame = json!({"action":"deliver","deliveryId":"d1","message":payment("S1", "B")});
    story.down(1, frame).reject(call, NO_RESPONSE);
    story.breaks(&[WrongStatus]);
}

#[test]
fn a_second_display_request_is_told_to_use_a_new_service_id() {
    let mut request = header("Input", "I1");
    request["MessageClass"] = "Device".into();
    request["DeviceID"] = "7".into();
    let request = json!({"SaleToPOIRequest":{"MessageHeader":request,"InputRequest":{}}});
    let mut story = Story::new();
    let call = story.send("/sync", request.clone());
    let response = story.success_of(call);
    story.deliver("d1", call).received("d1").result("d1", &response).recorded("d1").tell(call, &response);
    let again = story.send("/sync", request);
    let used = story.failure_of(again, "NotAllowed");
    story.tell(again, &used).at_rest().answered(call, "d1", &response);
    story.breaks_nothing();
}

/// What a question in the end may hear about a row, and what not.
#[test]
fn a_question_in_the_end_hears_what_the_ledger_holds() {
    for outcome in [Outcome::NeverReached, Outcome::Refused, Outcome::UnknownFinal] {
        for heard in ["NotFound", "InProgress", "NoResponse", "NotAllowed"] {
            let mut story = Story::new();
            let call = story.pay("S1", "A");
            story.deliver("d1", call).indeterminate("d1").reject(call, NO_RESPONSE).at_rest();
            let question = story.ask("Q1", "S1");
            if heard == "NoResponse" {
                story.reject(question, NO_RESPONSE);
            } else {
                let failure = story.failure_of(question, heard);
                story.tell(question, &failure);
            }
            story.row(call, "d1", outcome);
            let right = match outcome {
                Outcome::UnknownFinal => heard == "NoResponse",
                _ => heard == "NotFound",
            };
            story.breaks(if right { &[] } else { &[WrongStatus] });
        }
    }
}

#[test]
fn a_decline_that_is_not_found_in_the_end_is_wrong() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let refusal = story.failure_of(call, "Refusal");
    story.deliver("d1", call).result("d1", &refusal).recorded("d1").tell(call, &refusal).at_rest();
    let question = story.ask("Q1", "S1");
    let not_found = story.failure_of(question, "NotFound");
    story.tell(question, &not_found).answered(call, "d1", &refusal);
    story.breaks(&[WrongStatus]);
}

#[test]
fn a_question_in_the_end_that_is_told_to_come_again_says_nothing() {
    let (mut story, call, success) = paid();
    story.at_rest();
    let question = story.ask("Q1", "S1");
    story.tell_status(question, 503).answered(call, "d1", &success);
    story.breaks_nothing();
}

#[test]
fn what_is_sent_when_all_is_at_rest_may_be_in_progress() {
    let mut story = Story::new();
    story.at_rest();
    let call = story.pay("S1", "A");
    story.deliver("d1", call).received("d1");
    let question = story.ask("Q1", "S1");
    let in_progress = story.failure_of(question, "InProgress");
    let cancelled = story.failure_of(call, "Cancel");
    story.tell(question, &in_progress).result("d1", &cancelled).recorded("d1").tell(call, &cancelled);
    story.answered(call, "d1", &cancelled);
    story.breaks_nothing();
}

#[test]
fn a_row_with_a_success_that_was_not_executed_is_wrong() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let success = story.success_of(call);
    story.deliver("d1", call).result("d1", &success).recorded("d1").reject(call, NO_RESPONSE);
    story.at_rest().answered(call, "d1", &success);
    story.breaks(&[WrongStatus]);
}

#[test]
fn a_row_with_a_response_that_no_terminal_sent_is_wrong() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let refusal = story.failure_of(call, "Refusal");
    story.deliver("d1", call).reject(call, NO_RESPONSE).at_rest().answered(call, "d1", &refusal);
    story.breaks(&[WrongStatus]);
}

#[test]
fn a_reject_of_another_request_is_wrong() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let other = json!({"MessageClass":"Event","MessageCategory":"Event","MessageType":"Notification",
        "ServiceID":"S2","SaleID":"TILL-1","POIID":"V400m-1"});
    let event = json!({"EventToNotify":"Reject","EventDetails":NOT_DELIVERED});
    story.tell(call, &json!({"SaleToPOIRequest":{"MessageHeader":other,"EventNotification":event}}));
    story.breaks(&[WrongStatus]);
}

#[test]
fn a_request_that_is_delivered_to_another_terminal_is_wrong() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let frame = json!({"action":"deliver","deliveryId":"d1","message":payment("S1", "A")});
    story.event(judge::What::ToTerminal { poi: "V400m-2".into(), link: 3, frame: frame.to_string().into() });
    story.reject(call, NO_RESPONSE);
    let verdict = story.breaks(&[WrongStatus]);
    assert_eq!(verdict.violations[0].text, "d1 holds a request for another terminal");
}

#[test]
fn an_abort_does_not_overtake_what_it_is_to_stop_even_if_that_pos_has_hung_up() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let stop = story.send("/sync", abort("X1", "S1"));
    story.event(judge::What::Ended { call });
    story.deliver("d2", stop).up(json!({"action":"result","deliveryId":"d2"})).tell_ok(stop);
    story.deliver("d1", call);
    story.breaks(&[WrongStatus]);
}

#[test]
fn an_abort_that_names_another_tills_payment_takes_nothing_back() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let mut stop = abort("X1", "S1");
    stop["SaleToPOIRequest"]["MessageHeader"]["SaleID"] = "TILL-2".into();
    let stop = story.send("/sync", stop);
    let success = story.success_of(call);
    story.deliver("d2", stop).up(json!({"action":"result","deliveryId":"d2"})).tell_ok(stop);
    story.deliver("d1", call).execute("d1", call).result("d1", &success).tell(call, &success);
    story.breaks_nothing();
}

#[test]
fn a_question_for_the_latest_payment_is_answered_by_the_terminal() {
    let (mut story, _, success) = paid();
    let mut request = status("Q1", "S1");
    let named = &mut request["SaleToPOIRequest"]["TransactionStatusRequest"]["MessageReference"];
    *named = json!({"MessageCategory":"Payment"});
    let question = story.send("/sync", request);
    let found = story.found(question, &success);
    story.deliver("d2", question).result("d2", &found).recorded("d2").tell(question, &found);
    story.breaks_nothing();
}

#[test]
fn what_cannot_be_read_is_answered_and_judged_no_further() {
    let mut story = Story::new();
    let call = story.send("/sync", json!([1, 2]));
    story.tell_status(call, 400);
    story.breaks_nothing();
}

#[test]
fn what_was_delivered_is_aborted_by_its_terminal_alone() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let aborted = story.failure_of(call, "Aborted");
    story.deliver("d1", call).tell(call, &aborted);
    story.breaks(&[WrongStatus]);
}
