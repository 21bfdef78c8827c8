//! Terminals as desktops of several groups see them.

use std::time::Duration;

use nexo::PoiId;
use relay::exchange::{Arrival, LinkOrder};
use relay::{Heartbeat, Hello, JournalId, Placement, ProcessId, Settings, ToTerminal, Welcome};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::access::Role;
use crate::actions::desktops::{Desktop, DesktopHandle, DesktopOrder, Identity, PerIdentity};
use crate::admin::{ActionsKey, Admin, Location, NewKey};
use crate::clock::Clock;
use crate::config::Config;
use crate::ids;
use crate::presence::LinkHandle;
use crate::secrets::Secrets;
use crate::store::{CredentialId, Place, TokenHash};

/// What every wait is bounded by.
const SOON: Duration = Duration::from_secs(20);

/// The stores AMS and PAR of one company, with an Actions terminal and a link terminal each, and a store of another company.
struct Bench {
    _dir: tempfile::TempDir,
    _stop: tokio_util::sync::DropGuard,
    terminals: Arc<Terminals>,
}

impl Bench {
    async fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
        let clock = Clock::start();
        let store = crate::serve::open_store(&config, clock).await.unwrap();
        let admin = Admin::new(store.clone(), clock, Arc::new(Secrets::new(&config)));
        for (company, merchant, stores) in
            [("ACME", "ACME_EU", &["AMS", "PAR"][..]), ("OTHER", "OTHER_EU", &["OSL"])]
        {
            admin.create_company(company).await.unwrap();
            admin.switch_on(company).await.unwrap();
            admin.create_merchant_account(company, merchant).await.unwrap();
            for code in stores {
                admin.create_store(merchant, code).await.unwrap();
                let new =
                    NewKey { company, merchants: &[], roles: &[Role::ActionsTerminal], description: None };
                let actions_poi = poi(&format!("ACT-{code}"));
                let actions = ActionsKey::Terminal {
                    group: code,
                    poi: &actions_poi,
                    device_id: &format!("TERM-{code}"),
                    metadata: Some(r#"{"lane":"4"}"#),
                };
                admin.create_actions_credential(new, actions).await.unwrap();
                let at = Location::Store { merchant, store: code };
                admin.add_terminal(company, &poi(&format!("LINK-{code}")), at).await.unwrap();
            }
        }
        let facts = store.facts().await.unwrap();
        let stop = CancellationToken::new();
        let presence = Presence::new(store.clone(), clock, facts, 8, TaskTracker::new(), stop.clone());
        let directory = Arc::new(Directory::new(store.clone(), clock));
        let terminals = Arc::new(Terminals::new(store, directory, presence));
        Bench { _dir: dir, _stop: stop.drop_guard(), terminals }
    }

    /// Opens a socket of this Actions terminal, and returns when the terminal is present.
    async fn connect(&self, name: &str) -> (LinkHandle, Connected) {
        let Terminals { store, presence, .. } = &*self.terminals;
        let (poi, journal) = (poi(name), JournalId::parse("j_1").unwrap());
        let wall = presence.clock().now().wall;
        let boarded = store
            .board_actions(&poi, None, journal.clone(), TokenHash(ids::TerminalToken::fresh().sha256()), wall)
            .await
            .unwrap()
            .unwrap();
        let process = ProcessId::parse("p_1").unwrap();
        let handle = presence.displace(&poi, ids::connection_id(wall), &process).unwrap();
        let connected = self.terminals.connected(handle.connection(), &poi);
        let welcome = Welcome {
            connection_id: handle.connection().clone(),
            server_time: String::new(),
            heartbeat: Heartbeat::DEFAULT,
            terminal: Placement { poi_id: poi, merchant_account: String::new(), store: None },
            settings: Settings::default(),
            body_limit: 1024,
        };
        handle.hello_as(boarded.attempt, |attempt| {
            let hello = Hello {
                link_version: 1,
                journal_id: journal,
                attempt,
                process_id: process,
                firmware_version: None,
                platform: None,
                resume: Vec::new(),
                device: None,
            };
            Arrival { hello, welcome }
        });
        let welcomed = async {
            loop {
                match handle.next_order() {
                    Some(LinkOrder::Frame(ToTerminal::Welcome(_))) => return,
                    Some(other) => panic!("{other:?}"),
                    None => handle.ready().await,
                }
            }
        };
        timeout(SOON, welcomed).await.expect("a welcome");
        (handle, connected)
    }

