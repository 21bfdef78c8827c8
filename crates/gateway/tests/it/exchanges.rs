//! The rules of exchanges (E…) as a Sale system meets them over HTTP, in both dialects: an answer differs only in how it is
//! written.

use std::time::Duration;

use serde_json::{Value, json};

use crate::scripted_terminal::ScriptedTerminal;
use crate::support::{
    DIALECTS, Dialect, Heard, NO_RESPONSE, NOT_DELIVERED, POI, TestGateway, abort_of, failure, payment,
    request, status_of,
};

/// What a `/sync` hears when nothing reached the terminal.
#[track_caller]
fn assert_not_delivered(dialect: Dialect, heard: &Heard) {
    assert_eq!(heard.status, 200);
    match dialect {
        Dialect::Classic => assert_eq!(heard.reject(), NOT_DELIVERED),
        Dialect::CloudDevice => assert_eq!(heard.outcome(), failure("UnreachableHost")),
    }
}

/// The response that a TransactionStatus repeats.
fn repeated_payment(status: &Heard) -> Value {
    assert_eq!(status.outcome().0, "Success", "{}", status.text());
    let response = &status.json()["SaleToPOIResponse"]["TransactionStatusResponse"];
    response["RepeatedMessageResponse"]["RepeatedResponseMessageBody"]["PaymentResponse"].clone()
}

