//! A small terminal that obeys T1-T8, with a journal that survives its crashes.

use bytes::Bytes;
use nexo::{MessageCategory, MessageClass, MessageHeader, Request, ServiceId};
use relay::ledger::IDENTITY_HOURS;
use relay::{Deliver, DeliveryId, JournalId, Now, ResultMessage, ToGateway, WallMs};

use crate::message::response;

/// Money has moved.
#[derive(Clone, Debug)]
pub(crate) struct Execution {
    pub(crate) delivery: DeliveryId,
    pub(crate) service: ServiceId,
    /// What the POS wanted: the sale's own identification.
    pub(crate) intention: String,
}

#[derive(Debug)]
pub(crate) struct Terminal {
    pub(crate) journal: JournalId,
    pub(crate) attempt: u64,
    memory: Vec<Held>,
    /// The world's memory of what the terminal did: no crash and no lost journal takes it away.
    pub(crate) executions: Vec<Execution>,
    /// Every response ever composed, with its delivery.
    pub(crate) responses: Vec<(DeliveryId, Bytes)>,
    /// Deliveries that were read from a link.
    pub(crate) read: Vec<DeliveryId>,
    numbers: u64,
}

#[derive(Clone, Debug)]
struct Held {
    delivery: DeliveryId,
    header: MessageHeader,
    intention: Option<String>,
    at: WallMs,
    phase: Phase,
    recorded: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Phase {
    Stored,
    Started,
    /// The card was charged; the result is not stored yet.
    Charged,
    Finished(ToGateway),
}

impl Terminal {
    pub(crate) fn new(journal: &str) -> Terminal {
        Terminal {
            journal: JournalId::parse(journal).expect("an ID"),
            attempt: 0,
            memory: Vec::new(),
            executions: Vec::new(),
            responses: Vec::new(),
            read: Vec::new(),
            numbers: 0,
        }
    }

    /// Loses its memory and keeps its journal's name: no honest terminal does.
    pub(crate) fn forget_all(&mut self) {
        self.memory.clear();
    }

    /// Discards the journal; the next one must be boarded (T1).
    pub(crate) fn lose_journal(&mut self, journal: &str) {
        self.journal = JournalId::parse(journal).expect("an ID");
        self.attempt = 0;
        self.memory.clear();
    }

    /// The program is killed and started again (T6).
    pub(crate) fn restart(&mut self) {
        for index in 0..self.memory.len() {
            let held = &self.memory[index];
            let end = match held.phase {
                Phase::Stored => self.fail(&held.delivery.clone(), &held.header.clone(), "Aborted"),
                Phase::Started | Phase::Charged => {
                    ToGateway::Indeterminate(held.delivery.clone(), "restarted".into())
                }
                Phase::Finished(_) => continue,
            };
            self.memory[index].phase = Phase::Finished(end);
        }
    }

    /// Deliveries that are stored and not recorded.
    pub(crate) fn resume(&self) -> Vec<DeliveryId> {
        self.memory.iter().filter(|h| !h.recorded).map(|h| h.delivery.clone()).collect()
    }

    /// The results that are stored and not recorded.
    pub(crate) fn unrecorded(&self) -> Vec<ToGateway> {
        let result = |h: &Held| match &h.phase {
            Phase::Finished(result) if !h.recorded => Some(result.clone()),
            _ => None,
        };
        self.memory.iter().filter_map(result).collect()
    }

    /// What is stored as the result of a delivery.
    pub(crate) fn result(&self, delivery: &DeliveryId) -> Option<&ToGateway> {
        self.memory.iter().find(|h| h.delivery == *delivery).and_then(|h| match &h.phase {
            Phase::Finished(result) => Some(result),
            _ => None,
        })
    }

