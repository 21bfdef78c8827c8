//! What a desktop asks for, as a nexo Payment.

use std::ops::Range;

use bytes::Bytes;
use nexo::{
    Amount, AmountsReq, MessageCategory, MessageClass, MessageHeader, MessageType, PaymentRequest,
    PaymentTransaction, PoiId, SaleData, SaleId, ServiceId, TransactionIdentification,
};
use rust_decimal::Decimal;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::client_error::ClientError;
use super::json::{Members, text_of, written};
use super::transaction::TransactionId;
use crate::time::WallMs;

/// The `SaleID` of every request that an Actions desktop asks for.
pub const SALE_ID: &str = "Actions";

/// The `paymentMethod` of a request that has none, as in all examples of the page.
const CARD: &str = "CARD";

/// The most digits after the point: no currency of ISO 4217 has more.
const DECIMALS_MAX: u32 = 4;

/// A `paymentRequest` that can be carried out.
///
/// ```json
/// {"transactionId":"T-5001","amount":"12.50","currency":"EUR","paymentMethod":"CARD","products":[],"customerInfo":{},"metadata":{}}
/// ```
/// Source: sibling page "Payment request"; the page's own examples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentAsk {
    raw: Bytes,
    transaction: TransactionId,
    amount: Amount,
    currency: Box<str>,
    payment_method: Box<str>,
    metadata: Option<Bytes>,
}

impl PaymentAsk {
    /// Reads the object `paymentRequest`. One without `transactionId` gets the one that `fresh` makes, and is from then on
    /// one that has it.
    ///
    /// `transactionId`, `amount`, `currency`, `paymentMethod` and `metadata` may stand in it once each; the rest is for the
    /// terminal.
    ///
    /// # Errors
    /// The first that is missing or can't be used: `transactionId`, `amount` (text or number; more than 0, at most four
    /// decimals), `currency` (three capital letters), `paymentMethod`.
    pub fn read(raw: &Bytes, fresh: impl FnOnce() -> TransactionId) -> Result<PaymentAsk, ClientError> {
        let members = Members::of(raw, "paymentRequest.")
            .ok_or_else(|| ClientError::bad_request("paymentRequest must be an object"))?;
        let named = match members.text("transactionId")? {
            Some(text) => Some(
                TransactionId::parse(&text)
                    .ok_or_else(|| members.must_be("transactionId", TransactionId::EXPECTED))?,
            ),
            None => None,
        };
        let amount = amount(&members)?;
        let currency = members.required_text("currency")?;
        if !is_currency(&currency) {
            return Err(members.must_be("currency", "three capital letters"));
        }
        let payment_method = members.text("paymentMethod")?;
        let metadata = members.value("metadata")?.map(|raw| raw.get().as_bytes());
        let (transaction, raw) = match named {
            Some(named) => (named, raw.clone()),
            None => {
                let fresh = fresh();
                let null = members.as_it_stands("transactionId")?.map(|null| range_in(raw, null));
                let raw = with_id(raw, &fresh, null);
                (fresh, raw)
            }
        };
        Ok(PaymentAsk {
            raw,
            transaction,
            amount,
            currency: currency.into(),
            payment_method: payment_method.as_deref().unwrap_or(CARD).into(),
            metadata: metadata.map(Bytes::copy_from_slice),
        })
    }

    /// The object as an Actions terminal gets it: byte for byte as it came, unless it was given its `transactionId` here.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Its name.
    pub fn transaction(&self) -> &TransactionId {
        &self.transaction
    }

    /// How much, in major units.
    pub fn amount(&self) -> Amount {
        self.amount
    }

    /// ISO 4217.
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// By what.
    pub(super) fn payment_method(&self) -> &str {
        &self.payment_method
    }

    /// What is to be told again with its answer.
    pub(super) fn metadata(&self) -> Option<&[u8]> {
        self.metadata.as_deref()
    }

    /// The nexo Payment of this request, `{"SaleToPOIRequest":{…}}`. The same arguments make the same bytes, so that the
    /// ledger takes it for what it is: the same request once more (E4).
    pub fn message(&self, poi: &PoiId, service: &ServiceId, begun: WallMs) -> Bytes {
        let header = header(MessageCategory::PAYMENT, poi, service);
        let body = PaymentRequest {
            sale_data: self.sale_data(begun),
            payment_transaction: PaymentTransaction {
                amounts_req: AmountsReq {
                    currency: self.currency.to_string(),
                    requested_amount: self.amount,
                    cash_back_amount: None,
                    tip_amount: None,
                },
                original_poi_transaction: None,
            },
            payment_data: None,
        };
        nexo::request(&header, &body)
    }

