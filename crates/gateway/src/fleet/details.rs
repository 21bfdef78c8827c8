//! What fleet software is told about one terminal, from what the store and the terminal's link know.
//!
//! Pure: the moment, and whether the terminal is connected, are arguments.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use relay::WallMs;
use serde_json::Value;

use crate::store::Place;

/// What was longer ago than this is not told.
///
/// Source: POS Terminal Management API, `lastActivityDateTime` and `lastTransactionDateTime`.
pub(crate) const TOLD_FOR: Duration = Duration::from_hours(14 * 24);

/// The longest text of a terminal's telemetry that is passed on. Longer ones are no address, no SIM and no link.
const TELEMETRY_TEXT_MAX: usize = 64;

/// When a terminal was last there, or what is to become of it.
///
/// Source: POS Terminal Management API, `terminalStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TerminalStatus {
    /// It was last there this many calendar days ago: 0 to 7.
    Online(u8),
    /// It was never there, or more than seven calendar days ago.
    SwitchedOff,
    /// It is to leave for the company's inventory.
    ToInventoryPending,
    /// It is to leave for a merchant account's inventory.
    ToMerchantInventoryPending,
    /// It is to leave for a store, or for a merchant account that represents one.
    ToStorePending,
}

impl TerminalStatus {
    /// The status of a terminal that was last there at `last_there`, and is to go to `pending`. Days are those of `zone`; what
    /// is pending comes before all else, and whoever is connected is there today.
    pub(crate) fn of(
        pending: Option<&Place>,
        is_online: bool,
        last_there: Option<WallMs>,
        zone: &TimeZone,
        now: WallMs,
    ) -> TerminalStatus {
        match pending {
            Some(Place::CompanyInventory) => return Self::ToInventoryPending,
            Some(Place::MerchantInventory(_)) => return Self::ToMerchantInventoryPending,
            Some(Place::MerchantInStore(_) | Place::Store { .. }) => return Self::ToStorePending,
            None => {}
        }
        let days = match last_there {
            _ if is_online => Some(0),
            // A clock that was put back makes no terminal absent.
            Some(at) => days_between(at, now, zone).map(|days| days.max(0)),
            None => None,
        };
        match days.and_then(|days| u8::try_from(days).ok()) {
            Some(days @ 0..=7) => Self::Online(days),
            _ => Self::SwitchedOff,
        }
    }

    /// As it is written on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Online(0) => "OnlineToday",
            Self::Online(1) => "OnlineLast1Day",
            Self::Online(2) => "OnlineLast2Days",
            Self::Online(3) => "OnlineLast3Days",
            Self::Online(4) => "OnlineLast4Days",
            Self::Online(5) => "OnlineLast5Days",
            Self::Online(6) => "OnlineLast6Days",
            Self::Online(7) => "OnlineLast7Days",
            Self::Online(_) | Self::SwitchedOff => "SwitchedOff",
            Self::ToInventoryPending => "ReAssignToInventoryPending",
            Self::ToMerchantInventoryPending => "ReAssignToMerchantInventoryPending",
            Self::ToStorePending => "ReAssignToStorePending",
        }
    }
}

/// The zone of this IANA name; UTC for one that isn't known, which is logged.
pub(crate) fn zone_named(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or_else(|error| {
        tracing::warn!(zone = name, %error, "a company's time zone is not known: UTC is taken for it");
        TimeZone::UTC
    })
}

/// A moment as it is told: with the zone's offset, such as `2026-05-28T08:41:16+02:00`. None for one that was longer ago than
/// [`TOLD_FOR`], and for one that no calendar has.
pub(crate) fn told_moment(at: WallMs, zone: &TimeZone, now: WallMs) -> Option<String> {
    if at.plus(TOLD_FOR) < now {
        return None;
    }
    let at = Timestamp::from_millisecond(at.0).ok()?.to_zoned(zone.clone());
    Some(at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
}

/// Model and serial number of a POIID, which is both with a hyphen between them.
pub(crate) fn model_and_serial(poi: &str) -> Option<(&str, &str)> {
    poi.rsplit_once('-').filter(|(model, serial)| !model.is_empty() && !serial.is_empty())
}

/// A serial number as it is printed on a device: in groups of three, such as `114-400-124`.
pub(crate) fn printed_serial(serial: &str) -> String {
    let mut printed = String::with_capacity(serial.len() + serial.len() / 3);
    for (n, c) in serial.chars().enumerate() {
        if n > 0 && n % 3 == 0 {
            printed.push('-');
        }
        printed.push(c);
    }
    printed
}

/// What a terminal last said about its connections. What can't be what it should be is left out, for any terminal may say
/// anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Connections {
    /// Addresses of the wireless network.
    pub(crate) wifi: Interface,
    /// Addresses of the wired network.
    pub(crate) ethernet: Interface,
    /// Addresses of Bluetooth.
    pub(crate) bluetooth: Interface,
    /// `auto` or `100full`.
    pub(crate) link_negotiation: Option<String>,
    /// Whether addresses come by DHCP.
    pub(crate) dhcp_enabled: Option<bool>,
    /// The SIM's number.
    pub(crate) iccid: Option<String>,
    /// `ACTIVE` or `INVENTORY`.
    pub(crate) sim_status: Option<String>,
}

