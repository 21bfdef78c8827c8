//! A gateway on a free port with a directory of its own, and the people who talk to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway::{Admin, Config, Location, NewKey, Role, Running, Tls};
use nexo::PoiId;
use serde_json::{Value, json};
use tempfile::TempDir;
use virtual_terminal::{Handle, VirtualTerminal};

/// A terminal's name.
pub(crate) const POI: &str = "V400m-324688179";

/// `EventDetails` of the Reject event for a request that did not reach its terminal.
pub(crate) const NOT_DELIVERED: &str = "message=Failed+to+send+message+to+POI.+There+may+be+a+network+issue+or+it+may+not+have+the+websocket+connected.";

/// `EventDetails` of the Reject event for a request that the terminal may have.
pub(crate) const NO_RESPONSE: &str = "message=Did+not+receive+a+response+from+the+POI.";

/// What every wait in these tests is bounded by.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The company of every test gateway.
pub(crate) const COMPANY: &str = "TEST_COMPANY";
/// Has the stores `STORE_A` and `STORE_B`.
pub(crate) const MERCHANT: &str = "TEST_MERCHANT";
/// Another merchant account of the same company, without stores.
pub(crate) const OTHER_MERCHANT: &str = "TEST_MERCHANT_2";
/// Another company altogether.
pub(crate) const OTHER_COMPANY: &str = "FOREIGN_COMPANY";

/// A running gateway. Dropping it ends it; its directory goes with it.
pub(crate) struct TestGateway {
    running: Running,
    dir: TempDir,
    terminals: Vec<Handle>,
    http: reqwest::Client,
}

/// A Sale system with a key.
pub(crate) struct Sale<'a> {
    gateway: &'a TestGateway,
    key: String,
    http: reqwest::Client,
    dialect: Dialect,
}

/// How a Sale system speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `/sync`.
    Classic,
    /// `/v1/merchants/…/devices/…/sync`.
    CloudDevice,
}

impl Dialect {
    fn role(self) -> Role {
        match self {
            Dialect::Classic => Role::TerminalApi,
            Dialect::CloudDevice => Role::CloudDeviceApi,
        }
    }
}

/// Both, for what they do alike.
pub(crate) const DIALECTS: [Dialect; 2] = [Dialect::Classic, Dialect::CloudDevice];

/// What came back.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) repeated: bool,
    pub(crate) allow: Option<String>,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: Vec<u8>,
}

impl TestGateway {
    /// With two companies, three merchant accounts and two stores.
    pub(crate) async fn new() -> TestGateway {
        TestGateway::configured(Config::default()).await
    }

    /// The same with these settings, but for its address and its directory.
    pub(crate) async fn configured(config: Config) -> TestGateway {
        let dir = tempfile::tempdir().unwrap();
        let config =
            Config { listen: "127.0.0.1:0".parse().unwrap(), data_dir: dir.path().join("data"), ..config };
        let running = gateway::start(config).await.unwrap();
        let admin = running.admin();
        for company in [COMPANY, OTHER_COMPANY] {
            admin.create_company(company).await.unwrap();
            admin.switch_on(company).await.unwrap();
        }
        for (company, merchant) in
            [(COMPANY, MERCHANT), (COMPANY, OTHER_MERCHANT), (OTHER_COMPANY, "FOREIGN_MERCHANT")]
        {
            admin.create_merchant_account(company, merchant).await.unwrap();
        }
        for store in ["STORE_A", "STORE_B"] {
            admin.create_store(MERCHANT, store).await.unwrap();
        }
        TestGateway { running, dir, terminals: Vec::new(), http: client() }
    }

    /// With a boarded, connected virtual terminal in `STORE_A`, whose cardholders are quick.
    pub(crate) async fn with_terminal(mut self, poi: &str) -> TestGateway {
        self.connect(poi, Duration::from_millis(50)).await;
        self
    }

