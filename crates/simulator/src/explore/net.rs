//! The sockets between terminal and gateway: two queues of frames and two ends, each of which learns late of the other's.

use std::collections::VecDeque;
use std::time::Duration;

use relay::fault::{self, Fault};
use relay::{ConnectionId, Hello, ToGateway, ToTerminal};

use super::script::connection_id;

/// One socket, until both ends have given it up.
#[derive(Clone, Debug)]
pub(super) struct Socket {
    pub(super) id: ConnectionId,
    /// The terminal's name for it; none for a `hello` of old that somebody repeats.
    pub(super) attempt: Option<u64>,
    pub(super) up: VecDeque<ToGateway>,
    pub(super) down: VecDeque<ToTerminal>,
    pub(super) terminal_open: bool,
    pub(super) gateway_open: bool,
    /// The gateway's end was told that something waits for it.
    pub(super) woken: bool,
    /// A ping is unanswered, and counts as lost from then on.
    pub(super) probe: Option<Duration>,
}

impl Socket {
    pub(super) fn is_whole(&self) -> bool {
        self.terminal_open && self.gateway_open
    }

    /// The terminal gives it up, or has lost it: what came by it is read no more (T3). What it has sent may still arrive.
    pub(super) fn end_at_terminal(&mut self) {
        self.terminal_open = false;
        self.down.clear();
        self.probe = None;
    }

    /// The gateway gives it up, or has lost it. What it has sent may still be read.
    pub(super) fn end_at_gateway(&mut self) {
        self.gateway_open = false;
        self.up.clear();
        self.woken = false;
        self.probe = None;
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Net {
    pub(super) sockets: Vec<Socket>,
    /// The latest `hello` that the gateway has read of each journal, for whoever repeats it.
    pub(super) heard: Vec<Hello>,
    repeated: u8,
}

impl Net {
    /// The terminal opens a socket; it has given up any older one (T3).
    pub(super) fn open(&mut self, hello: Hello) {
        let attempt = hello.attempt;
        if !fault::is(Fault::HelloWhileOldLinkRead) {
            self.sockets.iter_mut().for_each(Socket::end_at_terminal);
        }
        let id = connection_id(&format!("c_{}.{attempt}", hello.journal_id));
        self.push(id, Some(attempt), hello);
    }

    /// Somebody sends a `hello` that was heard before, and is gone.
    pub(super) fn repeat(&mut self, which: usize) {
        let Some(hello) = self.heard.get(which).cloned() else { return };
        self.repeated += 1;
        let id = connection_id(&format!("c_stale.{}", self.repeated));
        self.push(id, None, hello);
    }

    fn push(&mut self, id: ConnectionId, attempt: Option<u64>, hello: Hello) {
        self.sockets.push(Socket {
            id,
            attempt,
            up: VecDeque::from([ToGateway::Hello(Box::new(hello))]),
            down: VecDeque::new(),
            terminal_open: attempt.is_some(),
            gateway_open: true,
            woken: false,
            probe: None,
        });
    }

    pub(super) fn note_heard(&mut self, hello: &Hello) {
        self.heard.retain(|heard| heard.journal_id != hello.journal_id);
        self.heard.push(hello.clone());
    }

    /// The socket that the terminal holds.
    pub(super) fn own(&mut self) -> Option<&mut Socket> {
        self.sockets.iter_mut().rfind(|socket| socket.terminal_open)
    }

    pub(super) fn has_own(&self) -> bool {
        self.sockets.iter().any(|socket| socket.terminal_open)
    }

    /// Sockets that both ends have given up are no more.
    pub(super) fn forget_ended(&mut self) {
        self.sockets.retain(|socket| socket.terminal_open || socket.gateway_open);
    }
}
