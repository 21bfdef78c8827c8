//! Fingerprints: how the search tells whether it has been in a state before.
//!
//! A state is compared by the first 128 bits of SHA-256 over its `Debug` text. The text holds all that a state's future
//! depends on, with one exception: a kept message shows only its length, so those of the ledger are written out here. By
//! the birthday bound two of 10 million different states are taken for the same with probability 1.5e-25.

use std::fmt::{Debug, Write};
use std::ops::Deref;
use std::sync::Arc;

use relay::exchange::Desk;
use relay::ledger::{Answered, Outcome};
use relay::model::Ledger;
use sha2::{Digest, Sha256};

use super::store::Queue;

/// Says what makes a value different from another.
pub(super) trait Print {
    fn print(&self, text: &mut String);
}

impl Print for Ledger {
    fn print(&self, text: &mut String) {
        write_debug(self, text);
        for record in self.records() {
            if let Outcome::Answered(Answered::Message(message)) = &record.outcome {
                write_debug(message.bytes(), text);
            }
        }
    }
}

/// Ops are numbered from the next one down: how many there were before makes no difference.
impl Print for Desk {
    fn print(&self, text: &mut String) {
        const NEXT: &str = "op_next: ";
        const ID: &str = "OpId(";
        /// Longer than most desks' text, so that it need not grow.
        const LENGTH: usize = 8192;
        let mut raw = String::with_capacity(LENGTH);
        write_debug(self, &mut raw);
        let number = |at: usize| {
            let digits = &raw[at..];
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            (digits[..end].parse::<u64>().unwrap_or_default(), at + end)
        };
        let Some(at) = raw.rfind(NEXT) else { return text.push_str(&raw) };
        let (next, after_next) = number(at + NEXT.len());
        let mut done = 0;
        while let Some(found) = raw[done..at].find(ID) {
            let start = done + found + ID.len();
            let (id, end) = number(start);
            text.push_str(&raw[done..start]);
            write_debug(&(next - id), text);
            done = end;
        }
        text.push_str(&raw[done..at]);
        text.push_str(&raw[after_next..]);
    }
}

impl Print for Queue {
    fn print(&self, text: &mut String) {
        let (money, rest) = self.ops();
        money.for_each(|op| write_debug(op, text));
        text.push('|');
        rest.for_each(|op| write_debug(op, text));
    }
}

/// For whatever is told completely by its `Debug` text.
macro_rules! print_by_debug {
    ($($what:ty),+ $(,)?) => {
        $(impl Print for $what {
            fn print(&self, text: &mut String) {
                write_debug(self, text);
            }
        })+
    };
}

print_by_debug!(super::net::Net, super::pos::Pos);

pub(super) fn write_debug(value: &impl Debug, text: &mut String) {
    // Writing to a String can't fail.
    let _ = write!(text, "{value:?}");
}

/// The fingerprint of a text.
pub(super) fn fingerprint(text: &str) -> u128 {
    let digest = Sha256::digest(text.as_bytes());
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    u128::from_be_bytes(first)
}

/// A part of a state, shared by all states in which it is the same, with its fingerprint. Most steps change two or three
/// of six parts, so most of the work of copying and comparing is saved.
#[derive(Clone, Debug)]
pub(super) struct Part<T> {
    value: Arc<T>,
    /// None while it is being changed.
    print: Option<u128>,
}

impl<T: Clone + Print> Part<T> {
    pub(super) fn new(value: T) -> Part<T> {
        Part { value: Arc::new(value), print: None }
    }

    pub(super) fn edit(&mut self) -> &mut T {
        self.print = None;
        Arc::make_mut(&mut self.value)
    }

    /// Whether it was changed since its fingerprint was asked for.
    pub(super) fn is_changed(&self) -> bool {
        self.print.is_none()
    }

    /// The fingerprint; `scratch` is only there to be used again.
    pub(super) fn print(&mut self, scratch: &mut String) -> u128 {
        if let Some(print) = self.print {
            return print;
        }
        scratch.clear();
        self.value.print(scratch);
        let print = fingerprint(scratch);
        self.print = Some(print);
        print
    }
}

impl<T> Deref for Part<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
