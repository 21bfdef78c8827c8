//! What an assignment does to a terminal, decided by where the terminal is. Pure: the store asks inside its transaction.

use super::Place;
use super::fleet_store::{Assigned, PendingAssignment};

/// What becomes of one terminal of an `assignTerminals` call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is at the target: nothing changes there.
    AlreadyThere,
    /// It moves in this transaction.
    Now,
    /// It moves in the background, within seconds.
    Schedule,
    /// It moves once it has confirmed that it removed the configuration of its present place.
    RemoveConfig,
}

impl Decision {
    /// What the caller is told.
    pub(crate) fn answer(self) -> Assigned {
        match self {
            Decision::AlreadyThere | Decision::Now => Assigned::Done,
            Decision::Schedule => Assigned::Scheduled,
            Decision::RemoveConfig => Assigned::RemoveConfig,
        }
    }
}

/// What becomes of an assignment that was pending when another call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Former {
    /// There was none.
    None,
    /// It says what the call says: it goes on, under its own change ID.
    GoesOn,
    /// The terminal is to stay where it is.
    Cancelled,
    /// The call takes its place.
    Superseded,
}

/// A terminal as an assignment finds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    /// Where it is.
    pub(crate) place: &'a Place,
    /// Whether it holds a configuration that it has to remove first.
    pub(crate) is_boarded: bool,
    /// What is still to happen to it.
    pub(crate) pending: Option<&'a PendingAssignment>,
}

/// Decides about one terminal. `has_several` says whether the call names more than one terminal, each counted once.
pub(crate) fn decide(found: Found<'_>, target: &Place, has_several: bool) -> (Decision, Former) {
    let decision = match (found.is_boarded, has_several) {
        _ if found.place == target => Decision::AlreadyThere,
        (true, _) => Decision::RemoveConfig,
        (false, true) => Decision::Schedule,
        (false, false) => Decision::Now,
    };
    let former = match (found.pending, decision) {
        (None, _) => Former::None,
        (Some(_), Decision::AlreadyThere) => Former::Cancelled,
        // The terminal may have been told already: what it confirms then must still count.
        (Some(pending), Decision::Schedule | Decision::RemoveConfig) if pending.to == *target => {
            Former::GoesOn
        }
        (Some(_), _) => Former::Superseded,
    };
    (decision, former)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use relay::{ChangeId, WallMs};

    use super::*;
    use crate::store::fleet_store::PendingState;
    use crate::store::{MerchantCode, StoreCode};

    fn merchant(code: &str) -> MerchantCode {
        MerchantCode::parse(code).unwrap()
    }

    /// One of each kind, and a second store.
    fn places() -> [Place; 5] {
        let store = |code| Place::Store { merchant: merchant("EU"), store: StoreCode::parse(code).unwrap() };
        [
            Place::CompanyInventory,
            Place::MerchantInventory(merchant("EU")),
            Place::MerchantInStore(merchant("US")),
            store("AMS"),
            store("PAR"),
        ]
    }

    fn pending_to(to: &Place, is_boarded: bool) -> PendingAssignment {
        PendingAssignment {
            change: ChangeId::parse("as_1").unwrap(),
            to: to.clone(),
            state: if is_boarded { PendingState::AwaitingTerminal } else { PendingState::Scheduled },
            requested: WallMs(0),
            told: None,
        }
    }

    #[test]
    fn each_case_has_its_answer() {
        let [inventory, _, _, ams, par] = places();
        let table = [
            // Is boarded, several in the call, pending to, target: what becomes of it, and of what was pending.
            (false, false, None, &par, Decision::Now, Former::None),
            (false, true, None, &par, Decision::Schedule, Former::None),
            (true, false, None, &par, Decision::RemoveConfig, Former::None),
            (true, true, None, &inventory, Decision::RemoveConfig, Former::None),
            (true, false, None, &ams, Decision::AlreadyThere, Former::None),
            (false, true, None, &ams, Decision::AlreadyThere, Former::None),
            (true, false, Some(&par), &ams, Decision::AlreadyThere, Former::Cancelled),
            (false, true, Some(&par), &ams, Decision::AlreadyThere, Former::Cancelled),
            (true, false, Some(&par), &inventory, Decision::RemoveConfig, Former::Superseded),
            (false, true, Some(&par), &inventory, Decision::Schedule, Former::Superseded),
            (false, false, Some(&par), &inventory, Decision::Now, Former::Superseded),
            (true, true, Some(&par), &par, Decision::RemoveConfig, Former::GoesOn),
            (false, true, Some(&par), &par, Decision::Schedule, Former::GoesOn),
            // It need not wait any longer.
            (false, false, Some(&par), &par, Decision::Now, Former::Superseded),
        ];
        for (is_boarded, has_several, pending, target, decision, former) in table {
            let pending = pending.map(|to| pending_to(to, is_boarded));
            let found = Found { place: &ams, is_boarded, pending: pending.as_ref() };
            let decided = decide(found, target, has_several);
            assert_eq!(decided, (decision, former), "{found:?} to {target}, several: {has_several}");
        }
    }

    proptest! {
        #[test]
        fn a_terminal_with_a_configuration_never_moves_without_its_confirmation(
            place in 0..5_usize, target in 0..5_usize, to in prop::option::of(0..5_usize),
            is_boarded: bool, has_several: bool,
        ) {
            let places = places();
            let pending = to.map(|to| pending_to(&places[to], is_boarded));
            let found = Found { place: &places[place], is_boarded, pending: pending.as_ref() };
            let (decision, former) = decide(found, &places[target], has_several);
            prop_assert_eq!(decision == Decision::AlreadyThere, place == target);
            prop_assert_eq!(decision == Decision::RemoveConfig, is_boarded && place != target);
            prop_assert_eq!(former == Former::None, to.is_none());
            // Whatever was pending is over, unless it says the same: there is one at the most afterwards.
            prop_assert!(former != Former::GoesOn || to == Some(target));
        }

        #[test]
        fn asking_again_changes_nothing(
            place in 0..5_usize, target in 0..5_usize, to in prop::option::of(0..5_usize),
            is_boarded: bool, has_several: bool,
        ) {
            let places = places();
            let target = &places[target];
            let pending = to.map(|to| pending_to(&places[to], is_boarded));
            let found = Found { place: &places[place], is_boarded, pending: pending.as_ref() };
            let (first, _) = decide(found, target, has_several);
            let left = match first {
                Decision::AlreadyThere => Found { pending: None, ..found },
                Decision::Now => Found { place: target, pending: None, is_boarded },
                Decision::Schedule | Decision::RemoveConfig => {
                    let pending = pending_to(target, is_boarded);
                    let again = decide(Found { pending: Some(&pending), ..found }, target, has_several);
                    prop_assert_eq!(again, (first, Former::GoesOn));
                    return Ok(());
                }
            };
            prop_assert_eq!(decide(left, target, has_several), (Decision::AlreadyThere, Former::None));
        }
    }
}
