//! Requests that the Sale system has encrypted.

use nexo::{Nonce, Passphrase, Response};

use super::*;

fn key(version: u32) -> EncryptionKey {
    EncryptionKey::derive("till-key", version, &Passphrase::parse("Correct.Horse1").unwrap())
}

/// A terminal that has version 1 of the key.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.key = Some(key(1));
    bench.terminal = Terminal::restore_with(bench.now, Some(key(1)), []);
    bench.connect();
    bench
}

fn sealed_with(key: &EncryptionKey, message: &str) -> String {
    let request = Request::parse(Bytes::copy_from_slice(message.as_bytes())).unwrap();
    let sealed = key.seal_request(&request, Nonce([7; 16]));
    String::from_utf8(sealed.to_vec()).unwrap()
}

fn sealed(message: &str) -> String {
    sealed_with(&key(1), message)
}

impl Bench {
    fn ask(&mut self, id: &str, message: &str) -> DeliveryId {
        let delivery = self.deliver(id, message);
        self.sync();
        delivery
    }

    /// The answer, which must have been encrypted.
    fn opened(&self, delivery: &DeliveryId) -> Response {
        let response = self.response(delivery);
        assert!(response.is_encrypted(), "in the clear: {response:?}");
        self.plain(response.bytes())
    }
}

#[test]
fn an_encrypted_payment_is_carried_out_and_told_encrypted_only() {
    let mut bench = bench();
    let paid = bench.ask("d_1", &sealed(&payment("1")));
    bench.finish();
    bench.sync();
    let response = bench.opened(&paid);
    assert_eq!(response.outcome().unwrap().result, ResultCode::Success);
    // The same bytes over every link, also after a restart.
    let told = bench.response(&paid).bytes().clone();
    bench.crash(0);
    bench.connect();
    assert_eq!(bench.response(&paid).bytes(), &told);
    // Neither request nor response lies open in the journal.
    let journal = serde_json::to_string(&bench.disk).unwrap();
    assert!(!journal.contains("PaymentRequest") && !journal.contains("PaymentResponse"), "{journal}");

    // T8: a repeat hears the same, and runs nothing.
    let again = bench.ask("d_2", &sealed(&payment("1")));
    assert_eq!(bench.response(&again).bytes(), &told);
    assert_eq!((bench.terminal.executed_payments(), &bench.running), (1, &None));
    // Who asks in the clear is another one.
    let other = bench.ask("d_3", &payment("1"));
    assert_eq!(bench.condition(&other), Some(ErrorCondition::NOT_ALLOWED));
}

#[test]
fn the_effect_to_start_holds_the_request_as_it_was() {
    let mut terminal = Terminal::restore_with(Bench::new().now, Some(key(1)), []);
    let mut started = None;
    terminal.connect();
    let now = Bench::new().now;
    let mut delivered = false;
    loop {
        match terminal.poll_effect() {
            Some(Effect::Journal { seq, .. }) => terminal.handle_stored(now, seq),
            Some(Effect::Dial { attempt }) => terminal.handle_welcome(attempt, 128 * 1024),
            Some(Effect::Start { message, .. }) => started = Some(message),
            Some(_) => {}
            None if !delivered => {
                delivered = true;
                let delivery = DeliveryId::parse("d_1").unwrap();
                let deliver = Deliver { delivery, time_left_ms: 1000, message: sealed(&payment("1")).into() };
                terminal.handle_deliver(now, 1, deliver);
            }
            None => break,
        }
    }
    assert_eq!(started.unwrap(), payment("1"));
}

#[test]
fn a_message_that_can_not_be_opened_is_refused_in_the_clear_and_not_started() {
    let mut bench = bench();
    let other = bench.ask("d_1", &sealed_with(&key(2), &payment("1")));
    assert_eq!(bench.condition(&other), Some(ErrorCondition::NOT_ALLOWED));
    let broken = sealed(&payment("2")).replace("\"ServiceID\":\"2\"", "\"ServiceID\":\"3\"");
    let broken = bench.ask("d_2", &broken);
    assert_eq!(bench.condition(&broken), Some(ErrorCondition::MESSAGE_FORMAT));
    assert!(bench.started.is_empty());

    let mut without = Bench::online();
    let refused = without.ask("d_1", &sealed(&payment("1")));
    assert_eq!(without.condition(&refused), Some(ErrorCondition::NOT_ALLOWED));
}