    /// The terminal that a desktop of ACME in these stores names.
    async fn resolve(&self, stores: &[&str], terminal_id: &str) -> Result<Target, NoTarget> {
        let groups: Vec<_> = stores.iter().map(|store| group(store)).collect();
        self.terminals.resolve(&company("ACME"), &groups, terminal_id).await
    }

    /// A desktop of this store that is told what goes on there.
    fn desktop(
        &self,
        desktops: &Arc<Desktops>,
        name: &str,
        company_code: &str,
        group: Group,
    ) -> DesktopHandle {
        let wall = self.terminals.presence.clock().now().wall;
        let identity = Identity { credential: CredentialId::parse(name).unwrap(), device: None };
        let desktop = Desktop {
            connection: ids::connection_id(wall),
            identity,
            company: company(company_code),
            groups: vec![group],
        };
        desktops.open(desktop, bytes::Bytes::new)
    }
}

fn poi(text: &str) -> PoiId {
    PoiId::parse(text).unwrap()
}

fn company(text: &str) -> CompanyCode {
    CompanyCode::parse(text).unwrap()
}

fn group(store: &str) -> Group {
    let merchant = if store == "OSL" { "OTHER_EU" } else { "ACME_EU" };
    let (merchant, store) =
        (crate::store::MerchantCode::parse(merchant), crate::store::StoreCode::parse(store));
    Group::at(&Place::Store { merchant: merchant.unwrap(), store: store.unwrap() }).unwrap()
}

/// The next frame for a desktop, once there is one.
async fn told(desktop: &DesktopHandle) -> serde_json::Value {
    let told = async {
        loop {
            match desktop.next_order() {
                Some(DesktopOrder::Frame(frame)) => return serde_json::from_slice(&frame).unwrap(),
                Some(other) => panic!("{other:?}"),
                None => desktop.ready().await,
            }
        }
    };
    timeout(SOON, told).await.expect("a frame")
}

