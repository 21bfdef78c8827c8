//! What the device does with a request: a card is presented, a host decides, a response is written.
//!
//! One request at a time. A payment is decided by the last three digits of its amount; until its card is presented it
//! can be cancelled, after that it is done. The approval and its response are one value, so that the journal holds both
//! or none of them.

mod diagnosis;
mod reversal;

use std::time::Duration;

use bytes::Bytes;
use nexo::{
    AdditionalResponse, Amount, AmountsResp, AuthenticationMethod, CardData, DiagnosisRequest, EntryMode,
    ErrorCondition, FailureResponse, MessageCategory, MessageHeader, PaymentAcquirerData,
    PaymentInstrumentData, PaymentInstrumentType, PaymentRequest, PaymentResponse, PaymentResult,
    PaymentType, PoiData, Request, ResponseOutcome, ReversalRequest, TransactionIdentification,
};
use relay::terminal::{Execution, ExecutionKind, Outcome, Stop};
use relay::{DeliveryId, Now};
use rust_decimal::Decimal;
use serde::Serialize;

use crate::config::DeviceFacts;
use crate::random::Random;
use crate::receipt::{Slip, receipts};

/// The card that every cardholder presents: a published test card.
pub(crate) const MASKED_PAN: &str = "541333 **** 9999";
const CARD_BIN: &str = "541333";
const CARD_SUMMARY: &str = "9999";
const BRAND: &str = "mc";

/// The only host that there is.
const ACQUIRER_ID: u64 = 1;

/// A device and the request that waits at it.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) facts: DeviceFacts,
    /// Where the terminal stands; from boarding, the latest `welcome` or `settings`.
    pub(crate) merchant_account: String,
    pub(crate) store: Option<String>,
    /// Not between the removal of its configuration and the next one.
    pub(crate) is_configured: bool,
    pub(crate) firmware_version: String,
    /// How long a cardholder takes to present a card.
    pub(crate) cardholder: Duration,
    waiting: Option<Waiting>,
}

/// A payment whose card has not been presented yet.
#[derive(Debug)]
struct Waiting {
    delivery: DeliveryId,
    header: MessageHeader,
    payment: PaymentRequest,
    /// When the card is presented, on the monotonic clock.
    card: Duration,
}

/// How a request has ended.
#[derive(Debug, PartialEq)]
pub(crate) struct Finish {
    pub(crate) delivery: DeliveryId,
    pub(crate) outcome: Outcome,
    pub(crate) execution: Option<Execution>,
}

/// The outcomes that test terminals choose by the amount: last three digits, condition, message, refusal.
const DECLINES: [(u16, ErrorCondition, &str, &str); 6] = [
    (124, ErrorCondition::REFUSAL, "NOT_ENOUGH_BALANCE", "210 Not enough balance"),
    (125, ErrorCondition::REFUSAL, "BLOCK_CARD", "199 Card blocked"),
    (126, ErrorCondition::REFUSAL, "CARD_EXPIRED", "228 Card expired"),
    (127, ErrorCondition::REFUSAL, "INVALID_AMOUNT", "214 Invalid amount"),
    (128, ErrorCondition::INVALID_CARD, "INVALID_CARD", "214 Invalid card"),
    (134, ErrorCondition::WRONG_PIN, "INVALID_PIN", "129 Invalid PIN"),
];

impl Device {
    pub(crate) fn new(facts: DeviceFacts, firmware_version: String, cardholder: Duration) -> Device {
        Device {
            facts,
            merchant_account: String::new(),
            store: None,
            is_configured: true,
            firmware_version,
            cardholder,
            waiting: None,
        }
    }

