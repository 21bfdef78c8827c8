//! Answers and rows hold what the terminal said, and nothing that it did not say.

use super::super::{About, Findings};
use crate::frame::{pieces_of_response, pieces_repeated};
use crate::log::Outcome;
use crate::message::{Header, Message, Reject, Response, Says, ends_empty, is_charge};
use crate::run::{Answer, Call, Delivery, Index, Run};
use crate::verdict::Figure;

/// The conditions with which the gateway itself answers in a terminal's stead.
const GATEWAYS_OWN: [&str; 5] = ["Aborted", "InProgress", "MessageFormat", "NotAllowed", "UnreachableHost"];

pub(super) fn judge(found: &mut Findings<'_>) {
    let run = found.run;
    for call in &run.calls {
        let Some(told) = &call.told else { continue };
        let problem = match &told.answer {
            Answer::Ok if !call.asynchronous && !ends_empty(call.category()) && call.request().is_some() => {
                Some("was told ok, and no response".to_owned())
            }
            Answer::Ok | Answer::Status(_) => None,
            Answer::Message(bytes, message) => match &**message {
                Message::Response(response) => in_response(found, call, told.at, bytes, response),
                Message::Event(event) => in_event(call, &event.header, event.reject.as_ref()),
                Message::Request(_) | Message::Unreadable => {
                    Some("was told something that is no answer".to_owned())
                }
            },
        };
        // A success that nobody said, of what was not executed, is counted once.
        if let Some(problem) = problem.filter(|_| !found.has(Figure::FalseSuccess, told.at)) {
            add(found, call, told.at, &problem);
        }
    }
    rows(found);
    deliveries(found);
    for (at, poi, transaction) in run.wires.foreign() {
        let text = format!("{transaction} was not written as its desktop has asked for it");
        found.add(Figure::WrongStatus, at, About::poi(poi), text);
    }
}

fn add(found: &mut Findings<'_>, call: &Call<'_>, at: Index, problem: &str) {
    let header = call.request().map(|request| &request.header);
    let service = header.map_or("", |header| &header.service);
    let text = format!("call {} ({} {service}) {problem}", call.id, call.category());
    let about = call.about.and_then(|about| found.run.intention_of(about));
    let about = About { poi: header.map(|header| header.poi.as_str()), intention: call.intention.or(about) };
    found.add(Figure::WrongStatus, at, about, text);
}

fn in_response(
    found: &Findings<'_>,
    call: &Call<'_>,
    told: Index,
    bytes: &[u8],
    response: &Response,
) -> Option<String> {
    let asked = &call.request()?.header;
    if let Some(differs) = differs(asked, &response.header) {
        return Some(format!("was told a response with another {differs}"));
    }
    let run = found.run;
    let mut said_by = call.identity.into_iter().flat_map(|identity| who_said(run, identity, told, bytes));
    if let Some(first) = said_by.next() {
        let its_own = first.bytes == call.bytes || said_by.any(|delivery| delivery.bytes == call.bytes);
        if !its_own {
            return Some(format!("was told the response to another request, {}", first.id));
        }
        return other_reference(call, response);
    }
    if response.encrypted {
        return Some("was told an encrypted response that no terminal sent".into());
    }
    if response.header.category == "TransactionStatus" {
        return other_reference(call, response).or_else(|| from_ledger(run, call, told, bytes, response));
    }
    match response.result {
        // The gateway itself aborts only what it takes back before it was written.
        Says::Failure if response.condition == "Aborted" && was_written(run, call, told) => {
            Some("was told Failure/Aborted, which no terminal sent, after it was delivered".into())
        }
        Says::Failure if GATEWAYS_OWN.contains(&response.condition.as_str()) => None,
        Says::Failure => Some(format!("was told Failure/{}, which no terminal sent", response.condition)),
        Says::Success | Says::Nothing => Some("was told a response that no terminal sent".into()),
    }
}

/// Whether this very request had been written to a terminal before.
fn was_written(run: &Run<'_>, call: &Call<'_>, told: Index) -> bool {
    let deliveries = call.identity.map(|identity| run.identities[identity].deliveries.as_slice());
    let mut deliveries = deliveries.unwrap_or_default().iter().map(|number| &run.deliveries[*number]);
    deliveries.any(|delivery| delivery.bytes == call.bytes && delivery.written() < told)
}

/// The deliveries of this identity for which the gateway had read this very response.
fn who_said<'r, 'a>(
    run: &'r Run<'a>,
    identity: usize,
    told: Index,
    bytes: &'r [u8],
) -> impl Iterator<Item = &'r Delivery<'a>> {
    let deliveries = run.identities[identity].deliveries.iter().map(|number| &run.deliveries[*number]);
    deliveries.filter(move |delivery| delivery.results().any(|(read, said)| read < told && said == bytes))
}

/// The answer to a TransactionStatus that the gateway wrote itself.
fn from_ledger(
    run: &Run<'_>,
    call: &Call<'_>,
    told: Index,
    bytes: &[u8],
    response: &Response,
) -> Option<String> {
    match (response.result, &response.repeated) {
        (Says::Failure, None) if response.condition == "NotFound" => None,
        (Says::Failure, None) if GATEWAYS_OWN.contains(&response.condition.as_str()) => None,
        (Says::Success, Some(_)) => {
            let Some(repeated) = pieces_repeated(bytes) else {
                return Some("found something that can't be read".into());
            };
            let deliveries = call.about.map(|about| run.identities[about].deliveries.as_slice());
            let mut deliveries = deliveries.unwrap_or_default().iter().map(|number| &run.deliveries[*number]);
            let said = deliveries.any(|delivery| {
                let mut results = delivery.results().filter(|(read, _)| *read < told);
                results.any(|(_, said)| pieces_of_response(said).as_ref() == Some(&repeated))
            });
            (!said).then(|| "found a response that no terminal sent".into())
        }
        _ => Some("was told a status that neither ledger nor terminal can have said".into()),
    }
}

