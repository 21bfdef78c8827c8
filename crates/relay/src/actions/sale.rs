//! A nexo Payment or Reversal as an Actions terminal gets it, and the terminal's answer as a nexo response.

use std::fmt;

use bytes::Bytes;
use nexo::{
    AdditionalResponse, Amount, AmountsResp, ErrorCondition, FailureResponse, MessageCategory,
    PaymentAcquirerData, PaymentInstrumentData, PaymentInstrumentType, PaymentRequest, PaymentResponse,
    PaymentResult, PaymentType, PoiData, Request, ResponseOutcome, ResultCode, ReversalRequest,
    ReversalResponse, TransactionIdentification,
};

use super::frame::{TerminalAnswer, VoidAnswer};
use super::json::{Members, Object};
use super::outcome::{OWN_WORDS, PaymentFailure};
use super::payment::{amount_of, is_currency};
use super::transaction::{PaymentStatus, TransactionId};
use crate::id::DeliveryId;
use crate::time::WallMs;

/// The longest `paymentResponse` that is kept beside its nexo form, in bytes: percent-encoded it is three times as long.
const OWN_WORDS_MAX: usize = 16 * 1024;

/// A nexo Payment that an Actions terminal can carry out.
#[derive(Clone, Debug)]
pub struct SaleAsk {
    request: Request,
    payment: PaymentRequest,
    transaction: TransactionId,
}

/// A nexo Reversal that an Actions terminal can carry out: it voids a whole payment.
#[derive(Clone, Debug)]
pub struct VoidAsk {
    request: Request,
    reversal: ReversalRequest,
    payment: PaymentName,
}

/// What tells one payment at an Actions terminal from all others: the TransactionID of its POITransactionID, such as
/// `d_019a/T-5001`, or `d_019a:c_02/T-5001` where a desktop's connection was its `desktopId`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentName {
    /// The delivery that it was.
    pub delivery: DeliveryId,
    /// The `desktopId` that it was sent with.
    pub desktop_id: Box<str>,
    /// Its `transactionId`, which two payments may share.
    pub transaction: TransactionId,
}

impl PaymentName {
    /// Reads a TransactionID; none when it is none of ours.
    pub fn parse(text: &str) -> Option<PaymentName> {
        let (ids, name) = text.split_once('/')?;
        let (delivery, desktop) = ids.split_once(':').unwrap_or((ids, ids));
        let desktop_id = Some(desktop).filter(|desktop| !desktop.is_empty())?.into();
        let delivery = DeliveryId::parse(delivery).ok()?;
        Some(PaymentName { delivery, desktop_id, transaction: TransactionId::parse(name)? })
    }
}

impl fmt::Display for PaymentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self.desktop_id == *self.delivery.as_str() {
            return write!(f, "{}/{}", self.delivery, self.transaction);
        }
        write!(f, "{}:{}/{}", self.delivery, self.desktop_id, self.transaction)
    }
}

/// Why a request is not for an Actions terminal: it was not sent, and nothing runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its ErrorCondition.
    pub condition: ErrorCondition,
    /// What to do about it.
    pub message: &'static str,
}

/// A terminal's answer that is none to what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// `PENDING`: it is still at work.
    Pending,
    /// `UNKNOWN`: it can't find out any more.
    Unknown,
    /// A success in another currency.
    OtherCurrency,
}

impl Refusal {
    const ENCRYPTED: Refusal = Refusal {
        condition: ErrorCondition::UNAVAILABLE_SERVICE,
        message: "This terminal can't read encrypted messages.",
    };

    /// The refusal in the request's own category.
    pub fn response(&self, request: &Request, delivery: &DeliveryId, now: WallMs) -> Bytes {
        let sale_transaction_id = request.sale_transaction_id();
        let poi_transaction_id = sale_transaction_id.as_ref().map(|_| TransactionIdentification {
            transaction_id: delivery.to_string(),
            time_stamp: now.to_rfc3339(),
        });
        let failure = FailureResponse {
            header: request.header(),
            condition: self.condition.clone(),
            message: self.message,
            sale_transaction_id: sale_transaction_id.as_ref(),
            poi_transaction_id,
        };
        failure.to_json()
    }
}

