//! A TransactionStatus that is asked when everything has come to rest is answered by what the ledger holds.

use super::super::{About, Findings};
use crate::log::Outcome;
use crate::message::{Message, Reject, Says};
use crate::run::{Answer, Call, Index, RowSeen, Run, Told};
use crate::verdict::Figure;

/// Such a question, its answer, and the row that it is about.
pub(in crate::rules) struct Question<'r, 'a> {
    pub(in crate::rules) call: &'r Call<'a>,
    pub(in crate::rules) told: &'r Told<'a>,
    pub(in crate::rules) row: &'r RowSeen<'a>,
}

/// The questions that only the ledger answers, and about which it had nothing more to learn.
pub(in crate::rules) fn last_questions<'r, 'a>(run: &'r Run<'a>) -> Vec<Question<'r, 'a>> {
    let questions = run.calls.iter().filter(|call| is_last(run, call));
    let known = questions.filter_map(|call| {
        let (told, about) = (call.told.as_ref()?, call.about?);
        let reference = call.reference()?;
        let rows = run.identities[about].rows.iter().map(|row| &run.rows[*row]);
        let row = rows.into_iter().find(|row| reference.means(&row.row.sale, &row.row.category))?;
        (!changes_after(run, about, call.asked)).then_some(Question { call, told, row })
    });
    known.collect()
}

/// A question of its own ServiceID, on `/sync`, that does not need the terminal.
fn is_last(run: &Run<'_>, call: &Call<'_>) -> bool {
    let asks = call.request().is_some_and(|request| {
        request.header.category == "TransactionStatus"
            && !request.reprint
            && request.reference.as_ref().is_some_and(|reference| reference.poi == request.header.poi)
    });
    let first = call.identity.is_some_and(|own| run.identities[own].calls.len() == 1);
    asks && first && !call.asynchronous && run.is_at_rest(call.asked)
}

/// Whether something still happened to this identity's exchange later than that.
fn changes_after(run: &Run<'_>, identity: usize, asked: Index) -> bool {
    let identity = &run.identities[identity];
    let deliveries = identity.deliveries.iter().map(|number| &run.deliveries[*number]);
    let mut last = deliveries.flat_map(|delivery| {
        let reports = delivery.reports.iter().map(|report| report.at);
        delivery.writes.iter().map(|(at, _)| *at).chain(reports)
    });
    last.any(|at| at > asked)
}

pub(super) fn judge(found: &mut Findings<'_>) {
    let run = found.run;
    for call in run.calls.iter().filter(|call| is_last(run, call)) {
        in_progress(found, call);
    }
    for Question { call, told, row } in last_questions(run) {
        let Some(identity) = row.identity else { continue };
        let executed = run.identities[identity].executions.first();
        let executed = executed.map(|number| &run.executions[*number]);
        let intention = run.intention_of(identity);
        if run.is_set_aside(identity, intention) {
            continue;
        }
        let Answer::Message(_, message) = &told.answer else { continue };
        let heard = heard(message);
        let right = match row.row.outcome {
            Outcome::Answered => match &row.response {
                Some((_, kept)) => heard == Heard::Found(result_of(kept)),
                None => true,
            },
            // What was executed all the same makes a false failure of it.
            Outcome::NeverReached | Outcome::Refused => heard == Heard::NotFound || executed.is_some(),
            Outcome::UnknownFinal => heard == Heard::NoResponse,
            Outcome::Open | Outcome::Unknown => true,
        };
        // What denies a charge, or does not find it, is counted there.
        let counted = found.has(Figure::FalseFailure, told.at)
            || found.has(Figure::Lost, told.at)
            || found.has(Figure::FalseSuccess, told.at);
        if !right && !counted {
            let text = format!(
                "call {} asked for ServiceID {} and heard {heard:?}, and the ledger says {:?}",
                call.id, row.row.service, row.row.outcome
            );
            let about = About::poi(&row.row.poi).intention(intention);
            found.add(Figure::WrongStatus, told.at, about, text);
        }
    }
}

/// At rest nothing runs, unless it was sent since.
fn in_progress(found: &mut Findings<'_>, call: &Call<'_>) {
    let run = found.run;
    let (Some(told), Some(about)) = (&call.told, call.about) else { return };
    let Answer::Message(_, message) = &told.answer else { return };
    let identity = &run.identities[about];
    let still_sent = identity.calls.iter().map(|call| &run.calls[*call]).any(|sent| {
        run.is_at_rest(sent.asked)
            && sent.asked < told.at
            && sent.told.as_ref().is_none_or(|sent| sent.at > call.asked)
    });
    if heard(message) == Heard::InProgress && !still_sent {
        let text = format!(
            "call {} asked for ServiceID {} in the end and heard InProgress",
            call.id, identity.service
        );
        let about = About::poi(&identity.poi).intention(run.intention_of(about));
        found.add(Figure::WrongStatus, told.at, about, text);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Found(Says),
    InProgress,
    NotFound,
    NoResponse,
    Other,
}

fn heard(message: &Message) -> Heard {
    match message {
        Message::Event(event) if event.reject == Some(Reject::NoResponse) => Heard::NoResponse,
        Message::Response(response) => match (&response.repeated, response.condition.as_str()) {
            (Some(found), _) => Heard::Found(found.result),
            (None, "NotFound") => Heard::NotFound,
            (None, "InProgress") => Heard::InProgress,
            _ => Heard::Other,
        },
        _ => Heard::Other,
    }
}

fn result_of(message: &Message) -> Says {
    match message {
        Message::Response(response) => response.result,
        _ => Says::Nothing,
    }
}
