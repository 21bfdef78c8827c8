//! The reply to one ledger op: where it goes.

use std::fmt;

use relay::ledger::{LedgerError, Reply};

/// What becomes of the reply to one op. Called once: one that is dropped answers [`LedgerError::Failed`].
pub(crate) struct LedgerAnswer(Option<Box<Answer>>);

type Answer = dyn FnOnce(Result<Reply, LedgerError>) + Send;

impl LedgerAnswer {
    /// Calls this with the reply, on the store's own thread: it must only pass the reply on, and never wait.
    pub(crate) fn call(answer: impl FnOnce(Result<Reply, LedgerError>) + Send + 'static) -> LedgerAnswer {
        LedgerAnswer(Some(Box::new(answer)))
    }

    /// Nobody waits for it.
    pub(crate) fn unheard() -> LedgerAnswer {
        LedgerAnswer(None)
    }

    /// Answers.
    pub(crate) fn give(mut self, reply: Result<Reply, LedgerError>) {
        if let Some(answer) = self.0.take() {
            answer(reply);
        }
    }
}

impl Drop for LedgerAnswer {
    fn drop(&mut self) {
        if let Some(answer) = self.0.take() {
            answer(Err(LedgerError::Failed));
        }
    }
}

impl fmt::Debug for LedgerAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LedgerAnswer")
    }
}
