//! The POS Terminal Management API: what it refuses, in which words, and what nobody learns from that.

use gateway::{Config, Limits, Location, Role, V1Booleans};
use nexo::PoiId;
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use serde_json::{Value, json};

use crate::published_schemas::assert_fits;
use crate::support::{
    COMPANY, Heard, MERCHANT, OTHER_COMPANY, OTHER_MERCHANT, SOON, Sale, TestGateway, client,
};
use crate::terminal_management::{AT_COMPANY, AT_MERCHANT, IN_STORE, PATHS, ask, fleet, manager};

const OPERATIONS: [&str; 5] = [
    "findTerminal",
    "getTerminalDetails",
    "getTerminalsUnderAccount",
    "getStoresUnderAccount",
    "assignTerminals",
];

/// Status, code, type and message of an error, which fits its schema.
#[track_caller]
fn error(heard: &Heard) -> (u16, String, String, String) {
    let body = heard.json();
    assert_fits("TfmAPIService-v1", "ServiceError", &body);
    assert_eq!((heard.content_type.as_str(), &body["status"]), ("application/json", &json!(heard.status)));
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    (heard.status, text("errorCode"), text("errorType"), text("message"))
}

#[track_caller]
fn assert_refused(heard: &Heard, status: u16, code: &str, kind: &str, message: &str) {
    let (got_status, got_code, got_kind, got_message) = error(heard);
    assert_eq!((got_status, got_code.as_str(), got_kind.as_str()), (status, code, kind), "{got_message}");
    assert!(got_message.contains(message), "{got_message}");
}

/// A question that every operation understands.
fn question_of(operation: &str) -> Value {
    match operation {
        "findTerminal" | "getTerminalDetails" => json!({ "terminal": IN_STORE }),
        "assignTerminals" => json!({"companyAccount": COMPANY, "terminals": [AT_COMPANY]}),
        _ => json!({ "companyAccount": COMPANY }),
    }
}

