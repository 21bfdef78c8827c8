//! Tills: each wants its sales to be paid for once, and acts on what it is told, as the integration guide tells a POS to.
//!
//! A till sends a new ServiceID for a sale only after it was told that the one before did not run; what it was told nothing
//! about, or *nobody knows*, it asks about, or it sends the very same request again.

use std::time::Duration;

use bytes::Bytes;
use judge::What;

use crate::message::{Heard, Reference, Whose};
use crate::network::{Arrived, Break, ConnectionNumber, End, Packet};
use crate::tally::Count;
use crate::world::{Event, Owner, World, poi_id};

/// How often a sale in the end is tried again when its disk is too slow.
const LAST_TRIES: u32 = 10;

/// No response of a virtual terminal is longer than this, in bytes.
const RESPONSE_MAX: u32 = 16 * 1024;

/// Attempts at one sale before the customer leaves.
const TRIES_MAX: u32 = 6;

/// Questions about one request that nobody can answer, before a person has to look.
const QUESTIONS_MAX: u32 = 12;

#[derive(Debug)]
pub(crate) struct Till {
    pub(crate) number: usize,
    pub(crate) terminal: usize,
    pub(crate) whose: Whose,
    sales: usize,
    sale: Option<Sale>,
    state: State,
    /// Counts its steps, so that what was planned for an earlier one does nothing.
    turn: u64,
    services: u32,
    /// The last payment that was approved here, as something to give back.
    approved: Option<String>,
    /// Every ServiceID of a sale, with its category: what is asked about in the end.
    pub(crate) used: Vec<(String, &'static str)>,
    /// ServiceID of the last sale that was begun.
    pub(crate) last_service: Option<String>,
    /// The last request that was none of a sale.
    pub(crate) last_aside: Option<(String, &'static str, Bytes)>,
}

/// One thing that is to be paid for, or given back.
#[derive(Debug)]
struct Sale {
    intention: String,
    category: &'static str,
    asynchronous: bool,
    service: String,
    body: Bytes,
    tries: u32,
    questions: u32,
    /// How often it was told to come again.
    refusals: u32,
    /// For a reversal: of which payment. Else the amount.
    what: String,
    operator: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Pauses, and then does this.
    Pausing(Step),
    /// Waits for the answer to this call.
    Waiting { call: usize, asks: bool },
    /// Has sold all it wanted to.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    NextSale,
    NewService,
    SameService,
    Ask,
}

/// One HTTP call of a POS.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) connection: ConnectionNumber,
    pub(crate) till: Option<usize>,
    has_ended: bool,
}

impl Till {
    pub(crate) fn new(number: usize, terminal: usize, sales: usize) -> Till {
        Till {
            number,
            terminal,
            whose: Whose { sale: format!("TILL-{number}"), poi: poi_id(terminal).to_string() },
            sales,
            sale: None,
            state: State::Pausing(Step::NextSale),
            turn: 0,
            services: 0,
            approved: None,
            used: Vec::new(),
            last_service: None,
            last_aside: None,
        }
    }

    /// ServiceID and category of what it waits for the end of.
    pub(crate) fn waits_for(&self) -> Option<(&str, &'static str)> {
        let sale = self.sale.as_ref().filter(|_| matches!(self.state, State::Waiting { asks: false, .. }))?;
        Some((&sale.service, sale.category))
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// It begins nothing new.
    pub(crate) fn closes(&mut self) {
        self.sales = 0;
    }

    pub(crate) fn turn(&self) -> u64 {
        self.turn
    }

    pub(crate) fn next_service(&mut self) -> String {
        self.services += 1;
        format!("{}s{}", self.number, self.services)
    }

    fn pauses(&mut self, step: Step) {
        self.turn += 1;
        self.state = State::Pausing(step);
    }
}

impl World {
    pub(crate) fn till_turns(&mut self, till: usize, turn: u64) {
        let Some(State::Pausing(step)) =
            self.tills.get(till).filter(|till| till.turn == turn).map(|till| till.state)
        else {
            return;
        };
        match step {
            Step::NextSale => self.begin_sale(till),
            Step::NewService => self.pay(till),
            Step::SameService => {
                self.tally.count(Count::SameService);
                self.send_payment(till);
            }
            Step::Ask => self.ask(till),
        }
    }

