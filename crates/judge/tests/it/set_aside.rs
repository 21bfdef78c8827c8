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

#[test]
fn what_was_reported_as_unknown_may_be_denied_by_an_older_copy() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    let aborted = story.failure_of(call, "Aborted");
    story.deliver("d1", call).received("d1").execute("d1", call).indeterminate("d1").recorded("d1");
    copy(&mut story);
    story.hello(2, &["d1"]).result("d1", &aborted).recorded("d1").tell(call, &aborted);
    story.at_rest().answered(call, "d1", &aborted);
    story.breaks_nothing();
}

#[test]
fn a_copy_that_is_asked_tells_what_it_remembers() {
    let (mut story, call, success) = paid();
    copy(&mut story);
    let question = story.ask("Q1", "S1");
    let aborted = story.failure_of(call, "Aborted");
    let found = story.found(question, &aborted);
    story.deliver("d2", question).result("d2", &found).recorded("d2").tell(question, &found);
    story.at_rest().answered(call, "d1", &success).answered(question, "d2", &found);
    story.breaks_nothing();
}

#[test]
fn what_the_ledger_tells_after_a_copy_is_judged_all_the_same() {
    let (mut story, _, _) = paid();
    copy(&mut story);
    let question = story.ask("Q1", "S1");
    let not_found = story.failure_of(question, "NotFound");
    story.tell(question, &not_found);
    story.breaks(&[FalseFailure]);
}

#[test]
fn a_second_write_is_counted_with_or_without_a_copy() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.deliver("d1", call);
    copy(&mut story);
    story.deliver_on(2, "d1", call).reject(call, NO_RESPONSE);
    story.breaks(&[ExecutedTwice]);
}

#[test]
fn the_copy_of_a_newer_journal_excuses_nothing_that_was_open_before_that() {
    let mut story = Story::new();
    let call = story.pay("S1", "A");
    story.deliver("d1", call).received("d1").execute("d1", call).event(What::JournalLost { poi: POI.into() });
    copy(&mut story);
    story.reject(call, NOT_DELIVERED);
    story.breaks(&[FalseFailure]);
}
