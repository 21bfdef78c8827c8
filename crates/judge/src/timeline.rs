//! A violation's story: what happened to that terminal and that sale, a line for each event.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;

use crate::frame::{self, Down, Said, Up};
use crate::log::{Log, Row, What};
use crate::message::{self, Message, Reject, Response, Says};
use crate::run::{Answer, Call, Run};
use crate::verdict::Violation;

/// Tells the events that concern a violation's terminal and sale: the calls for it and about it, its deliveries, what was
/// executed, its rows, and the notes of that terminal or of none. The event that shows the violation is marked by `>>`.
pub fn timeline(log: &Log, violation: &Violation) -> String {
    let run = Run::read(log);
    let story = Story::of(&run, violation);
    let mut text = format!("{violation}\n");
    for (index, event) in log.events.iter().enumerate() {
        let marked = index == violation.event;
        let line = story.line(&event.what);
        if let Some(line) = line.or_else(|| marked.then(|| "(the event itself)".to_owned())) {
            let mark = if marked { ">>" } else { "  " };
            // Writing to a text can't fail.
            let _ = writeln!(text, "{mark} {:>10.3} s  {line}", event.at.as_secs_f64());
        }
    }
    text
}

/// What concerns a violation.
struct Story<'r, 'a> {
    run: &'r Run<'a>,
    poi: Option<&'r str>,
    calls: HashSet<u64>,
    deliveries: HashSet<String>,
    /// ServiceIDs by terminal.
    services: HashSet<(&'r str, &'r str)>,
}

impl<'r, 'a> Story<'r, 'a> {
    fn of(run: &'r Run<'a>, violation: &'r Violation) -> Story<'r, 'a> {
        let mut identities: HashSet<usize> = HashSet::new();
        if let Some(sale) = &violation.sale {
            let wanted = run.intentions.iter().filter(|wanted| wanted.intention.label() == *sale);
            identities.extend(wanted.flat_map(|wanted| &wanted.identities));
        }
        identities.extend(shown_by(run, violation.event));
        let mut deliveries: HashSet<_> = HashSet::new();
        let mut calls: HashSet<_> = HashSet::new();
        let mut services: HashSet<_> = HashSet::new();
        for identity in &identities {
            let identity = &run.identities[*identity];
            services.insert((identity.poi.as_str(), identity.service.as_str()));
            deliveries.extend(identity.deliveries.iter().map(|number| run.deliveries[*number].id.clone()));
            calls.extend(identity.calls.iter().map(|call| run.calls[*call].id));
        }
        // The questions about it, and their own way to the terminal.
        for call in &run.calls {
            if call.about.is_some_and(|about| identities.contains(&about)) {
                calls.insert(call.id);
                let own = call.identity.map_or(&[][..], |own| &run.identities[own].deliveries);
                deliveries.extend(own.iter().map(|number| run.deliveries[*number].id.clone()));
            }
        }
        if let Some(What::ToTerminal { frame, .. } | What::FromTerminal { frame, .. }) =
            run.log.events.get(violation.event).map(|event| &event.what)
            && let Some(id) = delivery_in(frame)
        {
            deliveries.insert(id);
        }
        Story { run, poi: violation.poi.as_deref(), calls, deliveries, services }
    }

