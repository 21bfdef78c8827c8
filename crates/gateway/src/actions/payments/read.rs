//! A Sale system reads over the Terminal API how a desktop's payment ended.

use nexo::{PoiId, ServiceId};

use super::Payments;
use crate::store::actions::{Transaction, Void};
use crate::store::{CompanyCode, StoreError};

impl Payments {
    /// Notes, before a Sale system is told how the payment under this ServiceID ended, that it is; if it is one of a desktop
    /// (E25). The payment as it stands then, if there is one: nobody may be told of a success that is being voided, or was.
    ///
    /// # Errors
    /// It is not noted.
    pub(crate) async fn note_read(
        &self,
        company: &CompanyCode,
        poi: &PoiId,
        service: &ServiceId,
    ) -> Result<Option<Transaction>, StoreError> {
        let Some(mut found) = self.store.transaction_of_service(company, poi, service).await? else {
            return Ok(None);
        };
        // What was read is never voided after that.
        if found.read.is_none() || matches!(found.void, Void::Pending | Void::Done) {
            found.void = self.store.note_payment_read(found.seq, self.presence.clock().now().wall).await?;
        }
        Ok(Some(found))
    }
}
