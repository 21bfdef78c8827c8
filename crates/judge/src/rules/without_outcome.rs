//! P4: every call is answered in time, and every exchange ends in one outcome.

use std::time::Duration;

use super::{About, Findings};
use crate::log::Outcome;
use crate::message::{ends_empty, is_money};
use crate::run::{Answer, Call, Delivery, ReportKind, RowSeen, Run};
use crate::verdict::Figure;

/// How much later than its POS gives up a call may be answered: a commit that is late is waited for 2 s, once for a look
/// into the ledger and once for what follows from it.
const LATE_MAX: Duration = Duration::from_secs(5);

/// How long an Abort or an InputUpdate waits at most (E20).
const EMPTY_WAIT: Duration = Duration::from_secs(5);

/// How long a call on `/async` waits at most (E21).
const RECEIPT_WAIT: Duration = Duration::from_secs(10);

pub(super) fn judge(found: &mut Findings<'_>) {
    for call in &found.run.calls {
        answered(found, call);
        webhook(found, call);
    }
    rows(found);
    finals(found);
    if found.run.knows_ledger() {
        deliveries(found);
    }
}

fn answered(found: &mut Findings<'_>, call: &Call<'_>) {
    let run = found.run;
    let Some(arrived) = call.arrived else { return };
    let told = call.told.as_ref().map(|told| told.at);
    let end = match (told, call.ended) {
        (Some(told), Some(ended)) => Some(told.min(ended)),
        (told, ended) => told.or(ended),
    };
    let wait = wait(call);
    let poi = call.request().map(|request| request.header.poi.as_str());
    let about = About { poi, intention: call.intention };
    let name = format!("call {} ({})", call.id, call.category());
    let Some(end) = end else {
        return found.add(Figure::WithoutOutcome, arrived, about, format!("{name} was never answered"));
    };
    let took = run.at(end).saturating_sub(run.at(arrived));
    if took > wait + LATE_MAX {
        let text =
            format!("{name} waits {} s and had no answer for {:.1} s", wait.as_secs(), took.as_secs_f64());
        found.add(Figure::WithoutOutcome, end, about, text);
    }
}

fn wait(call: &Call<'_>) -> Duration {
    if ends_empty(call.category()) {
        call.wait.min(EMPTY_WAIT)
    } else if call.asynchronous {
        call.wait.min(RECEIPT_WAIT)
    } else {
        call.wait
    }
}

/// Whoever heard `ok` on `/async` is owed a webhook (E22).
fn webhook(found: &mut Findings<'_>, call: &Call<'_>) {
    let run = found.run;
    let Some(told) = call.told.as_ref().filter(|told| matches!(told.answer, Answer::Ok)) else { return };
    let Some(identity) = call.identity else { return };
    if !call.asynchronous || !is_money(call.category()) || !run.knows_ledger() {
        return;
    }
    let identity = &run.identities[identity];
    if !identity.rows.iter().any(|row| run.rows[*row].row.webhook) {
        let text = format!(
            "call {} ({}) heard ok on /async, and no webhook is owed for ServiceID {}",
            call.id,
            call.category(),
            identity.service
        );
        let about = About::poi(&identity.poi).intention(call.intention);
        found.add(Figure::WithoutOutcome, told.at, about, text);
    }
}

/// At rest nothing is open any more.
fn rows(found: &mut Findings<'_>) {
    let run = found.run;
    // The gateway's own questions for a desktop's payment that nobody can tell of go on, and on.
    let is_asked_on = |seen: &RowSeen<'_>| {
        let late = run.delivery(&seen.row.delivery).is_some_and(|it| run.is_at_rest(it.written()));
        late && seen.row.sale == "Actions" && seen.row.category == "TransactionStatus"
    };
    for seen in run.rows.iter().filter(|seen| run.at_rest.is_some() && !is_asked_on(seen)) {
        if matches!(seen.row.outcome, Outcome::Open | Outcome::Unknown) {
            let intention = seen.identity.and_then(|identity| run.intention_of(identity));
            let about = About::poi(&seen.row.poi).intention(intention);
            let text = format!(
                "the {} with ServiceID {} is {:?} in the end",
                seen.row.category, seen.row.service, seen.row.outcome
            );
            found.add(Figure::WithoutOutcome, seen.at, about, text);
        }
    }
}

/// *Unknown, final* is for what a terminal said that it can't tell, or said in a way that fits nothing, and for what nobody is
/// left to tell since its journal is gone (E14, E15).
fn finals(found: &mut Findings<'_>) {
    let run = found.run;
    for seen in run.rows.iter().filter(|seen| seen.row.outcome == Outcome::UnknownFinal) {
        let Some(delivery) = run.delivery(&seen.row.delivery) else { continue };
        let excused = delivery.set_aside
            || run.is_plain(delivery)
            || run.taken_for_plain_after(delivery.poi, delivery.linked)
            || run.journal_lost_after(delivery.poi, delivery.linked)
            || delivery.reports.iter().any(|report| match report.kind {
                ReportKind::Unusable => true,
                ReportKind::Indeterminate => may_be_unknown(run, delivery, report.link),
                _ => false,
            });
        // A result that it has told is counted as lost.
        if !excused && !found.has(Figure::Lost, seen.at) && !run.never_left(delivery) {
            let text = format!(
                "the {} with ServiceID {} is {:?}, and {} and its terminal could tell",
                seen.row.category, seen.row.service, seen.row.outcome, delivery.id
            );
            let about = About::poi(&seen.row.poi).intention(delivery.intention);
            found.add(Figure::WithoutOutcome, seen.at, about, text);
        }
    }
}

/// For an Actions terminal that acknowledges nobody else may say that it can't tell (E26); unless it has two payments of one
/// name, and does not say which one it means.
fn may_be_unknown(run: &Run<'_>, delivery: &Delivery<'_>, link: Option<u64>) -> bool {
    if !link.is_some_and(|link| run.wires.is_acknowledging(link)) {
        return true;
    }
    let name = |delivery: &Delivery<'_>| {
        let intention = delivery.request()?.intention.clone()?;
        intention.reversal_of.or(intention.transaction)
    };
    let Some(own) = name(delivery) else { return true };
    let namesakes = run.deliveries.iter().filter(|other| {
        other.poi == delivery.poi
            && other.category() == delivery.category()
            && name(other).as_ref() == Some(&own)
    });
    run.wires.is_unknown(delivery.poi, &own) || namesakes.count() > 1
}

/// What is delivered is on disk before (E1).
fn deliveries(found: &mut Findings<'_>) {
    let run = found.run;
    for delivery in run.deliveries.iter().filter(|delivery| is_money(delivery.category())) {
        if run.row_of(&delivery.id).is_none() {
            let about = About::poi(delivery.poi).intention(delivery.intention);
            let text = format!("{} was delivered, and the ledger has no row of it", delivery.id);
            found.add(Figure::WithoutOutcome, delivery.written(), about, text);
        }
    }
}
