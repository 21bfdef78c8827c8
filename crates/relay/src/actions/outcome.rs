//! A terminal's nexo answer, or the gateway's own, as what the desktop hears.

use bytes::Bytes;
use nexo::{
    AdditionalResponse, Amount, ErrorCondition, Response, ResponseOutcome, ResultCode,
    TransactionIdentification,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::json::{Members, Object};
use super::payment::PaymentAsk;
use super::transaction::PaymentStatus;
use crate::exchange::Answer;
use crate::time::WallMs;

/// The pair of a nexo `AdditionalResponse` that holds an Actions terminal's own `paymentResponse`.
pub(super) const OWN_WORDS: &str = "paymentResponse";

/// The `errorCode` of a payment of which a part was charged.
const PARTIAL_APPROVAL: &str = "PARTIAL_APPROVAL";

/// Whether only the gateway gives this `errorCode`. Each says something about the money that a desktop goes by, and that a
/// terminal which reports a failure can't mean.
fn is_reserved(code: &str) -> bool {
    let mut reserved = PaymentFailure::ALL.into_iter().map(PaymentFailure::code).chain([PARTIAL_APPROVAL]);
    reserved.any(|reserved| reserved.eq_ignore_ascii_case(code.trim()))
}

/// How a payment ended, as its desktop hears it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentOutcome {
    /// `SUCCESS`, `FAILED` or `CANCELLED`.
    pub status: PaymentStatus,
    /// The object `paymentResponse`.
    ///
    /// ```json
    /// {"transactionId":"T-5001","status":"FAILED","amount":"12.50","currency":"EUR","paymentMethod":"CARD","errorCode":"REFUSAL",
    ///  "errorMessage":"NOT_ENOUGH_BALANCE","timestamp":"2026-11-20T08:15:09.000Z","metadata":{"orderId":"5001"}}
    /// ```
    /// Source: sibling page "Payment response".
    pub payment_response: Bytes,
}

/// Why a payment failed without its terminal's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentFailure {
    /// It did not reach the terminal.
    TerminalOffline,
    /// The terminal is busy.
    PaymentInProgress,
    /// Its outcome is not known: the terminal stayed away.
    TerminalUnreachable,
    /// Another payment had this `transactionId`.
    DuplicateTransactionId,
}

impl PaymentFailure {
    const ALL: [PaymentFailure; 4] = [
        PaymentFailure::TerminalOffline,
        PaymentFailure::PaymentInProgress,
        PaymentFailure::TerminalUnreachable,
        PaymentFailure::DuplicateTransactionId,
    ];

    /// The `errorCode`.
    pub fn code(self) -> &'static str {
        match self {
            PaymentFailure::TerminalOffline => "TERMINAL_OFFLINE",
            PaymentFailure::PaymentInProgress => "PAYMENT_IN_PROGRESS",
            PaymentFailure::TerminalUnreachable => "TERMINAL_UNREACHABLE",
            PaymentFailure::DuplicateTransactionId => "DUPLICATE_TRANSACTION_ID",
        }
    }

    /// The `errorMessage`.
    pub fn message(self) -> &'static str {
        match self {
            PaymentFailure::TerminalOffline => "The payment did not reach the terminal. Nothing was charged.",
            PaymentFailure::PaymentInProgress => {
                "The terminal is processing another payment. Nothing was charged."
            }
            PaymentFailure::TerminalUnreachable => {
                "The terminal has not answered. Whether it has charged is not known yet: look at the terminal before you try again."
            }
            PaymentFailure::DuplicateTransactionId => {
                "This transactionId was used for another payment within the last 48 hours. Nothing was charged for this one."
            }
        }
    }
}

impl PaymentOutcome {
    /// `FAILED` for a reason of the gateway's own.
    pub fn failed(ask: &PaymentAsk, why: PaymentFailure, now: WallMs) -> PaymentOutcome {
        let words = Words {
            error_code: Some(why.code().into()),
            error_message: Some(why.message().into()),
            ..Words::default()
        };
        words.outcome(ask, PaymentStatus::Failed, now)
    }

