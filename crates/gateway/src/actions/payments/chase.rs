//! The task that follows one transaction: it carries out what its [`Pursuit`] orders, and decides nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nexo::{PoiId, Request};
use relay::ConnectionId;
use relay::actions::{Port, Pursuit, PursuitOrder, Question, TransactionId, Undo};
use relay::exchange::{Answer, Heard, ReplyMode, WAIT_MAX};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::{Followed, InHandOne, Payments};
use crate::access::Caller;
use crate::actions::desktops::{Held, Identity};
use crate::exchange::NotTaken;
use crate::ids;
use crate::store::CompanyCode;
use crate::store::actions::{Edition, TransactionFacts, TransactionSeq};

/// How often a transaction looks whether its terminal is there. A look costs less than a microsecond.
const PRESENCE_PACE: Duration = Duration::from_secs(1);

/// How long a question may wait. Nearly all are answered by the ledger at once; this is for those that the terminal is asked.
const ASK_WAIT: Duration = Duration::from_secs(30);

/// What the ledger calls the gateway as the one who asked for a void.
const GATEWAY: &str = "gateway";

/// One transaction on its way.
#[derive(Debug)]
pub(super) struct Chase {
    pub(super) transaction: TransactionSeq,
    pub(super) id: TransactionId,
    /// Whose it is.
    pub(super) desktop: Identity,
    company: CompanyCode,
    poi: PoiId,
    asker: Option<ConnectionId>,
    /// Who may have it sent; none after a restart, when nothing is sent any more.
    caller: Option<Arc<Caller>>,
    /// The terminal as its desktop has called it, if that is known.
    pub(super) called: Option<Box<str>>,
    pursuit: Pursuit,
    /// Its desktop knows that the outcome is not known.
    pub(super) is_given_up: bool,
    /// Until its desktop has a word.
    pub(super) waits: Option<Arc<Held>>,
    /// Its end is on disk.
    has_ended: bool,
    /// As it stood when it was found.
    edition: Edition,
}

type Hearing = Pin<Box<dyn Future<Output = Heard> + Send>>;

impl Chase {
    /// One that was begun just now.
    pub(super) fn begun(
        facts: TransactionFacts,
        transaction: TransactionSeq,
        caller: Arc<Caller>,
        called: Box<str>,
        pursuit: Pursuit,
        waits: Arc<Held>,
    ) -> Chase {
        Chase {
            caller: Some(caller),
            called: Some(called),
            waits: Some(waits),
            ..Chase::resumed(facts, transaction, pursuit, Edition::default())
        }
    }

    /// One of an earlier run of the gateway.
    pub(super) fn resumed(
        facts: TransactionFacts,
        transaction: TransactionSeq,
        pursuit: Pursuit,
        edition: Edition,
    ) -> Chase {
        Chase {
            transaction,
            id: facts.id,
            desktop: Identity { credential: facts.credential, device: facts.device },
            company: facts.company,
            poi: facts.poi,
            asker: facts.connection,
            caller: None,
            called: None,
            pursuit,
            is_given_up: edition > Edition::default(),
            waits: None,
            has_ended: false,
            edition,
        }
    }
}

impl Payments {
    /// Follows a transaction, in a task of its own, unless one does already.
    pub(super) fn follow(self: &Arc<Self>, chase: Chase) -> Followed {
        let transaction = chase.transaction;
        let mut in_hand = self.in_hand();
        if let Some(one) = in_hand.transactions.get(&transaction) {
            return Followed { transaction, news: one.news.subscribe() };
        }
        let (news, receiver) = watch::channel(chase.edition);
        let askers = chase.asker.iter().cloned().collect();
        in_hand.transactions.insert(transaction, InHandOne { askers, news });
        in_hand.count(&chase.desktop.credential);
        drop(in_hand);
        let leaving =
            Leaving { payments: self.clone(), transaction, credential: chase.desktop.credential.clone() };
        self.tasks.spawn(async move {
            leaving.payments.run(chase).await;
            drop(leaving);
        });
        Followed { transaction, news: receiver }
    }

