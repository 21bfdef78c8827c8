//! The Cloud device API, row by row, and its answers against the published schemas. What both dialects do alike is in
//! `exchanges.rs`.

use std::time::{Duration, Instant};

use gateway::{Location, Role};
use nexo::PoiId;
use serde_json::{Value, json};

use crate::published_schemas::assert_fits;
use crate::scripted_terminal::ScriptedTerminal;
use crate::support::{
    COMPANY, Dialect, Heard, MERCHANT, NO_RESPONSE, OTHER_COMPANY, OTHER_MERCHANT, POI, SOON, Sale,
    TestGateway, abort_of, device_path, failure, payment, request, status_of,
};

async fn till(gateway: &TestGateway) -> Sale<'_> {
    gateway.speaker(Dialect::CloudDevice).await
}

/// An error as RFC 7807 has it, in the form that the published schema has.
#[track_caller]
fn problem(heard: &Heard, status: u16) -> Value {
    assert_eq!((heard.status, heard.content_type.as_str()), (status, "application/json"), "{}", heard.text());
    let problem = heard.json();
    assert_fits("CloudDeviceService-v1", "DefaultErrorResponseEntity", &problem);
    assert_eq!(problem["status"], status);
    assert_eq!(problem["errorCode"], format!("00_{status}"));
    for member in ["type", "title", "detail", "requestId", "instance"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
    }
    problem
}

#[track_caller]
fn detail(heard: &Heard, status: u16) -> String {
    problem(heard, status)["detail"].as_str().unwrap().to_owned()
}

/// What does not tell one occurrence from another.
fn kind_of(heard: &Heard, status: u16) -> Value {
    let mut problem = problem(heard, status);
    problem["requestId"] = json!("");
    problem["instance"] = json!("");
    problem
}

#[tokio::test]
async fn a_payment_is_approved_and_can_be_watched_in_the_other_dialect() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let heard = till(&gateway).await.sync(payment(POI, "P1", "10.99")).await;
    assert_eq!((heard.status, heard.content_type.as_str()), (200, "application/json"));
    assert_eq!(heard.outcome().0, "Success");
    let status = gateway.sale().await.sync(status_of(POI, "S1", "P1")).await;
    assert_eq!(status.outcome().0, "Success");
    gateway.stop().await;
}

#[tokio::test]
async fn an_offline_device_is_an_unreachable_host_in_the_requests_own_category() {
    let gateway = TestGateway::new().await;
    gateway.add(POI).await;
    let till = till(&gateway).await;
    for (category, heard) in [
        ("Payment", till.sync(payment(POI, "P1", "1.00")).await),
        ("Diagnosis", till.sync(request("Diagnosis", POI, "D1", json!({}))).await),
        ("Abort", till.sync(abort_of(POI, "A1", "P9")).await),
    ] {
        assert_eq!((heard.status, heard.content_type.as_str()), (200, "application/json"));
        let message = &heard.json()["SaleToPOIResponse"];
        assert_eq!(
            message[format!("{category}Response")]["Response"],
            json!({"Result": "Failure", "ErrorCondition": "UnreachableHost",
                "AdditionalResponse": "message=Terminal+is+not+reachable"})
        );
        let header = &message["MessageHeader"];
        assert_eq!((&header["MessageType"], &header["POIID"]), (&json!("Response"), &json!(POI)));
    }
    let again = till.sync(payment(POI, "P1", "1.00")).await;
    let payment = &again.json()["SaleToPOIResponse"]["PaymentResponse"];
    assert_eq!(payment["SaleData"]["SaleTransactionID"]["TransactionID"], "P1");
    let own = payment["POIData"]["POITransactionID"]["TransactionID"].as_str().unwrap();
    assert!(own.starts_with("tg."), "{own}");
    assert_fits("TerminalAPI-v1", "PaymentResponse", payment);
}

#[tokio::test]
async fn an_unknown_device_is_answered_as_an_unreachable_one() {
    let gateway = TestGateway::new().await;
    let heard = till(&gateway).await.sync(payment("NoSuch-1", "P1", "1.00")).await;
    assert_eq!((heard.status, heard.outcome()), (200, failure("UnreachableHost")));
}

#[tokio::test]
async fn a_question_that_only_an_absent_device_can_answer_is_not_known() {
    let gateway = TestGateway::new().await;
    gateway.add(POI).await;
    // Without a reference only the terminal knows what is meant (E18).
    let heard = till(&gateway).await.sync(request("TransactionStatus", POI, "S1", json!({}))).await;
    assert_eq!((heard.status, heard.reject().as_str()), (200, NO_RESPONSE));
}

