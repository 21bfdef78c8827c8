//! Payments: what a POS asks for and what a terminal answers.

use serde::{Deserialize, Serialize};

use crate::{
    Amount, PaymentReceipt, PoiData, PoiId, ResponseOutcome, SaleData, SaleId, TransactionIdentification,
    sale_data::null_as_default, words::words,
};

/// Asks the terminal to take a payment, or to pay out a refund that refers to none.
///
/// ```json
/// {"SaleData":{"SaleTransactionID":{"TransactionID":"27908","TimeStamp":"2026-11-20T09:15:02.118Z"}},
///  "PaymentTransaction":{"AmountsReq":{"Currency":"EUR","RequestedAmount":10.99}}}
/// ```
/// Source: nexo Sale to POI protocol 3.0, `PaymentRequest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PaymentRequest {
    /// The transaction as the POS knows it.
    pub sale_data: SaleData,
    /// How much, and under which conditions.
    pub payment_transaction: PaymentTransaction,
    /// What kind of payment, when it is not an ordinary one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_data: Option<PaymentData>,
}

/// How much is to be paid, and for which earlier transaction.
///
/// Source: nexo Sale to POI protocol 3.0, `PaymentTransaction`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PaymentTransaction {
    /// The amounts asked for.
    pub amounts_req: AmountsReq,
    /// An earlier transaction that this one continues.
    #[serde(rename = "OriginalPOITransaction", default, skip_serializing_if = "Option::is_none")]
    pub original_poi_transaction: Option<OriginalPoiTransaction>,
}

/// The amounts asked for.
///
/// Source: nexo Sale to POI protocol 3.0, `AmountsReq`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AmountsReq {
    /// Three upper-case letters, ISO 4217.
    pub currency: String,
    /// What is to be paid, cash back and tip included, in major units.
    pub requested_amount: Amount,
    /// The part that the customer takes in cash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cash_back_amount: Option<Amount>,
    /// The part that is a tip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tip_amount: Option<Amount>,
}

/// What kind of payment is asked for.
///
/// Source: nexo Sale to POI protocol 3.0, `PaymentData`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PaymentData {
    /// The kind; absent means [`PaymentType::NORMAL`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_type: Option<PaymentType>,
    /// The card acquisition whose card is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_acquisition_reference: Option<TransactionIdentification>,
}

words! {
    /// `PaymentType`: the kind of a payment. An open set.
    ///
    /// Source: nexo Sale to POI protocol 3.0, `PaymentData.PaymentType`.
    PaymentType {
        NORMAL = "Normal",
        REFUND = "Refund",
        CASH_ADVANCE = "CashAdvance",
        CASH_DEPOSIT = "CashDeposit",
        COMPLETION = "Completion",
        FIRST_RESERVATION = "FirstReservation",
        INSTALMENT = "Instalment",
        ISSUER_INSTALMENT = "IssuerInstalment",
        ONE_TIME_RESERVATION = "OneTimeReservation",
        PAID_OUT = "PaidOut",
        RECURRING = "Recurring",
        UPDATE_RESERVATION = "UpdateReservation",
    }
}

/// Points at an earlier transaction of a terminal.
///
/// Source: nexo Sale to POI protocol 3.0, `OriginalPOITransaction`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OriginalPoiTransaction {
    /// `SaleID` of that transaction, when it was another.
    #[serde(rename = "SaleID", default, skip_serializing_if = "Option::is_none")]
    pub sale_id: Option<SaleId>,
    /// `POIID` of that transaction, when it was another.
    #[serde(rename = "POIID", default, skip_serializing_if = "Option::is_none")]
    pub poi_id: Option<PoiId>,
    /// `POITransactionID`: that transaction as the terminal named it.
    #[serde(rename = "POITransactionID", default, skip_serializing_if = "Option::is_none")]
    pub poi_transaction_id: Option<TransactionIdentification>,
    /// The authorisation code of that transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_code: Option<String>,
}

/// How a payment went.
///
/// Source: nexo Sale to POI protocol 3.0, `PaymentResponse`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PaymentResponse {
    /// How it went.
    pub response: ResponseOutcome,
    /// The request's own. Required by the schema; left out by terminals that failed early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sale_data: Option<SaleData>,
    /// The transaction as the terminal knows it. Required by the schema; left out by terminals that failed early.
    #[serde(rename = "POIData", default, skip_serializing_if = "Option::is_none")]
    pub poi_data: Option<PoiData>,
    /// What was paid and by what; present when a card was involved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_result: Option<PaymentResult>,
    /// What to print for the customer and for the shop.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub payment_receipt: Vec<PaymentReceipt>,
}

/// What was paid and by what.
///
/// Source: nexo Sale to POI protocol 3.0, `PaymentResult`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PaymentResult {
    /// The kind of payment; absent means [`PaymentType::NORMAL`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_type: Option<PaymentType>,
    /// What it was paid with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_instrument_data: Option<PaymentInstrumentData>,
    /// The amounts that were authorised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amounts_resp: Option<AmountsResp>,
    /// Whether the host decided; absent means that it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online_flag: Option<bool>,
    /// How the customer was authenticated.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub authentication_method: Vec<AuthenticationMethod>,
    /// What the acquirer knows the payment by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_acquirer_data: Option<PaymentAcquirerData>,
}