    /// What a terminal's nexo response means. None when it can't be read: then nobody knows.
    fn of_response(ask: &PaymentAsk, response: &Response, now: WallMs) -> Option<PaymentOutcome> {
        let outcome = response.outcome()?;
        let additional = outcome.additional_response.as_deref().map(AdditionalResponse::decode);
        let mut words = Words::of_details(response);
        let status = match outcome.result {
            ResultCode::Success => PaymentStatus::Success,
            ResultCode::Partial => {
                // Never asked for. It is no payment of what was asked for, and no failure without a charge either.
                words.error_code = Some(PARTIAL_APPROVAL.into());
                words.error_message = Some(match words.amount {
                    Some(_) => "Only a part of the amount was charged.".into(),
                    None => "Only a part of the amount was charged, and the terminal does not say how much."
                        .into(),
                });
                words.is_amount_open = words.amount.is_none();
                PaymentStatus::Failed
            }
            ResultCode::Failure => {
                words.error_message = message_in(additional.as_ref(), &outcome);
                let condition = outcome.error_condition.as_ref();
                words.error_code = condition.map(error_code_of);
                match condition {
                    Some(word) if [ErrorCondition::CANCEL, ErrorCondition::ABORTED].contains(word) => {
                        PaymentStatus::Cancelled
                    }
                    _ => PaymentStatus::Failed,
                }
            }
        };
        // An Actions terminal's own words, where they say the same.
        if let Some(own) = additional.as_ref().and_then(|pairs| pairs.value(OWN_WORDS))
            && let Some(own) = Members::of(own.as_bytes(), "")
            && own.lenient_text("status").as_deref() == Some(status.as_str())
        {
            words.take_over(&own);
        }
        Some(words.outcome(ask, status, now))
    }
}

/// What an answer means for the desktop that asked for the payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// That is how it ended.
    Final(PaymentOutcome),
    /// The terminal may have it: ask again with the same message until the end is known.
    MayRun,
    /// Nothing was decided: ask again with the same message.
    TryAgain,
}

/// What the answer to [`PaymentAsk::message`] means. To ask again is always safe: the ledger never runs it twice (E4).
pub fn judge(ask: &PaymentAsk, answer: &Answer, now: WallMs) -> Judgement {
    let failed = |why| Judgement::Final(PaymentOutcome::failed(ask, why, now));
    match answer {
        Answer::Response(message) => Response::parse(message.clone())
            .ok()
            .and_then(|response| PaymentOutcome::of_response(ask, &response, now))
            .map_or(Judgement::MayRun, Judgement::Final),
        Answer::NotDelivered => failed(PaymentFailure::TerminalOffline),
        // The gateway's own: this request never runs. Another one has its ServiceID, or it was called off or closed.
        Answer::Failure { condition, message, .. } => {
            if *condition == ErrorCondition::IN_PROGRESS {
                return failed(PaymentFailure::DuplicateTransactionId);
            }
            let words = Words {
                error_code: Some(error_code_of(condition)),
                error_message: Some(message.clone()),
                ..Words::default()
            };
            let status = match *condition == ErrorCondition::ABORTED {
                true => PaymentStatus::Cancelled,
                false => PaymentStatus::Failed,
            };
            Judgement::Final(words.outcome(ask, status, now))
        }
        Answer::NoResponse | Answer::Ok | Answer::Status(_) => Judgement::MayRun,
        Answer::TryAgain | Answer::TooMany => Judgement::TryAgain,
    }
}

/// What a `paymentResponse` says beside its status.
#[derive(Default)]
struct Words {
    amount: Option<Amount>,
    /// It was not the amount that was asked for, and nobody knows which it was.
    is_amount_open: bool,
    authorization_code: Option<String>,
    error_code: Option<String>,
    error_message: Option<String>,
    receipt: Option<Bytes>,
    timestamp: Option<String>,
    /// What else an Actions terminal says, by name.
    more: Vec<(String, Bytes)>,
}

