//! What can happen next.

use std::fmt;

use relay::ledger::Lane;

use super::pos::Want;
use super::script::service_name;

/// One event. Sockets and calls are named by their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    // What happens by itself, sooner or later.
    /// The POS makes a call; it may be a repeat, and then also a copy that was long under way.
    Call { want: Want, asynchronous: bool },
    /// The store applies the first op of a lane, and the desk hears so.
    Commit(Lane),
    /// The gateway takes the next frame from this socket.
    Hear(u8),
    /// The terminal takes the next frame from this socket.
    Read(u8),
    /// This socket of the gateway takes the next thing that the desk has for it.
    Transmit(u8),
    /// The terminal answers a ping.
    Pong(u8),
    /// The gateway learns that this socket is dead.
    GatewayNotices(u8),
    /// The terminal learns that this socket is dead.
    TerminalNotices(u8),
    /// The terminal begins to connect.
    Connect,
    /// The next entry of the journal is on the disk.
    Sync,
    /// The card is charged.
    Approve,
    /// The terminal is boarded with its new journal.
    Board,
    /// Nothing else is under way, and time passes until something is due.
    Tick,
    // Faults.
    /// Something under way takes longer than the next deadline.
    LateTick,
    /// The link breaks, and the gateway does not know; so many frames on their way to it arrive still.
    CutUnknownToGateway { socket: u8, arrive: u8 },
    /// The link breaks, and the terminal does not know; so many frames on their way to it arrive still.
    CutUnknownToTerminal { socket: u8, arrive: u8 },
    /// The terminal dials anew, and goes on reading its older link: only where [`relay::fault`] has it so. What a terminal
    /// does that gives up its link is [`Step::CutUnknownToGateway`].
    Redial,
    /// The gateway is killed and started again: so many ops of each lane were applied, and none answered. So many frames
    /// on their way to the terminal arrive still.
    GatewayCrash { money: u8, rest: u8, arrive: u8 },
    /// The terminal is killed and started again: so many entries that were not synced are on the disk all the same. So
    /// many frames on their way to the gateway arrive still.
    TerminalCrash { survive: u8, arrive: u8 },
    /// The first op of a lane fails.
    CommitFails(Lane),
    /// The first op of the money lane is applied, and the desk hears that it failed.
    CommitFailsApplied,
    /// The first op of the money lane is not taken, because the queue is full.
    StoreFull,
    /// The terminal loses its journal; so many frames on their way to the gateway arrive still.
    JournalLost { arrive: u8 },
    /// A `hello` that was heard before comes again, from nobody.
    StaleHello(u8),
    /// The POS of this call hangs up.
    HangUp(u8),
    /// A question or an Abort comes before the payment that it is about, which is still under way.
    Overtake { want: Want },
}

/// The kinds of faults, for the table of how often each was tried.
pub(super) const FAULTS: [&str; 13] = [
    "late",
    "cut, gateway learns late",
    "cut, terminal learns late",
    "gateway crash",
    "terminal crash",
    "commit fails",
    "commit fails, applied",
    "store full",
    "journal lost",
    "stale hello",
    "hang-up",
    "dials beside its link",
    "call overtakes a payment",
];

impl Step {
    /// Which of [`FAULTS`] it is, if it is one.
    pub(super) fn fault(self) -> Option<usize> {
        Some(match self {
            Step::LateTick => 0,
            Step::CutUnknownToGateway { .. } => 1,
            Step::CutUnknownToTerminal { .. } => 2,
            Step::GatewayCrash { .. } => 3,
            Step::TerminalCrash { .. } => 4,
            Step::CommitFails(_) => 5,
            Step::CommitFailsApplied => 6,
            Step::StoreFull => 7,
            Step::JournalLost { .. } => 8,
            Step::StaleHello(_) => 9,
            Step::HangUp(_) => 10,
            Step::Redial => 11,
            Step::Overtake { .. } => 12,
            _ => return None,
        })
    }

    pub(super) fn is_call(self) -> bool {
        matches!(self, Step::Call { .. })
    }

    pub(super) fn is_tick(self) -> bool {
        matches!(self, Step::Tick | Step::LateTick)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Call { want, asynchronous } => {
                let how = if *asynchronous { ", and does not wait for the end" } else { "" };
                match want {
                    Want::Payment(service) => write!(f, "POS sends Payment {}{how}", service_name(*service)),
                    Want::Status(service) => {
                        write!(f, "POS sends TransactionStatus about {}", service_name(*service))
                    }
                    Want::Abort(service) => write!(f, "POS sends Abort of {}", service_name(*service)),
                }
            }
            Step::Commit(Lane::Money) => write!(f, "store applies the next op and answers"),
            Step::Commit(Lane::Rest) => write!(f, "store applies the next note and answers"),
            Step::Hear(socket) => write!(f, "gateway reads from socket {socket}"),
            Step::Read(socket) => write!(f, "terminal reads from socket {socket}"),
            Step::Transmit(socket) => write!(f, "gateway writes to socket {socket}"),
            Step::Pong(_) => write!(f, "terminal answers the ping"),
            Step::GatewayNotices(socket) => write!(f, "gateway learns that socket {socket} is dead"),
            Step::TerminalNotices(socket) => write!(f, "terminal learns that socket {socket} is dead"),
            Step::Connect => write!(f, "terminal begins to connect"),
            Step::Sync => write!(f, "terminal's disk syncs an entry"),
            Step::Approve => write!(f, "CARD IS CHARGED"),
            Step::Board => write!(f, "terminal is boarded with its new journal"),
            Step::Tick => write!(f, "time passes"),
            Step::LateTick => write!(f, "FAULT: time passes while something is still under way"),
            Step::CutUnknownToGateway { socket, arrive } => {
                write!(
                    f,
                    "FAULT: socket {socket} breaks, unknown to the gateway, for which {arrive} frames arrive"
                )
            }
            Step::CutUnknownToTerminal { socket, arrive } => {
                write!(
                    f,
                    "FAULT: socket {socket} breaks, unknown to the terminal, for which {arrive} frames arrive"
                )
            }
            Step::GatewayCrash { money, rest, arrive } => write!(
                f,
                "FAULT: gateway is killed; {money} of its ops and {rest} of its notes were applied, {arrive} frames arrive"
            ),
            Step::TerminalCrash { survive, arrive } => {
                write!(
                    f,
                    "FAULT: terminal is killed; {survive} unsynced entries are on its disk, {arrive} frames arrive"
                )
            }
            Step::CommitFails(_) => write!(f, "FAULT: the next op fails"),
            Step::CommitFailsApplied => write!(f, "FAULT: the next op is applied, and reported as failed"),
            Step::StoreFull => write!(f, "FAULT: the next op is not taken, the queue is full"),
            Step::Redial => write!(f, "FAULT: terminal dials anew, beside its link"),
            Step::JournalLost { .. } => write!(f, "FAULT: terminal loses its journal"),
            Step::StaleHello(_) => write!(f, "FAULT: an old hello comes again"),
            Step::Overtake { want } => {
                let what = if matches!(want, Want::Abort(_)) { "Abort" } else { "TransactionStatus" };
                let service = service_name(want.service());
                write!(f, "FAULT: {what} about {service} comes before Payment {service}")
            }
            Step::HangUp(call) => write!(f, "FAULT: POS hangs up call {call}"),
        }
    }
}