#[tokio::test]
async fn a_list_has_the_terminals_of_the_groups_and_shows_which_are_there() {
    let bench = Bench::new().await;
    let (handle, _connected) = bench.connect("ACT-AMS").await;
    let list = bench.terminals.list(&company("ACME"), &[group("AMS"), group("PAR")]).await.unwrap();
    let shown: Vec<_> =
        list.iter().map(|terminal| (terminal.device_id.as_deref().unwrap(), terminal.status)).collect();
    assert_eq!(
        shown,
        [
            ("TERM-AMS", TerminalPresence::Online),
            ("LINK-AMS", TerminalPresence::Offline),
            ("TERM-PAR", TerminalPresence::Offline),
            ("LINK-PAR", TerminalPresence::Offline),
        ]
    );
    assert_eq!(list[0].connection_id.as_ref(), Some(handle.connection()));
    assert!(list[0].connected_at.is_some() && list[0].last_activity >= list[0].connected_at, "{list:?}");
    assert_eq!(list[0].metadata.as_ref().unwrap().as_str(), r#"{"lane":"4"}"#);
    assert_eq!(
        (&list[1].connection_id, &list[1].connected_at, &list[1].last_activity),
        (&None, &None, &None)
    );
    assert_eq!(list[1].metadata.as_ref().unwrap().as_str(), "{}");
    let later = relay::WallMs(4_000_000_000_000);
    handle.heard(later);
    let list = bench.terminals.list(&company("ACME"), &[group("AMS")]).await.unwrap();
    assert_eq!(list[0].last_activity, Some(rfc3339(later)));
    drop(handle);
    let list = bench.terminals.list(&company("ACME"), &[group("AMS")]).await.unwrap();
    assert_eq!((list[0].status, &list[0].connection_id), (TerminalPresence::Reconnecting, &None));
    assert_eq!(list.len(), 2);
}

#[tokio::test]
async fn a_terminal_is_found_by_its_device_its_connection_or_its_poiid() {
    let bench = Bench::new().await;
    let (handle, connected) = bench.connect("ACT-AMS").await;
    let connection = handle.connection().clone();
    let expected = Target {
        poi: poi("ACT-AMS"),
        group: group("AMS"),
        device: "TERM-AMS".into(),
        connection: Some(connection.clone()),
    };
    for name in ["TERM-AMS", connection.as_str()] {
        assert_eq!(bench.resolve(&["PAR", "AMS"], name).await.unwrap(), expected, "{name}");
    }
    let link = bench.resolve(&["AMS"], "LINK-AMS").await.unwrap();
    assert_eq!((&link.poi, link.device.as_str()), (&poi("LINK-AMS"), "LINK-AMS"));
    // It is known, and not there.
    assert!(matches!(link.connected(), Err(NoTarget::NotConnected)));
    assert_eq!(expected.clone().connected().unwrap(), expected);
    // An Actions terminal has one name.
    assert!(matches!(bench.resolve(&["AMS"], "ACT-AMS").await, Err(NoTarget::Unknown)));
    drop((handle, connected));
    assert!(matches!(bench.resolve(&["AMS"], connection.as_str()).await, Err(NoTarget::NoSuchConnection)));
    assert_eq!(bench.resolve(&["AMS"], "TERM-AMS").await.unwrap().connection, None);
}

#[tokio::test]
async fn a_connection_of_a_link_terminal_is_found_too() {
    let bench = Bench::new().await;
    let (handle, connected) = bench.connect("ACT-AMS").await;
    // As for the sockets of links, nobody keeps a list of it.
    drop(connected);
    let found = bench.resolve(&["AMS"], handle.connection().as_str()).await.unwrap();
    assert_eq!(found.poi, poi("ACT-AMS"));
    let other = bench.resolve(&["PAR"], handle.connection().as_str()).await;
    assert!(matches!(other, Err(NoTarget::NoSuchConnection)));
}

#[tokio::test]
async fn only_its_own_company_hears_that_a_terminal_is_in_another_group() {
    let bench = Bench::new().await;
    let (ours, _ours) = bench.connect("ACT-PAR").await;
    let (others, _others) = bench.connect("ACT-OSL").await;
    for name in ["TERM-PAR", "LINK-PAR", ours.connection().as_str()] {
        assert!(matches!(bench.resolve(&["AMS"], name).await, Err(NoTarget::OtherGroup)), "{name}");
    }
    for name in ["TERM-OSL", "LINK-OSL", "nothing", "c_", "c_a-b", "", "a b"] {
        assert!(matches!(bench.resolve(&["AMS"], name).await, Err(NoTarget::Unknown)), "{name}");
    }
    for name in [others.connection().as_str(), "c_0123", "c_81f2"] {
        assert!(matches!(bench.resolve(&["AMS"], name).await, Err(NoTarget::NoSuchConnection)), "{name}");
    }
}

#[tokio::test]
async fn the_desktops_of_a_group_hear_of_its_terminals_and_of_no_others() {
    let bench = Bench::new().await;
    let desktops = Desktops::new(PerIdentity::Any);
    let here = bench.desktop(&desktops, "one", "ACME", group("AMS"));
    let elsewhere = bench.desktop(&desktops, "two", "ACME", group("PAR"));
    let abroad = bench.desktop(&desktops, "three", "OTHER", group("OSL"));
    let (telling, told_to) = (bench.terminals.clone(), desktops.clone());
    let task = tokio::spawn(async move { telling.tell_changes(&told_to).await });

    let (handle, connected) = bench.connect("ACT-AMS").await;
    let frame = told(&here).await;
    let connection = handle.connection().as_str();
    assert_eq!(frame["action"], "terminalStatusUpdate", "{frame}");
    assert_eq!(frame["terminalId"], "TERM-AMS");
    assert_eq!((&frame["status"], &frame["connectionId"]), (&"connected".into(), &connection.into()));
    assert_eq!(
        (&frame["groupId"], &frame["terminalInfo"]["connectionId"]),
        (&"AMS".into(), &connection.into())
    );
    assert_eq!(frame["terminalInfo"]["terminalId"], "TERM-AMS");
    drop((handle, connected));
    let frame = told(&here).await;
    assert_eq!((&frame["status"], &frame["deviceId"]), (&"reconnecting".into(), &"TERM-AMS".into()));
    assert!(frame.get("connectionId").is_none() && frame.get("terminalInfo").is_none(), "{frame}");

    // What came after it has been told by then.
    let (_handle, _connected) = bench.connect("ACT-PAR").await;
    assert_eq!(told(&elsewhere).await["terminalId"], "TERM-PAR");
    assert_eq!((here.next_order(), abroad.next_order()), (None, None));
    task.abort();
}

#[test]
fn a_terminal_that_stays_away_is_disconnected_and_has_only_its_name_left() {
    let frame = update("TERM-AMS".into(), &Seen::Offline, &group("AMS"), relay::WallMs(0));
    assert_eq!(
        frame.encode(),
        r#"{"action":"terminalStatusUpdate","terminalId":"TERM-AMS","status":"disconnected","timestamp":"1970-01-01T00:00:00.000Z","groupId":"AMS","version":"v1"}"#
    );
}