impl SaleAsk {
    /// Reads a nexo Payment.
    ///
    /// # Errors
    /// When this dialect has no words for it, or it can't be read.
    pub fn read(request: Request) -> Result<SaleAsk, Refusal> {
        let unavailable = |message| Refusal { condition: ErrorCondition::UNAVAILABLE_SERVICE, message };
        let unreadable = |message| Refusal { condition: ErrorCondition::MESSAGE_FORMAT, message };
        if request.header().category != MessageCategory::PAYMENT {
            return Err(unavailable("This terminal takes payments only."));
        }
        if request.is_encrypted() {
            return Err(Refusal::ENCRYPTED);
        }
        let payment: PaymentRequest =
            request.payload().map_err(|_| unreadable("The PaymentRequest can't be read."))?;
        let kind = payment.payment_data.as_ref().and_then(|data| data.payment_type.as_ref());
        let card = payment.payment_data.as_ref().and_then(|data| data.card_acquisition_reference.as_ref());
        let amounts = &payment.payment_transaction.amounts_req;
        if kind.is_some_and(|kind| *kind != PaymentType::NORMAL) {
            return Err(unavailable("This terminal takes payments of PaymentType Normal only."));
        }
        if payment.payment_transaction.original_poi_transaction.is_some() || card.is_some() {
            return Err(unavailable("This terminal can't continue an earlier transaction."));
        }
        if amounts.cash_back_amount.is_some_and(|cash| !cash.value().is_zero()) {
            return Err(unavailable("This terminal can't give cash back."));
        }
        if amounts.requested_amount.value() <= rust_decimal::Decimal::ZERO || !is_currency(&amounts.currency)
        {
            return Err(unreadable(
                "RequestedAmount must be more than 0, and Currency three capital letters.",
            ));
        }
        let name = &payment.sale_data.sale_transaction_id.transaction_id;
        let transaction = TransactionId::parse(name).ok_or_else(|| {
            unreadable("For this terminal the TransactionID must be 1 to 128 characters without control characters or card data.")
        })?;
        Ok(SaleAsk { request, payment, transaction })
    }

    /// Its name at the terminal: the TransactionID of its SaleTransactionID.
    pub fn transaction(&self) -> &TransactionId {
        &self.transaction
    }

    /// The object `paymentRequest` for a payment that no Actions desktop has asked for.
    ///
    /// ```json
    /// {"transactionId":"27908","amount":"10.99","currency":"EUR","paymentMethod":"CARD"}
    /// ```
    pub fn payment_request(&self) -> Bytes {
        let amounts = &self.payment.payment_transaction.amounts_req;
        Object::new()
            .text("transactionId", self.transaction.as_str())
            .text("amount", &amounts.requested_amount.to_string())
            .text("currency", &amounts.currency)
            .text("paymentMethod", "CARD")
            .end()
    }