#[tokio::test]
async fn a_silent_device_is_a_reject_event_that_says_so() {
    let gateway = TestGateway::new().await;
    let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
    let till = till(&gateway).await;
    let (heard, _) = tokio::join!(till.sync_for(1, payment(POI, "P1", "1.00")), async {
        let delivered = terminal.delivered().await;
        terminal.received(&delivered).await;
    });
    assert_eq!((heard.status, heard.reject().as_str()), (200, NO_RESPONSE));
}

#[tokio::test]
async fn an_encrypted_message_goes_by_its_clear_header_and_its_absence_is_told_in_the_clear() {
    let gateway = TestGateway::new().await;
    let mut terminal = ScriptedTerminal::connect(&gateway, POI).await;
    let till = till(&gateway).await;
    let encrypted = |poi: &str, service_id: &str| {
        let clear: Value = serde_json::from_slice(&payment(poi, service_id, "1.00")).unwrap();
        let header = &clear["SaleToPOIRequest"]["MessageHeader"];
        json!({"SaleToPOIRequest": {"MessageHeader": header, "NexoBlob": "AAAA",
            "SecurityTrailer": {"KeyVersion": 1, "Nonce": "AAAA", "Hmac": "AAAA"}}})
    };
    let (heard, ()) = tokio::join!(till.sync(encrypted(POI, "P1").to_string()), async {
        let delivered = terminal.delivered().await;
        assert_eq!(delivered.message, encrypted(POI, "P1"));
        let mut answer = delivered.message["SaleToPOIRequest"].clone();
        answer["MessageHeader"]["MessageType"] = json!("Response");
        terminal.answer(&delivered, json!({ "SaleToPOIResponse": answer })).await;
    });
    assert_eq!(heard.json()["SaleToPOIResponse"]["NexoBlob"], "AAAA");
    let absent = till.sync(encrypted("NoSuch-1", "P1").to_string()).await;
    assert_eq!(absent.outcome(), failure("UnreachableHost"));
}

#[tokio::test]
async fn no_key_and_a_wrong_key_are_unauthorized() {
    let gateway = TestGateway::new().await;
    let nobody = gateway.sale_with_key("wrong");
    for heard in [
        nobody.post(&device_path(MERCHANT, POI, "sync"), payment(POI, "P1", "1.00")).await,
        nobody.get(&device_path(MERCHANT, POI, "status")).await,
        nobody.get(&format!("/v1/merchants/{MERCHANT}/connectedDevices")).await,
    ] {
        let problem = problem(&heard, 401);
        assert_eq!(problem["type"], "https://docs.adyen.com/errors/unauthorized");
        assert_eq!(problem["title"], "Unauthorized");
    }
}

#[tokio::test]
async fn a_key_without_the_role_or_for_another_merchant_account_is_forbidden() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    // The role of the older dialect does not open the newer one.
    let roleless = gateway.sale_with(COMPANY, &[], &[Role::TerminalApi]).await;
    let elsewhere = gateway.sale_with(COMPANY, &[OTHER_MERCHANT], &[Role::CloudDeviceApi]).await;
    for sale in [roleless, elsewhere] {
        for heard in [
            sale.post(&device_path(MERCHANT, POI, "sync"), payment(POI, "P1", "1.00")).await,
            sale.get(&device_path(MERCHANT, POI, "status")).await,
            sale.get(&format!("/v1/merchants/{MERCHANT}/connectedDevices")).await,
        ] {
            let problem = problem(&heard, 403);
            assert_eq!(problem["type"], "https://docs.adyen.com/errors/forbidden");
            assert_eq!(problem["title"], "Forbidden");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn another_companys_merchant_account_and_devices_are_as_if_they_did_not_exist() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let foreigner = gateway.sale_with(OTHER_COMPANY, &[], &[Role::CloudDeviceApi]).await;
    let status =
        async |merchant: &str, device: &str| foreigner.get(&device_path(merchant, device, "status")).await;
    let (theirs, nobodys) = (status(MERCHANT, POI).await, status("NO_SUCH", POI).await);
    let named = |heard: &Heard, merchant: &str| kind_of(heard, 403).to_string().replace(merchant, "M");
    assert_eq!(named(&theirs, MERCHANT), named(&nobodys, "NO_SUCH"));
    // Under a merchant account of their own.
    let (theirs, nobodys) = (status("FOREIGN_MERCHANT", POI).await, status("FOREIGN_MERCHANT", "No-1").await);
    assert_eq!(theirs.json(), json!({"deviceId": POI, "status": "OFFLINE"}));
    assert_eq!(nobodys.json(), json!({"deviceId": "No-1", "status": "OFFLINE"}));
    for poi in [POI, "NoSuch-1"] {
        let path = device_path("FOREIGN_MERCHANT", poi, "sync");
        let heard = foreigner.post(&path, payment(poi, "P1", "1.00")).await;
        assert_eq!((heard.status, heard.outcome()), (200, failure("UnreachableHost")));
    }
    // Their own exchanges are not touched by it.
    let own = till(&gateway).await;
    assert_eq!(own.sync(payment(POI, "P1", "1.00")).await.outcome().0, "Success");
    gateway.stop().await;
}

#[tokio::test]
async fn a_device_at_another_merchant_account_of_the_company_is_named_and_not_called_absent() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let till = till(&gateway).await;
    for heard in [
        till.post(&device_path(OTHER_MERCHANT, POI, "sync"), payment(POI, "P1", "1.00")).await,
        till.get(&device_path(OTHER_MERCHANT, POI, "status")).await,
    ] {
        let text = detail(&heard, 422);
        assert!(text.contains(POI) && text.contains(OTHER_MERCHANT), "{text}");
    }
    // Under an account that the credential may not use it is out of scope, whatever the path says.
    let scoped = gateway.sale_with(COMPANY, &[OTHER_MERCHANT], &[Role::CloudDeviceApi]).await;
    problem(&scoped.get(&device_path(OTHER_MERCHANT, POI, "status")).await, 403);
    assert_eq!(gateway.terminal(0).executed_payments().len(), 0);
    drop((till, scoped));
    gateway.stop().await;
}

