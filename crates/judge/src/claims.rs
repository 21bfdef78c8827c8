//! What the answers of a run say about money: each that claims *it ran* or *it did not run*, and of what.

use crate::message::{Event, Message, Reject, Response, Says, is_charge, is_of_device};
use crate::run::{Answer, Call, Execution, Index, Run};

/// One answer's word about one request.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) call: usize,
    pub(crate) told: Index,
    /// Of which request.
    pub(crate) identity: usize,
    pub(crate) intention: Option<usize>,
    /// TransactionID of the SaleTransactionID that the answer names, where no intention is known.
    transaction: Option<String>,
    pub(crate) says: Claimed,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    Ran,
    /// By which words.
    NeverRan(String),
    /// The ServiceID is not this request's: that denies only what is the same to the byte.
    NotThisOne,
}

impl Claim {
    /// Whether this is what the claim is about.
    pub(crate) fn is_about(&self, run: &Run<'_>, execution: &Execution) -> bool {
        let same = match (self.intention, &self.transaction, &execution.transaction) {
            (Some(intention), ..) => execution.intention == Some(intention),
            (None, Some(told), Some(executed)) => told == executed,
            _ => true,
        };
        same && (self.says != Claimed::NotThisOne || self.is_same_request(run, execution))
    }

    fn is_same_request(&self, run: &Run<'_>, execution: &Execution) -> bool {
        let asked = run.calls[self.call].bytes;
        run.delivery(&execution.delivery).is_none_or(|delivery| delivery.bytes == asked)
    }
}

/// All of them, in the order of the calls.
pub(crate) fn claims(run: &Run<'_>) -> Vec<Claim> {
    let calls = run.calls.iter().enumerate();
    calls.filter_map(|(number, call)| claim(run, number, call)).collect()
}

fn claim(run: &Run<'_>, number: usize, call: &Call<'_>) -> Option<Claim> {
    let told = call.told.as_ref()?;
    let Answer::Message(_, message) = &told.answer else { return None };
    let category = call.category();
    let (identity, intention, transaction, says) = if is_charge(category) {
        (call.identity?, call.intention, None, about_itself(category, message)?)
    } else if category == "TransactionStatus" {
        about_another(run, call, message)?
    } else {
        return None;
    };
    Some(Claim { call: number, told: told.at, identity, intention, transaction, says })
}

/// What the answer to a payment or a reversal says about it.
fn about_itself(category: &str, message: &Message) -> Option<Claimed> {
    match message {
        Message::Response(response) if response.header.category == category => of_response(response),
        Message::Event(Event { reject: Some(reject), .. }) => match reject {
            Reject::NoResponse => None,
            Reject::Refused(condition) => failed(condition),
            Reject::NotDelivered => Some(Claimed::NeverRan("not delivered".into())),
            Reject::Other(text) => Some(Claimed::NeverRan(text.clone())),
        },
        _ => None,
    }
}

fn of_response(response: &Response) -> Option<Claimed> {
    match response.result {
        Says::Success => Some(Claimed::Ran),
        Says::Failure => failed(&response.condition),
        Says::Nothing => None,
    }
}

/// *In progress* denies nothing: what runs may still be charged.
fn failed(condition: &str) -> Option<Claimed> {
    match condition {
        "InProgress" => None,
        "NotAllowed" => Some(Claimed::NotThisOne),
        condition => Some(Claimed::NeverRan(format!("Failure/{condition}"))),
    }
}

type About = (usize, Option<usize>, Option<String>, Claimed);

/// What the answer to a TransactionStatus says about the request that it names.
fn about_another(run: &Run<'_>, call: &Call<'_>, message: &Message) -> Option<About> {
    let of_device = call.reference()?.category.as_deref().is_some_and(is_of_device);
    if of_device {
        return None;
    }
    let never_ran = |words: &str| Some((call.about?, None, None, Claimed::NeverRan(words.into())));
    let response = match message {
        // A POS that asks about a payment takes the question's end for the payment's (E18).
        Message::Event(Event { reject: Some(Reject::NotDelivered), .. }) => {
            return never_ran("not delivered, when it asked for the status");
        }
        Message::Response(response) if response.header.category == "TransactionStatus" => response,
        _ => return None,
    };
    match (response.result, &response.repeated) {
        (Says::Failure, _) if response.condition == "NotFound" => never_ran("NotFound"),
        (Says::Success, Some(found)) if is_charge(&found.header.category) => {
            // Without a ServiceID it is the terminal that says what it was about.
            let about = match call.reference().and_then(|reference| reference.service.as_deref()) {
                Some(_) => call.about?,
                None => run.identity(&found.header.poi, &found.header.service, "")?,
            };
            let says = match of_response(found)? {
                Claimed::Ran => Claimed::Ran,
                Claimed::NeverRan(words) => Claimed::NeverRan(format!("found as {words}")),
                Claimed::NotThisOne => Claimed::NeverRan("found as Failure/NotAllowed".into()),
            };
            Some((about, None, found.transaction.clone(), says))
        }
        _ => None,
    }
}