    pub(crate) fn recorded(&mut self, delivery: &DeliveryId) {
        if let Some(held) = self.memory.iter_mut().find(|h| h.delivery == *delivery) {
            held.recorded = true;
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running().is_some()
    }

    fn running(&self) -> Option<usize> {
        self.memory.iter().position(|h| !matches!(h.phase, Phase::Finished(_)))
    }

    /// Takes a delivery that was just read, and says what goes back over the link.
    pub(crate) fn deliver(&mut self, now: Now, deliver: &Deliver) -> Vec<ToGateway> {
        let request = Request::parse(deliver.message.clone()).expect("a request");
        let header = request.header().clone();
        let delivery = deliver.delivery.clone();
        self.read.push(delivery.clone());
        let answer = self.answer_at_once(now, &delivery, &request, deliver.time_left_ms);
        let phase = answer.clone().map_or(Phase::Stored, Phase::Finished);
        self.memory.push(Held {
            delivery: delivery.clone(),
            intention: request.sale_transaction_id().map(|id| id.transaction_id),
            header,
            at: now.wall,
            phase,
            recorded: false,
        });
        let mut frames = vec![ToGateway::Received(delivery)];
        if header_of(&request) == MessageCategory::ABORT {
            frames.extend(self.abort(&request));
        }
        frames.extend(answer);
        frames
    }

    fn answer_at_once(
        &mut self,
        now: Now,
        delivery: &DeliveryId,
        request: &Request,
        time_left_ms: u64,
    ) -> Option<ToGateway> {
        let header = request.header().clone();
        let same = self.memory.iter().find(|h| {
            header.class == MessageClass::Service
                && h.header.class == MessageClass::Service
                && h.header.service_id == header.service_id
                && now.wall.0 - h.at.0 < IDENTITY_HOURS * 3_600_000
        });
        if let Some(earlier) = same {
            // T8: the stored response, or indeterminate while there is none.
            return Some(match &earlier.phase {
                Phase::Finished(ToGateway::Result(_, result)) => ToGateway::Result(delivery.clone(), result.clone()),
                _ => ToGateway::Indeterminate(delivery.clone(), "runs under another delivery".into()),
            });
        }
        if !header.category.has_response() {
            return Some(ToGateway::Result(delivery.clone(), ResultMessage::Empty));
        }
        if time_left_ms == 0 {
            return Some(self.fail(delivery, &header, "Aborted"));
        }
        if header.category == MessageCategory::TRANSACTION_STATUS {
            let asked = request.message_reference().and_then(|r| r.service_id);
            let found = self.memory.iter().find(|h| asked.is_some() && h.header.service_id == asked);
            return Some(match found.map(|h| &h.phase) {
                None => self.fail(delivery, &header, "NotFound"),
                Some(Phase::Finished(_)) => self.succeed(delivery, &header),
                Some(_) => self.fail(delivery, &header, "InProgress"),
            });
        }
        self.running().is_some().then(|| self.fail(delivery, &header, "Busy"))
    }

    fn abort(&mut self, request: &Request) -> Option<ToGateway> {
        let service = request.message_reference()?.service_id;
        let index = self.running().filter(|i| self.memory[*i].header.service_id == service)?;
        if self.memory[index].phase == Phase::Charged {
            return None;
        }
        let (delivery, header) = (self.memory[index].delivery.clone(), self.memory[index].header.clone());
        let end = self.fail(&delivery, &header, "Aborted");
        self.memory[index].phase = Phase::Finished(end.clone());
        Some(end)
    }

    /// One step of what runs: start, charge, result. Says what goes over the link, if one stands.
    pub(crate) fn work(&mut self) -> Option<ToGateway> {
        let index = self.running()?;
        let held = self.memory[index].clone();
        match held.phase {
            Phase::Stored => {
                self.memory[index].phase = Phase::Started;
                None
            }
            Phase::Started => {
                self.memory[index].phase = Phase::Charged;
                if let (Some(intention), Some(service)) = (held.intention, held.header.service_id) {
                    self.executions.push(Execution { delivery: held.delivery, service, intention });
                }
                None
            }
            Phase::Charged => {
                let end = self.succeed(&held.delivery, &held.header);
                self.memory[index].phase = Phase::Finished(end.clone());
                Some(end)
            }
            Phase::Finished(_) => None,
        }
    }

    pub(crate) fn succeed(&mut self, delivery: &DeliveryId, header: &MessageHeader) -> ToGateway {
        self.end(delivery, header, None)
    }

    fn fail(&mut self, delivery: &DeliveryId, header: &MessageHeader, condition: &str) -> ToGateway {
        self.end(delivery, header, Some(condition))
    }

    fn end(&mut self, delivery: &DeliveryId, header: &MessageHeader, condition: Option<&str>) -> ToGateway {
        self.numbers += 1;
        if !header.category.has_response() {
            return ToGateway::Result(delivery.clone(), ResultMessage::Empty);
        }
        let message = response(header, condition, self.numbers);
        self.responses.push((delivery.clone(), message.clone()));
        ToGateway::Result(delivery.clone(), ResultMessage::Message(message))
    }

    /// A second, different response for something that was answered: no honest terminal does this.
    pub(crate) fn contradict(&mut self, index: usize) -> Option<ToGateway> {
        let held = self.memory.iter().filter(|h| matches!(h.phase, Phase::Finished(_))).nth(index)?.clone();
        Some(self.fail(&held.delivery, &held.header, "Refusal"))
    }
}

fn header_of(request: &Request) -> MessageCategory {
    request.header().category.clone()
}
