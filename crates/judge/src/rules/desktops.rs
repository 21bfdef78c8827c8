//! What Actions desktops are told, and what the gateway holds about their payments in the end (E25).

use serde_json::Value;

use super::{About, Findings};
use crate::desktop::{Says, ToldDesktop, says};
use crate::log::{Outcome, Row, What};
use crate::run::{Execution, Index, Run};
use crate::verdict::Figure;

/// The SaleID of everything that a desktop asks for.
const SALE: &str = "Actions";

pub(super) fn judge(found: &mut Findings<'_>) {
    let run = found.run;
    for told in &run.told_desktops {
        told_one(found, told);
    }
    if run.at_rest.is_some() {
        for at in &run.transactions {
            in_the_end(found, *at);
        }
    }
}

/// A payment of a desktop: what was wanted, and what was done about it.
struct Payment<'r> {
    wanted: usize,
    poi: &'r str,
    charges: Vec<&'r Execution>,
    /// Of the gateway's own voids.
    voids: Vec<&'r Execution>,
    /// In the end nobody can tell the ledger what became of one of them: then a person looks, and the charge, which is certain,
    /// is told as late.
    is_void_unknown: bool,
}

/// The payment of this name; none when nothing of it ever reached a terminal.
fn payment<'r>(run: &'r Run<'_>, transaction: &str) -> Option<Payment<'r>> {
    let is_it = |wanted: &crate::run::Wanted| {
        let intention = &wanted.intention;
        intention.sale == SALE
            && intention.reversal_of.is_none()
            && intention.transaction.as_deref() == Some(transaction)
    };
    let wanted = run.intentions.iter().position(is_it)?;
    let charges: Vec<_> =
        run.intentions[wanted].executions.iter().map(|number| &run.executions[*number]).collect();
    let names: Vec<_> = charges
        .iter()
        .filter_map(|charge| charge.poi_transaction.as_deref())
        .chain(std::iter::once(transaction))
        .collect();
    let is_void = |wanted: &&crate::run::Wanted| {
        wanted.intention.sale == SALE
            && wanted.intention.reversal_of.as_deref().is_some_and(|of| {
                // An Actions terminal's payment is called by what it was delivered as, too: `d_1:c_2/T-5001`.
                names.contains(&of) || of.split_once('/').is_some_and(|(_, name)| names.contains(&name))
            })
    };
    let reversals: Vec<_> = run.intentions.iter().filter(is_void).collect();
    let voids = reversals.iter().flat_map(|wanted| &wanted.executions);
    let voids = voids.map(|number| &run.executions[*number]).collect();
    let is_void_unknown = reversals.iter().any(|wanted| {
        rows_of(run, wanted).any(|row| matches!(row.outcome, Outcome::Unknown | Outcome::UnknownFinal))
    });
    Some(Payment { wanted, poi: &run.intentions[wanted].poi, charges, voids, is_void_unknown })
}

fn told_one(found: &mut Findings<'_>, told: &ToldDesktop) {
    let run = found.run;
    let payment = payment(run, &told.transaction);
    let about = payment
        .as_ref()
        .map_or(About::default(), |payment| About::poi(payment.poi).intention(Some(payment.wanted)));
    if payment.as_ref().is_some_and(|payment| run.intentions[payment.wanted].set_aside) {
        return;
    }
    let before = |executions: &[&Execution]| executions.iter().any(|execution| execution.at < told.at);
    let charged = payment.as_ref().is_some_and(|payment| before(&payment.charges));
    let voided = payment.as_ref().is_some_and(|payment| before(&payment.voids));
    let is_void_unknown = payment.as_ref().is_some_and(|payment| payment.is_void_unknown);
    let name = &told.transaction;
    match &told.says {
        Says::Paid if !charged => {
            let text = format!("a desktop was told SUCCESS of {name}, which had not been executed");
            found.add(Figure::FalseSuccess, told.at, about, text);
        }
        Says::Paid if voided && !is_void_unknown => {
            let text = format!("a desktop was told SUCCESS of {name}, which had been voided");
            found.add(Figure::FalseSuccess, told.at, about, text);
        }
        Says::Voided if !charged || !voided => {
            let text = format!("a desktop was told that {name} was voided, which it had not been");
            found.add(Figure::FalseSuccess, told.at, about, text);
        }
        Says::NotPaid(words) if payment.as_ref().is_some_and(|payment| !payment.charges.is_empty()) => {
            let text = format!("a desktop was told {words} of {name}, which is executed");
            found.add(Figure::FalseFailure, told.at, about, text);
        }
        Says::Paid | Says::Voided | Says::NotPaid(_) | Says::Unknown | Says::Other => {}
    }
    // Whoever was told a success keeps it.
    let taken_back = payment.iter().flat_map(|payment| &payment.voids).any(|void| void.at > told.at);
    if told.says == Says::Paid && taken_back {
        let text = format!("{name} was voided after its desktop was told SUCCESS");
        found.add(Figure::WrongStatus, told.at, about, text);
    }
}

