//! The store's queues. Each op is one transaction, which is applied when its turn comes, and answered.

use std::collections::VecDeque;

use relay::exchange::OpId;
use relay::ledger::{Lane, Op};

#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    money: VecDeque<(OpId, Op)>,
    /// Whoever hands one of these over waits for nothing; they are notes, which are the same when written twice.
    rest: VecDeque<Op>,
}

impl Queue {
    /// Gives the ID back when its answer makes no difference to anybody.
    pub(super) fn push(&mut self, id: OpId, op: Op) -> Option<OpId> {
        match op.lane() {
            Lane::Money => {
                self.money.push_back((id, op));
                None
            }
            Lane::Rest => {
                if !self.rest.contains(&op) {
                    self.rest.push_back(op);
                }
                Some(id)
            }
        }
    }

    pub(super) fn pop_money(&mut self) -> Option<(OpId, Op)> {
        self.money.pop_front()
    }

    pub(super) fn pop(&mut self, lane: Lane) -> Option<Op> {
        match lane {
            Lane::Money => self.money.pop_front().map(|(_, op)| op),
            Lane::Rest => self.rest.pop_front(),
        }
    }

    pub(super) fn next(&self, lane: Lane) -> Option<&Op> {
        match lane {
            Lane::Money => self.money.front().map(|(_, op)| op),
            Lane::Rest => self.rest.front(),
        }
    }

    pub(super) fn len(&self, lane: Lane) -> usize {
        match lane {
            Lane::Money => self.money.len(),
            Lane::Rest => self.rest.len(),
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Queue::default();
    }

    /// All ops, without the desk's numbers for them: it has numbered them in this order.
    pub(super) fn ops(&self) -> (impl Iterator<Item = &Op>, impl Iterator<Item = &Op>) {
        (self.money.iter().map(|(_, op)| op), self.rest.iter())
    }
}

/// Whether this op changes anything.
pub(super) fn writes(op: &Op) -> bool {
    !matches!(op, Op::Look { .. } | Op::FindDelivery(_) | Op::OpenDeliveries(_))
}

/// Whether its answer may hold a record.
pub(super) fn reads(op: &Op) -> bool {
    !writes(op) || matches!(op, Op::Admit(_) | Op::Fence { .. })
}
