//! Who may speak the Actions API: groups, terminals with device IDs, and the secret that requests are signed with.

use std::fmt;

use bytes::Bytes;
use nexo::{Kept, PoiId};

use crate::store::{CredentialId, Place};

/// What the messages of the Actions API may not cross: one place where terminals stand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Group(Place);

impl Group {
    /// The group at this place; inventory is none.
    pub(crate) fn at(place: &Place) -> Option<Group> {
        place.is_in_store().then(|| Group(place.clone()))
    }

    /// What `x-group-id` and `groupId` call it: the store's code, or that of the merchant account that represents one. Unique
    /// within the groups of one credential.
    pub(crate) fn id(&self) -> &str {
        match &self.0 {
            Place::Store { store, .. } => store.as_str(),
            place => place.merchant().map_or("", |merchant| merchant.as_str()),
        }
    }

    /// Where its terminals stand.
    pub(crate) fn place(&self) -> &Place {
        &self.0
    }
}

/// As people read it, such as `store AMS of ACME_EU`.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The groups of a desktop: one at least, each with an ID of its own, in the order in which they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Groups(Vec<Group>);

/// Groups that one credential can't have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GroupsError {
    /// None at all.
    #[error("a desktop needs a group")]
    None,
    /// Two with one ID, which no `x-group-id` could tell apart.
    #[error("two groups are called {0}: make a key for each")]
    SameId(String),
}

impl Groups {
    /// Takes the groups of one credential.
    ///
    /// # Errors
    /// [`GroupsError`].
    pub(crate) fn new(groups: Vec<Group>) -> Result<Groups, GroupsError> {
        if groups.is_empty() {
            return Err(GroupsError::None);
        }
        for (index, group) in groups.iter().enumerate() {
            if groups[..index].iter().any(|earlier| earlier.id() == group.id()) {
                return Err(GroupsError::SameId(group.id().to_owned()));
            }
        }
        Ok(Groups(groups))
    }

    /// All of them.
    pub(crate) fn as_slice(&self) -> &[Group] {
        &self.0
    }
}

/// What a credential is to the Actions API. Its type of device is the variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ActionsFacts {
    /// A POS.
    Desktop {
        /// The groups whose terminals it may use.
        groups: Groups,
        /// What it signs HTTP requests with.
        secret: SealedSecret,
    },
    /// A terminal.
    Terminal(ActionsTerminal),
}

impl ActionsFacts {
    /// The groups of either kind.
    pub(crate) fn groups(&self) -> &[Group] {
        match self {
            ActionsFacts::Desktop { groups, .. } => groups.as_slice(),
            ActionsFacts::Terminal(terminal) => std::slice::from_ref(&terminal.group),
        }
    }

    /// The one that `x-group-id` names.
    pub(crate) fn group_called(&self, id: &str) -> Option<&Group> {
        self.groups().iter().find(|group| group.id() == id)
    }
}

/// A fleet terminal that speaks the Actions API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActionsTerminal {
    /// Which terminal of the fleet it is.
    pub(crate) poi: PoiId,
    /// Where it stands.
    pub(crate) group: Group,
    /// What desktops call it. Unique in its group.
    pub(crate) device: ActionsDeviceId,
    /// What desktops are told about it.
    pub(crate) metadata: Metadata,
}

/// An Actions terminal and its credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegisteredTerminal {
    /// What it connects with.
    pub(crate) credential: CredentialId,
    /// The terminal.
    pub(crate) terminal: ActionsTerminal,
}

/// Whose device ID it is, for a desktop that names one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeviceFound {
    /// In a group of the desktop's own.
    Own(Box<RegisteredTerminal>),
    /// In another group of its company.
    OtherGroup,
    /// Nobody's in its company.
    Nobody,
}

/// What a desktop or a terminal calls itself (`x-device-id`, `deviceId`): 1 to 64 visible ASCII characters. It outlives
/// connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ActionsDeviceId(Box<str>);

/// A text that is no device ID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DeviceIdError {
    /// Its form.
    #[error("a device ID is 1 to 64 visible ASCII characters without blanks, got {0} characters")]
    Form(usize),
    /// It would be kept and shown.
    #[error("a device ID must not look like a card number")]
    CardData,
}

impl ActionsDeviceId {
    /// Long enough for any serial number.
    const LENGTH_MAX: usize = 64;

