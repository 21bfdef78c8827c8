//! The timeline of one path, written only when somebody is going to read it.

use bytes::Bytes;
use nexo::Response;
use relay::ledger::Op;
use relay::{ResultMessage, ToGateway, ToTerminal};

/// What happened, line by line.
#[derive(Debug, Default)]
pub(super) struct Log(Option<Vec<String>>);

impl Log {
    /// Keeps nothing, and costs nothing.
    pub(super) fn off() -> Log {
        Log(None)
    }

    pub(super) fn on() -> Log {
        Log(Some(Vec::new()))
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A step is taken.
    pub(super) fn step(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.0 {
            lines.push(line());
        }
    }

    /// Something follows from it.
    pub(super) fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.0 {
            lines.push(format!("              {}", line()));
        }
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.0.unwrap_or_default()
    }
}

pub(super) fn describe_up(frame: &ToGateway) -> String {
    match frame {
        ToGateway::Hello(hello) => {
            let resume: Vec<_> = hello.resume.iter().map(ToString::to_string).collect();
            format!(
                "hello (journal {}, attempt {}, resume [{}])",
                hello.journal_id,
                hello.attempt,
                resume.join(", ")
            )
        }
        ToGateway::Received(delivery) => format!("received {delivery}"),
        ToGateway::Result(delivery, ResultMessage::Message(message)) => {
            format!("result {delivery}: {}", describe_response(message))
        }
        ToGateway::Result(delivery, other) => format!("result {delivery}: {other:?}"),
        ToGateway::Indeterminate(delivery, reason) => format!("indeterminate {delivery}: {reason}"),
        other => format!("{other:?}"),
    }
}

pub(super) fn describe_down(frame: &ToTerminal) -> String {
    match frame {
        ToTerminal::Welcome(_) => "welcome".into(),
        ToTerminal::Deliver(deliver) => format!("deliver {}", deliver.delivery),
        ToTerminal::Recorded { delivery, problem: None } => format!("recorded {delivery}"),
        ToTerminal::Recorded { delivery, problem: Some(problem) } => {
            format!("recorded {delivery}: {problem}")
        }
        other => format!("{other:?}"),
    }
}

pub(super) fn describe_response(message: &Bytes) -> String {
    match Response::parse(message.clone()).ok().and_then(|response| response.outcome()) {
        Some(outcome) => match outcome.error_condition {
            Some(condition) => format!("{:?} {condition}", outcome.result),
            None => format!("{:?}", outcome.result),
        },
        None => "unreadable".into(),
    }
}

pub(super) fn describe_op(op: &Op) -> String {
    match op {
        Op::Admit(admission) => {
            format!("admit {} as {:?}", admission.record.delivery, admission.record.outcome)
        }
        Op::Withdraw(delivery) => format!("withdraw {delivery}"),
        Op::Settle { delivery, outcome, .. } => format!("settle {delivery} as {outcome:?}"),
        Op::NoteReceived(delivery) => format!("note that {delivery} is received"),
        Op::OweWebhook(delivery) => format!("owe a webhook for {delivery}"),
        Op::TakeHello(claim) => format!("take hello (journal {}, attempt {})", claim.journal, claim.attempt),
        Op::OpenDeliveries(_) => "read open deliveries".into(),
        Op::SettleHello { settled, .. } => format!("settle what the hello proved: {settled:?}"),
        Op::Look { keys, .. } => {
            let keys: Vec<_> = keys.iter().map(|key| key.service.to_string()).collect();
            format!("look for {}", keys.join(" and "))
        }
        Op::FindDelivery(delivery) => format!("find {delivery}"),
        Op::Fence { key, .. } => format!("close ServiceID {}", key.service),
        Op::Keep { delivery, evidence, .. } => format!("keep evidence ({:?}) for {delivery}", evidence.kind),
        other => format!("{other:?}"),
    }
}