    fn begin_sale(&mut self, till: usize) {
        let habits = self.plan.habits.clone();
        self.tills[till].sale = None;
        if self.tills[till].sales == 0 {
            self.tills[till].state = State::Done;
            return;
        }
        self.tills[till].sales -= 1;
        if self.chance.once_in(habits.others) {
            self.asks_for_something_else(till);
        }
        if self.chance.once_in(habits.checks) {
            let terminal = self.tills[till].terminal;
            self.check(terminal);
        }
        let number = self.tills[till].sales;
        let intention = format!("t{till}-{number}");
        let reverses =
            if self.chance.once_in(habits.reversals) { self.tills[till].approved.take() } else { None };
        let declines = self.chance.once_in(habits.declines);
        let holds_card_data = self.chance.once_in(habits.card_data);
        if holds_card_data {
            self.tally.count(Count::HoldsCardData);
        }
        let asynchronous = self.chance.once_in(habits.asynchronous);
        self.tally.count(if reverses.is_some() { Count::Reversal } else { Count::Payment });
        self.tills[till].sale = Some(Sale {
            intention,
            category: if reverses.is_some() { "Reversal" } else { "Payment" },
            asynchronous,
            service: String::new(),
            body: Bytes::new(),
            tries: 0,
            questions: 0,
            refusals: 0,
            what: reverses.unwrap_or_else(|| if declines { "1.24" } else { "10.99" }.into()),
            operator: if holds_card_data { "Ada 4111111111111111" } else { "Ada" },
        });
        self.pay(till);
    }

    /// The sale under a new ServiceID.
    fn pay(&mut self, till: usize) {
        let it = &mut self.tills[till];
        let service = it.next_service();
        let Some(sale) = &mut it.sale else { return };
        if sale.tries > 0 {
            self.tally.count(Count::NewService);
        }
        sale.tries += 1;
        sale.questions = 0;
        sale.body = match sale.category {
            "Payment" => it.whose.payment(&service, &sale.intention, &sale.what, sale.operator),
            _ => it.whose.reversal(&service, &sale.intention, &sale.what),
        };
        sale.service.clone_from(&service);
        it.used.push((service, sale.category));
        it.last_service = Some(sale.service.clone());
        self.send_payment(till);
    }

    fn send_payment(&mut self, till: usize) {
        let habits = self.plan.habits.clone();
        let Some(sale) = &self.tills[till].sale else { return };
        let (path, body) = (if sale.asynchronous { "/async" } else { "/sync" }, sale.body.clone());
        let service = sale.service.clone();
        if sale.asynchronous {
            self.tally.count(Count::Async);
        }
        let wait = match self.chance.once_in(habits.impatient) {
            true => {
                self.tally.count(Count::Impatient);
                self.chance.pick(&[1, 3, 8, 15, 40]).unwrap_or(150)
            }
            false => 150,
        };
        let call = self.send_call(Some(till), path, wait, body.clone());
        let it = &mut self.tills[till];
        it.turn += 1;
        it.state = State::Waiting { call, asks: false };
        if self.chance.once_in(habits.hang_ups) {
            let after = self.chance.mostly_short(Duration::from_secs(wait));
            self.schedule.after(after, Event::HangUp(call));
        }
        if self.chance.once_in(habits.aborts) {
            let bound = self.chance.pick(&[3, 300, 5_000]).unwrap_or(0);
            let after = self.chance.mostly_short(Duration::from_millis(bound));
            self.schedule.after(after, Event::AbortFor(till, service));
        }
        if self.chance.once_in(habits.clashes) {
            let after = self.chance.mostly_short(Duration::from_secs(5));
            let service = self.tills[till].sale.as_ref().map(|sale| sale.service.clone());
            self.schedule.after(after, Event::Clash(till, service.unwrap_or_default()));
        }
        if self.chance.once_in(habits.peeks) {
            let bound = self.chance.pick(&[30, 5_000, 60_000]).unwrap_or(0);
            let after = self.chance.mostly_short(Duration::from_millis(bound));
            let service = self.tills[till].sale.as_ref().map(|sale| sale.service.clone());
            self.schedule.after(after, Event::Peek(till, service.unwrap_or_default()));
        }
        if self.chance.once_in(habits.late_copies) {
            let bound = self.chance.pick(&[100, 5_000, 120_000]).unwrap_or(0);
            let after = self.chance.mostly_short(Duration::from_millis(bound));
            self.schedule.after(after, Event::LateCopy(path, body));
        }
    }