    fn line(&self, what: &What) -> Option<String> {
        match what {
            What::Asked { call, path, wait, .. } => {
                let known = self.call(*call)?;
                Some(format!(
                    "POS > gateway  call {call} {path}, wait {} s: {}",
                    wait.as_secs(),
                    asked(known)
                ))
            }
            What::Arrived { call } => {
                self.call(*call).map(|_| format!("gateway        call {call} has arrived"))
            }
            What::Told { call, status, .. } => {
                let told = self.call(*call)?.told.as_ref()?;
                Some(format!("POS < gateway  call {call}: {status} {}", answer(&told.answer)))
            }
            What::Heard { call } => self.call(*call).map(|_| format!("POS            call {call} was heard")),
            What::Ended { call } => {
                self.call(*call).map(|_| format!("POS            call {call} ended without an answer"))
            }
            What::ToTerminal { poi, link, frame } => {
                let frame = self.down(poi, frame)?;
                Some(format!("gateway > {poi}  link {link}: {frame}"))
            }
            What::FromTerminal { poi, link, frame } => {
                let frame = self.up(poi, frame)?;
                let by = link.map_or("maintenance".to_owned(), |link| format!("link {link}"));
                Some(format!("gateway < {poi}  {by}: {frame}"))
            }
            What::ToActions { poi, link, frame } => {
                let text = self.on_socket(poi, frame)?;
                Some(format!("gateway > {poi}  socket {link}: {text}"))
            }
            What::FromActions { poi, link, frame } => {
                let text = self.on_socket(poi, frame)?;
                Some(format!("gateway < {poi}  socket {link}: {text}"))
            }
            What::ToDesktop { desktop, frame } => {
                Some(format!("gateway > {desktop}  {}", String::from_utf8_lossy(frame)))
            }
            What::FromDesktop { desktop, frame } => {
                Some(format!("gateway < {desktop}  {}", String::from_utf8_lossy(frame)))
            }
            What::Transaction { .. } => None,
            What::Executed { poi, execution } => self.executed(poi, execution),
            What::JournalLost { poi } => {
                self.concerns(poi).then(|| format!("{poi:<14} has lost its journal"))
            }
            What::JournalCopied { poi } => self
                .concerns(poi)
                .then(|| format!("{poi:<14} a process with a copy of its journal takes over")),
            What::Note { poi, text } => {
                let concerns = poi.as_deref().is_none_or(|poi| self.concerns(poi));
                concerns.then(|| format!("* {text}"))
            }
            What::AtRest => Some("* at rest".into()),
            What::Recorded(row) => self.row(row),
        }
    }

    fn concerns(&self, poi: &str) -> bool {
        self.poi == Some(poi) || self.services.iter().any(|(known, _)| *known == poi)
    }

    /// A frame of an Actions terminal's socket; signs of life are left out.
    fn on_socket<'f>(&self, poi: &str, frame: &'f [u8]) -> Option<Cow<'f, str>> {
        let text = String::from_utf8_lossy(frame);
        let is_beat = text.starts_with(r#"{"action":"ping""#) || text.starts_with(r#"{"action":"pong""#);
        (self.concerns(poi) && !is_beat).then_some(text)
    }

    fn call(&self, id: u64) -> Option<&Call<'a>> {
        self.calls.contains(&id).then(|| self.run.calls.iter().find(|call| call.id == id)).flatten()
    }

    fn down(&self, poi: &str, frame: &[u8]) -> Option<String> {
        match frame::down(frame) {
            Down::Welcome => self.concerns(poi).then(|| "welcome".into()),
            Down::Deliver { delivery, message } if self.deliveries.contains(&*delivery) => {
                Some(format!("deliver {delivery}: {}", brief(message)))
            }
            Down::Recorded { delivery, problem } if self.deliveries.contains(&*delivery) => {
                let problem = if problem { ", with a problem" } else { "" };
                Some(format!("recorded {delivery}{problem}"))
            }
            Down::Deliver { .. } | Down::Recorded { .. } | Down::Other => None,
        }
    }

    fn up(&self, poi: &str, frame: &[u8]) -> Option<String> {
        let known = |delivery: &str| self.deliveries.contains(delivery);
        match frame::up(frame) {
            Up::Hello { resume, .. } if self.concerns(poi) => {
                let ours: Vec<_> = resume.iter().filter(|id| known(id)).map(String::as_str).collect();
                Some(format!("hello, resume {} with [{}]", resume.len(), ours.join(", ")))
            }
            Up::Received { delivery } if known(&delivery) => Some(format!("received {delivery}")),
            Up::Indeterminate { delivery } if known(&delivery) => Some(format!("indeterminate {delivery}")),
            Up::Result { delivery, said } if known(&delivery) => Some(match said {
                Said::Message(message) => format!("result {delivery}: {}", brief(message)),
                Said::Empty => format!("result {delivery}, empty"),
                Said::TooLarge => format!("result {delivery}, too large"),
            }),
            _ => None,
        }
    }

    fn executed(&self, poi: &str, bytes: &[u8]) -> Option<String> {
        let execution: serde_json::Value = serde_json::from_slice(bytes).ok()?;
        let text = |name: &str| execution.get(name).and_then(|value| value.as_str()).unwrap_or_default();
        let (delivery, service) = (text("delivery"), text("service"));
        if !self.deliveries.contains(delivery) && !self.services.contains(&(poi, service)) {
            return None;
        }
        let (sale, amount) = (text("saleTransaction"), &execution["amount"]);
        Some(format!(
            "{poi:<14} EXECUTED {delivery}, ServiceID {service}, {sale}, {amount} {}",
            text("currency")
        ))
    }

    fn row(&self, row: &Row) -> Option<String> {
        let ours = self.deliveries.contains(row.delivery.as_str())
            || self.services.contains(&(row.poi.as_str(), row.service.as_str()));
        let says = row.response.as_deref().map_or("no response".to_owned(), brief);
        let webhook = if row.webhook { ", webhook owed" } else { "" };
        ours.then(|| {
            format!(
                "ledger         {} {} of {}, {}: {:?}, {says}{webhook}",
                row.category, row.service, row.sale, row.delivery, row.outcome
            )
        })
    }
}