    /// Begins a request. Says how it ended, unless it waits for a card.
    pub(crate) fn start(
        &mut self,
        now: Now,
        delivery: DeliveryId,
        message: Bytes,
        executions: &[Execution],
        random: &mut Random,
    ) -> Option<Finish> {
        let request = match Request::parse(message) {
            Ok(request) => request,
            Err(error) => {
                let outcome = Outcome::Indeterminate(format!("the request can't be read: {error}"));
                return Some(Finish { delivery, outcome, execution: None });
            }
        };
        let category = &request.header().category;
        if !self.is_configured {
            let text = "This terminal is being moved to another merchant or store: it has no configuration.";
            return Some(refused(delivery, &request, ErrorCondition::NOT_ALLOWED, text, now));
        }
        if *category == MessageCategory::PAYMENT {
            match request.payload::<PaymentRequest>() {
                Ok(payment) if !is_ordinary(&payment) => {}
                Ok(payment) if !can_be_paid(payment.payment_transaction.amounts_req.requested_amount) => {
                    let text = "RequestedAmount must be more than 0, with at most two decimals.";
                    return Some(unreadable(delivery, &request, text, now));
                }
                Ok(payment) => {
                    let card = now.mono.saturating_add(self.cardholder);
                    self.waiting =
                        Some(Waiting { delivery, header: request.header().clone(), payment, card });
                    return None;
                }
                Err(error) => return Some(unreadable(delivery, &request, &error.to_string(), now)),
            }
        } else if *category == MessageCategory::REVERSAL {
            return Some(match request.payload::<ReversalRequest>() {
                Ok(reversal) => self.reverse(now, delivery, &request, reversal, executions, random),
                Err(error) => unreadable(delivery, &request, &error.to_string(), now),
            });
        } else if *category == MessageCategory::DIAGNOSIS {
            return Some(match request.payload::<DiagnosisRequest>() {
                Ok(diagnosis) => self.diagnose(delivery, &request, &diagnosis),
                Err(error) => unreadable(delivery, &request, &error.to_string(), now),
            });
        }
        let text = "This is not supported by this terminal yet.";
        Some(refused(delivery, &request, ErrorCondition::UNAVAILABLE_SERVICE, text, now))
    }

