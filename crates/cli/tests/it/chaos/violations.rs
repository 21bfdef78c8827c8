//! What a run may not show either, beside the judge's six figures: faults of a gateway's shell that cost a sale rather than
//! money, such as a payment that is refused although its terminal is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use judge::{Log, What};
use serde_json::Value;

use super::witness::Link;

/// A link that still stood so much later was not about to break, as far as the gateway can have known.
const STILL_STOOD: Duration = Duration::from_secs(1);

/// So soon a `hello` is answered, by a welcome or by a close, also if the gateway stands still for a while before or has no disk.
const WELCOME_MAX: Duration = Duration::from_secs(5);

/// So long after a POS has hung up its place must be free again, on a machine that has much to do.
pub(crate) const HANG_UP_NOTICED: Duration = Duration::from_secs(3);

/// An exchange whose POS has gone may be open at its terminal for so long: what a terminal is given at most, and then some.
const OPEN_MAX: Duration = Duration::from_secs(170);

/// Calls that may wait for one exchange, and exchanges that may be open for one terminal, before a gateway says 429.
const WAITERS_MAX: usize = 16;
const EXCHANGES_MAX: usize = 8;

/// One thing that should not have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) at: Duration,
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// *Did not reach*, while the link stood before, during and after.
    RefusedThoughConnected,
    /// A `hello` that nobody answered, while its link stood.
    NotWelcomed,
    /// 429 while few calls were open.
    TooManyOfFew,
    /// A process ended, or a part of it, by itself.
    EndedByItself,
    /// Nothing is broken any more, and nobody says what became of a request.
    NoLastWord,
}

impl Kind {
    pub(crate) const ALL: [Kind; 5] = [
        Kind::RefusedThoughConnected,
        Kind::NotWelcomed,
        Kind::TooManyOfFew,
        Kind::EndedByItself,
        Kind::NoLastWord,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::RefusedThoughConnected => "refused though connected",
            Kind::NotWelcomed => "not welcomed",
            Kind::TooManyOfFew => "too many, of few",
            Kind::EndedByItself => "ended by itself",
            Kind::NoLastWord => "no last word",
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9.3} s  {}: {}", self.at.as_secs_f64(), self.kind, self.text)
    }
}

/// One call of a POS, from its first byte to its end.
#[derive(Debug)]
struct Call {
    poi: String,
    service: String,
    /// How long its POS waits.
    wait: Duration,
    asked: Duration,
    over: Option<Duration>,
    answer: Option<(u16, Value)>,
    /// No call before had its ServiceID.
    first: bool,
}

/// All violations of a run, in the order of time.
pub(crate) fn of(log: &Log, links: &[Link]) -> Vec<Violation> {
    let calls = calls_of(log);
    let refused = calls.iter().filter_map(|call| refused_though_connected(call, links));
    let mut found: Vec<_> =
        refused.chain(calls.iter().filter_map(|call| too_many_of_few(call, &calls))).collect();
    let end = log.events.last().map_or(Duration::ZERO, |event| event.at);
    found.extend(links.iter().filter_map(|link| not_welcomed(link, end)));
    found.sort_by_key(|violation| violation.at);
    found
}

fn calls_of(log: &Log) -> Vec<Call> {
    let mut calls = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for event in &log.events {
        match &event.what {
            What::Asked { call, wait, body, .. } => {
                let body: Value = serde_json::from_slice(body).expect("a till sends JSON");
                let header = &body["SaleToPOIRequest"]["MessageHeader"];
                let [poi, service] = ["POIID", "ServiceID"]
                    .map(|name| header[name].as_str().expect("a till sends whole headers").to_owned());
                let first = seen.insert((poi.clone(), service.clone()));
                let (wait, asked) = (*wait, event.at);
                let begun = Call { poi, service, wait, asked, over: None, answer: None, first };
                calls.insert(*call, begun);
            }
            What::Told { call, status, body } => {
                let Some(call) = calls.get_mut(call) else { continue };
                call.over = Some(event.at);
                call.answer = Some((*status, serde_json::from_slice(body).unwrap_or(Value::Null)));
            }
            What::Ended { call } => {
                if let Some(call) = calls.get_mut(call) {
                    call.over = Some(event.at);
                }
            }
            _ => {}
        }
    }
    calls.into_values().collect()
}

