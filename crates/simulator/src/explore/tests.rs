use super::invariant::Invariant;
use super::search::{Bounds, Outcome, explore};
use super::world::Weakness;

fn within(bounds: Bounds) -> Outcome {
    explore(bounds, |_, _, _| {})
}

/// The timeline, if there is one, is what a person needs to see.
fn story(outcome: &Outcome) -> String {
    outcome.violation.as_ref().map_or_else(String::new, |found| found.timeline.join("\n"))
}

fn finds(weakness: Weakness) -> (Invariant, String) {
    let outcome = within(Bounds { weakness, ..Bounds::default() });
    let story = story(&outcome);
    (outcome.violation.expect("a violation").violation.invariant, story)
}

#[test]
fn in_no_order_of_two_calls_and_a_fault_is_a_sale_paid_twice_or_anybody_told_otherwise() {
    let outcome = within(Bounds::default());
    assert!(outcome.violation.is_none(), "{}", story(&outcome));
    // It did look: each fault that can come was tried, and many a way led to an end.
    assert!(outcome.states > 10_000 && outcome.rests > 500 && outcome.ends.len() > 50, "{outcome:?}");
    assert_eq!(outcome.faults.iter().filter(|tried| **tried == 0).count(), 1, "{:?}", outcome.faults);
}

#[test]
fn nor_when_the_terminal_is_absent_at_first_or_a_payment_does_not_wait_for_its_end() {
    for (absent, asynchronous) in [(true, false), (false, true)] {
        let outcome = within(Bounds { calls: 1, ticks: 2, absent, asynchronous, ..Bounds::default() });
        assert!(outcome.violation.is_none(), "{}", story(&outcome));
    }
}

#[test]
fn a_store_that_forgets_what_it_acknowledged_is_found() {
    let (_, story) = finds(Weakness::ForgetfulStore);
    assert!(story.contains("gateway is killed") && story.contains("VIOLATION"), "{story}");
}

#[test]
fn a_disk_that_forgets_what_it_synced_is_found() {
    let (_, story) = finds(Weakness::ForgetfulDisk);
    assert!(story.contains("terminal is killed"), "{story}");
}

#[test]
fn a_pos_that_pays_anew_though_nobody_knows_is_seen_to_pay_twice() {
    let (invariant, story) = finds(Weakness::CarelessPos);
    assert_eq!(invariant, Invariant::ExecutedTwice, "{story}");
}

#[test]
fn letting_one_end_go_first_loses_nothing_that_a_path_can_come_to() {
    for bounds in [
        Bounds { calls: 1, faults: 1, ticks: 2, ..Bounds::default() },
        Bounds { calls: 2, faults: 0, ticks: 2, absent: true, ..Bounds::default() },
    ] {
        let (some, every) = (within(bounds), within(Bounds { every_order: true, ..bounds }));
        assert!(some.states < every.states);
        assert_eq!(some.ends, every.ends, "{bounds:?}");
    }
}

#[test]
fn any_number_of_threads_finds_the_same() {
    let bounds = Bounds { calls: 1, ..Bounds::default() };
    let (one, three) = (within(bounds), within(Bounds { threads: 3, ..bounds }));
    assert_eq!(
        (one.states, one.steps, one.depth, one.ends),
        (three.states, three.steps, three.depth, three.ends)
    );
}