#[test]
fn the_terminals_own_answers_are_encrypted_too() {
    let mut bench = bench();
    let running = bench.ask("d_1", &sealed(&payment("1")));
    let busy = bench.ask("d_2", &sealed(&payment("2")));
    assert_eq!(bench.opened(&busy).outcome().unwrap().error_condition, Some(ErrorCondition::BUSY));
    let asked = bench.ask("d_3", &sealed(&status("3", "1")));
    let progress = bench.opened(&asked).outcome().unwrap();
    assert_eq!(progress.error_condition, Some(ErrorCondition::IN_PROGRESS));

    let aborting = bench.ask("d_4", &sealed(&abort("4", "1")));
    assert!(matches!(bench.answer(&aborting), Some(ToGateway::Result(_, ResultMessage::Empty))));
    assert_eq!(bench.cancelled, [(running, Stop::Aborted)]);
}

#[test]
fn what_was_not_begun_before_a_restart_is_aborted_encrypted() {
    let mut bench = bench();
    let delivery = bench.deliver("d_1", &sealed(&payment("1")));
    bench.sync_some(1);
    bench.crash(0);
    bench.connect();
    assert_eq!(bench.opened(&delivery).outcome().unwrap().error_condition, Some(ErrorCondition::ABORTED));
}

#[test]
fn the_status_of_an_encrypted_payment_is_told_to_whoever_has_the_key_and_to_nobody_else() {
    let mut bench = bench();
    bench.ask("d_1", &sealed(&payment("1")));
    bench.finish();
    bench.sync();
    let found = bench.ask("d_2", &sealed(&status("2", "1")));
    let found = bench.opened(&found);
    assert_eq!(found.outcome().unwrap().result, ResultCode::Success);
    let text = String::from_utf8(found.bytes().to_vec()).unwrap();
    assert!(text.contains(r#""RepeatedResponseMessageBody":{"PaymentResponse""#), "{text}");

    let refused = bench.ask("d_3", &status("3", "1"));
    assert_eq!(bench.condition(&refused), Some(ErrorCondition::NOT_ALLOWED));

    // With another key it still ran: neither a result nor NotFound.
    bench.crash(0);
    bench.key = Some(key(2));
    bench.terminal = Terminal::restore_with(bench.now, Some(key(2)), bench.disk.clone());
    bench.connect();
    let asked = bench.ask("d_4", &sealed_with(&key(2), &status("4", "1")));
    assert!(matches!(bench.answer(&asked), Some(ToGateway::Indeterminate(..))), "{:?}", bench.answer(&asked));
    let again = bench.ask("d_5", &sealed(&payment("1")));
    assert!(bench.response(&again).is_encrypted(), "its own answer, which it can read");
}

#[test]
fn an_encrypted_not_found_closes_the_service_id_at_the_terminal() {
    let mut bench = bench();
    let asked = bench.ask("d_1", &sealed(&status("1", "42")));
    assert!(bench.opened(&asked).is_not_found());
    for (id, late) in [("d_2", sealed(&payment("42"))), ("d_3", payment("42"))] {
        bench.crash(0);
        bench.compact();
        bench.connect();
        let refused = bench.ask(id, &late);
        let outcome = bench.plain(bench.response(&refused).bytes()).outcome().unwrap();
        assert_eq!(outcome.error_condition, Some(ErrorCondition::NOT_ALLOWED));
    }
    assert!(bench.started.is_empty());
    let other = bench.ask("d_4", &sealed(&payment("43")));
    assert_eq!(bench.running, Some(other));

    // In the clear the gateway sees to it.
    let mut clear = Bench::online();
    clear.ask("d_1", &status("1", "42"));
    assert!(!clear.disk_has(|entry| matches!(entry, JournalEntry::Fenced { .. })));
}

#[test]
fn closed_service_ids_are_forgotten_after_48_h_and_never_too_many() {
    let mut bench = bench();
    for number in 0..MEMORY_MINOR_MAX {
        assert!(bench.terminal.memory.fence(ServiceId::parse(&number.to_string()).unwrap(), bench.now.wall));
    }
    let asked = bench.ask("d_1", &sealed(&status("S1", "X42")));
    let outcome = bench.opened(&asked).outcome().unwrap();
    assert_eq!(outcome.error_condition, Some(ErrorCondition::NOT_ALLOWED));
    bench.record(&asked);
    bench.pass(MEMORY + Duration::from_secs(1));
    let asked = bench.ask("d_2", &sealed(&status("S2", "X42")));
    assert!(bench.opened(&asked).is_not_found());
}
