//! How long the gateway waits for a client that is slow, silent, or has gone without a word. Each part of a call has its own
//! limit, and each cut is logged by its name.

use std::time::Duration;

use super::body::BodyLimits;

/// How long a client may take for each part of a call. The answer is no part of it: a payment takes as long as it takes.
///
/// Not in the configuration file: an operator has no use for other figures, and tests have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a TLS handshake. Four round trips over the slowest network take two seconds.
    pub tls_handshake: Duration,
    /// For a request's head: from its connection's first moment, or from the end of the request before. So it also ends
    /// connections that are kept open and not used, which hold memory and nothing else.
    pub header: Duration,
    /// Between two pieces of a body: a sender that is silent for longer in the middle of one has gone.
    pub body_silence: Duration,
    /// For a whole body: 128 KiB over the slowest mobile network that a till is run on (5 KiB/s), rounded up.
    pub body: Duration,
    /// For the rest of a body that nobody wants, before its request is refused. Most of it is there already; a network that
    /// needs longer loses its connection, and maybe the answer.
    pub unread_body: Duration,
    /// Without a byte of an answer being taken. A network that is gone for longer has lost its connections; a terminal's link
    /// is closed before that, with a reason. An answer that takes longer than this in all
    /// has to be taken at 1 KiB per second at least.
    pub write_stall: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            tls_handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            body_silence: Duration::from_secs(10),
            body: Duration::from_secs(30),
            unread_body: Duration::from_secs(5),
            write_stall: Duration::from_secs(30),
        }
    }
}

impl Patience {
    /// For bodies of at most so many bytes.
    pub(crate) fn for_body(&self, bytes: usize) -> BodyLimits {
        BodyLimits { bytes, silence: self.body_silence, time: self.body }
    }
}
