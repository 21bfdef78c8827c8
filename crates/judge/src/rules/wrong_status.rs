//! What is told and kept is what terminals have said, byte for byte and under the right IDs; and what is asked in the end is
//! answered by what the ledger holds.

mod bytes;
mod last_word;
mod order;

pub(super) use last_word::{Question, last_questions};

use super::Findings;

pub(super) fn judge(found: &mut Findings<'_>) {
    bytes::judge(found);
    order::judge(found);
    last_word::judge(found);
}