    /// What the terminal says became of it, as a nexo response. It was sent to it as `payment`; `merchant_account` stands in it where an acquirer's name for
    /// the shop does. The same answer makes the same bytes, so that one that is handed in again is known as such.
    ///
    /// # Errors
    /// When it is no end, or not the end of this payment.
    pub fn response(
        &self,
        answer: &TerminalAnswer,
        payment: &PaymentName,
        merchant_account: &str,
    ) -> Result<Bytes, Misfit> {
        let own = Members::of(&answer.raw, "");
        let text = |name: &str| own.as_ref().and_then(|own| own.lenient_text(name)).map(String::from);
        let amounts = &self.payment.payment_transaction.amounts_req;
        let result = match answer.status {
            PaymentStatus::Pending => return Err(Misfit::Pending),
            PaymentStatus::Unknown => return Err(Misfit::Unknown),
            PaymentStatus::Success => {
                if text("currency").is_some_and(|currency| currency != amounts.currency) {
                    return Err(Misfit::OtherCurrency);
                }
                let told =
                    own.as_ref().and_then(|own| own.value("amount").ok().flatten()).and_then(amount_of);
                let amount = told.unwrap_or(amounts.requested_amount);
                Some(self.result(amount, text("authorizationCode"), text("paymentMethod"), merchant_account))
            }
            PaymentStatus::Failed | PaymentStatus::Cancelled => None,
        };
        let condition = match (answer.status, text("errorCode").as_deref()) {
            (PaymentStatus::Cancelled, _) => ErrorCondition::CANCEL,
            (_, Some(code)) if code == PaymentFailure::PaymentInProgress.code() => ErrorCondition::BUSY,
            _ => ErrorCondition::REFUSAL,
        };
        let is_partial = result
            .as_ref()
            .and_then(|result| result.amounts_resp.as_ref())
            .is_some_and(|told| told.authorized_amount.value() < amounts.requested_amount.value());
        let response = match &result {
            Some(_) if is_partial => {
                ResponseOutcome { result: ResultCode::Partial, ..ResponseOutcome::success() }
            }
            Some(_) => ResponseOutcome::success(),
            None => ResponseOutcome::failure(condition),
        };
        let mut pairs = Vec::new();
        let mut pair = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                pairs.push((key.to_owned(), value));
            }
        };
        if result.is_none() {
            let why = text("errorMessage").or_else(|| text("errorCode"));
            pair("message", why.clone());
            pair("refusalReason", why);
        }
        pair("authCode", text("authorizationCode"));
        if answer.raw.len() <= OWN_WORDS_MAX {
            pair(OWN_WORDS, std::str::from_utf8(&answer.raw).ok().map(Into::into));
        }
        let time_stamp = text("timestamp")
            .unwrap_or_else(|| self.payment.sale_data.sale_transaction_id.time_stamp.clone());
        let body = PaymentResponse {
            response: response.with_additional(AdditionalResponse::Pairs(pairs).encode_form()),
            sale_data: Some(self.payment.sale_data.clone()),
            poi_data: Some(poi_data(payment.to_string(), time_stamp)),
            payment_result: result,
            payment_receipt: Vec::new(),
        };
        Ok(nexo::response(self.request.header(), &body))
    }

    fn result(
        &self,
        amount: Amount,
        approval_code: Option<String>,
        payment_method: Option<String>,
        merchant_account: &str,
    ) -> PaymentResult {
        let instrument = match payment_method.as_deref() {
            Some("CASH") => PaymentInstrumentType::CASH,
            Some("MOBILE") => PaymentInstrumentType::MOBILE,
            _ => PaymentInstrumentType::CARD,
        };
        PaymentResult {
            payment_type: Some(PaymentType::NORMAL),
            payment_instrument_data: Some(PaymentInstrumentData {
                payment_instrument_type: instrument,
                card_data: None,
            }),
            amounts_resp: Some(AmountsResp {
                currency: Some(self.payment.payment_transaction.amounts_req.currency.clone()),
                authorized_amount: amount,
                tip_amount: None,
                cash_back_amount: None,
            }),
            payment_acquirer_data: Some(PaymentAcquirerData {
                acquirer_id: None,
                merchant_id: merchant_account.to_owned(),
                acquirer_poi_id: self.request.header().poi_id.to_string(),
                acquirer_transaction_id: None,
                approval_code,
            }),
            ..PaymentResult::default()
        }
    }
}

