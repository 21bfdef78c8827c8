//! What the terminal's HTTP calls say and answer, as plain data.

use std::fmt;
use std::time::Duration;

use relay::terminal::Outcome;
use relay::{ChangeId, DeliveryId, JournalId, Placement, ProcessId, Settings, Telemetry};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::secret::Secret;

/// What the results of one maintenance call may hold in all, in bytes; one result always fits.
const RESULTS_MAX: usize = 256 * 1024;

/// What became of a call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The gateway answered with another status.
    Refused(Refusal),
    /// No answer, or none that can be read.
    Failed(String),
}

/// An HTTP answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Member `code` of the problem document.
    pub code: Option<String>,
    /// Member `detail` of the problem document, or its `title`.
    pub detail: Option<String>,
    /// Header `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl CallError {
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            CallError::Refused(refusal) => refusal.retry_after,
            CallError::Failed(_) => None,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Refused(refusal) => {
                write!(f, "the gateway answered {}", refusal.status)?;
                refusal.code.iter().chain(&refusal.detail).try_for_each(|text| write!(f, ", {text}"))
            }
            CallError::Failed(problem) => f.write_str(problem),
        }
    }
}

/// What boarding answers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Boarded {
    /// What the terminal proves itself with from now on.
    pub token: Secret,
    /// Where it stands.
    pub merchant_account: String,
    /// Its store; none where the merchant account itself represents one.
    #[serde(default)]
    pub store: Option<String>,
}

/// What a maintenance call tells.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The journal that the terminal was boarded with.
    pub journal_id: JournalId,
    /// This run of the terminal's program.
    pub process_id: ProcessId,
    /// What the device shows as its software.
    pub firmware_version: String,
    /// How the device is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Telemetry>,
    /// All deliveries that are stored and not yet recorded.
    pub resume: Vec<DeliveryId>,
    /// The first of their results, as many as one call may carry.
    pub results: Vec<ReportedResult>,
    /// The settings that are in force here; none before there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied_revision: Option<u64>,
    /// The change for which the configuration was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_removed: Option<ChangeId>,
}

/// A result that is handed in by maintenance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedResult {
    /// Of which delivery.
    pub delivery: DeliveryId,
    /// How it has ended.
    pub outcome: Outcome,
}

impl ReportedResult {
    /// The first of these results that one call may carry.
    pub(crate) fn first_of<'a>(
        results: impl Iterator<Item = (&'a DeliveryId, &'a Outcome)>,
    ) -> Vec<ReportedResult> {
        let mut reported = Vec::new();
        let mut length = 0;
        for (delivery, outcome) in results {
            if let Outcome::Message(message) = outcome {
                length += message.len();
                if length > RESULTS_MAX && !reported.is_empty() {
                    break;
                }
            }
            reported.push(ReportedResult { delivery: delivery.clone(), outcome: outcome.clone() });
        }
        reported
    }
}

impl Serialize for ReportedResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire<'a> {
            delivery_id: &'a DeliveryId,
            #[serde(skip_serializing_if = "Option::is_none")]
            message: Option<&'a RawValue>,
            #[serde(skip_serializing_if = "Option::is_none")]
            indeterminate: Option<&'a str>,
        }
        let (message, indeterminate) = match &self.outcome {
            Outcome::Message(message) => match serde_json::from_slice(message) {
                Ok(message) => (Some(message), None),
                Err(_) => (None, Some("the stored response can't be read")),
            },
            Outcome::Empty => (None, None),
            Outcome::Indeterminate(reason) => (None, Some(reason.as_str())),
        };
        Wire { delivery_id: &self.delivery, message, indeterminate }.serialize(serializer)
    }
}

/// What a maintenance call answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceAnswer {
    /// The results that are on the gateway's disk now.
    #[serde(default)]
    pub recorded: Vec<RecordedResult>,
    /// The settings in force; none for a token that has ended.
    #[serde(default)]
    pub settings: Option<Settings>,
    /// Where the terminal stands.
    #[serde(default)]
    pub terminal: Option<Placement>,
    /// The terminal is being moved elsewhere.
    #[serde(default)]
    pub remove_config: Option<RemoveConfig>,
    /// When the gateway wants to be called next.
    #[serde(default)]
    pub next_call_seconds: Option<u32>,
}

/// The terminal is to remove its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoveConfig {
    /// For which change.
    pub change_id: ChangeId,
}

/// A result that is on the gateway's disk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedResult {
    /// Of which delivery.
    pub delivery_id: DeliveryId,
    /// Why the gateway could not use it.
    #[serde(default)]
    pub problem: Option<String>,
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn result(delivery: &str, outcome: Outcome) -> ReportedResult {
        ReportedResult { delivery: DeliveryId::parse(delivery).unwrap(), outcome }
    }

    #[test]
    fn results_are_reported_as_the_gateway_reads_them() {
        for (outcome, rest) in [
            (
                Outcome::Message(Bytes::from(r#"{"SaleToPOIResponse": {}}"#)),
                r#","message":{"SaleToPOIResponse": {}}"#,
            ),
            (Outcome::Message(Bytes::from("{")), r#","indeterminate":"the stored response can't be read""#),
            (
                Outcome::Message(Bytes::from(&b"\"\xff\""[..])),
                r#","indeterminate":"the stored response can't be read""#,
            ),
            (Outcome::Empty, ""),
            (Outcome::Indeterminate("restarted".into()), r#","indeterminate":"restarted""#),
        ] {
            let json = serde_json::to_string(&result("d_1", outcome)).unwrap();
            assert_eq!(json, format!(r#"{{"deliveryId":"d_1"{rest}}}"#));
        }
    }

    #[test]
    fn one_call_carries_no_more_than_it_may_and_at_least_one_result() {
        let long = |length: usize| Outcome::Message(Bytes::from("1".repeat(length)));
        let first = |results: &[ReportedResult]| {
            ReportedResult::first_of(results.iter().map(|result| (&result.delivery, &result.outcome))).len()
        };
        let half = RESULTS_MAX / 2;
        assert_eq!(first(&[result("d_1", long(RESULTS_MAX + 1)), result("d_2", Outcome::Empty)]), 2);
        assert_eq!(first(&[result("d_1", long(RESULTS_MAX + 1)), result("d_2", long(1))]), 1);
        assert_eq!(first(&[result("d_1", long(half)), result("d_2", long(half)), result("d_3", long(1))]), 2);
    }
}
