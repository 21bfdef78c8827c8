//! The demo's company, and its terminals.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gateway::{Admin, AdminError, Location};
use nexo::PoiId;
use virtual_terminal::{Actions, Config, Dialect, Habit, Handle, Secret, VirtualTerminal};

use super::ready_file::{ACTIONS_TERMINAL, SharedKey, TerminalEntry};
use crate::terminal::file_name;

pub(super) const COMPANY: &str = "DEMO_COMPANY";
/// It is there to be kept out: it has no terminals.
pub(super) const OTHER_COMPANY: &str = "DEMO_OTHER_COMPANY";
/// Of [`OTHER_COMPANY`]: a desktop of the Actions API is of some group.
pub(super) const OTHER_MERCHANT: &str = "DEMO_OTHER_MERCHANT";
const EU: &str = "DEMO_MERCHANT_EU";
/// Has no stores: it represents one itself. None of its terminals is ever connected, so that a key for it alone reaches none.
pub(super) const US: &str = "DEMO_MERCHANT_US";
pub(super) const MERCHANTS: [&str; 2] = [EU, US];
const AMS: &str = "STORE_AMS";
const PAR: &str = "STORE_PAR";
/// Both of [`EU`].
pub(super) const STORES: [&str; 2] = [AMS, PAR];

/// Where the demo's desktop and terminals of the Actions API are.
pub(super) const ACTIONS_GROUP: &str = AMS;

/// A terminal of the Actions API, made together with its key.
#[derive(Clone, Copy)]
pub(super) struct ActionsDevice {
    pub(super) poi: &'static str,
    pub(super) device_id: &'static str,
}

/// Connected by the demo.
pub(super) const OWN_ACTIONS_DEVICE: ActionsDevice =
    ActionsDevice { poi: "ACT1-000000001", device_id: "TERM-001" };
/// For whoever wants to be one.
pub(super) const FREE_ACTIONS_DEVICE: ActionsDevice =
    ActionsDevice { poi: "ACT1-000000002", device_id: "TERM-002" };

struct Device {
    poi: &'static str,
    platform: Platform,
    at: Location<'static>,
    state: Standing,
}

#[derive(Clone, Copy, PartialEq)]
enum Platform {
    Android,
    NonAndroid,
}

#[derive(Clone, Copy, PartialEq)]
enum Standing {
    Connected,
    InStore,
    InInventory,
}

const DEVICES: [Device; 4] = [
    Device {
        poi: "V400m-324688179",
        platform: Platform::NonAndroid,
        at: Location::Store { merchant: EU, store: AMS },
        state: Standing::Connected,
    },
    Device {
        poi: "S1F2-000158215131748",
        platform: Platform::Android,
        at: Location::Store { merchant: EU, store: PAR },
        state: Standing::Connected,
    },
    Device {
        poi: "P400Plus-275008565",
        platform: Platform::NonAndroid,
        at: Location::Store { merchant: EU, store: PAR },
        state: Standing::InStore,
    },
    Device {
        poi: "AMS1-000168223606144",
        platform: Platform::Android,
        at: Location::MerchantInventory(US),
        state: Standing::InInventory,
    },
];

/// Makes accounts, stores and terminals; what an earlier demo made on the same data stays.
pub(super) async fn make(admin: &Admin) -> anyhow::Result<()> {
    for company in [COMPANY, OTHER_COMPANY] {
        let made = admin.create_company(company).await;
        if made.is_ok() {
            // Only then: whoever switched something off in a demo finds it so again.
            admin.switch_on(company).await?;
        }
        unless_there(made)?;
    }
    for merchant in MERCHANTS {
        unless_there(admin.create_merchant_account(COMPANY, merchant).await)?;
    }
    unless_there(admin.create_merchant_account(OTHER_COMPANY, OTHER_MERCHANT).await)?;
    for store in STORES {
        unless_there(admin.create_store(EU, store).await)?;
    }
    for device in DEVICES {
        unless_there(admin.add_terminal(COMPANY, &PoiId::parse(device.poi)?, device.at).await)?;
    }
    Ok(())
}

