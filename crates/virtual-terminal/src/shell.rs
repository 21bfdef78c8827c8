//! The loop of one terminal: it waits for what happens, hands it to the machine, and carries out what that asks for.

use std::future::{Future, pending};
use std::pin::Pin;

use nexo::PoiId;
use relay::CloseReason;
use relay::terminal::Execution;
use tokio::sync::{broadcast, mpsc, watch};

use crate::clock::Clock;
use crate::http::Http;
use crate::machine::{Action, Boarded, CallError, Machine, MaintenanceAnswer, Notice, State};
use crate::socket::{Incoming, Socket};
use crate::writer::{Writer, Written};

type Call<T> = Pin<Box<dyn Future<Output = Result<T, CallError>> + Send>>;

/// What the owner of a handle asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    Stop,
    Unplug,
}

/// One terminal that runs.
pub(crate) struct Shell {
    poi_id: PoiId,
    machine: Machine,
    writer: Writer,
    http: Http,
    clock: Clock,
    link: Link,
    boarding: Option<Call<Boarded>>,
    maintenance: Option<Call<MaintenanceAnswer>>,
    shown: Shown,
}

/// What a terminal's handle can see of it.
pub(crate) struct Shown {
    pub(crate) state: watch::Sender<State>,
    /// A request runs, so that others are answered *busy*.
    pub(crate) busy: watch::Sender<bool>,
    pub(crate) executions: watch::Sender<Vec<Execution>>,
    pub(crate) notices: broadcast::Sender<Notice>,
}

enum Link {
    Down,
    Opening { attempt: u64, opening: Call<Box<Socket>> },
    Up(Box<Socket>),
}

enum Event {
    Command(Option<Command>),
    Written(Written),
    Boarded(Result<Boarded, CallError>),
    Opened(u64, Result<Box<Socket>, CallError>),
    Incoming(Incoming),
    Maintained(Result<MaintenanceAnswer, CallError>),
    Time,
}

impl Link {
    /// What happens next at the link; never, if nothing can. Cancel safe.
    async fn wait(&mut self) -> Event {
        match self {
            Link::Down => pending().await,
            Link::Opening { attempt, opening } => Event::Opened(*attempt, opening.await),
            Link::Up(socket) => Event::Incoming(socket.next().await),
        }
    }

    fn take(&mut self) -> Option<Box<Socket>> {
        match std::mem::replace(self, Link::Down) {
            Link::Up(socket) => Some(socket),
            Link::Down | Link::Opening { .. } => None,
        }
    }
}

impl Shell {
    pub(crate) fn new(
        poi_id: PoiId,
        machine: Machine,
        writer: Writer,
        http: Http,
        clock: Clock,
        shown: Shown,
    ) -> Shell {
        let link = Link::Down;
        Shell { poi_id, machine, writer, http, clock, link, boarding: None, maintenance: None, shown }
    }

    /// Runs until it is told to stop, or its handle is dropped.
    pub(crate) async fn run(mut self, mut orders: mpsc::Receiver<Command>) {
        loop {
            self.settle().await;
            if self.machine.is_over(self.clock.now()) {
                break;
            }
            let due = self.machine.poll_timeout().map(|due| self.clock.instant(due));
            let reading = !self.machine.is_stopping();
            let event = tokio::select! {
                command = orders.recv(), if reading => Event::Command(command),
                written = self.writer.wait() => Event::Written(written),
                event = self.link.wait(), if reading => event,
                answer = ended(&mut self.boarding), if reading => Event::Boarded(answer),
                answer = ended(&mut self.maintenance) => Event::Maintained(answer),
                () = sleep_until(due) => Event::Time,
            };
            if let Event::Command(Some(Command::Unplug) | None) = event {
                self.writer.end().await;
                return;
            }
            self.handle(event).await;
        }
        if let Some(socket) = self.link.take() {
            socket.close(&CloseReason::Normal).await;
        }
        self.writer.end().await;
    }

    async fn handle(&mut self, event: Event) {
        let now = self.clock.now();
        let machine = &mut self.machine;
        match event {
            Event::Command(Some(Command::Stop)) => machine.handle_stop(now),
            Event::Command(Some(Command::Unplug) | None) => {}
            Event::Written(Written::Stored(seq)) => machine.handle_stored(now, seq),
            Event::Written(Written::Failed(error)) => machine.handle_store_failed(now, error.to_string()),
            Event::Boarded(answer) => machine.handle_boarded(now, answer),
            Event::Maintained(answer) => machine.handle_maintained(now, answer),
            Event::Time => machine.handle_timeout(now),
            Event::Opened(attempt, Ok(socket)) => {
                self.link = Link::Up(socket);
                machine.handle_opened(now, attempt, Ok(()));
            }
            Event::Opened(attempt, Err(error)) => {
                self.link = Link::Down;
                machine.handle_opened(now, attempt, Err(error));
            }
            Event::Incoming(Incoming::Text(frame)) => machine.handle_text(now, frame),
            Event::Incoming(Incoming::Binary) => machine.handle_binary(now),
            Event::Incoming(Incoming::TooLarge) => machine.handle_too_large(now),
            Event::Incoming(Incoming::Alive) => machine.handle_alive(now),
            Event::Incoming(Incoming::Ended(reason)) => self.end_link(reason).await,
        }
    }

