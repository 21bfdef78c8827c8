//! One socket of an Actions terminal, at the gateway: [`Port`].

mod answers;
mod job;
mod opening;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use nexo::{ErrorCondition, MessageCategory, Request};
use sha2::{Digest as _, Sha256};

use super::client_error::{ClientError, ErrorPace};
use super::frame::{FromClient, Resume, TerminalAnswer};
use super::sale::{PaymentName, Refusal, SaleAsk, VoidAsk};
use super::to_client::ToClient;
use super::transaction::TransactionId;
use crate::frame::{Deliver, REASON_MAX, ResultMessage, ToGateway, shortened};
use crate::id::{DeliveryId, JournalId};
use crate::presence::GRACE;
use crate::time::Now;

use job::{Job, Stage, What};

pub use job::{Known, Standing};
pub use opening::Opening;

/// How long a terminal that has acknowledged before may take to say `resume`; then it counts as a plain one.
pub const RESUME_WAIT: Duration = Duration::from_secs(5);

/// How long nothing is heard of a plain terminal's payment, after it is back or the payment's time is over, until nobody
/// can tell what became of it (E26).
pub const SILENCE_MAX: Duration = GRACE;

/// Answered payments that are remembered, to know an answer that comes again. A terminal that acknowledges asks for more by
/// its `resume`.
const FINISHED_MAX: usize = 4;

/// Payments that are remembered though nobody can tell what became of them: their results may still come. A payment becomes
/// one every minute at most, so this is more than an hour of a terminal that never answers.
const GIVEN_UP_MAX: usize = 64;

/// The gateway's end of one Actions terminal's socket: between its frames and its terminal's desk, for which it is a link
/// like any other (E25, E26).
///
/// A terminal that acknowledges says `resume` first, then `paymentReceived` for what it has stored, and keeps a result until
/// `paymentRecorded`: it has all promises of a link terminal. A *plain* one is exactly the page; for it the gateway itself
/// says what can be said: that a delivery was received as soon as it is written, and that its end can't be known when the
/// terminal is back, or its time is over, and nothing was heard of it for 60 s. So what is told of a plain terminal is never
/// *did not run* of what may have run.
///
/// What stays true:
/// - the terminal has one payment or void at a time; another one is answered `Busy` in its stead;
/// - a result is taken for the one delivery that it can belong to, or for none: it is kept as evidence then;
/// - a terminal never gets a second payment of the same name while the first one's end is not known, for their results
///   could not be told apart;
/// - a `hello` names every delivery that the terminal may have.
///
/// # How to drive it
/// When a terminal's socket opens, end all its older sockets first
/// ([`Desk::handle_displaced`](crate::exchange::Desk::handle_displaced)), then make the port. After every input carry out
/// [`Port::poll_order`] until there is none, and ask [`Port::poll_timeout`]. Read from the socket only while
/// [`Port::takes_frames`]. What the desk has for the link goes to [`Port::handle_welcome`], [`Port::handle_deliver`] and
/// [`Port::handle_recorded`]; its probes and closes are the owner's.
#[derive(Clone, Debug)]
pub struct Port {
    /// The journal of a terminal that keeps none of its own.
    plain_journal: JournalId,
    /// The journal that the terminal was boarded with last.
    boarded: Option<JournalId>,
    merchant_account: Box<str>,
    phase: Phase,
    mode: Mode,
    /// A frame has come from the terminal.
    has_spoken: bool,
    /// The first frame of a terminal that was waited for, and which said something else.
    deferred: Option<Box<FromClient>>,
    /// Looks that are out, oldest first.
    looks: VecDeque<LookFor>,
    jobs: Vec<Job>,
    /// Results of transactions that nobody knows, until they are on disk.
    orphans: Vec<(DeliveryId, What, TransactionId, Option<Box<str>>)>,
    pace: ErrorPace,
    orders: VecDeque<PortOrder>,
}

