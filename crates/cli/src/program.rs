//! How this program is started from here, for the command lines that it prints to be pasted.

use std::path::{Path, PathBuf};

/// By its name if the shell found it by that, or by the path that it was called by; quoted if need be.
pub(crate) fn name() -> String {
    let called = std::env::args_os().next().filter(|called| !called.is_empty());
    let called = called.map_or_else(|| "tillgate".into(), PathBuf::from);
    quoted(&from(&std::env::current_dir().unwrap_or_default(), &called).display().to_string())
}

fn from(here: &Path, called: &Path) -> PathBuf {
    match called.strip_prefix(here) {
        // A name alone is looked for elsewhere.
        Ok(below) if called.is_absolute() && below.components().count() == 1 => Path::new(".").join(below),
        Ok(below) => below.to_owned(),
        Err(_) => called.to_owned(),
    }
}

/// For a shell, if it needs that.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_called_as_it_was() {
        let here = |called: &str| from(Path::new("/home/ada"), Path::new(called)).display().to_string();
        assert_eq!(here("tillgate"), "tillgate");
        assert_eq!(here("./tillgate"), "./tillgate");
        assert_eq!(here("target/release/tillgate"), "target/release/tillgate");
        assert_eq!(here("../bob/tillgate"), "../bob/tillgate");
        assert_eq!(here("/usr/bin/tillgate"), "/usr/bin/tillgate");
        assert_eq!(here("/home/ada/bin/tillgate"), "bin/tillgate");
        assert_eq!(here("/home/ada/tillgate"), "./tillgate");
    }

    #[test]
    fn a_path_with_a_blank_is_quoted() {
        assert_eq!(quoted("target/release/tillgate"), "target/release/tillgate");
        assert_eq!(quoted("my dir/it's"), r"'my dir/it'\''s'");
    }
}