    /// Adds, boards and connects a virtual terminal in `STORE_A`.
    pub(crate) async fn connect(&mut self, poi: &str, cardholder: Duration) {
        self.add(poi).await;
        self.connect_added(poi, cardholder).await;
    }

    /// Boards and connects a virtual terminal that was added.
    pub(crate) async fn connect_added(&mut self, poi: &str, cardholder: Duration) {
        let code = self.code(poi).await;
        let poi_id = PoiId::parse(poi).unwrap();
        let mut config = virtual_terminal::Config::new(self.url(), self.dir.path().join(poi), poi_id);
        config.boarding_code = Some(virtual_terminal::Secret::new(code));
        config.cardholder = cardholder;
        let terminal = VirtualTerminal::start(config).await.unwrap();
        let mut state = terminal.state();
        let online = state.wait_for(|s| matches!(s, virtual_terminal::State::Online));
        tokio::time::timeout(SOON, online).await.expect("the terminal connects").unwrap();
        self.terminals.push(terminal);
    }

    /// Adds a terminal to `STORE_A` and returns a boarding code for it.
    pub(crate) async fn add(&self, poi: &str) -> String {
        let poi_id = PoiId::parse(poi).unwrap();
        let at = Location::Store { merchant: MERCHANT, store: "STORE_A" };
        self.admin().add_terminal(COMPANY, &poi_id, at).await.unwrap();
        self.code(poi).await
    }

    /// A new boarding code for a terminal.
    pub(crate) async fn code(&self, poi: &str) -> String {
        let poi_id = PoiId::parse(poi).unwrap();
        self.admin().make_boarding_code(&poi_id).await.unwrap().code.reveal()
    }

    /// Returns once that terminal needs a person.
    pub(crate) async fn until_stopped(&self, index: usize) {
        let mut state = self.terminals[index].state();
        let stopped = state.wait_for(|state| matches!(state, virtual_terminal::State::Stopped { .. }));
        tokio::time::timeout(SOON, stopped).await.expect("it stops").unwrap();
    }

    /// The operator's hand in it.
    pub(crate) fn admin(&self) -> &Admin {
        self.running.admin()
    }

    /// The terminals that [`connect`](Self::connect) started, in that order.
    pub(crate) fn terminal(&self, index: usize) -> &Handle {
        &self.terminals[index]
    }

    /// Returns once that terminal runs a request.
    pub(crate) async fn until_busy(&self, index: usize) {
        let mut busy = self.terminals[index].busy();
        tokio::time::timeout(SOON, busy.wait_for(|busy| *busy)).await.expect("it gets busy").unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.running.http_address())
    }

    /// A Sale system of [`COMPANY`] that may do what a till does.
    pub(crate) async fn sale(&self) -> Sale<'_> {
        self.sale_with(COMPANY, &[], &[Role::TerminalApi]).await
    }

    /// One with this scope (no merchant accounts: the whole company) and these roles.
    pub(crate) async fn sale_with(&self, company: &str, merchants: &[&str], roles: &[Role]) -> Sale<'_> {
        let merchants: Vec<String> = merchants.iter().map(|m| (*m).to_owned()).collect();
        let new = NewKey { company, merchants: &merchants, roles, description: None };
        let shown = self.admin().create_credential(new).await.unwrap();
        self.sale_with_key(shown.api_key.reveal())
    }

    /// A key of [`COMPANY`] for these dialects.
    pub(crate) async fn key_for(&self, dialects: &[Dialect]) -> String {
        let roles: Vec<Role> = dialects.iter().map(|dialect| dialect.role()).collect();
        let new = NewKey { company: COMPANY, merchants: &[], roles: &roles, description: None };
        self.admin().create_credential(new).await.unwrap().api_key.reveal().to_owned()
    }

    /// One that shows this key.
    pub(crate) fn sale_with_key(&self, key: &str) -> Sale<'_> {
        Sale { gateway: self, key: key.to_owned(), http: self.http.clone(), dialect: Dialect::Classic }
    }

    /// A Sale system of [`COMPANY`] that speaks this dialect.
    pub(crate) async fn speaker(&self, dialect: Dialect) -> Sale<'_> {
        self.sale_with_key(&self.key_for(&[dialect]).await).speaking(dialect)
    }

    /// Ends it cleanly.
    pub(crate) async fn stop(self) {
        self.end().await;
    }

    /// Ends it cleanly, and starts it again on the same data, at another port. Its virtual terminals are gone.
    pub(crate) async fn restarted(self) -> TestGateway {
        let dir = self.end().await;
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: dir.path().join("data"),
            ..Config::default()
        };
        let running = gateway::start(config).await.unwrap();
        TestGateway { running, dir, terminals: Vec::new(), http: client() }
    }

    /// Ends it cleanly, and gives its directory back.
    pub(crate) async fn end(self) -> TempDir {
        for terminal in self.terminals {
            terminal.stop().await;
        }
        self.running.stop().await;
        self.dir
    }

    /// Where it keeps its data.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

