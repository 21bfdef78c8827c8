//! Which deliberate faults the exhaustive run finds.

use relay::fault::Fault;

use super::search::{Bounds, explore};

/// Prints a line about each fault.
pub(super) fn print_table(bounds: Bounds) {
    println!("{:26} {:>9} {:>6} {:>8}  found as", "fault", "states", "depth", "seconds");
    let mut missed = 0;
    for fault in Fault::ALL {
        let outcome = explore(Bounds { fault: Some(*fault), ..bounds }, |_, _, _| {});
        let seconds = outcome.elapsed.as_secs_f64();
        let found = outcome.violation.map(|found| found.violation.invariant.to_string());
        missed += usize::from(found.is_none());
        let found = found.unwrap_or_else(|| "not found".to_owned());
        println!("{fault:26} {:>9} {:>6} {seconds:>8.1}  {found}", outcome.states, outcome.depth);
    }
    println!("{} faults, {missed} not found within these bounds", Fault::ALL.len());
}
