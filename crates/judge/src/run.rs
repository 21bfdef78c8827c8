//! One run put in order: calls, deliveries, executions and rows, each by the identity (POIID and ServiceID) and the intention
//! that it belongs to. Nothing is judged here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::desktop::{self, ToldDesktop};
use crate::frame::{self, Down, Said, Up};
use crate::log::{Log, Row, What};
use crate::message::{self, Intention, Message, Reference, Request, is_of_device};
use crate::wires::Wires;

/// A place in [`Log::events`].
pub(crate) type Index = usize;

/// What the journals of Actions terminals that do not acknowledge begin with: the gateway makes them up.
const PLAIN_JOURNAL: &str = "j_actions-";

/// A run, put in order.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) log: &'a Log,
    pub(crate) calls: Vec<Call<'a>>,
    pub(crate) deliveries: Vec<Delivery<'a>>,
    pub(crate) executions: Vec<Execution>,
    pub(crate) rows: Vec<RowSeen<'a>>,
    pub(crate) identities: Vec<Identity>,
    pub(crate) intentions: Vec<Wanted>,
    /// `recorded` frames for what nobody had reported.
    pub(crate) unfounded_records: Vec<Unfounded>,
    pub(crate) at_rest: Option<Index>,
    /// The sockets of Actions terminals.
    pub(crate) wires: Wires,
    /// What desktops were told.
    pub(crate) told_desktops: Vec<ToldDesktop>,
    /// Their payments in the end.
    pub(crate) transactions: Vec<Index>,
    /// By terminal: lost, or taken over by a copy.
    journals_lost: HashMap<&'a str, Vec<Index>>,
    journals_copied: HashMap<&'a str, Vec<Index>>,
    /// By terminal: taken for one that does not acknowledge.
    plain_hellos: HashMap<&'a str, Vec<Index>>,
    delivery_by_id: HashMap<String, usize>,
    identity_by_key: HashMap<(String, String, String), usize>,
    row_by_delivery: HashMap<&'a str, usize>,
}

/// One HTTP request of a POS.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) id: u64,
    pub(crate) asked: Index,
    pub(crate) asynchronous: bool,
    pub(crate) wait: Duration,
    /// Without the white space around it.
    pub(crate) bytes: &'a [u8],
    pub(crate) message: Rc<Message>,
    /// Its own.
    pub(crate) identity: Option<usize>,
    pub(crate) intention: Option<usize>,
    /// Of a TransactionStatus or an Abort: the identity that it names.
    pub(crate) about: Option<usize>,
    pub(crate) arrived: Option<Index>,
    pub(crate) told: Option<Told<'a>>,
    pub(crate) ended: Option<Index>,
}

impl Call<'_> {
    pub(crate) fn request(&self) -> Option<&Request> {
        match &*self.message {
            Message::Request(request) => Some(request),
            _ => None,
        }
    }

    pub(crate) fn category(&self) -> &str {
        self.request().map_or("", |request| &request.header.category)
    }

    pub(crate) fn reference(&self) -> Option<&Reference> {
        self.request()?.reference.as_ref()
    }
}

/// The answer to a call.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    pub(crate) at: Index,
    pub(crate) answer: Answer<'a>,
}

#[derive(Debug)]
pub(crate) enum Answer<'a> {
    /// The two bytes.
    Ok,
    /// HTTP 200 with a message, its bytes without the white space around them.
    Message(&'a [u8], Rc<Message>),
    /// Another HTTP status.
    Status(u16),
}

/// One attempt to hand a request to a terminal.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    pub(crate) id: String,
    pub(crate) poi: &'a str,
    pub(crate) message: Rc<Message>,
    pub(crate) bytes: &'a [u8],
    pub(crate) identity: Option<usize>,
    pub(crate) intention: Option<usize>,
    /// When the link said its `hello` to which it was written first.
    pub(crate) linked: Index,
    /// Each time that it was written, and to which link.
    pub(crate) writes: Vec<(Index, u64)>,
    pub(crate) reports: Vec<Report<'a>>,
    /// `recorded` without and with a problem.
    pub(crate) recorded: Vec<(Index, bool)>,
    pub(crate) executions: Vec<usize>,
    /// Its journal was copied while it was open.
    pub(crate) set_aside: bool,
}

