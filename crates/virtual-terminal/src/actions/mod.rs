//! The terminal's end of the Actions dialect: between the rules of [`Terminal`], which speak of deliveries, and the frames
//! of `GET /v1`, which speak of transactions. The mirror of [`relay::actions::Port`], and like it without I/O or a clock.
//!
//! What stays true:
//! - one `paymentRequest` of one desktop is one delivery, whatever happens in between: its ID is made of the two names that
//!   the frame has for it ([`delivery_of`]), so it can't be executed twice;
//! - of an acknowledging terminal a result is given up for `paymentRecorded` only, and for none that could mean another one;
//! - what a delivery is called is in the journal before the delivery is, and for as long as its result is owed.
//!
//! A plain terminal is exactly the page: it says nothing but how payments ended, and what it has said it has said.

mod answer;
mod names;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use nexo::{
    MessageCategory, MessageClass, MessageHeader, MessageType, OriginalPoiTransaction, PoiId, ReversalReason,
    ReversalRequest, SaleData, SaleId, TransactionIdentification,
};
use relay::actions::{
    ClientError, FromClient, PaymentAsk, PaymentStatus, Resume, SALE_ID, ToClient, TransactionId, VoidAnswer,
};
use relay::terminal::{Execution, ExecutionKind, Outcome, Terminal};
use relay::{
    ConnectionId, Deliver, DeliveryId, Heartbeat, JournalId, Now, Placement, RESUME_MAX, ResultMessage,
    Settings, ToGateway, Welcome,
};
use rust_decimal::Decimal;

use crate::secret::Secret;

pub use names::{Asked, delivery_of};

/// How long this terminal waits for a card when nobody says how long it may: less than the 150 s for which a gateway waits
/// for an answer, so that its own refusal still counts.
const PATIENCE: Duration = Duration::from_secs(120);

/// The longest frame that is read, in bytes: any `paymentRequest` that a gateway lets through, and more.
const FRAME_MAX: usize = 1024 * 1024;

/// Which protocol a terminal speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// The terminal link: it boards, and calls maintenance.
    #[default]
    Link,
    /// The Actions API.
    Actions(Actions),
}

/// A terminal of the Actions API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actions {
    /// Its API key; which terminal it is, and in which group, is the key's affair.
    pub key: Secret,
    /// How much it says.
    pub habit: Habit,
}

impl Actions {
    /// A name for whoever has no better one, such as `actions-terminal-1f5c02aa`: the same for the same key.
    pub fn name(&self) -> PoiId {
        names::name_of(self.key.reveal())
    }
}

/// How much a terminal of the Actions API says about its payments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Habit {
    /// What it has and what it has stored: then nothing is lost or taken for granted.
    #[default]
    Acknowledges,
    /// No more than the page asks for; after a reconnect it says its last result again.
    PlainAndRepeats,
    /// No more than the page asks for; what was not heard when it was said is lost.
    PlainAndForgets,
}

/// One terminal's end of the dialect.
#[derive(Debug)]
pub(crate) struct Adapter {
    habit: Habit,
    /// What each delivery is called whose result may still have to be told.
    names: BTreeMap<DeliveryId, Asked>,
    /// Whose results went out over the link that stands.
    told: BTreeSet<DeliveryId>,
}

/// What a frame of the gateway means.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    /// A request for the terminal; the name is to be stored first, unless it is known.
    Deliver(Deliver, Option<Asked>),
    /// The gateway has the result of this delivery on its disk.
    Recorded(DeliveryId, Option<String>),
    /// This is to be said at once: nothing had to be run for it.
    Answer(FromClient),
    /// The connection is about to be closed, for this reason.
    ForcedOff(String),
    /// The gateway takes this end for a desktop: the key is one's.
    TakenForDesktop,
    /// Nothing that has to be acted on.
    Nothing,
}