/// What a payment was made with.
///
/// Source: nexo Sale to POI protocol 3.0, `PaymentInstrumentData`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PaymentInstrumentData {
    /// The kind of instrument.
    pub payment_instrument_type: PaymentInstrumentType,
    /// The card, when it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_data: Option<CardData>,
}

words! {
    /// `PaymentInstrumentType`: the kind of a payment instrument. An open set.
    ///
    /// Source: nexo Sale to POI protocol 3.0, `PaymentInstrumentData.PaymentInstrumentType`.
    PaymentInstrumentType {
        CARD = "Card",
        CASH = "Cash",
        CHECK = "Check",
        MOBILE = "Mobile",
        STORED_VALUE = "StoredValue",
    }
}

/// A card, as far as a POS may know it.
///
/// Source: nexo Sale to POI protocol 3.0, `CardData`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CardData {
    /// The brand, such as `mc` or `visa`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_brand: Option<String>,
    /// The card number with its middle left out, such as `541333 **** 9999`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked_pan: Option<String>,
    /// How the card was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub entry_mode: Vec<EntryMode>,
}

words! {
    /// `EntryMode`: how a card was read. An open set.
    ///
    /// Source: nexo Sale to POI protocol 3.0, `CardData.EntryMode`.
    EntryMode {
        CONTACTLESS = "Contactless",
        FILE = "File",
        ICC = "ICC",
        KEYED = "Keyed",
        MAG_STRIPE = "MagStripe",
        MANUAL = "Manual",
        MOBILE = "Mobile",
        RFID = "RFID",
        SCANNED = "Scanned",
        SYNCHRONOUS_ICC = "SynchronousICC",
        TAPPED = "Tapped",
    }
}

/// The amounts that were authorised.
///
/// Source: nexo Sale to POI protocol 3.0, `AmountsResp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AmountsResp {
    /// Three upper-case letters, ISO 4217.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// What was authorised in all, in major units.
    pub authorized_amount: Amount,
    /// The part that is a tip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tip_amount: Option<Amount>,
    /// The part that the customer takes in cash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cash_back_amount: Option<Amount>,
}

words! {
    /// `AuthenticationMethod`: how a customer was authenticated. An open set.
    ///
    /// Source: nexo Sale to POI protocol 3.0, `PaymentResult.AuthenticationMethod`.
    AuthenticationMethod {
        BYPASS = "Bypass",
        MANUAL_VERIFICATION = "ManualVerification",
        MERCHANT_AUTHENTICATION = "MerchantAuthentication",
        OFFLINE_PIN = "OfflinePIN",
        ONLINE_PIN = "OnlinePIN",
        PAPER_SIGNATURE = "PaperSignature",
        SECURED_CHANNEL = "SecuredChannel",
        SECURE_CERTIFICATE = "SecureCertificate",
        SECURE_NO_CERTIFICATE = "SecureNoCertificate",
        SIGNATURE_CAPTURE = "SignatureCapture",
        UNKNOWN_METHOD = "UnknownMethod",
    }
}