    fn ask(&mut self, till: usize) {
        let reprint = self.chance.once_in(20);
        let it = &mut self.tills[till];
        let question = it.next_service();
        let Some(sale) = &mut it.sale else { return };
        sale.questions += 1;
        let body =
            it.whose.status(&question, &Reference::to(&it.whose, sale.category, &sale.service), reprint);
        self.tally.count(Count::Status);
        let wait = self.chance.pick(&[10, 30, 150]).unwrap_or(150);
        let call = self.send_call(Some(till), "/sync", wait, body);
        let it = &mut self.tills[till];
        it.turn += 1;
        it.state = State::Waiting { call, asks: true };
    }

    /// Opens a connection and sends a request. Its number names the call.
    pub(crate) fn send_call(
        &mut self,
        till: Option<usize>,
        path: &'static str,
        wait: u64,
        body: Bytes,
    ) -> usize {
        let call = self.calls.len();
        let connection = self.open(Owner::Call(call));
        self.calls.push(Call { connection, till, has_ended: false });
        let wait_for = Duration::from_secs(wait);
        self.log(What::Asked { call: call as u64, path, wait: wait_for, body: body.clone() });
        // A little longer than any answer takes: then the connection must be dead.
        self.schedule.after(wait_for + Duration::from_secs(10), Event::HangUp(call));
        self.send(connection, End::Client, &Packet::Request(path.into(), format!("wait={wait}"), body));
        call
    }

    /// The POS gives up its call, if it still waits.
    pub(crate) fn hang_up(&mut self, call: usize) {
        let Some(Call { connection, has_ended: false, .. }) = self.calls.get(call) else { return };
        let connection = *connection;
        self.tally.count(Count::HangUp);
        let now = self.schedule.now();
        if let Some(at) = self.network.close(now, &mut self.chance, connection, End::Client) {
            self.schedule.at(at, Event::Look(connection, End::Gateway));
        }
        self.call_ended(call);
        self.hears(call, Heard::Nothing);
    }

    /// For whoever watches, once: the call has ended without an answer.
    pub(crate) fn call_ended(&mut self, call: usize) {
        if let Some(ended) = self.calls.get_mut(call)
            && !ended.has_ended
        {
            self.log(What::Ended { call: call as u64 });
        }
    }

    pub(crate) fn pos_looks(&mut self, connection: ConnectionNumber, call: usize) {
        let now = self.schedule.now();
        match self.network.receive(now, connection, End::Client) {
            Ok(Arrived::Packet(Packet::Answer(status, body))) => {
                self.log(What::Heard { call: call as u64 });
                self.pos_closes(connection, call);
                let heard = Heard::read(status, &body);
                self.hears(call, heard);
            }
            Ok(Arrived::Packet(_)) => {}
            Ok(Arrived::End) => {
                self.call_ended(call);
                self.pos_closes(connection, call);
                self.hears(call, Heard::Nothing);
            }
            Err(again) => {
                if let Some(at) = again {
                    self.schedule.at(at, Event::Look(connection, End::Client));
                }
            }
        }
    }

    fn pos_closes(&mut self, connection: ConnectionNumber, call: usize) {
        if let Some(call) = self.calls.get_mut(call) {
            call.has_ended = true;
        }
        let now = self.schedule.now();
        if let Some(at) = self.network.close(now, &mut self.chance, connection, End::Client) {
            self.schedule.at(at, Event::Look(connection, End::Gateway));
        }
    }

    /// A till acts on what it was told.
    fn hears(&mut self, call: usize, heard: Heard) {
        if let Some(ended) = self.calls.get_mut(call) {
            ended.has_ended = true;
        }
        let Some(till) = self.calls.get(call).and_then(|call| call.till) else { return };
        let State::Waiting { call: waited, asks } = self.tills[till].state else { return };
        if waited != call {
            return;
        }
        let repeats = self.plan.habits.repeats;
        let step = match heard {
            Heard::Success(transaction) => {
                let is_payment =
                    self.tills[till].sale.as_ref().is_some_and(|sale| sale.category == "Payment");
                if is_payment {
                    self.tills[till].approved = Some(transaction);
                }
                Step::NextSale
            }
            Heard::Failure(condition) if condition == "Refusal" => Step::NextSale,
            Heard::Failure(condition) if condition == "InProgress" => Step::Ask,
            Heard::Failure(_) => Step::NewService,
            Heard::NotDelivered if !asks => Step::NewService,
            Heard::NotFound if asks => Step::NewService,
            Heard::Status(_) => {
                if let Some(sale) = &mut self.tills[till].sale {
                    sale.refusals += 1;
                }
                if asks { Step::Ask } else { Step::SameService }
            }
            Heard::Nothing if !asks && self.chance.once_in(2) => Step::SameService,
            // Whoever may ask may as well send the very same request once more.
            Heard::NoResponse | Heard::InProgress | Heard::Nothing if self.chance.once_in(repeats) => {
                Step::SameService
            }
            _ => Step::Ask,
        };
        self.goes_on(till, step);
    }