    /// When [`Device::handle_timeout`] is due, on the monotonic clock.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        self.waiting.as_ref().map(|waiting| waiting.card)
    }

    /// Time has passed: if the card is due, it is presented and the host decides.
    pub(crate) fn handle_timeout(&mut self, now: Now, random: &mut Random) -> Option<Finish> {
        let waiting = self.waiting.take_if(|waiting| waiting.card <= now.mono)?;
        Some(self.decide(now, waiting, random))
    }

    /// Ends a request whose card was not presented yet; does nothing to any other.
    pub(crate) fn cancel(
        &mut self,
        now: Now,
        delivery: &DeliveryId,
        stop: Stop,
        random: &mut Random,
    ) -> Option<Finish> {
        let waiting = self.waiting.take_if(|waiting| waiting.delivery == *delivery)?;
        let text = match stop {
            Stop::Aborted => "104 Merchant cancelled.",
            Stop::TimeOver => "The time for this request was over.",
            Stop::Stopping => "The terminal has stopped.",
        };
        let tender = tender_reference(now, random);
        let additional = pairs(&[
            ("message", text),
            ("refusalReason", text),
            ("tenderReference", &tender),
            ("unconfirmedBatchCount", &self.facts.unconfirmed_payments.to_string()),
        ]);
        let response = PaymentResponse {
            response: ResponseOutcome::failure(ErrorCondition::ABORTED).with_additional(additional),
            sale_data: Some(waiting.payment.sale_data),
            poi_data: Some(poi_data(now, tender)),
            payment_result: None,
            payment_receipt: Vec::new(),
        };
        Some(Finish {
            delivery: waiting.delivery,
            outcome: Outcome::Message(nexo::response(&waiting.header, &response)),
            execution: None,
        })
    }

    /// The device's telemetry, flat.
    pub(crate) fn telemetry(&self) -> Option<relay::Telemetry> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Flat<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            battery_level: Option<u8>,
            #[serde(skip_serializing_if = "Option::is_none")]
            printer_status: Option<&'a str>,
            wifi_ip: String,
            wifi_mac: &'a str,
            dhcp_enabled: bool,
        }
        let flat = Flat {
            battery_level: self.facts.battery_level,
            printer_status: self.facts.printer.as_ref().map(|printer| printer.as_str()),
            wifi_ip: self.facts.network.ip.to_string(),
            wifi_mac: &self.facts.network.mac,
            dhcp_enabled: self.facts.network.dhcp,
        };
        serde_json::value::to_raw_value(&flat).ok().map(relay::Telemetry)
    }

    fn decide(&self, now: Now, waiting: Waiting, random: &mut Random) -> Finish {
        let Waiting { delivery, header, payment, .. } = waiting;
        let amounts = &payment.payment_transaction.amounts_req;
        let digits = amounts.requested_amount.last_three_digits();
        let decline = DECLINES.iter().find(|(ending, ..)| *ending == digits);

        let psp = random.reference(16);
        let tender = tender_reference(now, random);
        let poi_transaction = format!("{tender}.{psp}");
        let approval = format!("{:06}", random.number() % 1_000_000);
        let time = now.wall.to_rfc3339();
        let (currency, amount) = (amounts.currency.clone(), amounts.requested_amount);

        let slip = Slip {
            merchant_account: &self.merchant_account,
            poi_id: header.poi_id.as_str(),
            sale_transaction: &payment.sale_data.sale_transaction_id.transaction_id,
            tender: &tender,
            approval: decline.is_none().then_some(approval.as_str()),
            amount,
            currency: &currency,
            time: &time,
        };
        let mut additional = vec![
            ("pspReference", psp.as_str()),
            ("tenderReference", &tender),
            ("merchantReference", &payment.sale_data.sale_transaction_id.transaction_id),
            ("transactionType", "GOODS_SERVICES"),
            ("posEntryMode", "CLESS_CHIP"),
            ("paymentMethod", BRAND),
            ("paymentMethodVariant", "mccredit"),
            ("cardType", BRAND),
            ("cardScheme", BRAND),
            ("cardBin", CARD_BIN),
            ("cardSummary", CARD_SUMMARY),
            ("expiryMonth", "02"),
            ("expiryYear", "2030"),
            ("posAmountCurrency", &currency),
            ("iso8601TxDate", &time),
            ("tid", header.poi_id.as_str().rsplit('-').next().unwrap_or_default()),
            ("mid", "1000"),
            ("giftcardIndicator", "false"),
            ("offline", "false"),
        ];
        let unconfirmed = self.facts.unconfirmed_payments.to_string();
        additional.push(("unconfirmedBatchCount", &unconfirmed));
        let response = match decline {
            None => {
                additional.extend([("authCode", approval.as_str()), ("refusalReasonRaw", "APPROVED")]);
                ResponseOutcome::success()
            }
            Some((_, condition, message, refusal)) => {
                additional.extend([("message", *message), ("refusalReason", *refusal)]);
                ResponseOutcome::failure(condition.clone())
            }
        };
        let acquirer = PaymentAcquirerData {
            acquirer_id: Some(ACQUIRER_ID),
            merchant_id: self.merchant_account.clone(),
            acquirer_poi_id: header.poi_id.to_string(),
            acquirer_transaction_id: Some(identified(psp.clone(), &time)),
            approval_code: decline.is_none().then(|| approval.clone()),
        };
        let body = PaymentResponse {
            response: response.with_additional(pairs(&additional)),
            payment_result: Some(PaymentResult {
                payment_type: Some(PaymentType::NORMAL),
                payment_instrument_data: Some(PaymentInstrumentData {
                    payment_instrument_type: PaymentInstrumentType::CARD,
                    card_data: Some(CardData {
                        payment_brand: Some(BRAND.into()),
                        masked_pan: Some(MASKED_PAN.into()),
                        entry_mode: vec![EntryMode::CONTACTLESS],
                    }),
                }),
                amounts_resp: decline.is_none().then(|| AmountsResp {
                    currency: Some(currency.clone()),
                    authorized_amount: amount,
                    tip_amount: amounts.tip_amount,
                    cash_back_amount: amounts.cash_back_amount,
                }),
                online_flag: Some(true),
                authentication_method: vec![AuthenticationMethod::ONLINE_PIN],
                payment_acquirer_data: Some(acquirer),
            }),
            payment_receipt: receipts(&slip),
            poi_data: Some(poi_data(now, poi_transaction.clone())),
            sale_data: Some(payment.sale_data.clone()),
        };
        let execution = decline.is_none().then(|| Execution {
            delivery: delivery.clone(),
            kind: ExecutionKind::Payment,
            service: header.service_id.clone(),
            sale: header.sale_id.clone(),
            sale_transaction: Some(payment.sale_data.sale_transaction_id.transaction_id.clone()),
            poi_transaction,
            amount,
            currency,
            at: now.wall,
        });
        Finish { delivery, outcome: Outcome::Message(nexo::response(&header, &body)), execution }
    }
}