fn in_the_end(found: &mut Findings<'_>, at: Index) {
    let run = found.run;
    let Some(What::Transaction { transaction, status, response, is_told, is_voiding, .. }) =
        run.log.events.get(at).map(|event| &event.what)
    else {
        return;
    };
    let payment = payment(run, transaction);
    if payment.as_ref().is_some_and(|payment| run.intentions[payment.wanted].set_aside) {
        return;
    }
    let about = payment
        .as_ref()
        .map_or(About::default(), |payment| About::poi(payment.poi).intention(Some(payment.wanted)));
    let charged = payment.as_ref().is_some_and(|payment| !payment.charges.is_empty());
    let voided = payment.as_ref().is_some_and(|payment| !payment.voids.is_empty());
    let is_void_unknown = payment.as_ref().is_some_and(|payment| payment.is_void_unknown);
    let response: Value =
        response.as_ref().and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
    let wrong = match (*status, says(&response)) {
        ("PENDING" | "AWAITING_RECONNECT", _) => Some((Figure::WithoutOutcome, "is still open")),
        ("COMPLETED", _) if !charged => Some((Figure::FalseSuccess, "counts as paid and was not executed")),
        ("COMPLETED", _) if voided && !is_void_unknown => {
            Some((Figure::WrongStatus, "counts as paid and was voided"))
        }
        ("VOIDED", _) if !charged || !voided => Some((Figure::FalseSuccess, "counts as voided and was not")),
        ("FAILED" | "CANCELLED", Says::NotPaid(_)) if charged => {
            Some((Figure::FalseFailure, "counts as not paid and was executed"))
        }
        // The ledger may not know either: then a person decides.
        ("FAILED", Says::Unknown) if charged && is_answered(run, transaction) => {
            Some((Figure::Lost, "was executed, the ledger knows, and its desktop is told that nobody does"))
        }
        _ if *is_voiding => Some((Figure::WithoutOutcome, "is being voided for ever")),
        // A note that it was told may have got lost; then it is told once more.
        (status, said) if !is_told && !was_told(run, transaction, status, &said) => {
            Some((Figure::WithoutOutcome, "has ended, and its desktop was not told"))
        }
        _ => None,
    };
    if let Some((figure, words)) = wrong {
        found.add(figure, at, about, format!("the payment {transaction} {words} ({status})"));
    }
}

/// Whether its desktop was last told what the gateway holds.
fn was_told(run: &Run<'_>, transaction: &str, status: &str, said: &Says) -> bool {
    let last = run.told_desktops.iter().rfind(|told| told.transaction == transaction);
    last.is_some_and(|told| match status {
        "VOIDED" => told.says == Says::Voided,
        // Who was told that nobody knows has no money, and hears nothing new.
        "FAILED" | "CANCELLED" => matches!(told.says, Says::NotPaid(_) | Says::Unknown),
        _ => told.says == *said,
    })
}

/// Whether the ledger holds the terminal's answer to this payment.
fn is_answered(run: &Run<'_>, transaction: &str) -> bool {
    let Some(payment) = payment(run, transaction) else { return false };
    let mut rows = rows_of(run, &run.intentions[payment.wanted]);
    rows.any(|row| row.sale == SALE && row.outcome == Outcome::Answered)
}

/// What the ledger holds of the requests for it.
fn rows_of<'r>(run: &'r Run<'_>, wanted: &'r crate::run::Wanted) -> impl Iterator<Item = &'r Row> {
    let rows = wanted.identities.iter().flat_map(|identity| &run.identities[*identity].rows);
    rows.map(|row| run.rows[*row].row)
}
