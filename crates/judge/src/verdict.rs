//! What a judgement is: six figures, and each violation with the event that shows it.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use crate::outcomes::Outcomes;

/// What the judge says about a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How often which promise was broken.
    pub figures: Figures,
    /// Each of them, in the order of the events that show it.
    pub violations: Vec<Violation>,
    /// What became of intentions, calls and exchanges.
    pub outcomes: Outcomes,
}

/// How often each promise was broken. Shown as one line:
/// `executed twice 0, lost 0, false success 0, false failure 0, without outcome 0, wrong status 0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// See [`Figure::ExecutedTwice`].
    pub executed_twice: u64,
    /// See [`Figure::Lost`].
    pub lost: u64,
    /// See [`Figure::FalseSuccess`].
    pub false_success: u64,
    /// See [`Figure::FalseFailure`].
    pub false_failure: u64,
    /// See [`Figure::WithoutOutcome`].
    pub without_outcome: u64,
    /// See [`Figure::WrongStatus`].
    pub wrong_status: u64,
}

impl Figures {
    /// Whether no promise was broken.
    pub fn is_zero(&self) -> bool {
        *self == Figures::default()
    }

    /// Counts one more.
    pub(crate) fn count(&mut self, figure: Figure) {
        let count = match figure {
            Figure::ExecutedTwice => &mut self.executed_twice,
            Figure::Lost => &mut self.lost,
            Figure::FalseSuccess => &mut self.false_success,
            Figure::FalseFailure => &mut self.false_failure,
            Figure::WithoutOutcome => &mut self.without_outcome,
            Figure::WrongStatus => &mut self.wrong_status,
        };
        *count += 1;
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Figures) {
        self.executed_twice += other.executed_twice;
        self.lost += other.lost;
        self.false_success += other.false_success;
        self.false_failure += other.false_failure;
        self.without_outcome += other.without_outcome;
        self.wrong_status += other.wrong_status;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { executed_twice, lost, false_success, false_failure, without_outcome, wrong_status } =
            self;
        write!(f, "executed twice {executed_twice}, lost {lost}, false success {false_success}, ")?;
        write!(f, "false failure {false_failure}, without outcome {without_outcome}, ")?;
        write!(f, "wrong status {wrong_status}")
    }
}

/// Which promise a violation breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Figure {
    /// A charge that was wanted once was made more than once, or a request was written more than once.
    ExecutedTwice,
    /// A result that the gateway had, or a charge that was made, of which nobody knows in the end.
    Lost,
    /// Somebody was told *success* of what had not been executed.
    FalseSuccess,
    /// Somebody was told *did not run* of what was executed, before or later.
    FalseFailure,
    /// A call or an exchange that came to no end.
    WithoutOutcome,
    /// An answer, a status or a row that is not what it has to be, whether or not it is about money.
    WrongStatus,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Figure::ExecutedTwice => "executed twice",
            Figure::Lost => "lost",
            Figure::FalseSuccess => "false success",
            Figure::FalseFailure => "false failure",
            Figure::WithoutOutcome => "without outcome",
            Figure::WrongStatus => "wrong status",
        })
    }
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub figure: Figure,
    /// When the event was that shows it.
    pub at: Duration,
    /// That event: its place in [`Log::events`](crate::Log::events).
    pub event: usize,
    /// One sentence with the IDs.
    pub text: String,
    /// At which terminal.
    pub poi: Option<String>,
    /// About which intention: the TransactionID of a payment's SaleTransactionID, or `reversal of` and what it reverses.
    pub sale: Option<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.figure, self.text)
    }
}
