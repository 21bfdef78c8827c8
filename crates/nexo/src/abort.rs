//! Aborts: calling off a request that still runs.

use serde::{Deserialize, Serialize};

use crate::MessageReference;

/// Asks to call off a request that still runs. Nobody answers it; the request called off ends with `Aborted`.
///
/// ```json
/// {"AbortReason":"MerchantAbort","MessageReference":{"MessageCategory":"Payment","ServiceID":"7f3A91"}}
/// ```
/// Source: nexo Sale to POI protocol 3.0, `AbortRequest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AbortRequest {
    /// Why, in any words; usually `MerchantAbort`.
    pub abort_reason: String,
    /// The request to call off.
    pub message_reference: MessageReference,
}
