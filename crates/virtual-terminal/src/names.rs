//! The one place where this crate asks the operating system for random bytes.

use std::fmt::Write;

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the operating system gives no random numbers: {0}")]
pub struct NoRandomness(getrandom::Error);

/// `prefix` and 32 hexadecimal digits, as IDs of this project are made.
pub(crate) fn name(prefix: &str) -> Result<String, NoRandomness> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    let mut name = String::from(prefix);
    for byte in bytes {
        // Writing to a string can't fail.
        let _ = write!(name, "{byte:02x}");
    }
    Ok(name)
}

/// What the small generator begins with.
pub(crate) fn seed() -> Result<u64, NoRandomness> {
    getrandom::u64().map_err(NoRandomness)
}
