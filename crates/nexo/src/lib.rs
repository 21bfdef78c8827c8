//! The language of the field: nexo Sale to POI messages as types.
//!
//! A POS (the *Sale system*) sends `{"SaleToPOIRequest":{"MessageHeader":{..},"<Category>Request":{..}}}`; a terminal
//! (the *POI*) answers with `{"SaleToPOIResponse":{..}}` under the same header. This crate reads and writes such
//! messages and does nothing else: no I/O, no clock, no randomness, so the same input always gives the same output.
//!
//! What stays true:
//! - A message that is passed on is the bytes that came. [`Request`] and [`Response`] read the header and keep the
//!   text; only white space around the outermost value is dropped.
//! - A header that two readers could understand differently (a member given twice) is refused.
//! - No input from outside makes this crate panic, and no error text repeats a message's body.

mod error;
mod ids;
mod words;

mod header;
mod reference;

mod encryption;
mod envelope;
mod notification;
mod request;
mod response;

mod additional_response;
mod amount;
mod outcome;
mod sale_data;

mod abort;
mod diagnosis;
mod event;
mod payment;
mod receipt;
mod reversal;
mod transaction_status;

mod card_data;

mod compose;
mod failure;
mod reject;
mod status_answer;

pub use abort::AbortRequest;
pub use additional_response::AdditionalResponse;
pub use amount::Amount;
pub use card_data::{Kept, KeptText, holds_card_data};
pub use compose::{request, response};
pub use diagnosis::{
    DiagnosisRequest, DiagnosisResponse, GlobalStatus, HostStatus, PoiStatus, PrinterStatus,
};
pub use encryption::{EncryptionKey, Nonce, OpenError, Passphrase};
pub use error::DecodeError;
pub use event::{EventNotification, EventToNotify};
pub use failure::FailureResponse;
pub use header::{MessageCategory, MessageClass, MessageHeader, MessageType};
pub use ids::{DeviceId, PoiId, SaleId, ServiceId};
pub use notification::Notification;
pub use outcome::{ErrorCondition, PlainResponse, ResponseOutcome, ResultCode};
pub use payment::{
    AmountsReq, AmountsResp, AuthenticationMethod, CardData, EntryMode, OriginalPoiTransaction,
    PaymentAcquirerData, PaymentData, PaymentInstrumentData, PaymentInstrumentType, PaymentRequest,
    PaymentResponse, PaymentResult, PaymentTransaction, PaymentType,
};
pub use receipt::{DocumentQualifier, OutputContent, OutputFormat, OutputText, PaymentReceipt};
pub use reference::MessageReference;
pub use reject::{Reject, RejectReason};
pub use request::Request;
pub use response::Response;
pub use reversal::{ReversalReason, ReversalRequest, ReversalResponse};
pub use sale_data::{PoiData, SaleData, TransactionIdentification};
pub use status_answer::{StatusAnswer, transaction_status_response};
pub use transaction_status::{
    RepeatedMessageResponse, RepeatedResponseMessageBody, TransactionStatusRequest, TransactionStatusResponse,
};