/// What the terminal's own frame becomes.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Said {
    /// To be sent.
    pub(crate) frame: Option<FromClient>,
    /// Results that nobody will ask for again: they count as recorded from here on.
    pub(crate) given_up: Vec<DeliveryId>,
}

impl Adapter {
    /// `names` are those that the journal holds.
    pub(crate) fn new(habit: Habit, names: BTreeMap<DeliveryId, Asked>) -> Adapter {
        Adapter { habit, names, told: BTreeSet::new() }
    }

    /// What the journal has to hold of it.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&DeliveryId, &Asked)> {
        self.names.iter()
    }

    /// A link was opened. What is to be said first, and which results are not said any more.
    pub(crate) fn open(&mut self, journal: &JournalId, terminal: &Terminal) -> Said {
        self.told.clear();
        self.names.retain(|delivery, _| terminal.is_owed(delivery));
        match self.habit {
            Habit::Acknowledges => {
                Said { frame: Some(FromClient::Resume(self.resume(journal, terminal))), given_up: Vec::new() }
            }
            Habit::PlainAndForgets => {
                let given_up = terminal.results().map(|(delivery, _)| delivery.clone()).collect();
                Said { frame: None, given_up }
            }
            Habit::PlainAndRepeats => {
                let mut given_up: Vec<_> = terminal.results().map(|(delivery, _)| delivery.clone()).collect();
                given_up.pop();
                Said { frame: None, given_up }
            }
        }
    }

    fn resume(&self, journal: &JournalId, terminal: &Terminal) -> Resume {
        let (mut payments, mut desktops) = (Vec::new(), Vec::new());
        let (mut voids, mut void_desktops) = (Vec::new(), Vec::new());
        for delivery in terminal.resume() {
            match self.names.get(&delivery) {
                Some(Asked::Payment { transaction, desktop }) => {
                    payments.push(transaction.clone());
                    desktops.push(desktop.clone());
                }
                Some(Asked::Void { transaction, desktop }) => {
                    voids.push(transaction.clone());
                    void_desktops.push(desktop.clone());
                }
                None => tracing::warn!(delivery = %delivery, "nobody knows what this delivery was called"),
            }
        }
        Resume {
            journal: journal.clone(),
            payments,
            desktops: Some(desktops),
            voids: Some(voids),
            void_desktops: Some(void_desktops),
        }
    }

    /// The gateway of this dialect says no `welcome`: this one stands for it.
    pub(crate) fn welcome(poi: &PoiId) -> Welcome {
        Welcome {
            connection_id: own_connection(),
            server_time: String::new(),
            heartbeat: Heartbeat::DEFAULT,
            terminal: Placement { poi_id: poi.clone(), merchant_account: String::new(), store: None },
            settings: Settings::default(),
            body_limit: u32::MAX,
        }
    }

    /// What a frame of the terminal becomes; `hello` is [`Adapter::open`]'s.
    pub(crate) fn say(&mut self, frame: &ToGateway, terminal: &Terminal) -> Said {
        let (delivery, outcome) = match frame {
            ToGateway::Received(delivery) => return self.say_received(delivery),
            ToGateway::Result(delivery, ResultMessage::Message(message)) => {
                (delivery, Outcome::Message(message.clone()))
            }
            ToGateway::Result(delivery, ResultMessage::Empty) => (delivery, Outcome::Empty),
            ToGateway::Result(delivery, ResultMessage::TooLarge(length)) => {
                (delivery, Outcome::Indeterminate(format!("the response is too long: {length} bytes")))
            }
            ToGateway::Indeterminate(delivery, reason) => (delivery, Outcome::Indeterminate(reason.clone())),
            ToGateway::Hello(_)
            | ToGateway::Notify(..)
            | ToGateway::Device(_)
            | ToGateway::Applied(_)
            | ToGateway::ConfigRemoved(_)
            | ToGateway::TokenStored
            | ToGateway::Unknown(_) => return Said::default(),
        };
        let Some(asked) = self.names.get(delivery) else { return Said::default() };
        let is_plain = self.habit != Habit::Acknowledges;
        if is_plain && matches!(outcome, Outcome::Indeterminate(_)) {
            // The page has no word for it, and who keeps no journal could not say so either.
            return Said { frame: None, given_up: vec![delivery.clone()] };
        }
        let frame = answer::frame(asked, &outcome);
        self.told.insert(delivery.clone());
        let given_up = match self.habit {
            Habit::Acknowledges => Vec::new(),
            Habit::PlainAndForgets => vec![delivery.clone()],
            Habit::PlainAndRepeats => {
                let others = terminal.results().map(|(other, _)| other).filter(|other| *other != delivery);
                others.cloned().collect()
            }
        };
        Said { frame: Some(frame), given_up }
    }

    fn say_received(&self, delivery: &DeliveryId) -> Said {
        let frame = match (self.habit, self.names.get(delivery)) {
            (Habit::Acknowledges, Some(Asked::Payment { transaction, .. })) => {
                Some(FromClient::PaymentReceived(transaction.clone()))
            }
            (Habit::Acknowledges, Some(Asked::Void { transaction, desktop })) => {
                Some(FromClient::VoidReceived {
                    transaction: transaction.clone(),
                    desktop_id: Some(desktop.clone()),
                })
            }
            (_, _) => None,
        };
        Said { frame, given_up: Vec::new() }
    }

    /// What a frame of the gateway means to this terminal.
    pub(crate) fn hear(&mut self, now: Now, frame: &Bytes, poi: &PoiId, terminal: &Terminal) -> Heard {
        if frame.len() > FRAME_MAX {
            tracing::warn!(length = frame.len(), "ignored a frame that is too long");
            return Heard::Nothing;
        }
        match ToClient::decode(frame) {
            Ok(ToClient::PaymentRequest { desktop_id, payment_request, .. }) => {
                self.asked_for_payment(now, desktop_id, &payment_request, poi, terminal)
            }
            Ok(ToClient::VoidRequest { transaction, desktop_id, .. })
                if self.habit == Habit::Acknowledges =>
            {
                self.asked_for_void(now, transaction, desktop_id, poi, terminal)
            }
            Ok(ToClient::PaymentRecorded { transaction, desktop_id, problem }) => {
                match self.payment_recorded(&transaction, desktop_id.as_deref(), terminal) {
                    Some(delivery) => {
                        if desktop_id.is_some() {
                            // What was said of it so far is dealt with: no later frame can mean that.
                            self.told.remove(&delivery);
                        }
                        Heard::Recorded(delivery, problem)
                    }
                    None => Heard::Nothing,
                }
            }
            Ok(ToClient::VoidRecorded { transaction, desktop_id, problem }) => {
                let is_void = |asked: &Asked| {
                    matches!(asked, Asked::Void { transaction: of, desktop } if *of == transaction
                        && desktop_id.as_ref().is_none_or(|meant| meant == desktop))
                };
                match self.only_told(terminal, is_void) {
                    Some(delivery) => Heard::Recorded(delivery, problem),
                    None => Heard::Nothing,
                }
            }
            Ok(ToClient::ForceDisconnect { reason, .. }) => Heard::ForcedOff(reason.into_owned()),
            Ok(ToClient::Error(error)) if is_for_terminals_only(&error) => Heard::TakenForDesktop,
            Ok(
                ToClient::TerminalsResponse { .. }
                | ToClient::TerminalStatusUpdate(_)
                | ToClient::PaymentComplete(_)
                | ToClient::PaymentVoided(_),
            ) => Heard::TakenForDesktop,
            Ok(ToClient::Error(error)) => {
                tracing::warn!(%error, "the gateway could not carry out what was said");
                Heard::Nothing
            }
            Ok(ToClient::VoidRequest { .. } | ToClient::Pong { .. } | ToClient::Unknown(_)) => Heard::Nothing,
            Err(error) => {
                tracing::warn!(%error, "ignored a frame that can't be read");
                Heard::Nothing
            }
        }
    }

    fn asked_for_payment(
        &mut self,
        now: Now,
        desktop: Box<str>,
        raw: &Bytes,
        poi: &PoiId,
        terminal: &Terminal,
    ) -> Heard {
        if desktop.len() > names::DESKTOP_MAX {
            tracing::warn!(length = desktop.len(), "ignored a payment whose desktopId is too long");
            return Heard::Nothing;
        }
        let mut is_named = true;
        let unnamed = || {
            is_named = false;
            names::unnamed()
        };
        let ask = match PaymentAsk::read(raw, unnamed) {
            Ok(ask) if is_named => ask,
            Ok(_) => {
                tracing::warn!("ignored a payment without transactionId");
                return Heard::Nothing;
            }
            Err(error) => return answer::refused(desktop, raw, &error),
        };
        let transaction = ask.transaction().clone();
        let delivery = delivery_of(&desktop, &transaction);
        let message = ask.message(poi, &names::service_of(&delivery), now.wall);
        self.deliver(delivery, Asked::Payment { transaction, desktop }, message, terminal)
    }

    fn asked_for_void(
        &mut self,
        now: Now,
        transaction: TransactionId,
        desktop: Box<str>,
        poi: &PoiId,
        terminal: &Terminal,
    ) -> Heard {
        if desktop.len() > names::DESKTOP_MAX {
            tracing::warn!(length = desktop.len(), "ignored a void whose desktopId is too long");
            return Heard::Nothing;
        }
        let asked = Asked::Void { transaction: transaction.clone(), desktop: desktop.clone() };
        let owed = self.owed(terminal, |other| *other == asked).next().cloned();
        if let Some(delivery) = owed {
            // The gateway asks anew, for it has not heard the end of the first one.
            return self.deliver(delivery, asked, Bytes::new(), terminal);
        }
        let payment = match payment_to_void(&delivery_of(&desktop, &transaction), terminal.executions()) {
            Ok(payment) => payment,
            Err((status, why)) => {
                return Heard::Answer(FromClient::VoidResponse(VoidAnswer {
                    transaction,
                    desktop_id: Some(desktop),
                    status,
                    error_message: why.map(Into::into),
                }));
            }
        };
        // One that was refused may be asked for again: that is a request of its own.
        let mut number = 0;
        let delivery = loop {
            let delivery = names::void_of(&desktop, &transaction, number);
            if !terminal.remembers(&delivery) {
                break delivery;
            }
            number += 1;
        };
        let time_stamp = now.wall.to_rfc3339();
        let header = MessageHeader {
            protocol_version: Some("3.0".into()),
            class: MessageClass::Service,
            category: MessageCategory::REVERSAL,
            message_type: MessageType::Request,
            service_id: Some(names::service_of(&delivery)),
            device_id: None,
            sale_id: sale_id(),
            poi_id: poi.clone(),
        };
        let name = |transaction_id: &str| TransactionIdentification {
            transaction_id: transaction_id.into(),
            time_stamp: time_stamp.clone(),
        };
        let body = ReversalRequest {
            sale_data: Some(SaleData::new(name(transaction.as_str()))),
            original_poi_transaction: OriginalPoiTransaction {
                poi_transaction_id: Some(name(&payment.poi_transaction)),
                ..OriginalPoiTransaction::default()
            },
            reversed_amount: None,
            reversal_reason: ReversalReason::MERCHANT_CANCEL,
        };
        let message = nexo::request(&header, &body);
        self.deliver(delivery, asked, message, terminal)
    }

    fn deliver(&mut self, delivery: DeliveryId, asked: Asked, message: Bytes, terminal: &Terminal) -> Heard {
        let deliver = Deliver {
            delivery: delivery.clone(),
            time_left_ms: u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX),
            message,
        };
        if self.names.contains_key(&delivery) {
            return Heard::Deliver(deliver, None);
        }
        if self.names.len() >= 2 * RESUME_MAX {
            self.names.retain(|delivery, _| terminal.is_owed(delivery));
        }
        self.names.insert(delivery, asked.clone());
        Heard::Deliver(deliver, Some(asked))
    }

    /// Which result the gateway means. It leaves `desktopId` out where it does not know the payment any more.
    fn payment_recorded(
        &self,
        transaction: &TransactionId,
        desktop: Option<&str>,
        terminal: &Terminal,
    ) -> Option<DeliveryId> {
        match desktop {
            Some(desktop) => {
                let delivery = delivery_of(desktop, transaction);
                self.names.contains_key(&delivery).then_some(delivery)
            }
            None => self.only_told(
                terminal,
                |asked| matches!(asked, Asked::Payment { transaction: of, .. } if of == transaction),
            ),
        }
    }

    /// The one result of this kind that was told over this link, if it is owed. If several were told, it is none of them, also
    /// if the others are not owed any more, for one of those may be meant once more: they are told again, for a result that is
    /// forgotten for another one's sake would be lost.
    fn only_told(&self, terminal: &Terminal, is_meant: impl Fn(&Asked) -> bool) -> Option<DeliveryId> {
        let meant = self.names.iter().filter(|(_, asked)| is_meant(asked)).map(|(delivery, _)| delivery);
        let mut told = meant.filter(|delivery| self.told.contains(*delivery));
        match (told.next(), told.next()) {
            (Some(one), None) if terminal.is_owed(one) => Some(one.clone()),
            _ => None,
        }
    }

    fn owed(
        &self,
        terminal: &Terminal,
        is_meant: impl Fn(&Asked) -> bool,
    ) -> impl Iterator<Item = &DeliveryId> {
        let meant = self.names.iter().filter(move |(_, asked)| is_meant(asked));
        meant.map(|(delivery, _)| delivery).filter(|delivery| terminal.is_owed(delivery))
    }
}

