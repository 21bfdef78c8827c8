//! Colours, where they are wanted: on a terminal, unless `NO_COLOR` is set.

use std::borrow::Cow;
use std::io::IsTerminal as _;

pub(crate) const BOLD: &str = "1";
pub(crate) const DIM: &str = "2";
pub(crate) const RED: &str = "31";
pub(crate) const GREEN: &str = "32";
pub(crate) const YELLOW: &str = "33";
pub(crate) const CYAN: &str = "36";

/// A text for stdout in this style.
pub(crate) fn stdout<'a>(text: &'a str, style: &str) -> Cow<'a, str> {
    paint(text, style, std::io::stdout().is_terminal())
}

/// A text for stderr in this style.
pub(crate) fn stderr<'a>(text: &'a str, style: &str) -> Cow<'a, str> {
    paint(text, style, std::io::stderr().is_terminal())
}

fn paint<'a>(text: &'a str, style: &str, is_terminal: bool) -> Cow<'a, str> {
    let wanted = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted { format!("\x1b[{style}m{text}\x1b[0m").into() } else { text.into() }
}