#[tokio::test]
async fn a_path_that_names_another_device_than_the_message_is_refused_naming_both() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let till = till(&gateway).await;
    let path = device_path(MERCHANT, POI, "sync");
    for body in [payment("V400m-2", "P1", "1.00"), payment("V400m-2", "not a ServiceID", "1.00")] {
        let heard = till.post(&path, body).await;
        let problem = problem(&heard, 422);
        let text = problem["detail"].as_str().unwrap();
        assert!(text.contains(POI) && text.contains("V400m-2"), "{text}");
        assert_eq!(problem["invalidFields"][0]["name"], "deviceId");
        assert_eq!(problem["invalidFields"][1]["value"], "V400m-2");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_that_is_no_message_is_refused_naming_the_member() {
    let gateway = TestGateway::new().await;
    let till = till(&gateway).await;
    let good = String::from_utf8(payment(POI, "P1", "1.00")).unwrap();
    for (body, named) in [
        (String::new(), "empty body"),
        (" \n".into(), "empty body"),
        ("{}".into(), "SaleToPOIRequest"),
        ("[]".into(), "JSON object"),
        ("{\"SaleToPOIRequest\":".into(), "JSON"),
        (r#"{"SaleToPOIRequest":{}}"#.into(), "MessageHeader"),
        (good.replacen("\"SaleID\"", "\"Sale\"", 1), "SaleID"),
        (good.replacen("\"POIID\"", "\"POIID\":\"V400m-2\",\"POIID\"", 1), "POIID"),
        (good.replacen('{', "{\"a\":1,\"a\":2,", 1), "\"a\""),
    ] {
        let text = detail(&till.post(&device_path(MERCHANT, POI, "sync"), body.clone()).await, 400);
        assert!(text.contains(named), "{body}: {text}");
    }
}

#[tokio::test]
async fn a_bad_service_id_is_a_failure_in_the_requests_own_category() {
    let gateway = TestGateway::new().await;
    let heard = till(&gateway).await.sync(payment(POI, "12345678901", "1.00")).await;
    assert_eq!((heard.status, heard.outcome()), (200, failure("MessageFormat")));
}

#[tokio::test]
async fn a_body_at_the_limit_is_read_and_one_over_it_is_too_large() {
    let gateway = TestGateway::new().await;
    let till = till(&gateway).await;
    let mut body = payment("NoSuch-1", "P1", "1.00");
    body.resize(131_072, b' ');
    assert_eq!(till.sync(body.clone()).await.outcome(), failure("UnreachableHost"));
    body.push(b' ');
    assert!(detail(&till.sync(body).await, 413).contains("131072"));
}

#[tokio::test]
async fn a_path_is_percent_decoded_and_one_that_cannot_be_is_refused() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let till = till(&gateway).await;
    let online = till.get("/v1/merchants/TEST%5FMERCHANT/devices/V400m%2d324688179/status").await;
    assert_eq!(online.json(), json!({"deviceId": POI, "status": "ONLINE"}));
    problem(&till.get("/v1/merchants/TEST%FFMERCHANT/devices/V400m-1/status").await, 400);
    // A slash or a broken escape in a name is part of a name that nobody has.
    problem(&till.get("/v1/merchants/TEST%2FMERCHANT/devices/V400m-1/status").await, 403);
    let odd = till.get(&device_path(MERCHANT, "V400m%zz", "status")).await;
    assert_eq!(odd.json(), json!({"deviceId": "V400m%zz", "status": "OFFLINE"}));
    problem(&till.get("/v1/merchants//devices/V400m-1/status").await, 403);
    gateway.stop().await;
}

#[tokio::test]
async fn another_method_is_refused_and_the_right_one_named() {
    let gateway = TestGateway::new().await;
    let till = till(&gateway).await;
    let heard = till.get(&device_path(MERCHANT, POI, "sync")).await;
    problem(&heard, 405);
    assert_eq!(heard.allow.as_deref(), Some("POST"));
    let heard = till.post(&device_path(MERCHANT, POI, "status"), "{}").await;
    problem(&heard, 405);
    assert!(heard.allow.unwrap().contains("GET"));
}

#[tokio::test]
async fn status_asks_the_device_itself() {
    let gateway = TestGateway::new().await;
    let terminal = ScriptedTerminal::connect(&gateway, POI).await;
    gateway.add("V400m-2").await;
    let till = till(&gateway).await;
    let status = async |device: &str| {
        let heard = till.get(&device_path(MERCHANT, device, "status")).await;
        assert_eq!((heard.status, heard.content_type.as_str()), (200, "application/json"));
        assert_fits("CloudDeviceService-v1", "DeviceStatusResponse", &heard.json());
        heard.json()
    };
    // It has just said hello.
    assert_eq!(status(POI).await, json!({"deviceId": POI, "status": "ONLINE"}));
    // Nobody reads its socket, so it answers no ping. Its link stands for a while, and it is offline all the same.
    let silent_since = Instant::now();
    while status(POI).await["status"] == "ONLINE" {
        assert!(silent_since.elapsed() < SOON, "it is still called online");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let listed = till.get(&format!("/v1/merchants/{MERCHANT}/connectedDevices")).await;
    assert_eq!(listed.json(), json!({"uniqueDeviceIds": [POI]}), "its link stands");
    assert_eq!(status("V400m-2").await, json!({"deviceId": "V400m-2", "status": "OFFLINE"}));
    assert_eq!(status("NoSuch-1").await, json!({"deviceId": "NoSuch-1", "status": "OFFLINE"}));
    drop(terminal);
}

#[tokio::test]
async fn connected_devices_are_listed_sorted_and_by_store() {
    let gateway =
        TestGateway::new().await.with_terminal(POI).await.with_terminal("AMS1-000168223606144").await;
    gateway.add("P400Plus-275008565").await;
    let till = till(&gateway).await;
    let ask = async |merchant: &str, query: &str| {
        let heard = till.get(&format!("/v1/merchants/{merchant}/connectedDevices{query}")).await;
        if heard.status == 200 {
            assert_eq!(heard.content_type, "application/json");
            assert_fits("CloudDeviceService-v1", "ConnectedDevicesResponse", &heard.json());
        }
        heard
    };
    let all = json!({"uniqueDeviceIds": ["AMS1-000168223606144", POI]});
    for query in ["", "?store=STORE_A", "?store=", "?other=1"] {
        assert_eq!(ask(MERCHANT, query).await.json(), all, "{query}");
    }
    let none = json!({"uniqueDeviceIds": []});
    assert_eq!(ask(MERCHANT, "?store=STORE_B").await.json(), none);
    assert_eq!(ask(OTHER_MERCHANT, "").await.json(), none);
    problem(&ask(MERCHANT, "?store=NO_SUCH").await, 422);
    problem(&ask(MERCHANT, "?store=STORE_A&store=STORE_B").await, 400);
    problem(&ask("NO_SUCH", "").await, 403);
    gateway.stop().await;
}

#[tokio::test]
async fn a_terminal_in_the_companys_inventory_is_at_no_merchant_account() {
    let gateway = TestGateway::new().await;
    let poi = PoiId::parse("V400m-3").unwrap();
    gateway.admin().add_terminal(COMPANY, &poi, Location::CompanyInventory).await.unwrap();
    problem(&till(&gateway).await.get(&device_path(MERCHANT, "V400m-3", "status")).await, 422);
}
