//! What is possible in a state.

use relay::fault::{self, Fault};
use relay::ledger::{Lane, Op};

use super::pos::Want;
use super::step::Step;
use super::store::{reads, writes};
use super::world::World;

const LANES: [Lane; 2] = [Lane::Money, Lane::Rest];

impl World {
    /// Everything that may happen next: what happens by itself, calls of the POS, time, and faults, as far as the budget
    /// goes.
    pub(super) fn options(&self) -> Vec<Step> {
        let mut steps = Vec::with_capacity(16);
        self.by_itself(&mut steps);
        self.calls(&mut steps);
        if self.left.ticks > 0 && self.due().is_some() {
            match self.is_busy() {
                true if self.left.faults > 0 => steps.push(Step::LateTick),
                true => {}
                false => steps.push(Step::Tick),
            }
        }
        if self.left.faults > 0 {
            self.faults(&mut steps);
        }
        steps
    }

    /// What happens by itself, sooner or later.
    pub(super) fn by_itself(&self, steps: &mut Vec<Step>) {
        if self.queue.next(Lane::Money).is_some() {
            steps.push(Step::Commit(Lane::Money));
        }
        for (index, socket) in (0u8..).zip(&self.net.sockets) {
            if socket.gateway_open && !socket.up.is_empty() {
                steps.push(Step::Hear(index));
            }
            if socket.terminal_open && !socket.down.is_empty() {
                steps.push(Step::Read(index));
            }
            if socket.woken {
                steps.push(Step::Transmit(index));
            }
            match (socket.gateway_open, socket.terminal_open) {
                (true, true) if socket.probe.is_some() => steps.push(Step::Pong(index)),
                (true, false) if socket.up.is_empty() => steps.push(Step::GatewayNotices(index)),
                (false, true) if socket.down.is_empty() => steps.push(Step::TerminalNotices(index)),
                _ => {}
            }
        }
        if self.machine.next_sync() > 0 {
            steps.push(Step::Sync);
        }
        if self.machine.running().is_some() {
            steps.push(Step::Approve);
        }
        if !self.machine.boarded {
            steps.push(Step::Board);
        }
        if self.machine.may_connect() && !self.net.has_own() {
            steps.push(Step::Connect);
        }
        // What is in the other lane shows only in what is read from the ledger, and after a crash: so it is enough to try
        // both orders then.
        let is_seen = self.queue.next(Lane::Money).is_some_and(reads);
        if self.queue.next(Lane::Rest).is_some() && (is_seen || steps.is_empty()) {
            steps.push(Step::Commit(Lane::Rest));
        }
    }

    /// The POS may pay, send any earlier payment once more, ask about it or call it off, at any time. A new ServiceID it
    /// takes only when it was told that the one before did not run.
    fn calls(&self, steps: &mut Vec<Step>) {
        if self.left.calls == 0 {
            return;
        }
        let services = self.pos.services;
        let anew = self.pos.may_pay_anew();
        for service in 0..services + u8::from(anew) {
            steps.push(Step::Call { want: Want::Payment(service), asynchronous: false });
            if self.left.asynchronous {
                steps.push(Step::Call { want: Want::Payment(service), asynchronous: true });
            }
        }
        for service in 0..services {
            steps.push(Step::Call { want: Want::Status(service), asynchronous: false });
            steps.push(Step::Call { want: Want::Abort(service), asynchronous: false });
        }
        if anew && self.left.faults > 0 {
            steps.push(Step::Overtake { want: Want::Status(services) });
            steps.push(Step::Overtake { want: Want::Abort(services) });
        }
    }

    /// Whether something is under way that normally takes no time.
    fn is_busy(&self) -> bool {
        self.queue.next(Lane::Money).is_some()
            || self.machine.next_sync() > 0
            || self.net.sockets.iter().any(|socket| {
                let pong = socket.is_whole() && socket.probe.is_some();
                socket.woken || !socket.up.is_empty() || !socket.down.is_empty() || pong
            })
    }

    fn faults(&self, steps: &mut Vec<Step>) {
        for (index, socket) in (0u8..).zip(&self.net.sockets).filter(|(_, socket)| socket.is_whole()) {
            for arrive in 0..=count(socket.up.len()) {
                steps.push(Step::CutUnknownToGateway { socket: index, arrive });
            }
            for arrive in 0..=count(socket.down.len()) {
                steps.push(Step::CutUnknownToTerminal { socket: index, arrive });
            }
        }
        let own = self.net.sockets.iter().find(|socket| socket.terminal_open);
        let (up, down) = own.map_or((0, 0), |own| (count(own.up.len()), count(own.down.len())));
        for money in 0..=count(self.queue.len(Lane::Money)) {
            for rest in 0..=count(self.queue.len(Lane::Rest)) {
                for arrive in 0..=down {
                    steps.push(Step::GatewayCrash { money, rest, arrive });
                }
            }
        }
        if fault::is(Fault::HelloWhileOldLinkRead) && own.is_some() {
            steps.push(Step::Redial);
        }
        for arrive in 0..=up {
            for survive in 0..=count(self.machine.unsynced()) {
                steps.push(Step::TerminalCrash { survive, arrive });
            }
            if self.machine.boarded {
                steps.push(Step::JournalLost { arrive });
            }
        }
        for lane in LANES {
            if self.queue.next(lane).is_some() {
                steps.push(Step::CommitFails(lane));
            }
        }
        if let Some(op) = self.queue.next(Lane::Money) {
            if writes(op) {
                steps.push(Step::CommitFailsApplied);
            }
            // For any other op a full queue is no different from a failure.
            if matches!(op, Op::Admit(_)) {
                steps.push(Step::StoreFull);
            }
        }
        for which in 0..count(self.net.heard.len()) {
            steps.push(Step::StaleHello(which));
        }
        for call in self.pos.waiting() {
            steps.push(Step::HangUp(count(call)));
        }
    }
}

fn count(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}