impl Sale<'_> {
    /// The same one, speaking another dialect.
    pub(crate) fn speaking(self, dialect: Dialect) -> Self {
        Sale { dialect, ..self }
    }

    /// `POST …/sync` with these bytes, in its dialect; a device's path is that of the message, or of [`POI`].
    pub(crate) async fn sync(&self, body: impl Into<Vec<u8>>) -> Heard {
        let body = body.into();
        self.post(&self.path("sync", &body), body).await
    }

    /// The same, waiting at most `seconds`.
    pub(crate) async fn sync_for(&self, seconds: u64, body: impl Into<Vec<u8>>) -> Heard {
        self.waiting("sync", seconds, body.into()).await
    }

    /// `POST …/async`, in its dialect.
    pub(crate) async fn r#async(&self, body: impl Into<Vec<u8>>) -> Heard {
        let body = body.into();
        self.post(&self.path("async", &body), body).await
    }

    /// The same, waiting at most `seconds`.
    pub(crate) async fn async_for(&self, seconds: u64, body: impl Into<Vec<u8>>) -> Heard {
        self.waiting("async", seconds, body.into()).await
    }

    async fn waiting(&self, call: &str, seconds: u64, body: Vec<u8>) -> Heard {
        let request = self.request(&self.path(call, &body)).header("Prefer", format!("wait={seconds}"));
        Heard::read(request.body(body).send().await.unwrap()).await
    }

    /// `GET`.
    pub(crate) async fn get(&self, path: &str) -> Heard {
        let url = format!("{}{path}", self.gateway.url());
        Heard::read(self.http.get(url).header("x-api-key", &self.key).send().await.unwrap()).await
    }

    /// Any method, with a JSON body.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> Heard {
        let (url, method) = (format!("{}{path}", self.gateway.url()), method.parse().unwrap());
        let request = self.http.request(method, url).header("X-Api-Key", &self.key);
        Heard::read(
            request.header("Content-Type", "application/json").body(body.to_string()).send().await.unwrap(),
        )
        .await
    }

    fn path(&self, call: &str, body: &[u8]) -> String {
        match self.dialect {
            Dialect::Classic => format!("/{call}"),
            Dialect::CloudDevice => {
                let message: Value = serde_json::from_slice(body).unwrap_or_default();
                let poi = message["SaleToPOIRequest"]["MessageHeader"]["POIID"].as_str().unwrap_or(POI);
                device_path(MERCHANT, poi, call)
            }
        }
    }

    /// `POST` of JSON bytes.
    pub(crate) async fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> Heard {
        Heard::read(self.request(path).body(body.into()).send().await.unwrap()).await
    }

    /// The POIIDs that `/connectedTerminals` answers.
    pub(crate) async fn connected(&self, question: Value) -> Value {
        self.post("/connectedTerminals", question.to_string()).await.json()["uniqueTerminalIds"].clone()
    }

    fn request(&self, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.gateway.url());
        self.http.post(url).header("X-Api-Key", &self.key).header("Content-Type", "application/json")
    }
}

