//! Who is connected: a lease per terminal, with an epoch, so that a late departure never removes a newer link.

use std::time::Duration;

use crate::id::{ConnectionId, Epoch, JournalId, ProcessId};
use crate::time::{Now, WallMs};

/// How long a terminal that was lost counts as *reconnecting*, and a request that it may have as still running (E11, E17).
pub const GRACE: Duration = Duration::from_secs(60);

/// Proof that a terminal is present: the link that its latest accepted `hello` opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The socket.
    pub connection: ConnectionId,
    /// Which takeover this is.
    pub epoch: Epoch,
    /// The journal behind the link.
    pub journal: JournalId,
    /// When the terminal was boarded with that journal.
    pub journal_boarded: WallMs,
    /// The terminal's run.
    pub process: ProcessId,
    /// When it was welcomed.
    pub since: WallMs,
}

/// What is known about one terminal's connection, at the node that holds its socket.
#[derive(Clone, Debug)]
pub struct Presence {
    state: State,
    /// Since when this node has watched the terminal.
    watched_since: Duration,
    /// The present link is being closed down, or the last one was: no new request goes there, and nobody expects the terminal back.
    closing_down: bool,
}

#[derive(Clone, Debug)]
enum State {
    NotSeen,
    Online(Box<Lease>),
    Lost { at: Duration, wall: WallMs },
}

/// The word for a terminal's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A welcomed link stands.
    Online,
    /// Lost less than [`GRACE`] ago. Requests are refused at once all the same.
    Reconnecting,
    /// Lost for longer, closed down, or never seen by this node.
    Offline,
}

impl Presence {
    /// Nothing seen yet by a node that began to watch at `watched_since` (normally when it started).
    pub fn new(watched_since: Duration) -> Presence {
        Presence { state: State::NotSeen, watched_since, closing_down: false }
    }

    /// The terminal is present under this lease. A lease that is not above the present one is late and changes nothing.
    pub fn arrive(&mut self, lease: Lease) -> bool {
        if let State::Online(held) = &self.state
            && held.epoch >= lease.epoch
        {
            return false;
        }
        self.state = State::Online(Box::new(lease));
        self.closing_down = false;
        true
    }

    /// The socket has ended. Says whether it was the present one; a late departure changes nothing.
    pub fn depart(&mut self, now: Now, connection: &ConnectionId) -> bool {
        match &self.state {
            State::Online(lease) if lease.connection == *connection => {
                self.state = State::Lost { at: now.mono, wall: now.wall };
                true
            }
            _ => false,
        }
    }

    /// The present link is being closed down, or is not after all. It still stands, for what is open.
    pub(crate) fn close_down(&mut self, closing_down: bool) {
        self.closing_down = closing_down;
    }

    /// Where a new request goes: the present link, unless it is being closed down. None is absence, also for whoever asks whether
    /// the terminal is there.
    pub fn route(&self) -> Option<&Lease> {
        self.lease().filter(|_| !self.closing_down)
    }

    /// The present link, also while it is being closed down.
    pub fn lease(&self) -> Option<&Lease> {
        match &self.state {
            State::Online(lease) => Some(lease),
            _ => None,
        }
    }

    /// The word for it.
    pub fn status(&self, now: Now) -> Status {
        match &self.state {
            _ if self.closing_down => Status::Offline,
            State::Online(_) => Status::Online,
            State::Lost { at, .. } if now.mono.saturating_sub(*at) < GRACE => Status::Reconnecting,
            _ => Status::Offline,
        }
    }

    /// Since when it is gone, if it was here.
    pub fn offline_since(&self) -> Option<WallMs> {
        match &self.state {
            State::Lost { wall, .. } => Some(*wall),
            _ => None,
        }
    }

    /// When what is known here no longer matters: the grace is over, and the terminal is as absent as one never seen. None
    /// while it is present, or was never seen.
    pub fn forgotten_at(&self) -> Option<Duration> {
        match &self.state {
            State::Lost { at, .. } => Some(*at + GRACE),
            State::Online(_) | State::NotSeen => None,
        }
    }

    /// Whether a request that the terminal may have counts as still running (E17): its link stands, or was lost less
    /// than [`GRACE`] ago, or this node began to watch less than [`GRACE`] ago and has not heard from it yet.
    pub fn may_still_run(&self, now: Now) -> bool {
        self.runs_until().is_none_or(|until| now.mono < until)
    }

    /// Until when it counts as still running; none while a link stands.
    pub fn runs_until(&self) -> Option<Duration> {
        match &self.state {
            State::Online(_) => None,
            State::Lost { at, .. } => Some(*at + GRACE),
            State::NotSeen => Some(self.watched_since + GRACE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(name: &str, epoch: u64) -> Lease {
        Lease {
            connection: ConnectionId::parse(name).unwrap(),
            epoch: Epoch(epoch),
            journal: JournalId::parse("j_1").unwrap(),
            journal_boarded: WallMs(0),
            process: ProcessId::parse("p_1").unwrap(),
            since: WallMs(0),
        }
    }

    fn at(seconds: u64) -> Now {
        Now { mono: Duration::from_secs(seconds), wall: WallMs(0) }
    }

    #[test]
    fn a_late_departure_never_removes_a_newer_link() {
        let mut presence = Presence::new(Duration::ZERO);
        assert!(presence.arrive(lease("c_1", 1)));
        assert!(presence.arrive(lease("c_2", 2)));
        assert!(!presence.depart(at(1), &ConnectionId::parse("c_1").unwrap()));
        assert_eq!(presence.status(at(1)), Status::Online);
    }

    #[test]
    fn a_late_arrival_never_replaces_a_newer_link() {
        let mut presence = Presence::new(Duration::ZERO);
        assert!(presence.arrive(lease("c_2", 2)));
        assert!(!presence.arrive(lease("c_1", 1)));
        assert_eq!(presence.lease().unwrap().connection, ConnectionId::parse("c_2").unwrap());
    }

    #[test]
    fn a_lost_terminal_is_reconnecting_for_a_minute_and_its_requests_may_still_run() {
        let mut presence = Presence::new(Duration::ZERO);
        presence.arrive(lease("c_1", 1));
        presence.depart(at(100), &ConnectionId::parse("c_1").unwrap());
        assert_eq!(presence.status(at(159)), Status::Reconnecting);
        assert!(presence.may_still_run(at(159)));
        assert_eq!(presence.status(at(160)), Status::Offline);
        assert!(!presence.may_still_run(at(160)));
    }

    #[test]
    fn a_link_that_is_closed_down_is_no_way_to_the_terminal_and_nobody_expects_it_back() {
        let mut presence = Presence::new(Duration::ZERO);
        presence.arrive(lease("c_1", 1));
        presence.close_down(true);
        assert_eq!((presence.route(), presence.status(at(1))), (None, Status::Offline));
        assert!(presence.lease().is_some() && presence.may_still_run(at(1)), "what is open goes on");
        presence.close_down(false);
        assert!(presence.route().is_some());
        presence.close_down(true);
        presence.depart(at(2), &ConnectionId::parse("c_1").unwrap());
        assert_eq!(presence.status(at(3)), Status::Offline);
        presence.arrive(lease("c_2", 2));
        assert_eq!((presence.status(at(4)), presence.route().is_some()), (Status::Online, true));
    }

    #[test]
    fn after_a_restart_requests_may_still_run_for_a_minute_until_the_terminal_is_heard_from() {
        let presence = Presence::new(Duration::from_secs(10));
        assert!(presence.may_still_run(at(69)));
        assert!(!presence.may_still_run(at(70)));
    }
}
