//! The messages of the benchmark: a payment of 1,024 bytes, and its answer of 1,536.
//!
//! Their IDs have fixed lengths and fixed places, so that the load generator writes them over a template.

use std::ops::Range;

use anyhow::{Context as _, Result};
use memchr::memmem;

/// Length of a request's body in bytes.
pub(crate) const REQUEST: usize = 1024;
/// Length of an answer in bytes.
pub(crate) const ANSWER: usize = 1536;

const SERVICE_ID: &str = "SSSSSSSSSS";
const POI_ID: &str = "V400m-0000000000";
const FILL: &str = "@FILL@";

const PAYMENT: &str = r#"{"SaleToPOIRequest":{"MessageHeader":{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"Payment","MessageType":"Request","ServiceID":"SSSSSSSSSS","SaleID":"BENCH","POIID":"V400m-0000000000"},"PaymentRequest":{"SaleData":{"SaleToAcquirerData":"tenderOption=ReceiptHandler","SaleReferenceID":"bench","OperatorID":"7","SaleTransactionID":{"TransactionID":"27908","TimeStamp":"2026-11-20T09:15:02.118Z"},"SaleToPOIData":"@FILL@"},"PaymentTransaction":{"AmountsReq":{"Currency":"EUR","RequestedAmount":10.99}}}}}"#;

const APPROVED: &str = r#"{"SaleToPOIResponse":{"MessageHeader":{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"Payment","MessageType":"Response","ServiceID":"SSSSSSSSSS","SaleID":"BENCH","POIID":"V400m-0000000000"},"PaymentResponse":{"Response":{"Result":"Success","AdditionalResponse":"@FILL@"},"SaleData":{"SaleTransactionID":{"TransactionID":"27908","TimeStamp":"2026-11-20T09:15:02.118Z"}},"POIData":{"POITransactionID":{"TransactionID":"BENCH001.1","TimeStamp":"2026-11-20T09:15:04.000Z"}},"PaymentResult":{"OnlineFlag":true,"AmountsResp":{"AuthorizedAmount":10.99,"Currency":"EUR"},"PaymentInstrumentData":{"PaymentInstrumentType":"Card","CardData":{"EntryMode":["Contactless"],"PaymentBrand":"mc"}}},"PaymentReceipt":[{"DocumentQualifier":"CashierReceipt","RequiredSignatureFlag":false,"OutputContent":{"OutputFormat":"Text","OutputText":[{"Text":"key=header1&name=BENCH","EndOfLineFlag":true}]}}]}}}"#;

/// Letters and blanks: a text that nothing has to be hidden in.
const WORDS: &str = "the quick brown fox jumps over the lazy dog ";

/// A message whose ServiceID and POIID are written in place.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    text: Vec<u8>,
    service_id: Range<usize>,
    poi_id: Range<usize>,
}

impl Template {
    /// The payment.
    pub(crate) fn request() -> Result<Template> {
        Template::new(PAYMENT, REQUEST)
    }

    /// Its answer.
    pub(crate) fn answer() -> Result<Template> {
        Template::new(APPROVED, ANSWER)
    }

    fn new(text: &str, length: usize) -> Result<Template> {
        let room = length.checked_sub(text.len() - FILL.len()).context("the template is too long")?;
        let fill: String = WORDS.chars().cycle().take(room).collect();
        let text = text.replacen(FILL, &fill, 1).into_bytes();
        let place = |of: &str| {
            let at = memmem::find(&text, of.as_bytes()).context("the template lacks an ID")?;
            anyhow::Ok(at..at + of.len())
        };
        Ok(Template { service_id: place(SERVICE_ID)?, poi_id: place(POI_ID)?, text })
    }

    /// Writes the IDs, and gives the whole. Both must be as long as those of the template.
    pub(crate) fn with(&mut self, service_id: &[u8], poi_id: &[u8]) -> &[u8] {
        self.text[self.service_id.clone()].copy_from_slice(service_id);
        self.text[self.poi_id.clone()].copy_from_slice(poi_id);
        &self.text
    }
}

/// The POIID of a terminal of the benchmark.
pub(crate) fn poi_id(number: usize) -> String {
    format!("V400m-{number:010}")
}

/// ServiceIDs that never repeat: ten digits of base 36.
#[derive(Debug, Default)]
pub(crate) struct ServiceIds(u64);

impl ServiceIds {
    /// The next one.
    pub(crate) fn next(&mut self) -> [u8; 10] {
        self.0 += 1;
        let mut rest = self.0;
        let mut id = [b'0'; 10];
        for digit in id.iter_mut().rev() {
            let value = u8::try_from(rest % 36).unwrap_or(0);
            *digit = if value < 10 { b'0' + value } else { b'A' + value - 10 };
            rest /= 36;
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_have_the_lengths_that_the_budgets_are_for() {
        let mut request = Template::request().unwrap();
        let mut answer = Template::answer().unwrap();
        let poi = poi_id(7);
        let request = request.with(b"000000000A", poi.as_bytes());
        assert_eq!(request.len(), REQUEST);
        let value: serde_json::Value = serde_json::from_slice(request).unwrap();
        let header = &value["SaleToPOIRequest"]["MessageHeader"];
        assert_eq!((&header["ServiceID"], &header["POIID"]), (&"000000000A".into(), &poi.as_str().into()));
        let answer = answer.with(b"000000000A", poi.as_bytes());
        assert_eq!(answer.len(), ANSWER);
        let value: serde_json::Value = serde_json::from_slice(answer).unwrap();
        assert_eq!(value["SaleToPOIResponse"]["PaymentResponse"]["Response"]["Result"], "Success");
    }

    #[test]
    fn service_ids_do_not_repeat() {
        let mut ids = ServiceIds::default();
        assert_eq!((ids.next(), ids.next()), (*b"0000000001", *b"0000000002"));
        let mut ids = ServiceIds(35);
        assert_eq!(ids.next(), *b"0000000010");
    }
}
