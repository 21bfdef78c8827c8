//! `POST /sync`.

use std::time::Duration;

use gateway::Role;
use serde_json::json;

use crate::support::{
    COMPANY, OTHER_COMPANY, OTHER_MERCHANT, TestGateway, abort_of, payment, request, status_of,
};

const POI: &str = "V400m-324688179";

const NOT_DELIVERED: &str = "message=Failed+to+send+message+to+POI.+There+may+be+a+network+issue+or+it+may+not+have+the+websocket+connected.";

fn failure(condition: &str) -> (String, String) {
    ("Failure".into(), condition.into())
}

#[tokio::test]
async fn a_payment_is_approved_and_its_answer_is_json() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let heard = gateway.sale().await.sync(payment(POI, "P1", "10.99")).await;
    assert_eq!((heard.status, heard.content_type.as_str()), (200, "application/json"));
    let body = heard.json();
    let header = &body["SaleToPOIResponse"]["MessageHeader"];
    assert_eq!((&header["MessageType"], &header["ServiceID"]), (&json!("Response"), &json!("P1")));
    let response = &body["SaleToPOIResponse"]["PaymentResponse"];
    assert_eq!(response["Response"]["Result"], "Success");
    assert_eq!(response["PaymentResult"]["AmountsResp"]["AuthorizedAmount"], 10.99);
    gateway.stop().await;
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
async fn e4_a_repeat_of_a_payment_gets_its_recorded_answer_and_does_not_run_again() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let sale = gateway.sale().await;
    let first = sale.sync(payment(POI, "P1", "10.99")).await;
    let second = sale.sync(payment(POI, "P1", "10.99")).await;
    assert_eq!(first.body, second.body);
    assert!(!first.repeated && second.repeated);
    assert_eq!(gateway.terminal(0).executed_payments().len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn e4_two_copies_at_once_run_once_and_hear_the_same() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let sale = gateway.sale().await;
    let (one, other) =
        tokio::join!(sale.sync(payment(POI, "P1", "5.00")), sale.sync(payment(POI, "P1", "5.00")));
    assert_eq!(one.body, other.body);
    assert_eq!(gateway.terminal(0).executed_payments().len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn e5_a_repeat_of_a_diagnosis_is_told_to_use_a_new_service_id() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let sale = gateway.sale().await;
    let diagnosis = || request("Diagnosis", POI, "D1", json!({"HostDiagnosisFlag": false}));
    assert_eq!(sale.sync(diagnosis()).await.outcome().0, "Success");
    let again = sale.sync(diagnosis()).await;
    assert_eq!(again.outcome(), failure("NotAllowed"));
    assert!(again.text().contains("new+ServiceID"), "{}", again.text());
    gateway.stop().await;
}

#[tokio::test]
async fn e6_another_body_under_the_same_service_id_is_refused() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let sale = gateway.sale().await;
    sale.sync(payment(POI, "P1", "10.99")).await;
    assert_eq!(sale.sync(payment(POI, "P1", "11.99")).await.outcome(), failure("NotAllowed"));
    assert_eq!(gateway.terminal(0).executed_payments().len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn e7_a_refusal_uses_the_service_id_up_and_a_later_copy_hears_it_again() {
    let mut gateway = TestGateway::new().await;
    gateway.add("P400Plus-1").await;
    let sale = gateway.sale().await;
    assert_eq!(sale.sync(payment("P400Plus-1", "P1", "10.99")).await.reject(), NOT_DELIVERED);
    let again = sale.sync(payment("P400Plus-1", "P1", "10.99")).await;
    assert_eq!(again.reject(), NOT_DELIVERED);
    let status = sale.sync(status_of("P400Plus-1", "S1", "P1")).await;
    assert_eq!(status.outcome(), failure("NotFound"));
    // After NotFound the ServiceID is closed (E16): the copy may not run, whoever is connected by then.
    assert_eq!(sale.sync(payment("P400Plus-1", "P1", "10.99")).await.outcome(), failure("NotAllowed"));
    drop(sale);
    gateway.connect(POI, Duration::from_millis(50)).await;
    gateway.stop().await;
}

#[tokio::test]
async fn e8_what_is_no_request_is_rejected_in_words() {
    let gateway = TestGateway::new().await;
    let sale = gateway.sale().await;
    let empty = "message=Empty+input+which+would+have+resulted+in+a+null+result.";
    let no_object = "message=Input+is+not+a+JSONObject";
    let no_header = "message=Missing+or+invalid+MessageHeader";
    for (body, details) in [
        ("", empty),
        ("  \r\n", empty),
        ("[]", no_object),
        ("{\"SaleToPOIRequest\":", no_object),
        ("{}", no_header),
        (r#"{"SaleToPOIRequest":{"MessageHeader":{"POIID":"V400m-1"}}}"#, no_header),
    ] {
        let heard = sale.sync(body).await;
        assert_eq!((heard.status, heard.reject().as_str()), (200, details), "{body:?}");
    }
    let heard = sale.sync(payment(POI, "12345678901", "1.00")).await;
    assert_eq!(heard.outcome(), failure("MessageFormat"));
    let heard = sale.sync(vec![b' '; 200_000]).await;
    assert_eq!(heard.reject(), "message=Message+too+large");
    gateway.stop().await;
}

#[tokio::test]
async fn e11_a_terminal_gets_less_time_than_its_pos_and_answers_within_it() {
    let mut gateway = TestGateway::new().await;
    gateway.connect(POI, Duration::from_secs(60)).await;
    let sale = gateway.sale().await;
    // Of its POS's second the terminal has half, and cancels before it asks for the money (T7).
    assert_eq!(sale.sync_for(1, payment(POI, "P1", "10.99")).await.outcome(), failure("Aborted"));
    let status = sale.sync(status_of(POI, "S1", "P1")).await;
    assert_eq!(status.outcome().0, "Success");
    let repeated =
        &status.json()["SaleToPOIResponse"]["TransactionStatusResponse"]["RepeatedMessageResponse"];
    let payment = &repeated["RepeatedResponseMessageBody"]["PaymentResponse"];
    assert_eq!(payment["Response"]["ErrorCondition"], "Aborted", "{repeated}");
    assert_eq!(gateway.terminal(0).executed_payments().len(), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn e12_a_pos_that_hangs_up_changes_nothing_and_can_ask_later() {
    let mut gateway = TestGateway::new().await;
    gateway.connect(POI, Duration::from_millis(600)).await;
    let sale = gateway.sale().await;
    tokio::select! {
        answer = sale.sync(payment(POI, "P1", "10.99")) => panic!("answered before the hang-up: {answer:?}"),
        () = gateway.until_busy(0) => {}
    }
    let answer = sale.sync(payment(POI, "P1", "10.99")).await;
    assert_eq!(answer.outcome().0, "Success");
    let status = sale.sync(status_of(POI, "S1", "P1")).await;
    let repeated =
        &status.json()["SaleToPOIResponse"]["TransactionStatusResponse"]["RepeatedMessageResponse"];
    assert_eq!(
        repeated["RepeatedResponseMessageBody"]["PaymentResponse"],
        answer.json()["SaleToPOIResponse"]["PaymentResponse"]
    );
    assert_eq!(gateway.terminal(0).executed_payments().len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn e16_a_payment_that_was_told_not_found_never_runs() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let sale = gateway.sale().await;
    assert_eq!(sale.sync(status_of(POI, "S1", "P1")).await.outcome(), failure("NotFound"));
    assert_eq!(sale.sync(payment(POI, "P1", "10.99")).await.outcome(), failure("NotAllowed"));
    assert_eq!(gateway.terminal(0).executed_payments().len(), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn e20_an_abort_ends_a_running_payment_and_is_answered_ok() {
    let mut gateway = TestGateway::new().await;
    gateway.connect(POI, Duration::from_secs(60)).await;
    let sale = gateway.sale().await;
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

#[tokio::test]
async fn a_key_is_needed_and_it_must_have_the_role_and_the_scope() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let nobody = gateway.sale_with_key("wrong").sync(payment(POI, "P1", "1.00")).await;
    assert_eq!(nobody.status, 401);
    assert_eq!(
        nobody.json(),
        json!({"status": 401, "errorCode": "000", "message": "HTTP Status Response - Unauthorized", "errorType": "security"})
    );
    let roleless = gateway.sale_with(COMPANY, &[], &[Role::AssignTerminal]).await;
    let heard = roleless.sync(payment(POI, "P1", "1.00")).await;
    assert_eq!((heard.status, heard.json()["errorCode"].as_str()), (403, Some("010")));
    let elsewhere = gateway.sale_with(COMPANY, &[OTHER_MERCHANT], &[Role::TerminalApi]).await;
    let heard = elsewhere.sync(payment(POI, "P1", "1.00")).await;
    assert_eq!((heard.status, heard.json()["errorCode"].as_str()), (403, Some("010")));
    gateway.stop().await;
}

#[tokio::test]
async fn another_companys_terminal_is_like_none_and_its_service_ids_stay_its_own() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let foreigner = gateway.sale_with(OTHER_COMPANY, &[], &[Role::TerminalApi]).await;
    let own = gateway.sale().await;
    own.sync(payment(POI, "P1", "10.99")).await;
    for poi in [POI, "NoSuch-1"] {
        for service_id in ["P1", "P2"] {
            let heard = foreigner.sync(payment(poi, service_id, "1.00")).await;
            assert_eq!((heard.status, heard.reject().as_str()), (200, NOT_DELIVERED));
            let status = foreigner.sync(status_of(poi, &format!("S{service_id}"), service_id)).await;
            assert_ne!(status.outcome().0, "Success", "{}", status.text());
        }
    }
    assert_eq!(own.sync(payment(POI, "P2", "10.99")).await.outcome().0, "Success");
    gateway.stop().await;
}