#[tokio::test]
async fn only_a_key_with_the_role_is_let_in_anywhere() {
    let gateway = fleet(V1Booleans::Strings).await;
    let other_role = gateway.sale_with(COMPANY, &[], &[Role::TerminalApi, Role::AssignTerminal]).await;
    for (prefix, _) in PATHS {
        for operation in OPERATIONS {
            let path = format!("{prefix}/{operation}");
            let question = question_of(operation).to_string();
            let stranger = gateway.sale_with_key("tg_key_of_nobody").post(&path, question.as_str()).await;
            assert_refused(&stranger, 401, "000", "security", "HTTP Status Response - Unauthorized");
            let forbidden = other_role.post(&path, question).await;
            let role = "the API credential has not the role \"POS Terminal Management API role\"";
            assert_refused(&forbidden, 403, "010", "security", role);
            let got = manager(&gateway).await.get(&path).await;
            assert_refused(&got, 405, "000", "validation", "POST only");
            assert_eq!(got.allow.as_deref(), Some("POST"));
            let misdirected =
                client().post(format!("{}{path}", gateway.url())).header("host", "elsewhere.example").send();
            let misdirected = misdirected.await.unwrap();
            assert_eq!(misdirected.status(), 421);
            let body: Value = serde_json::from_str(&misdirected.text().await.unwrap()).unwrap();
            assert_eq!(body["errorCode"], "000");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn every_request_that_cannot_be_meant_is_refused_by_name() {
    let gateway = fleet(V1Booleans::Strings).await;
    let manager = manager(&gateway).await;
    for operation in OPERATIONS {
        let schema = format!("{}{}Request", operation[..1].to_uppercase(), &operation[1..]);
        let mut unknown = question_of(operation);
        unknown["colour"] = json!("red");
        let message = format!("Structure of {schema} contains the following unknown fields: [colour]");
        assert_refused(&ask(&manager, operation, unknown).await, 400, "702", "validation", &message);
        for broken in ["", "{", "[]", "null", "\"x\"", "{\"terminal\":\"a\"}}"] {
            let heard = manager.post(&format!("/v1/{operation}"), broken).await;
            assert_refused(&heard, 400, "702", "validation", "The request can't be read");
        }
        let first = if operation.ends_with("Terminal") || operation.ends_with("Details") {
            "terminal"
        } else {
            "companyAccount"
        };
        for absent in [json!({}), json!({first: null}), json!({first: ""})] {
            let message = format!("Required field '{first}' is null");
            assert_refused(&ask(&manager, operation, absent).await, 400, "702", "validation", &message);
        }
        for (wrong, kind) in [(json!(7), "a number"), (json!(["x"]), "an array"), (json!({}), "an object")] {
            let message = format!("Field '{first}': expected a text, got {kind}");
            let heard = ask(&manager, operation, json!({first: wrong})).await;
            assert_refused(&heard, 400, "702", "validation", &message);
        }
    }
    let of_account = |more: Value| {
        let mut question = json!({ "companyAccount": COMPANY });
        question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        question
    };
    let store_alone = of_account(json!({"store": "STORE_A"}));
    let heard = ask(&manager, "getTerminalsUnderAccount", store_alone).await;
    assert_refused(&heard, 400, "702", "validation", "Required field 'merchantAccount' is null");
    for (more, status, code, message) in [
        (json!({}), 400, "702", "Required field 'terminals' is null"),
        (json!({"terminals": []}), 400, "702", "Required field 'terminals' is empty"),
        (
            json!({"terminals": AT_COMPANY}),
            400,
            "702",
            "Field 'terminals': expected an array of texts, got a text",
        ),
        (json!({"terminals": [AT_COMPANY, 7]}), 400, "702", "Field 'terminals': expected an array of texts"),
        (
            json!({"terminals": [AT_COMPANY], "store": "STORE_A"}),
            400,
            "702",
            "Required field 'merchantAccount' is null",
        ),
        (
            json!({"terminals": [AT_COMPANY], "merchantInventory": true}),
            400,
            "702",
            "Required field 'merchantAccount' is null",
        ),
        (
            json!({"terminals": [AT_COMPANY], "merchantAccount": MERCHANT}),
            400,
            "702",
            "Required field 'merchantInventory' is null",
        ),
        (
            json!({"terminals": [AT_COMPANY], "merchantAccount": MERCHANT, "merchantInventory": "yes"}),
            400,
            "702",
            "Field 'merchantInventory': expected true or false, got a text",
        ),
        (
            json!({"terminals": [AT_COMPANY], "merchantAccount": MERCHANT, "merchantInventory": false, "store": "STORE_A"}),
            422,
            "000",
            "merchantInventory can't be used together with store",
        ),
        (
            json!({"terminals": [AT_COMPANY], "merchantAccount": MERCHANT, "merchantInventory": false}),
            422,
            "000",
            "has stores",
        ),
        (
            json!({"terminals": ["V400m-999999999", AT_COMPANY, "\u{7}", "V400m-999999998", "V400m-999999999"]}),
            422,
            "000",
            "Terminals not found: V400m-999999999, \u{7}, V400m-999999998",
        ),
        (
            json!({"terminals": [AT_COMPANY, "V400m-999999998"]}),
            422,
            "000",
            "Terminals not found: V400m-999999998",
        ),
    ] {
        let heard = ask(&manager, "assignTerminals", of_account(more)).await;
        assert_refused(&heard, status, code, "validation", message);
    }
    let many: Vec<_> = (0..10_001).map(|n| format!("V400m-{n:09}")).collect();
    let heard = ask(&manager, "assignTerminals", of_account(json!({ "terminals": many }))).await;
    assert_refused(&heard, 422, "901", "validation", "10001 terminals are too many for one call");
    let large = vec![b' '; 1024 * 1024 + 1];
    let heard = manager.post("/v1/assignTerminals", large).await;
    assert_refused(&heard, 413, "702", "validation", "limit of 1048576 bytes");
    // Of all that, nothing was done.
    let found = ask(&manager, "findTerminal", json!({ "terminal": AT_COMPANY })).await;
    assert_eq!(found.json(), json!({"companyAccount": COMPANY, "terminal": AT_COMPANY}));
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_out_of_scope_is_refused_as_what_is_not_there() {
    let gateway = fleet(V1Booleans::Strings).await;
    let scoped = gateway.sale_with(COMPANY, &[OTHER_MERCHANT], &[Role::TerminalManagementApi]).await;
    for poi in [IN_STORE, AT_COMPANY, "V400m-999999999", "\u{7}"] {
        for operation in ["findTerminal", "getTerminalDetails"] {
            let heard = ask(&scoped, operation, json!({ "terminal": poi })).await;
            assert_refused(&heard, 422, "000", "validation", "Terminal not found");
        }
    }
    assert_eq!(ask(&scoped, "findTerminal", json!({ "terminal": AT_MERCHANT })).await.status, 200);
    for merchant in [MERCHANT, "FOREIGN_MERCHANT", "NO_SUCH", "no code"] {
        let account = json!({"companyAccount": COMPANY, "merchantAccount": merchant});
        for operation in ["getTerminalsUnderAccount", "getStoresUnderAccount"] {
            let heard = ask(&scoped, operation, account.clone()).await;
            assert_refused(&heard, 403, "901", "security", "Invalid Merchant Account");
        }
        let mut assign = account;
        assign["terminals"] = json!([AT_MERCHANT]);
        assign["merchantInventory"] = json!(true);
        let heard = ask(&scoped, "assignTerminals", assign).await;
        assert_refused(&heard, 403, "901", "security", "Invalid Merchant Account");
    }
    let to_company = json!({"companyAccount": COMPANY, "terminals": [AT_MERCHANT]});
    let heard = ask(&scoped, "assignTerminals", to_company).await;
    assert_refused(&heard, 403, "010", "security", "not for the company's inventory");
    let theirs = json!({"companyAccount": COMPANY, "merchantAccount": OTHER_MERCHANT, "merchantInventory": true,
        "terminals": [IN_STORE, AT_MERCHANT, AT_COMPANY]});
    let heard = ask(&scoped, "assignTerminals", theirs).await;
    let message = format!("Terminals not found: {IN_STORE}, {AT_COMPANY}");
    assert_refused(&heard, 422, "000", "validation", &message);
    gateway.stop().await;
}

/// What a key of another company hears is what it hears about things that nobody has, but for the names that it sent.
#[tokio::test]
async fn another_companys_things_are_not_there() {
    let gateway = fleet(V1Booleans::Strings).await;
    let admin = gateway.admin();
    let own = PoiId::parse("V400m-000000777").unwrap();
    admin.add_terminal(OTHER_COMPANY, &own, Location::CompanyInventory).await.unwrap();
    let foreign = gateway.sale_with(OTHER_COMPANY, &[], &[Role::TerminalManagementApi]).await;
    let (no_poi, no_company, no_merchant, no_store) =
        ("V400m-999999999", "NO_SUCH_COMPANY", "NO_SUCH_MERCHANT", "NO_SUCH_STORE");
    let own_company = json!(OTHER_COMPANY);
    for (operation, theirs, nobodys) in [
        ("findTerminal", json!({ "terminal": IN_STORE }), json!({ "terminal": no_poi })),
        ("getTerminalDetails", json!({ "terminal": IN_STORE }), json!({ "terminal": no_poi })),
        (
            "getTerminalsUnderAccount",
            json!({ "companyAccount": COMPANY }),
            json!({ "companyAccount": no_company }),
        ),
        (
            "getTerminalsUnderAccount",
            json!({"companyAccount": own_company, "merchantAccount": MERCHANT, "store": "STORE_A"}),
            json!({"companyAccount": own_company, "merchantAccount": no_merchant, "store": no_store}),
        ),
        (
            "getTerminalsUnderAccount",
            json!({"companyAccount": own_company, "merchantAccount": "FOREIGN_MERCHANT", "store": "STORE_A"}),
            json!({"companyAccount": own_company, "merchantAccount": "FOREIGN_MERCHANT", "store": no_store}),
        ),
        (
            "getStoresUnderAccount",
            json!({"companyAccount": COMPANY, "merchantAccount": MERCHANT}),
            json!({"companyAccount": no_company, "merchantAccount": no_merchant}),
        ),
        (
            "getStoresUnderAccount",
            json!({"companyAccount": own_company, "merchantAccount": MERCHANT}),
            json!({"companyAccount": own_company, "merchantAccount": no_merchant}),
        ),
        (
            "assignTerminals",
            json!({"companyAccount": COMPANY, "terminals": [own.as_str()]}),
            json!({"companyAccount": no_company, "terminals": [own.as_str()]}),
        ),
        (
            "assignTerminals",
            json!({"companyAccount": own_company, "terminals": [own.as_str(), IN_STORE]}),
            json!({"companyAccount": own_company, "terminals": [own.as_str(), no_poi]}),
        ),
        (
            "assignTerminals",
            json!({"companyAccount": own_company, "terminals": [own.as_str()], "merchantAccount": MERCHANT,
                "merchantInventory": true}),
            json!({"companyAccount": own_company, "terminals": [own.as_str()], "merchantAccount": no_merchant,
                "merchantInventory": true}),
        ),
        (
            "assignTerminals",
            json!({"companyAccount": own_company, "terminals": [own.as_str()], "merchantAccount": MERCHANT,
                "store": "STORE_A"}),
            json!({"companyAccount": own_company, "terminals": [own.as_str()], "merchantAccount": no_merchant,
                "store": no_store}),
        ),
    ] {
        for (prefix, _) in PATHS {
            let path = format!("{prefix}/{operation}");
            let theirs_heard = foreign.post(&path, theirs.to_string()).await;
            let nobodys_heard = foreign.post(&path, nobodys.to_string()).await;
            assert!((400..500).contains(&theirs_heard.status), "{theirs}: {}", theirs_heard.text());
            assert_eq!(theirs_heard.status, nobodys_heard.status, "{theirs}");
            assert_eq!(theirs_heard.text().replace(IN_STORE, no_poi), nobodys_heard.text(), "{theirs}");
            error(&theirs_heard);
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn look_ups_and_lists_are_limited_by_the_minute() {
    // So few that none comes back while this runs.
    let limits = Limits {
        terminal_lookups_per_minute: 4,
        lookups_of_terminal_per_minute: 2,
        terminal_lists_per_minute: 1,
        ..Limits::default()
    };
    let gateway = TestGateway::configured(Config { limits, ..Config::default() }).await;
    let find =
        async |manager: &Sale<'_>, poi: &str| ask(manager, "findTerminal", json!({ "terminal": poi })).await;
    let (one, other) = (manager(&gateway).await, manager(&gateway).await);
    // Unknown terminals count as others do.
    assert_eq!(find(&one, "V400m-1").await.status, 422);
    assert_eq!(ask(&one, "getTerminalDetails", json!({"terminal": "V400m-1"})).await.status, 422);
    let third = find(&one, "V400m-1").await;
    assert_refused(&third, 429, "000", "internal", "(limit lookups_of_terminal_per_minute)");
    assert!((1..=30).contains(&third.retry_after.unwrap()), "{third:?}");
    for poi in ["V400m-2", "V400m-3"] {
        assert_eq!(find(&one, poi).await.status, 422);
    }
    let fifth = find(&one, "V400m-4").await;
    assert_refused(&fifth, 429, "000", "internal", "(limit terminal_lookups_per_minute)");
    assert!((1..=15).contains(&fifth.retry_after.unwrap()), "{fifth:?}");
    // Another key has its own.
    assert_eq!(find(&other, "V400m-1").await.status, 422);

    let list = json!({ "companyAccount": COMPANY });
    assert_eq!(ask(&one, "getTerminalsUnderAccount", list.clone()).await.status, 200);
    let second = ask(&one, "getTerminalsUnderAccount", list.clone()).await;
    assert_refused(&second, 429, "000", "internal", "(limit terminal_lists_per_minute)");
    assert!((1..=60).contains(&second.retry_after.unwrap()), "{second:?}");
    assert_eq!(ask(&other, "getTerminalsUnderAccount", list).await.status, 200);
    gateway.stop().await;
}

/// Members that are known, and some that are not, with values that fit and values that do not.
fn bodies() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        8 => proptest::sample::select(vec![
            "terminal", "companyAccount", "merchantAccount", "store", "merchantInventory", "terminals",
        ])
        .prop_map(str::to_owned),
        1 => ".{0,12}",
    ];
    let text = prop_oneof![
        6 => proptest::sample::select(vec![
            COMPANY, OTHER_COMPANY, MERCHANT, OTHER_MERCHANT, "FOREIGN_MERCHANT", "STORE_A", "STORE_B", "true",
            IN_STORE, AT_COMPANY, AT_MERCHANT, "V400m-999999999", "",
        ])
        .prop_map(str::to_owned),
        1 => ".{0,200}",
    ];
    let leaf = prop_oneof![
        6 => text.prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(|number| json!(number)),
        1 => Just(Value::Null),
    ];
    let value = leaf.prop_recursive(3, 16, 5, |inner| {
        prop_oneof![
            2 => proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            1 => proptest::collection::btree_map(".{0,5}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    prop_oneof![
        12 => proptest::collection::btree_map(name, value.clone(), 0..6)
            .prop_map(|map| Value::Object(map.into_iter().collect())),
        1 => value,
    ]
}

#[test]
fn no_body_makes_the_gateway_fail() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let gateway = runtime.block_on(fleet(V1Booleans::Strings));
    let manager = runtime.block_on(manager(&gateway));
    let of_path = proptest::sample::select(PATHS.map(|(prefix, _)| prefix).to_vec());
    let call = (of_path, proptest::sample::select(OPERATIONS.to_vec()), bodies(), any::<Option<u16>>());
    let mut runner = TestRunner::new(Cases { cases: 600, failure_persistence: None, ..Cases::default() });
    let told = runner.run(&call, |(prefix, operation, body, cut)| {
        let mut bytes = body.to_string().into_bytes();
        // Some end early, wherever that is.
        if let Some(cut) = cut.filter(|cut| cut % 7 == 0) {
            bytes.truncate(usize::from(cut) % (bytes.len() + 1));
        }
        let path = format!("{prefix}/{operation}");
        let post = async { tokio::time::timeout(SOON, manager.post(&path, bytes)).await };
        let heard = runtime.block_on(post).expect("an answer");
        prop_assert!(matches!(heard.status, 200 | 400 | 403 | 422), "{}: {}", heard.status, heard.text());
        if heard.status == 200 {
            heard.json();
        } else {
            error(&heard);
        }
        Ok(())
    });
    told.unwrap();
    runtime.block_on(gateway.stop());
}
