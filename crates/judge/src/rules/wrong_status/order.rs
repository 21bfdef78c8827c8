//! Some things may be said only after others: `ok` to `/async` and to an Abort, an Abort's delivery, and `recorded`.

use super::super::{About, Findings};
use crate::message::{ends_empty, is_money};
use crate::run::{Answer, Call, Index, ReportKind};
use crate::verdict::Figure;

pub(super) fn judge(found: &mut Findings<'_>) {
    let run = found.run;
    for call in &run.calls {
        if let Some(told) = call.told.as_ref().filter(|told| matches!(told.answer, Answer::Ok)) {
            ok(found, call, told.at);
        }
        if call.category() == "Abort" {
            abort(found, call);
        }
    }
    for unfounded in &run.unfounded_records {
        let text = format!("{} was recorded, and nobody had reported it", unfounded.delivery);
        found.add(Figure::WrongStatus, unfounded.at, About::poi(&unfounded.poi), text);
    }
}

/// `ok` means that the terminal has it, or has ended it; an Abort that was never delivered has taken its request back.
fn ok(found: &mut Findings<'_>, call: &Call<'_>, told: Index) {
    let run = found.run;
    let Some(identity) = call.identity else { return };
    let empty = ends_empty(call.category());
    let identity = &run.identities[identity];
    let deliveries = || identity.deliveries.iter().map(|number| &run.deliveries[*number]);
    let never_delivered = deliveries().all(|delivery| delivery.written() > told);
    if !call.asynchronous && !empty || call.category() == "Abort" && never_delivered {
        return;
    }
    // Of a terminal that does not acknowledge the gateway itself says what it may have (E26).
    if run.taken_for_plain_after(&identity.poi, 0) {
        return;
    }
    let has_it = deliveries().flat_map(|delivery| &delivery.reports).any(|report| {
        report.at < told
            && match report.kind {
                ReportKind::Unusable => false,
                ReportKind::Received | ReportKind::Resumed | ReportKind::Indeterminate => !empty,
                ReportKind::Empty | ReportKind::Result(_) => true,
            }
    });
    if !has_it {
        let what = if empty { "had ended it" } else { "had it" };
        let text = format!(
            "call {} ({} {}) heard ok before the terminal {what}",
            call.id,
            call.category(),
            identity.service
        );
        let about = About::poi(&identity.poi).intention(call.intention);
        found.add(Figure::WrongStatus, told, about, text);
    }
}

/// An Abort does not overtake the request that it is to stop (E20), if that one was there before.
fn abort(found: &mut Findings<'_>, abort: &Call<'_>) {
    let run = found.run;
    let (Some(arrived), Some(named), Some(own)) = (abort.arrived, abort.about, abort.identity) else {
        return;
    };
    let first_write = |identity: usize, after: Index| {
        let deliveries = run.identities[identity].deliveries.iter();
        deliveries.map(|number| run.deliveries[*number].written()).filter(|at| *at > after).min()
    };
    // Who repeats the Abort joins the first one.
    let first_copy = run.identities[own].calls.iter().all(|call| run.calls[*call].asked >= abort.asked);
    let (Some(written), true) = (first_write(own, arrived), first_copy) else { return };
    let Some(later) = first_write(named, written) else { return };
    let was_waiting = run.identities[named].calls.iter().map(|call| &run.calls[*call]).any(|call| {
        let request = call.request().filter(|request| {
            let sale = abort.request().map_or("", |abort| &abort.header.sale);
            is_money(&request.header.category)
                && abort.reference().is_some_and(|reference| {
                    reference.means(&request.header.sale, &request.header.category)
                        && (reference.sale.is_some() || request.header.sale == sale)
                })
        });
        // Whoever was told meanwhile, by 503 for one, may have sent it once more. Who hung up makes no difference (E12).
        let pending = call.told.as_ref().is_none_or(|told| told.at > later)
            && call.ended.is_none_or(|ended| ended > arrived);
        request.is_some() && pending && call.arrived.is_some_and(|before| before < arrived)
    });
    if was_waiting {
        let identity = &run.identities[named];
        let text = format!(
            "call {} (Abort) was delivered before ServiceID {}, which it was to stop and which had come before",
            abort.id, identity.service
        );
        let about = About::poi(&identity.poi).intention(run.intention_of(named));
        found.add(Figure::WrongStatus, written, about, text);
    }
}