/// The payment that a void is for: the one that was delivered so. If there is none to be reversed, what is said instead: that
/// it is void already, or why not.
fn payment_to_void<'a>(
    delivery: &DeliveryId,
    executions: &'a [Execution],
) -> Result<&'a Execution, (PaymentStatus, Option<&'static str>)> {
    let is_payment =
        |execution: &&Execution| execution.kind == ExecutionKind::Payment && execution.delivery == *delivery;
    let Some(payment) = executions.iter().find(is_payment) else {
        return Err((PaymentStatus::Failed, Some("This terminal knows no such payment.")));
    };
    let reversal = ExecutionKind::Reversal { of: payment.poi_transaction.clone() };
    let reversed = executions.iter().filter(|execution| execution.kind == reversal);
    let left = reversed.fold(payment.amount.value(), |left, execution| left - execution.amount.value());
    if left > Decimal::ZERO { Ok(payment) } else { Err((PaymentStatus::Success, None)) }
}

/// Whether the gateway refuses what only terminals say.
fn is_for_terminals_only(error: &ClientError) -> bool {
    let whoever = ClientError::only_terminals("");
    error.kind == whoever.kind && error.message.starts_with(whoever.message.trim_end())
}

/// Whether a `forceDisconnect` for this reason says that another connection is this terminal now.
pub(crate) fn is_replaced(reason: &str) -> bool {
    reason.starts_with("REPLACED")
}

#[expect(clippy::expect_used, reason = "texts of this file and of relay")]
fn own_connection() -> ConnectionId {
    ConnectionId::parse("c_actions").expect("an ID")
}

#[expect(clippy::expect_used, reason = "a SaleID, as every test of relay's frames shows")]
fn sale_id() -> SaleId {
    SaleId::parse(SALE_ID).expect("a SaleID")
}