fn is_ordinary(payment: &PaymentRequest) -> bool {
    let kind = payment.payment_data.as_ref().and_then(|data| data.payment_type.as_ref());
    kind.is_none_or(|kind| *kind == PaymentType::NORMAL)
}

fn can_be_paid(amount: Amount) -> bool {
    amount.value() > Decimal::ZERO && amount.value().normalize().scale() <= 2
}

/// `Failure`/`MessageFormat`, saying what can't be read.
fn unreadable(delivery: DeliveryId, request: &Request, problem: &str, now: Now) -> Finish {
    refused(delivery, request, ErrorCondition::MESSAGE_FORMAT, problem, now)
}

/// `Failure` of a request that nothing was done for.
fn refused(
    delivery: DeliveryId,
    request: &Request,
    condition: ErrorCondition,
    text: &str,
    now: Now,
) -> Finish {
    let sale_transaction_id = request.sale_transaction_id();
    let poi_transaction_id =
        sale_transaction_id.as_ref().map(|_| identified(delivery.to_string(), &now.wall.to_rfc3339()));
    let response = FailureResponse {
        header: request.header(),
        condition,
        message: text,
        sale_transaction_id: sale_transaction_id.as_ref(),
        poi_transaction_id,
    };
    Finish { delivery, outcome: Outcome::Message(response.to_json()), execution: None }
}

fn pairs(pairs: &[(&str, &str)]) -> String {
    let owned = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    AdditionalResponse::Pairs(owned.collect()).encode_form()
}

fn identified(transaction_id: String, time_stamp: &str) -> TransactionIdentification {
    TransactionIdentification { transaction_id, time_stamp: time_stamp.to_owned() }
}

fn poi_data(now: Now, transaction_id: String) -> PoiData {
    PoiData {
        poi_transaction_id: identified(transaction_id, &now.wall.to_rfc3339()),
        poi_reconciliation_id: Some("1000".into()),
    }
}

