//! What became of a run's intentions, calls and rows: numbers for a table, in which nothing is judged.

use std::fmt;
use std::ops::AddAssign;

use crate::log;
use crate::message::{Event, Message, Reject, Response, Says};
use crate::run::{Answer, Call, Run, Wanted};

/// What became of what: a name and a count each, in a fixed order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    counts: [u64; NAMES.len()],
}

impl Outcomes {
    /// Every name with its count, also those that are 0, always in the same order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        NAMES.into_iter().zip(self.counts)
    }

    /// The count of this name; 0 for one that there is not.
    pub fn get(&self, name: &str) -> u64 {
        self.iter().find_map(|(known, count)| (known == name).then_some(count)).unwrap_or_default()
    }

    fn count(&mut self, kind: Kind) {
        self.counts[kind as usize] += 1;
    }
}

impl AddAssign for Outcomes {
    fn add_assign(&mut self, other: Outcomes) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }
}

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter()
            .filter(|(_, count)| *count > 0)
            .try_for_each(|(name, count)| writeln!(f, "{count:>10}  {name}"))
    }
}

/// In the order of [`NAMES`].
#[derive(Clone, Copy, Debug)]
enum Kind {
    SaleCharged,
    SaleChargedTwice,
    SaleDeclined,
    SaleNotCharged,
    SaleForAPerson,
    SaleSetAside,
    ReversalDone,
    ReversalDoneTwice,
    ReversalNotDone,
    ReversalForAPerson,
    ReversalSetAside,
    CallSuccess,
    CallFailure,
    CallFound,
    CallNotFound,
    CallInProgress,
    CallNotDelivered,
    CallNoResponse,
    CallRefused,
    CallOk,
    Call503,
    Call429,
    CallOtherStatus,
    CallEnded,
    CallUnanswered,
    RowAnswered,
    RowNeverReached,
    RowRefused,
    RowUnknownFinal,
    RowUnknownFinalPlain,
    RowOpen,
}

const NAMES: [&str; 31] = [
    "sales charged once",
    "sales charged more than once",
    "sales declined",
    "sales not charged",
    "sales for a person (unknown, final)",
    "sales set aside (journal copied)",
    "reversals done once",
    "reversals done more than once",
    "reversals not done",
    "reversals for a person (unknown, final)",
    "reversals set aside (journal copied)",
    "calls told success",
    "calls told failure",
    "calls told a status: found",
    "calls told a status: not found",
    "calls told in progress",
    "calls told not delivered",
    "calls told no response",
    "calls told another Reject",
    "calls told ok",
    "calls told 503",
    "calls told 429",
    "calls told another HTTP status",
    "calls that ended before an answer",
    "calls without an answer",
    "rows answered",
    "rows never reached",
    "rows refused",
    "rows unknown, final",
    "rows unknown, final, of terminals that do not acknowledge",
    "rows open or unknown",
];

/// Counts what became of a run's intentions, calls and rows.
pub(crate) fn count(run: &Run<'_>) -> Outcomes {
    let mut outcomes = Outcomes::default();
    for wanted in &run.intentions {
        outcomes.count(of_intention(run, wanted));
    }
    for call in &run.calls {
        outcomes.count(of_call(call));
    }
    for seen in &run.rows {
        outcomes.count(match seen.row.outcome {
            log::Outcome::Answered => Kind::RowAnswered,
            log::Outcome::NeverReached => Kind::RowNeverReached,
            log::Outcome::Refused => Kind::RowRefused,
            log::Outcome::UnknownFinal => match run.delivery(&seen.row.delivery) {
                Some(delivery) if run.is_plain(delivery) => Kind::RowUnknownFinalPlain,
                _ => Kind::RowUnknownFinal,
            },
            log::Outcome::Open | log::Outcome::Unknown => Kind::RowOpen,
        });
    }
    outcomes
}

fn of_intention(run: &Run<'_>, wanted: &Wanted) -> Kind {
    let reversal = wanted.intention.reversal_of.is_some();
    let or = |sale, back| if reversal { back } else { sale };
    if wanted.set_aside {
        return or(Kind::SaleSetAside, Kind::ReversalSetAside);
    }
    if wanted.executions.len() > 1 {
        return or(Kind::SaleChargedTwice, Kind::ReversalDoneTwice);
    }
    let mut rows = wanted
        .identities
        .iter()
        .flat_map(|identity| run.identities[*identity].rows.iter().map(|row| &run.rows[*row]));
    if rows
        .any(|seen| seen.row.outcome == log::Outcome::UnknownFinal && seen.row.sale == wanted.intention.sale)
    {
        or(Kind::SaleForAPerson, Kind::ReversalForAPerson)
    } else if !wanted.executions.is_empty() {
        or(Kind::SaleCharged, Kind::ReversalDone)
    } else if !reversal && is_declined(run, wanted) {
        Kind::SaleDeclined
    } else {
        or(Kind::SaleNotCharged, Kind::ReversalNotDone)
    }
}

/// Whether some call for it was told that card or host refused.
fn is_declined(run: &Run<'_>, wanted: &Wanted) -> bool {
    let calls = wanted.identities.iter().flat_map(|identity| run.identities[*identity].calls.iter());
    calls.map(|call| &run.calls[*call]).any(|call| match call.told.as_ref().map(|told| &told.answer) {
        Some(Answer::Message(_, message)) => match &**message {
            Message::Response(response) => {
                matches!(response.condition.as_str(), "Refusal" | "InvalidCard" | "WrongPIN")
            }
            _ => false,
        },
        _ => false,
    })
}

fn of_call(call: &Call<'_>) -> Kind {
    let Some(told) = &call.told else {
        return if call.ended.is_some() { Kind::CallEnded } else { Kind::CallUnanswered };
    };
    match &told.answer {
        Answer::Ok => Kind::CallOk,
        Answer::Status(503) => Kind::Call503,
        Answer::Status(429) => Kind::Call429,
        Answer::Status(_) => Kind::CallOtherStatus,
        Answer::Message(_, message) => match &**message {
            Message::Response(response) => of_response(response),
            Message::Event(Event { reject: Some(Reject::NotDelivered), .. }) => Kind::CallNotDelivered,
            Message::Event(Event { reject: Some(Reject::NoResponse), .. }) => Kind::CallNoResponse,
            Message::Event(_) | Message::Request(_) | Message::Unreadable => Kind::CallRefused,
        },
    }
}

fn of_response(response: &Response) -> Kind {
    match (response.result, response.condition.as_str()) {
        (Says::Success, _) if response.repeated.is_some() => Kind::CallFound,
        (Says::Success, _) => Kind::CallSuccess,
        (_, "InProgress") => Kind::CallInProgress,
        (_, "UnreachableHost") => Kind::CallNotDelivered,
        (_, "NotFound") if response.header.category == "TransactionStatus" => Kind::CallNotFound,
        _ => Kind::CallFailure,
    }
}