/// What the owner of the socket has to carry out, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum PortOrder {
    /// Read from the ledger the deliveries to this terminal of the last 48 h that have no answer, and those of any outcome
    /// that bear one of these names; then [`Port::handle_found`]. If they can't be read, close the socket.
    Look(Vec<TransactionId>),
    /// Hand this to the desk. Board the terminal anew before, if it says so.
    Hello(Opening),
    /// Write this frame; when it is written and names a delivery, [`Port::handle_written`].
    Write(ToClient, Option<DeliveryId>),
    /// Hand this to the desk, as if a link's terminal had said it: `Received`, `Result` or `Indeterminate`.
    Tell(ToGateway),
    /// The terminal sends one bad frame after another: close with 1008. Nothing follows this.
    CloseForErrors,
}

/// A desktop's own words about a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The desktop's connection: the `desktopId` of the frame.
    pub desktop_id: Box<str>,
    /// Its `paymentRequest`: [`PaymentAsk::raw`](super::PaymentAsk::raw).
    pub payment_request: Bytes,
}

/// What the gateway knows about a terminal whose socket has opened.
#[derive(Clone, Debug)]
pub struct PortSetup {
    /// [`Port::plain_journal`] of its credential.
    pub plain_journal: JournalId,
    /// The journal that it was boarded with last; none when it never was.
    pub boarded: Option<JournalId>,
    /// Its merchant account.
    pub merchant_account: Box<str>,
}

#[derive(Clone, Debug)]
enum Phase {
    /// The terminal has acknowledged before.
    AwaitingResume {
        until: Duration,
    },
    /// The ledger is asked what a `hello` is to name.
    Looking,
    /// The `hello` is being taken.
    Saying {
        journal: JournalId,
    },
    Open,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Plain,
    Acknowledging,
}

#[derive(Clone, Debug)]
enum LookFor {
    /// What a `hello` names: of a plain terminal, or of one that says `resume`.
    Hello(Option<Resume>),
    /// Whether payments that nothing was heard of are still open.
    Silence,
    /// Whether this answer, which names no desktop, may be to another payment of its name.
    Namesakes(TerminalAnswer),
}

impl Port {
    /// The journal of a plain terminal: its credential's.
    pub fn plain_journal(credential: &str) -> JournalId {
        let text = format!("{PLAIN_PREFIX}{credential}");
        JournalId::parse(&text).unwrap_or_else(|_| {
            // A credential's name that has no room in an ID, or no right to be in one.
            hashed(PLAIN_PREFIX, credential, JournalId::parse)
        })
    }

    /// Whether a terminal that is boarded with this journal acknowledges: E25's `voidRequest` is for such a one only. `plain` is
    /// [`Port::plain_journal`] of its credential.
    pub fn has_acknowledged(boarded: Option<&JournalId>, plain: &JournalId) -> bool {
        boarded.is_some_and(|journal| journal != plain)
    }

    /// The port of a socket that was just opened, after every older one of the terminal has ended.
    pub fn new(now: Now, setup: PortSetup) -> Port {
        let has_acknowledged = Port::has_acknowledged(setup.boarded.as_ref(), &setup.plain_journal);
        let mut port = Port {
            plain_journal: setup.plain_journal,
            boarded: setup.boarded,
            merchant_account: setup.merchant_account,
            phase: Phase::AwaitingResume { until: now.mono.saturating_add(RESUME_WAIT) },
            mode: Mode::Plain,
            has_spoken: false,
            deferred: None,
            looks: VecDeque::new(),
            jobs: Vec::new(),
            orphans: Vec::new(),
            pace: ErrorPace::default(),
            orders: VecDeque::new(),
        };
        if !has_acknowledged {
            port.begin(None);
        }
        port
    }

