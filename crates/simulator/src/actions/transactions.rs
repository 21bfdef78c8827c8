//! Payments of Actions desktops on the simulated disk, with the semantics of the real store.

use bytes::Bytes;
use relay::WallMs;
use relay::actions::{End, PaymentAsk};

/// One `payment` of a desktop.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) facts: Facts,
    pub(crate) status: &'static str,
    pub(crate) is_complete: bool,
    /// The `paymentResponse`.
    pub(crate) response: Option<Bytes>,
    pub(crate) late: bool,
    /// Counts what there was to tell.
    pub(crate) edition: u32,
    pub(crate) is_told: bool,
    is_read: bool,
    pub(crate) void: Void,
}

/// What of it never changes.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) desktop: usize,
    pub(crate) ask: PaymentAsk,
    pub(crate) terminal: usize,
    /// The connection that asked.
    pub(crate) connection: String,
    pub(crate) begun: WallMs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Void {
    None,
    Pending,
    Done,
    Failed,
}

/// One change, wholly done or not at all.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Begin(Box<Facts>),
    /// It is known to be read.
    Read(usize),
    Runs(usize),
    AwaitsReconnect(usize),
    GivenUp(usize, Bytes),
    End(usize, End, Bytes),
    Told(usize, u32),
    Voided(usize, bool),
}

#[derive(Clone, Debug)]
pub(crate) enum Changed {
    Begun(usize),
    Repeated(usize),
    Clashes,
    /// Whether it may be shown as a success.
    Read(bool),
    Done,
}

/// All of them; their places are their names.
#[derive(Debug, Default)]
pub(crate) struct Transactions(pub(crate) Vec<Transaction>);

impl Transactions {
    pub(crate) fn apply(&mut self, change: Change) -> Changed {
        match change {
            Change::Begin(facts) => return self.begin(*facts),
            Change::Read(number) => {
                let Some(it) = self.0.get_mut(number) else { return Changed::Read(false) };
                let may = it.status == "COMPLETED" && matches!(it.void, Void::None | Void::Failed);
                it.is_read |= may;
                return Changed::Read(may);
            }
            Change::Runs(number) => self.progress(number, "PENDING", None),
            Change::AwaitsReconnect(number) => self.progress(number, "AWAITING_RECONNECT", None),
            Change::GivenUp(number, response) => self.progress(number, "FAILED", Some(response)),
            Change::End(number, end, response) => self.end(number, end, response),
            Change::Told(number, edition) => {
                if let Some(it) = self.0.get_mut(number).filter(|it| it.edition == edition && edition > 0) {
                    it.is_told = true;
                }
            }
            Change::Voided(number, is_done) => {
                if let Some(it) = self.0.get_mut(number).filter(|it| it.void == Void::Pending) {
                    it.void = if is_done { Void::Done } else { Void::Failed };
                    it.status = if is_done { "VOIDED" } else { it.status };
                    it.edition += 1;
                    it.is_told = false;
                }
            }
        }
        Changed::Done
    }

    fn begin(&mut self, facts: Facts) -> Changed {
        let same = |it: &Transaction| {
            it.facts.desktop == facts.desktop && it.facts.ask.transaction() == facts.ask.transaction()
        };
        if let Some(found) = self.0.iter().rposition(same) {
            let is_same =
                self.0[found].facts.ask == facts.ask && self.0[found].facts.terminal == facts.terminal;
            return if is_same { Changed::Repeated(found) } else { Changed::Clashes };
        }
        self.0.push(Transaction {
            facts,
            status: "PENDING",
            is_complete: false,
            response: None,
            late: false,
            edition: 0,
            is_told: false,
            is_read: false,
            void: Void::None,
        });
        Changed::Begun(self.0.len() - 1)
    }

    fn progress(&mut self, number: usize, status: &'static str, response: Option<Bytes>) {
        let runs = |it: &&mut Transaction| matches!(it.status, "PENDING" | "AWAITING_RECONNECT");
        let Some(it) = self.0.get_mut(number).filter(runs) else { return };
        it.status = status;
        if response.is_some() {
            it.response = response;
            it.edition += 1;
        }
    }

    fn end(&mut self, number: usize, end: End, response: Bytes) {
        let Some(it) = self.0.get_mut(number).filter(|it| !it.is_complete) else { return };
        it.is_complete = true;
        it.status = match end {
            End::Failed => "FAILED",
            End::Cancelled => "CANCELLED",
            End::Paid(_) | End::PaidLate(_) | End::PaidLateToVoid(_) => "COMPLETED",
        };
        it.late = matches!(end, End::PaidLate(_) | End::PaidLateToVoid(_));
        if matches!(end, End::PaidLateToVoid(_)) && !it.is_read {
            it.void = Void::Pending;
        }
        it.response = Some(response);
        it.edition += 1;
        it.is_told = false;
    }
}
