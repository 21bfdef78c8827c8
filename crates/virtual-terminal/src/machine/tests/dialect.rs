//! A machine that speaks the Actions dialect.

mod shuffled;

use relay::actions::{FromClient, PaymentStatus, ToClient, TransactionId};
use relay::terminal::ExecutionKind;

use super::*;
use crate::actions::{Habit, delivery_of};

fn speaks(habit: Habit) -> Setup {
    let key = Secret::new("tg_key_secret");
    Setup { dialect: Dialect::Actions(Actions { key, habit }), ..setup(None) }
}

fn name(text: &str) -> TransactionId {
    TransactionId::parse(text).unwrap()
}

impl Owner {
    fn speaking(habit: Habit, disk: Vec<Record>) -> Owner {
        let machine = Machine::restore(start(), journal("j_new"), speaks(habit), disk.clone()).unwrap();
        Owner::of(machine, disk)
    }

    /// Opens the link that was asked for.
    fn connected(mut self) -> Owner {
        self.dial();
        self
    }

    fn dial(&mut self) {
        self.run_for(Duration::from_secs(30));
        let Some(Action::Dial { attempt, token }) = self.next() else { panic!("no dial") };
        assert_eq!(token, Secret::new("tg_key_secret"));
        assert!(self.disk.contains(&Record::Entry(JournalEntry::Attempt(attempt))), "the attempt is stored");
        self.with(|machine, now| machine.handle_opened(now, attempt, Ok(())));
        let ping = Action::Send(FromClient::Ping.encode());
        let asked = self.actions.iter().position(|action| *action == ping).expect("a ping");
        self.actions.remove(asked);
        assert_eq!(*self.machine.state(), State::Connecting);
        self.tell(&ToClient::Pong { timestamp: start().wall.to_rfc3339() });
        assert_eq!(*self.machine.state(), State::Online);
    }

    fn says(&mut self) -> FromClient {
        match self.next() {
            Some(Action::Send(frame)) => FromClient::decode(&frame).unwrap(),
            other => panic!("nothing was said, but {other:?}"),
        }
    }

    fn resume(&mut self) -> (String, Vec<String>, Vec<String>, Vec<String>) {
        let FromClient::Resume(resume) = self.says() else { panic!("no resume") };
        let texts = |names: Vec<TransactionId>| names.iter().map(ToString::to_string).collect();
        (
            resume.journal.to_string(),
            texts(resume.payments),
            resume.desktops.unwrap().into_iter().map(Into::into).collect(),
            texts(resume.voids.unwrap()),
        )
    }

