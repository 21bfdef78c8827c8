//! The POS Terminal Management API: what its five operations answer, on all their paths.

use futures_util::future::join_all;
use gateway::{Config, Limits, Location, Role, TerminalManagementSettings, V1Booleans};
use nexo::PoiId;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::published_schemas::{assert_fits, assert_fits_with_texts};
use crate::support::{COMPANY, Heard, MERCHANT, OTHER_MERCHANT, Sale, TestGateway};

/// Boarded and connected, in `STORE_A`.
pub(crate) const IN_STORE: &str = "V400m-324688179";
/// The others, not boarded.
pub(crate) const AT_COMPANY: &str = "S1F2-000158215131748";
pub(crate) const IN_INVENTORY: &str = "M400-401900001";
pub(crate) const AT_MERCHANT: &str = "P400Plus-114400124";

const FILE: &str = "TfmAPIService-v1";

/// The paths, and whether booleans are texts there.
pub(crate) const PATHS: [(&str, bool); 3] =
    [("/postfmapi/terminal", false), ("/postfmapi/terminal/v1", true), ("/v1", true)];

/// With a terminal at each of the four kinds of places.
pub(crate) async fn fleet(v1_booleans: V1Booleans) -> TestGateway {
    let config = Config {
        limits: Limits::default().with_rates_raised(1000),
        terminal_management: TerminalManagementSettings { v1_booleans },
        ..Config::default()
    };
    let gateway = TestGateway::configured(config).await.with_terminal(IN_STORE).await;
    for (poi, at) in [
        (AT_COMPANY, Location::CompanyInventory),
        (IN_INVENTORY, Location::MerchantInventory(MERCHANT)),
        (AT_MERCHANT, Location::MerchantInStore(OTHER_MERCHANT)),
    ] {
        gateway.admin().add_terminal(COMPANY, &PoiId::parse(poi).unwrap(), at).await.unwrap();
    }
    gateway
}

/// Fleet software of [`COMPANY`].
pub(crate) async fn manager(gateway: &TestGateway) -> Sale<'_> {
    gateway.sale_with(COMPANY, &[], &[Role::TerminalManagementApi]).await
}

/// Asks on the unversioned path.
pub(crate) async fn ask(manager: &Sale<'_>, operation: &str, question: Value) -> Heard {
    manager.post(&format!("/postfmapi/terminal/{operation}"), question.to_string()).await
}

/// The same, with an answer that fits its schema.
async fn answer(manager: &Sale<'_>, operation: &str, question: Value) -> Value {
    let heard = ask(manager, operation, question).await;
    assert_eq!((heard.status, heard.content_type.as_str()), (200, "application/json"), "{}", heard.text());
    assert_fits(FILE, &response_of(operation), &heard.json());
    heard.json()
}

fn response_of(operation: &str) -> String {
    format!("{}{}Response", operation[..1].to_uppercase(), &operation[1..])
}

/// Changes what no call of this version changes.
fn arrange(gateway: &TestGateway, sql: &str) {
    let database = rusqlite::Connection::open(gateway.data_dir().join("tillgate.db")).unwrap();
    database.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
    database.execute_batch(sql).unwrap();
}

