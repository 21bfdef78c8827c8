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

#[test]
fn outcomes_add_up_and_keep_their_order() {
    let (mut story, call, success) = paid();
    let mut outcomes = story.answered(call, "d1", &success).judged().outcomes;
    outcomes += story.judged().outcomes;
    assert_eq!(outcomes.get("sales charged once"), 2);
    assert_eq!(outcomes.get("rows answered"), 2);
    assert_eq!(outcomes.get("no such name"), 0);
    let names: Vec<_> = outcomes.iter().map(|(name, _)| name).collect();
    assert_eq!(names[0], "sales charged once");
    assert_eq!(names, judge::Outcomes::default().iter().map(|(name, _)| name).collect::<Vec<_>>());
    assert_eq!(outcomes.to_string().lines().count(), 3);
}