    /// Whether the socket may be read from: not while a `hello` is being taken, for what the terminal says then would be
    /// lost, and not while the ledger is asked what its last answer may mean.
    pub fn takes_frames(&self) -> bool {
        let has_answer = self.looks.iter().any(|look| matches!(look, LookFor::Namesakes(_)));
        matches!(self.phase, Phase::AwaitingResume { .. } | Phase::Open) && !has_answer
    }

    /// A text frame arrived.
    pub fn handle_text(&mut self, now: Now, frame: &Bytes) {
        match FromClient::decode(frame) {
            Ok(frame) => self.handle_frame(now, frame),
            Err(error) => self.handle_error(now, error),
        }
    }

    /// Something arrived that is no frame.
    pub fn handle_error(&mut self, now: Now, error: ClientError) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        self.speak();
        self.refuse(now, error);
    }

    /// A frame arrived.
    pub fn handle_frame(&mut self, now: Now, frame: FromClient) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        let is_early = matches!(self.phase, Phase::AwaitingResume { .. });
        match frame {
            FromClient::Resume(resume) => self.resumed(now, resume),
            frame if is_early => {
                self.speak();
                self.deferred = Some(Box::new(frame));
            }
            frame => {
                self.speak();
                self.take(now, frame);
            }
        }
    }

    /// A frame of a terminal that is present.
    fn take(&mut self, now: Now, frame: FromClient) {
        let is_plain = self.mode == Mode::Plain;
        match frame {
            FromClient::Ping => self.write(ToClient::Pong { timestamp: now.wall.to_rfc3339() }),
            FromClient::Pong => {}
            FromClient::GetTerminals => self.refuse(now, ClientError::ONLY_DESKTOPS_LIST),
            FromClient::Payment { .. } => self.refuse(now, ClientError::ONLY_DESKTOPS_PAY),
            FromClient::PaymentResponse { desktop_id, response } => {
                self.payment_answered(now, desktop_id.as_deref(), &response);
            }
            FromClient::PaymentReceived(name) if !is_plain => {
                self.received(now, &[What::Payment, What::Void], &name, None);
            }
            FromClient::VoidReceived { transaction, desktop_id } if !is_plain => {
                self.received(now, &[What::Void], &transaction, desktop_id.as_deref());
            }
            FromClient::VoidResponse(answer) if !is_plain => self.void_answered(now, &answer),
            FromClient::Resume(_)
            | FromClient::PaymentReceived(_)
            | FromClient::VoidReceived { .. }
            | FromClient::VoidResponse(_) => {
                self.refuse(now, ClientError::bad_request("resume must be the first message"));
            }
        }
    }

    /// The terminal acknowledges, if that is the first that it says.
    fn resumed(&mut self, now: Now, resume: Resume) {
        if self.has_spoken {
            return self.take(now, FromClient::Resume(resume));
        }
        if resume.journal.as_str().starts_with(PLAIN_PREFIX) {
            let text = format!("journalId must not begin with {PLAIN_PREFIX}");
            return self.handle_error(now, ClientError::bad_request(text));
        }
        self.has_spoken = true;
        self.begin(Some(resume));
    }

    /// The desk has a request for the terminal; `asked` is there when an Actions desktop asked for it.
    pub fn handle_deliver(&mut self, now: Now, deliver: Deliver, asked: Option<Asked>) {
        let Deliver { delivery, time_left_ms, message } = deliver;
        let Ok(request) = Request::parse(message.clone()) else {
            // The desk has read it before; whatever it is, it was not sent.
            return self.tell_indeterminate(delivery, "the request can't be read");
        };
        if !request.header().category.has_response() {
            return self.tell(ToGateway::Result(delivery, ResultMessage::Empty));
        }
        let sent = self.job_for(now, &delivery, time_left_ms, request.clone(), asked);
        match sent {
            Ok((job, frame)) => {
                self.jobs.push(job);
                self.orders.push_back(PortOrder::Write(frame, Some(delivery)));
            }
            Err(refusal) => {
                let response = refusal.response(&request, &delivery, now.wall);
                self.tell(ToGateway::Result(delivery, ResultMessage::Message(response)));
            }
        }
    }

    /// A frame that carries this delivery was written to the socket.
    pub fn handle_written(&mut self, delivery: &DeliveryId) {
        // Nobody else will ever say so for a plain terminal: without it, a `hello` of its successor could deny it.
        if self.mode == Mode::Plain {
            self.note_received(delivery);
        }
    }

    /// What was told about this delivery is on disk.
    pub fn handle_recorded(&mut self, delivery: &DeliveryId, problem: Option<String>) {
        let (what, name, desktop_id) =
            if let Some(job) = self.jobs.iter_mut().find(|job| job.delivery == *delivery) {
                if let Stage::Reported { is_answer } = job.stage {
                    job.stage = if is_answer { Stage::Finished } else { Stage::GivenUp };
                }
                (job.what, job.name.clone(), job.desktop.clone())
            } else if let Some(index) = self.orphans.iter().position(|(orphan, ..)| orphan == delivery) {
                // In the order in which they were told, for two may share the name that they are kept under.
                let (_, what, name, desktop) = self.orphans.remove(index);
                (what, Some(name), desktop)
            } else {
                return;
            };
        self.forget();
        let Some(transaction) = name.filter(|_| self.mode == Mode::Acknowledging) else { return };
        self.write(match what {
            What::Void => ToClient::VoidRecorded { transaction, desktop_id, problem },
            What::Payment | What::Other => ToClient::PaymentRecorded { transaction, desktop_id, problem },
        });
    }

    /// Time has passed: carry out whatever was due. Too early a call changes nothing.
    pub fn handle_timeout(&mut self, now: Now) {
        match self.phase {
            Phase::AwaitingResume { until } if now.mono >= until => self.begin(None),
            Phase::Open if self.silent_since().is_some_and(|at| now.mono >= at) && self.looks.is_empty() => {
                // Some may be settled by now, as never written to any link.
                self.look(LookFor::Silence, Vec::new());
            }
            _ => {}
        }
    }

    /// When [`Port::handle_timeout`] is due, on the monotonic clock.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.phase {
            Phase::AwaitingResume { until } => Some(until),
            Phase::Open if self.looks.is_empty() => self.silent_since(),
            _ => None,
        }
    }

    /// The next thing to carry out.
    pub fn poll_order(&mut self) -> Option<PortOrder> {
        let order = self.orders.pop_front();
        if order.is_none() {
            self.orders = VecDeque::new(); // Most terminals are idle most of the time.
        }
        order
    }

    /// The terminal has said something that is no `resume`: it will say none.
    fn speak(&mut self) {
        self.has_spoken = true;
        if matches!(self.phase, Phase::AwaitingResume { .. }) {
            self.begin(None);
        }
    }

    /// Decides what becomes of a request: a frame and what is remembered of it, or a refusal.
    fn job_for(
        &self,
        now: Now,
        delivery: &DeliveryId,
        time_left_ms: u64,
        request: Request,
        asked: Option<Asked>,
    ) -> Result<(Job, ToClient), Refusal> {
        let message = request.bytes().clone();
        let timestamp = now.wall.to_rfc3339();
        let is_void = request.header().category == MessageCategory::REVERSAL;
        if is_void && self.mode == Mode::Plain {
            return Err(Refusal {
                condition: ErrorCondition::UNAVAILABLE_SERVICE,
                message: "This terminal can't undo a payment by itself.",
            });
        }
        let (what, name, desktop, frame) = if is_void {
            let void = VoidAsk::read(request)?;
            let PaymentName { transaction, desktop_id, .. } = void.payment().clone();
            let frame = ToClient::VoidRequest {
                transaction: transaction.clone(),
                desktop_id: desktop_id.clone(),
                timestamp,
            };
            (What::Void, transaction, Some(desktop_id), frame)
        } else {
            let sale = SaleAsk::read(request)?;
            let asked = asked.unwrap_or_else(|| Asked {
                // No desktop: the delivery's own name serves to tell its answer from all others.
                desktop_id: delivery.as_str().into(),
                payment_request: sale.payment_request(),
            });
            let Asked { desktop_id, payment_request } = asked;
            let frame =
                ToClient::PaymentRequest { desktop_id: desktop_id.clone(), payment_request, timestamp };
            (What::Payment, sale.transaction().clone(), Some(desktop_id), frame)
        };
        if time_left_ms == 0 {
            return Err(Refusal {
                condition: ErrorCondition::ABORTED,
                message: "The time for this request was over.",
            });
        }
        // The `hello` that is being taken does not name it, so it must not get there.
        if matches!(self.phase, Phase::Saying { .. }) {
            return Err(Refusal {
                condition: ErrorCondition::BUSY,
                message: "The terminal is just connecting.",
            });
        }
        if self.jobs.iter().any(|job| job.is_busy(now)) {
            return Err(Refusal {
                condition: ErrorCondition::BUSY,
                message: "The terminal is processing another payment.",
            });
        }
        if self.jobs.iter().any(|job| job.is_open() && job.is(what, &name)) {
            return Err(Refusal {
                condition: ErrorCondition::NOT_ALLOWED,
                message: "What became of an earlier request for this transaction is not known. Use a new TransactionID.",
            });
        }
        let busy_until =
            now.mono.saturating_add(Duration::from_millis(time_left_ms)).saturating_add(SILENCE_MAX);
        let stage = Stage::Out { busy_until, is_received: false, is_written_here: true };
        let delivery = delivery.clone();
        let job = Job { delivery, what, name: Some(name), desktop, message, has_namesakes: None, stage };
        Ok((job, frame))
    }

    /// When the first payment of a plain terminal has been silent for too long.
    fn silent_since(&self) -> Option<Duration> {
        let due = |job: &Job| match job.stage {
            Stage::Out { busy_until, .. } => Some(busy_until),
            _ => None,
        };
        self.jobs.iter().filter_map(due).min().filter(|_| self.mode == Mode::Plain)
    }

    /// Lets go of what has been remembered for long enough.
    fn forget(&mut self) {
        for (is_old, most) in [
            (Job::is_finished as fn(&Job) -> bool, FINISHED_MAX),
            (Job::is_given_up as fn(&Job) -> bool, GIVEN_UP_MAX),
        ] {
            let mut over = self.jobs.iter().filter(|job| is_old(job)).count().saturating_sub(most);
            self.jobs.retain(|job| {
                let goes = over > 0 && is_old(job);
                over -= usize::from(goes);
                !goes
            });
        }
    }

    fn refuse(&mut self, now: Now, error: ClientError) {
        let is_too_many = self.pace.is_exhausted_by(now, &error);
        self.write(ToClient::Error(error));
        if is_too_many {
            self.phase = Phase::Closed;
            self.orders.push_back(PortOrder::CloseForErrors);
        }
    }

    fn write(&mut self, frame: ToClient) {
        self.orders.push_back(PortOrder::Write(frame, None));
    }

    fn tell(&mut self, frame: ToGateway) {
        self.orders.push_back(PortOrder::Tell(frame));
    }

    fn tell_indeterminate(&mut self, delivery: DeliveryId, reason: &str) {
        self.tell(ToGateway::Indeterminate(delivery, shortened(reason, REASON_MAX).into()));
    }
}

/// What the journals of plain terminals begin with.
const PLAIN_PREFIX: &str = "j_actions-";

/// An ID made of `prefix` and 32 hex digits.
#[expect(clippy::expect_used, reason = "letters, digits, '-' and '_', and short enough")]
fn hashed<T, E: std::fmt::Debug>(prefix: &str, text: &str, parse: fn(&str) -> Result<T, E>) -> T {
    let hex: String =
        Sha256::digest(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    parse(&format!("{prefix}{hex}")).expect("an ID")
}