impl Heard {
    async fn read(response: reqwest::Response) -> Heard {
        let header = |name| response.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
        Heard {
            status: response.status().as_u16(),
            content_type: header("content-type").unwrap_or_default(),
            repeated: header("tillgate-repeated").as_deref() == Some("true"),
            allow: header("allow"),
            retry_after: header("retry-after").map(|seconds| seconds.parse().expect("whole seconds")),
            body: response.bytes().await.unwrap().to_vec(),
        }
    }

    /// The body, which must be JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// `Result` and `ErrorCondition` of the response in it.
    pub(crate) fn outcome(&self) -> (String, String) {
        let body = self.json();
        let response = body["SaleToPOIResponse"].as_object().unwrap_or_else(|| panic!("no response: {body}"));
        let (_, body) = response.iter().find(|(name, _)| name.ends_with("Response")).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&body["Response"]["Result"]), text(&body["Response"]["ErrorCondition"]))
    }

    /// `EventDetails` of the Reject event in it.
    pub(crate) fn reject(&self) -> String {
        let body = self.json();
        let event = &body["SaleToPOIRequest"]["EventNotification"];
        assert_eq!(event["EventToNotify"], "Reject", "{body}");
        event["EventDetails"].as_str().unwrap().to_owned()
    }
}

/// A message of class `Service` from `TILL-1`.
pub(crate) fn request(category: &str, poi: &str, service_id: &str, body: Value) -> Vec<u8> {
    let member = format!("{category}Request");
    json!({"SaleToPOIRequest": {
        "MessageHeader": {"ProtocolVersion": "3.0", "MessageClass": "Service", "MessageCategory": category,
            "MessageType": "Request", "ServiceID": service_id, "SaleID": "TILL-1", "POIID": poi},
        member: body
    }})
    .to_string()
    .into_bytes()
}

/// A payment of this amount, such as `10.99`.
pub(crate) fn payment(poi: &str, service_id: &str, amount: &str) -> Vec<u8> {
    let amount: serde_json::Number = amount.parse().unwrap();
    request(
        "Payment",
        poi,
        service_id,
        json!({
            "SaleData": {"SaleTransactionID": {"TransactionID": service_id, "TimeStamp": "2026-11-20T09:15:00.000Z"}},
            "PaymentTransaction": {"AmountsReq": {"Currency": "EUR", "RequestedAmount": amount}}
        }),
    )
}

/// A question about the payment with this ServiceID.
pub(crate) fn status_of(poi: &str, service_id: &str, payment: &str) -> Vec<u8> {
    let reference = json!({"MessageCategory": "Payment", "SaleID": "TILL-1", "ServiceID": payment});
    request("TransactionStatus", poi, service_id, json!({ "MessageReference": reference }))
}

/// Aborts the payment with this ServiceID.
pub(crate) fn abort_of(poi: &str, service_id: &str, payment: &str) -> Vec<u8> {
    let reference = json!({"MessageCategory": "Payment", "SaleID": "TILL-1", "ServiceID": payment});
    request("Abort", poi, service_id, json!({"AbortReason": "MerchantAbort", "MessageReference": reference}))
}

/// `Failure` and this condition, as [`Heard::outcome`] gives it.
pub(crate) fn failure(condition: &str) -> (String, String) {
    ("Failure".into(), condition.into())
}

/// A call of the Cloud device API about one device.
pub(crate) fn device_path(merchant: &str, device: &str, call: &str) -> String {
    format!("/v1/merchants/{merchant}/devices/{device}/{call}")
}

/// A client for plain HTTP. It wants TLS to be set up all the same; a test that ran before may have done it.
pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// HTTPS at a free port, with a certificate for localhost that is its own authority, in this directory.
pub(crate) fn self_signed(dir: &Path) -> Tls {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    Tls { listen: "127.0.0.1:0".parse().unwrap(), cert, key }
}
