//! The HTTP sibling of the Actions API: who is let in, and what each call answers.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::actions_terminal::{ACTIONS_POI, ActionsTerminal, terminal_key};
use crate::desktop::desktop_credential;
use crate::support::{COMPANY, Dialect, OTHER_COMPANY, POI, TestGateway, client, request};

/// A desktop that signs its requests.
pub(crate) struct Signer {
    url: String,
    /// Its API key.
    pub(crate) key: String,
    secret: String,
    http: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    headers: reqwest::header::HeaderMap,
    /// The JSON in it.
    pub(crate) body: Value,
}

impl Signer {
    /// A new key for these groups.
    pub(crate) async fn new(gateway: &TestGateway, company: &str, groups: &[&str]) -> Signer {
        let made = desktop_credential(gateway, company, groups).await;
        Signer {
            url: gateway.url(),
            key: made.api_key.reveal().to_owned(),
            secret: made.api_secret.unwrap().reveal().to_owned(),
            http: client(),
        }
    }

    /// The three headers of a request that is made now.
    fn headers(&self, method: &str, path: &str, body: &[u8]) -> [(&'static str, String); 3] {
        let timestamp = jiff::Timestamp::now().to_string();
        [
            ("x-api-key", self.key.clone()),
            ("x-signature", sign(&self.secret, method, path, &timestamp, body)),
            ("x-timestamp", timestamp),
        ]
    }

    /// A signed GET.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let headers = self.headers("GET", path, b"");
        self.send("GET", path, b"", &headers).await
    }

    /// A signed POST.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        let headers = self.headers("POST", path, body.as_bytes());
        self.send("POST", path, body.as_bytes(), &headers).await
    }

    async fn send(&self, method: &str, path: &str, body: &[u8], headers: &[(&str, String)]) -> Answer {
        let method = method.parse().unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.url)).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.bytes().await.unwrap();
        Answer { status, headers, body: serde_json::from_slice(&body).unwrap_or_default() }
    }
}

impl Answer {
    /// Status and code of an error; its other members are looked at here.
    #[track_caller]
    fn error(&self) -> (u16, &str) {
        assert!(self.body["message"].as_str().is_some_and(|message| !message.is_empty()), "{self:?}");
        assert!(self.body["timestamp"].is_string(), "{self:?}");
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }
}

fn sign(secret: &str, method: &str, path: &str, timestamp: &str, body: &[u8]) -> String {
    let hash: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{method}\n{path}\n{timestamp}\n{hash}").as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[tokio::test]
async fn a_request_shows_its_key_and_that_it_was_signed_just_now() {
    let gateway = TestGateway::new().await;
    let signer = Signer::new(&gateway, COMPANY, &["STORE_A"]).await;
    let path = "/v1/transactions/T-1";
    assert_eq!(signer.get(path).await.error(), (404, "TRANSACTION_NOT_FOUND"));

    let right = || signer.headers("GET", path, b"");
    let without = |name: &str| right().into_iter().filter(|(n, _)| *n != name).collect::<Vec<_>>();
    let with = |name: &'static str, value: &str| {
        without(name).into_iter().chain([(name, value.to_owned())]).collect::<Vec<_>>()
    };
    let old = "2020-01-01T00:00:00Z";
    let signed_long_ago = [
        ("x-api-key", signer.key.clone()),
        ("x-timestamp", old.into()),
        ("x-signature", sign(&signer.secret, "GET", path, old, b"")),
    ];
    for (headers, expected) in [
        (without("x-api-key"), (401, "UNAUTHORIZED")),
        (without("x-timestamp"), (401, "UNAUTHORIZED")),
        (without("x-signature"), (401, "UNAUTHORIZED")),
        (with("x-signature", ""), (401, "UNAUTHORIZED")),
        (with("x-api-key", "tg_key_wrong"), (401, "UNAUTHORIZED")),
        (with("x-signature", "AAAA"), (401, "INVALID_SIGNATURE")),
        (with("x-timestamp", old), (401, "INVALID_SIGNATURE")),
        (signer.headers("POST", path, b"").to_vec(), (401, "INVALID_SIGNATURE")),
        (signer.headers("GET", "/v1/transactions/T-2", b"").to_vec(), (401, "INVALID_SIGNATURE")),
        (signer.headers("GET", path, b"{}").to_vec(), (401, "INVALID_SIGNATURE")),
        (signed_long_ago.to_vec(), (401, "TIMESTAMP_EXPIRED")),
        (with("x-group-id", "STORE_B"), (403, "GROUP_MISMATCH")),
    ] {
        let answer = signer.send("GET", path, b"", &headers).await;
        assert_eq!(answer.error(), expected, "{headers:?}");
    }
    // The query is no part of what is signed.
    let answer = signer.send("GET", &format!("{path}?x=1"), b"", &right()).await;
    assert_eq!(answer.error(), (404, "TRANSACTION_NOT_FOUND"));
    let answer = signer.send("GET", path, b"", &with("x-group-id", "STORE_A")).await;
    assert_eq!(answer.error(), (404, "TRANSACTION_NOT_FOUND"));
}

