//! The reply to one ledger op, to be awaited.

use std::pin::Pin;
use std::task::{Context, Poll};

use relay::ledger::{LedgerError, Reply};
use tokio::sync::oneshot;

/// Waits for the reply to one op. Dropping it withdraws nothing: the op runs all the same.
#[derive(Debug)]
pub(crate) struct LedgerTicket(State);

#[derive(Debug)]
enum State {
    Waiting(oneshot::Receiver<Result<Reply, LedgerError>>),
    Refused(LedgerError),
}

/// The other end of a [`LedgerTicket`]. One that is dropped answers [`LedgerError::Failed`].
#[derive(Debug)]
pub(crate) struct TicketSender(oneshot::Sender<Result<Reply, LedgerError>>);

impl LedgerTicket {
    /// Both ends of a ticket.
    pub(crate) fn pair() -> (TicketSender, LedgerTicket) {
        let (sender, receiver) = oneshot::channel();
        (TicketSender(sender), LedgerTicket(State::Waiting(receiver)))
    }

    /// A ticket for an op that was not taken.
    pub(crate) fn refused(error: LedgerError) -> LedgerTicket {
        LedgerTicket(State::Refused(error))
    }
}

impl TicketSender {
    /// Answers; a ticket that nobody holds any more is no matter.
    pub(crate) fn answer(self, reply: Result<Reply, LedgerError>) {
        let _ = self.0.send(reply);
    }
}

impl Future for LedgerTicket {
    type Output = Result<Reply, LedgerError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Waiting(receiver) => {
                Pin::new(receiver).poll(context).map(|reply| reply.unwrap_or(Err(LedgerError::Failed)))
            }
            State::Refused(error) => Poll::Ready(Err(*error)),
        }
    }
}