/// A request that was never sent before is refused as not delivered, although the terminal's one link stood from before it was
/// asked until well after it was refused.
fn refused_though_connected(call: &Call, links: &[Link]) -> Option<Violation> {
    let (told, (200, answer)) = (call.over?, call.answer.as_ref()?) else { return None };
    let details = answer["SaleToPOIRequest"]["EventNotification"]["EventDetails"].as_str()?;
    let waited_in_vain = told >= call.asked + call.wait;
    if !call.first || waited_in_vain || !details.starts_with("message=Failed+to+send") {
        return None;
    }
    let of_terminal = || links.iter().filter(|link| link.poi == call.poi);
    let stands = |link: &&Link| {
        link.welcomed.is_some_and(|at| at < call.asked)
            && [link.ended, link.stalled].iter().flatten().all(|end| *end > told + STILL_STOOD)
    };
    let standing = of_terminal().find(stands)?;
    let is_replaced =
        of_terminal().any(|link| link.opened > standing.opened && link.opened < told + STILL_STOOD);
    if is_replaced {
        return None;
    }
    let text = format!(
        "{} of {}, asked at {:.3} s, while a link stood since {:.3} s",
        call.service,
        call.poi,
        call.asked.as_secs_f64(),
        standing.welcomed?.as_secs_f64(),
    );
    Some(Violation { kind: Kind::RefusedThoughConnected, at: told, text })
}

fn not_welcomed(link: &Link, end: Duration) -> Option<Violation> {
    let hello = link.hello.filter(|_| link.welcomed.is_none())?;
    let stood_until = [link.ended, link.stalled].into_iter().flatten().fold(end, Duration::min);
    if stood_until < hello + WELCOME_MAX {
        return None;
    }
    let (said, until) = (hello.as_secs_f64(), stood_until.as_secs_f64());
    let text = format!("{} said hello at {said:.3} s, on a link that stood until {until:.3} s", link.poi);
    Some(Violation { kind: Kind::NotWelcomed, at: stood_until, text })
}

fn too_many_of_few(call: &Call, calls: &[Call]) -> Option<Violation> {
    let (told, (429, _)) = (call.over?, call.answer.as_ref()?) else { return None };
    let before = || calls.iter().filter(|other| other.poi == call.poi && other.asked < told);
    let may_wait = |other: &&Call| other.over.is_none_or(|over| over + HANG_UP_NOTICED > call.asked);
    let waiting = before().filter(|other| other.service == call.service).filter(may_wait).count();
    let may_be_open = |other: &&Call| {
        let settled = other.answer.as_ref().is_some_and(|(_, answer)| is_settled(answer));
        other.asked + OPEN_MAX > told && (!settled || other.over.is_none_or(|over| over > call.asked))
    };
    let open: BTreeSet<_> = before().filter(may_be_open).map(|other| &other.service).collect();
    let settled: BTreeSet<_> = before()
        .filter(|other| other.over.is_some_and(|over| over < call.asked))
        .filter(|other| other.answer.as_ref().is_some_and(|(_, answer)| is_settled(answer)))
        .map(|other| &other.service)
        .collect();
    let open = open.difference(&settled).count();
    if waiting > WAITERS_MAX || open > EXCHANGES_MAX {
        return None;
    }
    let text =
        format!("{} of {}: at most {waiting} calls waited for it, {open} were open", call.service, call.poi);
    Some(Violation { kind: Kind::TooManyOfFew, at: told, text })
}