impl Delivery<'_> {
    pub(crate) fn request(&self) -> Option<&Request> {
        match &*self.message {
            Message::Request(request) => Some(request),
            _ => None,
        }
    }

    pub(crate) fn category(&self) -> &str {
        self.request().map_or("", |request| &request.header.category)
    }

    pub(crate) fn written(&self) -> Index {
        self.writes.first().map_or(0, |(at, _)| *at)
    }

    /// Whether an answer to it was read.
    fn is_ended(&self) -> bool {
        let ends = |kind| matches!(kind, ReportKind::Result(_) | ReportKind::Empty);
        self.reports.iter().any(|report| ends(report.kind))
    }

    /// The results that are answers to this delivery, oldest first.
    pub(crate) fn results(&self) -> impl Iterator<Item = (Index, &[u8])> {
        self.reports.iter().filter_map(|report| match report.kind {
            ReportKind::Result(bytes) => Some((report.at, bytes)),
            _ => None,
        })
    }
}

/// What the gateway read about a delivery.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) at: Index,
    pub(crate) kind: ReportKind<'a>,
    /// By which link; none by maintenance.
    pub(crate) link: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReportKind<'a> {
    Received,
    /// A `hello` had it in `resume`.
    Resumed,
    /// A result whose message fits the request, without the white space around it.
    Result(&'a [u8]),
    /// A result without a message, for a category that has none.
    Empty,
    /// A result that is no answer: it does not fit, is too large, or is missing.
    Unusable,
    Indeterminate,
}

/// A card was charged, or money given back.
#[derive(Debug)]
pub(crate) struct Execution {
    pub(crate) at: Index,
    pub(crate) delivery: String,
    pub(crate) identity: usize,
    pub(crate) intention: Option<usize>,
    /// TransactionID of its SaleTransactionID.
    pub(crate) transaction: Option<String>,
    /// TransactionID of its POITransactionID, where the terminal has one.
    pub(crate) poi_transaction: Option<String>,
}

/// A row of the ledger.
#[derive(Debug)]
pub(crate) struct RowSeen<'a> {
    pub(crate) at: Index,
    pub(crate) row: &'a Row,
    /// None where a DeviceID belongs to it, which rows do not hold.
    pub(crate) identity: Option<usize>,
    pub(crate) response: Option<(&'a [u8], Rc<Message>)>,
}

/// A `recorded` that nothing came before.
#[derive(Debug)]
pub(crate) struct Unfounded {
    pub(crate) at: Index,
    pub(crate) poi: String,
    pub(crate) delivery: String,
}

/// POIID and ServiceID, and DeviceID for requests of class `Device`: what makes two requests the same one (E3).
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) poi: String,
    pub(crate) service: String,
    pub(crate) calls: Vec<usize>,
    pub(crate) deliveries: Vec<usize>,
    pub(crate) executions: Vec<usize>,
    pub(crate) rows: Vec<usize>,
    /// A delivery of it was open when its terminal's journal was copied.
    pub(crate) set_aside: bool,
}

/// What is wanted once, and what was done about it.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) intention: Intention,
    pub(crate) poi: String,
    /// ServiceIDs that it took.
    pub(crate) identities: Vec<usize>,
    pub(crate) executions: Vec<usize>,
    pub(crate) set_aside: bool,
}

impl<'a> Run<'a> {
    /// Reads a log, each message once.
    pub(crate) fn read(log: &'a Log) -> Run<'a> {
        let mut reader = Reader {
            run: Run {
                log,
                calls: Vec::new(),
                deliveries: Vec::new(),
                executions: Vec::new(),
                rows: Vec::new(),
                identities: Vec::new(),
                intentions: Vec::new(),
                unfounded_records: Vec::new(),
                at_rest: None,
                wires: Wires::default(),
                told_desktops: Vec::new(),
                transactions: Vec::new(),
                journals_lost: HashMap::new(),
                journals_copied: HashMap::new(),
                plain_hellos: HashMap::new(),
                delivery_by_id: HashMap::new(),
                identity_by_key: HashMap::new(),
                row_by_delivery: HashMap::new(),
            },
            messages: BTreeMap::new(),
            call_by_id: HashMap::new(),
            intention_by_name: HashMap::new(),
            reported: HashSet::new(),
            hellos: HashMap::new(),
            open: HashMap::new(),
        };
        for (at, event) in log.events.iter().enumerate() {
            reader.take(at, &event.what);
        }
        reader.run
    }

    pub(crate) fn at(&self, index: Index) -> Duration {
        self.log.events.get(index).map_or(Duration::ZERO, |event| event.at)
    }

    /// Whether this place in the log is after everything has come to rest.
    pub(crate) fn is_at_rest(&self, index: Index) -> bool {
        self.at_rest.is_some_and(|at| index > at)
    }

    /// Whether somebody looked into the ledger in the end.
    pub(crate) fn knows_ledger(&self) -> bool {
        !self.rows.is_empty()
    }

    /// The row whose attempt this delivery is.
    pub(crate) fn row_of(&self, delivery: &str) -> Option<&RowSeen<'a>> {
        self.row_by_delivery.get(delivery).and_then(|row| self.rows.get(*row))
    }

