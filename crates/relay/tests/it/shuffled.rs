//! Everything at once, in any order: what must hold then is held by [`Pair`](crate::pair::Pair) at every step, and here
//! at the end, when all has come to rest.

use std::time::Duration;

use nexo::{ErrorCondition, Response, ResultCode};
use proptest::collection::vec;
use proptest::prelude::*;
use relay::exchange::{Answer, StatusAnswer};
use relay::{CallId, CloseReason, DeliveryId, ResultMessage, ToGateway};

use crate::message::{
    Ask, abort, diagnosis, display, input_update, money, response, status, status_with_receipt,
};
use crate::pair::{Mode, Pair};

/// A POS that behaves: it sends a new ServiceID only after it was told that the old one did not run.
#[derive(Debug)]
struct Till {
    number: usize,
    sales: usize,
    services: usize,
    questions: usize,
    wait_seconds: u64,
    wish: Wish,
    /// The request under way, for repeats.
    ask: Option<Ask>,
    approved: Vec<String>,
}

#[derive(Debug)]
enum Wish {
    /// Nothing is to be sold.
    Idle,
    /// The sale is to be sent under a new ServiceID.
    Send,
    /// The same request is to be sent again.
    Repeat,
    /// Sent; the answer is waited for.
    Sent(CallId),
    /// Nobody knows: a TransactionStatus is to be sent.
    Ask,
    /// Sent.
    Asked(CallId),
}

impl Till {
    fn new(number: usize, wait_seconds: u64) -> Till {
        let wish = Wish::Idle;
        Till {
            number,
            sales: 0,
            services: 0,
            questions: 0,
            wait_seconds,
            wish,
            ask: None,
            approved: Vec::new(),
        }
    }

    fn intention(&self) -> String {
        format!("till{}-sale{}", self.number, self.sales)
    }

    fn service(&self) -> String {
        format!("{}S{}", self.number, self.services)
    }

    /// Does what is to be done next.
    fn go_on(&mut self, pair: &mut Pair) {
        match self.wish {
            Wish::Idle => {
                self.sales += 1;
                self.wish = Wish::Send;
                self.go_on(pair);
            }
            Wish::Send => {
                self.services += 1;
                let category = if self.sales.is_multiple_of(3) { "Reversal" } else { "Payment" };
                let ask = money(category, &self.service(), &self.intention()).wait(self.wait_seconds);
                self.wish = Wish::Sent(pair.send(&ask));
                self.ask = Some(ask);
            }
            Wish::Repeat => {
                if let Some(ask) = &self.ask {
                    self.wish = Wish::Sent(pair.send(ask));
                }
            }
            Wish::Ask => {
                self.questions += 1;
                let question = format!("{}T{}", self.number, self.questions);
                let mut ask = match self.questions % 4 {
                    0 => status_with_receipt(&question, &self.service()),
                    _ => status(&question, &self.service()),
                };
                if self.sales.is_multiple_of(3) {
                    ask.body = ask.body.replace("Payment", "Reversal");
                }
                self.wish = Wish::Asked(pair.send(&ask.wait(self.wait_seconds)));
            }
            Wish::Sent(_) | Wish::Asked(_) => {}
        }
    }

    /// Hears what it was told.
    fn listen(&mut self, pair: &Pair) {
        let (Wish::Sent(call) | Wish::Asked(call)) = self.wish else { return };
        let asked = &pair.calls[&call];
        if asked.lost {
            self.wish = Wish::Ask;
        }
        let Some(answer) = &asked.answer else { return };
        let asking = matches!(self.wish, Wish::Asked(_));
        self.wish = match answer {
            Answer::Response(message) if asking => match condition(message) {
                None => Wish::Idle,
                Some(condition) if condition == ErrorCondition::NOT_FOUND => Wish::Send,
                Some(_) => Wish::Ask,
            },
            Answer::Response(message) | Answer::Status(StatusAnswer::Found(message)) => {
                match condition(message) {
                    None => {
                        self.approved.push(self.intention());
                        Wish::Idle
                    }
                    Some(condition) if condition == ErrorCondition::REFUSAL => Wish::Idle,
                    Some(_) => Wish::Send,
                }
            }
            Answer::Status(StatusAnswer::NotFound) => Wish::Send,
            Answer::NotDelivered if !asking => Wish::Send,
            Answer::Failure { condition, .. } if !asking && *condition != ErrorCondition::IN_PROGRESS => {
                Wish::Send
            }
            Answer::TryAgain | Answer::TooMany if !asking => Wish::Repeat,
            Answer::NoResponse
            | Answer::NotDelivered
            | Answer::Failure { .. }
            | Answer::TryAgain
            | Answer::TooMany
            | Answer::Status(StatusAnswer::InProgress) => Wish::Ask,
            Answer::Ok => panic!("a payment is not answered with ok"),
        };
    }
}

