//! What is to happen, in the order of time; of two things at one time, the one that was planned first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Schedule<E> {
    now: Duration,
    planned: u64,
    queue: BinaryHeap<Reverse<Planned<E>>>,
}

#[derive(Debug)]
struct Planned<E> {
    at: Duration,
    number: u64,
    event: E,
}

impl<E> Schedule<E> {
    pub(crate) fn new() -> Schedule<E> {
        Schedule { now: Duration::ZERO, planned: 0, queue: BinaryHeap::new() }
    }

    /// Since the beginning of the run.
    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    pub(crate) fn at(&mut self, at: Duration, event: E) {
        self.planned += 1;
        self.queue.push(Reverse(Planned { at: at.max(self.now), number: self.planned, event }));
    }

    pub(crate) fn after(&mut self, delay: Duration, event: E) {
        self.at(self.now + delay, event);
    }

    /// Time goes on to the next event, if it comes by `until`, and to `until` otherwise.
    pub(crate) fn next(&mut self, until: Duration) -> Option<E> {
        if self.queue.peek().is_none_or(|Reverse(first)| first.at > until) {
            self.now = self.now.max(until);
            return None;
        }
        let Reverse(first) = self.queue.pop()?;
        self.now = first.at;
        Some(first.event)
    }
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Planned<E>) -> bool {
        self.number == other.number
    }
}

impl<E> Eq for Planned<E> {}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Planned<E>) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Planned<E> {
    fn cmp(&self, other: &Planned<E>) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
