//! What a virtual terminal is told before it starts.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use nexo::{EncryptionKey, PoiId, PrinterStatus};

use crate::actions::Dialect;
use crate::secret::Secret;

/// One virtual terminal.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the gateway is: scheme, host and port, and a path if it stands under one.
    pub base_url: String,
    /// The journal's directory, of this terminal alone. Made if absent.
    pub data_dir: PathBuf,
    /// The terminal's own name. In the Actions dialect its journal has it, and nobody else: the key names the terminal there.
    pub poi_id: PoiId,
    /// For a terminal that is new, or has to board again.
    pub boarding_code: Option<Secret>,
    /// Which family of devices it belongs to.
    pub platform: Platform,
    /// What it shows as its software.
    pub firmware_version: String,
    /// Certificates in PEM that are trusted instead of the operating system's.
    pub ca_file: Option<PathBuf>,
    /// How long its cardholder takes to present a card.
    pub cardholder: Duration,
    /// The device's own state.
    pub device: DeviceFacts,
    /// Shared with Sale systems that encrypt their messages.
    pub nexo_key: Option<EncryptionKey>,
    /// Which protocol it speaks.
    pub dialect: Dialect,
}

impl Config {
    /// A countertop terminal with a printer, at which a card is presented after two seconds.
    pub fn new(base_url: impl Into<String>, data_dir: impl Into<PathBuf>, poi_id: PoiId) -> Config {
        Config {
            base_url: base_url.into(),
            data_dir: data_dir.into(),
            device: DeviceFacts::countertop(&poi_id),
            poi_id,
            boarding_code: None,
            platform: Platform::NonAndroid,
            firmware_version: "Virtual_OS 1.4.0".into(),
            ca_file: None,
            cardholder: Duration::from_secs(2),
            nexo_key: None,
            dialect: Dialect::Link,
        }
    }

    /// The same as a portable Android terminal with a battery.
    #[must_use]
    pub fn portable(mut self) -> Config {
        self.platform = Platform::Android;
        self.device = DeviceFacts::portable(&self.poi_id);
        self
    }
}

/// A family of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Android terminals.
    Android,
    /// All others.
    NonAndroid,
}

impl Platform {
    /// As it is written on the link.
    pub fn as_str(self) -> &'static str {
        match self {
            Platform::Android => "android",
            Platform::NonAndroid => "non-android",
        }
    }
}

/// A device's own state, as diagnosis and telemetry tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceFacts {
    /// Charge in percent; none without a battery.
    pub battery_level: Option<u8>,
    /// The printer's state; none without a printer.
    pub printer: Option<PrinterStatus>,
    /// Payments that were approved offline and not forwarded yet.
    pub unconfirmed_payments: u32,
    /// Its Wi-Fi.
    pub network: Network,
}

/// How a device is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its hardware address.
    pub mac: String,
    /// Whether the address was assigned.
    pub dhcp: bool,
}

impl DeviceFacts {
    /// A countertop device: mains power and a printer.
    pub fn countertop(poi_id: &PoiId) -> DeviceFacts {
        DeviceFacts {
            battery_level: None,
            printer: Some(PrinterStatus::OK),
            unconfirmed_payments: 0,
            network: Network::of(poi_id),
        }
    }

    /// A portable device: a battery and no printer.
    pub fn portable(poi_id: &PoiId) -> DeviceFacts {
        DeviceFacts { battery_level: Some(87), printer: None, ..DeviceFacts::countertop(poi_id) }
    }
}

impl Network {
    /// Addresses that differ from terminal to terminal: of the range for documentation, and locally administered.
    fn of(poi_id: &PoiId) -> Network {
        let hash = poi_id
            .as_str()
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let [a, b, c, d] = hash.to_be_bytes();
        Network {
            ip: Ipv4Addr::new(192, 0, 2, d.clamp(1, 254)),
            mac: format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}"),
            dhcp: true,
        }
    }
}
