//! Being told to end: Ctrl-C, and SIGTERM from whoever runs services.

use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Some programs that run others pass a Ctrl-C on which has reached the other already. No person presses it twice as fast as
/// this.
const ECHO: Duration = Duration::from_millis(300);

/// Whether a farewell came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    Done,
    /// A second signal came: the process is to end at once, with [`AT_ONCE`].
    CutShort,
}

/// Exit status of a process that was told twice.
pub(crate) const AT_ONCE: u8 = 130;

/// Both signals. From here on they no longer end the process by themselves.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn listen() -> anyhow::Result<Signals> {
        let listen = |kind| signal(kind).context("can't listen for signals");
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// The next one. Cancel safe.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Runs a farewell to its end, unless another signal comes meanwhile.
    pub(crate) async fn unless_again(&mut self, farewell: impl Future<Output = ()>) -> Farewell {
        let again = async {
            tokio::time::sleep(ECHO).await;
            // What came within that time is taken for the first one.
            let _ = tokio::time::timeout(Duration::ZERO, self.next()).await;
            self.next().await;
        };
        tokio::select! {
            () = farewell => Farewell::Done,
            () = again => {
                eprintln!("Ended at once.");
                Farewell::CutShort
            }
        }
    }
}