    pub(crate) fn delivery(&self, id: &str) -> Option<&Delivery<'a>> {
        self.delivery_by_id.get(id).and_then(|delivery| self.deliveries.get(*delivery))
    }

    /// Whether this terminal's journal was lost after this, or taken over by a copy.
    pub(crate) fn journal_lost_after(&self, poi: &str, at: Index) -> bool {
        let after = |lost: Option<&Vec<Index>>| lost.is_some_and(|lost| lost.iter().any(|lost| *lost > at));
        after(self.journals_lost.get(poi)) || after(self.journals_copied.get(poi))
    }

    /// Whether somebody who says nothing of acknowledging was taken for this Actions terminal after this: it is another
    /// journal that counts then.
    pub(crate) fn taken_for_plain_after(&self, poi: &str, at: Index) -> bool {
        self.plain_hellos.get(poi).is_some_and(|hellos| hellos.iter().any(|hello| *hello > at))
    }

    /// Whether a copy of this terminal's journal took over between the two.
    pub(crate) fn journal_copied_between(&self, poi: &str, from: Index, to: Index) -> bool {
        let copied = self.journals_copied.get(poi);
        copied.is_some_and(|copied| copied.iter().any(|copied| (from..to).contains(copied)))
    }

    /// Whether its Actions terminal was never sent it: it was refused in the terminal's stead.
    pub(crate) fn never_left(&self, delivery: &Delivery<'_>) -> bool {
        let wanted = delivery.request().and_then(|request| request.intention.as_ref());
        let transaction = wanted.and_then(|wanted| wanted.transaction.as_deref());
        self.wires.never_left(delivery.poi, &delivery.id, transaction)
    }

    /// Whether it went to a terminal that does not acknowledge.
    pub(crate) fn is_plain(&self, delivery: &Delivery<'_>) -> bool {
        delivery.writes.first().is_some_and(|(at, link)| self.wires.is_plain(delivery.poi, *link, *at))
    }

    pub(crate) fn identity(&self, poi: &str, service: &str, device: &str) -> Option<usize> {
        self.identity_by_key.get(&(poi.to_owned(), service.to_owned(), device.to_owned())).copied()
    }

    /// Whether the intention, or what was delivered under this identity, is beyond every promise.
    pub(crate) fn is_set_aside(&self, identity: usize, intention: Option<usize>) -> bool {
        self.identities[identity].set_aside
            || intention.is_some_and(|intention| self.intentions[intention].set_aside)
    }

    /// The intention of an identity's first request that has one.
    pub(crate) fn intention_of(&self, identity: usize) -> Option<usize> {
        self.identities[identity].calls.iter().find_map(|call| self.calls[*call].intention)
    }
}