/// The identities that an event itself is about.
fn shown_by(run: &Run<'_>, event: usize) -> Vec<usize> {
    let of_call = |id: u64| {
        let call = run.calls.iter().find(|call| call.id == id);
        call.into_iter().flat_map(|call| call.identity.into_iter().chain(call.about)).collect()
    };
    let of_delivery =
        |id: Option<String>| id.and_then(|id| run.delivery(&id)?.identity).into_iter().collect();
    match run.log.events.get(event).map(|event| &event.what) {
        Some(
            What::Asked { call, .. }
            | What::Arrived { call }
            | What::Told { call, .. }
            | What::Heard { call }
            | What::Ended { call },
        ) => of_call(*call),
        Some(What::ToTerminal { frame, .. } | What::FromTerminal { frame, .. }) => {
            of_delivery(delivery_in(frame))
        }
        Some(What::Recorded(row)) => of_delivery(Some(row.delivery.clone())),
        _ => Vec::new(),
    }
}

fn delivery_in(frame: &[u8]) -> Option<String> {
    let frame: serde_json::Value = serde_json::from_slice(frame).ok()?;
    Some(frame.get("deliveryId")?.as_str()?.to_owned())
}

/// What a call asks, in a few words.
fn asked(call: &Call<'_>) -> String {
    let Some(request) = call.request() else { return "nothing that can be read".into() };
    let header = &request.header;
    let mut text = format!("{} {} of {}", header.category, header.service, header.sale);
    if let Some(intention) = &request.intention {
        let _ = write!(text, ", {}", intention.label());
    }
    if let Some(reference) = &request.reference {
        let _ = write!(text, ", about {}", reference.service.as_deref().unwrap_or("the latest"));
    }
    text
}

fn answer(answer: &Answer<'_>) -> String {
    match answer {
        Answer::Ok => "ok".into(),
        Answer::Status(_) => String::new(),
        Answer::Message(_, message) => in_short(message),
    }
}

fn brief(message: &[u8]) -> String {
    in_short(&message::read(message))
}

fn in_short(message: &Message) -> String {
    match message {
        Message::Request(request) => format!("{} {}", request.header.category, request.header.service),
        Message::Response(response) => {
            let mut text = response_in_short(response);
            if let Some(found) = &response.repeated {
                let _ = write!(text, " [{}]", response_in_short(found));
            }
            text
        }
        Message::Event(event) => match &event.reject {
            Some(Reject::NotDelivered) => "Reject: failed to send".into(),
            Some(Reject::NoResponse) => "Reject: did not receive a response".into(),
            Some(Reject::Refused(condition)) => format!("Reject: {condition}"),
            Some(Reject::Other(text)) => format!("Reject: {}", text.chars().take(60).collect::<String>()),
            None => "an event".into(),
        },
        Message::Unreadable => "unreadable".into(),
    }
}

fn response_in_short(response: &Response) -> String {
    let header = &response.header;
    let result = match response.result {
        Says::Success => "Success",
        Says::Failure => "Failure",
        Says::Nothing => "no result",
    };
    let slash = if response.condition.is_empty() { "" } else { "/" };
    format!("{} {} {result}{slash}{}", header.category, header.service, response.condition)
}