    /// Carries out what the machine asks for, until it asks for nothing.
    async fn settle(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            self.carry_out(action).await;
        }
        self.writer.begin(|| self.machine.whole());
        let executions = self.machine.executions();
        self.shown.executions.send_if_modified(|shown| catch_up(shown, executions));
        let busy = self.machine.running().is_some();
        self.shown.busy.send_if_modified(|shown| std::mem::replace(shown, busy) != busy);
    }

    async fn carry_out(&mut self, action: Action) {
        match action {
            Action::Append { record, seq } => self.writer.push(record, seq),
            Action::Rewrite { seq } => self.writer.rewrite(seq),
            Action::Dial { attempt, token } => {
                let http = self.http.clone();
                let opening = Box::pin(async move { http.connect(&token).await });
                self.link = Link::Opening { attempt, opening };
            }
            Action::Send(frame) => {
                if let Link::Up(socket) = &mut self.link
                    && !socket.send(frame).await
                {
                    self.end_link(None).await;
                }
            }
            Action::Ping => {
                if let Link::Up(socket) = &mut self.link
                    && !socket.ping().await
                {
                    self.end_link(None).await;
                }
            }
            Action::Close(reason) => {
                if let Some(socket) = self.link.take() {
                    socket.close(&reason).await;
                }
            }
            Action::Board { code, journal_id } => {
                let (http, poi) = (self.http.clone(), self.poi_id.clone());
                self.boarding = Some(Box::pin(async move { http.board(&poi, &code, &journal_id).await }));
            }
            Action::Maintain { token, report } => {
                let http = self.http.clone();
                self.maintenance = Some(Box::pin(async move { http.maintain(&token, &report).await }));
            }
            Action::Show(state) => {
                self.shown.state.send_replace(state);
            }
            Action::Tell(notice) => {
                // Nobody has to look.
                let _ = self.shown.notices.send(notice);
            }
        }
    }

    /// The link has ended from the other end, or broken off.
    async fn end_link(&mut self, reason: Option<CloseReason>) {
        if let Some(socket) = self.link.take() {
            socket.end().await;
        }
        self.machine.handle_ended(self.clock.now(), reason);
    }
}

/// Shows what was done since the last time, without copying what is shown already. Says whether anything changed.
fn catch_up(shown: &mut Vec<Execution>, done: &[Execution]) -> bool {
    // Executions are only added at the end and forgotten from the front.
    if shown.first() != done.first() {
        *shown = done.to_vec();
        return true;
    }
    let new = done.get(shown.len()..).unwrap_or_default();
    shown.extend_from_slice(new);
    !new.is_empty()
}

/// How a call has ended, which is gone then; never, if there is none. Cancel safe.
async fn ended<T>(call: &mut Option<Call<T>>) -> Result<T, CallError> {
    match call {
        Some(under_way) => {
            let answer = under_way.await;
            *call = None;
            answer
        }
        None => pending().await,
    }
}

async fn sleep_until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use nexo::SaleId;
    use relay::terminal::ExecutionKind;
    use relay::{DeliveryId, WallMs};

    use super::*;

    #[test]
    fn what_is_shown_catches_up_with_what_was_done() {
        let all: Vec<Execution> = (0..5)
            .map(|number| Execution {
                delivery: DeliveryId::parse(&format!("d_{number}")).unwrap(),
                kind: ExecutionKind::Payment,
                service: None,
                sale: SaleId::parse("POS1").unwrap(),
                sale_transaction: None,
                poi_transaction: format!("tx.{number}"),
                amount: "10.99".parse().unwrap(),
                currency: "EUR".into(),
                at: WallMs(number),
            })
            .collect();
        let mut shown = Vec::new();
        for (range, changed) in
            [(0..0, false), (0..2, true), (0..2, false), (0..4, true), (2..5, true), (5..5, true)]
        {
            assert_eq!(catch_up(&mut shown, &all[range.clone()]), changed, "{range:?}");
            assert_eq!(shown, all[range]);
        }
    }
}
