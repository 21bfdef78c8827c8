//! What happens every day and breaks nothing.

use judge::Figures;

use crate::story::{NOT_DELIVERED, Story, paid};

#[test]
fn an_undisturbed_payment_breaks_nothing() {
    let (mut story, call, success) = paid();
    story.at_rest();
    let question = story.ask("Q1", "S1");
    let found = story.found(question, &success);
    story.tell(question, &found).answered(call, "d1", &success);
    let verdict = story.breaks_nothing();
    assert!(verdict.figures.is_zero());
    assert_eq!(verdict.outcomes.get("sales charged once"), 1);
    assert_eq!(verdict.outcomes.get("calls told success"), 1);
    assert_eq!(verdict.outcomes.get("calls told a status: found"), 1);
}

#[test]
fn the_figures_are_one_line() {
    let mut figures = Figures { lost: 1, ..Figures::default() };
    figures += Figures { lost: 2, wrong_status: 3, ..Figures::default() };
    assert!(!figures.is_zero());
    assert_eq!(
        figures.to_string(),
        "executed twice 0, lost 3, false success 0, false failure 0, without outcome 0, wrong status 3"
    );
}

#[test]
fn what_did_not_get_there_may_be_sent_under_a_new_service_id() {
    let mut story = Story::new();
    let first = story.pay("S1", "A");
    story.reject(first, NOT_DELIVERED);
    let second = story.pay("S2", "A");
    let success = story.success_of(second);
    story.deliver("d2", second).received("d2").execute("d2", second).result("d2", &success);
    story.recorded("d2").tell(second, &success).at_rest();
    story.row(first, "d1", judge::Outcome::NeverReached).answered(second, "d2", &success);
    story.breaks_nothing();
}
