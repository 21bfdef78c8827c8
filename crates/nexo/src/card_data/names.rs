//! What a member's name, or a key of a form, says about its value.

/// What the value under a name may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Name {
    /// Card data, whatever it looks like: it goes.
    CardData,
    /// Somebody's reference: digits that only look like a card number stay.
    Reference,
    /// Encrypted by POS or terminal: nobody in between can tell what it holds.
    Encrypted,
    /// Anything.
    Free,
}

/// Security codes, PIN blocks and tracks, under the names of nexo, of form data and of their usual spellings.
const CARD_DATA: [&str; 21] = [
    "cardsecuritycode",
    "csc",
    "csccode",
    "cvc",
    "cvc2",
    "cvccode",
    "cvv",
    "cvv2",
    "cvvcode",
    "pinblock",
    "securitycode",
    "sensitivecarddata",
    "track1",
    "track1data",
    "track2",
    "track2data",
    "track2equivalentdata",
    "track3",
    "track3data",
    "trackdata",
    "trackvalue",
];

/// References that terminals, acquirers and gateways make up, and serial numbers: many are as long as a card number,
/// and support finds a payment by them. `mref`, `txref`, `tid`, `ptid` and `mid` are their names on receipts;
/// `merchantReference` is the Sale's TransactionID as an answer repeats it.
const REFERENCES: [&str; 43] = [
    "acquirercode",
    "acquirerid",
    "acquirerpoiid",
    "acquirerreference",
    "approvalcode",
    "authcode",
    "authorisationcode",
    "authorizationcode",
    "datetime",
    "deviceid",
    "eid",
    "iccid",
    "iccid1",
    "iccid2",
    "imei",
    "imsi",
    "installationid",
    "merchantaccount",
    "merchantid",
    "merchantreference",
    "mid",
    "mref",
    "poiid",
    "poireconciliationid",
    "poiserialnumber",
    "pspreference",
    "ptid",
    "saleid",
    "saletransactionid",
    "serial",
    "serialno",
    "serialnumber",
    "serviceid",
    "storeid",
    "tenderreference",
    "terminalid",
    "tid",
    "timestamp",
    "transactionid",
    "txdate",
    "txref",
    "txtime",
    "uniqueterminalid",
];

/// The longest of both lists; a name may have words before it.
const LETTERS_MAX: usize = 20;

/// Reads a name in any case, with or without marks between its words, and with words before it: `cardSecurityCode`,
/// `card_security_code`, `Security Code` and `payment.securityCode` are one.
pub(super) fn name(text: &[u8]) -> Name {
    if text == b"NexoBlob" {
        return Name::Encrypted;
    }
    // Lower-case letters and digits of the last words, back to front.
    let mut letters = [0_u8; LETTERS_MAX];
    let mut first = LETTERS_MAX;
    for (index, &byte) in text.iter().enumerate().rev() {
        if !byte.is_ascii_alphanumeric() {
            continue;
        }
        let Some(next) = first.checked_sub(1) else { break };
        first = next;
        letters[first] = byte.to_ascii_lowercase();
        if begins_word(text, index) {
            let word = &letters[first..];
            if is_listed(&CARD_DATA, word) {
                return Name::CardData;
            }
            if is_listed(&REFERENCES, word) {
                return Name::Reference;
            }
        }
    }
    Name::Free
}

/// Whether a word of a name begins here: after a mark, or with a capital after a small letter or a digit.
fn begins_word(text: &[u8], index: usize) -> bool {
    match index.checked_sub(1).and_then(|before| text.get(before)) {
        None => true,
        Some(before) if !before.is_ascii_alphanumeric() => true,
        Some(before) => !before.is_ascii_uppercase() && text[index].is_ascii_uppercase(),
    }
}

fn is_listed(list: &[&str], word: &[u8]) -> bool {
    list.binary_search_by(|listed| listed.as_bytes().cmp(word)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lists_are_sorted_and_no_name_is_longer_than_what_is_looked_at() {
        assert!(CARD_DATA.is_sorted() && REFERENCES.is_sorted());
        assert!(CARD_DATA.iter().chain(&REFERENCES).all(|name| name.len() <= LETTERS_MAX));
    }

    #[test]
    fn card_data_is_known_by_its_name_in_any_spelling() {
        for text in [
            "cvc",
            "cvcCode",
            "cvv_code",
            "CSC",
            "card-csc",
            "CVC",
            "Cvv2",
            "securityCode",
            "CardSecurityCode",
            "card_security_code",
            "Security Code",
            "pinBlock",
            "PINBLOCK",
            "PIN-Block",
            "track1",
            "TrackData",
            "trackdata",
            "SensitiveCardData",
            "card.cvc",
            "paymentMethod[cvc]",
            "cardCvc",
            "additionalData.card.CVC2",
        ] {
            assert_eq!(name(text.as_bytes()), Name::CardData, "{text}");
        }
    }

    #[test]
    fn references_are_known_by_their_names() {
        for text in [
            "TransactionID",
            "pspReference",
            "originalPspReference",
            "tenderReference",
            "POIReconciliationID",
            "POIID",
            "SaleID",
            "ServiceID",
            "iccid",
            "ICCID2",
            "serialNumber",
            "deviceSerialNumber",
            "TimeStamp",
            "timestamp",
            "DeviceID",
            "TerminalID",
            "Terminal ID",
            "AcquirerID",
            "MerchantID",
            "ApprovalCode",
            "authCode",
            "POISerialNumber",
            "AcquirerPOIID",
        ] {
            assert_eq!(name(text.as_bytes()), Name::Reference, "{text}");
        }
    }

    #[test]
    fn names_that_only_resemble_are_free() {
        for text in [
            "",
            "cvcResult",
            "cvcResultRaw",
            "trackingNumber",
            "acvc",
            "cvcCodeResult",
            "cscs",
            "CVCX",
            "SaleReferenceID",
            "message",
            "¢vc£",
        ] {
            assert_eq!(name(text.as_bytes()), Name::Free, "{text}");
        }
        assert_eq!(name(b"NexoBlob"), Name::Encrypted);
    }
}
