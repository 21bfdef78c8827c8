//! The classic dialect, row by row: what a Sale system hears where the public sources are silent, and for each kind of odd
//! request. What both dialects do alike is in `exchanges.rs`.

use gateway::Role;
use serde_json::json;

use crate::scripted_terminal::ScriptedTerminal;
use crate::support::{
    COMPANY, Heard, MERCHANT, NO_RESPONSE, NOT_DELIVERED, OTHER_COMPANY, OTHER_MERCHANT, POI, TestGateway,
    abort_of, failure, payment, request, status_of,
};

const EMPTY: &str = "message=Empty+input+which+would+have+resulted+in+a+null+result.";
const NO_OBJECT: &str = "message=Input+is+not+a+JSONObject";
const NO_HEADER: &str = "message=Missing+or+invalid+MessageHeader";

/// What was sent to `/sync` of a gateway without terminals, and came back.
async fn heard(body: impl Into<Vec<u8>>) -> Heard {
    let gateway = TestGateway::new().await;
    gateway.sale().await.sync(body).await
}

/// A Reject event without IDs, with HTTP status 200.
#[track_caller]
fn assert_rejected_without_ids(heard: &Heard, details: &str) {
    assert_eq!((heard.status, heard.content_type.as_str()), (200, "application/json"));
    assert_eq!(heard.reject(), details);
    let header = &heard.json()["SaleToPOIRequest"]["MessageHeader"];
    assert_eq!(
        (&header["MessageClass"], &header["MessageCategory"], &header["MessageType"]),
        (&json!("Event"), &json!("Event"), &json!("Notification"))
    );
    assert_eq!((&header["POIID"], &header["SaleID"]), (&json!("N/A"), &json!("N/A")));
    assert_eq!(header.get("ServiceID"), None);
}

#[tokio::test]
async fn an_empty_body_is_rejected() {
    assert_rejected_without_ids(&heard("").await, EMPTY);
}

#[tokio::test]
async fn a_body_of_blanks_is_rejected_as_an_empty_one() {
    assert_rejected_without_ids(&heard("  \r\n").await, EMPTY);
}