fn unless_there(made: Result<(), AdminError>) -> anyhow::Result<()> {
    match made {
        Ok(()) | Err(AdminError::AlreadyExists(_)) => Ok(()),
        Err(error) => Err(error).context("the demo's data can't be made"),
    }
}

/// Starts the terminals that are to be connected, and tells about all. The handles are those of the boarded entries.
pub(super) async fn connect(
    admin: &Admin,
    url: &str,
    dir: &Path,
    shared_key: &SharedKey,
    handles: &mut Vec<Handle>,
) -> anyhow::Result<Vec<TerminalEntry>> {
    let nexo_key = shared_key.derive()?;
    let mut entries = Vec::new();
    for device in DEVICES {
        let poi = PoiId::parse(device.poi)?;
        let mut entry = entry(&device);
        if device.state != Standing::InInventory {
            // One that is boarded has no use for the code, unless its journal or the database was lost.
            let code = admin.make_boarding_code(&poi).await?.code.reveal();
            match device.state {
                Standing::Connected => {
                    let mut config = config(&device, poi, url, dir)?;
                    config.boarding_code = Some(Secret::new(code));
                    config.nexo_key = Some(nexo_key.clone());
                    let started = VirtualTerminal::start(config).await;
                    handles.push(
                        started.with_context(|| format!("virtual terminal {} can't start", device.poi))?,
                    );
                    entry.encryption_key = Some(shared_key.clone());
                }
                _ => entry.boarding_code = Some(code),
            }
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Starts the Actions terminal that is to be connected, and tells about both. The handle is that of the boarded entry.
pub(super) async fn connect_actions(
    url: &str,
    dir: &Path,
    key: &str,
    handles: &mut Vec<Handle>,
) -> anyhow::Result<Vec<TerminalEntry>> {
    let poi = PoiId::parse(OWN_ACTIONS_DEVICE.poi)?;
    let journal = journal(&poi, dir)?;
    let mut config = Config::new(url, journal, poi);
    config.dialect = Dialect::Actions(Actions { key: Secret::new(key), habit: Habit::Acknowledges });
    let started = VirtualTerminal::start(config).await;
    handles
        .push(started.with_context(|| format!("virtual terminal {} can't start", OWN_ACTIONS_DEVICE.poi))?);
    let entry = |device: ActionsDevice, boarded| TerminalEntry {
        poi_id: device.poi.to_owned(),
        kind: ACTIONS_TERMINAL.to_owned(),
        platform: "non-android".to_owned(),
        merchant_account: Some(EU.to_owned()),
        store: Some(ACTIONS_GROUP.to_owned()),
        boarded,
        boarding_code: None,
        encryption_key: None,
        device_id: Some(device.device_id.to_owned()),
    };
    Ok(vec![entry(OWN_ACTIONS_DEVICE, true), entry(FREE_ACTIONS_DEVICE, false)])
}

fn config(device: &Device, poi: PoiId, url: &str, dir: &Path) -> anyhow::Result<Config> {
    let journal = journal(&poi, dir)?;
    let config = Config::new(url, journal, poi);
    Ok(match device.platform {
        Platform::Android => config.portable(),
        Platform::NonAndroid => config,
    })
}

fn journal(poi: &PoiId, dir: &Path) -> anyhow::Result<PathBuf> {
    let journal = dir.join("terminals").join(file_name(poi));
    std::fs::create_dir_all(&journal).with_context(|| format!("can't make {}", journal.display()))?;
    Ok(journal)
}

fn entry(device: &Device) -> TerminalEntry {
    let (merchant, store) = match device.at {
        Location::CompanyInventory => (None, None),
        Location::MerchantInventory(merchant) | Location::MerchantInStore(merchant) => (Some(merchant), None),
        Location::Store { merchant, store } => (Some(merchant), Some(store)),
    };
    TerminalEntry {
        poi_id: device.poi.to_owned(),
        kind: "payment-terminal".to_owned(),
        platform: match device.platform {
            Platform::Android => "android",
            Platform::NonAndroid => "non-android",
        }
        .to_owned(),
        merchant_account: merchant.map(str::to_owned),
        store: store.map(str::to_owned),
        boarded: device.state == Standing::Connected,
        boarding_code: None,
        encryption_key: None,
        device_id: None,
    }
}
