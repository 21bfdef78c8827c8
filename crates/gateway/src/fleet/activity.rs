//! When terminals were last heard of, written down now and then: for lists and details of those that are away.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::presence::Presence;
use crate::store::Store;

/// At most one row per terminal and minute.
const PACE: Duration = Duration::from_secs(60);

/// Terminals in one write: a transaction that payments do not have to wait for long.
const BATCH: usize = 500;

/// Notes the activity of connected terminals, until this node stops, and then once more.
pub(crate) async fn note_activity(
    store: Arc<dyn Store>,
    presence: Arc<Presence>,
    stopped: CancellationToken,
) {
    loop {
        let is_last = stopped.run_until_cancelled(tokio::time::sleep(PACE)).await.is_none();
        for batch in presence.activity().chunks(BATCH) {
            if let Err(error) = store.note_activity(batch.to_vec()).await {
                tracing::warn!(%error, "when terminals were last active can't be noted; tried again in a minute");
                presence.activity_again(batch);
            }
        }
        if is_last {
            return;
        }
    }
}
