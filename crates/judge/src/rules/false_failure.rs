//! P3, second half: nobody is told *did not run* of what is executed, before or later.

use super::{About, Findings};
use crate::claims::{Claim, Claimed};
use crate::log::Outcome;
use crate::message::is_money;
use crate::run::{Answer, Call, Execution, Run, Told};
use crate::verdict::Figure;

pub(super) fn judge(found: &mut Findings<'_>, claims: &[Claim]) {
    denials(found, claims);
    aborts(found);
    turned_away(found);
    rows(found);
}

fn denials(found: &mut Findings<'_>, claims: &[Claim]) {
    let run = found.run;
    for claim in claims {
        let words = match &claim.says {
            Claimed::Ran => continue,
            Claimed::NeverRan(words) => words,
            Claimed::NotThisOne => "Failure/NotAllowed",
        };
        let identity = &run.identities[claim.identity];
        let mut executed = identity.executions.iter().map(|number| &run.executions[*number]);
        let Some(execution) = executed.find(|execution| claim.is_about(run, execution)) else { continue };
        if run.is_set_aside(claim.identity, claim.intention.or(execution.intention))
            || is_an_older_memory(run, claim, execution)
        {
            continue;
        }
        let when = if execution.at < claim.told { "had been" } else { "was later" };
        let call = &run.calls[claim.call];
        let text = format!(
            "call {} ({}) was told {words} about ServiceID {}, which {when} executed as {}",
            call.id,
            call.category(),
            identity.service,
            execution.delivery
        );
        let about = About::poi(&identity.poi).intention(execution.intention);
        found.add(Figure::FalseFailure, claim.told, about, text);
    }
}

/// Whether a terminal was asked for the status of what it has in an older copy of its journal: that tells what was true then.
fn is_an_older_memory(run: &Run<'_>, claim: &Claim, execution: &Execution) -> bool {
    let call = &run.calls[claim.call];
    let poi = &run.identities[claim.identity].poi;
    let (Some(own), Some(delivery)) = (call.identity, run.delivery(&execution.delivery)) else {
        return false;
    };
    call.category() == "TransactionStatus"
        && !run.identities[own].deliveries.is_empty()
        && run.journal_copied_between(poi, delivery.written(), claim.told)
}

/// An `ok` to an Abort that never went to the terminal says that the request was taken back (E20).
fn aborts(found: &mut Findings<'_>) {
    let run = found.run;
    for call in run.calls.iter().filter(|call| call.category() == "Abort") {
        let Call { told: Some(Told { at: told, answer: Answer::Ok }), about: Some(named), .. } = call else {
            continue;
        };
        let written_before = |identity: usize| {
            let deliveries = &run.identities[identity].deliveries;
            deliveries.iter().any(|number| run.deliveries[*number].written() < *told)
        };
        if written_before(*named) || call.identity.is_some_and(written_before) {
            continue;
        }
        let identity = &run.identities[*named];
        for execution in identity.executions.iter().map(|number| &run.executions[*number]) {
            let meant = run.delivery(&execution.delivery).and_then(|delivery| delivery.request());
            let is_meant = meant.is_none_or(|request| {
                let sale = call.request().map_or("", |abort| &abort.header.sale);
                call.reference().is_some_and(|reference| {
                    reference.means(&request.header.sale, &request.header.category)
                        && (reference.sale.is_some() || request.header.sale == sale)
                })
            });
            if is_meant && !run.is_set_aside(*named, execution.intention) {
                let text = format!(
                    "call {} (Abort) was told ok about ServiceID {}, which was later executed as {}",
                    call.id, identity.service, execution.delivery
                );
                let about = About::poi(&identity.poi).intention(execution.intention);
                found.add(Figure::FalseFailure, *told, about, text);
            }
        }
    }
}

/// Whoever was turned away by 503 or 429 was not admitted (E1): nothing is delivered for a request of which every copy was.
fn turned_away(found: &mut Findings<'_>) {
    let run = found.run;
    for delivery in run.deliveries.iter().filter(|delivery| is_money(delivery.category())) {
        let Some(identity) = delivery.identity.filter(|identity| !run.identities[*identity].set_aside) else {
            continue;
        };
        let written = delivery.written();
        let calls = run.identities[identity].calls.iter().map(|call| &run.calls[*call]);
        let mut before = calls.filter(|call| call.asked < written && call.bytes == delivery.bytes);
        let turned_away = |call: &Call<'_>| match &call.told {
            Some(Told { at, answer: Answer::Status(429 | 503) }) if *at < written => Some(*at),
            _ => None,
        };
        let last = before.try_fold(None, |_, call| turned_away(call).map(Some)).flatten();
        if let Some(told) = last {
            let text = format!(
                "ServiceID {} was delivered as {}, after all who had sent it were turned away",
                run.identities[identity].service, delivery.id
            );
            let about = About::poi(delivery.poi).intention(delivery.intention);
            found.add(Figure::FalseFailure, told, about, text);
        }
    }
}

/// The ledger says that it never ran.
fn rows(found: &mut Findings<'_>) {
    let run = found.run;
    for seen in &run.rows {
        let (Some(identity), Outcome::NeverReached | Outcome::Refused) = (seen.identity, seen.row.outcome)
        else {
            continue;
        };
        let executions = run.identities[identity].executions.iter();
        let Some(execution) = executions.map(|number| &run.executions[*number]).next() else { continue };
        if run.is_set_aside(identity, execution.intention) {
            continue;
        }
        let text = format!(
            "the ledger says {:?} of ServiceID {}, which was executed as {}",
            seen.row.outcome, seen.row.service, execution.delivery
        );
        let about = About::poi(&seen.row.poi).intention(execution.intention);
        found.add(Figure::FalseFailure, seen.at, about, text);
    }
}
