//! `TILLGATE_FAULT`: a deliberate fault in this process, to see that whoever looks for it finds it.

use anyhow::Context as _;

/// Puts the fault on that the environment names, if it names one.
///
/// # Errors
/// There is no fault of that name.
pub(crate) fn switch() -> anyhow::Result<()> {
    let Some(name) = std::env::var_os("TILLGATE_FAULT") else { return Ok(()) };
    let name = name.to_string_lossy();
    if let Ok(fault) = name.parse() {
        gateway::fault::switch_everywhere(fault);
    } else {
        relay::fault::switch_everywhere(name.parse().context("TILLGATE_FAULT")?);
    }
    tracing::warn!(fault = %name, "a deliberate fault is on: this process is wrong about money");
    Ok(())
}
