//! What a virtual terminal's journal holds, as plain data.

use nexo::PoiId;
use relay::terminal::JournalEntry;
use relay::{ChangeId, DeliveryId, JournalId, Settings};
use serde::{Deserialize, Serialize, Serializer};

use crate::actions::Asked;
use crate::secret::Secret;

/// One thing that a journal holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Record {
    /// The first one: whose journal this is.
    Journal {
        /// Of the form of the journal: 1.
        version: u32,
        /// Names the journal to the gateway.
        journal_id: JournalId,
        /// The terminal.
        poi_id: PoiId,
    },
    /// The terminal was boarded, or given a new token; the latest one counts.
    Boarded {
        /// What it proves itself with from then on.
        #[serde(serialize_with = "reveal")]
        token: Secret,
    },
    /// Where the terminal stands; the latest one counts.
    Placed {
        /// Its merchant account.
        merchant_account: String,
        /// Its store; none where the merchant account itself represents one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        store: Option<String>,
    },
    /// The settings in force; the latest ones count.
    Settings(Settings),
    /// The terminal is to remove its configuration once nothing runs.
    RemoveConfig {
        /// For which change.
        change_id: ChangeId,
    },
    /// Its place and its settings are removed, and the gateway has not answered that yet.
    ConfigRemoved {
        /// For which change.
        change_id: ChangeId,
    },
    /// The gateway has answered it.
    RemovalOver,
    /// The terminal speaks the Actions dialect: it is not boarded, and its key is not written down.
    Actions,
    /// What the Actions dialect calls a delivery; before the delivery's own first entry.
    Asked {
        /// Which delivery.
        delivery: DeliveryId,
        /// What it is called.
        name: Asked,
    },
    /// What the terminal must not forget of its links and deliveries.
    Entry(JournalEntry),
}

/// A journal is the one place that a token is written to.
fn reveal<S: Serializer>(token: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.reveal())
}