    fn ask(&mut self, desktop: &str, transaction: &str, amount: &str) {
        let payment_request =
            format!(r#"{{"transactionId":"{transaction}","amount":"{amount}","currency":"EUR"}}"#);
        self.tell(&ToClient::PaymentRequest {
            desktop_id: desktop.into(),
            payment_request: payment_request.into(),
            timestamp: start().wall.to_rfc3339(),
        });
    }

    fn ask_void(&mut self, desktop: &str, transaction: &str) {
        self.tell(&ToClient::VoidRequest {
            transaction: name(transaction),
            desktop_id: desktop.into(),
            timestamp: start().wall.to_rfc3339(),
        });
    }

    fn record(&mut self, desktop: Option<&str>, transaction: &str) {
        let desktop_id = desktop.map(Into::into);
        self.tell(&ToClient::PaymentRecorded { transaction: name(transaction), desktop_id, problem: None });
    }

    fn tell(&mut self, frame: &ToClient) {
        let frame = frame.encode();
        self.with(|machine, now| machine.handle_text(now, frame));
    }

    fn breaks(&mut self) {
        self.with(|machine, now| machine.handle_ended(now, None));
    }

    /// The status and the object of a `paymentResponse` for this desktop and transaction.
    fn answer(&mut self, desktop: &str, transaction: &str) -> (PaymentStatus, serde_json::Value) {
        match self.says() {
            FromClient::PaymentResponse { desktop_id, response } => {
                assert_eq!(desktop_id.as_deref(), Some(desktop));
                assert_eq!(response.transaction, name(transaction));
                (response.status, serde_json::from_slice(&response.raw).unwrap())
            }
            other => panic!("no answer, but {other:?}"),
        }
    }

    fn void_answer(&mut self, transaction: &str) -> (PaymentStatus, Option<String>) {
        match self.says() {
            FromClient::VoidResponse(answer) => {
                assert_eq!(answer.transaction, name(transaction));
                (answer.status, answer.error_message.map(Into::into))
            }
            other => panic!("no answer, but {other:?}"),
        }
    }
}

#[test]
fn an_acknowledging_terminal_says_what_it_has_stores_it_and_keeps_it_until_it_is_recorded() {
    let mut owner = Owner::speaking(Habit::Acknowledges, Vec::new()).connected();
    assert_eq!(owner.resume(), ("j_new".into(), vec![], vec![], vec![]));
    assert_eq!(*owner.machine.state(), State::Online);
    owner.ask("c_1", "T-5001", "12.50");
    assert_eq!(owner.says(), FromClient::PaymentReceived(name("T-5001")));
    assert_eq!(owner.machine.running(), Some(&delivery_of("c_1", &name("T-5001"))));
    owner.run_for(CARD);
    let (status, object) = owner.answer("c_1", "T-5001");
    assert_eq!(status, PaymentStatus::Success);
    assert_eq!(
        (&object["amount"], &object["currency"], &object["paymentMethod"]),
        (&"12.50".into(), &"EUR".into(), &"CARD".into())
    );
    assert_eq!(object["authorizationCode"].as_str().map(str::len), Some(6));
    assert_eq!(object["receiptData"].as_array().map(Vec::len), Some(2));
    assert!(object["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')));
    let execution = &owner.machine.executions()[0];
    assert_eq!(execution.amount.to_string(), "12.50");
    assert_eq!(execution.sale_transaction.as_deref(), Some("T-5001"));

    owner.breaks();
    owner.dial();
    let pending = ("j_new".to_owned(), vec!["T-5001".to_owned()], vec!["c_1".to_owned()], vec![]);
    assert_eq!(owner.resume(), pending);
    assert_eq!(owner.answer("c_1", "T-5001"), (status, object.clone()), "the same words");

    // What the disk holds makes the same terminal.
    let mut again = Owner::speaking(Habit::Acknowledges, owner.disk.clone()).connected();
    assert_eq!(again.resume(), pending);
    assert_eq!(again.answer("c_1", "T-5001"), (status, object));
    again.record(Some("c_1"), "T-5001");
    again.breaks();
    again.dial();
    assert_eq!(again.resume(), ("j_new".into(), vec![], vec![], vec![]));
    assert_eq!(again.next(), None);
    assert!(!again.machine.whole().iter().any(|record| matches!(record, Record::Asked { .. })));
}

#[test]
fn a_payment_that_is_asked_for_again_is_told_and_not_paid_again() {
    for habit in [Habit::Acknowledges, Habit::PlainAndRepeats, Habit::PlainAndForgets] {
        let mut owner = Owner::speaking(habit, Vec::new()).connected();
        if habit == Habit::Acknowledges {
            owner.resume();
        }
        owner.ask("c_1", "T-1", "5.00");
        owner.run_for(CARD);
        owner.actions.clear();
        owner.record(Some("c_1"), "T-1");
        owner.ask("c_1", "T-1", "5.00");
        owner.run_for(CARD);
        assert_eq!(owner.answer("c_1", "T-1").0, PaymentStatus::Success, "{habit:?}");
        assert_eq!(owner.machine.executions().len(), 1);
        // Another desktop's payment of this name is another one.
        owner.ask("c_2", "T-1", "5.00");
        owner.run_for(CARD);
        assert_eq!(owner.machine.executions().len(), 2);
    }
}

#[test]
fn how_a_payment_ends_is_said_in_the_words_of_the_dialect() {
    for (amount, status, code, message) in [
        ("1.24", PaymentStatus::Failed, "REFUSAL", "NOT_ENOUGH_BALANCE"),
        ("1.28", PaymentStatus::Failed, "INVALID_CARD", "INVALID_CARD"),
        ("1.34", PaymentStatus::Failed, "WRONG_PIN", "INVALID_PIN"),
        (
            "1.999",
            PaymentStatus::Failed,
            "MESSAGE_FORMAT",
            "RequestedAmount must be more than 0, with at most two decimals.",
        ),
        ("0", PaymentStatus::Failed, "MESSAGE_FORMAT", "paymentRequest.amount must be more than 0"),
    ] {
        let mut owner = Owner::speaking(Habit::PlainAndForgets, Vec::new()).connected();
        owner.ask("c_1", "T-1", amount);
        owner.run_for(CARD);
        let (said, object) = owner.answer("c_1", "T-1");
        assert_eq!((said, object["errorCode"].as_str()), (status, Some(code)), "{amount}");
        assert_eq!(object["errorMessage"].as_str(), Some(message));
        assert_eq!(object["authorizationCode"].as_str(), None);
        assert_eq!(owner.machine.executions(), []);
    }
    // Busy, and then called off.
    let mut owner = Owner::speaking(Habit::PlainAndForgets, Vec::new()).connected();
    owner.ask("c_1", "T-1", "5");
    owner.ask("c_1", "T-2", "5");
    let (status, object) = owner.answer("c_1", "T-2");
    assert_eq!((status, object["errorCode"].as_str()), (PaymentStatus::Failed, Some("PAYMENT_IN_PROGRESS")));
    owner.with(Machine::handle_stop);
    let (status, object) = owner.answer("c_1", "T-1");
    assert_eq!((status, object["errorCode"].as_str()), (PaymentStatus::Cancelled, Some("ABORTED")));
}

#[test]
fn amounts_are_taken_digit_by_digit() {
    for (amount, taken) in [("0.29", "0.29"), ("1000000.10", "1000000.10"), ("4.350", "4.350")] {
        let mut owner = Owner::speaking(Habit::PlainAndForgets, Vec::new()).connected();
        owner.ask("c_1", "T-1", amount);
        owner.run_for(CARD);
        assert_eq!(owner.answer("c_1", "T-1").1["amount"].as_str(), Some(taken));
    }
}

#[test]
fn a_terminal_that_lost_its_power_while_it_paid_can_not_tell() {
    let mut owner = Owner::speaking(Habit::Acknowledges, Vec::new()).connected();
    owner.ask("c_1", "T-1", "5");
    let mut again = Owner::speaking(Habit::Acknowledges, owner.disk.clone()).connected();
    assert_eq!(again.resume().1, ["T-1"]);
    let (status, object) = again.answer("c_1", "T-1");
    assert_eq!(status, PaymentStatus::Unknown);
    assert_eq!(object["errorMessage"].as_str(), Some("restarted while the transaction ran"));

    // A plain one has no word for it.
    let mut owner = Owner::speaking(Habit::PlainAndRepeats, Vec::new()).connected();
    owner.ask("c_1", "T-1", "5");
    let mut again = Owner::speaking(Habit::PlainAndRepeats, owner.disk).connected();
    assert_eq!(again.next(), None);
    assert_eq!(again.machine.terminal().resume(), []);
}

#[test]
fn a_plain_terminal_says_results_and_nothing_else() {
    for (habit, repeated) in [(Habit::PlainAndRepeats, true), (Habit::PlainAndForgets, false)] {
        let mut owner = Owner::speaking(habit, Vec::new()).connected();
        owner.ask("c_1", "T-1", "5");
        assert_eq!(owner.next(), None);
        owner.run_for(CARD);
        owner.answer("c_1", "T-1");
        owner.ask("c_1", "T-2", "5");
        owner.run_for(CARD);
        owner.answer("c_1", "T-2");
        owner.breaks();
        owner.dial();
        if repeated {
            owner.answer("c_1", "T-2");
        }
        assert_eq!(owner.next(), None, "{habit:?}");
        // One that ends while there is no link.
        owner.ask("c_1", "T-3", "5");
        owner.breaks();
        owner.run_for(CARD);
        owner.dial();
        if repeated {
            owner.answer("c_1", "T-3");
        }
        assert_eq!(owner.next(), None, "{habit:?}");
        // One that runs on while the link is made anew.
        owner.ask("c_1", "T-4", "5");
        owner.machine.set_cardholder(Duration::from_secs(60));
        owner.run_for(CARD);
        owner.answer("c_1", "T-4");
        owner.ask("c_1", "T-5", "5");
        owner.breaks();
        owner.dial();
        owner.actions.clear();
        owner.run_for(Duration::from_secs(60));
        assert!(owner.actions.contains(&Action::Send(FromClient::Ping.encode())));
        owner.actions.retain(|action| *action != Action::Send(FromClient::Ping.encode()));
        if owner.next().is_none() {
            owner.dial();
        }
        assert_eq!(owner.machine.executions().len(), 5);
        // It has nothing to do with voids.
        owner.actions.clear();
        owner.ask_void("c_1", "T-4");
        assert_eq!(owner.next(), None);
    }
}

#[test]
fn a_void_gives_a_payment_back_once() {
    let mut owner = Owner::speaking(Habit::Acknowledges, Vec::new()).connected();
    owner.resume();
    owner.ask("c_1", "T-1", "5.10");
    owner.run_for(CARD);
    owner.actions.clear();
    owner.record(Some("c_1"), "T-1");
    owner.ask_void("c_1", "T-1");
    assert_eq!(
        owner.says(),
        FromClient::VoidReceived { transaction: name("T-1"), desktop_id: Some("c_1".into()) }
    );
    assert_eq!(owner.void_answer("T-1"), (PaymentStatus::Success, None));
    let reversal = &owner.machine.executions()[1];
    assert!(matches!(reversal.kind, ExecutionKind::Reversal { .. }));
    assert_eq!(reversal.amount.to_string(), "5.10");

    // It keeps this result, too, and tells the same whoever asks again.
    let mut again = Owner::speaking(Habit::Acknowledges, owner.disk.clone()).connected();
    let (_, payments, _, voids) = again.resume();
    assert_eq!((payments, voids), (vec![], vec!["T-1".to_owned()]));
    assert_eq!(again.void_answer("T-1"), (PaymentStatus::Success, None));
    again.ask_void("c_1", "T-1");
    assert_eq!(again.void_answer("T-1"), (PaymentStatus::Success, None));
    again.tell(&ToClient::VoidRecorded { transaction: name("T-1"), desktop_id: None, problem: None });
    assert_eq!(again.machine.terminal().resume(), []);
    again.run_for(Duration::from_secs(1));
    again.ask_void("c_1", "T-1");
    assert_eq!(again.void_answer("T-1"), (PaymentStatus::Success, None), "it is void");
    assert_eq!(again.machine.executions().len(), 2);
}

#[test]
fn a_void_takes_back_the_one_payment_of_its_two_names_or_none() {
    let mut owner = Owner::speaking(Habit::Acknowledges, Vec::new()).connected();
    owner.resume();
    for desktop in ["c_1", "c_2"] {
        owner.ask(desktop, "T-1", if desktop == "c_1" { "5" } else { "6" });
        owner.run_for(CARD);
    }
    owner.actions.clear();
    owner.ask_void("c_2", "T-1");
    owner.says();
    assert_eq!(owner.void_answer("T-1"), (PaymentStatus::Success, None));
    let reversal = owner.machine.executions().last().unwrap();
    assert_eq!((owner.machine.executions().len(), &*reversal.amount.to_string()), (3, "6"));

    let FromClient::Resume(resume) =
        Owner::speaking(Habit::Acknowledges, owner.disk.clone()).connected().says()
    else {
        panic!("no resume")
    };
    assert_eq!(resume.voids, Some(vec![name("T-1")]));
    assert_eq!(resume.void_desktops, Some(vec!["c_2".into()]));
    // What is recorded of the other one's is nothing that it has.
    let recorded = |desktop: &str| ToClient::VoidRecorded {
        transaction: name("T-1"),
        desktop_id: Some(desktop.into()),
        problem: None,
    };
    let owed = owner.machine.terminal().resume().len();
    owner.tell(&recorded("c_1"));
    assert_eq!(owner.machine.terminal().resume().len(), owed);
    owner.tell(&recorded("c_2"));
    assert_eq!(owner.machine.terminal().resume().len(), owed - 1);

    for (desktop, transaction) in [("c_1", "T-2"), ("c_3", "T-1")] {
        owner.actions.clear();
        owner.ask_void(desktop, transaction);
        let (status, why) = owner.void_answer(transaction);
        assert_eq!(status, PaymentStatus::Failed);
        assert_eq!(why.as_deref(), Some("This terminal knows no such payment."));
    }
}

#[test]
fn a_void_that_was_refused_can_be_asked_for_again() {
    let mut owner = Owner::speaking(Habit::Acknowledges, Vec::new()).connected();
    owner.resume();
    owner.ask("c_1", "T-1", "5");
    owner.run_for(CARD);
    owner.ask("c_1", "T-2", "5");
    owner.actions.clear();
    owner.ask_void("c_1", "T-1");
    owner.says();
    let (status, why) = owner.void_answer("T-1");
    assert_eq!(
        (status, why.as_deref()),
        (PaymentStatus::Failed, Some("The terminal is processing another request."))
    );
    owner.tell(&ToClient::VoidRecorded { transaction: name("T-1"), desktop_id: None, problem: None });
    owner.run_for(CARD);
    owner.actions.clear();
    owner.ask_void("c_1", "T-1");
    owner.says();
    assert_eq!(owner.void_answer("T-1"), (PaymentStatus::Success, None));
}

#[test]
fn a_record_without_a_desktop_takes_nothing_that_it_could_not_mean() {
    let mut owner = Owner::speaking(Habit::Acknowledges, Vec::new()).connected();
    owner.resume();
    for desktop in ["c_1", "c_2"] {
        owner.ask(desktop, "T-1", "5");
        owner.run_for(CARD);
    }
    owner.record(None, "T-1");
    owner.record(Some("c_3"), "T-1");
    assert_eq!(owner.machine.terminal().resume().len(), 2);
    owner.record(Some("c_1"), "T-1");
    assert_eq!(owner.machine.terminal().resume(), [delivery_of("c_2", &name("T-1"))]);
    owner.record(None, "T-1");
    assert_eq!(owner.machine.terminal().resume(), []);
}

#[test]
fn what_can_not_be_read_is_refused_or_passed_over_and_the_link_stands() {
    let mut owner = Owner::speaking(Habit::Acknowledges, Vec::new()).connected();
    owner.resume();
    let time = start().wall.to_rfc3339();
    for text in [
        "",
        "[]",
        r#"{"action":"new","x":1}"#,
        r#"{"error":"Not Found","message":"Transaction not found"}"#,
        r#"{"action":"paymentRequest","desktopId":"c_1","paymentRequest":{"amount":"5","currency":"EUR"},"timestamp":""}"#,
        r#"{"action":"paymentRequest","desktopId":"c_1","paymentRequest":{"transactionId":7,"amount":"5","currency":"EUR"},"timestamp":""}"#,
    ] {
        owner.text(text.to_owned());
        assert_eq!(owner.next(), None, "{text}");
    }
    owner.ask(&"c".repeat(300), "T-1", "5");
    assert_eq!(owner.next(), None);
    owner.text(format!(r#"{{"action":"pong","timestamp":"{time}","more":"{}"}}"#, "x".repeat(1024 * 1024)));
    assert_eq!(owner.next(), None);
    owner.ask("c_1", "T-1", "five");
    let (status, object) = owner.answer("c_1", "T-1");
    assert_eq!((status, object["errorCode"].as_str()), (PaymentStatus::Failed, Some("MESSAGE_FORMAT")));
    assert_eq!(object["errorMessage"].as_str(), Some("paymentRequest.amount must be a decimal number"));
    assert_eq!(*owner.machine.state(), State::Online);
    assert_eq!(owner.machine.terminal().resume(), []);
}

#[test]
fn a_quiet_gateway_is_asked_for_a_pong_and_left_if_there_is_none() {
    let mut owner = Owner::speaking(Habit::PlainAndForgets, Vec::new()).connected();
    let opened = owner.now.mono;
    owner.run_until(opened + Duration::from_secs(30));
    assert_eq!(owner.says(), FromClient::Ping);
    owner.tell(&ToClient::Pong { timestamp: start().wall.to_rfc3339() });
    owner.run_until(opened + Duration::from_secs(60));
    assert_eq!(owner.says(), FromClient::Ping);
    owner.run_until(opened + Duration::from_secs(69));
    assert_eq!(owner.next(), None);
    owner.run_until(opened + Duration::from_secs(70));
    assert_eq!(owner.next(), Some(Action::Close(CloseReason::Silent)));
    assert!(matches!(owner.next(), Some(Action::Dial { .. })), "at once, for the link had stood");
}

#[test]
fn a_terminal_does_not_fight_its_successor() {
    let mut owner = Owner::speaking(Habit::Acknowledges, Vec::new()).connected();
    owner.resume();
    let forced = |reason: &'static str| ToClient::ForceDisconnect {
        reason: reason.into(),
        timestamp: start().wall.to_rfc3339(),
    };
    owner.tell(&forced("SHUTTING_DOWN"));
    assert_eq!(owner.next(), Some(Action::Close(CloseReason::Normal)));
    assert!(matches!(owner.machine.state(), State::Waiting { why } if why.contains("SHUTTING_DOWN")));
    owner.run_for(Duration::from_secs(29));
    assert_eq!(owner.next(), None);
    owner.dial();
    owner.resume();
    owner.tell(&forced("REPLACED_BY_NEW_CONNECTION"));
    assert_eq!(owner.next(), Some(Action::Close(CloseReason::Normal)));
    assert_eq!(*owner.machine.state(), State::Replaced { winner: None });
    owner.run_for(Duration::from_secs(3600));
    assert_eq!(owner.next(), None);
}

#[test]
fn a_key_that_is_refused_needs_a_person_and_anything_else_time() {
    for (status, stops) in [(401, true), (403, true), (404, false), (429, false), (503, false)] {
        let mut owner = Owner::speaking(Habit::Acknowledges, Vec::new());
        owner.run_for(Duration::ZERO);
        let Some(Action::Dial { attempt, .. }) = owner.next() else { panic!("no dial") };
        owner.with(|machine, now| machine.handle_opened(now, attempt, Err(refused(status, None))));
        assert_eq!(matches!(owner.machine.state(), State::Stopped { .. }), stops, "{status}");
        owner.run_for(Duration::from_secs(60));
        assert_eq!(matches!(owner.next(), Some(Action::Dial { .. })), !stops, "{status}");
        assert_eq!(owner.next(), None, "it neither boards nor calls maintenance");
    }
}

#[test]
fn a_terminal_with_a_desktops_key_says_so_and_stops() {
    for frame in [
        r#"{"error":"Forbidden","message":"Only terminal devices can send resume"}"#,
        r#"{"action":"terminalStatusUpdate","terminalId":"T","status":"connected","timestamp":"","groupId":"G"}"#,
    ] {
        let mut owner = Owner::speaking(Habit::PlainAndForgets, Vec::new()).connected();
        owner.text(frame.to_owned());
        assert_eq!(owner.next(), Some(Action::Close(CloseReason::Normal)));
        assert!(matches!(owner.machine.state(), State::Stopped { why } if why.contains("desktop's")));
    }
}

#[test]
fn the_journals_of_the_two_dialects_are_not_taken_for_each_other() {
    let error = Machine::restore(start(), journal("j"), speaks(Habit::Acknowledges), kept([])).unwrap_err();
    assert_eq!(error, RestoreError::OtherDialect);
    let disk = Owner::speaking(Habit::Acknowledges, Vec::new()).disk;
    assert!(!disk.iter().any(|record| matches!(record, Record::Boarded { .. })), "the key is not written");
    let error = Machine::restore(start(), journal("j"), setup(Some("code")), disk).unwrap_err();
    assert_eq!(error, RestoreError::OtherDialect);
}
