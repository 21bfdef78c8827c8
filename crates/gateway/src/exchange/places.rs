//! How many requests of one credential may be open at once: those that wait, and those that a terminal still has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::CredentialId;

/// Counts requests by credential; one without any is not kept.
#[derive(Debug)]
pub(super) struct Places {
    most: u32,
    taken: Mutex<HashMap<CredentialId, u32>>,
}

/// The place of one request, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    credential: CredentialId,
}

impl Places {
    /// `most` for each credential.
    pub(super) fn new(most: u32) -> Arc<Places> {
        Arc::new(Places { most, taken: Mutex::default() })
    }

    /// A place, unless all of this credential's are taken.
    pub(super) fn take(self: &Arc<Self>, credential: &CredentialId) -> Option<Arc<Place>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let open = taken.get(credential).copied().unwrap_or(0);
        if open >= self.most {
            return None;
        }
        taken.insert(credential.clone(), open + 1);
        Some(Arc::new(Place { places: self.clone(), credential: credential.clone() }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.credential) {
            Some(open) if *open > 1 => *open -= 1,
            _ => drop(taken.remove(&self.credential)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_credential_has_its_places_and_gets_them_back() {
        let (places, a) = (Places::new(2), CredentialId::parse("a").unwrap());
        let (one, two) = (places.take(&a).unwrap(), places.take(&a).unwrap());
        assert!(places.take(&a).is_none());
        assert!(places.take(&CredentialId::parse("b").unwrap()).is_some());
        drop(one);
        let three = places.take(&a).unwrap();
        assert!(places.take(&a).is_none());
        drop((two, three));
        assert!(places.taken.lock().unwrap().is_empty());
    }
}
