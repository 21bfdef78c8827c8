//! What an assignment does to a terminal, decided by where the terminal is. Pure: the store asks inside its transaction.

use super::Place;
use super::fleet_store::{Assigned, PendingAssignment};

/// What becomes of one terminal of an `assignTerminals` call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is at the target: nothing changes there.
    AlreadyThere,
    /// It moves in this transaction.
    Now,
    /// It moves in the background, within seconds.
    Schedule,
    /// It moves once it has confirmed that it removed the configuration of its present place.
    RemoveConfig,
}

impl Decision {
    /// What the caller is told.
    pub(crate) fn answer(self) -> Assigned {
        match self {
            Decision::AlreadyThere | Decision::Now => Assigned::Done,
            Decision::Schedule => Assigned::Scheduled,
            Decision::RemoveConfig => Assigned::RemoveConfig,
        }
    }
}

/// What becomes of an assignment that was pending when another call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Former {
    /// There was none.
    None,
    /// It says what the call says: it goes on, under its own change ID.
    GoesOn,
    /// The terminal is to stay where it is.
    Cancelled,
    /// The call takes its place.
    Superseded,
}

/// A terminal as an assignment finds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    /// Where it is.
    pub(crate) place: &'a Place,
    /// Whether it holds a configuration that it has to remove first.
    pub(crate) is_boarded: bool,
    /// What is still to happen to it.
    pub(crate) pending: Option<&'a PendingAssignment>,
}

/// Decides about one terminal. `has_several` says whether the call names more than one terminal, each counted once.
pub(crate) fn decide(found: Found<'_>, target: &Place, has_several: bool) -> (Decision, Former) {
    let decision = match (found.is_boarded, has_several) {
        _ if found.place == target => Decision::AlreadyThere,
        (true, _) => Decision::RemoveConfig,
        (false, true) => Decision::Schedule,
        (false, false) => Decision::Now,
    };
    let former = match (found.pending, decision) {
        (None, _) => Former::None,
        (Some(_), Decision::AlreadyThere) => Former::Cancelled,
        // The terminal may have been told already: what it confirms then must still count.
        (Some(pending), Decision::Schedule | Decision::RemoveConfig) if pending.to == *target => {
            Former::GoesOn
        }
        (Some(_), _) => Former::Superseded,
    };
    (decision, former)
}
