//! How many tests ran, read from what the test runners print.

use std::ops::{Add, AddAssign};

/// Tests of one suite, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Known to the runner but not run: `#[ignore]`, filtered out, or not reached.
    pub(crate) not_run: u64,
}

impl Tally {
    /// Reads the summary of `cargo nextest run`; `None` if it printed none, as when the build failed.
    ///
    /// ```text
    ///      Summary [   3.013s] 5 tests run: 3 passed (1 slow), 1 failed, 1 timed out, 1 skipped
    ///      Summary [   0.065s] 1/5 tests run: 0 passed, 1 failed, 1 skipped
    /// ```
    pub(crate) fn of_nextest(output: &str) -> Option<Tally> {
        output.lines().rev().find_map(|line| {
            let (_, summary) = line.trim_start().strip_prefix("Summary [")?.split_once(']')?;
            let (run, outcomes) = summary.split_once(':')?;
            let mut tally = Tally { not_run: not_reached(run)?, ..Tally::default() };
            for outcome in without_parentheses(outcomes).split(',') {
                let (count, how) = outcome.trim().split_once(' ')?;
                let count: u64 = count.parse().ok()?;
                match how.trim() {
                    "passed" => tally.passed += count,
                    "skipped" => tally.not_run += count,
                    // failed, timed out, exec failed, and whatever a later version calls it
                    _ => tally.failed += count,
                }
            }
            Some(tally)
        })
    }

    /// Reads the summary that Node's test runner writes as TAP; `None` if there is none.
    ///
    /// ```text
    /// # tests 58
    /// # suites 3
    /// # pass 55
    /// # fail 1
    /// # cancelled 1
    /// # skipped 1
    /// # todo 0
    /// ```
    pub(crate) fn of_tap(output: &str) -> Option<Tally> {
        let count = |name: &str| {
            let of = |line: &str| line.strip_prefix("# ")?.strip_prefix(name)?.trim().parse::<u64>().ok();
            output.lines().rev().find_map(of)
        };
        Some(Tally {
            passed: count("pass ")?,
            failed: count("fail ")? + count("cancelled ")?,
            not_run: count("skipped ")? + count("todo ")?,
        })
    }

    /// Reads the summary of Python's `unittest`; `None` if it printed none.
    ///
    /// ```text
    /// Ran 12 tests in 3.204s
    ///
    /// FAILED (failures=1, errors=1, skipped=2)
    /// ```
    pub(crate) fn of_unittest(output: &str) -> Option<Tally> {
        let ran = output.lines().rev().find_map(|line| line.strip_prefix("Ran ")?.split(' ').next());
        let ran: u64 = ran?.parse().ok()?;
        let last = output.lines().rev().find(|line| line.starts_with("OK") || line.starts_with("FAILED"))?;
        let counts = last.split_once('(').map_or("", |(_, counts)| counts.trim_end_matches(')'));
        let mut tally = Tally::default();
        for (how, count) in counts.split(", ").filter_map(|count| count.split_once('=')) {
            let count: u64 = count.parse().ok()?;
            match how {
                "skipped" | "expected failures" => tally.not_run += count,
                _ => tally.failed += count, // failures, errors, unexpected successes
            }
        }
        tally.passed = ran.checked_sub(tally.not_run + tally.failed)?;
        Some(tally)
    }

    /// Adds up the summaries that `cargo test` prints, one for each test program and crate of doctests; `None` if it
    /// printed none.
    ///
    /// ```text
    /// test result: FAILED. 4 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 6.51s
    /// ```
    pub(crate) fn of_cargo_test(output: &str) -> Option<Tally> {
        output.lines().filter_map(one_cargo_test_result).reduce(Tally::add)
    }
}

impl Add for Tally {
    type Output = Tally;