fn condition(message: &bytes::Bytes) -> Option<ErrorCondition> {
    let outcome = Response::parse(message.clone()).expect("a response").outcome().expect("an outcome");
    match outcome.result {
        ResultCode::Success => None,
        _ => outcome.error_condition,
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A till does what it has to do next.
    Till(usize),
    /// The terminal is switched off, or on again.
    Switch,
    /// A till's network sends its request once more.
    Copy(usize),
    /// The same, by a till that does not wait for the end.
    CopyAsync(usize),
    /// A sale whose end comes by webhook.
    Async(u8),
    /// Another body under the ServiceID of a till.
    Clash(usize),
    Abort(usize),
    /// A till's connection breaks; it will repeat, or ask.
    HangUp(usize, bool),
    Diagnosis(u8),
    Display(u8),
    InputUpdate(u8),
    Check,
    Drive,
    Connect,
    /// Somebody else with the same journal, who does not know of a newer attempt.
    Stale,
    Hear(usize),
    Read(usize),
    Transmit(usize),
    Work,
    Cut,
    DropSilently,
    Notice(usize),
    Apply,
    ApplyRest,
    ApplyZombie,
    Fail,
    Reply,
    /// A reply that overtakes others.
    ReplyAt(usize),
    ReplyAsFailed,
    Mode(Mode),
    Transmits(bool),
    Reads(bool),
    Hears(bool),
    Works(bool),
    Syncs(bool),
    Sync(usize),
    CrashGateway(usize),
    CrashTerminal,
    BoardAgain,
    Maintain,
    /// The terminal says its results once more.
    Duplicate,
    Contradict(usize),
    Misfit(u64),
    /// The fleet takes the terminal's link away, or moves it.
    CloseDown,
    RemoveConfig(u8),
    /// Or not after all.
    LeaveAlone,
    Pass(u64),
    Live(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let till = 0..2usize;
    let socket = 0..6usize;
    let time = prop::sample::select(vec![1u64, 250, 900, 1000, 2000, 5000, 9000, 16_000, 61_000, 151_000]);
    let mode = prop::sample::select(vec![
        Mode::Prompt,
        Mode::Prompt,
        Mode::Stalled,
        Mode::Failing,
        Mode::FailingLate,
        Mode::Full,
    ]);
    prop_oneof![
        12 => till.clone().prop_map(Step::Till),
        4 => till.clone().prop_map(Step::Copy),
        2 => till.clone().prop_map(Step::CopyAsync),
        3 => (0..4u8).prop_map(Step::Async),
        1 => till.clone().prop_map(Step::Clash),
        2 => till.clone().prop_map(Step::Abort),
        2 => (till, any::<bool>()).prop_map(|(till, repeat)| Step::HangUp(till, repeat)),
        2 => (0..3u8).prop_map(Step::Diagnosis),
        1 => (0..3u8).prop_map(Step::Display),
        1 => (0..2u8).prop_map(Step::InputUpdate),
        1 => Just(Step::Check),
        12 => Just(Step::Drive),
        6 => Just(Step::Connect),
        1 => Just(Step::Stale),
        5 => socket.clone().prop_map(Step::Hear),
        5 => socket.clone().prop_map(Step::Read),
        5 => socket.clone().prop_map(Step::Transmit),
        4 => Just(Step::Work),
        2 => Just(Step::Cut),
        1 => Just(Step::DropSilently),
        2 => socket.prop_map(Step::Notice),
        6 => Just(Step::Apply),
        1 => Just(Step::ApplyRest),
        2 => Just(Step::ApplyZombie),
        1 => Just(Step::Fail),
        6 => Just(Step::Reply),
        4 => (1..4usize).prop_map(Step::ReplyAt),
        1 => Just(Step::ReplyAsFailed),
        4 => mode.prop_map(Step::Mode),
        1 => any::<bool>().prop_map(Step::Transmits),
        1 => any::<bool>().prop_map(Step::Reads),
        1 => any::<bool>().prop_map(Step::Hears),
        2 => any::<bool>().prop_map(Step::Works),
        1 => any::<bool>().prop_map(Step::Syncs),
        2 => (1..3usize).prop_map(Step::Sync),
        2 => (0..4usize).prop_map(Step::CrashGateway),
        2 => Just(Step::CrashTerminal),
        1 => Just(Step::BoardAgain),
        2 => Just(Step::Maintain),
        1 => Just(Step::Duplicate),
        1 => Just(Step::Switch),
        1 => (0..3usize).prop_map(Step::Contradict),
        1 => (1..40u64).prop_map(Step::Misfit),
        2 => Just(Step::CloseDown),
        1 => (0..2u8).prop_map(Step::RemoveConfig),
        3 => Just(Step::LeaveAlone),
        4 => time.clone().prop_map(Step::Pass),
        4 => time.prop_map(Step::Live),
    ]
}

fn take(pair: &mut Pair, tills: &mut [Till; 2], step: &Step) {
    let last = pair.sockets.len().saturating_sub(1);
    // Sockets are counted from the newest one.
    let socket = |back: usize| last.checked_sub(back).filter(|_| !pair.sockets.is_empty());
    match step {
        Step::Till(till) => tills[*till].go_on(pair),
        Step::Switch => pair.switched_off = !pair.switched_off,
        Step::Copy(till) => {
            if let Some(ask) = &tills[*till].ask {
                pair.send(ask);
            }
        }
        Step::CopyAsync(till) => {
            if let Some(ask) = &tills[*till].ask {
                pair.send(&ask.clone().asynchronous());
            }
        }
        Step::Async(number) => {
            let service = format!("W{number}");
            pair.send(&money("Payment", &service, &format!("async-{service}")).asynchronous());
        }
        Step::Clash(till) => {
            let service = tills[*till].service();
            pair.send(&money("Payment", &service, &format!("clash-{service}")).sale("TILL-9"));
        }
        Step::Abort(till) => {
            let number = pair.calls.len();
            pair.send(&abort(&format!("A{number}"), &tills[*till].service()));
        }
        Step::HangUp(till, repeat) => {
            if let Wish::Sent(call) | Wish::Asked(call) = tills[*till].wish
                && pair.calls[&call].answer.is_none()
            {
                let asking = matches!(tills[*till].wish, Wish::Asked(_));
                pair.hang_up(call);
                tills[*till].wish = if *repeat && !asking { Wish::Repeat } else { Wish::Ask };
            }
        }
        Step::Diagnosis(service) => {
            pair.send(&diagnosis(&format!("D{service}")).wait(1 + 20 * u64::from(*service)));
        }
        Step::Display(device) => {
            pair.send(&display("V1", &device.to_string()));
        }
        Step::InputUpdate(device) => {
            pair.send(&input_update("U1", &device.to_string()));
        }
        Step::Check => pair.check(),
        Step::Drive => pair.drive(),
        Step::Connect => {
            pair.connect();
        }
        Step::Stale => {
            if pair.terminal.attempt > 0 {
                pair.dial_beside(pair.terminal.attempt);
            }
        }
        Step::Hear(back) => {
            if let Some(index) = socket(*back) {
                pair.hear(index);
            }
        }
        Step::Read(back) => {
            if let Some(index) = socket(*back) {
                pair.read(index);
            }
        }
        Step::Transmit(back) => {
            if let Some(index) = socket(*back) {
                pair.transmit(index);
            }
        }
        Step::Work => {
            pair.work();
        }
        Step::Cut => pair.cut_link(),
        Step::DropSilently => pair.drop_link_silently(),
        Step::Notice(back) => {
            if let Some(index) = socket(*back) {
                pair.notice(index);
            }
        }
        Step::Apply => {
            pair.apply_next();
        }
        Step::ApplyRest => {
            pair.apply_rest();
        }
        Step::ApplyZombie => {
            pair.apply_zombie();
        }
        Step::Fail => {
            pair.fail_next();
        }
        Step::Reply => {
            pair.reply_next();
        }
        Step::ReplyAt(index) => pair.reply_at(*index),
        Step::ReplyAsFailed => {
            pair.reply_next_as_failed();
        }
        Step::Mode(mode) => pair.mode = *mode,
        Step::Transmits(yes) => pair.transmits = *yes,
        Step::Reads(yes) => pair.reads = *yes,
        Step::Hears(yes) => pair.hears = *yes,
        Step::Works(yes) => pair.works = *yes,
        Step::Syncs(yes) => pair.terminal.syncs = *yes,
        Step::Sync(count) => {
            pair.sync(*count);
        }
        Step::CrashGateway(applied) => pair.crash_gateway(*applied),
        Step::CrashTerminal => pair.crash_terminal(),
        Step::BoardAgain => pair.board_again(),
        Step::Maintain => pair.maintain(),
        Step::Duplicate => {
            for result in pair.terminal.unrecorded() {
                pair.say(result);
            }
        }
        Step::Contradict(index) => {
            if let Some(result) = pair.terminal.contradict(*index) {
                pair.say(result);
            }
        }
        Step::Misfit(number) => {
            // A response for a delivery that may or may not exist, made for another ServiceID.
            let delivery = DeliveryId::parse(&format!("d_{number}")).expect("an ID");
            let message = response(diagnosis("ZZZ").request().header(), None, 0);
            pair.say(ToGateway::Result(delivery, ResultMessage::Message(message)));
        }
        Step::CloseDown => pair.close_down(&CloseReason::WebSocketsDisabled),
        Step::RemoveConfig(number) => pair.remove_config(&format!("as_{number}")),
        Step::LeaveAlone => pair.leave_alone(),
        Step::Pass(millis) => pair.pass(Duration::from_millis(*millis)),
        Step::Live(millis) => pair.live(Duration::from_millis(*millis)),
    }
    for till in tills {
        till.listen(pair);
    }
}

/// Which kind of step it is: a case draws from some kinds only, so that it dwells on what these can do together.
fn kind(step: &Step) -> u64 {
    let name = format!("{step:?}");
    1 << (name.bytes().take_while(u8::is_ascii_alphabetic).map(u64::from).sum::<u64>() % 64)
}

fn run(steps: &[Step], kinds: u64, wait_seconds: u64) {
    let mut pair = Pair::new();
    let mut tills = [Till::new(0, wait_seconds), Till::new(1, 150)];
    for step in steps.iter().filter(|step| kinds & kind(step) != 0) {
        take(&mut pair, &mut tills, step);
    }
    pair.come_to_rest();
    // Whoever does not know yet asks, and what did not run is sent once more.
    for _ in 0..4 {
        for till in &mut tills {
            till.listen(&pair);
            if !matches!(till.wish, Wish::Idle) {
                till.go_on(&mut pair);
            }
        }
        pair.live(Duration::from_secs(5));
    }
    pair.live(Duration::from_secs(200));
    for till in &mut tills {
        till.listen(&pair);
        for sale in &till.approved {
            assert_eq!(pair.charged(sale), 1, "{sale} was approved");
        }
    }
    for execution in &pair.terminal.executions {
        assert_eq!(pair.charged(&execution.intention), 1, "{} was charged", execution.intention);
    }
    for record in pair.ledger.records() {
        assert!(!record.outcome.is_undecided(), "{record:?} has no outcome");
    }
    for asked in pair.calls.values() {
        assert!(asked.answer.is_some() || asked.hung_up || asked.lost, "{asked:?} is not answered");
    }
    // And all is well: a sale is a sale.
    pair.switched_off = false;
    let last = pair.send(&money("Payment", "LAST", "last"));
    pair.drive();
    assert!(matches!(&pair.answer(last), Some(Answer::Response(message)) if condition(message).is_none()));
    assert_eq!(pair.charged("last"), 1);
    assert_eq!(pair.gateway.poll_timeout(), None);
    assert!(pair.gateway.is_idle(), "{:?}", pair.gateway);
}

fn kinds() -> impl Strategy<Value = u64> {
    // Without these little happens.
    let essential = kind(&Step::Till(0)) | kind(&Step::Drive) | kind(&Step::Connect);
    prop_oneof![Just(u64::MAX), any::<u64>(), any::<u64>().prop_map(move |kinds| kinds | essential)]
}

/// A few seconds' worth, unless `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let asked = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { asked.cases } else { 4000 };
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 20_000, ..asked }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_in_whatever_order_no_promise_is_broken(
        steps in vec(step(), 1..120),
        kinds in kinds(),
        wait_seconds in prop::sample::select(vec![1u64, 3, 12, 30, 150]),
    ) {
        run(&steps, kinds, wait_seconds);
    }
}

#[test]
fn a_result_that_comes_before_its_delivery_does_not_have_the_terminal_forget_that() {
    let steps = [
        Step::Connect,
        Step::Till(1),
        Step::Connect,
        Step::Live(1),
        Step::Misfit(6),
        Step::Hear(0),
        Step::Stale,
        Step::Hears(false),
        Step::Till(1),
        Step::Async(0),
        Step::Till(0),
        Step::Drive,
        Step::CrashGateway(0),
    ];
    run(&steps, u64::MAX, 1);
}

#[test]
fn a_result_that_does_not_fit_is_no_receipt() {
    let steps = [
        Step::Till(0),
        Step::Connect,
        Step::Drive,
        Step::Misfit(3),
        Step::CrashTerminal,
        Step::Async(0),
        Step::Apply,
        Step::Till(0),
    ];
    run(&steps, u64::MAX, 1);
}
