//! P2: a result that reached the gateway is on its disk before the terminal may forget it, and whoever asks gets it.

use super::{About, Findings};
use crate::log::Outcome;
use crate::message::{Message, is_charge, is_money};
use crate::run::{Answer, Call, Delivery, ReportKind, RowSeen};
use crate::verdict::Figure;

pub(super) fn judge(found: &mut Findings<'_>) {
    if !found.run.knows_ledger() {
        return;
    }
    for delivery in &found.run.deliveries {
        if !delivery.set_aside {
            results(found, delivery);
        }
    }
    charges(found);
    questions(found);
}

/// The results of a delivery that the gateway has read.
fn results(found: &mut Findings<'_>, delivery: &Delivery<'_>) {
    let run = found.run;
    let Some((read, _)) = delivery.results().next() else { return };
    let row = run.row_of(&delivery.id);
    let acknowledged = acknowledged(delivery);
    let is_kept = |row: &RowSeen<'_>| {
        row.row.outcome == Outcome::Answered
            && row.response.as_ref().is_none_or(|(kept, _)| delivery.results().any(|(_, said)| said == *kept))
    };
    if row.is_some_and(is_kept) {
        return;
    }
    let about = About::poi(delivery.poi).intention(delivery.intention);
    let says = says(row);
    if let Some(recorded) = acknowledged {
        let at = row.map_or(recorded, |row| row.at);
        let text = format!("the result of {} was acknowledged, but {says}", delivery.id);
        return found.add(Figure::Lost, at, about, text);
    }
    // What was read and not acknowledged comes again, as long as somebody has it: a terminal that lost its journal does not,
    // nor one that was told, because of something else, to forget this delivery before.
    let forgotten = !delivery.recorded.is_empty() && delivery.recorded.iter().all(|(at, _)| *at < read);
    // Nor does one that does not acknowledge (E26).
    let comes_again = run.at_rest.is_some()
        && !forgotten
        && !run.journal_lost_after(delivery.poi, delivery.written())
        && !run.is_plain(delivery)
        && !run.taken_for_plain_after(delivery.poi, delivery.linked);
    // A result for what was proved never to have been there is for a person to look at.
    let denied = row.is_some_and(|row| matches!(row.row.outcome, Outcome::NeverReached | Outcome::Refused));
    if comes_again && !denied && is_money(delivery.category()) && !run.never_left(delivery) {
        let text = format!("the gateway has read a result of {}, but {says}", delivery.id);
        found.add(Figure::Lost, row.map_or(read, |row| row.at), about, text);
    }
}

/// When the terminal was told that it may forget this delivery's result.
fn acknowledged(delivery: &Delivery<'_>) -> Option<usize> {
    let mut recorded = delivery.recorded.iter().filter(|(_, problem)| !problem);
    // An `indeterminate` before the result is acknowledged by a `recorded` of its own.
    recorded.find_map(|(recorded, _)| {
        let last = delivery.reports.iter().rev().find(|report| {
            report.at < *recorded && !matches!(report.kind, ReportKind::Received | ReportKind::Resumed)
        });
        last.is_some_and(|report| matches!(report.kind, ReportKind::Result(_))).then_some(*recorded)
    })
}

/// A charge of which nobody knows in the end.
fn charges(found: &mut Findings<'_>) {
    let run = found.run;
    for execution in &run.executions {
        let identity = &run.identities[execution.identity];
        let rows = || identity.rows.iter().map(|row| run.rows[*row].row.outcome);
        let known = rows().any(|outcome| {
            // What the ledger denies is a false failure.
            !matches!(outcome, Outcome::Open | Outcome::Unknown)
        });
        if known
            || run.is_set_aside(execution.identity, execution.intention)
            || is_told(found, execution.identity)
        {
            continue;
        }
        let row = run.row_of(&execution.delivery);
        let at = row.map_or(execution.at, |row| row.at);
        if !found.has(Figure::Lost, at) {
            let text = format!(
                "ServiceID {} was executed as {}, nobody was told, and {}",
                identity.service,
                execution.delivery,
                says(row)
            );
            let about = About::poi(&identity.poi).intention(execution.intention);
            found.add(Figure::Lost, at, about, text);
        }
    }
}

/// Whether some call about this identity was told its success.
fn is_told(found: &Findings<'_>, identity: usize) -> bool {
    let run = found.run;
    run.identities[identity].calls.iter().map(|call| &run.calls[*call]).any(was_told_success)
        || run.calls.iter().any(|call| call.about == Some(identity) && was_told_success(call))
}

fn was_told_success(call: &Call<'_>) -> bool {
    use crate::message::Says::Success;
    match call.told.as_ref().map(|told| &told.answer) {
        Some(Answer::Message(_, message)) => match &**message {
            Message::Response(response) => match &response.repeated {
                Some(found) => found.result == Success,
                None => response.result == Success && is_charge(&response.header.category),
            },
            _ => false,
        },
        _ => false,
    }
}

/// Whoever asks in the end about a charge whose result is kept has to find it.
fn questions(found: &mut Findings<'_>) {
    let run = found.run;
    for question in super::wrong_status::last_questions(run) {
        let super::wrong_status::Question { call, told, row } = question;
        let (Outcome::Answered, Some(identity), Some(_)) = (row.row.outcome, row.identity, &row.response)
        else {
            continue;
        };
        let executions = &run.identities[identity].executions;
        let Some(execution) = executions.first().map(|number| &run.executions[*number]) else { continue };
        let Answer::Message(_, message) = &told.answer else { continue };
        let finds_nothing = match &**message {
            Message::Event(event) => event.reject == Some(crate::message::Reject::NoResponse),
            // NotFound is a false failure, and InProgress a wrong status.
            Message::Response(response) => {
                response.repeated.is_none()
                    && !matches!(response.condition.as_str(), "NotFound" | "InProgress")
            }
            _ => false,
        };
        if finds_nothing && !run.is_set_aside(identity, execution.intention) {
            let text = format!(
                "call {} asked for ServiceID {}, which was executed as {} and is answered, and did not find it",
                call.id, row.row.service, execution.delivery
            );
            let about = About::poi(&row.row.poi).intention(execution.intention);
            found.add(Figure::Lost, told.at, about, text);
        }
    }
}

fn says(row: Option<&RowSeen<'_>>) -> String {
    match row {
        None => "the ledger has no row of it".into(),
        Some(row) if row.row.outcome == Outcome::Answered => "the ledger holds another response".into(),
        Some(row) => format!("the ledger says {:?}", row.row.outcome),
    }
}
