//! What happened in a fleet, for those who are told of it later.

use nexo::PoiId;
use relay::WallMs;

use crate::store::CompanyCode;

/// Defines the kinds with their words.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $word:literal,)+) => {
        /// What an event is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum EventKind {
            $($(#[$doc])* $kind,)+
        }

        impl EventKind {
            /// As it is kept.
            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)+
                }
            }

            /// Reads what [`as_str`](Self::as_str) writes.
            pub(crate) fn parse(text: &str) -> Option<EventKind> {
                match text {
                    $($word => Some(Self::$kind),)+
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// An assignment is done: `changeId`, `result` (what the caller was told), `assignedToAccount`, `assignedToStore`?,
    /// `assignedToStoreId`?, `eventDate` (`epochMs`, `timeZone`), `pspReference`, `uniqueTerminalId`.
    AssignmentComplete = "assignment_complete",
    /// A terminal has got a token by boarding: `uniqueTerminalId`, `merchantAccount`?, `store`?, `storeId`?.
    TerminalBoarded = "terminal_boarded",
    /// Settings were changed: `level` (`company`, `merchant`, `store`, `terminal`), `companyAccount`, `merchantAccount`?,
    /// `store`?, `storeId`?, `uniqueTerminalId`?, `user`, `revision`, `members`.
    SettingsModified = "settings_modified",
    /// One token suddenly shows another kind of firmware, or another network.
    TokenMoved = "token_moved",
    /// A token was ended by somebody: `tokenId`, `user`.
    TokenRevoked = "token_revoked",
    /// A token has taken another one's place: `tokenId`, `formerTokenId`.
    TokenRotated = "token_rotated",
    /// A terminal is in the fleet now: `uniqueTerminalId`, `user`; or, without a terminal, `import` and `count`.
    TerminalAdded = "terminal_added",
    /// A terminal has left the fleet: `uniqueTerminalId`, `user`.
    TerminalRetired = "terminal_retired",
}

/// An event on its way into the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewFleetEvent {
    /// When it happened.
    pub(crate) at: WallMs,
    /// Whose fleet.
    pub(crate) company: CompanyCode,
    /// Which terminal, if it is about one.
    pub(crate) poi: Option<PoiId>,
    /// What it is about.
    pub(crate) kind: EventKind,
    /// The rest: a JSON object.
    pub(crate) data: serde_json::Value,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FleetEvent {
    /// Its number: later ones have higher ones, of whichever company.
    pub(crate) seq: u64,
    /// What happened.
    pub(crate) event: NewFleetEvent,
}