#[tokio::test]
async fn a_terminal_is_found_where_it_is_with_either_kind_of_booleans() {
    let gateway = fleet(V1Booleans::Strings).await;
    let manager = manager(&gateway).await;
    for (prefix, has_texts) in PATHS {
        let boolean = |value: bool| if has_texts { json!(value.to_string()) } else { json!(value) };
        for (poi, expected) in [
            (AT_COMPANY, json!({"companyAccount": COMPANY, "terminal": AT_COMPANY})),
            (
                IN_INVENTORY,
                json!({"companyAccount": COMPANY, "merchantAccount": MERCHANT,
                    "merchantInventory": boolean(true), "terminal": IN_INVENTORY}),
            ),
            (
                AT_MERCHANT,
                json!({"companyAccount": COMPANY, "merchantAccount": OTHER_MERCHANT,
                    "merchantInventory": boolean(false), "terminal": AT_MERCHANT}),
            ),
            (
                IN_STORE,
                json!({"companyAccount": COMPANY, "merchantAccount": MERCHANT,
                    "merchantInventory": boolean(false), "store": "STORE_A", "terminal": IN_STORE}),
            ),
        ] {
            let question = json!({ "terminal": poi }).to_string();
            let heard = manager.post(&format!("{prefix}/findTerminal"), question.as_str()).await;
            assert_eq!((heard.status, heard.json()), (200, expected), "{prefix}");
            let details = manager.post(&format!("{prefix}/getTerminalDetails"), question).await.json();
            assert_eq!(details["merchantInventory"], heard.json()["merchantInventory"]);
            let fits = if has_texts { assert_fits_with_texts } else { assert_fits };
            fits(FILE, "FindTerminalResponse", &heard.json());
            fits(FILE, "GetTerminalDetailsResponse", &details);
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_terminals_details_are_what_is_known_of_it() {
    let gateway = fleet(V1Booleans::Strings).await;
    let manager = manager(&gateway).await;
    arrange(
        &gateway,
        &format!(
            r#"UPDATE companies SET time_zone = 'Asia/Kolkata' WHERE code = '{COMPANY}';
            UPDATE merchant_accounts SET v1_booleans = 'booleans' WHERE code = '{MERCHANT}';
            UPDATE stores SET description = 'Nieuwmarkt 1', address = '{{"streetAddress":"Nieuwmarkt 1",
                "streetAddress3":"back door","city":"Amsterdam","countryCode":"NL"}}' WHERE code = 'STORE_A';
            UPDATE terminals SET permanent_terminal_id = '00012345', display_label = 'Bar',
                last_transaction_at = 1000 * (unixepoch() - 14 * 86400 - 60),
                device = '{{"dhcpEnabled":false,"wifiIp":"192.0.2.40","wifiMac":"10:98:c3:68:a3:d4",
                    "ethernetIp":"192.0.2.41","linkNegotiation":"100full","iccid":"8931080019073497795",
                    "simStatus":"ACTIVE","bluetoothMac":"10:98:c3:68:a3:d5"}}'
            WHERE poi_id = '{IN_STORE}';"#
        ),
    );
    let mut details = answer(&manager, "getTerminalDetails", json!({ "terminal": IN_STORE })).await;
    let last_activity = details["lastActivityDateTime"].take();
    assert!(last_activity.as_str().unwrap().ends_with("+05:30"), "{last_activity}");
    assert_eq!(
        details,
        json!({
            "companyAccount": COMPANY, "merchantAccount": MERCHANT, "merchantInventory": false, "store": "STORE_A",
            "terminal": IN_STORE, "terminalStatus": "OnlineToday", "deviceModel": "V400m",
            "serialNumber": "324-688-179", "permanentTerminalId": "00012345",
            "firmwareVersion": "Virtual_OS 1.4.0", "country": "NETHERLANDS", "displayLabel": "Bar",
            "storeDetails": {"store": "STORE_A", "description": "Nieuwmarkt 1", "status": "Active",
                "merchantAccountCode": MERCHANT,
                "address": {"streetAddress": "Nieuwmarkt 1", "city": "Amsterdam", "countryCode": "NL"}},
            "lastActivityDateTime": null, "wifiIp": "192.0.2.40", "wifiMac": "10:98:c3:68:a3:d4",
            "ethernetIp": "192.0.2.41", "bluetoothMac": "10:98:c3:68:a3:d5", "linkNegotiation": "100full",
            "dhcpEnabled": false, "iccid": "8931080019073497795", "simStatus": "ACTIVE"
        })
    );
    // The merchant account's setting is nearer than the gateway's.
    let versioned = manager.post("/v1/getTerminalDetails", json!({ "terminal": IN_STORE }).to_string()).await;
    assert_eq!(versioned.json()["dhcpEnabled"], false);

    let stored = answer(&manager, "getTerminalDetails", json!({ "terminal": AT_COMPANY })).await;
    assert_eq!(stored["terminalStatus"], "SwitchedOff");
    assert_eq!(stored["serialNumber"], "000-158-215-131-748");
    for absent in ["lastActivityDateTime", "lastTransactionDateTime", "merchantInventory", "storeDetails"] {
        assert_eq!(stored.get(absent), None, "{absent}");
    }
    arrange(
        &gateway,
        &format!("UPDATE terminals SET last_transaction_at = 1000 * unixepoch() WHERE poi_id = '{IN_STORE}'"),
    );
    let details = answer(&manager, "getTerminalDetails", json!({ "terminal": IN_STORE })).await;
    assert!(details["lastTransactionDateTime"].as_str().unwrap().ends_with("+05:30"), "{details}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_is_strict_about_types_reads_every_path_once_booleans_are_set() {
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[expect(dead_code, reason = "it is read, that is all")]
    struct Strict {
        company_account: String,
        merchant_account: Option<String>,
        merchant_inventory: Option<bool>,
        store: Option<String>,
        terminal: String,
    }
    for setting in [V1Booleans::Booleans, V1Booleans::Strings] {
        let gateway = fleet(setting).await;
        let manager = manager(&gateway).await;
        for (prefix, has_texts) in PATHS {
            let heard = manager
                .post(&format!("{prefix}/findTerminal"), json!({ "terminal": IN_STORE }).to_string())
                .await;
            let read = serde_json::from_slice::<Strict>(&heard.body);
            assert_eq!(read.is_ok(), setting == V1Booleans::Booleans || !has_texts, "{prefix}: {read:?}");
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn terminals_are_listed_by_their_places() {
    let gateway = fleet(V1Booleans::Strings).await;
    let manager = manager(&gateway).await;
    let in_store = json!({"store": "STORE_A", "inStoreTerminals": [IN_STORE]});
    let of_merchant =
        json!({"merchantAccount": MERCHANT, "inventoryTerminals": [IN_INVENTORY], "stores": [in_store]});
    let of_other = json!({"merchantAccount": OTHER_MERCHANT, "inStoreTerminals": [AT_MERCHANT]});
    for (prefix, _) in PATHS {
        for (question, expected) in [
            (
                json!({}),
                json!({"inventoryTerminals": [AT_COMPANY], "merchantAccounts": [of_merchant, of_other]}),
            ),
            (json!({"merchantAccount": MERCHANT}), json!({"merchantAccounts": [of_merchant]})),
            (
                json!({"merchantAccount": MERCHANT, "store": "STORE_A"}),
                json!({"merchantAccounts": [{"merchantAccount": MERCHANT, "stores": [in_store]}]}),
            ),
            (json!({"merchantAccount": MERCHANT, "store": "STORE_B"}), json!({})),
        ] {
            let (mut question, mut expected) = (question, expected);
            question["companyAccount"] = COMPANY.into();
            expected["companyAccount"] = COMPANY.into();
            let path = format!("{prefix}/getTerminalsUnderAccount");
            let heard = manager.post(&path, question.to_string()).await;
            assert_eq!((heard.status, heard.content_type.as_str()), (200, "application/json"));
            assert_eq!(heard.json(), expected, "{question}");
            assert_fits(FILE, "GetTerminalsUnderAccountResponse", &heard.json());
        }
    }
    // Who may use one merchant account sees that one only.
    let scoped = gateway.sale_with(COMPANY, &[OTHER_MERCHANT], &[Role::TerminalManagementApi]).await;
    let list = answer(&scoped, "getTerminalsUnderAccount", json!({"companyAccount": COMPANY})).await;
    assert_eq!(list, json!({"companyAccount": COMPANY, "merchantAccounts": [of_other]}));
    gateway.stop().await;
}

#[tokio::test]
async fn a_list_of_several_pages_is_complete_and_in_order() {
    let gateway = fleet(V1Booleans::Strings).await;
    let manager = manager(&gateway).await;
    let names: Vec<PoiId> = (0..2500).map(|n| PoiId::parse(&format!("E355-8000{n:05}")).unwrap()).collect();
    for some in names.chunks(100) {
        let store = Location::Store { merchant: MERCHANT, store: "STORE_B" };
        let added = some.iter().map(|poi| gateway.admin().add_terminal(COMPANY, poi, store));
        assert!(join_all(added).await.into_iter().all(|added| added.is_ok()));
    }
    let list = answer(&manager, "getTerminalsUnderAccount", json!({"companyAccount": COMPANY})).await;
    let listed = list["merchantAccounts"][0]["stores"][1]["inStoreTerminals"].as_array().unwrap();
    assert!(listed.iter().eq(names.iter().map(PoiId::as_str)), "{} of them", listed.len());
    assert_eq!(list["merchantAccounts"].as_array().unwrap().len(), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn stores_are_listed_with_what_is_known_of_them() {
    let gateway = fleet(V1Booleans::Strings).await;
    let manager = manager(&gateway).await;
    arrange(
        &gateway,
        r#"UPDATE stores SET status = 'Closed', address = '{"city":"Amsterdam"}' WHERE code = 'STORE_B'"#,
    );
    let stores = json!({"stores": [
        {"store": "STORE_A", "status": "Active", "merchantAccountCode": MERCHANT},
        {"store": "STORE_B", "status": "Closed", "merchantAccountCode": MERCHANT, "address": {"city": "Amsterdam"}}]});
    for (prefix, _) in PATHS {
        for (merchant, expected) in [
            (json!(null), &stores),
            (json!(MERCHANT), &stores),
            (json!(OTHER_MERCHANT), &json!({"stores": []})),
        ] {
            let question = json!({"companyAccount": COMPANY, "merchantAccount": merchant}).to_string();
            let heard = manager.post(&format!("{prefix}/getStoresUnderAccount"), question).await;
            assert_eq!((heard.status, &heard.json()), (200, expected));
            assert_fits(FILE, "GetStoresUnderAccountResponse", &heard.json());
        }
    }
    let scoped = gateway.sale_with(COMPANY, &[OTHER_MERCHANT], &[Role::TerminalManagementApi]).await;
    let list = answer(&scoped, "getStoresUnderAccount", json!({"companyAccount": COMPANY})).await;
    assert_eq!(list, json!({"stores": []}));
    gateway.stop().await;
}

#[tokio::test]
async fn assigning_has_three_results() {
    let gateway = fleet(V1Booleans::Strings).await;
    let manager = manager(&gateway).await;
    let assign = async |terminals: &[&str], target: Value| {
        let mut question = target;
        question["companyAccount"] = COMPANY.into();
        question["terminals"] = json!(terminals);
        answer(&manager, "assignTerminals", question).await["results"].clone()
    };
    let store = |store: &str| json!({"merchantAccount": MERCHANT, "store": store});
    // One that is not boarded moves at once, and one that is named twice counts once.
    assert_eq!(assign(&[AT_COMPANY, AT_COMPANY], store("STORE_B")).await, json!({AT_COMPANY: "Done"}));
    let found = answer(&manager, "findTerminal", json!({ "terminal": AT_COMPANY })).await;
    assert_eq!((&found["store"], &found["merchantInventory"]), (&json!("STORE_B"), &json!(false)));
    // The inventory of a merchant account, by a text; and the company's.
    let inventory = json!({"merchantAccount": OTHER_MERCHANT, "merchantInventory": "true"});
    assert_eq!(assign(&[AT_COMPANY], inventory).await, json!({AT_COMPANY: "Done"}));
    let in_store = json!({"merchantAccount": OTHER_MERCHANT, "merchantInventory": false});
    assert_eq!(assign(&[AT_COMPANY], in_store).await, json!({AT_COMPANY: "Done"}));
    assert_eq!(assign(&[AT_COMPANY], json!({})).await, json!({AT_COMPANY: "Done"}));
    // Several are scheduled.
    assert_eq!(
        assign(&[AT_MERCHANT, AT_COMPANY], store("STORE_B")).await,
        json!({AT_MERCHANT: "AssignmentScheduled", AT_COMPANY: "AssignmentScheduled"})
    );
    // Where it is already.
    assert_eq!(assign(&[IN_STORE], store("STORE_A")).await, json!({IN_STORE: "Done"}));
    let found = answer(&manager, "findTerminal", json!({ "terminal": IN_STORE })).await;
    assert_eq!(found["store"], "STORE_A");
    gateway.stop().await;
}

#[tokio::test]
async fn a_boarded_terminal_is_pending_until_it_has_removed_its_configuration() {
    let gateway = fleet(V1Booleans::Strings).await;
    let manager = manager(&gateway).await;
    // Boarded, and not there: nobody confirms.
    let poi = "V400m-000000001";
    let code = gateway.add(poi).await;
    let boarding = json!({"poiId": poi, "boardingCode": code, "journalId": "j_1"}).to_string();
    assert_eq!(gateway.sale_with_key("").post("/terminal/v1/board", boarding).await.status, 200);
    for (target, status) in [
        (json!({"merchantAccount": MERCHANT, "store": "STORE_B"}), "ReAssignToStorePending"),
        (
            json!({"merchantAccount": OTHER_MERCHANT, "merchantInventory": true}),
            "ReAssignToMerchantInventoryPending",
        ),
        (json!({"merchantAccount": OTHER_MERCHANT, "merchantInventory": false}), "ReAssignToStorePending"),
        (json!({}), "ReAssignToInventoryPending"),
    ] {
        let mut question = target;
        question["companyAccount"] = COMPANY.into();
        question["terminals"] = json!([poi]);
        let results = answer(&manager, "assignTerminals", question).await;
        assert_eq!(results, json!({"results": {poi: "RemoveConfigScheduled"}}));
        let details = answer(&manager, "getTerminalDetails", json!({ "terminal": poi })).await;
        assert_eq!((&details["terminalStatus"], &details["store"]), (&json!(status), &json!("STORE_A")));
    }
    gateway.stop().await;
}
