//! P4: every call is answered, and every exchange ends.

use judge::Figure::WithoutOutcome;
use judge::{Outcome, What};

use crate::story::{LINK, NO_RESPONSE, POI, Story, abort, paid, payment};

#[test]
fn a_call_that_arrived_and_was_never_answered_has_no_outcome() {
    let mut story = Story::new();
    story.pay("S1", "A");
    let verdict = story.breaks(&[WithoutOutcome]);
    assert_eq!(verdict.violations[0].text, "call 1 (Payment) was never answered");
    assert_eq!(verdict.outcomes.get("calls without an answer"), 1);
}

#[test]
fn a_call_that_hung_up_or_never_arrived_is_owed_nothing() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.event(What::Ended { call });
    story.send_unseen("/sync", payment("S2", "B"));
    let verdict = story.breaks_nothing();
    assert_eq!(verdict.outcomes.get("calls that ended before an answer"), 1);
}

#[test]
fn an_answer_that_comes_long_after_its_time_is_none() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.pass(156).reject(call, NO_RESPONSE);
    story.breaks(&[WithoutOutcome]);
}

#[test]
fn an_answer_may_be_a_little_late() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.pass(154).reject(call, NO_RESPONSE);
    story.breaks_nothing();
}

#[test]
fn an_abort_is_answered_sooner() {
    for (seconds, broken) in [(9, &[][..]), (11, &[WithoutOutcome][..])] {
        let mut story = Story::new();
        let call = story.send("/sync", abort("X1", "S1"));
        story.pass(seconds).reject(call, NO_RESPONSE);
        story.breaks(broken);
    }
}

#[test]
fn what_is_still_open_at_rest_has_no_outcome() {
    for outcome in [Outcome::Open, Outcome::Unknown] {
        let mut story = Story::new();
        let call = story.pay("S1", "A");
        story.deliver("d1", call).reject(call, NO_RESPONSE).at_rest().row(call, "d1", outcome);
        story.breaks(&[WithoutOutcome]);
    }
}

#[test]
fn what_is_open_before_everything_is_at_rest_may_still_end() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.deliver("d1", call).reject(call, NO_RESPONSE).row(call, "d1", Outcome::Unknown);
    story.breaks_nothing();
}

#[test]
fn an_ok_on_async_without_a_debt_has_no_outcome() {
    for (webhook, broken) in [(true, &[][..]), (false, &[WithoutOutcome][..])] {
        let mut story = Story::new();
        let call = story.send("/async", payment("S1", "A"));
        let success = story.success_of(call);
        story.deliver("d1", call).received("d1").tell_ok(call);
        story.execute("d1", call).result("d1", &success).recorded("d1").at_rest();
        story.row_with(call, "d1", Outcome::Answered, Some(&success), webhook);
        story.breaks(broken);
    }
}

#[test]
fn what_was_delivered_and_is_in_no_row_has_no_outcome() {
    let (mut story, call, success) = paid();
    let other = story.pay("S2", "B");
    story.deliver("d2", other).reject(other, NO_RESPONSE).at_rest().answered(call, "d1", &success);
    story.breaks(&[WithoutOutcome]);
}

#[test]
fn what_its_terminal_could_tell_is_not_for_a_person() {
    for (told, broken) in [("nothing", &[WithoutOutcome][..]), ("indeterminate", &[]), ("journal lost", &[])]
    {
        let mut story = Story::new();
        story.hello(LINK, &[]);
        let call = story.pay("S1", "A");
        if told == "journal lost" {
            // Its end of the link is gone, and the gateway does not know yet.
            story.event(What::JournalLost { poi: POI.into() });
        }
        story.deliver("d1", call);
        if told == "indeterminate" {
            story.received("d1").indeterminate("d1").recorded("d1");
        }
        story.hello(2, &[]).reject(call, NO_RESPONSE).at_rest().row(call, "d1", Outcome::UnknownFinal);
        story.breaks(broken);
    }
}
