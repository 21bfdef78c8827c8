//! The Actions API in the simulated world: terminals and desktops that speak it.

mod desktop;
mod plain;
mod port;
mod pursuits;
mod transactions;

use clap::ValueEnum;

pub(crate) use desktop::Desktop;
pub(crate) use plain::Plain;
pub(crate) use port::{Errand, Opened, Ports, Session, key_of};
pub(crate) use pursuits::{Pursuits, Waiter, credential_of};
pub(crate) use transactions::{Change, Changed, Transactions, Void};

/// Which terminals a run has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mix {
    /// Those of the link only
    #[default]
    Link,
    /// Actions terminals that acknowledge only
    Acknowledging,
    /// Plain Actions terminals only
    Plain,
    /// Actions terminals of both kinds
    Actions,
    /// All three kinds
    Mixed,
}

/// What a terminal speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The link.
    Link,
    /// The Actions API with acknowledgements: it has all promises.
    Acknowledging,
    /// The Actions API and not more (E26).
    Plain,
}

impl Mix {
    /// The kinds to choose from.
    pub(crate) fn kinds(self) -> &'static [Kind] {
        match self {
            Mix::Link => &[Kind::Link],
            Mix::Acknowledging => &[Kind::Acknowledging],
            Mix::Plain => &[Kind::Plain],
            Mix::Actions => &[Kind::Acknowledging, Kind::Plain],
            Mix::Mixed => &[Kind::Link, Kind::Acknowledging, Kind::Plain],
        }
    }
}
