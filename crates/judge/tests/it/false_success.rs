//! P3: no success without an execution before it.

use judge::Figure::FalseSuccess;

use crate::story::{Story, paid};

#[test]
fn a_success_that_no_terminal_said_is_false_and_counted_once() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let success = story.success_of(call);
    story.tell(call, &success);
    let verdict = story.breaks(&[FalseSuccess]);
    let violation = &verdict.violations[0];
    assert_eq!(
        violation.text,
        "call 1 (Payment) was told success about ServiceID S1, which had not been executed"
    );
    assert_eq!((violation.poi.as_deref(), violation.sale.as_deref()), (Some("V400m-1"), Some("A")));
}

#[test]
fn a_success_before_the_charge_is_false() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let success = story.success_of(call);
    story.deliver("d1", call).result("d1", &success).tell(call, &success).execute("d1", call);
    story.breaks(&[FalseSuccess]);
}

#[test]
fn a_success_about_another_sale_under_the_same_service_id_is_false() {
    let (mut story, _, success) = paid();
    let other = story.pay("S1", "B");
    story.tell(other, &success);
    story.breaks(&[FalseSuccess]);
}

#[test]
fn a_partial_approval_counts_as_success() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let partial = story.response_of(call, serde_json::json!({"Response":{"Result":"Partial"}}));
    story.deliver("d1", call).result("d1", &partial).tell(call, &partial);
    story.breaks(&[FalseSuccess]);
}

#[test]
fn a_status_that_finds_a_success_without_a_charge_is_false() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let success = story.success_of(call);
    story.deliver("d1", call).result("d1", &success);
    let question = story.ask("Q1", "S1");
    let found = story.found(question, &success);
    story.tell(question, &found).event(judge::What::Ended { call });
    story.breaks(&[FalseSuccess]);
}

#[test]
fn a_repeat_is_told_the_same_success() {
    let (mut story, _, success) = paid();
    let repeat = story.pay("S1", "A");
    story.tell(repeat, &success);
    story.breaks_nothing();
}