impl VoidAsk {
    /// Reads a nexo Reversal of a payment that an Actions terminal took.
    ///
    /// # Errors
    /// When it can't be read, or is of a part of the payment.
    pub fn read(request: Request) -> Result<VoidAsk, Refusal> {
        if request.is_encrypted() {
            return Err(Refusal::ENCRYPTED);
        }
        let reversal: ReversalRequest = request.payload().map_err(|_| Refusal {
            condition: ErrorCondition::MESSAGE_FORMAT,
            message: "The ReversalRequest can't be read.",
        })?;
        if reversal.reversed_amount.is_some() {
            return Err(Refusal {
                condition: ErrorCondition::NOT_ALLOWED,
                message: "This terminal can only void a whole payment: leave ReversedAmount out.",
            });
        }
        let original = reversal.original_poi_transaction.poi_transaction_id.as_ref();
        let payment = original.and_then(|original| PaymentName::parse(&original.transaction_id));
        let payment = payment.ok_or(Refusal {
            condition: ErrorCondition::NOT_FOUND,
            message: "OriginalPOITransaction must hold the POITransactionID of the payment.",
        })?;
        Ok(VoidAsk { request, reversal, payment })
    }

    /// The payment: the TransactionID of its POITransactionID.
    pub fn payment(&self) -> &PaymentName {
        &self.payment
    }

    /// What the terminal says became of it, as a nexo response. The same answer makes the same bytes.
    ///
    /// # Errors
    /// When it is no end.
    pub fn response(&self, answer: &VoidAnswer) -> Result<Bytes, Misfit> {
        let response = match answer.status {
            PaymentStatus::Pending => return Err(Misfit::Pending),
            PaymentStatus::Unknown => return Err(Misfit::Unknown),
            PaymentStatus::Success => ResponseOutcome::success(),
            PaymentStatus::Cancelled => ResponseOutcome::failure(ErrorCondition::CANCEL),
            PaymentStatus::Failed => ResponseOutcome::failure(ErrorCondition::REFUSAL),
        };
        let response = match &answer.error_message {
            Some(message) => {
                let pairs = vec![("message".to_owned(), message.to_string())];
                response.with_additional(AdditionalResponse::Pairs(pairs).encode_form())
            }
            None => response,
        };
        let original = &self.reversal.original_poi_transaction;
        let time_stamp = original.poi_transaction_id.as_ref().map(|id| id.time_stamp.clone());
        let body = ReversalResponse {
            response,
            poi_data: Some(poi_data(format!("{}.void", self.payment), time_stamp.unwrap_or_default())),
            original_poi_transaction: Some(original.clone()),
            reversed_amount: None,
            payment_receipt: Vec::new(),
        };
        Ok(nexo::response(self.request.header(), &body))
    }
}

