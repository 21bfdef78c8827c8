//! The POS: what it has asked, what it was told, and what it therefore does next.

use nexo::{Response, ResultCode};
use relay::exchange::{Answer, StatusAnswer};

use super::script::CALLS_MAX;

/// What a call asks. Payments are numbered: the sale's first ServiceID is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Charge the sale under this ServiceID.
    Payment(u8),
    /// What became of that payment?
    Status(u8),
    /// Call that payment off.
    Abort(u8),
}

impl Want {
    pub(super) fn service(self) -> u8 {
        match self {
            Want::Payment(service) | Want::Status(service) | Want::Abort(service) => service,
        }
    }
}

/// What an answer says about the payment that the call was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It was charged.
    Charged,
    /// It did not run and never will.
    DidNotRun,
    /// Nobody knows.
    Unknown,
    /// It runs.
    InProgress,
    /// Send the same once more.
    TryAgain,
    /// Done, or received.
    Ok,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Waiting,
    Heard(Told),
    HungUp,
    /// The gateway that had it is no more.
    Lost,
}

#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) want: Want,
    pub(super) call: Call,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Pos {
    pub(super) asked: Vec<Asked>,
    /// How many ServiceIDs the sale was given.
    pub(super) services: u8,
    /// It takes "nobody knows" for "did not run": no POS may.
    pub(super) is_careless: bool,
}

impl Pos {
    /// Whether the sale may be tried under a new ServiceID: the POS was told that the latest one did not run.
    pub(super) fn may_pay_anew(&self) -> bool {
        let Some(latest) = self.services.checked_sub(1) else { return true };
        self.services < CALLS_MAX
            && self.asked.iter().any(|asked| {
                asked.want.service() == latest
                    && !matches!(asked.want, Want::Abort(_))
                    && match asked.call {
                        Call::Heard(Told::DidNotRun) => true,
                        Call::Heard(Told::Unknown) => self.is_careless,
                        _ => false,
                    }
            })
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = usize> {
        let calls = self.asked.iter().enumerate();
        calls.filter(|(_, asked)| asked.call == Call::Waiting).map(|(index, _)| index)
    }
}

/// What a call hears, as a POS reads it.
pub(super) fn read(want: Want, answer: &Answer) -> Told {
    match (want, answer) {
        (Want::Abort(_), Answer::Ok) | (_, Answer::Ok) => Told::Ok,
        (Want::Abort(_), Answer::Response(_)) => Told::Ok,
        (Want::Payment(_), Answer::Response(message)) => read_payment(message),
        (_, Answer::Status(StatusAnswer::Found(message))) => read_payment(message),
        (Want::Status(_), Answer::Response(message)) => read_status(message),
        (_, Answer::Status(StatusAnswer::InProgress)) => Told::InProgress,
        (_, Answer::Status(StatusAnswer::NotFound)) => Told::DidNotRun,
        (_, Answer::TryAgain | Answer::TooMany) => Told::TryAgain,
        (Want::Payment(_), Answer::NotDelivered) => Told::DidNotRun,
        (Want::Payment(_), Answer::Failure { condition, .. }) => {
            match *condition == nexo::ErrorCondition::IN_PROGRESS {
                true => Told::InProgress,
                false => Told::DidNotRun,
            }
        }
        (Want::Status(_) | Want::Abort(_), Answer::NotDelivered | Answer::Failure { .. })
        | (_, Answer::NoResponse) => Told::Unknown,
    }
}

fn read_payment(message: &bytes::Bytes) -> Told {
    let outcome = Response::parse(message.clone()).ok().and_then(|response| response.outcome());
    match outcome.map(|outcome| outcome.result) {
        Some(ResultCode::Success | ResultCode::Partial) => Told::Charged,
        Some(ResultCode::Failure) => Told::DidNotRun,
        _ => Told::Unknown,
    }
}

/// A TransactionStatusResponse of the terminal: a success holds the payment's own response.
fn read_status(message: &bytes::Bytes) -> Told {
    const REPEATED: &str = "/SaleToPOIResponse/TransactionStatusResponse/RepeatedMessageResponse/RepeatedResponseMessageBody/PaymentResponse/Response/Result";
    let Ok(response) = Response::parse(message.clone()) else { return Told::Unknown };
    if response.is_not_found() {
        return Told::DidNotRun;
    }
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(message) else { return Told::Unknown };
    match json.pointer(REPEATED).and_then(serde_json::Value::as_str) {
        Some("Success" | "Partial") => Told::Charged,
        Some("Failure") => Told::DidNotRun,
        _ => match response.outcome().and_then(|outcome| outcome.error_condition) {
            Some(condition) if condition == nexo::ErrorCondition::IN_PROGRESS => Told::InProgress,
            _ => Told::Unknown,
        },
    }
}
