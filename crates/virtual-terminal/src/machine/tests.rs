//! The machine alone: its owner here is a test with a disk and a clock of its own, and no network.

mod dialect;
mod fleet;

use bytes::Bytes;
use nexo::{Response, ResultCode};
use relay::terminal::Outcome;
use relay::{RESUME_MAX, ToGateway, WallMs};

use super::*;

const POI: &str = "V400m-324688179";
const CARD: Duration = Duration::from_secs(2);

/// The owner of one machine: it stores at once unless it is told to wait, and keeps every other action for the test.
struct Owner {
    machine: Machine,
    now: Now,
    disk: Vec<Record>,
    /// What was appended waits for [`Owner::store`].
    slow_disk: bool,
    asked: u64,
    actions: VecDeque<Action>,
    notices: Vec<Notice>,
}

fn setup(code: Option<&str>) -> Setup {
    let poi_id = PoiId::parse(POI).unwrap();
    Setup {
        device: DeviceFacts::countertop(&poi_id),
        poi_id,
        platform: Platform::NonAndroid,
        firmware_version: "Virtual_OS 1.4.0".into(),
        cardholder: CARD,
        nexo_key: None,
        process: ProcessId::parse("p_1").unwrap(),
        boarding_code: code.map(Secret::new),
        seed: 7,
        dialect: Dialect::Link,
    }
}

fn journal(name: &str) -> JournalId {
    JournalId::parse(name).unwrap()
}

fn delivery(name: &str) -> DeliveryId {
    DeliveryId::parse(name).unwrap()
}

fn start() -> Now {
    Now { mono: Duration::from_secs(100), wall: WallMs(1_795_166_102_118) }
}

fn refused(status: u16, code: Option<&str>) -> CallError {
    CallError::Refused(Refusal { status, code: code.map(str::to_owned), detail: None, retry_after: None })
}

fn boarded() -> Boarded {
    Boarded { token: Secret::new("token"), merchant_account: "DEMO_MERCHANT_EU".into(), store: None }
}

/// A journal with a token, and with these entries.
fn kept(entries: impl IntoIterator<Item = JournalEntry>) -> Vec<Record> {
    let mut records = vec![
        Record::Journal { version: 1, journal_id: journal("j_kept"), poi_id: PoiId::parse(POI).unwrap() },
        Record::Boarded { token: Secret::new("token") },
        Record::Placed { merchant_account: "DEMO_MERCHANT_EU".into(), store: None },
        Record::Settings(Settings { revision: 1, ..Settings::default() }),
    ];
    records.extend(entries.into_iter().map(Record::Entry));
    records
}

/// A result that waits for `recorded`.
fn waiting(name: &str) -> JournalEntry {
    JournalEntry::Remembered {
        delivery: delivery(name),
        at: start().wall,
        header: None,
        outcome: Outcome::Indeterminate("restarted while the transaction ran".into()),
        recorded: false,
    }
}

fn recorded<'a>(names: impl IntoIterator<Item = &'a DeliveryId>) -> MaintenanceAnswer {
    let recorded = |name: &DeliveryId| RecordedResult { delivery_id: name.clone(), problem: None };
    MaintenanceAnswer { recorded: names.into_iter().map(recorded).collect(), ..MaintenanceAnswer::default() }
}

impl Owner {
    fn new(code: Option<&str>) -> Owner {
        Owner::of(Machine::new(start(), journal("j_new"), setup(code)), Vec::new())
    }

    fn restart(disk: Vec<Record>, code: Option<&str>) -> Owner {
        let machine = Machine::restore(start(), journal("j_new"), setup(code), disk.clone()).unwrap();
        Owner::of(machine, disk)
    }

    /// A terminal that is online, and has called maintenance.
    fn online(disk: Vec<Record>) -> Owner {
        let mut owner = Owner::restart(disk, None);
        owner.run_until(start().mono);
        owner.maintained(Ok(MaintenanceAnswer::default()));
        owner.open();
        owner.welcome();
        assert_eq!(*owner.machine.state(), State::Online);
        owner
    }