/// Puts events in order, one after the other.
struct Reader<'a> {
    run: Run<'a>,
    /// By their bytes, for most are seen several times. Ordered, as they differ early, and to hash them takes them whole.
    messages: BTreeMap<&'a [u8], Rc<Message>>,
    call_by_id: HashMap<u64, usize>,
    intention_by_name: HashMap<Intention, usize>,
    /// Terminals and what they have reported, so that `recorded` may follow.
    reported: HashSet<(&'a str, String)>,
    /// When a link said its `hello`, and what that had in `resume`.
    hellos: HashMap<u64, (Index, HashSet<String>)>,
    /// Deliveries of a terminal that are not known to be settled.
    open: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, at: Index, what: &'a What) {
        match what {
            What::Asked { call, path, wait, body } => self.asked(at, *call, path, *wait, body),
            What::Arrived { call } => {
                if let Some(call) = self.call(*call) {
                    call.arrived.get_or_insert(at);
                }
            }
            What::Told { call, status, body } => self.told(at, *call, *status, body),
            What::Heard { .. } | What::Note { .. } => {}
            What::Ended { call } => {
                if let Some(call) = self.call(*call) {
                    call.ended.get_or_insert(at);
                }
            }
            What::ToTerminal { poi, link, frame } => self.down(at, poi, *link, frame::down(frame)),
            What::FromTerminal { poi, link, frame } => self.up(at, poi, *link, frame::up(frame)),
            What::ToActions { poi, frame, .. } => self.run.wires.down(at, poi, frame),
            What::FromActions { poi, link, frame } => self.run.wires.up(at, poi, *link, frame),
            What::FromDesktop { frame, .. } => self.run.wires.desktop_says(frame),
            What::ToDesktop { frame, .. } => {
                self.run.told_desktops.extend(desktop::read(at, frame));
            }
            What::Transaction { .. } => self.run.transactions.push(at),
            What::Executed { poi, execution } => self.executed(at, poi, execution),
            What::JournalLost { poi } => {
                self.run.journals_lost.entry(poi).or_default().push(at);
                // Copies are of its next journal from here on, which knows nothing of what was open.
                self.open.remove(poi.as_str());
            }
            What::JournalCopied { poi } => self.copied(at, poi),
            What::AtRest => self.run.at_rest = Some(at),
            What::Recorded(row) => self.row(at, row),
        }
    }

    fn call(&mut self, id: u64) -> Option<&mut Call<'a>> {
        self.call_by_id.get(&id).and_then(|call| self.run.calls.get_mut(*call))
    }

    fn asked(&mut self, at: Index, id: u64, path: &str, wait: Duration, body: &'a [u8]) {
        let bytes = body.trim_ascii();
        let message = self.message(bytes);
        let (mut identity, mut intention, mut about) = (None, None, None);
        if let Message::Request(request) = &*message {
            let own = self.identity_of(request);
            identity = Some(own);
            intention = self.intention_of(request, own);
            about = request.reference.as_ref().and_then(|reference| self.named(reference));
            self.run.identities[own].calls.push(self.run.calls.len());
        }
        self.call_by_id.insert(id, self.run.calls.len());
        let asynchronous = path.ends_with("async");
        self.run.calls.push(Call {
            id,
            asked: at,
            asynchronous,
            wait,
            bytes,
            message,
            identity,
            intention,
            about,
            arrived: None,
            told: None,
            ended: None,
        });
    }

    fn told(&mut self, at: Index, id: u64, status: u16, body: &'a [u8]) {
        let bytes = body.trim_ascii();
        let answer = match status {
            200 if body == b"ok" => Answer::Ok,
            200 => Answer::Message(bytes, self.message(bytes)),
            status => Answer::Status(status),
        };
        if let Some(call) = self.call(id) {
            call.told.get_or_insert(Told { at, answer });
        }
    }

    fn down(&mut self, at: Index, poi: &'a str, link: u64, frame: Down<'a>) {
        match frame {
            Down::Deliver { delivery, message } => self.delivered(at, poi, link, delivery, message),
            Down::Recorded { delivery, problem } => {
                if !self.reported.contains(&(poi, delivery.clone())) {
                    let poi = poi.to_owned();
                    return self.run.unfounded_records.push(Unfounded { at, poi, delivery });
                }
                if let Some(known) = self.delivery(poi, &delivery) {
                    known.recorded.push((at, problem));
                }
                self.settled(poi, |known| known.id == delivery && !problem && known.is_ended());
            }
            // Its `hello` has proved that what is not in `resume`, and was never reported, had not got there.
            Down::Welcome => {
                let (_, resume) = self.hellos.get(&link).cloned().unwrap_or_default();
                self.settled(poi, |known| known.reports.is_empty() && !resume.contains(&known.id));
            }
            Down::Other => {}
        }
    }

    fn delivered(&mut self, at: Index, poi: &'a str, link: u64, id: String, bytes: &'a [u8]) {
        if let Some(known) = self.run.delivery_by_id.get(&id) {
            return self.run.deliveries[*known].writes.push((at, link));
        }
        let message = self.message(bytes);
        let (mut identity, mut intention) = (None, None);
        let number = self.run.deliveries.len();
        if let Message::Request(request) = &*message {
            let own = self.identity_of(request);
            identity = Some(own);
            intention = self.intention_of(request, own);
            self.run.identities[own].deliveries.push(number);
        }
        self.run.delivery_by_id.insert(id.clone(), number);
        self.open.entry(poi).or_default().push(number);
        self.run.deliveries.push(Delivery {
            id,
            poi,
            message,
            bytes,
            identity,
            intention,
            linked: self.hellos.get(&link).map_or(0, |(at, _)| *at),
            writes: vec![(at, link)],
            reports: Vec::new(),
            recorded: Vec::new(),
            executions: Vec::new(),
            set_aside: false,
        });
    }

    /// Takes deliveries off the list of those that are open.
    fn settled(&mut self, poi: &str, is_settled: impl Fn(&Delivery<'a>) -> bool) {
        let deliveries = &self.run.deliveries;
        if let Some(open) = self.open.get_mut(poi) {
            open.retain(|number| !is_settled(&deliveries[*number]));
        }
    }

    fn up(&mut self, at: Index, poi: &'a str, link: Option<u64>, frame: Up<'a>) {
        let (delivery, kind) = match frame {
            Up::Hello { journal, resume } => {
                if journal.starts_with(PLAIN_JOURNAL) {
                    self.run.plain_hellos.entry(poi).or_default().push(at);
                }
                for delivery in &resume {
                    self.report(at, poi, link, delivery, ReportKind::Resumed);
                }
                if let Some(link) = link {
                    // Of an Actions terminal it is the gateway that says it, after the terminal has.
                    let said = self.run.wires.resumed(link).unwrap_or(at);
                    self.hellos.insert(link, (said, resume.into_iter().collect()));
                }
                return;
            }
            Up::Received { delivery } => (delivery, ReportKind::Received),
            Up::Indeterminate { delivery } => (delivery, ReportKind::Indeterminate),
            Up::Result { delivery, said } => {
                let kind = self.result(&delivery, said);
                (delivery, kind)
            }
            Up::Notify { id } => {
                self.reported.extend(id.map(|id| (poi, id)));
                return;
            }
            Up::Other => return,
        };
        self.report(at, poi, link, &delivery, kind);
        if kind != ReportKind::Received {
            self.reported.insert((poi, delivery));
        }
    }

    fn report(&mut self, at: Index, poi: &str, link: Option<u64>, delivery: &str, kind: ReportKind<'a>) {
        if let Some(known) = self.delivery(poi, delivery) {
            known.reports.push(Report { at, kind, link });
        }
    }

    /// Holds a result against the request that it is to answer (E15).
    fn result(&mut self, delivery: &str, said: Said<'a>) -> ReportKind<'a> {
        let answer = match said {
            Said::Message(bytes) => Some((bytes, self.message(bytes))),
            Said::Empty | Said::TooLarge => None,
        };
        let known = self.run.delivery(delivery);
        let Some(request) = known.and_then(|known| known.request()) else { return ReportKind::Unusable };
        let asked = &request.header;
        match (said, answer) {
            (Said::Empty, _) if message::ends_empty(&asked.category) => ReportKind::Empty,
            (_, Some((bytes, answer))) => match &*answer {
                Message::Response(response)
                    if response.header.message_type == "Response"
                        && response.header.category == asked.category
                        && response.header.service == asked.service
                        && response.header.poi == asked.poi
                        && response.header.class == asked.class
                        && (asked.class != "Device" || response.header.device == asked.device) =>
                {
                    ReportKind::Result(bytes)
                }
                _ => ReportKind::Unusable,
            },
            _ => ReportKind::Unusable,
        }
    }

    fn delivery(&mut self, poi: &str, id: &str) -> Option<&mut Delivery<'a>> {
        let number = self.run.delivery_by_id.get(id)?;
        self.run.deliveries.get_mut(*number).filter(|delivery| delivery.poi == poi)
    }

    fn executed(&mut self, at: Index, poi: &str, execution: &[u8]) {
        let value: Value = serde_json::from_slice(execution).unwrap_or_default();
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let delivery = text("delivery").unwrap_or_default();
        let transaction = text("saleTransaction");
        let known = self.run.delivery_by_id.get(&delivery).copied();
        let known = known.filter(|known| self.run.deliveries[*known].identity.is_some());
        let number = self.run.executions.len();
        let (identity, intention) = match known {
            Some(known) => {
                let known = &mut self.run.deliveries[known];
                known.executions.push(number);
                (known.identity.unwrap_or_default(), known.intention)
            }
            // Nobody saw it being delivered: what the terminal says has to do.
            None => {
                let identity = self.identity(poi, &text("service").unwrap_or_default(), "");
                let reversal_of =
                    value.pointer("/kind/reversal/of").and_then(Value::as_str).map(str::to_owned);
                let sale = text("sale").unwrap_or_default();
                let intention = Intention { sale, reversal_of, transaction: transaction.clone() };
                let named = intention.reversal_of.is_some() || intention.transaction.is_some();
                (identity, named.then(|| self.wanted(intention, identity)))
            }
        };
        self.run.identities[identity].executions.push(number);
        if let Some(intention) = intention {
            self.run.intentions[intention].executions.push(number);
        }
        let poi_transaction = text("poiTransaction");
        self.run.executions.push(Execution {
            at,
            delivery,
            identity,
            intention,
            transaction,
            poi_transaction,
        });
    }

    /// What was open at this terminal is beyond every promise, and so is what was wanted by it. The copy may be older than its
    /// takeover, so that what has been reported as unknown since then counts as open, too.
    fn copied(&mut self, at: Index, poi: &'a str) {
        self.run.journals_copied.entry(poi).or_default().push(at);
        for number in self.open.remove(poi).unwrap_or_default() {
            let delivery = &mut self.run.deliveries[number];
            delivery.set_aside = true;
            if let Some(identity) = delivery.identity {
                self.run.identities[identity].set_aside = true;
            }
            if let Some(intention) = delivery.intention {
                self.run.intentions[intention].set_aside = true;
            }
        }
    }

    fn row(&mut self, at: Index, row: &'a Row) {
        let number = self.run.rows.len();
        self.run.row_by_delivery.insert(&row.delivery, number);
        let identity = (!is_of_device(&row.category)).then(|| self.identity(&row.poi, &row.service, ""));
        if let Some(identity) = identity {
            self.run.identities[identity].rows.push(number);
        }
        let response = row.response.as_deref().map(|bytes| {
            let bytes = bytes.trim_ascii();
            (bytes, self.message(bytes))
        });
        self.run.rows.push(RowSeen { at, row, identity, response });
    }

    fn message(&mut self, bytes: &'a [u8]) -> Rc<Message> {
        self.messages.entry(bytes).or_insert_with(|| Rc::new(message::read(bytes))).clone()
    }

    fn identity_of(&mut self, request: &Request) -> usize {
        let header = &request.header;
        let device = if header.class == "Device" { header.device.as_str() } else { "" };
        self.identity(&header.poi, &header.service, device)
    }

    /// The identity that a reference names; a reference is never guessed (E20).
    fn named(&mut self, reference: &Reference) -> Option<usize> {
        let service = reference.service.as_deref()?;
        let of_device = reference.category.as_deref().is_some_and(is_of_device);
        let device = if of_device { reference.device.as_deref()? } else { "" };
        Some(self.identity(&reference.poi, service, device))
    }

    fn identity(&mut self, poi: &str, service: &str, device: &str) -> usize {
        let key = (poi.to_owned(), service.to_owned(), device.to_owned());
        let identities = &mut self.run.identities;
        *self.run.identity_by_key.entry(key).or_insert_with(|| {
            identities.push(Identity {
                poi: poi.to_owned(),
                service: service.to_owned(),
                calls: Vec::new(),
                deliveries: Vec::new(),
                executions: Vec::new(),
                rows: Vec::new(),
                set_aside: false,
            });
            identities.len() - 1
        })
    }

    fn intention_of(&mut self, request: &Request, identity: usize) -> Option<usize> {
        Some(self.wanted(request.intention.clone()?, identity))
    }

    fn wanted(&mut self, intention: Intention, identity: usize) -> usize {
        let poi = &self.run.identities[identity].poi;
        let intentions = &mut self.run.intentions;
        let number = *self.intention_by_name.entry(intention).or_insert_with_key(|intention| {
            intentions.push(Wanted {
                intention: intention.clone(),
                poi: poi.clone(),
                identities: Vec::new(),
                executions: Vec::new(),
                set_aside: false,
            });
            intentions.len() - 1
        });
        let identities = &mut intentions[number].identities;
        if !identities.contains(&identity) {
            identities.push(identity);
        }
        number
    }
}