#[tokio::test]
async fn another_companys_secret_and_another_kind_of_key_open_nothing() {
    let gateway = TestGateway::new().await;
    let signer = Signer::new(&gateway, COMPANY, &["STORE_A"]).await;
    let path = "/v1/transactions/T-1";
    let other = Signer { key: signer.key.clone(), ..Signer::new(&gateway, COMPANY, &["STORE_A"]).await };
    assert_eq!(other.get(path).await.error(), (401, "INVALID_SIGNATURE"));
    let till = gateway.key_for(&[Dialect::Classic]).await;
    for key in [till, terminal_key(&gateway, ACTIONS_POI, "TERM-001").await] {
        let wrong = Signer { key, secret: signer.secret.clone(), url: gateway.url(), http: client() };
        assert_eq!(wrong.get(path).await.error(), (403, "FORBIDDEN"));
    }
    let answer = signer.send("DELETE", path, b"", &[]).await;
    assert_eq!(answer.error(), (405, "METHOD_NOT_ALLOWED"));
    assert_eq!(answer.headers["allow"], "GET, HEAD");
    assert_eq!(answer.body["message"], json!("This path takes GET, HEAD only."));
}

#[tokio::test]
async fn terminals_are_listed_and_paid_on_and_the_transaction_says_so() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    gateway.add("V400m-324688180").await;
    let signer = Signer::new(&gateway, COMPANY, &["STORE_A"]).await;
    let list = signer.get("/v1/terminals").await;
    assert_eq!((list.status, &list.body["count"]), (200, &json!(2)), "{list:?}");
    let [online, offline] = [&list.body["terminals"][0], &list.body["terminals"][1]];
    assert_eq!((&online["terminalId"], &online["deviceId"]), (&json!(POI), &json!(POI)));
    assert_eq!(online["status"], "online");
    assert_eq!(
        offline,
        &json!({"terminalId":"V400m-324688180","deviceId":"V400m-324688180","status":"offline","metadata":{}})
    );

    let path = format!("/v1/terminals/{POI}/payments");
    let body = json!({"transactionId":"T-1","amount":"12.50","currency":"EUR","metadata":{"orderId":"5001"}});
    let paid = signer.post(&path, &body).await;
    assert_eq!((paid.status, &paid.body["status"]), (200, &json!("SUCCESS")), "{paid:?}");
    assert_eq!(paid.body["transactionId"], "T-1");
    assert_eq!(paid.body["paymentResponse"]["metadata"], json!({"orderId":"5001"}));
    // Again: the same payment, and its recorded end.
    let again = signer.post(&path, &body).await;
    assert_eq!(again.body["paymentResponse"], paid.body["paymentResponse"]);
    let other = json!({"transactionId":"T-1","amount":"13.50","currency":"EUR"});
    assert_eq!(signer.post(&path, &other).await.error(), (409, "DUPLICATE_TRANSACTION_ID"));

    let shown = signer.get("/v1/transactions/T-1").await;
    assert_eq!((shown.status, &shown.body["status"]), (200, &json!("COMPLETED")), "{shown:?}");
    assert_eq!(shown.body["request"], body);
    assert_eq!(shown.body["response"], paid.body["paymentResponse"]);
    assert_eq!((&shown.body["saleId"], &shown.body["poiId"]), (&json!("Actions"), &json!(POI)));
    assert!(
        ["createdAt", "updatedAt", "completedAt", "timestamp"]
            .iter()
            .all(|name| shown.body[name].is_string())
    );
    // And over the Terminal API, by its ServiceID.
    let service = shown.body["serviceId"].as_str().unwrap();
    let reference = json!({"MessageCategory":"Payment","SaleID":"Actions","ServiceID":service});
    let status = request("TransactionStatus", POI, "S1", json!({"MessageReference": reference}));
    let status = gateway.sale().await.sync(status).await;
    assert_eq!(status.outcome(), ("Success".into(), String::new()), "{}", status.text());

    let declined = signer.post(&path, &json!({"amount":"11.24","currency":"EUR"})).await;
    assert_eq!((declined.status, &declined.body["status"]), (200, &json!("FAILED")), "{declined:?}");
    let name = declined.body["transactionId"].as_str().unwrap();
    assert!(name.starts_with("http-"), "{name}");
    assert_eq!(signer.get(&format!("/v1/transactions/{name}")).await.body["status"], "FAILED");
}