    /// Takes the text of it.
    ///
    /// # Errors
    /// [`DeviceIdError`].
    pub(crate) fn parse(text: &str) -> Result<Self, DeviceIdError> {
        let fits = (1..=Self::LENGTH_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        match fits {
            false => Err(DeviceIdError::Form(text.chars().count())),
            true if nexo::holds_card_data(text) => Err(DeviceIdError::CardData),
            true => Ok(ActionsDeviceId(text.into())),
        }
    }

    /// The text as it travels.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ActionsDeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an operator has written down about a terminal, for its desktops: a JSON object of at most 4 KiB, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metadata(Box<str>);

/// A text that can't be a terminal's metadata.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MetadataError {
    /// Its length.
    #[error("metadata may have {max} bytes, got {0}", max = Metadata::LENGTH_MAX)]
    TooLong(usize),
    /// Another JSON value, or no JSON.
    #[error("metadata is a JSON object such as {{\"lane\":\"4\"}}: {0}")]
    NoObject(String),
    /// It would be kept and shown.
    #[error("metadata must not hold card data")]
    CardData,
}

impl Metadata {
    /// A list of a thousand terminals stays at 4 MB.
    pub(crate) const LENGTH_MAX: usize = 4 * 1024;

    /// Takes the text of it.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub(crate) fn parse(text: &str) -> Result<Metadata, MetadataError> {
        if text.len() > Self::LENGTH_MAX {
            return Err(MetadataError::TooLong(text.len()));
        }
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text)
            .map_err(|error| MetadataError::NoObject(error.to_string()))?;
        if Kept::of(&Bytes::copy_from_slice(text.as_bytes())).is_changed() {
            return Err(MetadataError::CardData);
        }
        Ok(Metadata(text.into()))
    }

    /// JSON.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A secret that has to be had again, encrypted under a key that is not in the database. What it belongs to is part of the
/// seal.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SealedSecret(pub(crate) Box<[u8]>);

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MerchantCode, StoreCode};

    fn store(merchant: &str, store: &str) -> Place {
        let (merchant, store) = (MerchantCode::parse(merchant).unwrap(), StoreCode::parse(store).unwrap());
        Place::Store { merchant, store }
    }

    #[test]
    fn a_group_is_a_place_where_terminals_stand_and_has_its_code() {
        let merchant = MerchantCode::parse("ACME_US").unwrap();
        let ids = [store("ACME_EU", "AMS"), Place::MerchantInStore(merchant.clone())]
            .map(|place| Group::at(&place).unwrap().id().to_owned());
        assert_eq!(ids, ["AMS", "ACME_US"]);
        assert_eq!(Group::at(&Place::MerchantInventory(merchant)), None);
        assert_eq!(Group::at(&Place::CompanyInventory), None);
    }

    #[test]
    fn groups_are_one_at_least_and_can_be_told_apart() {
        let group = |merchant, code| Group::at(&store(merchant, code)).unwrap();
        assert_eq!(Groups::new(vec![]), Err(GroupsError::None));
        let two = vec![group("ACME_EU", "AMS"), group("ACME_EU", "PAR")];
        assert_eq!(Groups::new(two.clone()).unwrap().as_slice(), two);
        let same = Groups::new(vec![group("ACME_EU", "AMS"), group("ACME_US", "AMS")]);
        assert_eq!(same, Err(GroupsError::SameId("AMS".into())));
    }

    #[test]
    fn a_device_id_is_1_to_64_visible_characters_and_no_card_number() {
        for text in ["TERM-001", "1", "till/4#b", &"x".repeat(64)] {
            assert_eq!(ActionsDeviceId::parse(text).unwrap().as_str(), text);
        }
        for text in ["", " ", "TERM 001", "TERM-001\n", "Kasse-Ä", &"x".repeat(65)] {
            assert!(matches!(ActionsDeviceId::parse(text), Err(DeviceIdError::Form(_))), "{text:?}");
        }
        assert_eq!(ActionsDeviceId::parse("4111111111111111"), Err(DeviceIdError::CardData));
    }

    #[test]
    fn metadata_is_a_short_json_object_without_card_data() {
        for text in ["{}", r#"{"lane":"4", "tags":[1, null]}"#] {
            assert_eq!(Metadata::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "[]", "\"lane\"", "{", "{} {}"] {
            assert!(matches!(Metadata::parse(text), Err(MetadataError::NoObject(_))), "{text:?}");
        }
        let long = |length: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(length - 8));
        assert_eq!(Metadata::parse(&long(4096)).unwrap().as_str().len(), 4096);
        assert_eq!(Metadata::parse(&long(4097)), Err(MetadataError::TooLong(4097)));
        for text in [r#"{"note":"4111 1111 1111 1111"}"#, r#"{"cvc":"123"}"#] {
            assert_eq!(Metadata::parse(text), Err(MetadataError::CardData), "{text}");
        }
    }

    #[test]
    fn a_sealed_secret_is_not_printed() {
        assert_eq!(format!("{:?}", SealedSecret([1, 2].into())), "SealedSecret(..)");
    }
}
