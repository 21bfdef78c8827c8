//! How often what happened, for the tables.

use std::collections::BTreeMap;

/// Kinds of things that are counted.
macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Something that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Count {
            $($(#[$doc])* $name,)*
        }

        impl Count {
            pub(crate) const ALL: &[Count] = &[$(Count::$name,)*];

            pub(crate) fn text(self) -> &'static str {
                match self {
                    $(Count::$name => $text,)*
                }
            }
        }
    };
}

counts! {
    // What is to be paid.
    Payment = "payments wanted",
    Reversal = "reversals wanted",
    // What a POS does.
    NewService = "POS: new ServiceID after a failure or NotFound",
    SameService = "POS: same ServiceID again",
    HangUp = "POS: hung up before the answer",
    Impatient = "POS: waits less than 150 s",
    LateCopy = "POS: a copy of a request arrives late",
    Async = "POS: asynchronous request",
    Abort = "POS: Abort while it waits",
    Status = "POS: TransactionStatus",
    Peek = "POS: TransactionStatus while another call waits",
    Nobody = "POS: payment for a terminal that does not exist",
    Clash = "POS: another body under a used ServiceID",
    OtherCategory = "POS: diagnosis, display or input update",
    AsideAgain = "POS: another category under the same ServiceID again",
    HoldsCardData = "POS: card data where it comes back in the answer",
    // The network.
    LinkReset = "network: link cut, noticed by both",
    LinkNoticedByTerminal = "network: link cut, noticed by the terminal alone",
    LinkNoticedByGateway = "network: link cut, noticed by the gateway alone",
    LinkHalfOpen = "network: link half open",
    OtherNetwork = "network: terminal changes to another one, its old link half open",
    Offline = "network: a terminal finds none for a minute and more",
    FrameTorn = "network: frame cut at some byte",
    RequestCut = "network: POS request cut",
    AnswerCut = "network: answer to the POS cut",
    CallHalfOpen = "network: POS connection half open",
    SlowTerminal = "network: terminal reads nothing for a while",
    SlowGateway = "network: gateway reads nothing for a while",
    TooSlow = "network: link closed for too slow a reader",
    DialLost = "network: dial or HTTP call of a terminal lost",
    // Connections that should not be there.
    StaleHello = "link: stale hello",
    HelloAgain = "link: the same hello on a second link",
    SilentLink = "link: opened, and no hello",
    TwoLinks = "link: a second link while the first is still read",
    Displaced = "socket: an Actions terminal's newer one ends an older one",
    // The gateway.
    GatewayKilled = "gateway: killed",
    GatewayPowerCut = "gateway: power cut, sockets half open",
    GatewayCrashAfterCommit = "gateway: died with a batch that is on disk",
    GatewayCrashBeforeCommit = "gateway: died with a batch that is not",
    CommitFails = "disk: transactions fail for a while",
    CommitFailsLate = "disk: transactions fail for a while, and are on disk",
    CommitFlickers = "disk: each transaction may fail, for a while",
    CommitStalls = "disk: nothing is committed for a while",
    QueueFull = "disk: op refused by a full queue",
    CommitFailed = "disk: op told that it failed",
    GatewayClockForward = "clock: gateway's jumps forward",
    GatewayClockBack = "clock: gateway's jumps back",
    // The terminal.
    TerminalKilled = "terminal: killed",
    TerminalCrashAfterSync = "terminal: died with entries that are on disk",
    TerminalCrashBeforeSync = "terminal: died with entries that are not",
    TerminalDiskFails = "terminal: journal can't be written",
    TerminalDiskStalls = "terminal: journal takes nothing for a while",
    JournalLost = "terminal: journal lost, boarded anew",
    JournalCopied = "terminal: a copy of its journal takes over",
    BoardedAgain = "terminal: token ended, boarded with the same journal",
    TerminalClockForward = "clock: terminal's jumps forward",
    TerminalClockBack = "clock: terminal's jumps back",
    ResultAgain = "terminal: a result handed in once more",
    ResultDiffers = "terminal: a second, different result",
    ResultMisfits = "terminal: a result that does not fit",
    ResultOfUndelivered = "terminal: a result for what was not delivered",
    ResultOfNobody = "terminal: a result for an unknown delivery",
    Maintenance = "terminal: results handed in by maintenance",
    PlainAnswerLost = "terminal: a plain one forgets an answer",
    LookFailed = "disk: a look for an Actions terminal fails",
    // Desktops.
    DesktopPayment = "desktop: payments wanted",
    DesktopRepeats = "desktop: the same payment once more",
    DesktopReads = "desktop: a success is looked at",
    DesktopCut = "desktop: connection cut or half open",
    DesktopToldUnknown = "desktop: told that the terminal is unreachable",
    PursuitAsks = "pursuit: asks the ledger",
    PursuitResumed = "pursuit: taken up after a restart",
    Voided = "pursuit: a late success voided",
    VoidFailed = "pursuit: a void that could not be",
    // What was seen.
    FoundPresent = "seen: check finds the terminal",
    FoundAbsent = "seen: check does not",
    DeskForgotten = "seen: idle desk forgotten",
    Alarm = "seen: alarm for a person",
    ForAPerson = "seen: POS gives up, a person has to look",
}

/// Counts by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally(BTreeMap<Count, u64>);

impl Tally {
    pub(crate) fn count(&mut self, what: Count) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(crate) fn of(&self, what: Count) -> u64 {
        self.0.get(&what).copied().unwrap_or_default()
    }

    pub(crate) fn add(&mut self, other: &Tally) {
        for (what, count) in &other.0 {
            *self.0.entry(*what).or_default() += count;
        }
    }
}
