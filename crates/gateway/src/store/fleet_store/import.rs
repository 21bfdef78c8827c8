//! Fleets as files bring and take them.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use nexo::PoiId;

use super::{CountryCode, Listed};
use crate::store::{Entity, MerchantCode, Place};

/// Rows that should be in one transaction of an import: some 50 ms of writing, which a gateway's payments can wait for.
pub(crate) const IMPORT_ROWS_MAX: usize = 2_000;

/// An import that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImportId(pub(crate) i64);

/// A terminal as a file brings it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImportRow {
    /// The line it stands on, from 1.
    pub(crate) line: u64,
    /// Its name.
    pub(crate) poi: PoiId,
    /// Where it is to be.
    pub(crate) place: Place,
    /// Its platform, as far as it is known before the device says it.
    pub(crate) platform: Option<String>,
    /// Where it is used.
    pub(crate) country: Option<CountryCode>,
    /// Eight digits; made up if there are none.
    pub(crate) permanent_terminal_id: Option<String>,
    /// What its screen and the lists call it.
    pub(crate) display_label: Option<String>,
}

/// A terminal as a file takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExportedTerminal {
    /// Its name and its place.
    pub(crate) listed: Listed,
    /// Its platform.
    pub(crate) platform: Option<String>,
    /// Where it is used.
    pub(crate) country: Option<CountryCode>,
    /// Eight digits.
    pub(crate) permanent_terminal_id: Option<String>,
    /// What is set for it alone.
    pub(crate) display_label: Option<String>,
}

/// A line that can't be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub(crate) struct ImportProblem {
    /// The line, from 1.
    pub(crate) line: u64,
    /// Why.
    pub(crate) problem: ImportWrong,
}

/// Why a line can't be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ImportWrong {
    /// There is no such account.
    #[error("there is no {0}")]
    Missing(Entity),
    /// A merchant account with stores has no in-store terminals of its own.
    #[error("merchant account {0} has stores: name one of them, or its inventory")]
    MerchantHasStores(MerchantCode),
    /// The POIID is in use.
    #[error("terminal {0} already exists")]
    AlreadyExists(PoiId),
    /// The POIID was in use.
    #[error("terminal {0} was retired, and a POIID is not used again")]
    Retired(PoiId),
    /// The file has it twice.
    #[error("terminal {poi} is on line {first} already")]
    Twice {
        /// Which one.
        poi: PoiId,
        /// Where it came first.
        first: u64,
    },
}

/// The POIIDs of a file so far, to find those that come twice: some 30 bytes for each, whatever their length.
///
/// It goes by hashes, of 64 bits and of 32 more, under keys that nobody knows: no file can be made for which it is wrong. That
/// two different POIIDs of a million agree in all of them is as likely as one in 10^17. Two that agree in the first only are
/// told apart, and a later repetition of the second of them is left for the database to find.
#[derive(Debug, Default)]
pub(crate) struct PoiIdsSeen {
    /// By the first hash: the other one, and the line.
    lines: HashMap<u64, (u32, u32)>,
    hashers: [RandomState; 2],
}

impl PoiIdsSeen {
    /// Notes that a POIID stands on a line; the problem if it stood on another one before.
    pub(crate) fn note(&mut self, line: u64, poi: &PoiId) -> Option<ImportProblem> {
        let [one, other] = self.hashers.each_ref().map(|hasher| hasher.hash_one(poi.as_str()));
        // Half of it is enough beside the other one.
        let [.., a, b, c, d] = other.to_le_bytes();
        let (other, kept) = (u32::from_le_bytes([a, b, c, d]), u32::try_from(line).unwrap_or(u32::MAX));
        let (known, first) = *self.lines.entry(one).or_insert((other, kept));
        let is_twice = known == other && first != kept;
        let problem = ImportWrong::Twice { poi: poi.clone(), first: first.into() };
        is_twice.then_some(ImportProblem { line, problem })
    }
}
