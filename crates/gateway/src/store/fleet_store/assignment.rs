//! Assignments: asked for, pending, done.

use nexo::PoiId;
use relay::{ChangeId, WallMs};

use crate::store::{CompanyCode, CredentialId, Place, Scope, Terminal};

/// A call to assign terminals.
#[derive(Clone, Debug)]
pub(crate) struct Assign {
    /// Whose terminals.
    pub(crate) company: CompanyCode,
    /// What the caller reaches: the terminals and the target have to be in it.
    pub(crate) scope: Scope,
    /// Which ones; one that is named twice counts once.
    pub(crate) terminals: Vec<PoiId>,
    /// Where to.
    pub(crate) target: Place,
    /// Who asks; none for the operator of the installation.
    pub(crate) by: Option<CredentialId>,
    /// When.
    pub(crate) at: WallMs,
}

/// What the caller is told about one terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assigned {
    /// It is there.
    Done,
    /// It will be there within seconds.
    Scheduled,
    /// It will be there once it has removed its configuration.
    RemoveConfig,
}

impl Assigned {
    const ALL: [Assigned; 3] = [Self::Done, Self::Scheduled, Self::RemoveConfig];

    /// As it is written on the wire.
    ///
    /// Source: POS Terminal Management API, `assignTerminals`, `results`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Done => "Done",
            Self::Scheduled => "AssignmentScheduled",
            Self::RemoveConfig => "RemoveConfigScheduled",
        }
    }

    /// Reads what [`as_str`](Self::as_str) writes.
    pub(crate) fn parse(text: &str) -> Option<Assigned> {
        Self::ALL.into_iter().find(|assigned| assigned.as_str() == text)
    }
}

/// An assignment that is still to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingAssignment {
    /// Its name.
    pub(crate) change: ChangeId,
    /// Where the terminal will be.
    pub(crate) to: Place,
    /// Whom it waits for.
    pub(crate) state: PendingState,
    /// When it was asked for.
    pub(crate) requested: WallMs,
    /// When the terminal was first told.
    pub(crate) told: Option<WallMs>,
}

/// Whom a pending assignment waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PendingState {
    /// The gateway's own background work.
    Scheduled,
    /// The terminal, which has to remove its configuration.
    AwaitingTerminal,
}

/// An assignment that the background work is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DueAssignment {
    /// Its name.
    pub(crate) change: ChangeId,
    /// Whose.
    pub(crate) poi: PoiId,
}

/// Who says that an assignment can be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompletedBy {
    /// The background work, for [`PendingState::Scheduled`].
    Background,
    /// The terminal, for [`PendingState::AwaitingTerminal`]: it has removed its configuration.
    Terminal,
}

/// An assignment that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Completed {
    /// The terminal as it is now.
    pub(crate) terminal: Terminal,
    /// Where it was.
    pub(crate) from: Place,
    /// Where the assignment has brought it.
    pub(crate) to: Place,
    /// Whether its token ended with that: then its link has to be closed.
    pub(crate) token_ended: bool,
    /// It had been done before; nothing was changed now.
    pub(crate) again: bool,
}
