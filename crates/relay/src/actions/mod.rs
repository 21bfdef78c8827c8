//! The Actions API: desktops (Sale systems) and terminals that speak JSON objects over one WebSocket, `GET /v1`.
//!
//! A dialect, and no more than that: a desktop's `payment` becomes a nexo Payment for its terminal's [`Desk`], and a
//! terminal of this dialect is a link of one. So what is promised about money is decided where it always is; here it is
//! only said in other words.
//!
//! - [`FromClient`] and [`ToClient`] are the frames, [`ClientError`] is what a client hears of a frame that is none.
//! - [`PaymentAsk`] is what a desktop asks for, with its way to nexo and back; [`judge`] says what an answer means for it.
//! - [`Pursuit`] follows one payment of a desktop to its end, restarts and voids included.
//! - [`SaleAsk`] is a nexo Payment as an Actions terminal gets it, with the terminal's way back.
//! - [`Port`] is the gateway's end of one Actions terminal's socket.
//!
//! What stays true:
//! - an amount is never a float: what a desktop wrote is what a terminal of the link is asked for, digit by digit;
//! - a `paymentRequest` that two readers could understand differently is refused;
//! - `SUCCESS` is said only for a `Success` of the terminal's own, and the other way round.
//!
//! Sources: the Actions page of the specification ("the page"); its sibling pages, where they say more; what both leave
//! open is ours, and said to be.
//!
//! [`Desk`]: crate::exchange::Desk

mod client_error;
mod frame;
mod json;
mod outcome;
mod payment;
mod port;
mod pursuit;
mod sale;
mod to_client;
mod transaction;

pub use client_error::{ClientError, ERRORS_MAX, ERRORS_WITHIN, ErrorKind, ErrorPace};
pub use frame::{FromClient, Resume, TerminalAnswer, VoidAnswer};
pub use json::RawJson;
pub use outcome::{Judgement, PaymentFailure, PaymentOutcome, error_code_of, judge};
pub use payment::{PaymentAsk, SALE_ID, service_id_of};
pub use port::{Asked, Known, Opening, Port, PortOrder, PortSetup, RESUME_WAIT, SILENCE_MAX, Standing};
pub use pursuit::{
    Charge, End, PATIENCE, PaymentStanding, Pursuit, PursuitOrder, Question, Resumed, Undo, VoidEnd,
};
pub use sale::{Misfit, PaymentName, Refusal, SaleAsk, VoidAsk};
pub use to_client::{
    PaymentComplete, PaymentVoided, TerminalChange, TerminalInfo, TerminalPresence, TerminalStatusUpdate,
    ToClient,
};
pub use transaction::{PaymentStatus, TransactionId};
