//! Deliberate faults: each breaks one rule, where that rule is kept, as a real slip would.
//!
//! They are there so that whatever claims to find such a slip can be seen to find it. None of them is in a build without the
//! feature `faults`: there [`is`] is the constant `false`, and neither names nor a switch exist.

#[cfg(feature = "faults")]
mod switch;

#[cfg(feature = "faults")]
pub use switch::{UnknownFault, is, switch, switch_everywhere};

macro_rules! faults {
    ($($name:ident $text:literal: $breaks:literal,)+) => {
        /// One way in which the rules could be broken.
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[cfg_attr(feature = "faults", derive(Debug, PartialOrd, Ord, Hash))]
        pub enum Fault {
            $(#[doc = $breaks] $name,)+
        }

        #[cfg(feature = "faults")]
        impl Fault {
            /// Every one of them.
            pub const ALL: &[Fault] = &[$(Fault::$name),+];

            /// Its name, in lower case with dashes.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Fault::$name => $text,)+
                }
            }

            /// Whether it is one of the Actions API's own machines.
            pub const fn is_of_actions(self) -> bool {
                matches!(
                    self,
                    Fault::PlainResumesNothing
                        | Fault::RecordedToPortEarly
                        | Fault::AnswerOfAnyName
                        | Fault::UnknownIsNotPaid
                        | Fault::VoidedUnproved
                )
            }

            /// What it breaks, in one sentence.
            pub const fn breaks(self) -> &'static str {
                match self {
                    $(Fault::$name => $breaks,)+
                }
            }
        }
    };
}

faults! {
    DeliverTwice "deliver-twice":
        "E10: a delivery that was written but never `received` is queued again when its link is lost, and written to the next one.",
    DropResume "drop-resume":
        "E14: what a `hello` names in `resume` is not looked at.",
    MatchByArrivalOrder "match-by-arrival-order":
        "E15: a result is taken for the oldest exchange that is written, whether it fits or not.",
    RecordedBeforeCommit "recorded-before-commit":
        "E23: the terminal hears `recorded` as soon as its result has come in.",
    IgnoreEpoch "ignore-epoch":
        "E10, E14: what was admitted under a link that was taken over or lost stays queued, and goes to the next one.",
    SettleTwice "settle-twice":
        "E15: any outcome replaces any other.",
    NotFoundWithoutFence "not-found-without-fence":
        "E16: NotFound is told, and the ServiceID stays open.",
    HelloWhileOldLinkRead "hello-while-old-link-read":
        "T3: a terminal says `hello` while it still reads its older link, and starts what comes by that.",
    JournalLostAndBelieved "journal-lost-and-believed":
        "E14: a terminal with another journal than that of the delivery is believed that it never had it.",
    StaleHelloWins "stale-hello-wins":
        "E14: an old `hello` that comes late takes over from a newer link.",
    ExecuteBeforeJournal "execute-before-journal":
        "T4: a terminal starts what was delivered before it has stored it.",
    UnreachableAfterDelivery "unreachable-after-delivery":
        "E10: a POS whose time is over hears that its request did not reach the terminal, though it was written.",
    RepeatAnsweredByPresence "repeat-answered-by-presence":
        "E4: while no link stands, a repeat is told that it did not reach the terminal, whatever became of the first.",
    ReplayOfRedacted "replay-of-redacted":
        "E24: a response that redaction has changed is told as the terminal's own.",
    AbortOvertakes "abort-overtakes":
        "E9, E20: an Abort takes back nothing, and goes to the terminal at once, ahead of what it should stop.",
    PlainResumesNothing "plain-resumes-nothing":
        "E26: a plain Actions terminal that comes back is taken for one that never got what was written to it.",
    RecordedToPortEarly "recorded-to-port-early":
        "E23: an Actions terminal hears `paymentRecorded` as soon as its result has come in.",
    AnswerOfAnyName "answer-of-any-name":
        "E15: an Actions terminal's answer is taken for what it was sent last, whatever that was called.",
    UnknownIsNotPaid "unknown-is-not-paid":
        "E25: a desktop that has waited for too long is told that nothing was charged.",
    VoidedUnproved "voided-unproved":
        "E25: a late success counts as voided before its Reversal was sent.",
    AsyncOkWithoutReceived "async-ok-without-received":
        "E21: a call that does not wait for the end hears `ok` as soon as its request is admitted.",
}

/// Whether this fault is on: never, in a build without the feature `faults`.
#[cfg(not(feature = "faults"))]
#[inline]
pub const fn is(_: Fault) -> bool {
    false
}
