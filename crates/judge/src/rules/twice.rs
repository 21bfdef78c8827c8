//! P1: what is wanted once is executed once, and a request is written to one link, once.

use std::collections::HashSet;

use super::{About, Findings};
use crate::message::is_money;
use crate::run::Delivery;
use crate::verdict::Figure;

pub(super) fn judge(found: &mut Findings<'_>) {
    executions(found);
    writes(found);
    sockets(found);
    attempts(found);
}

/// Every charge of an intention, or of a delivery, after the first one.
fn executions(found: &mut Findings<'_>) {
    let run = found.run;
    let (mut intentions, mut deliveries) = (HashSet::new(), HashSet::new());
    for execution in &run.executions {
        let again_wanted = execution.intention.is_some_and(|intention| !intentions.insert(intention));
        let again_delivered = !execution.delivery.is_empty() && !deliveries.insert(&execution.delivery);
        if run.is_set_aside(execution.identity, execution.intention) {
            continue;
        }
        let identity = &run.identities[execution.identity];
        let about = About::poi(&identity.poi).intention(execution.intention);
        let (service, delivery) = (&identity.service, &execution.delivery);
        if again_delivered {
            let text = format!("delivery {delivery} of ServiceID {service} was executed once more");
            found.add(Figure::ExecutedTwice, execution.at, about, text);
        } else if again_wanted {
            let label = label(found, execution.intention);
            let text = format!("{label} was charged once more, by ServiceID {service}, delivery {delivery}");
            found.add(Figure::ExecutedTwice, execution.at, about, text);
        }
    }
}

/// Every write of a delivery after the first one.
fn writes(found: &mut Findings<'_>) {
    let run = found.run;
    for delivery in run.deliveries.iter().filter(|delivery| delivery.writes.len() > 1) {
        let first = delivery.writes.first().map_or(0, |(_, link)| *link);
        for (at, link) in delivery.writes.iter().skip(1) {
            let whereto = if *link == first { "the same link" } else { "another link" };
            let text = format!("delivery {} was written once more, to {whereto}", delivery.id);
            found.add(Figure::ExecutedTwice, *at, about(delivery), text);
        }
    }
}

/// Every write of a payment to an Actions terminal after the first one of that desktop's `transactionId`.
fn sockets(found: &mut Findings<'_>) {
    let run = found.run;
    for (at, poi, transaction) in run.wires.written_again() {
        let text = format!("the paymentRequest {transaction} was written once more");
        found.add(Figure::ExecutedTwice, at, About::poi(poi), text);
    }
}

/// Every later attempt under the ServiceID of a money request that was written once: it is never written again, whether or not
/// the first got there (E4, E7).
fn attempts(found: &mut Findings<'_>) {
    let run = found.run;
    for identity in run.identities.iter().filter(|identity| identity.deliveries.len() > 1) {
        let attempts: Vec<_> = identity.deliveries.iter().map(|number| &run.deliveries[*number]).collect();
        let attempts: Vec<_> = attempts.into_iter().filter(|attempt| is_money(attempt.category())).collect();
        let Some((first, later)) = attempts.split_first() else { continue };
        if identity.set_aside {
            continue;
        }
        for attempt in later {
            // Where both were executed for the same intention, that has been counted.
            let counted = attempt
                .executions
                .iter()
                .any(|execution| found.has(Figure::ExecutedTwice, run.executions[*execution].at));
            if !counted {
                let text = format!(
                    "ServiceID {} was delivered again as {}, though {} had been written",
                    identity.service, attempt.id, first.id
                );
                found.add(Figure::ExecutedTwice, attempt.written(), about(attempt), text);
            }
        }
    }
}

fn about<'a>(delivery: &'a Delivery<'_>) -> About<'a> {
    About::poi(delivery.poi).intention(delivery.intention)
}

fn label(found: &Findings<'_>, intention: Option<usize>) -> String {
    intention.map_or_else(|| "a charge".into(), |wanted| found.run.intentions[wanted].intention.label())
}
