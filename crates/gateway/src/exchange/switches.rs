//! What a terminal may be asked for: whether its Terminal API is switched on, and whether its store does business.

use nexo::MessageCategory;

use crate::store::{StoreStatus, Terminal};

/// Why a terminal may not be asked for this now: a sentence for the POS. None if it may.
///
/// With the Terminal API off only what settles an earlier request passes: a TransactionStatus and an Abort. A store that is
/// not Active does no business: what takes back, looks or stops passes, until it is Closed.
pub(super) fn barred(terminal: &Terminal, category: &MessageCategory) -> Option<String> {
    let settles = [MessageCategory::TRANSACTION_STATUS, MessageCategory::ABORT].contains(category);
    if !terminal.settings.terminal_api_enabled && !settles {
        return Some(format!(
            "The Terminal API is switched off for terminal {}. Whoever manages its terminal settings can switch it on \
             (terminalApiEnabled).",
            terminal.poi
        ));
    }
    let looks_back = settles || [MessageCategory::REVERSAL, MessageCategory::DIAGNOSIS].contains(category);
    let passes = match terminal.store_status {
        StoreStatus::Active => true,
        StoreStatus::Closed => false,
        StoreStatus::PreActive | StoreStatus::Inactive | StoreStatus::InactiveWithModifications => looks_back,
    };
    (!passes).then(|| {
        let place = match terminal.place.store() {
            Some(store) => format!("Store {store}"),
            None => "The store".to_owned(),
        };
        format!(
            "{place} of terminal {} is {}: no {category} may be sent to it.",
            terminal.poi,
            terminal.store_status.as_str()
        )
    })
}

#[cfg(test)]
mod tests {
    use nexo::PoiId;

    use super::*;
    use crate::store::fleet_store::EffectiveSettings;
    use crate::store::{CompanyCode, MerchantCode, Place, StoreCode};

    fn terminal(is_on: bool, store_status: StoreStatus) -> Terminal {
        Terminal {
            poi: PoiId::parse("V400m-1").unwrap(),
            company: CompanyCode::parse("C").unwrap(),
            place: Place::Store {
                merchant: MerchantCode::parse("M").unwrap(),
                store: StoreCode::parse("STORE_A").unwrap(),
            },
            boarded: None,
            settings: EffectiveSettings {
                revision: 1,
                web_sockets_enabled: true,
                terminal_api_enabled: is_on,
                display_label: None,
            },
            store_status,
            retired: None,
            pending: None,
            platform: None,
            firmware_version: None,
            device: None,
            last_hello: None,
        }
    }

    fn passing(is_on: bool, status: StoreStatus) -> Vec<String> {
        let categories = [
            MessageCategory::PAYMENT,
            MessageCategory::REVERSAL,
            MessageCategory::TRANSACTION_STATUS,
            MessageCategory::DIAGNOSIS,
            MessageCategory::ABORT,
            MessageCategory::DISPLAY,
        ];
        let terminal = terminal(is_on, status);
        let passes = categories.into_iter().filter(|category| barred(&terminal, category).is_none());
        passes.map(|category| category.to_string()).collect()
    }

    #[test]
    fn a_terminal_may_be_asked_for_what_its_switch_and_its_store_allow() {
        assert_eq!(passing(true, StoreStatus::Active).len(), 6);
        assert_eq!(passing(false, StoreStatus::Active), ["TransactionStatus", "Abort"]);
        for status in [StoreStatus::PreActive, StoreStatus::Inactive, StoreStatus::InactiveWithModifications]
        {
            assert_eq!(passing(true, status), ["Reversal", "TransactionStatus", "Diagnosis", "Abort"]);
        }
        assert!(passing(true, StoreStatus::Closed).is_empty());
        assert!(passing(false, StoreStatus::Closed).is_empty());
    }

    #[test]
    fn the_reason_names_the_switch_or_the_store() {
        let off = barred(&terminal(false, StoreStatus::Closed), &MessageCategory::PAYMENT).unwrap();
        assert!(off.contains("Terminal API is switched off for terminal V400m-1"), "{off}");
        let closed = barred(&terminal(true, StoreStatus::Closed), &MessageCategory::ABORT).unwrap();
        assert_eq!(closed, "Store STORE_A of terminal V400m-1 is Closed: no Abort may be sent to it.");
    }
}