    fn of(machine: Machine, disk: Vec<Record>) -> Owner {
        let mut owner = Owner {
            machine,
            now: start(),
            disk,
            slow_disk: false,
            asked: 0,
            actions: VecDeque::new(),
            notices: Vec::new(),
        };
        owner.settle();
        owner
    }

    /// Gives the machine an input, and carries out what it asks of the disk.
    fn with(&mut self, input: impl FnOnce(&mut Machine, Now)) {
        input(&mut self.machine, self.now);
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            let mut rewrite = false;
            while let Some(action) = self.machine.poll_action() {
                match action {
                    Action::Append { record, seq } => {
                        assert_eq!(seq, self.asked + 1);
                        self.asked = seq;
                        self.disk.push(record);
                    }
                    Action::Rewrite { seq } => {
                        assert_eq!(seq, self.asked + 1);
                        self.asked = seq;
                        rewrite = true;
                    }
                    Action::Show(state) => assert_eq!(state, *self.machine.state()),
                    Action::Tell(notice) => self.notices.push(notice),
                    other => self.actions.push_back(other),
                }
            }
            if rewrite {
                self.disk = self.machine.whole();
            }
            if self.slow_disk || self.machine.disk.is_settled() {
                return;
            }
            self.machine.handle_stored(self.now, self.asked);
        }
    }

    fn store(&mut self) {
        let asked = self.asked;
        self.with(|machine, now| machine.handle_stored(now, asked));
    }

    /// Lets time pass, and wakes the machine whenever it wants to be.
    fn run_until(&mut self, mono: Duration) {
        for _ in 0..1000 {
            let Some(due) = self.machine.poll_timeout().filter(|due| *due <= mono) else {
                self.now.mono = self.now.mono.max(mono);
                return;
            };
            self.now.mono = self.now.mono.max(due);
            self.with(Machine::handle_timeout);
        }
        panic!("the machine never rests");
    }

    fn run_for(&mut self, time: Duration) {
        self.run_until(self.now.mono + time);
    }

    fn next(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn maintained(&mut self, answer: Result<MaintenanceAnswer, CallError>) -> Report {
        let at = self.actions.iter().position(|action| matches!(action, Action::Maintain { .. }));
        let Some(Action::Maintain { token, report }) = at.and_then(|at| self.actions.remove(at)) else {
            panic!("no maintenance call in {:?}", self.actions)
        };
        assert_eq!(token, Secret::new("token"));
        self.with(|machine, now| machine.handle_maintained(now, answer));
        report
    }

    /// Opens the link that was asked for, and reads its hello.
    fn open(&mut self) -> relay::Hello {
        let Some(Action::Dial { attempt, token }) = self.next() else { panic!("no dial") };
        assert_eq!(token, Secret::new("token"));
        assert!(self.disk.contains(&Record::Entry(JournalEntry::Attempt(attempt))), "the attempt is stored");
        self.with(|machine, now| machine.handle_opened(now, attempt, Ok(())));
        let ToGateway::Hello(hello) = self.sent() else { panic!("no hello") };
        assert_eq!(hello.attempt, attempt);
        *hello
    }

    fn sent(&mut self) -> ToGateway {
        match self.next() {
            Some(Action::Send(frame)) => ToGateway::decode(&frame).unwrap(),
            other => panic!("nothing was sent, but {other:?}"),
        }
    }

    fn text(&mut self, frame: String) {
        self.with(|machine, now| machine.handle_text(now, frame.into()));
    }

    fn welcome(&mut self) {
        self.text(format!(
            r#"{{"action":"welcome","connectionId":"c_1","serverTime":"2026-11-20T09:15:00.000Z","heartbeat":{{"intervalSeconds":30,"timeoutSeconds":10}},"terminal":{{"poiId":"{POI}","merchantAccount":"DEMO_MERCHANT_EU"}},"settings":{{"revision":1}},"bodyLimit":65536}}"#
        ));
    }

    fn pay(&mut self, name: &str) {
        let service = name.replace("_", "");
        self.text(format!(
            r#"{{"action":"deliver","deliveryId":"{name}","timeLeftMs":60000,"message":{{"SaleToPOIRequest":{{"MessageHeader":{{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"Payment","MessageType":"Request","ServiceID":"{service}","SaleID":"POS1","POIID":"{POI}"}},"PaymentRequest":{{"SaleData":{{"SaleTransactionID":{{"TransactionID":"27908","TimeStamp":"2026-11-20T09:15:02.118Z"}}}},"PaymentTransaction":{{"AmountsReq":{{"Currency":"EUR","RequestedAmount":10.99}}}}}}}}}}}}"#
        ));
    }

    /// The response that was sent for this delivery.
    fn response(&mut self, name: &str) -> Response {
        match self.sent() {
            ToGateway::Result(of, relay::ResultMessage::Message(message)) if of == delivery(name) => {
                Response::parse(message).unwrap()
            }
            other => panic!("no response, but {other:?}"),
        }
    }

    fn stored(&self, wanted: impl Fn(&JournalEntry) -> bool) -> bool {
        self.disk.iter().any(|record| matches!(record, Record::Entry(entry) if wanted(entry)))
    }
}