#[tokio::test]
async fn a_decline_is_a_decline_whatever_code_its_terminal_gives_it() {
    let gateway = TestGateway::new().await;
    let signer = Signer::new(&gateway, COMPANY, &["STORE_A"]).await;
    let own = terminal_key(&gateway, ACTIONS_POI, "TERM-001").await;
    let mut terminal = ActionsTerminal::connect(&gateway, &own).await;
    for (code, status, told) in [
        ("TERMINAL_OFFLINE", 200, "REFUSAL"),
        ("TERMINAL_UNREACHABLE", 200, "REFUSAL"),
        ("NO_FUNDS", 200, "NO_FUNDS"),
        // A terminal may say that it is busy.
        ("PAYMENT_IN_PROGRESS", 409, "PAYMENT_IN_PROGRESS"),
    ] {
        let body = json!({"transactionId": code, "amount": "12.50", "currency": "EUR"});
        let decline = async {
            let request = terminal.next("paymentRequest").await;
            let response = json!({"transactionId": code, "status": "FAILED", "errorCode": code});
            let desktop = &request["desktopId"];
            let answer =
                json!({"action": "paymentResponse", "desktopId": desktop, "paymentResponse": response});
            terminal.send(answer).await;
        };
        let (answer, ()) = tokio::join!(signer.post("/v1/terminals/TERM-001/payments", &body), decline);
        let response = &answer.body["paymentResponse"];
        assert_eq!((answer.status, &response["errorCode"]), (status, &json!(told)), "{answer:?}");
        assert_eq!(response["status"], "FAILED");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_same_signed_request_is_one_payment_also_without_a_name() {
    let gateway = TestGateway::new().await.with_terminal(POI).await;
    let signer = Signer::new(&gateway, COMPANY, &["STORE_A"]).await;
    let path = format!("/v1/terminals/{POI}/payments");
    let body = br#"{"amount":"12.50","currency":"EUR"}"#;
    let headers = signer.headers("POST", &path, body);
    let (one, other) =
        tokio::join!(signer.send("POST", &path, body, &headers), signer.send("POST", &path, body, &headers));
    assert_eq!((one.status, &one.body["status"]), (200, &json!("SUCCESS")), "{one:?}");
    assert_eq!(one.body["paymentResponse"], other.body["paymentResponse"]);
    assert_eq!(gateway.terminal(0).executed_payments().len(), 1);
}

#[tokio::test]
async fn what_can_not_be_paid_says_why() {
    let mut gateway = TestGateway::new().await.with_terminal(POI).await;
    gateway.add("V400m-324688180").await;
    let signer = Signer::new(&gateway, COMPANY, &["STORE_A"]).await;
    let beside = Signer::new(&gateway, COMPANY, &["STORE_B"]).await;
    let stranger = Signer::new(&gateway, OTHER_COMPANY, &["FOREIGN_MERCHANT"]).await;
    let body = json!({"transactionId":"T-1","amount":"12.50","currency":"EUR"});
    let pay = async |signer: &Signer, terminal: &str, body: &Value| {
        signer.post(&format!("/v1/terminals/{terminal}/payments"), body).await
    };
    assert_eq!(pay(&signer, "NOBODY", &body).await.error(), (404, "TERMINAL_NOT_FOUND"));
    assert_eq!(pay(&signer, "%FF", &body).await.error(), (404, "TERMINAL_NOT_FOUND"));
    assert_eq!(pay(&stranger, POI, &body).await.error(), (404, "TERMINAL_NOT_FOUND"));
    assert_eq!(pay(&beside, POI, &body).await.error(), (403, "GROUP_MISMATCH"));
    assert_eq!(pay(&signer, "V400m-324688180", &body).await.error(), (503, "TERMINAL_OFFLINE"));
    for (wrong, message) in [
        (json!({"currency":"EUR"}), "paymentRequest.amount is required"),
        (
            json!({"amount":"12.50","currency":"euro"}),
            "paymentRequest.currency must be three capital letters",
        ),
        (
            json!({"amount":"12.50","currency":"EUR","webhookMode":true}),
            "webhookMode is not possible: this gateway has no webhooks for the Actions API yet. Leave it out and wait for the \
             answer, or look at GET /v1/transactions/{transactionId}.",
        ),
        (json!({"amount":"12.50","currency":"EUR","webhookMode":1}), "webhookMode must be true or false"),
        (json!([]), "paymentRequest must be an object"),
    ] {
        let answer = pay(&signer, POI, &wrong).await;
        assert_eq!(answer.error(), (400, "INVALID_REQUEST"), "{answer:?}");
        assert!(answer.body["message"].as_str().unwrap().starts_with(message), "{answer:?}");
    }
    let broken = signer.headers("POST", &format!("/v1/terminals/{POI}/payments"), b"{");
    let answer = signer.send("POST", &format!("/v1/terminals/{POI}/payments"), b"{", &broken).await;
    assert_eq!(answer.error(), (400, "INVALID_REQUEST"));
    for path in ["/v1/terminals", "/v1/transactions/T-1"] {
        assert_eq!(stranger.get("/v1/transactions/T-1").await.error(), (404, "TRANSACTION_NOT_FOUND"));
        assert_eq!(signer.send("POST", path, b"", &[]).await.error(), (405, "METHOD_NOT_ALLOWED"));
    }
    // Nothing of all that has begun.
    assert_eq!(signer.get("/v1/transactions/T-1").await.error(), (404, "TRANSACTION_NOT_FOUND"));
    assert_eq!(stranger.get("/v1/terminals").await.body["terminals"], json!([]));

    // A busy terminal.
    gateway.connect("V400m-324688181", Duration::from_secs(600)).await;
    let long = json!({"transactionId":"T-2","amount":"12.50","currency":"EUR"});
    let path = "/v1/terminals/V400m-324688181/payments";
    let second = async {
        gateway.until_busy(1).await;
        let busy = signer.post(path, &json!({"transactionId":"T-3","amount":"1.00","currency":"EUR"})).await;
        assert_eq!(busy.error(), (409, "PAYMENT_IN_PROGRESS"));
        assert_eq!(busy.body["transactionId"], "T-3");
        assert_eq!(busy.body["paymentResponse"]["status"], "FAILED");
    };
    tokio::select! {
        answer = signer.post(path, &long) => panic!("{answer:?}"),
        () = second => {}
    }
    // Its caller has gone, and it goes on.
    let shown = signer.get("/v1/transactions/T-2").await;
    assert_eq!(
        (&shown.body["status"], &shown.body["response"]),
        (&json!("PENDING"), &Value::Null),
        "{shown:?}"
    );
}