    fn goes_on(&mut self, till: usize, step: Step) {
        let it = &mut self.tills[till];
        let (tries, questions, refusals) =
            it.sale.as_ref().map_or((0, 0, 0), |sale| (sale.tries, sale.questions, sale.refusals));
        let step = match step {
            Step::NewService if tries >= TRIES_MAX => Step::NextSale,
            Step::Ask | Step::SameService if questions >= QUESTIONS_MAX && !self.is_quiet => {
                self.tally.count(Count::ForAPerson);
                Step::NextSale
            }
            Step::Ask | Step::SameService if questions >= 2 * QUESTIONS_MAX => {
                self.tally.count(Count::ForAPerson);
                Step::NextSale
            }
            step => step,
        };
        it.pauses(step);
        let turn = it.turn;
        let least = match step {
            Step::NextSale => Duration::ZERO,
            // Slower and slower: a terminal that is away may take its time.
            Step::Ask | Step::SameService | Step::NewService => {
                Duration::from_millis(20 << (questions + tries).min(10))
            }
        };
        // As 503 and 429 ask for, and more each time.
        let again = Duration::from_secs(u64::from(refusals.min(30)));
        let pause = least + again + self.chance.mostly_short(self.plan.pause);
        self.schedule.after(pause, Event::Till(till, turn));
    }

    /// Breaks one of the calls under way.
    pub(crate) fn break_call(&mut self, how: Break) -> bool {
        let open: Vec<_> = self
            .calls
            .iter()
            .enumerate()
            .rev()
            .take(20)
            .filter(|(_, call)| !call.has_ended)
            .map(|(_, call)| call.connection)
            .collect();
        let Some(connection) = self.chance.pick(&open) else { return false };
        self.sever(connection, how);
        true
    }

    /// In the end everything works as before: something is sold at each terminal. Says where it is not.
    pub(crate) fn last_sales(&mut self) -> Option<String> {
        (0..self.sites.len()).find_map(|till| {
            let service = self.tills[till].next_service();
            let body = self.tills[till].whose.payment(&service, &format!("last-{till}"), "10.99", "Ada");
            let mut heard = Heard::Nothing;
            for _ in 0..LAST_TRIES {
                let call = self.send_call(None, "/sync", 150, body.clone());
                self.live_until(Duration::from_secs(170), |world| world.told(call).is_some());
                heard = self.told(call).unwrap_or(Heard::Nothing);
                match heard {
                    // The disk is slow: the same again, as it says.
                    Heard::Status(503) => self.live(Duration::from_secs(1)),
                    _ => break,
                }
            }
            // A response over the limit of this run is kept from the POS.
            let is_well = matches!(heard, Heard::Success(_)) || self.plan.body_limit < RESPONSE_MAX;
            (!is_well).then(|| format!("in the end a new payment at terminal {till} hears {heard:?}"))
        })
    }

    /// What this call was told.
    fn told(&self, call: usize) -> Option<Heard> {
        self.log.events.iter().rev().find_map(|event| match &event.what {
            What::Told { call: told, status, body } if *told == call as u64 => {
                Some(Heard::read(*status, body))
            }
            _ => None,
        })
    }

    /// In the end each till asks about everything that it has sent.
    pub(crate) fn last_questions(&mut self) {
        for till in 0..self.tills.len() {
            let it = &mut self.tills[till];
            let used = it.used.clone();
            for (about, category) in used {
                let it = &mut self.tills[till];
                let question = it.next_service();
                let body = it.whose.status(&question, &Reference::to(&it.whose, category, &about), false);
                self.send_call(None, "/sync", 30, body);
                self.live(Duration::from_millis(20));
            }
        }
    }
}
