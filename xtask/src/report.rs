//! What a run says: a line for each suite, the output of those that failed, and the sum.

use std::time::Duration;

use anyhow::Result;

use crate::suite::Suite;
use crate::tally::Tally;

/// What came of a suite that could run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    passed: bool,
    /// `None` for a suite that has no tests to count, or that failed before it came to them.
    tally: Option<Tally>,
}

impl Verdict {
    /// A suite fails if its command says so, if a test failed, or if a test was not run.
    pub(crate) fn new(command_passed: bool, tally: Option<Tally>) -> Verdict {
        let passed = command_passed && tally.is_none_or(|tally| tally.failed == 0 && tally.not_run == 0);
        Verdict { passed, tally }
    }

    /// This suite's share of the sum. Without tests it counts as one. A failed suite adds a failure at least, also when
    /// each test that was counted passed: one of the test programs may not have come to its end.
    fn share(self) -> Tally {
        let counted = self.tally.unwrap_or_default();
        let failed = counted.failed + counted.not_run;
        match self.passed {
            true => Tally { passed: counted.passed.max(1), ..Tally::default() },
            false => Tally { passed: counted.passed, failed: failed.max(1), not_run: 0 },
        }
    }
}

/// The sum so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    sum: Tally,
    failed: Vec<Suite>,
}

impl Report {
    /// Says that the caller did not want this suite.
    pub(crate) fn leave_out(&mut self, suite: Suite) {
        println!("left out  {suite}");
    }

    /// Prints the suite's line, and all of its output if it failed. A suite that could not run has failed.
    pub(crate) fn add(&mut self, suite: Suite, took: Duration, verdict: Result<Verdict>, output: &str) {
        let (verdict, reason) = match verdict {
            Ok(verdict) => (verdict, reason(verdict)),
            Err(error) => (Verdict::new(false, None), format!("{error:#}\n")),
        };
        self.sum += verdict.share();
        if !verdict.passed {
            self.failed.push(suite);
            let line_end = if output.is_empty() || output.ends_with('\n') { "" } else { "\n" };
            print!("---- output of {suite}\n{output}{line_end}---- end of {suite}\n{reason}");
        }
        println!("{}", line(suite, took, verdict));
    }

    /// Prints which suites failed, and the sum as the last line. True if nothing failed.
    pub(crate) fn finish(self) -> bool {
        for suite in &self.failed {
            println!("failed: {suite}  (again: cargo xtask test --only {suite})");
        }
        println!("{} passed, {} failed", self.sum.passed, self.sum.failed);
        self.failed.is_empty()
    }
}

fn reason(verdict: Verdict) -> String {
    match verdict.tally {
        Some(Tally { not_run, .. }) if not_run > 0 => format!(
            "{not_run} not run, which counts as failed: a test that cannot pass today asserts what happens today\n"
        ),
        _ => String::new(),
    }
}

fn line(suite: Suite, took: Duration, verdict: Verdict) -> String {
    let word = if verdict.passed { "ok" } else { "FAILED" };
    let seconds = took.as_secs_f64();
    let counts = match verdict.tally {
        None => String::new(),
        Some(_) if verdict.passed => format!("  ({} passed)", verdict.share().passed),
        Some(_) => format!("  ({} passed, {} failed)", verdict.share().passed, verdict.share().failed),
    };
    format!("{word}  {suite}  {seconds:.1} s{counts}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u64, failed: u64, not_run: u64) -> Option<Tally> {
        Some(Tally { passed, failed, not_run })
    }

    #[test]
    fn a_suite_without_tests_counts_as_one() {
        assert_eq!(Some(Verdict::new(true, None).share()), tally(1, 0, 0));
        assert_eq!(Some(Verdict::new(false, None).share()), tally(0, 1, 0));
        assert_eq!(Some(Verdict::new(true, tally(0, 0, 0)).share()), tally(1, 0, 0));
    }

    #[test]
    fn tests_are_counted_one_by_one() {
        assert_eq!(Some(Verdict::new(true, tally(58, 0, 0)).share()), tally(58, 0, 0));
        assert_eq!(Some(Verdict::new(false, tally(56, 2, 0)).share()), tally(56, 2, 0));
    }

    #[test]
    fn a_test_that_was_not_run_fails_the_suite() {
        let verdict = Verdict::new(true, tally(57, 0, 1));
        assert!(!verdict.passed);
        assert_eq!(Some(verdict.share()), tally(57, 1, 0));
    }

    #[test]
    fn a_command_that_fails_after_its_tests_passed_adds_a_failure() {
        assert_eq!(Some(Verdict::new(false, tally(58, 0, 0)).share()), tally(58, 1, 0));
    }

    #[test]
    fn a_line_names_the_suite_and_the_time() {
        let took = Duration::from_millis(12_340);
        assert_eq!(line(Suite::Clippy, took, Verdict::new(true, None)), "ok  clippy  12.3 s");
        assert_eq!(
            line(Suite::Tests, took, Verdict::new(true, tally(58, 0, 0))),
            "ok  tests  12.3 s  (58 passed)"
        );
        assert_eq!(
            line(Suite::Tests, took, Verdict::new(false, tally(56, 2, 0))),
            "FAILED  tests  12.3 s  (56 passed, 2 failed)"
        );
    }
}