#[test]
fn a_new_terminal_boards_connects_pays_once_and_forgets_what_is_recorded() {
    let mut owner = Owner::new(Some("code"));
    assert_eq!(owner.next(), None);
    owner.run_until(start().mono);
    assert_eq!(*owner.machine.state(), State::Boarding);
    assert_eq!(owner.next(), Some(Action::Board { code: Secret::new("code"), journal_id: journal("j_new") }));
    owner.with(|machine, now| machine.handle_boarded(now, Ok(boarded())));
    assert!(owner.disk.contains(&Record::Boarded { token: Secret::new("token") }));
    let hello = owner.open();
    assert_eq!((hello.attempt, hello.resume, &hello.journal_id), (1, vec![], &journal("j_new")));
    owner.welcome();
    assert_eq!(*owner.machine.state(), State::Online);
    assert_eq!(owner.sent(), ToGateway::Applied(1));

    owner.pay("d_1");
    assert_eq!(owner.sent(), ToGateway::Received(delivery("d_1")));
    assert_eq!(owner.machine.running(), Some(&delivery("d_1")));
    assert_eq!(owner.next(), None, "no card was presented yet");
    owner.run_for(CARD);
    // Maintenance was due since boarding.
    let report = owner.maintained(Ok(MaintenanceAnswer::default()));
    assert_eq!(report.resume, [delivery("d_1")]);
    assert_eq!(owner.response("d_1").outcome().unwrap().result, ResultCode::Success);
    assert_eq!(owner.machine.executions().len(), 1);

    owner.text(r#"{"action":"recorded","deliveryId":"d_1"}"#.into());
    assert!(owner.stored(|entry| *entry == JournalEntry::Recorded(delivery("d_1"))));
    assert_eq!(owner.machine.terminal().resume(), []);
    assert_eq!(owner.next(), None);

    // What the disk holds makes the same terminal.
    let again = Owner::online(owner.disk);
    assert_eq!(again.machine.executions(), owner.machine.executions());
    assert_eq!(again.machine.terminal().resume(), []);
}

#[test]
fn nothing_is_dialled_said_or_started_before_what_it_follows_is_on_disk() {
    let mut owner = Owner::restart(kept([JournalEntry::Attempt(3)]), None);
    owner.slow_disk = true;
    owner.run_until(start().mono);
    owner.maintained(Ok(MaintenanceAnswer::default()));
    assert_eq!(owner.next(), None, "the attempt is not stored");
    owner.store();
    assert_eq!(owner.open().attempt, 4);
    owner.welcome();
    owner.pay("d_1");
    assert_eq!(owner.next(), None, "the delivery is not stored");
    owner.store();
    assert_eq!(owner.sent(), ToGateway::Received(delivery("d_1")));
    owner.run_for(CARD * 2);
    assert_eq!(owner.next(), None, "that it starts is not stored");
    owner.store();
    owner.run_for(CARD);
    assert_eq!(owner.next(), None, "the result is not stored");
    owner.store();
    owner.response("d_1");
}

#[test]
fn a_restart_names_and_tells_what_was_not_recorded() {
    let mut owner = Owner::online(kept([]));
    owner.pay("d_1");
    owner.run_for(CARD);
    owner.sent();
    let told = owner.response("d_1");
    let mut owner = Owner::restart(owner.disk, None);
    owner.run_until(start().mono);
    owner.maintained(Err(CallError::Failed("no network".into())));
    assert_eq!(owner.open().resume, [delivery("d_1")]);
    owner.welcome();
    assert_eq!(owner.response("d_1").bytes(), told.bytes());
}

#[test]
fn a_journal_fits_one_terminal_and_is_worth_nothing_without_its_token() {
    let restore = |records: Vec<Record>, setup: Setup| {
        Machine::restore(start(), journal("j_new"), setup, records).map(|machine| machine.whole())
    };
    let other = Setup { poi_id: PoiId::parse("V400m-1").unwrap(), ..setup(Some("code")) };
    let error = restore(kept([]), other).unwrap_err();
    assert!(matches!(error, RestoreError::OtherTerminal { .. }), "{error}");

    let mut torn = kept([waiting("d_1")]);
    torn.retain(|record| !matches!(record, Record::Boarded { .. }));
    let error = restore(torn.clone(), setup(None)).unwrap_err();
    assert_eq!(error, RestoreError::NeedsBoardingCode(PoiId::parse(POI).unwrap()));
    let anew = restore(torn, setup(Some("code"))).unwrap();
    assert!(matches!(&anew[0], Record::Journal { journal_id, .. } if *journal_id == journal("j_new")));
    assert!(!anew.contains(&Record::Entry(waiting("d_1"))));
}

#[test]
fn a_token_that_opens_no_link_is_kept_and_goes_on_handing_in_results() {
    let mut owner = Owner::restart(kept([]), None);
    owner.run_until(start().mono);
    owner.maintained(Ok(MaintenanceAnswer::default()));
    let Some(Action::Dial { attempt, .. }) = owner.next() else { panic!("no dial") };
    owner.with(|machine, now| machine.handle_opened(now, attempt, Err(refused(401, None))));
    owner.run_for(Duration::ZERO);
    owner.maintained(Err(CallError::Failed("the network is down".into())));
    assert!(matches!(owner.machine.state(), State::Stopped { why } if why.contains("new boarding code")));
    let due = owner.machine.poll_timeout().expect("it calls again");
    assert!(due <= owner.now.mono + Backoff::MAINTENANCE, "{due:?}");
    assert!(owner.machine.whole().contains(&Record::Boarded { token: Secret::new("token") }));
    owner.run_until(due);
    owner.maintained(Ok(MaintenanceAnswer::default()));
    assert_eq!(owner.next(), None);
}

#[test]
fn a_terminal_that_has_to_board_again_hands_its_results_in_first() {
    let mut owner = Owner::restart(kept([waiting("d_1")]), Some("code"));
    owner.run_until(start().mono);
    owner.maintained(Ok(MaintenanceAnswer::default()));
    owner.open();
    owner.welcome();
    assert!(matches!(owner.sent(), ToGateway::Indeterminate(of, _) if of == delivery("d_1")));
    owner.with(|machine, now| machine.handle_ended(now, Some(CloseReason::BoardAgain)));
    assert_eq!(owner.next(), None, "it neither boards nor dials");
    owner.run_for(Duration::ZERO);
    let report = owner.maintained(Ok(recorded([&delivery("d_1")])));
    assert_eq!(report.results.len(), 1);
    assert_eq!(report.results[0].delivery, delivery("d_1"));
    assert_eq!(
        owner.next(),
        Some(Action::Board { code: Secret::new("code"), journal_id: journal("j_kept") })
    );
    owner.with(|machine, now| machine.handle_boarded(now, Ok(boarded())));
    assert_eq!(owner.open().resume, []);
}

#[test]
fn a_journal_that_fails_ends_the_link_and_everything_but_maintenance() {
    let mut owner = Owner::online(kept([waiting("d_1")]));
    owner.sent();
    owner.slow_disk = true;
    owner.pay("d_2");
    owner.with(|machine, now| machine.handle_store_failed(now, "no space".into()));
    assert_eq!(owner.next(), Some(Action::Close(CloseReason::Stopping)));
    assert_eq!(owner.next(), None, "what was not stored is not received");
    let why = "the journal can't be written: no space".to_owned();
    assert_eq!(*owner.machine.state(), State::Stopped { why });
    assert_eq!(owner.machine.executions(), []);

    owner.run_for(Duration::from_secs(24 * 60 * 60));
    let report = owner.maintained(Ok(recorded([&delivery("d_1")])));
    assert_eq!(report.resume, [delivery("d_1")]);
    assert_eq!(owner.next(), None);
    owner.with(Machine::handle_stop);
    assert!(owner.machine.is_over(owner.now));
}

#[test]
fn a_journal_that_fails_gives_up_the_link_that_is_being_opened() {
    let mut owner = Owner::restart(kept([]), None);
    owner.run_until(start().mono);
    owner.maintained(Ok(MaintenanceAnswer::default()));
    let Some(Action::Dial { attempt, .. }) = owner.next() else { panic!("no dial") };
    owner.with(|machine, now| machine.handle_store_failed(now, "no space".into()));
    assert_eq!(owner.next(), Some(Action::Close(CloseReason::Stopping)));
    owner.with(|machine, now| machine.handle_opened(now, attempt, Ok(())));
    assert_eq!(owner.next(), None, "no hello");
    assert!(matches!(owner.machine.state(), State::Stopped { .. }));
}

#[test]
fn more_results_than_a_hello_can_name_are_handed_in_by_maintenance_first() {
    let names: Vec<String> = (0..RESUME_MAX).map(|number| format!("d_{number}")).collect();
    let mut owner = Owner::restart(kept(names.iter().map(|name| waiting(name))), None);
    owner.run_until(start().mono);
    assert!(matches!(owner.machine.state(), State::Waiting { why } if why.contains("by maintenance first")));
    let Some(Action::Maintain { report, .. }) = owner.actions.front() else { panic!("no maintenance call") };
    let first: Vec<DeliveryId> = report.results.iter().take(10).map(|r| r.delivery.clone()).collect();
    owner.maintained(Ok(recorded(&first)));
    // Progress, and more waits: the next call follows at once, and by now a hello can name the rest.
    owner.run_for(Duration::from_secs(1));
    let report = owner.maintained(Ok(MaintenanceAnswer::default()));
    assert_eq!(report.resume.len(), RESUME_MAX - 10);
    assert_eq!(owner.open().resume.len(), RESUME_MAX - 10);
}

#[test]
fn a_terminal_that_stops_in_mid_payment_ends_it_and_waits_for_the_disk() {
    let mut owner = Owner::online(kept([]));
    owner.pay("d_1");
    assert_eq!(owner.sent(), ToGateway::Received(delivery("d_1")));
    owner.slow_disk = true;
    owner.with(Machine::handle_stop);
    assert!(!owner.machine.is_over(owner.now), "the result is not stored");
    owner.pay("d_2");
    assert_eq!(owner.next(), None, "nothing more is taken");
    owner.store();
    let outcome = owner.response("d_1").outcome().unwrap();
    assert_eq!(outcome.error_condition, Some(nexo::ErrorCondition::ABORTED));
    assert!(owner.machine.is_over(owner.now));
    assert_eq!(owner.machine.executions(), []);
}

#[test]
fn a_terminal_that_stops_waits_no_longer_than_five_seconds_for_its_disk() {
    let mut owner = Owner::online(kept([]));
    owner.slow_disk = true;
    owner.pay("d_1");
    owner.with(Machine::handle_stop);
    let due = owner.machine.poll_timeout().expect("a limit");
    assert_eq!(due, owner.now.mono + STOP_TIMEOUT);
    assert!(!owner.machine.is_over(owner.now));
    owner.run_for(STOP_TIMEOUT - Duration::from_millis(1));
    assert!(!owner.machine.is_over(owner.now));
    assert!(owner.machine.is_over(Now { mono: due, ..owner.now }));
}

#[test]
fn another_process_is_left_alone() {
    let mut owner = Owner::online(kept([]));
    let winner = ProcessId::parse("p_other").unwrap();
    let reason = CloseReason::Replaced { winner: winner.clone() };
    owner.with(|machine, now| machine.handle_ended(now, Some(reason)));
    assert_eq!(*owner.machine.state(), State::Replaced { winner: Some(winner) });
    assert_eq!((owner.machine.poll_timeout(), owner.next()), (None, None));
}

#[test]
fn maintenance_comes_when_the_gateway_says_within_bounds_and_soon_when_it_failed() {
    let mut owner = Owner::online(kept([]));
    owner.with(|machine, now| {
        machine.handle_ended(now, Some(CloseReason::Replaced { winner: ProcessId::parse("p_2").unwrap() }))
    });
    let mut after = |answer: Result<MaintenanceAnswer, CallError>| {
        owner.machine.upkeep = Upkeep::due(owner.now);
        owner.run_for(Duration::ZERO);
        owner.maintained(answer);
        owner.machine.poll_timeout().unwrap() - owner.now.mono
    };
    let asked = |seconds: Option<u32>| Ok(MaintenanceAnswer { next_call_seconds: seconds, ..recorded([]) });
    for (answer, seconds) in [
        (asked(None), 6 * 60 * 60),
        (asked(Some(1)), 60),
        (asked(Some(600)), 600),
        (asked(Some(u32::MAX)), 24 * 60 * 60),
        (Err(refused(500, None)), 300),
    ] {
        let whole = Duration::from_secs(seconds);
        let delay = after(answer);
        assert!(delay <= whole && delay >= whole * 9 / 10, "{delay:?} of {whole:?}");
    }
    let retry_after = Some(Duration::MAX);
    let refusal = Refusal { status: 429, code: None, detail: None, retry_after };
    assert_eq!(after(Err(CallError::Refused(refusal))), Backoff::RETRY_AFTER_MAX);
}

#[test]
fn a_late_answer_of_what_was_given_up_changes_nothing() {
    let mut owner = Owner::online(kept([]));
    for input in [
        |machine: &mut Machine, now| machine.handle_boarded(now, Ok(boarded())),
        |machine: &mut Machine, now| machine.handle_opened(now, 1, Ok(())),
        |machine: &mut Machine, now| machine.handle_maintained(now, Ok(MaintenanceAnswer::default())),
    ] {
        let due = owner.machine.poll_timeout();
        owner.with(input);
        assert_eq!(*owner.machine.state(), State::Online);
        assert_eq!((owner.next(), owner.machine.poll_timeout()), (None, due));
    }
    owner.with(|machine, now| machine.handle_ended(now, None));
    owner.with(|machine, now| machine.handle_text(now, Bytes::from("no frame")));
    assert_eq!(owner.next(), None);
    assert_eq!(*owner.machine.state(), State::Waiting { why: "the link broke off".into() });
}