    /// Until it is over, or the gateway stops.
    async fn run(&self, mut chase: Chase) {
        let clock = self.presence.clock();
        let mut looks = interval(PRESENCE_PACE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_present = true;
        let mut hearing: Option<Hearing> = None;
        loop {
            while let Some(order) = chase.pursuit.poll_order() {
                let carried_out = match order {
                    PursuitOrder::Send(message) => {
                        hearing = Some(self.send(&chase, message));
                        Some(())
                    }
                    PursuitOrder::Ask(question) => {
                        let origin = chase.desktop.credential.as_str();
                        hearing = Some(self.ask(&chase, origin, &question));
                        Some(())
                    }
                    PursuitOrder::SendVoid(message) => {
                        hearing = Some(self.send_own(&chase, GATEWAY, message, WAIT_MAX));
                        Some(())
                    }
                    PursuitOrder::AskVoid(question) => {
                        hearing = Some(self.ask(&chase, GATEWAY, &question));
                        Some(())
                    }
                    PursuitOrder::Note(standing) => self.note(&mut chase, standing).await,
                    PursuitOrder::End(end, outcome) => {
                        let ended = self.end(&mut chase, end, &outcome).await;
                        chase.has_ended = true;
                        ended.map(|is_being_voided| chase.pursuit.handle_ended(clock.now(), is_being_voided))
                    }
                    PursuitOrder::Voided(end) => {
                        chase.has_ended = true;
                        self.end_void(&mut chase, end).await
                    }
                };
                if carried_out.is_none() {
                    return;
                }
            }
            if chase.pursuit.is_over() {
                return self.check_end(&chase);
            }
            let due = chase.pursuit.poll_timeout().map(|due| clock.instant(due));
            tokio::select! {
                heard = heard_of(&mut hearing) => {
                    hearing = None;
                    let undo = self.undo(&chase).await;
                    let Some(undo) = undo else { return };
                    chase.pursuit.handle_answer(clock.now(), &heard, undo);
                }
                () = at(due) => chase.pursuit.handle_timeout(clock.now()),
                _ = looks.tick() => {
                    let is_online = self.presence.is_online(&chase.poi);
                    if is_online != is_present {
                        is_present = is_online;
                        chase.pursuit.handle_presence(clock.now(), is_present);
                    }
                }
                () = self.stopped.cancelled() => return,
            }
        }
    }

    fn send(&self, chase: &Chase, message: Bytes) -> Hearing {
        let Some(caller) = chase.caller.clone() else {
            // Nothing is sent after a restart: it is asked for.
            return Box::pin(async { heard(Answer::NoResponse) });
        };
        let Some(request) = request_in(message) else { return unreadable() };
        let exchanges = self.exchanges.clone();
        Box::pin(async move {
            match exchanges.send(&caller, request, ReplyMode::Sync, WAIT_MAX).await {
                Ok((_, heard)) => heard,
                Err(NotTaken::TooMany) => heard(Answer::TooMany),
                Err(NotTaken::OutOfScope) => heard(Answer::NotDelivered),
                Err(NotTaken::Store(error)) => {
                    tracing::error!(%error, "a payment waits because the store can't be read");
                    heard(Answer::TryAgain)
                }
            }
        })
    }

    fn ask(&self, chase: &Chase, origin: &str, question: &Question) -> Hearing {
        self.send_own(chase, origin, question.message(&ids::service_id()), ASK_WAIT)
    }

    fn send_own(&self, chase: &Chase, origin: &str, message: Bytes, wait: Duration) -> Hearing {
        let Some(request) = request_in(message) else { return unreadable() };
        let (exchanges, company, origin) =
            (self.exchanges.clone(), chase.company.clone(), Box::<str>::from(origin));
        Box::pin(async move { exchanges.send_own(&company, &origin, request, wait).await })
    }

    /// Whether the terminal can take back a payment by itself, as far as that matters: before its desktop was told that the
    /// outcome is not known, nothing is taken back. None when the gateway stops.
    async fn undo(&self, chase: &Chase) -> Option<Undo> {
        if !chase.is_given_up {
            return Some(Undo::Impossible);
        }
        let Some(terminal) = self.keep(|| self.store.actions_terminal(&chase.poi)).await? else {
            return Some(Undo::Possible);
        };
        let plain = Port::plain_journal(terminal.credential.as_str());
        let boarded = self.keep(|| self.store.boarded(&chase.poi)).await?;
        let journal = boarded.map(|boarded| boarded.journal);
        Some(match Port::has_acknowledged(journal.as_ref(), &plain) {
            true => Undo::Possible,
            false => Undo::Impossible,
        })
    }

    /// It was followed for as long as can be, and its end is not known.
    fn check_end(&self, chase: &Chase) {
        if !chase.has_ended {
            tracing::error!(
                poi.id = %chase.poi,
                credential.id = %chase.desktop.credential,
                transaction.id = %chase.id,
                "a payment's end did not become known in 47 hours: a person has to find out"
            );
        }
    }
}

/// Takes a transaction out of the hands of the task that has followed it, whatever has ended that.
#[derive(Debug)]
struct Leaving {
    payments: Arc<Payments>,
    transaction: TransactionSeq,
    credential: crate::store::CredentialId,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut in_hand = self.payments.in_hand();
        in_hand.transactions.remove(&self.transaction);
        in_hand.uncount(&self.credential);
    }
}

fn heard(answer: Answer) -> Heard {
    Heard { answer, repeated: false, exchange: None }
}

/// What the machine has made is a request.
fn request_in(message: Bytes) -> Option<Request> {
    let request = Request::parse(message);
    request.inspect_err(|error| tracing::error!(%error, "a request of the gateway's own can't be read")).ok()
}

fn unreadable() -> Hearing {
    Box::pin(async { heard(Answer::TryAgain) })
}

/// The answer; never, while nothing is out.
async fn heard_of(hearing: &mut Option<Hearing>) -> Heard {
    match hearing {
        Some(hearing) => hearing.await,
        None => std::future::pending().await,
    }
}

/// That moment; never, if there is none.
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
