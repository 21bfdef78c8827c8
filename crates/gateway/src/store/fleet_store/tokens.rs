//! The tokens of a terminal, by names that are no secret.

use relay::WallMs;

use crate::store::fleet::code;

code!(
    /// Names a token: `tk_` and 32 hex digits. No secret.
    TokenId,
    "a token ID"
);

/// A token as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenInfo {
    /// Its name.
    pub(crate) id: TokenId,
    /// When it was made.
    pub(crate) made: WallMs,
    /// What it is good for.
    pub(crate) used_as: TokenUse,
}

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenUse {
    /// It is the terminal's.
    Current,
    /// It was given to the terminal and takes the current one's place as soon as the terminal has it.
    Next,
    /// For handing in results only.
    Ended {
        /// When it ended.
        since: WallMs,
    },
}

/// A token was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RevokedToken {
    /// The terminal's own: its link has to be closed.
    Current,
    /// One that was to take its place.
    Next,
}

/// Whether a token may take the place of a terminal's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RotationBegun {
    /// It may.
    Begun,
    /// The terminal has no token, or there is no such terminal.
    NotBoarded,
    /// So many may already that it was not kept: the terminal can hold any of them, so none can be dropped.
    TooMany,
}
