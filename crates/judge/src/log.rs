//! What an observer has seen, in the order of time.

use std::time::Duration;

use bytes::Bytes;

/// One run, as far as it was seen.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// In the order in which it happened.
    pub events: Vec<Event>,
}

/// One thing that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Since the beginning of the run.
    pub at: Duration,
    /// What it was.
    pub what: What,
}

/// What can be seen from outside of gateway and terminals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A POS has begun to send this HTTP request. `call` is unique in the run.
    Asked {
        /// Names the call.
        call: u64,
        /// `/sync` or `/async`.
        path: &'static str,
        /// How long the POS waits at most, by its `Prefer` header or without it.
        wait: Duration,
        /// `{"SaleToPOIRequest":{…}}`.
        body: Bytes,
    },
    /// The gateway has read the whole request, and owes it an answer as long as both live. Not seen in every kind of run.
    Arrived {
        /// Which call.
        call: u64,
    },
    /// The gateway has written a whole answer, whether or not its POS came to read it.
    Told {
        /// Which call.
        call: u64,
        /// HTTP status.
        status: u16,
        /// As it was written.
        body: Bytes,
    },
    /// The POS has read the whole answer.
    Heard {
        /// Which call.
        call: u64,
    },
    /// The call has ended for its POS without an answer: it hung up, or the connection broke.
    Ended {
        /// Which call.
        call: u64,
    },
    /// The gateway has handed this text frame to a terminal's link.
    ToTerminal {
        /// Whose link.
        poi: String,
        /// Names the link; unique in the run.
        link: u64,
        /// A JSON object with `action`.
        frame: Bytes,
    },
    /// The gateway has read this text frame from a terminal's link; or a result was handed in by maintenance, written as
    /// the frame that it would be on a link.
    FromTerminal {
        /// Whose.
        poi: String,
        /// Which link; none for maintenance.
        link: Option<u64>,
        /// A JSON object with `action`.
        frame: Bytes,
    },
    /// The gateway has handed this text frame to an Actions terminal's socket. What its desk had for the terminal, and what was
    /// read as the terminal's word, is beside it as [`What::ToTerminal`] and [`What::FromTerminal`].
    ToActions {
        /// Whose socket.
        poi: String,
        /// Names the socket; unique in the run.
        link: u64,
        /// A JSON object.
        frame: Bytes,
    },
    /// The gateway has read this text frame from an Actions terminal's socket.
    FromActions {
        /// Whose socket.
        poi: String,
        /// Which socket.
        link: u64,
        /// A JSON object.
        frame: Bytes,
    },
    /// The gateway has told an Actions desktop this: as a frame, or as what it sees when it looks at its payment.
    ToDesktop {
        /// Which one.
        desktop: String,
        /// A JSON object.
        frame: Bytes,
    },
    /// A desktop has sent this text frame.
    FromDesktop {
        /// Which one.
        desktop: String,
        /// A JSON object.
        frame: Bytes,
    },
    /// One payment of a desktop, as the gateway holds it in the end.
    Transaction {
        /// Whose.
        desktop: String,
        /// `transactionId`; no two payments of a run have the same.
        transaction: String,
        /// The word of the HTTP sibling.
        status: &'static str,
        /// `paymentResponse`.
        response: Option<Bytes>,
        /// The desktop was told, or has not said who it is, so that it has to look itself.
        is_told: bool,
        /// It is being voided.
        is_voiding: bool,
    },
    /// A card was charged, or money was given back: this happened, whatever anybody wrote down or said about it. A JSON
    /// object as in a virtual terminal's journal: `{"delivery","kind":"payment"|{"reversal":{"of"}},"service","sale",
    /// "saleTransaction","poiTransaction","amount","currency","at"}`. Whoever learns of it only later puts it where it
    /// happened: before its result was read, at the latest.
    Executed {
        /// At which terminal.
        poi: String,
        /// What was done.
        execution: Bytes,
    },
    /// A terminal has lost its journal, and boards as a new one.
    JournalLost {
        /// Which terminal.
        poi: String,
    },
    /// A process with a copy of this terminal's journal has taken over. What was delivered and not reported before is
    /// beyond every promise (`docs/terminal-link.md`, 13.10).
    JournalCopied {
        /// Which terminal.
        poi: String,
    },
    /// Something for the timeline only: a fault, a crash, a restart.
    Note {
        /// The terminal that it concerns, if it is one's.
        poi: Option<String>,
        /// One line.
        text: String,
    },
    /// From here on nothing is broken any more, everybody is connected, and what was asked before has ended. What a
    /// TransactionStatus or a repeat says from here on is the last word.
    AtRest,
    /// One exchange, as the ledger holds it in the end.
    Recorded(Row),
}

/// One exchange of the ledger, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// POIID.
    pub poi: String,
    /// ServiceID.
    pub service: String,
    /// SaleID.
    pub sale: String,
    /// MessageCategory.
    pub category: String,
    /// The attempt that counts.
    pub delivery: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The response that would be told to a repeat; none where none may be.
    pub response: Option<Bytes>,
    /// Its end is owed to a webhook.
    pub webhook: bool,
}

/// What the ledger says became of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not decided yet.
    Open,
    /// It may have run.
    Unknown,
    /// It never left the gateway.
    Refused,
    /// Proved that the terminal never had it.
    NeverReached,
    /// The terminal answered.
    Answered,
    /// Nobody can tell any more: for a person.
    UnknownFinal,
}