/// The addresses of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    /// IPv4 or IPv6.
    pub(crate) ip: Option<String>,
    /// Lower case, with colons.
    pub(crate) mac: Option<String>,
}

impl Connections {
    /// Reads the telemetry of a terminal: a JSON object. See the terminal link, `device`.
    pub(crate) fn read(device: &str) -> Connections {
        let device: Value = serde_json::from_str(device).unwrap_or_default();
        let text = |name: &str| {
            let text = device.get(name).and_then(Value::as_str).map(str::trim);
            text.filter(|text| (1..=TELEMETRY_TEXT_MAX).contains(&text.len())).map(str::to_owned)
        };
        let interface = |ip: &str, mac: &str| Interface {
            ip: text(ip).filter(|ip| ip.parse::<IpAddr>().is_ok()),
            mac: text(mac).and_then(|mac| canonical_mac(&mac)),
        };
        Connections {
            wifi: interface("wifiIp", "wifiMac"),
            ethernet: interface("ethernetIp", "ethernetMac"),
            bluetooth: interface("bluetoothIp", "bluetoothMac"),
            link_negotiation: text("linkNegotiation"),
            dhcp_enabled: device.get("dhcpEnabled").and_then(Value::as_bool),
            iccid: text("iccid"),
            sim_status: text("simStatus"),
        }
    }
}

/// Six bytes in lower case with colons, from any usual way to write them.
fn canonical_mac(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-' | '.')).collect();
    if digits.len() != 12 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut mac = String::with_capacity(17);
    for (n, c) in digits.chars().enumerate() {
        if n > 0 && n % 2 == 0 {
            mac.push(':');
        }
        mac.push(c.to_ascii_lowercase());
    }
    Some(mac)
}

