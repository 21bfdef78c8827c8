//! Giving money back: what this terminal itself has taken, and no more than that.

use nexo::{Amount, ErrorCondition, Request, ResponseOutcome, ReversalRequest, ReversalResponse};
use relay::terminal::{Execution, ExecutionKind, Outcome};
use relay::{DeliveryId, Now};
use rust_decimal::Decimal;

use super::{Device, Finish, pairs, poi_data, refused, tender_reference};
use crate::random::Random;

impl Device {
    pub(super) fn reverse(
        &self,
        now: Now,
        delivery: DeliveryId,
        request: &Request,
        reversal: ReversalRequest,
        executions: &[Execution],
        random: &mut Random,
    ) -> Finish {
        let header = request.header();
        let original = reversal.original_poi_transaction.poi_transaction_id.as_ref();
        let payment = original.and_then(|original| {
            executions.iter().find(|execution| {
                execution.kind == ExecutionKind::Payment
                    && execution.poi_transaction == original.transaction_id
            })
        });
        let Some(payment) = payment else {
            let text = "This terminal knows no such payment.";
            return refused(delivery, request, ErrorCondition::NOT_FOUND, text, now);
        };
        let of = payment.poi_transaction.clone();
        let before = executions
            .iter()
            .filter(|execution| execution.kind == ExecutionKind::Reversal { of: of.clone() })
            .fold(Decimal::ZERO, |sum, execution| sum + execution.amount.value());
        let left = payment.amount.value() - before;
        let amount = reversal.reversed_amount.map_or(left, |amount| amount.value());
        if amount <= Decimal::ZERO || amount > left {
            let text = match left > Decimal::ZERO {
                true => "No more than what was paid can be given back.",
                false => "All of this payment was given back before.",
            };
            return refused(delivery, request, ErrorCondition::NOT_ALLOWED, text, now);
        }
        let psp = random.reference(16);
        let poi_transaction = format!("{}.{psp}", tender_reference(now, random));
        let body = ReversalResponse {
            response: ResponseOutcome::success()
                .with_additional(pairs(&[("pspReference", &psp), ("posAmountCurrency", &payment.currency)])),
            poi_data: Some(poi_data(now, poi_transaction.clone())),
            original_poi_transaction: Some(reversal.original_poi_transaction.clone()),
            reversed_amount: Some(Amount::from(amount)),
            payment_receipt: Vec::new(),
        };
        let execution = Execution {
            delivery: delivery.clone(),
            kind: ExecutionKind::Reversal { of },
            service: header.service_id.clone(),
            sale: header.sale_id.clone(),
            sale_transaction: reversal.sale_data.map(|sale| sale.sale_transaction_id.transaction_id),
            poi_transaction,
            amount: Amount::from(amount),
            currency: payment.currency.clone(),
            at: now.wall,
        };
        Finish {
            delivery,
            outcome: Outcome::Message(nexo::response(header, &body)),
            execution: Some(execution),
        }
    }
}
