//! P3, first half: nobody is told *success* of what has not been executed before.

use super::{About, Findings};
use crate::claims::{Claim, Claimed};
use crate::verdict::Figure;

pub(super) fn judge(found: &mut Findings<'_>, claims: &[Claim]) {
    let run = found.run;
    for claim in claims.iter().filter(|claim| claim.says == Claimed::Ran) {
        let identity = &run.identities[claim.identity];
        let executed = identity.executions.iter().map(|number| &run.executions[*number]);
        if executed.into_iter().any(|execution| execution.at < claim.told && claim.is_about(run, execution)) {
            continue;
        }
        let call = &run.calls[claim.call];
        let text = format!(
            "call {} ({}) was told success about ServiceID {}, which had not been executed",
            call.id,
            call.category(),
            identity.service
        );
        let intention = claim.intention.or_else(|| run.intention_of(claim.identity));
        let about = About::poi(&identity.poi).intention(intention);
        found.add(Figure::FalseSuccess, claim.told, about, text);
    }
}