    fn add(self, other: Tally) -> Tally {
        Tally {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            not_run: self.not_run + other.not_run,
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        *self = *self + other;
    }
}

/// From ` 1/5 tests run`, the four that were not reached; ` 5 tests run` reached them all.
fn not_reached(run: &str) -> Option<u64> {
    match run.split_whitespace().next()?.split_once('/') {
        Some((reached, all)) => all.parse::<u64>().ok()?.checked_sub(reached.parse().ok()?),
        None => Some(0),
    }
}

/// Drops remarks such as `(1 slow, 1 flaky)`.
fn without_parentheses(text: &str) -> String {
    let mut depth = 0_u32;
    text.chars()
        .filter(|&c| {
            if c == '(' {
                depth += 1;
            }
            let outside = depth == 0;
            if c == ')' {
                depth = depth.saturating_sub(1);
            }
            outside
        })
        .collect()
}

fn one_cargo_test_result(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut tally = Tally::default();
    for part in counts.split(';') {
        let Some((count, what)) = part.trim().split_once(' ') else { continue };
        match what {
            "passed" => tally.passed += count.parse::<u64>().ok()?,
            "failed" => tally.failed += count.parse::<u64>().ok()?,
            "ignored" | "filtered out" => tally.not_run += count.parse::<u64>().ok()?,
            _ => {} // measured benchmarks, and the time taken
        }
    }
    Some(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Printed by cargo-nextest 0.9.143 and by Cargo 1.95.
    const NEXTEST_FAILED: &str = "\
     TIMEOUT [   3.004s] (5/5) samples tests::hang
  stdout ───

    running 1 test

    (test timed out)

────────────
     Summary [   3.013s] 5 tests run: 3 passed (1 slow), 1 failed, 1 timed out, 1 skipped
        FAIL [   0.071s] (3/5) samples tests::bad
     TIMEOUT [   3.004s] (5/5) samples tests::hang
error: test run failed
";
    const NEXTEST_CANCELLED: &str = "\
  Cancelling due to test failure: 
────────────
     Summary [   0.065s] 1/5 tests run: 0 passed, 1 failed, 1 skipped
        FAIL [   0.064s] (1/5) samples tests::bad
warning: 4/5 tests were not run due to test failure (run with --no-fail-fast to run all tests, or run with --max-fail)
error: test run failed
";
    const NEXTEST_PASSED: &str = "\
        PASS [   0.004s] (1/1) samples tests::good2
────────────
     Summary [   0.004s] 1 test run: 1 passed, 0 skipped
";
    const CARGO_TEST_FAILED: &str = "\
     Running unittests src/lib.rs (target/debug/deps/samples-cdc9ef72cb923517)

running 6 tests
test tests::good ... ok
test tests::bad ... FAILED

failures:
    tests::bad

test result: FAILED. 4 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 6.51s

error: test failed, to rerun pass `--lib`
   Doc-tests samples

running 3 tests
test src/lib.rs - (line 1) ... ok
test src/lib.rs - (line 4) - should panic ... ok
test src/lib.rs - (line 7) ... FAILED

test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.05s

all doctests ran in 0.19s; merged doctests compilation took 0.14s
error: doctest failed, to rerun pass `--doc`
";
    // Printed by Node 20.20.
    const TAP_FAILED: &str = "\
    # Subtest: a payment is approved
    ok 1 - a payment is approved
      ---
      duration_ms: 2034.5
      ...
not ok 1 - classic
# a test printed this
1..1
# tests 6
# suites 1
# pass 2
# fail 1
# cancelled 1
# skipped 1
# todo 1
# duration_ms 2101.3
";
    const BUILD_FAILED: &str = "\
error[E0425]: cannot find value `x` in this scope
 --> src/lib.rs:1:1
error: could not compile `samples` (lib test) due to 1 previous error
";

    #[test]
    fn nextest_counts_time_outs_as_failures() {
        let tally = Tally { passed: 3, failed: 2, not_run: 1 };
        assert_eq!(Tally::of_nextest(NEXTEST_FAILED), Some(tally));
    }

    #[test]
    fn nextest_counts_tests_that_were_not_reached() {
        let tally = Tally { passed: 0, failed: 1, not_run: 5 };
        assert_eq!(Tally::of_nextest(NEXTEST_CANCELLED), Some(tally));
    }

    #[test]
    fn nextest_counts_a_single_test() {
        let tally = Tally { passed: 1, failed: 0, not_run: 0 };
        assert_eq!(Tally::of_nextest(NEXTEST_PASSED), Some(tally));
    }

    #[test]
    fn cargo_test_adds_up_test_programs_and_doctests() {
        let tally = Tally { passed: 6, failed: 2, not_run: 1 };
        assert_eq!(Tally::of_cargo_test(CARGO_TEST_FAILED), Some(tally));
    }

    #[test]
    fn unittest_counts_failures_and_errors_as_failed() {
        let good = "test_a ... ok\n\n----\nRan 12 tests in 3.204s\n\nOK\n";
        assert_eq!(Tally::of_unittest(good), Some(Tally { passed: 12, failed: 0, not_run: 0 }));
        let bad = "Ran 12 tests in 3.204s\n\nFAILED (failures=1, errors=2, skipped=3)\n";
        assert_eq!(Tally::of_unittest(bad), Some(Tally { passed: 6, failed: 3, not_run: 3 }));
        assert_eq!(Tally::of_unittest("Traceback (most recent call last):\n"), None);
    }

    #[test]
    fn tap_counts_what_was_cancelled_as_failed_and_what_is_still_to_do_as_not_run() {
        let tally = Tally { passed: 2, failed: 2, not_run: 2 };
        assert_eq!(Tally::of_tap(TAP_FAILED), Some(tally));
        assert_eq!(Tally::of_tap("TAP version 13\n1..1\n"), None);
    }

    #[test]
    fn a_build_that_fails_has_no_tally() {
        assert_eq!(Tally::of_nextest(BUILD_FAILED), None);
        assert_eq!(Tally::of_cargo_test(BUILD_FAILED), None);
    }
}
