//! Being told to end: Ctrl-C, and SIGTERM from whoever runs services.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals. From here on they no longer end the process by themselves.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn listen() -> anyhow::Result<Signals> {
        let listen = |kind| signal(kind).context("can't listen for signals");
        Ok(Signals { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// The next one. Cancel safe.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Runs a farewell to its end, unless a signal comes meanwhile: then the process ends at once.
    pub(crate) async fn unless_again(&mut self, farewell: impl Future<Output = ()>) {
        tokio::select! {
            () = farewell => {}
            () = self.next() => {
                eprintln!("Ended at once.");
                std::process::exit(130);
            }
        }
    }
}
