//! Boarding: a person makes a code for a terminal that is in store, types it there, and the terminal gets its token.
//!
//! The code travels through a person's eyes and fingers, so it is short; it is good once and for a day, and the store
//! counts wrong ones and locks after five. Code and token are kept as SHA-256 only, and shown once.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nexo::{KeptText, PoiId};
use relay::ledger::Boarded;
use relay::{JournalId, WallMs};

use crate::access::Caller;
use crate::clock::Clock;
use crate::ids::{self, TerminalToken, sha256};
use crate::store::{BoardError, CodeError, CodeHash, Place, Store, StoreError, Terminal, TokenHash};

/// How long a boarding code is good.
pub(crate) const CODE_LIFETIME: Duration = Duration::from_hours(24);

/// Digits and capital letters without I, L, O and U: nothing that a person mistakes for another, and no words.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// 50 bits. Five guesses in 15 minutes, through a whole day, are 480 of 10^15.
const CODE_LENGTH: usize = 10;

/// Makes boarding codes, and boards terminals with them.
#[derive(Debug)]
pub(crate) struct Boarding {
    store: Arc<dyn Store>,
    clock: Clock,
}

/// A code that was made, to be shown once.
#[derive(Debug)]
pub(crate) struct MadeCode {
    /// The code.
    pub(crate) code: BoardingCode,
    /// Until when it is good.
    pub(crate) expires: WallMs,
}

/// Why a caller gets no code.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoCode {
    /// There is no such terminal in the caller's company.
    #[error("there is no such terminal")]
    Unknown,
    /// The terminal is at a merchant account of the caller's company that the credential may not use.
    #[error("the API credential may not use this terminal's merchant account")]
    OutOfScope,
    /// A terminal in inventory can't be boarded.
    #[error("the terminal is in inventory")]
    InInventory(Place),
    /// One that speaks the Actions API boards with its key.
    #[error("the terminal is an Actions terminal, which connects with its API key")]
    ActionsTerminal,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Boarding {
    /// Codes and tokens are kept in `store`.
    pub(crate) fn new(store: Arc<dyn Store>, clock: Clock) -> Boarding {
        Boarding { store, clock }
    }

    /// Makes a code on behalf of a caller, which ends any earlier code of the terminal.
    ///
    /// # Errors
    /// [`NoCode`]; then an earlier code is still good.
    pub(crate) async fn make_code_for(&self, caller: &Caller, poi: &PoiId) -> Result<MadeCode, NoCode> {
        let terminal = self.store.terminal(poi).await?;
        let terminal = terminal.filter(|t| t.company == caller.company).ok_or(NoCode::Unknown)?;
        if !caller.may_use_place(&terminal.place) {
            return Err(NoCode::OutOfScope);
        }
        self.make_code(poi).await.map_err(|error| match error {
            CodeError::Missing(_) => NoCode::Unknown,
            CodeError::InInventory { place, .. } => NoCode::InInventory(place),
            CodeError::ActionsTerminal(_) => NoCode::ActionsTerminal,
            CodeError::Store(error) => NoCode::Store(error),
        })
    }

    /// Makes a code on behalf of the operator of this installation.
    ///
    /// # Errors
    /// [`CodeError`]; then an earlier code is still good.
    pub(crate) async fn make_code(&self, poi: &PoiId) -> Result<MadeCode, CodeError> {
        let code = BoardingCode::fresh();
        let expires = self.clock.now().wall.plus(CODE_LIFETIME);
        self.store.make_boarding_code(poi, code.hash(), expires).await?;
        tracing::info!(poi.id = %poi, "boarding code made");
        Ok(MadeCode { code, expires })
    }

    /// Boards a terminal: its new token, and the terminal as it is now. `address` is where the wrong codes of a guesser
    /// are counted, beside the terminal.
    ///
    /// # Errors
    /// [`BoardError`]; then the terminal's boarding stands as it was.
    pub(crate) async fn board(
        &self,
        poi: &PoiId,
        code: &BoardingCode,
        journal: JournalId,
        address: IpAddr,
    ) -> Result<(TerminalToken, Terminal), BoardError> {
        let token = TerminalToken::fresh();
        let now = self.clock.now().wall;
        let boarded =
            self.store.board(poi, code.hash(), journal, TokenHash(token.sha256()), now, address).await;
        match &boarded {
            Ok(_) => tracing::info!(poi.id = %poi, "boarded"),
            Err(BoardError::Refused(reason)) => {
                // Anybody may ask to board anything: the POIID may be any text.
                let poi = KeptText::of(poi.as_str());
                tracing::warn!(poi.id = %poi, client.address = %address, %reason, "not boarded")
            }
            Err(BoardError::Store(_)) => {} // Logged by whoever answers.
        }
        boarded.map(|terminal| (token, terminal))
    }

    /// Boards an Actions terminal with this journal, as [`Store`] says: its API key was proved, and it gets no
    /// token. None when there is no Actions terminal with this POIID at its group.
    ///
    /// # Errors
    /// [`StoreError`]; then its boarding stands as it was.
    pub(crate) async fn board_actions(
        &self,
        poi: &PoiId,
        read: Option<JournalId>,
        journal: JournalId,
    ) -> Result<Option<Boarded>, StoreError> {
        // A terminal without a token counts as not boarded: it has one that nobody will ever show.
        let token = TokenHash(TerminalToken::fresh().sha256());
        self.store.board_actions(poi, read, journal, token, self.clock.now().wall).await
    }
}

/// What a person types at a terminal, such as `7KQ2M-XR9TD`.
///
/// Case, dashes and blanks don't matter, and letters that look like digits are taken for them.
#[derive(Clone, PartialEq, Eq)]
pub struct BoardingCode(Box<str>);

impl BoardingCode {
    /// A new one.
    pub(crate) fn fresh() -> BoardingCode {
        let symbols = ids::random::<CODE_LENGTH>().map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
        BoardingCode(symbols.into_iter().collect())
    }

    /// What somebody typed; whether it is anybody's code only the store knows.
    pub(crate) fn typed(text: &str) -> BoardingCode {
        let symbols = text.chars().filter(|c| !(c.is_whitespace() || *c == '-'));
        let symbols = symbols.map(|c| match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        });
        BoardingCode(symbols.collect())
    }

    /// As it is shown to a person, once.
    pub fn reveal(&self) -> String {
        let (first, second) = self.0.split_at_checked(CODE_LENGTH / 2).unwrap_or((&self.0, ""));
        format!("{first}-{second}")
    }

    fn hash(&self) -> CodeHash {
        CodeHash(sha256(&self.0))
    }
}

impl fmt::Debug for BoardingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoardingCode(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_easy_to_read_and_to_type() {
        let code = BoardingCode::fresh();
        let shown = code.reveal();
        assert_eq!((shown.len(), &shown[5..6]), (11, "-"));
        assert_ne!(code, BoardingCode::fresh());
        for typed in [
            shown.clone(),
            shown.to_lowercase(),
            shown.replace('-', ""),
            format!(" {} ", shown.replace('-', " ")),
        ] {
            assert_eq!(BoardingCode::typed(&typed).hash(), code.hash(), "{typed}");
        }
        assert_eq!(format!("{code:?}"), "BoardingCode(..)");
    }

    #[test]
    fn letters_that_look_like_digits_are_digits() {
        assert_eq!(BoardingCode::typed("oO-iI-lL"), BoardingCode::typed("001111"));
        assert_ne!(BoardingCode::typed("7KQ2MXR9TD"), BoardingCode::typed("7KQ2MXR9T"));
    }
}
