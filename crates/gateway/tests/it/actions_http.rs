//! The HTTP sibling of the Actions API: who is let in, and what each call answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway::{ActionsKey, NewKey, Role};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{COMPANY, TestGateway, client};

/// A desktop that signs its requests.
pub(crate) struct Signer {
    url: String,
    key: String,
    secret: String,
    http: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Signer {
    pub(crate) async fn new(gateway: &TestGateway, company: &str, groups: &[&str]) -> Signer {
        let groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
        let new = NewKey { company, merchants: &[], roles: &[Role::ActionsDesktop], description: None };
        let actions = ActionsKey::Desktop { groups: &groups, api_secret: None };
        let made = gateway.admin().create_actions_credential(new, actions).await.unwrap();
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

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let headers = self.headers("GET", path, b"");
        self.send("GET", path, b"", &headers).await
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
    pub(crate) fn error(&self) -> (u16, &str) {
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
    for (role, group) in [(Role::TerminalApi, None), (Role::ActionsTerminal, Some("STORE_A"))] {
        let new = NewKey { company: COMPANY, merchants: &[], roles: &[role], description: None };
        let poi = nexo::PoiId::parse("ACT1-000000001").unwrap();
        let key = match group {
            None => gateway.admin().create_credential(new).await.unwrap().api_key,
            Some(group) => {
                let actions =
                    ActionsKey::Terminal { group, poi: &poi, device_id: "TERM-001", metadata: None };
                gateway.admin().create_actions_credential(new, actions).await.unwrap().api_key
            }
        };
        let wrong = Signer {
            key: key.reveal().to_owned(),
            secret: signer.secret.clone(),
            url: gateway.url(),
            http: client(),
        };
        assert_eq!(wrong.get(path).await.error(), (403, "FORBIDDEN"));
    }
    let answer = signer.send("DELETE", path, b"", &[]).await;
    assert_eq!(answer.error(), (405, "METHOD_NOT_ALLOWED"));
    assert_eq!(answer.headers["allow"], "GET, HEAD");
    assert_eq!(answer.body["message"], json!("This path takes GET, HEAD only."));
}
