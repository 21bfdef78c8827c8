//! How much any one caller or terminal may have at once: the table `[limits]` of the configuration.
//!
//! ```toml
//! [limits]
//! requests_per_second = 50
//! requests_burst = 200
//! exchanges_per_key = 500
//! exchanges_per_terminal = 8
//! terminal_lookups_per_minute = 60
//! lookups_of_terminal_per_minute = 6
//! terminal_lists_per_minute = 6
//! ```

use std::ops::RangeInclusive;

use relay::exchange::EXCHANGES_MAX;
use serde::Deserialize;
use serde::de::{self, Deserializer};

const REQUESTS_PER_SECOND: RangeInclusive<u32> = 1..=1_000_000;
const REQUESTS_BURST: RangeInclusive<u32> = 1..=10_000_000;
const EXCHANGES_PER_KEY: RangeInclusive<u32> = 1..=1_000_000;
/// A terminal holds one request at a time: a longer queue only hides that the next one is too late.
const EXCHANGES_PER_TERMINAL: RangeInclusive<u32> = 1..=64;
const PER_MINUTE: RangeInclusive<u32> = 1..=1_000_000;

/// What any one caller or terminal may have at once. Whoever is over a limit hears 429.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests of one API credential, on average: 1 to 1,000,000 per second. A shop of a hundred tills asks far less often,
    /// and a loop gone wrong far more often.
    #[serde(deserialize_with = "requests_per_second")]
    pub requests_per_second: u32,
    /// How many of them may come at once after a pause: 1 to 10,000,000.
    #[serde(deserialize_with = "requests_burst")]
    pub requests_burst: u32,
    /// Requests of one API credential that wait for a terminal: 1 to 1,000,000. Each holds a socket for up to 150 s. Payments of
    /// desktops that have no end yet are counted apart, to the same number.
    #[serde(deserialize_with = "exchanges_per_key")]
    pub exchanges_per_key: u32,
    /// Open exchanges of one terminal: 1 to 64. One runs, and the rest would hear *busy* anyway. Abort and TransactionStatus
    /// have as many places again.
    #[serde(deserialize_with = "exchanges_per_terminal")]
    pub exchanges_per_terminal: u32,
    /// findTerminal and getTerminalDetails with one API credential, on average: 1 to 1,000,000 per minute. After a pause as many
    /// may come at once, here and below. Whoever would poll is told of changes instead.
    #[serde(deserialize_with = "terminal_lookups_per_minute")]
    pub terminal_lookups_per_minute: u32,
    /// The same of one terminal.
    #[serde(deserialize_with = "lookups_of_terminal_per_minute")]
    pub lookups_of_terminal_per_minute: u32,
    /// getTerminalsUnderAccount with one API credential: 1 to 1,000,000 per minute. Each may read a million terminals.
    #[serde(deserialize_with = "terminal_lists_per_minute")]
    pub terminal_lists_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            requests_per_second: 50,
            requests_burst: 200,
            exchanges_per_key: 500,
            exchanges_per_terminal: u32::try_from(EXCHANGES_MAX).unwrap_or(u32::MAX),
            terminal_lookups_per_minute: 60,
            lookups_of_terminal_per_minute: 6,
            terminal_lists_per_minute: 6,
        }
    }
}

impl Limits {
    /// The same with its rates `times` as high: what a developer tries out on one machine is no shop.
    #[must_use]
    pub fn with_rates_raised(self, times: u32) -> Limits {
        Limits {
            requests_per_second: self.requests_per_second.saturating_mul(times),
            requests_burst: self.requests_burst.saturating_mul(times),
            terminal_lookups_per_minute: self.terminal_lookups_per_minute.saturating_mul(times),
            lookups_of_terminal_per_minute: self.lookups_of_terminal_per_minute.saturating_mul(times),
            terminal_lists_per_minute: self.terminal_lists_per_minute.saturating_mul(times),
            ..self
        }
    }

    /// The first limit that is out of its range, in words.
    pub(crate) fn problem(&self) -> Option<String> {
        [
            check("requests_per_second", &REQUESTS_PER_SECOND, self.requests_per_second),
            check("requests_burst", &REQUESTS_BURST, self.requests_burst),
            check("exchanges_per_key", &EXCHANGES_PER_KEY, self.exchanges_per_key),
            check("exchanges_per_terminal", &EXCHANGES_PER_TERMINAL, self.exchanges_per_terminal),
            check("terminal_lookups_per_minute", &PER_MINUTE, self.terminal_lookups_per_minute),
            check("lookups_of_terminal_per_minute", &PER_MINUTE, self.lookups_of_terminal_per_minute),
            check("terminal_lists_per_minute", &PER_MINUTE, self.terminal_lists_per_minute),
        ]
        .into_iter()
        .find_map(Result::err)
    }
}

fn check(name: &str, range: &RangeInclusive<u32>, came: u32) -> Result<u32, String> {
    if range.contains(&came) {
        Ok(came)
    } else {
        Err(format!("limits.{name}: expected {} to {}, got {came}", range.start(), range.end()))
    }
}

/// Read one by one, so that an error names the line.
fn requests_per_second<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    read("requests_per_second", &REQUESTS_PER_SECOND, deserializer)
}

fn requests_burst<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    read("requests_burst", &REQUESTS_BURST, deserializer)
}

fn exchanges_per_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    read("exchanges_per_key", &EXCHANGES_PER_KEY, deserializer)
}

fn exchanges_per_terminal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    read("exchanges_per_terminal", &EXCHANGES_PER_TERMINAL, deserializer)
}

fn terminal_lookups_per_minute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    read("terminal_lookups_per_minute", &PER_MINUTE, deserializer)
}

fn lookups_of_terminal_per_minute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    read("lookups_of_terminal_per_minute", &PER_MINUTE, deserializer)
}

fn terminal_lists_per_minute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    read("terminal_lists_per_minute", &PER_MINUTE, deserializer)
}

fn read<'de, D: Deserializer<'de>>(
    name: &str,
    range: &RangeInclusive<u32>,
    deserializer: D,
) -> Result<u32, D::Error> {
    check(name, range, u32::deserialize(deserializer)?).map_err(de::Error::custom)
}