/// Calendar days from one moment to another; none outside of the calendar.
fn days_between(from: WallMs, to: WallMs, zone: &TimeZone) -> Option<i32> {
    let date = |at: WallMs| Some(Timestamp::from_millisecond(at.0).ok()?.to_zoned(zone.clone()).date());
    Some(date(from)?.until(date(to)?).ok()?.get_days())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MerchantCode, StoreCode};

    fn at(moment: &str) -> WallMs {
        WallMs(moment.parse::<Timestamp>().unwrap().as_millisecond())
    }

    fn status(last_there: &str, zone: &str, now: &str) -> &'static str {
        TerminalStatus::of(None, false, Some(at(last_there)), &zone_named(zone), at(now)).as_str()
    }

    #[test]
    fn days_are_those_of_the_calendar_in_the_companys_zone() {
        // Two minutes apart, and midnight between them: in Amsterdam only.
        let (before, after) = ("2026-06-03T21:59:00Z", "2026-06-03T22:01:00Z");
        assert_eq!(status(before, "Europe/Amsterdam", after), "OnlineLast1Day");
        assert_eq!(status(before, "UTC", after), "OnlineToday");
        // A day of 23 hours is a day.
        assert_eq!(
            status("2026-03-28T23:30:00Z", "Europe/Amsterdam", "2026-03-29T22:30:00Z"),
            "OnlineLast1Day"
        );
        for (day, expected) in [
            (19, "OnlineToday"),
            (18, "OnlineLast1Day"),
            (17, "OnlineLast2Days"),
            (16, "OnlineLast3Days"),
            (15, "OnlineLast4Days"),
            (14, "OnlineLast5Days"),
            (13, "OnlineLast6Days"),
            (12, "OnlineLast7Days"),
            (11, "SwitchedOff"),
        ] {
            let last_there = format!("2026-11-{day}T00:00:00Z");
            assert_eq!(status(&last_there, "UTC", "2026-11-19T23:59:59Z"), expected);
        }
        assert_eq!(status("2025-11-19T00:00:00Z", "UTC", "2026-11-19T00:00:00Z"), "SwitchedOff");
    }

    #[test]
    fn who_is_connected_is_there_today_and_who_never_was_is_switched_off() {
        let (now, utc) = (at("2026-11-19T12:00:00Z"), TimeZone::UTC);
        let long_ago = Some(at("2026-01-01T00:00:00Z"));
        assert_eq!(TerminalStatus::of(None, true, long_ago, &utc, now), TerminalStatus::Online(0));
        assert_eq!(TerminalStatus::of(None, false, None, &utc, now), TerminalStatus::SwitchedOff);
        // The clock was put back.
        let tomorrow = Some(at("2026-11-20T12:00:00Z"));
        assert_eq!(TerminalStatus::of(None, false, tomorrow, &utc, now), TerminalStatus::Online(0));
        assert_eq!(
            TerminalStatus::of(None, false, Some(WallMs(i64::MIN)), &utc, now),
            TerminalStatus::SwitchedOff
        );
    }

    #[test]
    fn what_is_pending_comes_before_all_else() {
        let merchant = MerchantCode::parse("M").unwrap();
        let store = Place::Store { merchant: merchant.clone(), store: StoreCode::parse("S").unwrap() };
        for (to, expected) in [
            (Place::CompanyInventory, "ReAssignToInventoryPending"),
            (Place::MerchantInventory(merchant.clone()), "ReAssignToMerchantInventoryPending"),
            (Place::MerchantInStore(merchant), "ReAssignToStorePending"),
            (store, "ReAssignToStorePending"),
        ] {
            for is_online in [true, false] {
                let status = TerminalStatus::of(Some(&to), is_online, None, &TimeZone::UTC, WallMs(0));
                assert_eq!(status.as_str(), expected);
            }
        }
    }

    #[test]
    fn a_moment_has_the_offset_of_its_zone_and_is_forgotten_after_14_days() {
        let zone = zone_named("Europe/Amsterdam");
        let summer = at("2026-05-28T06:41:16.999Z");
        assert_eq!(told_moment(summer, &zone, summer).unwrap(), "2026-05-28T08:41:16+02:00");
        let winter = at("2026-11-28T06:41:16Z");
        assert_eq!(told_moment(winter, &zone, summer).unwrap(), "2026-11-28T07:41:16+01:00");
        assert_eq!(told_moment(summer, &TimeZone::UTC, summer).unwrap(), "2026-05-28T06:41:16+00:00");
        let now = summer.plus(TOLD_FOR);
        assert!(told_moment(summer, &zone, now).is_some());
        assert_eq!(told_moment(summer, &zone, WallMs(now.0 + 1)), None);
        assert_eq!(told_moment(WallMs(i64::MAX), &zone, now), None);
    }

    #[test]
    fn a_zone_that_nobody_knows_is_utc() {
        assert_eq!(zone_named("Mars/Olympus"), TimeZone::UTC);
    }

    #[test]
    fn a_poiid_is_model_and_serial_number() {
        assert_eq!(model_and_serial("P400Plus-114400124"), Some(("P400Plus", "114400124")));
        assert_eq!(printed_serial("114400124"), "114-400-124");
        assert_eq!(printed_serial("000158215131748"), "000-158-215-131-748");
        assert_eq!(printed_serial("1234"), "123-4");
        assert_eq!(printed_serial("äöüß"), "äöü-ß");
        for none in ["", "V400m", "-1", "V400m-"] {
            assert_eq!(model_and_serial(none), None, "{none}");
        }
    }

    #[test]
    fn telemetry_is_passed_on_as_far_as_it_can_be_true() {
        let said = Connections::read(
            r#"{"batteryLevel":87,"wifiIp":"192.0.2.40","wifiMac":"10:98:C3-68a3.D4","ethernetIp":"fe80::1",
                "bluetoothIp":"home","bluetoothMac":"aa:bb","dhcpEnabled":false,"linkNegotiation":"auto",
                "iccid":"8931080019073497795","simStatus":"ACTIVE"}"#,
        );
        let expected = Connections {
            wifi: Interface { ip: Some("192.0.2.40".into()), mac: Some("10:98:c3:68:a3:d4".into()) },
            ethernet: Interface { ip: Some("fe80::1".into()), mac: None },
            bluetooth: Interface::default(),
            link_negotiation: Some("auto".into()),
            dhcp_enabled: Some(false),
            iccid: Some("8931080019073497795".into()),
            sim_status: Some("ACTIVE".into()),
        };
        assert_eq!(said, expected);
        let long = format!(r#"{{"iccid":"{}"}}"#, "8".repeat(TELEMETRY_TEXT_MAX + 1));
        for none in ["", "[]", "7", r#"{"wifiIp":{},"dhcpEnabled":"false","iccid":""}"#, &long] {
            assert_eq!(Connections::read(none), Connections::default(), "{none}");
        }
    }
}
