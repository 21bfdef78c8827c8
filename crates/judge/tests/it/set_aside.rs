//! A journal that was copied: what was open then is beyond every promise, and nothing else is.

use judge::Figure::{ExecutedTwice, FalseFailure, FalseSuccess};
use judge::{Outcome, What};

use crate::story::{NO_RESPONSE, NOT_DELIVERED, POI, Story, paid};

fn copy(story: &mut Story) {
    story.event(What::JournalCopied { poi: POI.into() });
}

#[test]
fn what_was_open_when_the_journal_was_copied_is_set_aside() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.deliver("d1", call).received("d1").execute("d1", call);
    copy(&mut story);
    story.hello(2, &[]).reject(call, NOT_DELIVERED);
    let again = story.pay("S2", "A");
    let success = story.success_of(again);
    story.deliver_on(2, "d2", again).execute("d2", again).result("d2", &success).tell(again, &success);
    story.at_rest().row(call, "d1", Outcome::NeverReached).answered(again, "d2", &success);
    let verdict = story.breaks_nothing();
    assert_eq!(verdict.outcomes.get("sales set aside (journal copied)"), 1);
}

#[test]
fn the_same_without_a_copy_is_a_false_failure_and_two_charges() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.deliver("d1", call).received("d1").execute("d1", call);
    story.hello(2, &[]).reject(call, NOT_DELIVERED);
    let again = story.pay("S2", "A");
    let success = story.success_of(again);
    story.deliver_on(2, "d2", again).execute("d2", again).result("d2", &success).tell(again, &success);
    story.at_rest().row(call, "d1", Outcome::NeverReached).answered(again, "d2", &success);
    story.breaks(&[FalseFailure, ExecutedTwice, FalseFailure]);
}

#[test]
fn what_was_recorded_before_the_copy_is_not_set_aside() {
    let (mut story, _, _) = paid();
    copy(&mut story);
    let again = story.pay("S2", "A");
    story.deliver("d2", again).execute("d2", again).reject(again, NO_RESPONSE);
    story.breaks(&[ExecutedTwice]);
}

#[test]
fn what_a_hello_had_settled_before_the_copy_is_not_set_aside() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.deliver("d1", call).hello(2, &[]);
    copy(&mut story);
    story.reject(call, NOT_DELIVERED).execute("d1", call);
    story.breaks(&[FalseFailure]);
}

#[test]
fn a_success_of_what_was_not_charged_is_false_with_or_without_a_copy() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.deliver("d1", call);
    copy(&mut story);
    let success = story.success_of(call);
    story.tell(call, &success);
    story.breaks(&[FalseSuccess]);
}
