//! What the terminal's disk keeps, and what is left when a program is killed or a journal lost.

use relay::ledger::Lane;

use super::invariant::Violation;
use super::log::Log;
use super::pos::Call;
use super::print::Part;
use super::script::{journal_id, script};
use super::world::{Weakness, World, new_desk};

impl World {
    /// The journal is synced up to the next entry that something waits for.
    pub(super) fn sync(&mut self, log: &mut Log) -> Result<(), Violation> {
        let stored = self.machine.edit().sync(self.now, log);
        self.seen.note_stored(stored.iter(), &self.ledger)?;
        self.carry_out_acts(log)
    }

    pub(super) fn crash_gateway(
        &mut self,
        money: u8,
        rest: u8,
        arrive: u8,
        log: &mut Log,
    ) -> Result<(), Violation> {
        for (lane, applied) in [(Lane::Money, money), (Lane::Rest, rest)] {
            for _ in 0..applied {
                if let Some(op) = self.queue.edit().pop(lane) {
                    self.apply(op, log)?;
                }
            }
        }
        self.queue.edit().clear();
        if self.weakness == Weakness::ForgetfulStore {
            let mut ledger = World::absent(self.left, self.weakness).ledger;
            std::mem::swap(&mut self.ledger, &mut ledger);
            self.ledger.edit().board(script().poi.clone(), journal_id(self.machine.journal), self.now.wall);
        }
        for socket in &mut self.net.edit().sockets {
            socket.down.truncate(usize::from(arrive));
            socket.end_at_gateway();
        }
        for asked in &mut self.pos.edit().asked {
            if asked.call == Call::Waiting {
                asked.call = Call::Lost;
            }
        }
        self.desk = Part::new(new_desk(self.now));
        Ok(())
    }

    pub(super) fn crash_terminal(
        &mut self,
        survive: usize,
        arrive: u8,
        log: &mut Log,
    ) -> Result<(), Violation> {
        if self.weakness == Weakness::ForgetfulDisk {
            self.machine.edit().tear_journal();
        }
        let stored = self.machine.edit().restart(self.now, survive, log);
        self.seen.note_stored(stored.iter(), &self.ledger)?;
        self.leave_sockets(arrive);
        self.carry_out_acts(log)
    }

    /// The terminal's program has ended, and with it its end of its socket.
    pub(super) fn leave_sockets(&mut self, arrive: u8) {
        for socket in self.net.edit().sockets.iter_mut().filter(|socket| socket.terminal_open) {
            socket.up.truncate(usize::from(arrive));
            socket.end_at_terminal();
        }
    }

    pub(super) fn board(&mut self, log: &mut Log) -> Result<(), Violation> {
        let machine = self.machine.edit();
        machine.boarded = true;
        let journal = journal_id(machine.journal);
        self.ledger.edit().board(script().poi.clone(), journal, self.now.wall);
        let open = self.net.sockets.iter().filter(|socket| socket.gateway_open);
        let open: Vec<_> = open.map(|socket| socket.id.clone()).collect();
        self.desk.edit().handle_token_ended(self.now, open);
        self.drain(log)
    }
}