/// What the acquirer knows a payment by.
///
/// Source: nexo Sale to POI protocol 3.0, `PaymentAcquirerData`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PaymentAcquirerData {
    /// `AcquirerID`: the number of the acquirer.
    #[serde(rename = "AcquirerID", default, skip_serializing_if = "Option::is_none")]
    pub acquirer_id: Option<u64>,
    /// `MerchantID`: the merchant account.
    #[serde(rename = "MerchantID")]
    pub merchant_id: String,
    /// `AcquirerPOIID`: the terminal as the acquirer knows it.
    #[serde(rename = "AcquirerPOIID")]
    pub acquirer_poi_id: String,
    /// `AcquirerTransactionID`: the transaction as the acquirer knows it.
    #[serde(rename = "AcquirerTransactionID", default, skip_serializing_if = "Option::is_none")]
    pub acquirer_transaction_id: Option<TransactionIdentification>,
    /// `ApprovalCode`: the authorisation code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_code: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DocumentQualifier, OutputContent, OutputText, ResponseOutcome};

    fn id(text: &str) -> TransactionIdentification {
        TransactionIdentification {
            transaction_id: text.to_owned(),
            time_stamp: "2026-11-20T09:15:02.118Z".to_owned(),
        }
    }

    #[test]
    fn a_request_is_read_with_members_it_does_not_know() {
        let request: PaymentRequest = serde_json::from_str(
            r#"{"PaymentTransaction":{"TransactionConditions":{"AllowedPaymentBrand":["mc"]},"AmountsReq":{"RequestedAmount":1.099e1,"Currency":"EUR"}},
                "SaleData":{"OperatorID":"Ada","SaleToAcquirerData":"tenderOption=ReceiptHandler","SaleTransactionID":{"TransactionID":"1","TimeStamp":"t"},"SaleTerminalData":{}},
                "PaymentData":{"PaymentType":"Refund"}}"#,
        )
        .unwrap();
        assert_eq!(request.payment_transaction.amounts_req.requested_amount.to_string(), "10.99");
        assert_eq!(request.sale_data.operator_id.as_deref(), Some("Ada"));
        assert_eq!(request.payment_data.unwrap().payment_type, Some(PaymentType::REFUND));
    }

    #[test]
    fn a_request_is_written_with_only_what_it_has() {
        let request = PaymentRequest {
            sale_data: SaleData::new(id("27908")),
            payment_transaction: PaymentTransaction {
                amounts_req: AmountsReq {
                    currency: "EUR".to_owned(),
                    requested_amount: Amount::parse("10.00").unwrap(),
                    cash_back_amount: None,
                    tip_amount: None,
                },
                original_poi_transaction: None,
            },
            payment_data: None,
        };
        assert_eq!(
            serde_json::to_string(&request).unwrap(),
            r#"{"SaleData":{"SaleTransactionID":{"TransactionID":"27908","TimeStamp":"2026-11-20T09:15:02.118Z"}},"PaymentTransaction":{"AmountsReq":{"Currency":"EUR","RequestedAmount":10.00}}}"#
        );
    }

    #[test]
    fn a_response_is_written_under_the_wire_names_and_read_back() {
        let response = PaymentResponse {
            response: ResponseOutcome::success(),
            sale_data: Some(SaleData::new(id("27908"))),
            poi_data: Some(PoiData {
                poi_transaction_id: id("tx"),
                poi_reconciliation_id: Some("1000".to_owned()),
            }),
            payment_result: Some(PaymentResult {
                payment_type: Some(PaymentType::NORMAL),
                payment_instrument_data: Some(PaymentInstrumentData {
                    payment_instrument_type: PaymentInstrumentType::CARD,
                    card_data: Some(CardData {
                        payment_brand: Some("mc".to_owned()),
                        masked_pan: Some("541333 **** 9999".to_owned()),
                        entry_mode: vec![EntryMode::TAPPED],
                    }),
                }),
                amounts_resp: Some(AmountsResp {
                    currency: Some("EUR".to_owned()),
                    authorized_amount: Amount::parse("10.99").unwrap(),
                    tip_amount: None,
                    cash_back_amount: None,
                }),
                online_flag: Some(true),
                authentication_method: vec![AuthenticationMethod::ONLINE_PIN],
                payment_acquirer_data: Some(PaymentAcquirerData {
                    acquirer_id: Some(1),
                    merchant_id: "DEMO".to_owned(),
                    acquirer_poi_id: "V400m-1".to_owned(),
                    acquirer_transaction_id: Some(id("acq")),
                    approval_code: Some("123456".to_owned()),
                }),
            }),
            payment_receipt: vec![PaymentReceipt {
                document_qualifier: DocumentQualifier::CASHIER_RECEIPT,
                required_signature_flag: Some(false),
                output_content: OutputContent::text(vec![OutputText::line("key=header1")]),
            }],
        };
        let json = serde_json::to_string(&response).unwrap();
        let stamp = r#""TimeStamp":"2026-11-20T09:15:02.118Z""#;
        assert_eq!(
            json,
            format!(
                r#"{{"Response":{{"Result":"Success"}},"SaleData":{{"SaleTransactionID":{{"TransactionID":"27908",{stamp}}}}},"POIData":{{"POITransactionID":{{"TransactionID":"tx",{stamp}}},"POIReconciliationID":"1000"}},"PaymentResult":{{"PaymentType":"Normal","PaymentInstrumentData":{{"PaymentInstrumentType":"Card","CardData":{{"PaymentBrand":"mc","MaskedPan":"541333 **** 9999","EntryMode":["Tapped"]}}}},"AmountsResp":{{"Currency":"EUR","AuthorizedAmount":10.99}},"OnlineFlag":true,"AuthenticationMethod":["OnlinePIN"],"PaymentAcquirerData":{{"AcquirerID":1,"MerchantID":"DEMO","AcquirerPOIID":"V400m-1","AcquirerTransactionID":{{"TransactionID":"acq",{stamp}}},"ApprovalCode":"123456"}}}},"PaymentReceipt":[{{"DocumentQualifier":"CashierReceipt","RequiredSignatureFlag":false,"OutputContent":{{"OutputFormat":"Text","OutputText":[{{"Text":"key=header1","EndOfLineFlag":true}}]}}}}]}}"#
            )
        );
        assert_eq!(serde_json::from_str::<PaymentResponse>(&json).unwrap(), response);
    }

    #[test]
    fn an_amount_out_of_range_makes_the_request_unreadable() {
        let text = r#"{"SaleData":{"SaleTransactionID":{"TransactionID":"1","TimeStamp":"t"}},"PaymentTransaction":{"AmountsReq":{"Currency":"EUR","RequestedAmount":1e40}}}"#;
        assert!(serde_json::from_str::<PaymentRequest>(text).is_err());
    }
}
