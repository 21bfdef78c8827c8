//! Receipts, as terminals leave them to the POS to print: each line in form pairs.

use nexo::{AdditionalResponse, Amount, DocumentQualifier, OutputContent, OutputText, PaymentReceipt};

/// What the two receipts of a payment say.
pub(crate) struct Slip<'a> {
    pub(crate) merchant_account: &'a str,
    pub(crate) poi_id: &'a str,
    pub(crate) sale_transaction: &'a str,
    pub(crate) tender: &'a str,
    /// None when the payment was declined.
    pub(crate) approval: Option<&'a str>,
    pub(crate) amount: Amount,
    pub(crate) currency: &'a str,
    /// RFC 3339, in UTC.
    pub(crate) time: &'a str,
}

/// For the shop and for the customer.
pub(crate) fn receipts(slip: &Slip<'_>) -> Vec<PaymentReceipt> {
    [
        (DocumentQualifier::CASHIER_RECEIPT, "MERCHANT COPY", "merchantTitle"),
        (DocumentQualifier::CUSTOMER_RECEIPT, "CARDHOLDER COPY", "cardholderHeader"),
    ]
    .into_iter()
    .map(|(document_qualifier, title, key)| PaymentReceipt {
        document_qualifier,
        required_signature_flag: Some(false),
        output_content: OutputContent::text(lines(slip, title, key)),
    })
    .collect()
}

fn lines(slip: &Slip<'_>, title: &str, title_key: &str) -> Vec<OutputText> {
    let date = |range| slip.time.get(range).unwrap_or_default();
    let day = format!("{}/{}/{}", date(8..10), date(5..7), date(2..4));
    let total = match slip.currency {
        "EUR" => format!("\u{20ac} {}", slip.amount),
        "GBP" => format!("\u{a3} {}", slip.amount),
        "USD" => format!("$ {}", slip.amount),
        currency => format!("{currency} {}", slip.amount),
    };
    let result = if slip.approval.is_some() { ("APPROVED", "approved") } else { ("DECLINED", "declined") };
    let mut lines = vec![
        bold(&[("name", slip.merchant_account), ("key", "header1")]),
        filler(),
        bold(&[("name", title), ("key", title_key)]),
        filler(),
        plain("Date", &day, "txdate"),
        plain("Time", date(11..19), "txtime"),
        filler(),
        plain("Card", "************9999", "pan"),
        plain("Pref. name", "MASTERCARD", "preferredName"),
        plain("Card type", "mc", "cardType"),
        plain("Payment method", "mc", "paymentMethod"),
        plain("Entry mode", "Contactless chip", "posEntryMode"),
        filler(),
        plain("MID", "1000", "mid"),
        plain("TID", slip.poi_id, "tid"),
    ];
    lines.extend(slip.approval.map(|approval| plain("Auth. code", approval, "authCode")));
    lines.extend([
        plain("Tender", slip.tender, "txRef"),
        plain("Reference", slip.sale_transaction, "mref"),
        filler(),
        plain("Type", "GOODS_SERVICES", "txtype"),
        bold(&[("name", "TOTAL"), ("value", &total), ("key", "totalAmount")]),
        filler(),
        bold(&[("name", result.0), ("key", result.1)]),
    ]);
    lines
}

fn plain(name: &str, value: &str, key: &str) -> OutputText {
    OutputText::line(encoded(&[("name", name), ("value", value), ("key", key)]))
}

fn bold(pairs: &[(&str, &str)]) -> OutputText {
    OutputText { character_style: Some("Bold".into()), ..OutputText::line(encoded(pairs)) }
}

fn filler() -> OutputText {
    OutputText::line("key=filler")
}

fn encoded(pairs: &[(&str, &str)]) -> String {
    let owned = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    AdditionalResponse::Pairs(owned.collect()).encode_form()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_says_when_what_and_how_much() {
        let slip = Slip {
            merchant_account: "DEMO_MERCHANT_EU",
            poi_id: "V400m-324688179",
            sale_transaction: "27908",
            tender: "ABCD0011795166102118",
            approval: Some("123456"),
            amount: "10.99".parse().unwrap(),
            currency: "EUR",
            time: "2026-11-20T09:15:02.118Z",
        };
        let both = receipts(&slip);
        assert_eq!(both.len(), 2);
        let lines: Vec<_> =
            both[1].output_content.output_text.iter().map(|line| line.text.as_str()).collect();
        assert!(lines.contains(&"name=CARDHOLDER%20COPY&key=cardholderHeader"));
        assert!(lines.contains(&"name=Date&value=20%2f11%2f26&key=txdate"));
        assert!(lines.contains(&"name=Time&value=09%3a15%3a02&key=txtime"));
        assert!(lines.contains(&"name=TOTAL&value=%e2%82%ac%2010.99&key=totalAmount"));
        assert!(lines.contains(&"name=APPROVED&key=approved"));
        let declined = receipts(&Slip { approval: None, ..slip });
        let text: Vec<_> =
            declined[0].output_content.output_text.iter().map(|line| line.text.as_str()).collect();
        assert!(text.contains(&"name=DECLINED&key=declined") && !text.iter().any(|t| t.contains("authCode")));
    }
}
