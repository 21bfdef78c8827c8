//! Requests that a terminal may not be asked for now: its Terminal API is switched off, or its store does no business. Only
//! the ledger can tell whether they are repeats of what was sent before (E4, E5), which is answered as ever; all others are
//! told why, and never run (E7).

use super::{Answer, Call, Desk, OPS_MAX, ReplyMode, Waiter};
use crate::ledger::is_repeatable;
use crate::time::Now;
use nexo::{ErrorCondition, MessageCategory};

impl Desk {
    /// A POS asks for what it may not, for the reason `why`: a sentence for its developer. Nothing of it is written to a
    /// link. For the categories of E4 its ServiceID is closed before that is told.
    pub fn handle_barred(&mut self, now: Now, mut call: Call, why: &str) {
        call.wait = call.wait.min(super::WAIT_MAX);
        let category = &call.request.header().category;
        if [MessageCategory::ABORT, MessageCategory::INPUT_UPDATE].contains(category) {
            call.reply = ReplyMode::Sync;
        }
        if self.ops.len() >= OPS_MAX {
            self.tell(call.id, Answer::TryAgain, None);
            return self.conclude(now);
        }
        let new = self.record_of(now, &call);
        let waiter = Waiter::of(&call, now);
        match self.find(now, &new.key) {
            Some(index) => self.meet_open(now, index, new, call.caller.company, waiter),
            None => self.look_for_own(now, new, call.caller.company, vec![waiter], Some(why.into())),
        }
        self.conclude(now);
    }

    /// What a request hears that was barred. While the ledger recovers from a restore an older copy of it may have run before
    /// (E19).
    pub(super) fn barred_answer(&self, now: Now, category: &MessageCategory, why: Box<str>) -> Answer {
        if self.facts.is_recovering(now.wall) && is_repeatable(category) {
            return Answer::NoResponse;
        }
        Answer::Failure { condition: ErrorCondition::NOT_ALLOWED, message: why.into(), exchange: None }
    }
}
