//! How deep a text is read, and how much of it in all: whoever sends it must not choose what that costs.

use std::cell::Cell;

/// How many texts may be nested, in JSON or in Base64: a message, JSON in its text, Base64 in that, and JSON in that.
const DEPTH_MAX: usize = 6;

/// How many of these may be Base64: a Reject holds a whole request in it, which may hold one text of its own.
const BASE64_MAX: usize = 2;

/// How often each byte may be looked at, whatever it is looked at as. A message that has escapes and two levels of Base64
/// with card data takes about 20, with its second pass.
const LOOKS_PER_BYTE: usize = 32;

/// Added to the length, so that short texts of many codings have room.
const LENGTH_MIN: usize = 256;

/// A text that would need more than it may have.
#[derive(Debug)]
pub(super) struct Exhausted;

/// What may still be done for one text; nothing once that was not enough.
pub(super) struct Work(Cell<Option<usize>>);

impl Work {
    /// What a text of this length may take, with all that is nested in it.
    pub(super) fn on(text: &[u8]) -> Work {
        Work(Cell::new(Some(Work::most(text.len()))))
    }

    fn most(length: usize) -> usize {
        (length + LENGTH_MIN) * LOOKS_PER_BYTE
    }

    /// A reading from the outermost text on.
    pub(super) fn reading(&self) -> Reading<'_> {
        Reading { depth: DEPTH_MAX, base64: BASE64_MAX, work: self }
    }

    /// Whether all that had to be done could be.
    pub(super) fn is_enough(&self) -> Result<(), Exhausted> {
        self.0.get().map(|_| ()).ok_or(Exhausted)
    }

    /// What has been looked at, if that was enough.
    #[cfg(test)]
    pub(super) fn done(&self, text: &[u8]) -> Option<usize> {
        self.0.get().map(|left| Work::most(text.len()) - left)
    }

    fn spend(&self, bytes: usize) -> bool {
        self.0.set(self.0.get().and_then(|left| left.checked_sub(bytes)));
        self.0.get().is_some()
    }
}

/// How much further a text is read.
#[derive(Clone, Copy)]
pub(super) struct Reading<'w> {
    depth: usize,
    base64: usize,
    work: &'w Work,
}

impl Reading<'_> {
    /// For a text that stands in another: nothing if that is too deep or too much.
    pub(super) fn of_text(self, bytes: usize) -> Option<Self> {
        let depth = self.depth.checked_sub(1)?;
        self.looks_at(bytes).then_some(Reading { depth, ..self })
    }

    /// For what stands in a text in Base64.
    pub(super) fn of_base64(self, bytes: usize) -> Option<Self> {
        let base64 = self.base64.checked_sub(1)?;
        self.looks_at(bytes).then_some(Reading { base64, ..self })
    }

    /// Whether so many bytes more may be looked at. Where not, all that was found is of no use.
    pub(super) fn looks_at(self, bytes: usize) -> bool {
        self.work.spend(bytes)
    }
}