#[tokio::test]
async fn an_object_without_a_message_is_rejected() {
    assert_rejected_without_ids(&heard("{}").await, NO_HEADER);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_rejected() {
    assert_rejected_without_ids(&heard("{\"SaleToPOIRequest\":").await, NO_OBJECT);
    assert_rejected_without_ids(&heard(vec![0xff, b'{']).await, NO_OBJECT);
}

#[tokio::test]
async fn a_body_that_is_not_an_object_is_rejected() {
    assert_rejected_without_ids(&heard("[]").await, NO_OBJECT);
}

#[tokio::test]
async fn an_incomplete_header_is_rejected_with_the_ids_that_are_there() {
    let heard = heard(r#"{"SaleToPOIRequest":{"MessageHeader":{"POIID":"V400m-1","ServiceID":"7"}}}"#).await;
    assert_eq!((heard.status, heard.reject().as_str()), (200, NO_HEADER));
    let header = &heard.json()["SaleToPOIRequest"]["MessageHeader"];
    assert_eq!(
        (&header["POIID"], &header["ServiceID"], &header["SaleID"]),
        (&json!("V400m-1"), &json!("7"), &json!("N/A"))
    );
}

#[tokio::test]
async fn duplicate_members_are_rejected_in_the_outer_object_and_in_the_header() {
    let good = String::from_utf8(payment(POI, "P1", "1.00")).unwrap();
    let (first, last) = (good.strip_prefix('{').unwrap(), good.strip_suffix('}').unwrap());
    for doubled in [
        format!("{last},{first}"),
        good.replacen("\"POIID\"", "\"POIID\":\"V400m-2\",\"POIID\"", 1),
        good.replacen('{', "{\"a\":1,\"a\":2,", 1),
    ] {
        assert_eq!(heard(doubled.clone()).await.reject(), NO_HEADER, "{doubled}");
    }
}

#[tokio::test]
async fn a_bad_service_id_is_a_failure_in_the_requests_own_category() {
    for bad in ["", "12345678901", "a-b"] {
        let heard = heard(payment(POI, bad, "1.00")).await;
        assert_eq!((heard.status, heard.outcome()), (200, failure("MessageFormat")), "{bad:?}");
        let response = &heard.json()["SaleToPOIResponse"];
        assert_eq!(response["MessageHeader"]["ServiceID"], bad);
        assert!(response["PaymentResponse"]["POIData"]["POITransactionID"]["TransactionID"].is_string());
    }
}

#[tokio::test]
async fn a_body_at_the_limit_is_read_and_one_over_it_is_rejected() {
    let at = |length: usize| {
        let mut body = payment("NoSuch-1", "P1", "1.00");
        body.resize(length, b' ');
        body
    };
    assert_eq!(heard(at(131_072)).await.reject(), NOT_DELIVERED);
    assert_rejected_without_ids(&heard(at(131_073)).await, "message=Message+too+large");
}

#[tokio::test]
async fn an_unknown_category_is_routed() {
    let gateway = TestGateway::new().await;
    let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
    let sale = gateway.sale().await;
    let (heard, ()) = tokio::join!(sale.sync(request("Teleport", POI, "T1", json!({"a": 1}))), async {
        let delivered = terminal.delivered().await;
        assert_eq!(delivered.message["SaleToPOIRequest"]["TeleportRequest"]["a"], 1);
        terminal.received(&delivered).await;
        terminal.succeed(&delivered).await;
    });
    assert_eq!(heard.outcome().0, "Success");
}

#[tokio::test]
async fn what_a_client_adds_beside_the_message_travels_with_it() {
    let gateway = TestGateway::new().await;
    let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
    let sale = gateway.sale().await;
    let body = String::from_utf8(payment(POI, "P1", "1.00")).unwrap();
    let body = body.replacen('{', r#"{"merchantAccount":"ANY","#, 1);
    let (heard, ()) = tokio::join!(sale.sync(body), async {
        let delivered = terminal.delivered().await;
        assert_eq!(delivered.message["merchantAccount"], "ANY");
        terminal.succeed(&delivered).await;
    });
    assert_eq!(heard.outcome().0, "Success");
}

#[tokio::test]
async fn an_offline_terminal_is_a_reject_event_with_the_requests_ids_and_the_request_itself() {
    use base64::Engine as _;
    let gateway = TestGateway::new().await;
    gateway.add(POI).await;
    let body = payment(POI, "P1", "1.00");
    let heard = gateway.sale().await.sync(body.clone()).await;
    assert_eq!((heard.status, heard.content_type.as_str()), (200, "application/json"));
    assert_eq!(heard.reject(), NOT_DELIVERED);
    let message = &heard.json()["SaleToPOIRequest"];
    let header = &message["MessageHeader"];
    assert_eq!(
        (&header["POIID"], &header["SaleID"], &header["ServiceID"]),
        (&json!(POI), &json!("TILL-1"), &json!("P1"))
    );
    let rejected = message["EventNotification"]["RejectedMessage"].as_str().unwrap();
    assert_eq!(base64::engine::general_purpose::STANDARD.decode(rejected).unwrap(), body);
}

#[tokio::test]
async fn an_unknown_terminal_is_answered_as_an_unreachable_one() {
    let gateway = TestGateway::new().await;
    let heard = gateway.sale().await.sync(payment("NoSuch-1", "P1", "1.00")).await;
    assert_eq!((heard.status, heard.reject().as_str()), (200, NOT_DELIVERED));
}

#[tokio::test]
async fn a_silent_terminal_is_a_reject_event_that_says_so() {
    let gateway = TestGateway::new().await;
    let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
    let sale = gateway.sale().await;
    let (heard, _) = tokio::join!(sale.sync_for(1, payment(POI, "P1", "1.00")), async {
        let delivered = terminal.delivered().await;
        terminal.received(&delivered).await;
    });
    assert_eq!((heard.status, heard.reject().as_str()), (200, NO_RESPONSE));
}

#[tokio::test]
async fn no_key_and_a_wrong_key_are_unauthorized() {
    let gateway = TestGateway::new().await;
    let heard = gateway.sale_with_key("wrong").sync(payment(POI, "P1", "1.00")).await;
    assert_eq!(heard.status, 401);
    assert_eq!(
        heard.json(),
        json!({"status": 401, "errorCode": "000", "message": "HTTP Status Response - Unauthorized", "errorType": "security"})
    );
    assert_eq!(gateway.sale_with_key("").sync(payment(POI, "P1", "1.00")).await.status, 401);
}

#[tokio::test]
async fn a_key_without_the_role_or_for_another_merchant_account_is_forbidden() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let roleless = gateway.sale_with(COMPANY, &[], &[Role::AssignTerminal]).await;
    let elsewhere = gateway.sale_with(COMPANY, &[OTHER_MERCHANT], &[Role::TerminalApi]).await;
    for sale in [roleless, elsewhere] {
        let heard = sale.sync(payment(POI, "P1", "1.00")).await;
        let error = heard.json();
        assert_eq!(
            (heard.status, &error["errorCode"], &error["errorType"]),
            (403, &json!("010"), &json!("security"))
        );
        assert!(error["message"].is_string() && error["status"] == 403, "{error}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_role_of_the_newer_dialect_opens_this_one_too() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let sale = gateway.sale_with(COMPANY, &[MERCHANT], &[Role::CloudDeviceApi]).await;
    assert_eq!(sale.sync(payment(POI, "P1", "1.00")).await.outcome().0, "Success");
    assert_eq!(sale.connected(json!({"merchantAccount": MERCHANT})).await, json!([POI]));
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

#[tokio::test]
async fn ok_is_two_bytes_of_plain_text() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let heard = gateway.sale().await.sync(abort_of(POI, "A1", "P1")).await;
    assert_eq!((heard.status, heard.content_type.as_str(), heard.text().as_str()), (200, "text/plain", "ok"));
    gateway.stop().await;
}

#[tokio::test]
async fn another_method_is_a_classic_error_that_names_the_right_one() {
    let gateway = TestGateway::new().await;
    let sale = gateway.sale().await;
    for path in ["/sync", "/connectedTerminals"] {
        let heard = sale.get(path).await;
        assert_eq!((heard.status, heard.allow.as_deref()), (405, Some("POST")), "{path}");
        assert_eq!(heard.content_type, "application/json");
        let error = heard.json();
        assert_eq!((&error["status"], &error["errorCode"]), (&json!(405), &json!("000")));
        assert!(error["message"].is_string() && error["errorType"] == "validation", "{error}");
    }
}
