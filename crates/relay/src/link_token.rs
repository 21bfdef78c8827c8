//! What a terminal proves itself with when it opens a link.

use std::fmt;

/// The longest token, in characters: what boarding gives is far shorter, and terminals are told to keep room for this.
const LENGTH_MAX: usize = 512;

/// A terminal's token as it travels in a frame: a secret, so it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkToken(Box<str>);

impl LinkToken {
    /// Takes the text of a token; none when it is no 1 to 512 printable ASCII characters, or has a blank among them.
    pub fn parse(text: &str) -> Option<LinkToken> {
        let fits = (1..=LENGTH_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| LinkToken(text.into()))
    }

    /// The text as it travels: for the frame, and for the terminal's journal.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LinkToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} characters", self.0.len())
    }
}
