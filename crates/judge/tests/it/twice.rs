//! P1: executed once, written once.

use judge::Figure::ExecutedTwice;
use judge::Outcome;

use crate::story::{LINK, Story, paid, payment, reversal};

#[test]
fn a_sale_that_is_charged_under_two_service_ids_is_executed_twice() {
    let (mut story, _, _) = paid();
    let again = story.pay("S2", "A");
    let success = story.success_of(again);
    story.deliver("d2", again).received("d2").execute("d2", again).result("d2", &success);
    story.recorded("d2").tell(again, &success);
    let verdict = story.breaks(&[ExecutedTwice]);
    assert_eq!(verdict.violations[0].sale.as_deref(), Some("A"));
    assert_eq!(verdict.violations[0].text, "A was charged once more, by ServiceID S2, delivery d2");
    assert_eq!(verdict.outcomes.get("sales charged more than once"), 1);
}

#[test]
fn two_sales_are_charged_once_each() {
    let (mut story, _, _) = paid();
    let other = story.pay("S2", "B");
    let success = story.success_of(other);
    story.deliver("d2", other).received("d2").execute("d2", other).result("d2", &success);
    story.recorded("d2").tell(other, &success);
    story.breaks_nothing();
}

#[test]
fn the_same_transaction_id_of_another_till_is_another_sale() {
    let (mut story, _, _) = paid();
    let mut request = payment("S2", "A");
    request["SaleToPOIRequest"]["MessageHeader"]["SaleID"] = "TILL-2".into();
    let other = story.send("/sync", request);
    let success = story.success_of(other);
    story.deliver("d2", other).execute("d2", other).result("d2", &success).tell(other, &success);
    story.breaks_nothing();
}

#[test]
fn a_delivery_that_is_executed_once_more_is_executed_twice() {
    let (mut story, call, _) = paid();
    story.execute("d1", call);
    story.breaks(&[ExecutedTwice]);
}

#[test]
fn a_reversal_that_is_done_under_two_service_ids_is_executed_twice() {
    let mut story = Story::new();
    for (service, delivery) in [("R1", "d1"), ("R2", "d2")] {
        let call = story.send("/sync", reversal(service, "T1"));
        let success = story.success_of(call);
        story.deliver(delivery, call).execute(delivery, call).result(delivery, &success).tell(call, &success);
    }
    let verdict = story.breaks(&[ExecutedTwice]);
    assert_eq!(verdict.violations[0].sale.as_deref(), Some("reversal of T1"));
}

#[test]
fn reversals_of_two_payments_are_two() {
    let mut story = Story::new();
    for (service, delivery, of) in [("R1", "d1", "T1"), ("R2", "d2", "T2")] {
        let call = story.send("/sync", reversal(service, of));
        let success = story.success_of(call);
        story.deliver(delivery, call).execute(delivery, call).result(delivery, &success).tell(call, &success);
    }
    let verdict = story.breaks_nothing();
    assert_eq!(verdict.outcomes.get("reversals done once"), 2);
}

#[test]
fn a_delivery_that_is_written_to_two_links_breaks_p1_whoever_executes_it() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.deliver_on(LINK, "d1", call).deliver_on(2, "d1", call);
    let failure = story.failure_of(call, "Aborted");
    story.result("d1", &failure).tell(call, &failure);
    let verdict = story.breaks(&[ExecutedTwice]);
    assert_eq!(verdict.violations[0].text, "delivery d1 was written once more, to another link");
}

#[test]
fn a_delivery_that_is_written_twice_to_one_link_breaks_p1() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.deliver("d1", call).deliver("d1", call);
    let failure = story.failure_of(call, "Aborted");
    story.result("d1", &failure).tell(call, &failure);
    story.breaks(&[ExecutedTwice]);
}

#[test]
fn a_second_attempt_under_a_service_id_that_the_terminal_has_had_breaks_p1() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.deliver("d1", call).received("d1").deliver("d2", call);
    let failure = story.failure_of(call, "Busy");
    story.result("d2", &failure).tell(call, &failure);
    story.breaks(&[ExecutedTwice]);
}

#[test]
fn so_does_one_under_a_service_id_that_was_written_and_never_got_there() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.deliver("d1", call).hello(2, &[]).deliver_on(2, "d2", call);
    let failure = story.failure_of(call, "Busy");
    story.result("d2", &failure).tell(call, &failure);
    let verdict = story.breaks(&[ExecutedTwice]);
    assert_eq!(
        verdict.violations[0].text,
        "ServiceID S1 was delivered again as d2, though d1 had been written"
    );
}

#[test]
fn a_repeat_after_503_is_a_first_attempt() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.tell_status(call, 503);
    let repeat = story.pay("S1", "A");
    let success = story.success_of(repeat);
    story.deliver("d2", repeat).received("d2").execute("d2", repeat).result("d2", &success);
    story.recorded("d2").tell(repeat, &success).at_rest().answered(repeat, "d2", &success);
    let verdict = story.breaks_nothing();
    assert_eq!(verdict.outcomes.get("calls told 503"), 1);
}

#[test]
fn a_service_id_of_no_money_may_be_delivered_again_after_it_was_never_reached() {
    let mut story = Story::new();
    let mut request = payment("D1", "-");
    request["SaleToPOIRequest"]["MessageHeader"]["MessageCategory"] = "Diagnosis".into();
    let call = story.send("/sync", request);
    story.deliver("d1", call).hello(2, &[]).reject(call, crate::story::NOT_DELIVERED);
    let again = story.pay("S1", "A");
    let failure = story.failure_of(again, "Cancel");
    story.deliver("d2", again).received("d2").result("d2", &failure).recorded("d2").tell(again, &failure);
    story.at_rest().answered(again, "d2", &failure).row(call, "d1", Outcome::NeverReached);
    story.breaks_nothing();
}
