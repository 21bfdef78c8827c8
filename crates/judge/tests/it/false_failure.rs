//! P3: no denial of what is executed, before or later.

use judge::Figure::{FalseFailure, WrongStatus};
use judge::{Outcome, What};

use crate::story::{Call, NO_RESPONSE, NOT_DELIVERED, Story, abort, paid, payment};

fn charged_later(story: &mut Story, call: Call) {
    let success = story.success_of(call);
    story.deliver("d1", call).received("d1").execute("d1", call).result("d1", &success).recorded("d1");
}

#[test]
fn not_delivered_is_false_if_it_was_executed() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let success = story.success_of(call);
    story.deliver("d1", call).execute("d1", call).result("d1", &success).reject(call, NOT_DELIVERED);
    let verdict = story.breaks(&[FalseFailure]);
    let text = "call 1 (Payment) was told not delivered about ServiceID S1, which had been executed as d1";
    assert_eq!(verdict.violations[0].text, text);
}

#[test]
fn not_delivered_is_false_if_it_is_executed_later() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.reject(call, NOT_DELIVERED);
    charged_later(&mut story, call);
    story.breaks(&[FalseFailure]);
}

#[test]
fn unreachable_host_is_a_denial_too() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let failure = story.failure_of(call, "UnreachableHost");
    story.tell(call, &failure);
    charged_later(&mut story, call);
    story.breaks(&[FalseFailure]);
}

#[test]
fn a_refusal_on_async_is_a_denial_too() {
    let mut story = Story::new();
    let call = story.send("/async", payment("S1", "A"));
    story.reject(call, "message=Use+a+new+ServiceID.&errorCondition=NotAllowed");
    charged_later(&mut story, call);
    story.breaks(&[FalseFailure]);
}

#[test]
fn no_response_503_429_in_progress_and_a_broken_connection_deny_nothing() {
    let mut story = Story::new();
    let first = story.pay("S1", "A");
    story.tell_status(first, 503);
    let second = story.pay("S1", "A");
    story.tell_status(second, 429);
    let third = story.pay("S1", "A");
    let in_progress = story.failure_of(third, "InProgress");
    story.tell(third, &in_progress);
    let fourth = story.pay("S1", "A");
    story.event(What::Ended { call: fourth });
    let fifth = story.pay("S1", "A");
    story.reject(fifth, NO_RESPONSE);
    let last = story.pay("S1", "A");
    charged_later(&mut story, last);
    let success = story.success_of(last);
    story.tell(last, &success);
    story.breaks_nothing();
}

#[test]
fn a_status_that_is_not_found_denies_what_is_executed_later() {
    let mut story = Story::new();
    let question = story.ask("Q1", "S1");
    let not_found = story.failure_of(question, "NotFound");
    story.tell(question, &not_found);
    let call = story.pay("S1", "A");
    charged_later(&mut story, call);
    let success = story.success_of(call);
    story.tell(call, &success);
    story.breaks(&[FalseFailure]);
}

#[test]
fn after_not_found_a_repeat_is_refused_and_a_new_service_id_is_charged() {
    let mut story = Story::new();
    let question = story.ask("Q1", "S1");
    let not_found = story.failure_of(question, "NotFound");
    story.tell(question, &not_found);
    let late = story.pay("S1", "A");
    let fenced = story.failure_of(late, "NotAllowed");
    story.tell(late, &fenced);
    let next = story.pay("S2", "A");
    charged_later(&mut story, next);
    let success = story.success_of(next);
    story.tell(next, &success).at_rest().answered(next, "d1", &success);
    story.breaks_nothing();
}

#[test]
fn a_fence_that_refuses_what_was_executed_is_false() {
    let (mut story, _, _) = paid();
    let repeat = story.pay("S1", "A");
    let fenced = story.failure_of(repeat, "NotAllowed");
    story.tell(repeat, &fenced);
    story.breaks(&[FalseFailure]);
}

#[test]
fn a_clash_denies_only_its_own_request() {
    let (mut story, _, _) = paid();
    let clash = story.pay("S1", "B");
    let taken = story.failure_of(clash, "NotAllowed");
    story.tell(clash, &taken);
    // The same sale with another amount is another request, too.
    let mut request = payment("S1", "A");
    request["SaleToPOIRequest"]["PaymentRequest"]["PaymentTransaction"]["AmountsReq"]["RequestedAmount"] =
        11.into();
    let clash = story.send("/sync", request);
    let taken = story.failure_of(clash, "NotAllowed");
    story.tell(clash, &taken);
    story.breaks_nothing();
}