fn poi_data(transaction_id: String, time_stamp: String) -> PoiData {
    PoiData {
        poi_transaction_id: TransactionIdentification { transaction_id, time_stamp },
        poi_reconciliation_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::{Judgement, PaymentAsk, judge};
    use crate::exchange::Answer;
    use nexo::Response;
    use proptest::prelude::*;

    const NOW: WallMs = WallMs(1_795_166_102_118);

    const PAYMENT: &str = r#"{"SaleData":{"OperatorID":"Ada","SaleTransactionID":{"TransactionID":"27908","TimeStamp":"2026-11-20T09:15:02.118Z"}},"PaymentTransaction":{"AmountsReq":{"Currency":"EUR","RequestedAmount":10.990}}}"#;

    fn request(category: &str, body: &str) -> Request {
        let text = format!(
            r#"{{"SaleToPOIRequest":{{"MessageHeader":{{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"{category}","MessageType":"Request","ServiceID":"7f3A91","SaleID":"TILL-04","POIID":"ACT1-1"}},{body}}}}}"#
        );
        Request::parse(text.into()).expect("a request")
    }

    fn sale(body: &str) -> Result<SaleAsk, Refusal> {
        SaleAsk::read(request("Payment", &format!(r#""PaymentRequest":{body}"#)))
    }

    fn payment_name() -> PaymentName {
        PaymentName::parse("d_1:c_2/27908").expect("a name")
    }

    fn ask() -> SaleAsk {
        sale(PAYMENT).expect("an ask")
    }

    fn answer(text: &str) -> TerminalAnswer {
        TerminalAnswer::read(&Bytes::copy_from_slice(text.as_bytes())).expect("an answer")
    }

    fn heard(text: &str) -> (Response, PaymentResponse) {
        let bytes = ask().response(&answer(text), &payment_name(), "DEMO_MERCHANT_EU").expect("an end");
        let response = Response::parse(bytes).expect("a response");
        let body = response.payload().expect("a payment");
        (response, body)
    }

    #[test]
    fn a_nexo_payment_becomes_a_payment_request_of_the_same_digits() {
        assert_eq!(
            ask().payment_request(),
            r#"{"transactionId":"27908","amount":"10.990","currency":"EUR","paymentMethod":"CARD"}"#
        );
    }

    #[test]
    fn what_this_dialect_has_no_words_for_is_not_available() {
        for (body, text) in [
            (PAYMENT.replace("10.990", "0"), "more than 0"),
            (PAYMENT.replace("EUR", "eur"), "three capital letters"),
            (PAYMENT.replace("27908", ""), "TransactionID"),
            ("{}".into(), "can't be read"),
        ] {
            let refusal = sale(&body).expect_err("refused");
            assert_eq!(refusal.condition, ErrorCondition::MESSAGE_FORMAT);
            assert!(refusal.message.contains(text), "{refusal:?}");
        }
        let with = |more: &str| PAYMENT.replacen("{", &format!("{{{more},"), 1);
        for (body, text) in [
            (with(r#""PaymentData":{"PaymentType":"Refund"}"#), "PaymentType Normal"),
            (
                with(r#""PaymentData":{"CardAcquisitionReference":{"TransactionID":"1","TimeStamp":"t"}}"#),
                "earlier transaction",
            ),
            (PAYMENT.replace("10.990", r#"10.990,"CashBackAmount":5"#), "cash back"),
        ] {
            let refusal = sale(&body).expect_err("refused");
            assert_eq!(refusal.condition, ErrorCondition::UNAVAILABLE_SERVICE);
            assert!(refusal.message.contains(text), "{refusal:?}");
        }
        for other in
            [request("Diagnosis", r#""DiagnosisRequest":{}"#), request("Payment", r#""NexoBlob":"AAAA""#)]
        {
            let refusal = SaleAsk::read(other.clone()).expect_err("refused");
            assert_eq!(refusal.condition, ErrorCondition::UNAVAILABLE_SERVICE);
            let delivery = DeliveryId::parse("d_1").expect("an ID");
            let response = Response::parse(refusal.response(&other, &delivery, NOW)).expect("a response");
            assert_eq!(response.header().category, other.header().category);
        }
    }

    #[test]
    fn a_success_becomes_a_nexo_response_with_all_that_clients_expect() {
        let (response, body) = heard(
            r#"{"transactionId":"27908","status":"SUCCESS","amount":"10.99","currency":"EUR","authorizationCode":"AUTH1","timestamp":"2026-11-20T09:15:09.000Z"}"#,
        );
        assert_eq!(response.header().service_id.as_ref().map(|id| id.as_str()), Some("7f3A91"));
        assert_eq!(body.response.result, ResultCode::Success);
        assert_eq!(body.sale_data.as_ref().and_then(|data| data.operator_id.as_deref()), Some("Ada"));
        let poi = body.poi_data.expect("POIData").poi_transaction_id;
        assert_eq!((&*poi.transaction_id, &*poi.time_stamp), ("d_1:c_2/27908", "2026-11-20T09:15:09.000Z"));
        let result = body.payment_result.expect("a result");
        let amounts = result.amounts_resp.expect("amounts");
        assert_eq!(
            (amounts.currency.as_deref(), amounts.authorized_amount.to_string()),
            (Some("EUR"), "10.99".into())
        );
        let acquirer = result.payment_acquirer_data.expect("an acquirer");
        assert_eq!(acquirer.approval_code.as_deref(), Some("AUTH1"));
        assert_eq!((&*acquirer.merchant_id, &*acquirer.acquirer_poi_id), ("DEMO_MERCHANT_EU", "ACT1-1"));
    }

    #[test]
    fn a_plain_success_needs_no_more_than_its_name_and_status() {
        let (_, body) = heard(r#"{"transactionId":"27908","status":"SUCCESS"}"#);
        let amounts = body.payment_result.and_then(|result| result.amounts_resp).expect("amounts");
        assert_eq!(amounts.authorized_amount.to_string(), "10.990");
        assert_eq!(body.poi_data.expect("POIData").poi_transaction_id.time_stamp, "2026-11-20T09:15:02.118Z");
    }

    #[test]
    fn every_status_has_its_result() {
        for (text, condition, message) in [
            (
                r#"{"transactionId":"T","status":"FAILED","errorCode":"INSUFFICIENT_FUNDS","errorMessage":"Not enough & so on"}"#,
                ErrorCondition::REFUSAL,
                "Not enough & so on",
            ),
            (r#"{"transactionId":"T","status":"FAILED","errorCode":"X"}"#, ErrorCondition::REFUSAL, "X"),
            (
                r#"{"transactionId":"T","status":"FAILED","errorCode":"PAYMENT_IN_PROGRESS"}"#,
                ErrorCondition::BUSY,
                "PAYMENT_IN_PROGRESS",
            ),
            (
                r#"{"transactionId":"T","status":"CANCELLED","errorMessage":"no"}"#,
                ErrorCondition::CANCEL,
                "no",
            ),
        ] {
            let (_, body) = heard(text);
            assert_eq!(body.response.result, ResultCode::Failure);
            assert_eq!(body.response.error_condition, Some(condition));
            let additional =
                AdditionalResponse::decode(body.response.additional_response.as_deref().expect("pairs"));
            assert_eq!(additional.value("message"), Some(message));
            assert_eq!(body.payment_result, None);
        }
        for (status, misfit) in [("PENDING", Misfit::Pending), ("UNKNOWN", Misfit::Unknown)] {
            let text = format!(r#"{{"transactionId":"T","status":"{status}"}}"#);
            assert_eq!(ask().response(&answer(&text), &payment_name(), "M"), Err(misfit));
        }
    }

    #[test]
    fn a_success_of_less_or_of_other_money_is_none() {
        let (_, body) = heard(r#"{"transactionId":"T","status":"SUCCESS","amount":5}"#);
        assert_eq!(body.response.result, ResultCode::Partial);
        assert_eq!(
            ask().response(
                &answer(r#"{"transactionId":"T","status":"SUCCESS","currency":"USD"}"#),
                &payment_name(),
                "M"
            ),
            Err(Misfit::OtherCurrency)
        );
    }

    #[test]
    fn a_desktop_hears_an_actions_terminal_in_its_own_words() {
        let asked = PaymentAsk::read(
            &Bytes::from_static(
                br#"{"transactionId":"T-1","amount":"12.50","currency":"EUR","paymentMethod":"MOBILE","metadata":{"a":1}}"#,
            ),
            || panic!("it has a name"),
        )
        .expect("an ask");
        let service = crate::actions::service_id_of("ws_1", asked.transaction());
        let poi = nexo::PoiId::parse("ACT1-1").expect("a POIID");
        let request = Request::parse(asked.message(&poi, &service, NOW)).expect("a request");
        let sale = SaleAsk::read(request).expect("an ask");
        let heard = |text: &str| {
            let bytes = sale.response(&answer(text), &payment_name(), "M").expect("an end");
            match judge(&asked, &Answer::Response(bytes), NOW) {
                Judgement::Final(outcome) => {
                    String::from_utf8(outcome.payment_response.to_vec()).expect("text")
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            heard(
                r#"{"transactionId":"T-1","status":"FAILED","errorCode":"INSUFFICIENT_FUNDS","errorMessage":"No money","receiptData":{"r" : 1},"cardBrand":"mc","metadata":{}}"#
            ),
            r#"{"transactionId":"T-1","status":"FAILED","amount":"12.50","currency":"EUR","paymentMethod":"MOBILE","errorCode":"INSUFFICIENT_FUNDS","errorMessage":"No money","receiptData":{"r" : 1},"timestamp":"2026-11-20T09:15:02.118Z","metadata":{"a":1},"cardBrand":"mc"}"#
        );
        assert_eq!(
            heard(r#"{"transactionId":"T-1","status":"SUCCESS","authorizationCode":"A"}"#),
            r#"{"transactionId":"T-1","status":"SUCCESS","amount":"12.50","currency":"EUR","paymentMethod":"MOBILE","authorizationCode":"A","timestamp":"2026-11-20T09:15:02.118Z","metadata":{"a":1}}"#
        );
        // What is too long to be kept twice is told by what a nexo response has room for.
        let long = format!(
            r#"{{"transactionId":"T-1","status":"SUCCESS","authorizationCode":"A","receiptData":"{}"}}"#,
            "x".repeat(OWN_WORDS_MAX)
        );
        assert!(heard(&long).contains(r#""status":"SUCCESS","amount":"12.50","currency":"EUR","paymentMethod":"MOBILE","authorizationCode":"A""#));
    }

    #[test]
    fn a_reversal_voids_the_payment_that_its_poi_transaction_id_names() {
        let body = r#""ReversalRequest":{"OriginalPOITransaction":{"POITransactionID":{"TransactionID":"d_1:c_2/27908","TimeStamp":"t"}},"ReversalReason":"MerchantCancel"}"#;
        let void = VoidAsk::read(request("Reversal", body)).expect("a void");
        assert_eq!(*void.payment(), payment_name());
        let answer = |status, message: Option<&str>| VoidAnswer {
            transaction: void.payment().transaction.clone(),
            desktop_id: None,
            status,
            error_message: message.map(Into::into),
        };
        let told = |answer| {
            let bytes = void.response(&answer).expect("an end");
            Response::parse(bytes).expect("a response").outcome().expect("an outcome")
        };
        assert_eq!(told(answer(PaymentStatus::Success, None)).result, ResultCode::Success);
        let failed = told(answer(PaymentStatus::Failed, Some("settled")));
        assert_eq!(failed.error_condition, Some(ErrorCondition::REFUSAL));
        assert_eq!(failed.additional_response.as_deref(), Some("message=settled"));
        assert_eq!(void.response(&answer(PaymentStatus::Unknown, None)), Err(Misfit::Unknown));

        let part = body.replace(r#""ReversalReason""#, r#""ReversedAmount":1,"ReversalReason""#);
        let refusal = VoidAsk::read(request("Reversal", &part)).expect_err("refused");
        assert_eq!(refusal.condition, ErrorCondition::NOT_ALLOWED);
    }

    proptest! {
        #[test]
        fn the_same_answer_makes_the_same_bytes_and_no_answer_panics(
            status in "SUCCESS|FAILED|CANCELLED|PENDING|UNKNOWN",
            members in prop::collection::vec(
                ("amount|currency|errorCode|errorMessage|authorizationCode|timestamp|receiptData|x", "null|7|-1|\"\"|\"EUR\"|\"1[.]5\"|\\[\\]|\\{\\}|\"\\\\ud800\"|\"a&b=c%\""),
                0..5,
            ),
        ) {
            let mut text = format!(r#"{{"transactionId":"T","status":"{status}""#);
            for (name, value) in members {
                text.push_str(&format!(r#","{name}":{value}"#));
            }
            text.push('}');
            let first = ask().response(&answer(&text), &payment_name(), "M");
            prop_assert_eq!(&first, &ask().response(&answer(&text), &payment_name(), "M"));
            if let Ok(bytes) = first {
                let response = Response::parse(bytes).expect("a response");
                prop_assert!(response.payload::<PaymentResponse>().is_ok());
            }
        }
    }
}