/// Letters, then the time: as terminals number their tenders.
fn tender_reference(now: Now, random: &mut Random) -> String {
    format!("{}001{}", random.reference(4), now.wall.0)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use nexo::{DiagnosisResponse, PoiId, Response, ResultCode, ReversalResponse};
    use relay::WallMs;

    use super::*;

    const NOW: Now = Now { mono: Duration::from_secs(100), wall: WallMs(1_795_166_102_118) };

    fn device() -> Device {
        let poi = PoiId::parse("V400m-324688179").unwrap();
        let mut device =
            Device::new(DeviceFacts::countertop(&poi), "Virtual_OS 1.4.0".into(), Duration::from_secs(2));
        device.merchant_account = "DEMO_MERCHANT_EU".into();
        device.store = Some("STORE_AMS".into());
        device
    }

    fn delivery() -> DeliveryId {
        DeliveryId::parse("d_1").unwrap()
    }

    fn message(category: &str, body: &str) -> Bytes {
        Bytes::from(format!(
            r#"{{"SaleToPOIRequest":{{"MessageHeader":{{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"{category}","MessageType":"Request","ServiceID":"7f3A91","SaleID":"TILL-04","POIID":"V400m-324688179"}},"{category}Request":{body}}}}}"#
        ))
    }

    fn payment(amount: &str) -> Bytes {
        message(
            "Payment",
            &format!(
                r#"{{"SaleData":{{"OperatorID":"Ada","SaleTransactionID":{{"TransactionID":"27908","TimeStamp":"2026-11-20T09:15:02.118Z"}}}},"PaymentTransaction":{{"AmountsReq":{{"Currency":"EUR","RequestedAmount":{amount}}}}}}}"#
            ),
        )
    }

    /// Starts a request and lets its card be presented.
    fn run(device: &mut Device, message: Bytes, executions: &[Execution]) -> Finish {
        let mut random = Random::seeded(7);
        if let Some(finish) = device.start(NOW, delivery(), message, executions, &mut random) {
            return finish;
        }
        let due = device.poll_timeout().unwrap();
        assert_eq!(device.handle_timeout(NOW, &mut random), None);
        device.handle_timeout(Now { mono: due, ..NOW }, &mut random).unwrap()
    }

    fn response(finish: &Finish) -> Response {
        let Outcome::Message(message) = &finish.outcome else { panic!("no message") };
        Response::parse(message.clone()).unwrap()
    }

    fn additional(finish: &Finish, key: &str) -> Option<String> {
        let text = response(finish).outcome().unwrap().additional_response.unwrap();
        AdditionalResponse::decode(&text).value(key).map(str::to_owned)
    }

    fn condition(finish: &Finish) -> Option<ErrorCondition> {
        response(finish).outcome().unwrap().error_condition
    }

    #[test]
    fn an_ordinary_amount_is_approved() {
        let finish = run(&mut device(), payment("10.99"), &[]);
        let body: PaymentResponse = response(&finish).payload().unwrap();
        assert_eq!(body.response.result, ResultCode::Success);
        assert_eq!(body.sale_data.unwrap().operator_id.as_deref(), Some("Ada"));
        let result = body.payment_result.unwrap();
        assert_eq!(result.amounts_resp.unwrap().authorized_amount.to_string(), "10.99");
        assert_eq!(body.payment_receipt.len(), 2);
        let transaction = body.poi_data.unwrap().poi_transaction_id.transaction_id;
        let (_, psp) = transaction.split_once('.').unwrap();
        assert_eq!(additional(&finish, "pspReference").as_deref(), Some(psp));
        let execution = finish.execution.unwrap();
        assert_eq!((execution.amount.to_string().as_str(), execution.currency.as_str()), ("10.99", "EUR"));
        assert_eq!(execution.poi_transaction, transaction);
        assert_eq!(execution.sale_transaction.as_deref(), Some("27908"));
    }

    #[test]
    fn the_documented_endings_are_declined_as_documented() {
        for (amount, expected, message, refusal) in [
            ("1.24", "Refusal", "NOT_ENOUGH_BALANCE", "210"),
            ("11.25", "Refusal", "BLOCK_CARD", "199"),
            ("1.26", "Refusal", "CARD_EXPIRED", "228"),
            ("1.27", "Refusal", "INVALID_AMOUNT", "214"),
            ("101.28", "InvalidCard", "INVALID_CARD", "214"),
            ("1.34", "WrongPIN", "INVALID_PIN", "129"),
        ] {
            let finish = run(&mut device(), payment(amount), &[]);
            assert_eq!(condition(&finish).unwrap().as_str(), expected, "{amount}");
            assert_eq!(additional(&finish, "message").as_deref(), Some(message));
            assert!(additional(&finish, "refusalReason").unwrap().starts_with(refusal));
            assert_eq!(finish.execution, None);
            let body: PaymentResponse = response(&finish).payload().unwrap();
            assert_eq!(body.payment_result.unwrap().amounts_resp, None);
        }
        assert_eq!(condition(&run(&mut device(), payment("1.29"), &[])), None);
    }

    #[test]
    fn a_payment_can_be_cancelled_until_its_card_is_presented() {
        let mut device = device();
        let mut random = Random::seeded(7);
        assert_eq!(device.start(NOW, delivery(), payment("5"), &[], &mut random), None);
        let other = DeliveryId::parse("d_2").unwrap();
        assert_eq!(device.cancel(NOW, &other, Stop::Aborted, &mut random), None);
        let finish = device.cancel(NOW, &delivery(), Stop::Aborted, &mut random).unwrap();
        assert_eq!(condition(&finish), Some(ErrorCondition::ABORTED));
        assert_eq!(additional(&finish, "refusalReason").as_deref(), Some("104 Merchant cancelled."));
        assert_eq!((finish.execution, device.poll_timeout()), (None, None));
        assert_eq!(device.cancel(NOW, &delivery(), Stop::Aborted, &mut random), None);
    }

    #[test]
    fn what_was_paid_can_be_given_back_once() {
        let mut device = device();
        let paid = run(&mut device, payment("10.99"), &[]).execution.unwrap();
        let reversal = |transaction: &str, amount: &str| {
            message(
                "Reversal",
                &format!(
                    r#"{{"OriginalPOITransaction":{{"POITransactionID":{{"TransactionID":"{transaction}","TimeStamp":"2026-11-20T09:15:02.118Z"}}}},{amount}"ReversalReason":"MerchantCancel"}}"#
                ),
            )
        };
        let mut done = vec![paid.clone()];
        let unknown = run(&mut device, reversal("other.ABC", ""), &done);
        assert_eq!(condition(&unknown), Some(ErrorCondition::NOT_FOUND));

        let part = run(&mut device, reversal(&paid.poi_transaction, r#""ReversedAmount":4.00,"#), &done);
        assert_eq!(condition(&part), None);
        done.extend(part.execution);
        let rest = run(&mut device, reversal(&paid.poi_transaction, ""), &done);
        let body: ReversalResponse = response(&rest).payload().unwrap();
        assert_eq!(body.reversed_amount.unwrap().to_string(), "6.99");
        assert!(body.poi_data.is_some());
        done.extend(rest.execution);
        let again = run(&mut device, reversal(&paid.poi_transaction, ""), &done);
        assert_eq!(condition(&again), Some(ErrorCondition::NOT_ALLOWED));
        let text = additional(&again, "message");
        assert_eq!(text.as_deref(), Some("All of this payment was given back before."));
    }

    #[test]
    fn a_diagnosis_shows_what_the_device_has() {
        let mut device = device();
        let finish = run(&mut device, message("Diagnosis", "{}"), &[]);
        let body: DiagnosisResponse = response(&finish).payload().unwrap();
        let status = body.poi_status.unwrap();
        assert_eq!(status.printer_status.unwrap().as_str(), "OK");
        assert_eq!(body.host_status, []);
        assert_eq!(additional(&finish, "batteryLevel"), None);
        assert_eq!(additional(&finish, "unconfirmedBatchCount").as_deref(), Some("0"));
        assert_eq!(additional(&finish, "storeId").as_deref(), Some("STORE_AMS"));
        assert_eq!(additional(&finish, "terminalId").as_deref(), Some("V400m-324688179"));
        let profile = STANDARD.decode(additional(&finish, "networkProfile").unwrap()).unwrap();
        assert!(profile.starts_with(b"{\"ip\":\"192.0.2."));

        device.facts = DeviceFacts::portable(&PoiId::parse("S1F2-1").unwrap());
        let finish = run(&mut device, message("Diagnosis", r#"{"HostDiagnosisFlag":true}"#), &[]);
        let body: DiagnosisResponse = response(&finish).payload().unwrap();
        assert_eq!(body.poi_status.unwrap().printer_status, None);
        assert_eq!(body.host_status.len(), 1);
        assert_eq!(additional(&finish, "batteryLevel").as_deref(), Some("87%"));
    }

    #[test]
    fn what_can_not_be_done_says_so() {
        let mut device = device();
        let sound = run(&mut device, message("Sound", "{}"), &[]);
        assert_eq!(condition(&sound), Some(ErrorCondition::UNAVAILABLE_SERVICE));
        assert_eq!(
            additional(&sound, "message").as_deref(),
            Some("This is not supported by this terminal yet.")
        );
        let refund = String::from_utf8(payment("5").to_vec()).unwrap();
        let refund = refund.replace(
            r#""PaymentTransaction""#,
            r#""PaymentData":{"PaymentType":"Refund"},"PaymentTransaction""#,
        );
        assert_eq!(
            condition(&run(&mut device, refund.into(), &[])),
            Some(ErrorCondition::UNAVAILABLE_SERVICE)
        );
        assert_eq!(
            condition(&run(&mut device, message("Payment", "{}"), &[])),
            Some(ErrorCondition::MESSAGE_FORMAT)
        );
    }

    #[test]
    fn only_an_amount_that_can_be_paid_waits_for_a_card() {
        let mut random = Random::seeded(7);
        for amount in ["-5", "0", "0.00", "-0.01", "10.999", "0.001", "10.9900000000000002"] {
            let finish = device().start(NOW, delivery(), payment(amount), &[], &mut random).unwrap();
            assert_eq!(condition(&finish), Some(ErrorCondition::MESSAGE_FORMAT), "{amount}");
            assert!(
                additional(&finish, "message").unwrap().starts_with("RequestedAmount must be"),
                "{amount}"
            );
            assert_eq!(finish.execution, None);
        }
        for amount in ["0.01", "5", "10.990", "1e2"] {
            assert_eq!(device().start(NOW, delivery(), payment(amount), &[], &mut random), None, "{amount}");
        }
    }

    #[test]
    fn telemetry_is_flat() {
        let telemetry = device().telemetry().unwrap();
        assert!(telemetry.0.get().starts_with(r#"{"printerStatus":"OK","wifiIp":"192.0.2."#));
    }
}