#[tokio::test]
async fn a_payment_is_approved_and_its_answer_is_json() {
    for dialect in DIALECTS {
        let gateway = TestGateway::new().await.with_terminal(POI).await;
        let heard = gateway.speaker(dialect).await.sync(payment(POI, "P1", "10.99")).await;
        assert_eq!((heard.status, heard.content_type.as_str()), (200, "application/json"));
        let body = heard.json();
        let header = &body["SaleToPOIResponse"]["MessageHeader"];
        assert_eq!((&header["MessageType"], &header["ServiceID"]), (&json!("Response"), &json!("P1")));
        let response = &body["SaleToPOIResponse"]["PaymentResponse"];
        assert_eq!(response["Response"]["Result"], "Success");
        assert_eq!(response["PaymentResult"]["AmountsResp"]["AuthorizedAmount"], 10.99);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn the_six_documented_amounts_are_declined() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let sale = gateway.sale().await;
    let declines = [
        ("1.24", "Refusal"),
        ("1.25", "Refusal"),
        ("1.26", "Refusal"),
        ("1.27", "Refusal"),
        ("1.28", "InvalidCard"),
        ("1.34", "WrongPIN"),
    ];
    for (n, (amount, condition)) in declines.into_iter().enumerate() {
        let heard = sale.sync(payment(POI, &format!("D{n}"), amount)).await;
        assert_eq!(heard.outcome(), failure(condition), "{amount}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_payment_begun_in_one_dialect_is_watched_and_ended_in_the_other() {
    for (begun, ended) in [(DIALECTS[0], DIALECTS[1]), (DIALECTS[1], DIALECTS[0])] {
        let mut gateway = TestGateway::new().await;
        gateway.connect(POI, Duration::from_secs(60)).await;
        let (till, desk) = (gateway.speaker(begun).await, gateway.speaker(ended).await);
        let (payment, ()) = tokio::join!(till.sync(payment(POI, "P1", "10.99")), async {
            gateway.until_busy(0).await;
            assert_eq!(desk.sync(status_of(POI, "S1", "P1")).await.outcome(), failure("InProgress"));
            assert_eq!(desk.sync(abort_of(POI, "A1", "P1")).await.text(), "ok");
        });
        assert_eq!(payment.outcome(), failure("Aborted"));
        let status = desk.sync(status_of(POI, "S2", "P1")).await;
        assert_eq!(repeated_payment(&status)["Response"]["ErrorCondition"], "Aborted");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn e4_a_repeat_of_a_payment_gets_its_recorded_answer_and_does_not_run_again() {
    for dialect in DIALECTS {
        let gateway = TestGateway::new().await.with_terminal(POI).await;
        let sale = gateway.speaker(dialect).await;
        let first = sale.sync(payment(POI, "P1", "10.99")).await;
        let second = sale.sync(payment(POI, "P1", "10.99")).await;
        assert_eq!(first.body, second.body);
        assert!(!first.repeated && second.repeated);
        assert_eq!(gateway.terminal(0).executed_payments().len(), 1);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn e4_two_copies_at_once_run_once_and_hear_the_same() {
    for dialect in DIALECTS {
        let gateway = TestGateway::new().await.with_terminal(POI).await;
        let sale = gateway.speaker(dialect).await;
        let (one, other) =
            tokio::join!(sale.sync(payment(POI, "P1", "5.00")), sale.sync(payment(POI, "P1", "5.00")));
        assert_eq!(one.body, other.body);
        assert_eq!(gateway.terminal(0).executed_payments().len(), 1);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn e5_a_repeat_of_a_diagnosis_joins_while_it_runs_and_needs_a_new_service_id_afterwards() {
    for dialect in DIALECTS {
        let gateway = TestGateway::new().await;
        let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
        let sale = gateway.speaker(dialect).await;
        let diagnosis = || request("Diagnosis", POI, "D1", json!({"HostDiagnosisFlag": false}));
        let (first, second, ()) = tokio::join!(sale.sync(diagnosis()), sale.sync(diagnosis()), async {
            let delivered = terminal.delivered().await;
            terminal.received(&delivered).await;
            // Whoever comes now finds it running.
            let clash = sale.sync(request("Diagnosis", POI, "D1", json!({"HostDiagnosisFlag": true}))).await;
            assert_eq!(clash.outcome(), failure("InProgress"));
            terminal.succeed(&delivered).await;
        });
        // The second copy may have come when the first was answered: then it is told so, and never sent.
        assert_eq!(first.outcome().0, "Success");
        assert!(second.outcome().0 == "Success" || second.outcome() == failure("NotAllowed"));
        let again = sale.sync(diagnosis()).await;
        assert_eq!(again.outcome(), failure("NotAllowed"));
        assert!(again.text().contains("new+ServiceID"), "{}", again.text());
    }
}

#[tokio::test]
async fn e6_another_body_or_till_under_the_same_service_id_is_refused_saying_what_clashed() {
    for dialect in DIALECTS {
        let gateway = TestGateway::new().await;
        let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
        let sale = gateway.speaker(dialect).await;
        let of_another_till = || {
            String::from_utf8(payment(POI, "P1", "10.99")).unwrap().replace("TILL-1", "TILL-2").into_bytes()
        };
        let (first, ()) = tokio::join!(sale.sync(payment(POI, "P1", "10.99")), async {
            let delivered = terminal.delivered().await;
            assert_eq!(sale.sync(payment(POI, "P1", "11.99")).await.outcome(), failure("InProgress"));
            assert_eq!(sale.sync(of_another_till()).await.outcome(), failure("InProgress"));
            terminal.succeed(&delivered).await;
        });
        assert_eq!(first.outcome().0, "Success");
        let body = sale.sync(payment(POI, "P1", "11.99")).await;
        assert_eq!(body.outcome(), failure("NotAllowed"));
        assert!(body.text().contains("another+body"), "{}", body.text());
        let till = sale.sync(of_another_till()).await;
        assert_eq!(till.outcome(), failure("NotAllowed"));
        assert!(till.text().contains("TILL-1"), "{}", till.text());
    }
}

#[tokio::test]
async fn e7_not_delivered_uses_a_payments_service_id_up_and_leaves_a_diagnosis_its_own() {
    for dialect in DIALECTS {
        let mut gateway = TestGateway::new().await;
        gateway.add("P400Plus-1").await;
        gateway.add(POI).await;
        let sale = gateway.speaker(dialect).await;
        assert_not_delivered(dialect, &sale.sync(payment("P400Plus-1", "P1", "10.99")).await);
        let again = sale.sync(payment("P400Plus-1", "P1", "10.99")).await;
        assert_not_delivered(dialect, &again);
        assert!(again.repeated);
        let status = sale.sync(status_of("P400Plus-1", "S1", "P1")).await;
        assert_eq!(status.outcome(), failure("NotFound"));
        // After NotFound the ServiceID is closed (E16): the copy may not run, whoever is connected by then.
        let closed = sale.sync(payment("P400Plus-1", "P1", "10.99")).await;
        assert_eq!(closed.outcome(), failure("NotAllowed"));
        let diagnosis = || request("Diagnosis", POI, "D1", json!({"HostDiagnosisFlag": false}));
        assert_not_delivered(dialect, &sale.sync(diagnosis()).await);
        drop(sale);
        gateway.connect_added(POI, Duration::from_millis(50)).await;
        let sale = gateway.speaker(dialect).await;
        assert_eq!(sale.sync(diagnosis()).await.outcome().0, "Success");
        drop(sale);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn e10_a_silent_terminal_may_have_it_and_a_late_answer_is_found() {
    for dialect in DIALECTS {
        let gateway = TestGateway::new().await;
        let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
        let sale = gateway.speaker(dialect).await;
        let (heard, delivered) = tokio::join!(sale.sync_for(1, payment(POI, "P1", "1.00")), async {
            let delivered = terminal.delivered().await;
            terminal.received(&delivered).await;
            delivered
        });
        assert_eq!((heard.status, heard.reject().as_str()), (200, NO_RESPONSE));
        assert_eq!(sale.sync(status_of(POI, "S1", "P1")).await.outcome(), failure("InProgress"));
        terminal.succeed(&delivered).await;
        let status = sale.sync(status_of(POI, "S2", "P1")).await;
        assert_eq!(repeated_payment(&status)["Response"]["Result"], "Success");
        let again = sale.sync(payment(POI, "P1", "1.00")).await;
        assert!(again.repeated && again.outcome().0 == "Success", "{}", again.text());
    }
}

#[tokio::test]
async fn a_slow_terminal_is_waited_for() {
    for dialect in DIALECTS {
        let gateway = TestGateway::new().await;
        let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
        let sale = gateway.speaker(dialect).await;
        let (heard, ()) = tokio::join!(sale.sync(payment(POI, "P1", "1.00")), async {
            let delivered = terminal.delivered().await;
            terminal.received(&delivered).await;
            // As long as it takes for others to come and go.
            for n in 0..5 {
                let status = sale.sync(status_of(POI, &format!("S{n}"), "P1")).await;
                assert_eq!(status.outcome(), failure("InProgress"));
            }
            terminal.succeed(&delivered).await;
        });
        assert_eq!(heard.outcome().0, "Success");
    }
}

#[tokio::test]
async fn e11_a_terminal_gets_less_time_than_its_pos_and_answers_within_it() {
    for dialect in DIALECTS {
        let mut gateway = TestGateway::new().await;
        gateway.connect(POI, Duration::from_secs(60)).await;
        let sale = gateway.speaker(dialect).await;
        // Of its POS's second the terminal has half, and cancels before it asks for the money (T7).
        assert_eq!(sale.sync_for(1, payment(POI, "P1", "10.99")).await.outcome(), failure("Aborted"));
        let status = sale.sync(status_of(POI, "S1", "P1")).await;
        assert_eq!(repeated_payment(&status)["Response"]["ErrorCondition"], "Aborted");
        assert_eq!(gateway.terminal(0).executed_payments().len(), 0);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn e12_a_pos_that_hangs_up_changes_nothing_and_can_ask_later() {
    for dialect in DIALECTS {
        let mut gateway = TestGateway::new().await;
        gateway.connect(POI, Duration::from_millis(600)).await;
        let sale = gateway.speaker(dialect).await;
        tokio::select! {
            answer = sale.sync(payment(POI, "P1", "10.99")) => panic!("answered before the hang-up: {answer:?}"),
            () = gateway.until_busy(0) => {}
        }
        let answer = sale.sync(payment(POI, "P1", "10.99")).await;
        assert_eq!(answer.outcome().0, "Success");
        let status = sale.sync(status_of(POI, "S1", "P1")).await;
        assert_eq!(repeated_payment(&status), answer.json()["SaleToPOIResponse"]["PaymentResponse"]);
        assert_eq!(gateway.terminal(0).executed_payments().len(), 1);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn e16_a_payment_that_was_told_not_found_never_runs() {
    for dialect in DIALECTS {
        let gateway = TestGateway::new().await.with_terminal(POI).await;
        let sale = gateway.speaker(dialect).await;
        assert_eq!(sale.sync(status_of(POI, "S1", "P1")).await.outcome(), failure("NotFound"));
        assert_eq!(sale.sync(payment(POI, "P1", "10.99")).await.outcome(), failure("NotAllowed"));
        assert_eq!(gateway.terminal(0).executed_payments().len(), 0);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn e20_an_abort_after_the_write_ends_the_payment_and_is_answered_ok() {
    for dialect in DIALECTS {
        let mut gateway = TestGateway::new().await;
        gateway.connect(POI, Duration::from_secs(60)).await;
        let sale = gateway.speaker(dialect).await;
        let aborted = async {
            gateway.until_busy(0).await;
            sale.sync(abort_of(POI, "A1", "P1")).await
        };
        let (payment, abort) = tokio::join!(sale.sync(payment(POI, "P1", "10.99")), aborted);
        assert_eq!((abort.content_type.as_str(), abort.text().as_str()), ("text/plain", "ok"));
        assert_eq!(payment.outcome(), failure("Aborted"));
        assert_eq!(gateway.terminal(0).executed_payments().len(), 0);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn e21_an_async_call_hears_ok_once_the_terminal_has_the_request() {
    for dialect in DIALECTS {
        let gateway = TestGateway::new().await;
        let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
        let sale = gateway.speaker(dialect).await;
        let (heard, delivered) = tokio::join!(sale.r#async(payment(POI, "P1", "1.00")), async {
            let delivered = terminal.delivered().await;
            terminal.received(&delivered).await;
            delivered
        });
        assert_eq!(
            (heard.status, heard.content_type.as_str(), heard.text().as_str()),
            (200, "text/plain", "ok")
        );
        // It runs, and its end is in the ledger for whoever asks.
        assert_eq!(sale.sync(status_of(POI, "S1", "P1")).await.outcome(), failure("InProgress"));
        terminal.succeed(&delivered).await;
        let status = sale.sync(status_of(POI, "S2", "P1")).await;
        assert_eq!(repeated_payment(&status)["Response"]["Result"], "Success");
        let again = sale.r#async(payment(POI, "P1", "1.00")).await;
        assert!(again.repeated && again.text() == "ok", "{}", again.text());
    }
}

#[tokio::test]
async fn e21_an_async_call_whose_terminal_does_not_say_received_hears_that_it_may_have_it() {
    for dialect in DIALECTS {
        let gateway = TestGateway::new().await;
        let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
        let sale = gateway.speaker(dialect).await;
        let (heard, _) = tokio::join!(sale.async_for(1, payment(POI, "P1", "1.00")), terminal.delivered());
        assert_eq!((heard.status, heard.reject().as_str()), (200, NO_RESPONSE));
    }
}

#[tokio::test]
async fn e21_an_async_call_to_an_absent_terminal_is_the_reject_event_in_both_dialects() {
    for dialect in DIALECTS {
        let gateway = TestGateway::new().await;
        gateway.add(POI).await;
        let sale = gateway.speaker(dialect).await;
        for poi in [POI, "NoSuch-1"] {
            let heard = sale.r#async(payment(poi, "P1", "1.00")).await;
            assert_eq!((heard.status, heard.content_type.as_str()), (200, "application/json"));
            assert_eq!(heard.reject(), NOT_DELIVERED);
        }
    }
}

#[tokio::test]
async fn what_an_async_call_did_wrong_is_a_reject_event_in_both_dialects() {
    for dialect in DIALECTS {
        let gateway = TestGateway::new().await.with_terminal(POI).await;
        let sale = gateway.speaker(dialect).await;
        sale.sync(payment(POI, "P1", "1.00")).await;
        for wrong in [payment(POI, "P1", "2.00"), status_of(POI, "T1", "P1")] {
            let heard = sale.r#async(wrong).await;
            assert_eq!((heard.status, heard.content_type.as_str()), (200, "application/json"));
            let details = heard.reject();
            assert!(details.starts_with("message="), "{details}");
            assert!(details.ends_with("&errorCondition=NotAllowed"), "{details}");
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_busy_terminal_says_so_itself() {
    let mut gateway = TestGateway::new().await;
    gateway.connect(POI, Duration::from_secs(1)).await;
    let sale = gateway.sale().await;
    let diagnosed = async {
        gateway.until_busy(0).await;
        sale.sync(request("Diagnosis", POI, "D1", json!({}))).await
    };
    let (payment, busy) = tokio::join!(sale.sync(payment(POI, "P1", "10.99")), diagnosed);
    assert_eq!(payment.outcome().0, "Success");
    assert_eq!(busy.outcome(), failure("Busy"));
    gateway.stop().await;
}