    /// The transaction as the desktop knows it.
    pub(super) fn sale_data(&self, begun: WallMs) -> SaleData {
        SaleData::new(TransactionIdentification {
            transaction_id: self.transaction.to_string(),
            time_stamp: begun.to_rfc3339(),
        })
    }
}

/// The header of a request that an Actions desktop has asked for, or that follows from one.
pub(super) fn header(category: MessageCategory, poi: &PoiId, service: &ServiceId) -> MessageHeader {
    MessageHeader {
        protocol_version: Some("3.0".into()),
        class: MessageClass::Service,
        category,
        message_type: MessageType::Request,
        service_id: Some(service.clone()),
        device_id: None,
        sale_id: sale_id(),
        poi_id: poi.clone(),
    }
}

#[expect(clippy::expect_used, reason = "a text of this file")]
pub(super) fn sale_id() -> SaleId {
    SaleId::parse(SALE_ID).expect("a SaleID")
}

/// The ServiceID of a desktop's payment: a repeat of the same `transactionId` under the same credential is the same
/// request to the ledger, also after a restart, and can be looked up over `/sync`.
///
/// The first ten digits, to the base 36, of SHA-256 over both, so 51.7 bits: two of the same terminal's payments within
/// 48 h hardly ever meet, and if they do the second is refused (E6).
pub fn service_id_of(credential: &str, transaction: &TransactionId) -> ServiceId {
    let mut hash = Sha256::new();
    // The length keeps apart what would be the same text one after the other.
    hash.update((credential.len() as u64).to_be_bytes());
    hash.update(credential.as_bytes());
    hash.update(transaction.as_str().as_bytes());
    service_id_in(&hash.finalize())
}

/// The ServiceID of the gateway's own Reversal of this payment, the `count`th that it tries (E25).
pub(super) fn void_service_id_of(payment: &ServiceId, count: u32) -> ServiceId {
    let mut hash = Sha256::new();
    // No credential's name is as long as this says.
    hash.update(u64::MAX.to_be_bytes());
    hash.update(payment.as_str().as_bytes());
    hash.update(count.to_be_bytes());
    service_id_in(&hash.finalize())
}

/// The first ten digits of a hash, to the base 36.
fn service_id_in(hash: &[u8]) -> ServiceId {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    // The first 64 bits as a fraction of one: each digit is what stands before its point after it is multiplied by 36.
    let mut rest = hash.iter().take(8).fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
    let mut text = String::with_capacity(10);
    for _ in 0..10 {
        rest *= 36;
        let digit = usize::try_from(rest >> 64).unwrap_or_default();
        text.push(char::from(DIGITS[digit.min(35)]));
        rest &= u128::from(u64::MAX);
    }
    service_id(&text)
}

#[expect(clippy::expect_used, reason = "ten letters and digits")]
fn service_id(text: &str) -> ServiceId {
    ServiceId::parse(text).expect("a ServiceID")
}

/// `amount`, a text or a number, read from its text alone.
fn amount(members: &Members<'_>) -> Result<Amount, ClientError> {
    let raw = members.required("amount")?;
    let amount = amount_of(raw).ok_or_else(|| members.must_be("amount", "a decimal number"))?;
    if amount.value() <= Decimal::ZERO {
        return Err(members.must_be("amount", "more than 0"));
    }
    if amount.value().normalize().scale() > DECIMALS_MAX {
        return Err(members.must_be("amount", "a number with at most 4 decimals"));
    }
    Ok(amount)
}

/// An amount as a text or a number.
pub(super) fn amount_of(raw: &RawValue) -> Option<Amount> {
    match text_of(raw) {
        Some(text) => Amount::parse(&text).ok(),
        None => Amount::parse(raw.get()).ok(),
    }
}

