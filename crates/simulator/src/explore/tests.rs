use super::invariant::Invariant;
use super::search::{Bounds, Outcome, explore};
use super::step::FAULTS;
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
    let outcome = within(Bounds { ticks: 2, ..Bounds::default() });
    assert!(outcome.violation.is_none(), "{}", story(&outcome));
    // It did look: each fault that can come was tried, and many a way led to an end.
    assert!(outcome.states > 10_000 && outcome.rests > 500 && outcome.ends.len() > 50, "{outcome:?}");
    let never = FAULTS.iter().zip(outcome.faults).filter(|(_, tried)| *tried == 0);
    assert_eq!(never.map(|(name, _)| *name).collect::<Vec<_>>(), ["dials beside its link"]);
}

#[test]
fn nor_in_any_order_of_one_call_and_two_faults() {
    let outcome = within(Bounds { calls: 1, faults: 2, ..Bounds::default() });
    assert!(outcome.violation.is_none(), "{}", story(&outcome));
}

#[test]
fn nor_with_an_absent_terminal_payments_that_do_not_wait_or_card_numbers_in_approvals() {
    let bounds = Bounds { calls: 1, ticks: 2, ..Bounds::default() };
    for bounds in [
        Bounds { absent: true, ..bounds },
        Bounds { asynchronous: true, ..bounds },
        Bounds { card_data: true, ..bounds },
    ] {
        let outcome = within(bounds);
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
fn any_number_of_threads_finds_the_same() {
    let bounds = Bounds { calls: 1, ..Bounds::default() };
    let (one, three) = (within(bounds), within(Bounds { threads: 3, ..bounds }));
    assert_eq!(
        (one.states, one.steps, one.depth, one.ends),
        (three.states, three.steps, three.depth, three.ends)
    );
}

#[cfg(feature = "faults")]
#[test]
fn each_deliberate_fault_is_found() {
    for fault in relay::fault::Fault::ALL.iter().filter(|fault| !fault.is_of_actions()) {
        assert!(super::mutants::find(*fault, Bounds::default()).is_some(), "{fault} is not found");
    }
}