/// An answer after which nothing of its request is open any more.
fn is_settled(answer: &Value) -> bool {
    let details = answer["SaleToPOIRequest"]["EventNotification"]["EventDetails"].as_str();
    answer["SaleToPOIResponse"].is_object()
        || details.is_some_and(|d| d.starts_with("message=Failed+to+send"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use judge::Event;
    use serde_json::json;

    use super::*;

    const POI: &str = "V400m-1";

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[derive(Default)]
    struct Story(Log, u64);

    impl Story {
        fn asked(mut self, at: f64, service: &str) -> Story {
            self.1 += 1;
            let header = json!({"POIID": POI, "ServiceID": service});
            let body = json!({"SaleToPOIRequest": {"MessageHeader": header}}).to_string().into();
            let what = What::Asked { call: self.1, path: "/sync", wait: seconds(150.0), body };
            self.0.events.push(Event { at: seconds(at), what });
            self
        }

        fn told(mut self, at: f64, status: u16, body: &Value) -> Story {
            let what = What::Told { call: self.1, status, body: Bytes::from(body.to_string()) };
            self.0.events.push(Event { at: seconds(at), what });
            self
        }

        fn hung_up(mut self, at: f64) -> Story {
            self.0.events.push(Event { at: seconds(at), what: What::Ended { call: self.1 } });
            self
        }

        fn shows(&self, links: &[Link]) -> Vec<Kind> {
            of(&self.0, links).into_iter().map(|violation| violation.kind).collect()
        }
    }

    fn not_delivered() -> Value {
        let details = "message=Failed+to+send+message+to+POI.";
        json!({"SaleToPOIRequest": {"EventNotification": {"EventDetails": details}}})
    }

    fn link(opened: f64, ended: Option<f64>) -> Link {
        let ended = ended.map(seconds);
        let (opened, welcomed) = (seconds(opened), Some(seconds(opened + 0.1)));
        Link { poi: POI.into(), opened, hello: Some(opened), welcomed, ended, stalled: None }
    }

    #[test]
    fn a_refusal_while_the_only_link_stands_is_found() {
        let story = || Story::default().asked(2.0, "1").told(2.1, 200, &not_delivered());
        assert_eq!(story().shows(&[link(1.0, None)]), [Kind::RefusedThoughConnected]);
        assert_eq!(story().shows(&[link(1.0, Some(9.0))]), [Kind::RefusedThoughConnected]);
    }

    #[test]
    fn a_refusal_for_which_there_may_be_a_reason_is_none() {
        let story = || Story::default().asked(2.0, "1").told(2.1, 200, &not_delivered());
        assert_eq!(story().shows(&[]), [], "there is no link");
        assert_eq!(story().shows(&[link(1.0, Some(2.2))]), [], "it was about to break");
        let stalled = Link { stalled: Some(seconds(1.5)), ..link(1.0, None) };
        assert_eq!(story().shows(&[stalled]), [], "its end may not have been seen yet");
        assert_eq!(story().shows(&[link(1.95, None)]), [], "it was not welcomed yet");
        assert_eq!(story().shows(&[link(1.0, None), link(2.05, None)]), [], "another takes over");
        let repeat = story().asked(3.0, "1").told(3.1, 200, &not_delivered());
        assert_eq!(repeat.shows(&[link(2.5, None)]), [], "it repeats what was told before");
    }

    #[test]
    fn a_hello_is_answered_while_its_link_stands() {
        let story = || Story::default().asked(20.0, "1").hung_up(20.1);
        let unanswered = |ended| Link { welcomed: None, ..link(1.0, ended) };
        assert_eq!(story().shows(&[unanswered(None)]), [Kind::NotWelcomed]);
        assert_eq!(story().shows(&[unanswered(Some(7.0))]), [Kind::NotWelcomed]);
        assert_eq!(story().shows(&[unanswered(Some(5.0))]), []);
        assert_eq!(story().shows(&[Link { hello: None, ..unanswered(None) }]), []);
    }

    #[test]
    fn too_many_is_said_to_many_only() {
        let patient = |count: usize| (0..count).fold(Story::default(), |story, _| story.asked(1.0, "1"));
        let refused = |story: Story| story.asked(2.0, "1").told(2.1, 429, &Value::Null).shows(&[]);
        assert_eq!(refused(patient(15)), [Kind::TooManyOfFew]);
        assert_eq!(refused(patient(16)), []);

        let others = |count: usize| {
            (0..count).fold(Story::default(), |story, index| story.asked(1.0, &format!("o{index}")))
        };
        assert_eq!(refused(others(7)), [Kind::TooManyOfFew]);
        assert_eq!(refused(others(8)), []);
    }

    #[test]
    fn whoever_has_hung_up_is_not_one_of_many() {
        let impatient = (0..40).fold(Story::default(), |story, index| {
            let at = 0.25 * f64::from(index); // Ten seconds in all, of which three count.
            story.asked(at, "1").hung_up(at + 0.05)
        });
        assert_eq!(impatient.asked(10.0, "1").told(10.1, 429, &Value::Null).shows(&[]), [Kind::TooManyOfFew]);
    }
}