/// What a status repeats is of the request that was asked for.
fn other_reference(call: &Call<'_>, response: &Response) -> Option<String> {
    let (Some(found), Some(reference)) = (&response.repeated, call.reference()) else { return None };
    let service = reference.service.as_ref()?;
    if found.header.service != *service {
        Some(format!("asked for ServiceID {service} and was told of {}", found.header.service))
    } else if found.header.poi != reference.poi {
        Some(format!("asked for {} and was told of {}", reference.poi, found.header.poi))
    } else if !reference.means(&found.header.sale, &found.header.category) {
        let (category, sale) = (&found.header.category, &found.header.sale);
        Some(format!("was told of a {category} of SaleID {sale}, for which it did not ask"))
    } else {
        None
    }
}

/// The member in which a response is not the answer to this request.
fn differs(asked: &Header, told: &Header) -> Option<&'static str> {
    if told.message_type != "Response" {
        Some("MessageType")
    } else if told.service != asked.service {
        Some("ServiceID")
    } else if told.sale != asked.sale {
        Some("SaleID")
    } else if told.poi != asked.poi {
        Some("POIID")
    } else if told.category != asked.category {
        Some("MessageCategory")
    } else if asked.class == "Device" && told.device != asked.device {
        Some("DeviceID")
    } else {
        None
    }
}

fn in_event(call: &Call<'_>, told: &Header, reject: Option<&Reject>) -> Option<String> {
    let asked = &call.request()?.header;
    let other = |told: &str, asked: &str| told != asked && told != "N/A" && !told.is_empty();
    if reject.is_none() {
        Some("was told an event that is no Reject".into())
    } else if other(&told.service, &asked.service) {
        Some(format!("was told a Reject of ServiceID {}", told.service))
    } else if other(&told.sale, &asked.sale) || other(&told.poi, &asked.poi) {
        Some(format!("was told a Reject of {} at {}", told.sale, told.poi))
    } else {
        None
    }
}

/// What the ledger holds as an answer was said for that very delivery, and does not contradict what was executed.
fn rows(found: &mut Findings<'_>) {
    let run = found.run;
    for seen in run.rows.iter().filter(|seen| seen.row.outcome == Outcome::Answered) {
        let Some((kept, message)) = &seen.response else { continue };
        let delivery = run.delivery(&seen.row.delivery);
        let (intention, set_aside) = match seen.identity {
            Some(identity) => {
                let intention = run.intention_of(identity);
                (intention, run.is_set_aside(identity, intention))
            }
            None => (None, false),
        };
        let executed = seen.identity.is_some_and(|identity| !run.identities[identity].executions.is_empty());
        let problem = match (delivery, &**message) {
            (Some(delivery), _) if delivery.results().all(|(_, said)| said != *kept) => {
                Some("holds a response that its terminal never sent")
            }
            (None, _) => Some("is answered, and was never delivered"),
            (Some(_), Message::Response(response)) if is_charge(&seen.row.category) && !set_aside => {
                match response.result {
                    Says::Success if !executed => Some("holds a success, and was not executed"),
                    Says::Failure if executed => Some("holds a failure, and was executed"),
                    _ => None,
                }
            }
            _ => None,
        };
        if let Some(problem) = problem {
            let about = About::poi(&seen.row.poi).intention(intention);
            let text = format!(
                "the row of {} {}, delivery {}, {problem}",
                seen.row.category, seen.row.service, seen.row.delivery
            );
            found.add(Figure::WrongStatus, seen.at, about, text);
        }
    }
}

/// What the gateway sends for an Actions desktop it writes itself; a payment only if the desktop has asked for it.
fn is_for_desktop(run: &Run<'_>, delivery: &Delivery<'_>) -> bool {
    delivery.request().is_some_and(|request| {
        let transaction = request.intention.as_ref().and_then(|wanted| wanted.transaction.as_deref());
        let is_asked_for = transaction.is_some_and(|name| run.wires.was_asked_for(name));
        request.header.sale == "Actions" && (request.header.category != "Payment" || is_asked_for)
    })
}

/// A terminal gets what a POS has sent it, byte for byte.
fn deliveries(found: &mut Findings<'_>) {
    let run = found.run;
    for delivery in &run.deliveries {
        let calls = delivery.identity.map(|identity| run.identities[identity].calls.as_slice());
        let mut calls = calls.unwrap_or_default().iter().map(|call| &run.calls[*call]);
        let was_sent = calls.any(|call| call.asked < delivery.written() && call.bytes == delivery.bytes)
            || is_for_desktop(run, delivery);
        let is_its_own = delivery.request().is_none_or(|request| request.header.poi == delivery.poi);
        if was_sent && is_its_own {
            continue;
        }
        let whose = if was_sent { "for another terminal" } else { "that no POS has sent" };
        let about = About::poi(delivery.poi).intention(delivery.intention);
        let text = format!("{} holds a request {whose}", delivery.id);
        found.add(Figure::WrongStatus, delivery.written(), about, text);
    }
}
