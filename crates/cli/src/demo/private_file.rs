//! Files that hold secrets: for their owner's eyes only, and there as a whole or not at all.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

/// Writes a file with mode 0600: whoever reads it sees the whole of it, or the one before.
pub(super) fn write(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    let write = || -> anyhow::Result<()> {
        let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut temporary = tempfile::NamedTempFile::new_in(dir)?; // Has mode 0600.
        temporary.write_all(content)?;
        temporary.as_file().sync_all()?;
        temporary.persist(file)?;
        Ok(())
    };
    write().with_context(|| format!("can't write {}", file.display()))
}

/// The same, as JSON.
pub(super) fn write_json<T: Serialize>(file: &Path, content: &T) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec_pretty(content)?;
    text.push(b'\n');
    write(file, &text)
}

/// Makes a directory, and those above it, with mode 0700. One that is there stays as it is.
pub(super) fn create_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}