#[test]
fn a_decline_is_told_and_found() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let refusal = story.failure_of(call, "Refusal");
    story.deliver("d1", call).received("d1").result("d1", &refusal).recorded("d1").tell(call, &refusal);
    story.at_rest();
    let question = story.ask("Q1", "S1");
    let found = story.found(question, &refusal);
    story.tell(question, &found).answered(call, "d1", &refusal);
    let verdict = story.breaks_nothing();
    assert_eq!(verdict.outcomes.get("sales declined"), 1);
}

#[test]
fn a_status_that_finds_a_failure_of_what_was_executed_is_false() {
    let (mut story, call, _) = paid();
    let question = story.ask("Q1", "S1");
    let failure = story.failure_of(call, "Aborted");
    let found = story.found(question, &failure);
    story.tell(question, &found);
    story.breaks(&[FalseFailure, WrongStatus]);
}

#[test]
fn a_status_that_is_refused_says_nothing_about_the_payment() {
    let (mut story, _, _) = paid();
    let question = story.ask("Q1", "S1");
    let refused = story.failure_of(question, "NotAllowed");
    story.tell(question, &refused);
    story.breaks_nothing();
}

#[test]
fn not_delivered_about_the_question_is_taken_for_the_payments_end() {
    let (mut story, _, _) = paid();
    let question = story.ask("Q1", "S1");
    story.reject(question, NOT_DELIVERED);
    story.breaks(&[FalseFailure]);
}

#[test]
fn a_payment_that_the_terminal_aborted_is_told_as_such() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let aborted = story.failure_of(call, "Aborted");
    story.deliver("d1", call).received("d1");
    let stop = story.send("/sync", abort("X1", "S1"));
    story.deliver("d2", stop).received("d2").up(serde_json::json!({"action":"result","deliveryId":"d2"}));
    story.result("d1", &aborted).recorded("d2").recorded("d1").tell_ok(stop).tell(call, &aborted);
    story.at_rest().answered(call, "d1", &aborted).row(stop, "d2", Outcome::Answered);
    story.breaks_nothing();
}

#[test]
fn what_an_abort_took_back_is_never_executed() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let stop = story.send("/sync", abort("X1", "S1"));
    let aborted = story.failure_of(call, "Aborted");
    story.tell_ok(stop).tell(call, &aborted).at_rest().row(call, "d1", Outcome::Refused);
    story.breaks_nothing();
}

#[test]
fn an_abort_that_took_nothing_back_and_said_so_is_false() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let stop = story.send("/sync", abort("X1", "S1"));
    story.tell_ok(stop);
    charged_later(&mut story, call);
    let success = story.success_of(call);
    story.tell(call, &success);
    let verdict = story.breaks(&[FalseFailure]);
    let text = "call 2 (Abort) was told ok about ServiceID S1, which was later executed as d1";
    assert_eq!(verdict.violations[0].text, text);
}

#[test]
fn an_abort_of_nothing_that_the_terminal_ended_says_nothing_about_what_comes_later() {
    let mut story = Story::new();
    let stop = story.send("/sync", abort("X1", "S1"));
    story.deliver("d2", stop).up(serde_json::json!({"action":"result","deliveryId":"d2"})).tell_ok(stop);
    let call = story.pay("S1", "A");
    charged_later(&mut story, call);
    let success = story.success_of(call);
    story.tell(call, &success);
    story.breaks_nothing();
}

#[test]
fn a_row_that_denies_what_was_executed_is_false() {
    for outcome in [Outcome::NeverReached, Outcome::Refused] {
        let mut story = Story::new();
        let call = story.pay("S1", "A");
        story.deliver("d1", call).execute("d1", call).reject(call, NO_RESPONSE).at_rest();
        story.row(call, "d1", outcome);
        story.breaks(&[FalseFailure]);
    }
}

#[test]
fn what_all_were_turned_away_with_is_not_delivered_later() {
    for status in [503, 429] {
        let mut story = Story::new();
        let call = story.pay("S1", "A");
        story.tell_status(call, status);
        charged_later(&mut story, call);
        story.breaks(&[FalseFailure]);
    }
}

#[test]
fn whoever_is_not_turned_away_may_have_it_delivered() {
    for hears in [false, true] {
        let mut story = Story::new();
        let first = story.pay("S1", "A");
        story.tell_status(first, 503);
        let second = story.pay("S1", "A");
        if hears {
            story.event(What::Ended { call: second });
        }
        charged_later(&mut story, second);
        if !hears {
            story.reject(second, NO_RESPONSE);
        }
        story.breaks_nothing();
    }
}