impl Words {
    /// Each on its own: one that can't be read takes nothing away from the others.
    fn of_details(response: &Response) -> Words {
        let result = detail::<WithResult>(response).and_then(|body| body.payment_result);
        let acquirer = result.as_ref().and_then(|result| result.payment_acquirer_data.as_ref());
        let amounts = result.as_ref().and_then(|result| result.amounts_resp.as_ref());
        Words {
            amount: amounts.and_then(|raw| read::<WithAmount>(raw)).map(|amounts| amounts.authorized_amount),
            authorization_code: acquirer
                .and_then(|raw| read::<WithApproval>(raw))
                .and_then(|it| it.approval_code),
            receipt: detail::<WithReceipt>(response)
                .and_then(|body| body.payment_receipt)
                .filter(|raw| raw.get().starts_with('[') && raw.get() != "[]")
                .map(|raw| Bytes::copy_from_slice(raw.get().as_bytes())),
            timestamp: poi_transaction_id(response).map(|id| id.time_stamp),
            ..Words::default()
        }
    }

    fn take_over(&mut self, own: &Members<'_>) {
        let text = |name| own.lenient_text(name).map(Into::into);
        self.authorization_code = text("authorizationCode").or(self.authorization_code.take());
        // A terminal that is busy has said so by its condition, and has the code from that.
        let own_code = text("errorCode").filter(|code| !is_reserved(code));
        self.error_code = own_code.or(self.error_code.take());
        self.error_message = text("errorMessage").or(self.error_message.take());
        self.timestamp = text("timestamp").or(self.timestamp.take());
        let copy = |raw: &RawValue| Bytes::copy_from_slice(raw.get().as_bytes());
        self.receipt = own.value("receiptData").ok().flatten().map(copy);
        let is_known = |name: &str| KNOWN.contains(&name);
        self.more =
            own.iter().filter(|(n, _)| !is_known(n)).map(|(name, raw)| (name.into(), copy(raw))).collect();
    }

    fn outcome(self, ask: &PaymentAsk, status: PaymentStatus, now: WallMs) -> PaymentOutcome {
        let amount = self.amount.or((!self.is_amount_open).then_some(ask.amount()));
        let mut object = Object::new()
            .text("transactionId", ask.transaction().as_str())
            .text("status", status.as_str())
            .maybe_text("amount", amount.map(|amount| amount.to_string()).as_deref())
            .text("currency", ask.currency())
            .text("paymentMethod", ask.payment_method())
            .maybe_text("authorizationCode", self.authorization_code.as_deref())
            .maybe_text("errorCode", self.error_code.as_deref())
            .maybe_text("errorMessage", self.error_message.as_deref())
            .maybe_raw("receiptData", self.receipt.as_deref())
            .text("timestamp", &self.timestamp.unwrap_or_else(|| now.to_rfc3339()))
            .maybe_raw("metadata", ask.metadata());
        for (name, raw) in &self.more {
            object = object.raw(name, raw);
        }
        PaymentOutcome { status, payment_response: object.end() }
    }
}

/// The members that [`Words::outcome`] writes itself.
const KNOWN: [&str; 11] = [
    "transactionId",
    "status",
    "amount",
    "currency",
    "paymentMethod",
    "authorizationCode",
    "errorCode",
    "errorMessage",
    "receiptData",
    "timestamp",
    "metadata",
];