pub(super) fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Where a value stands in the text that it was read from.
fn range_in(text: &Bytes, raw: &RawValue) -> Range<usize> {
    let start = (raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    start..start + raw.get().len()
}

/// The object with its `transactionId`: in the place of the `null`, or as its first member.
fn with_id(raw: &Bytes, id: &TransactionId, null: Option<Range<usize>>) -> Bytes {
    let id = written(id.as_str());
    let mut text = Vec::with_capacity(raw.len() + id.len() + 20);
    match null {
        Some(null) => {
            text.extend_from_slice(raw.get(..null.start).unwrap_or_default());
            text.extend_from_slice(&id);
            text.extend_from_slice(raw.get(null.end..).unwrap_or_default());
        }
        None => {
            // An ask has an amount, so a member follows.
            let open = raw.iter().position(|byte| *byte == b'{').unwrap_or_default();
            text.extend_from_slice(b"{\"transactionId\":");
            text.extend_from_slice(&id);
            text.push(b',');
            text.extend_from_slice(raw.get(open + 1..).unwrap_or_default());
        }
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexo::Request;
    use proptest::prelude::*;

    const NOW: WallMs = WallMs(1_795_166_102_118);

    fn fresh() -> TransactionId {
        TransactionId::parse("fresh").expect("a name")
    }

    fn read(text: &str) -> Result<PaymentAsk, ClientError> {
        PaymentAsk::read(&Bytes::copy_from_slice(text.as_bytes()), fresh)
    }

    fn ask() -> PaymentAsk {
        read(r#"{"transactionId":"T-5001","amount":"12.50","currency":"EUR","metadata":{"orderId": "5001"}}"#)
            .expect("an ask")
    }

    fn told(text: &str) -> String {
        read(text).expect_err("refused").message.into_owned()
    }

    fn message_of(ask: &PaymentAsk) -> Bytes {
        let poi = PoiId::parse("V400m-1").expect("a POIID");
        ask.message(&poi, &service_id_of("ws_1", ask.transaction()), NOW)
    }

    #[test]
    fn a_payment_is_a_nexo_payment_of_the_same_digits() {
        for (amount, digits) in [
            (r#""12.50""#, "12.50"),
            ("12.50", "12.50"),
            ("12.5", "12.5"),
            ("1e2", "100"),
            ("100", "100"),
            (r#""0.1000""#, "0.1000"),
            ("1234567890123456.7", "1234567890123456.7"),
        ] {
            let ask = read(&format!(r#"{{"transactionId":"T","amount":{amount},"currency":"EUR"}}"#))
                .expect("an ask");
            let message = String::from_utf8(message_of(&ask).to_vec()).expect("text");
            assert!(message.contains(&format!(r#""RequestedAmount":{digits}}}"#)), "{message}");
        }
        assert_eq!(
            message_of(&ask()),
            r#"{"SaleToPOIRequest":{"MessageHeader":{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"Payment","MessageType":"Request","ServiceID":"p492n8nx0k","SaleID":"Actions","POIID":"V400m-1"},"PaymentRequest":{"SaleData":{"SaleTransactionID":{"TransactionID":"T-5001","TimeStamp":"2026-11-20T09:15:02.118Z"}},"PaymentTransaction":{"AmountsReq":{"Currency":"EUR","RequestedAmount":12.50}}}}}"#
        );
    }

    #[test]
    fn what_is_missing_or_bad_is_named() {
        for (text, message) in [
            ("[]", "paymentRequest must be an object"),
            ("{}", "paymentRequest.amount is required"),
            (r#"{"amount":null}"#, "paymentRequest.amount is required"),
            (r#"{"amount":"1.00"}"#, "paymentRequest.currency is required"),
            (r#"{"amount":"1.00","currency":""}"#, "paymentRequest.currency is required"),
            (
                r#"{"amount":"1.00","currency":"eur"}"#,
                "paymentRequest.currency must be three capital letters",
            ),
            (
                r#"{"amount":"1.00","currency":"EURO"}"#,
                "paymentRequest.currency must be three capital letters",
            ),
            (r#"{"amount":"1.00","currency":978}"#, "paymentRequest.currency must be a string"),
            (r#"{"amount":"0","currency":"EUR"}"#, "paymentRequest.amount must be more than 0"),
            (r#"{"amount":-0.01,"currency":"EUR"}"#, "paymentRequest.amount must be more than 0"),
            (
                r#"{"amount":0.30000000000000004,"currency":"EUR"}"#,
                "paymentRequest.amount must be a number with at most 4 decimals",
            ),
            (
                r#"{"transactionId":5001,"amount":1,"currency":"EUR"}"#,
                "paymentRequest.transactionId must be a string",
            ),
            (
                r#"{"transactionId":"","amount":1,"currency":"EUR"}"#,
                "paymentRequest.transactionId must be 1 to 128 characters without control characters or card data",
            ),
            (
                r#"{"amount":1,"currency":"EUR","paymentMethod":1}"#,
                "paymentRequest.paymentMethod must be a string",
            ),
            (
                r#"{"amount":1,"amo\u0075nt":100,"currency":"EUR"}"#,
                "paymentRequest.amount must not be given twice",
            ),
            (
                r#"{"transactionId":null,"transactionId":"T","amount":1,"currency":"EUR"}"#,
                "paymentRequest.transactionId must not be given twice",
            ),
        ] {
            assert_eq!(told(text), message, "{text}");
        }
        for amount in [
            r#""""#,
            r#""12,50""#,
            r#"" 1""#,
            r#""+1""#,
            r#""01""#,
            r#""1e999""#,
            "true",
            "{}",
            "[1]",
            r#""NaN""#,
        ] {
            assert_eq!(
                told(&format!(r#"{{"amount":{amount},"currency":"EUR"}}"#)),
                "paymentRequest.amount must be a decimal number",
                "{amount}"
            );
        }
    }

    #[test]
    fn an_ask_is_passed_on_byte_for_byte_unless_it_has_no_name() {
        let text = r#" { "transactionId":"T\u002d1", "amount" : 12.50,"currency":"EUR","products":[{"a":1,"a":2}]} "#;
        let ask = read(text).expect("an ask");
        assert_eq!(ask.raw(), text);
        assert_eq!(ask.transaction().as_str(), "T-1");

        let ask = read(r#" { "amount":1,"currency":"EUR"}"#).expect("an ask");
        assert_eq!(ask.raw(), r#"{"transactionId":"fresh", "amount":1,"currency":"EUR"}"#);
        let ask = read(r#"{"amount":1,"transactionId" : null ,"currency":"EUR"}"#).expect("an ask");
        assert_eq!(ask.raw(), r#"{"amount":1,"transactionId" : "fresh" ,"currency":"EUR"}"#);
        assert_eq!(ask.transaction(), &fresh());
        assert_eq!(PaymentAsk::read(ask.raw(), || panic!("it has a name")), Ok(ask));
    }

    #[test]
    fn a_service_id_belongs_to_one_credential_and_one_transaction() {
        let of = |credential, name| service_id_of(credential, &TransactionId::parse(name).expect("a name"));
        assert_eq!(of("ws_1", "T-5001"), of("ws_1", "T-5001"));
        assert_ne!(of("ws_1", "T-5001"), of("ws_2", "T-5001"));
        assert_ne!(of("ws_1", "T-5001"), of("ws_1", "T-5002"));
        assert_ne!(of("ws_1", "1T"), of("ws_11", "T"));
        let many: std::collections::HashSet<_> =
            (0..20_000).map(|n| of("ws_1", Box::leak(format!("T-{n}").into_boxed_str()))).collect();
        assert_eq!(many.len(), 20_000);
        assert!(many.iter().all(|id| id.as_str().len() == 10));
    }

    proptest! {
        #[test]
        fn cents_travel_exactly(cents in 1u64..100_000_000_000, as_number in any::<bool>()) {
            let digits = format!("{}.{:02}", cents / 100, cents % 100);
            let amount = if as_number { digits.clone() } else { format!("\"{digits}\"") };
            let ask = read(&format!(r#"{{"amount":{amount},"currency":"EUR"}}"#)).expect("an ask");
            let request = Request::parse(message_of(&ask)).expect("a request");
            let payment: PaymentRequest = request.payload().expect("a payment");
            let asked = payment.payment_transaction.amounts_req.requested_amount;
            prop_assert_eq!(asked.to_string(), digits);
        }

        #[test]
        fn no_ask_panics(
            members in prop::collection::vec(
                ("amount|currency|transactionId|paymentMethod|metadata|x", "null|7|-1|1e9|\"\"|\"EUR\"|\"1[.]5\"|\\[\\]|\\{\\}|\"\\\\ud800\""),
                0..6,
            ),
            space in "[ \n]{0,2}",
        ) {
            let members: Vec<_> = members.iter().map(|(name, value)| format!("{space}\"{name}\"{space}:{value}")).collect();
            let text = format!("{space}{{{}{space}}}", members.join(","));
            if let Ok(ask) = read(&text) {
                // What a terminal gets is an ask that has a name, and the same one.
                prop_assert_eq!(PaymentAsk::read(ask.raw(), || panic!("it has a name")), Ok(ask));
            }
        }
    }
}
