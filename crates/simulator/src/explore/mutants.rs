//! Which deliberate faults the exhaustive run finds.

use relay::fault::Fault;

use super::search::{Bounds, Outcome, explore};

/// Prints a line about each fault. Says whether all were found.
pub(super) fn print_table(bounds: Bounds) -> bool {
    println!("{:26} {:>9} {:>6} {:>8}  found as", "fault", "states", "depth", "seconds");
    let mut missed = 0;
    // There is no Actions terminal in it.
    let faults: Vec<_> = Fault::ALL.iter().filter(|fault| !fault.is_of_actions()).collect();
    for fault in &faults {
        let fault = **fault;
        match find(fault, bounds) {
            Some((world, Outcome { states, depth, elapsed, violation: Some(found), .. })) => {
                let (seconds, invariant) = (elapsed.as_secs_f64(), found.violation.invariant);
                println!("{fault:26} {states:>9} {depth:>6} {seconds:>8.1}  {invariant}{world}");
            }
            _ => {
                missed += 1;
                println!("{fault:26} {:>9} {:>6} {:>8}  NOT FOUND", "", "", "");
            }
        }
    }
    println!("{} faults, {missed} not found within these bounds", faults.len());
    missed == 0
}

/// Puts this fault into the code under test, and looks for it in a few small worlds within these bounds. Answers with the
/// first that shows it, in words, and with what was found there.
pub(crate) fn find(fault: Fault, bounds: Bounds) -> Option<(&'static str, Outcome)> {
    let bounds = Bounds { fault: Some(fault), ..bounds };
    let worlds = [
        ("", bounds),
        // Varieties that only some faults need.
        (" (payments that do not wait)", Bounds { asynchronous: true, ..bounds }),
        (" (card numbers in approvals)", Bounds { card_data: true, ..bounds }),
    ];
    let found = worlds.into_iter().find_map(|(world, bounds)| {
        let outcome = explore(bounds, |_, _, _| {});
        outcome.violation.is_some().then_some((world, outcome))
    });
    relay::fault::switch(None);
    found
}