#[derive(Deserialize)]
struct WithResult {
    #[serde(rename = "PaymentResult")]
    payment_result: Option<Details>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Details {
    payment_acquirer_data: Option<Box<RawValue>>,
    amounts_resp: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct WithApproval {
    #[serde(rename = "ApprovalCode")]
    approval_code: Option<String>,
}

#[derive(Deserialize)]
struct WithAmount {
    #[serde(rename = "AuthorizedAmount")]
    authorized_amount: Amount,
}

#[derive(Deserialize)]
struct WithReceipt {
    #[serde(rename = "PaymentReceipt")]
    payment_receipt: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct WithPoiData {
    #[serde(rename = "POIData")]
    poi_data: WithPoiTransaction,
}

#[derive(Deserialize)]
struct WithPoiTransaction {
    #[serde(rename = "POITransactionID")]
    id: TransactionIdentification,
}

/// What the terminal calls a payment.
pub(super) fn poi_transaction_id(response: &Response) -> Option<TransactionIdentification> {
    detail::<WithPoiData>(response).map(|body| body.poi_data.id)
}

fn detail<T: DeserializeOwned>(response: &Response) -> Option<T> {
    response.payload().ok()
}

fn read<T: DeserializeOwned>(raw: &RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

/// A terminal's text for people: `message`, else what is there, else the condition itself.
fn message_in(additional: Option<&AdditionalResponse>, outcome: &ResponseOutcome) -> Option<String> {
    let text = match additional {
        Some(AdditionalResponse::Text(text)) => Some(text.as_str()),
        Some(pairs) => pairs.value("message").or_else(|| pairs.value("refusalReason")),
        None => None,
    };
    text.filter(|text| !text.is_empty())
        .or(outcome.error_condition.as_ref().map(ErrorCondition::as_str))
        .map(Into::into)
}

/// The `errorCode` of an ErrorCondition: in capitals with underscores: `InvalidCard` is `INVALID_CARD`. A busy terminal has a
/// code of its own. A word that would become a code of the gateway's own is a refusal like any other.
pub fn error_code_of(condition: &ErrorCondition) -> String {
    if *condition == ErrorCondition::BUSY {
        return PaymentFailure::PaymentInProgress.code().into();
    }
    let mut code = String::new();
    let mut after_small = false;
    for letter in condition.as_str().chars() {
        if letter.is_ascii_uppercase() && after_small {
            code.push('_');
        }
        code.push(if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' });
        after_small = letter.is_ascii_lowercase();
    }
    if is_reserved(&code) { error_code_of(&ErrorCondition::REFUSAL) } else { code }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::service_id_of;
    use nexo::{PoiId, Request};
    use proptest::prelude::*;

    const NOW: WallMs = WallMs(1_795_166_102_118);

    fn ask() -> PaymentAsk {
        let raw =
            br#"{"transactionId":"T-5001","amount":"12.50","currency":"EUR","metadata":{"orderId": "5001"}}"#;
        PaymentAsk::read(&Bytes::from_static(raw), || panic!("it has a name")).expect("an ask")
    }

    fn message_of(ask: &PaymentAsk) -> Bytes {
        let poi = PoiId::parse("V400m-1").expect("a POIID");
        ask.message(&poi, &service_id_of("ws_1", ask.transaction()), NOW)
    }

    /// A terminal's response to [`ask`] with this body.
    fn answer(body: &str) -> Answer {
        let request = Request::parse(message_of(&ask())).expect("a request");
        let body: Box<RawValue> = RawValue::from_string(body.into()).expect("JSON");
        Answer::Response(nexo::response(request.header(), &body))
    }

    fn heard(body: &str) -> String {
        match judge(&ask(), &answer(body), NOW) {
            Judgement::Final(outcome) => String::from_utf8(outcome.payment_response.to_vec()).expect("text"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_success_is_told_with_its_code_its_amount_and_the_requests_metadata() {
        assert_eq!(
            heard(
                r#"{"Response":{"Result":"Success","AdditionalResponse":"authCode=123456"},"POIData":{"POITransactionID":{"TransactionID":"x","TimeStamp":"2026-11-20T09:15:05.000Z"}},"PaymentResult":{"AmountsResp":{"Currency":"EUR","AuthorizedAmount":12.50},"PaymentAcquirerData":{"MerchantID":"M","AcquirerPOIID":"P","ApprovalCode":"123456"}},"PaymentReceipt":[{"DocumentQualifier" : "CashierReceipt"}]}"#
            ),
            r#"{"transactionId":"T-5001","status":"SUCCESS","amount":"12.50","currency":"EUR","paymentMethod":"CARD","authorizationCode":"123456","receiptData":[{"DocumentQualifier" : "CashierReceipt"}],"timestamp":"2026-11-20T09:15:05.000Z","metadata":{"orderId": "5001"}}"#
        );
    }

    #[test]
    fn a_success_is_one_however_odd_its_details_are() {
        for body in [
            r#"{"Response":{"Result":"Success"}}"#,
            r#"{"Response":{"Result":"Success"},"PaymentResult":7,"POIData":[],"PaymentReceipt":{}}"#,
            r#"{"Response":{"Result":"Success"},"PaymentResult":{"PaymentAcquirerData":{"ApprovalCode":7},"AmountsResp":null}}"#,
        ] {
            assert_eq!(
                heard(body),
                r#"{"transactionId":"T-5001","status":"SUCCESS","amount":"12.50","currency":"EUR","paymentMethod":"CARD","timestamp":"2026-11-20T09:15:02.118Z","metadata":{"orderId": "5001"}}"#
            );
        }
    }

    #[test]
    fn every_condition_has_its_status_its_code_and_its_words() {
        for (condition, additional, status, code, message) in [
            ("Refusal", "message=NOT_ENOUGH_BALANCE", "FAILED", "REFUSAL", "NOT_ENOUGH_BALANCE"),
            ("WrongPIN", "refusalReason=129%20Invalid%20PIN", "FAILED", "WRONG_PIN", "129 Invalid PIN"),
            ("InvalidCard", "", "FAILED", "INVALID_CARD", "InvalidCard"),
            ("UnreachableHost", "no host", "FAILED", "UNREACHABLE_HOST", "no host"),
            ("Communication timeout", "", "FAILED", "COMMUNICATION_TIMEOUT", "Communication timeout"),
            ("Busy", "message=In+use", "FAILED", "PAYMENT_IN_PROGRESS", "In use"),
            ("Cancel", "message=101+Shopper+cancelled+tx", "CANCELLED", "CANCEL", "101 Shopper cancelled tx"),
            ("Aborted", "message=104+Merchant+cancelled.", "CANCELLED", "ABORTED", "104 Merchant cancelled."),
        ] {
            assert_eq!(
                heard(&format!(
                    r#"{{"Response":{{"Result":"Failure","ErrorCondition":"{condition}","AdditionalResponse":"{additional}"}}}}"#
                )),
                format!(
                    r#"{{"transactionId":"T-5001","status":"{status}","amount":"12.50","currency":"EUR","paymentMethod":"CARD","errorCode":"{code}","errorMessage":"{message}","timestamp":"2026-11-20T09:15:02.118Z","metadata":{{"orderId": "5001"}}}}"#
                )
            );
        }
    }

    #[test]
    fn no_terminal_can_say_what_only_the_gateway_says() {
        for code in [
            "TERMINAL_OFFLINE",
            "TERMINAL_UNREACHABLE",
            "terminal_unreachable ",
            "DUPLICATE_TRANSACTION_ID",
            "PAYMENT_IN_PROGRESS",
            "PARTIAL_APPROVAL",
        ] {
            // In its own words, and by its condition.
            let own = format!(r#"{{"status":"FAILED","errorCode":"{code}","errorMessage":"no"}}"#);
            let pairs = AdditionalResponse::Pairs(vec![(OWN_WORDS.to_owned(), own)]).encode_form();
            let said = heard(&format!(
                r#"{{"Response":{{"Result":"Failure","ErrorCondition":"Refusal","AdditionalResponse":"{pairs}"}}}}"#
            ));
            assert!(said.contains(r#""errorCode":"REFUSAL","errorMessage":"no""#), "{said}");
            let said = heard(&format!(r#"{{"Response":{{"Result":"Failure","ErrorCondition":"{code}"}}}}"#));
            assert!(said.contains(r#""status":"FAILED""#), "{said}");
            assert!(!said.contains(&format!(r#""errorCode":"{code}""#)), "{said}");
        }
        // Any other word is its own.
        let pairs =
            format!("{OWN_WORDS}=%7B%22status%22%3A%22FAILED%22%2C%22errorCode%22%3A%22NO_FUNDS%22%7D");
        let said = heard(&format!(
            r#"{{"Response":{{"Result":"Failure","ErrorCondition":"Refusal","AdditionalResponse":"{pairs}"}}}}"#
        ));
        assert!(said.contains(r#""errorCode":"NO_FUNDS""#), "{said}");
    }

    #[test]
    fn a_partial_approval_is_no_success() {
        let heard = heard(
            r#"{"Response":{"Result":"Partial"},"PaymentResult":{"AmountsResp":{"AuthorizedAmount":5.00}}}"#,
        );
        assert!(heard.contains(r#""status":"FAILED","amount":"5.00""#), "{heard}");
        assert!(heard.contains("PARTIAL_APPROVAL"), "{heard}");
    }

    #[test]
    fn a_part_of_which_nobody_says_how_much_is_not_told_as_the_whole() {
        let heard = heard(r#"{"Response":{"Result":"Partial"}}"#);
        assert!(heard.contains(r#""status":"FAILED","currency":"EUR""#), "{heard}");
        assert!(heard.contains(r#""errorCode":"PARTIAL_APPROVAL""#), "{heard}");
        assert!(heard.contains("does not say how much"), "{heard}");
    }

    #[test]
    fn what_the_gateway_says_itself_is_final_only_if_nothing_runs() {
        let failed = |why| Judgement::Final(PaymentOutcome::failed(&ask(), why, NOW));
        let failure = |condition| Answer::Failure { condition, message: "why".into(), exchange: None };
        assert_eq!(judge(&ask(), &Answer::NotDelivered, NOW), failed(PaymentFailure::TerminalOffline));
        assert_eq!(
            judge(&ask(), &failure(ErrorCondition::IN_PROGRESS), NOW),
            failed(PaymentFailure::DuplicateTransactionId)
        );
        for (condition, status) in [
            (ErrorCondition::NOT_ALLOWED, PaymentStatus::Failed),
            (ErrorCondition::ABORTED, PaymentStatus::Cancelled),
        ] {
            let Judgement::Final(outcome) = judge(&ask(), &failure(condition), NOW) else { panic!("open") };
            assert_eq!(outcome.status, status);
        }
        for answer in
            [Answer::NoResponse, Answer::Ok, Answer::Response("x".into()), answer(r#"{"Response":7}"#)]
        {
            assert_eq!(judge(&ask(), &answer, NOW), Judgement::MayRun, "{answer:?}");
        }
        for answer in [Answer::TryAgain, Answer::TooMany] {
            assert_eq!(judge(&ask(), &answer, NOW), Judgement::TryAgain);
        }
    }

    #[test]
    fn an_unknown_outcome_says_so() {
        let outcome = PaymentOutcome::failed(&ask(), PaymentFailure::TerminalUnreachable, NOW);
        assert_eq!(
            outcome.payment_response,
            r#"{"transactionId":"T-5001","status":"FAILED","amount":"12.50","currency":"EUR","paymentMethod":"CARD","errorCode":"TERMINAL_UNREACHABLE","errorMessage":"The terminal has not answered. Whether it has charged is not known yet: look at the terminal before you try again.","timestamp":"2026-11-20T09:15:02.118Z","metadata":{"orderId": "5001"}}"#
        );
    }

    proptest! {
        #[test]
        fn no_answer_panics(body in "\\{\"Response\":\\{\"Result\":\"(Success|Failure|Partial)\"(,\"ErrorCondition\":\".{0,9}\")?\\}\\}|.{0,40}") {
            if let Ok(body) = RawValue::from_string(body) {
                let _ = judge(&ask(), &answer(body.get()), NOW);
            }
        }
    }
}
