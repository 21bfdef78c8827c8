//! What goes wrong, one thing at a time.

use std::time::Duration;

use bytes::Bytes;
use judge::What;
use relay::ledger::Outcome;
use serde_json::Value;

use crate::actions::{Kind, key_of};
use crate::network::{Break, End, Packet};
use crate::plan::Trouble;
use crate::store::Mood;
use crate::tally::Count;
use crate::world::{Event, Owner, World, poi_id};

/// The furthest that a clock jumps at once, and in all. Far less than the 48 h for which a ServiceID belongs to its request:
/// beyond those nobody promises anything.
const JUMP_MAX_MS: i64 = 6 * 3600 * 1000;

impl World {
    pub(crate) fn trouble_comes(&mut self) {
        if self.is_quiet || self.plan.troubles_max == 0 {
            return;
        }
        self.plan.troubles_max -= 1;
        let weights: Vec<u32> = self.plan.troubles.iter().map(|(_, weight)| *weight).collect();
        let drawn = self.chance.weighted(&weights).and_then(|index| self.plan.troubles.get(index)).copied();
        if let Some((trouble, _)) = drawn {
            self.make(trouble);
        }
        let calm = Duration::from_millis(1) + self.chance.mostly_short(self.plan.calm);
        self.schedule.after(calm, Event::Trouble);
    }

    fn make(&mut self, trouble: Trouble) {
        let site = self.chance.below(self.sites.len());
        match trouble {
            Trouble::CutLink => self.break_link(site, Break::Reset, Count::LinkReset),
            Trouble::HalfOpenLink => self.break_link(site, Break::HalfOpen, Count::LinkHalfOpen),
            Trouble::OneSidedLink => match self.chance.once_in(2) {
                true => {
                    self.break_link(site, Break::NoticedBy(End::Client), Count::LinkNoticedByTerminal);
                }
                false => {
                    self.break_link(site, Break::NoticedBy(End::Gateway), Count::LinkNoticedByGateway);
                }
            },
            Trouble::OtherNetwork => {
                if self.sites[site].link().is_some() {
                    self.tally.count(Count::OtherNetwork);
                    self.note(Some(site), "the terminal changes to another network");
                    if self.plan.long_outages && self.chance.once_in(2) {
                        let time = self.chance.millis(60_000, 300_000);
                        self.sites[site].offline_until = self.schedule.now() + time;
                        self.tally.count(Count::Offline);
                    }
                    self.change_network(site);
                }
            }
            Trouble::CutCall => {
                if !self.desktops.is_empty() && self.chance.once_in(2) {
                    if self.break_desktop(Break::Reset) {
                        self.tally.count(Count::DesktopCut);
                    }
                } else if self.break_call(Break::Reset) {
                    self.tally.count(Count::RequestCut);
                }
            }
            Trouble::HalfOpenCall => {
                if !self.desktops.is_empty() && self.chance.once_in(2) {
                    if self.break_desktop(Break::HalfOpen) {
                        self.tally.count(Count::DesktopCut);
                    }
                } else if self.break_call(Break::HalfOpen) {
                    self.tally.count(Count::CallHalfOpen);
                }
            }
            Trouble::CutAnswers => self.lose_answers = 1,
            Trouble::SlowTerminal => self.stall(site, End::Client, Count::SlowTerminal),
            Trouble::SlowGateway => self.stall(site, End::Gateway, Count::SlowGateway),
            Trouble::LoseDial => self.lose_dials = 1,
            Trouble::StaleHello | Trouble::HelloAgain => self.strange_hello(site, trouble),
            Trouble::SilentLink => {
                if self.strange_link(site).is_some() {
                    self.tally.count(Count::SilentLink);
                }
            }
            Trouble::KillGateway => self.stop_gateway(false, Count::GatewayKilled),
            Trouble::CutGatewayPower => self.stop_gateway(true, Count::GatewayPowerCut),
            Trouble::CommitsFail => self.set_mood(Mood::Failing, Count::CommitFails),
            Trouble::CommitsFailLate => self.set_mood(Mood::FailingLate, Count::CommitFailsLate),
            Trouble::CommitsFlicker => self.set_mood(Mood::Flickering, Count::CommitFlickers),
            Trouble::QueueFull => self.set_mood(Mood::Full, Count::QueueFull),
            Trouble::CommitsStall => {
                let time = self.chance.mostly_short(Duration::from_secs(15));
                self.stalled_until = self.schedule.now() + time;
                self.tally.count(Count::CommitStalls);
                self.note(None, &format!("the disk stalls for {} ms", time.as_millis()));
            }
            Trouble::GatewayClock => {
                let jump = self.jump(self.gateway_skew_ms);
                self.gateway_skew_ms += jump;
                let (forward, back) = (Count::GatewayClockForward, Count::GatewayClockBack);
                self.tally.count(if jump > 0 { forward } else { back });
                self.note(None, &format!("the gateway's clock jumps by {jump} ms"));
            }
            Trouble::TerminalClock => {
                let jump = self.jump(self.sites[site].skew_ms);
                self.sites[site].skew_ms += jump;
                let (forward, back) = (Count::TerminalClockForward, Count::TerminalClockBack);
                self.tally.count(if jump > 0 { forward } else { back });
                self.note(Some(site), &format!("the terminal's clock jumps by {jump} ms"));
            }
            Trouble::KillTerminal => self.stop_terminal(site, Count::TerminalKilled),
            Trouble::TerminalDisk => {
                if self.sites[site].machine.is_some() {
                    self.sites[site].disk.is_broken = true;
                    self.tally.count(Count::TerminalDiskFails);
                    self.note(Some(site), "the terminal's journal can't be written any more");
                }
            }
            Trouble::TerminalDiskStalls => {
                let time = self.chance.mostly_short(Duration::from_secs(40));
                self.sites[site].disk.stalled_until = self.schedule.now() + time;
                self.tally.count(Count::TerminalDiskStalls);
                self.note(Some(site), &format!("the terminal's disk stalls for {} ms", time.as_millis()));
            }
            Trouble::LoseJournal => self.lose_journal(site),
            Trouble::CopyJournal => self.copy_journal(site),
            Trouble::BoardAgain => self.end_token(site),
            Trouble::ResultAgain
            | Trouble::ResultDiffers
            | Trouble::ResultMisfits
            | Trouble::ResultOfUndelivered
            | Trouble::ResultOfNobody => self.odd_result(site, trouble),
        }
    }

    /// Everything is well again.
    pub(crate) fn heal(&mut self) {
        self.store.mood = Mood::Well;
        self.stalled_until = Duration::ZERO;
        self.lose_answers = 0;
        self.lose_dials = 0;
        if !self.gateway.is_alive {
            self.gateway_starts();
        }
        for site in 0..self.sites.len() {
            // A terminal that has noticed already waits for a person all the same.
            self.sites[site].disk.is_broken = false;
            self.sites[site].disk.stalled_until = Duration::ZERO;
            self.sites[site].offline_until = Duration::ZERO;
            self.terminal_starts(site);
        }
    }

    fn break_link(&mut self, site: usize, how: Break, count: Count) {
        if let Some(number) = self.sites[site].link() {
            self.tally.count(count);
            self.note(Some(site), &format!("link {number} breaks: {how:?}"));
            self.sever(number, how);
        }
    }

    fn stall(&mut self, site: usize, end: End, count: Count) {
        if let Some(number) = self.sites[site].link() {
            // The longest are longer than a terminal waits for a sign of life.
            let longest = self.chance.pick(&[12, 60, 240]).unwrap_or(12);
            let time = self.chance.between(Duration::ZERO, Duration::from_secs(longest));
            let until = self.schedule.now() + time;
            self.network.stall(number, end, until);
            self.tally.count(count);
            self.note(
                Some(site),
                &format!("link {number}: {end:?} reads nothing until {} ms", until.as_millis()),
            );
        }
    }

    /// Somebody opens a link with the terminal's token.
    fn strange_link(&mut self, site: usize) -> Option<usize> {
        let request = if self.sites[site].kind == Kind::Link {
            let token = self.store.tokens.iter().rfind(|token| token.terminal == site && !token.ended)?;
            Packet::Request("/link".into(), token.text.clone(), Bytes::new())
        } else {
            Packet::Request("/v1".into(), key_of(site), Bytes::new())
        };
        let number = self.open(Owner::Stranger { site });
        self.note(Some(site), &format!("link {number} is opened by somebody else"));
        self.send(number, End::Client, &request);
        Some(number)
    }

    fn strange_hello(&mut self, site: usize, trouble: Trouble) {
        let hellos = &self.sites[site].hellos;
        let (hello, count) = match trouble {
            Trouble::HelloAgain => (hellos.last().cloned(), Count::HelloAgain),
            _ => {
                let index = self.chance.below(hellos.len().saturating_sub(1));
                (hellos.get(index).filter(|_| hellos.len() > 1).cloned(), Count::StaleHello)
            }
        };
        let Some(hello) = hello else { return };
        if let Some(number) = self.strange_link(site) {
            self.tally.count(count);
            self.send(number, End::Client, &Packet::Text(hello));
        }
    }

    fn stop_gateway(&mut self, is_power_cut: bool, count: Count) {
        if self.gateway.is_alive {
            self.tally.count(count);
            self.gateway_dies(is_power_cut);
            let longest = self.chance.pick(&[50, 3_000, 30_000]).unwrap_or(50);
            let after = self.chance.mostly_short(Duration::from_millis(longest));
            self.schedule.after(after, Event::GatewayStarts);
        }
    }

    fn set_mood(&mut self, mood: Mood, count: Count) {
        self.store.mood = mood;
        if count != Count::QueueFull {
            self.tally.count(count);
        }
        self.note(None, &format!("the disk is {mood:?}"));
        let longest = self.chance.pick(&[20, 1_000, 15_000]).unwrap_or(20);
        let time = self.chance.mostly_short(Duration::from_millis(longest));
        self.mood_number += 1;
        self.schedule.after(time, Event::MoodPasses(self.mood_number));
    }

    pub(crate) fn mood_passes(&mut self, number: u64) {
        if number == self.mood_number {
            self.store.mood = Mood::Well;
        }
    }

    fn jump(&mut self, skew_ms: i64) -> i64 {
        let length = i64::try_from(self.chance.millis(1, 1000).as_millis()).unwrap_or(1);
        let factor = self.chance.pick(&[1, 600, JUMP_MAX_MS / 1000]).unwrap_or(1);
        let jump = (length * factor).min(JUMP_MAX_MS);
        let jump = if self.chance.once_in(2) { jump } else { -jump };
        (skew_ms + jump).clamp(-JUMP_MAX_MS, JUMP_MAX_MS) - skew_ms
    }

    fn stop_terminal(&mut self, site: usize, count: Count) {
        if self.sites[site].is_running() {
            self.tally.count(count);
            let is_power_cut = self.chance.once_in(2);
            self.terminal_ends(site, is_power_cut);
            let longest = self.chance.pick(&[50, 3_000, 30_000]).unwrap_or(50);
            let after = match self.plan.long_outages && self.chance.once_in(3) {
                true => self.chance.millis(60_000, 400_000),
                false => self.chance.mostly_short(Duration::from_millis(longest)),
            };
            self.schedule.after(after, Event::TerminalStarts(site));
        }
    }

    fn lose_journal(&mut self, site: usize) {
        if self.sites[site].machine.is_some() {
            self.stop_terminal(site, Count::JournalLost);
            self.log(What::JournalLost { poi: poi_id(site).to_string() });
            self.sites[site].disk.stored.clear();
            self.sites[site].image = None;
            self.forget_hellos(site);
            self.new_boarding_code(site);
        }
    }

    /// An image of the journal is taken; or the terminal goes on with the one that was.
    fn copy_journal(&mut self, site: usize) {
        let it = &mut self.sites[site];
        match it.image.take() {
            None => it.image = Some(it.disk.stored.clone()).filter(|image| image.len() > 3),
            Some(image) if it.machine.is_some() => {
                self.stop_terminal(site, Count::JournalCopied);
                self.log(What::JournalCopied { poi: poi_id(site).to_string() });
                self.sites[site].disk.stored = image;
                self.forget_hellos(site);
            }
            Some(_) => {}
        }
    }

    /// No hello of the journal that is gone comes any more: that would be another process that lives on with it.
    fn forget_hellos(&mut self, site: usize) {
        self.sites[site].hellos.clear();
        for number in 0..self.owners.len() {
            if self.site_of(number) == Some(site) {
                self.network.drop_under_way(number, End::Gateway);
            }
        }
    }

    /// The fleet team ends the terminal's token, and makes it board again.
    fn end_token(&mut self, site: usize) {
        if !self.gateway.is_alive || self.sites[site].kind != Kind::Link {
            return;
        }
        self.tally.count(Count::BoardedAgain);
        self.note(Some(site), "the terminal's token ends");
        for token in self.store.tokens.iter_mut().filter(|token| token.terminal == site) {
            token.ended = true;
        }
        let ids = self.session_ids_of(site);
        self.at_desk(site, |desk, now| desk.handle_token_ended(now, ids));
    }

    /// The terminal, or somebody in its place, says what no terminal that keeps the rules would say.
    fn odd_result(&mut self, site: usize, trouble: Trouble) {
        if self.sites[site].kind != Kind::Link {
            return self.odd_answer(site, trouble);
        }
        let Some(number) = self.sites[site].link() else { return };
        let results = self.sites[site].results.clone();
        let index = self.chance.below(results.len());
        let Some(result) = results.get(index) else { return };
        let text = String::from_utf8_lossy(result).into_owned();
        let delivery = serde_json::from_slice::<Value>(result)
            .ok()
            .and_then(|frame| frame["deliveryId"].as_str().map(str::to_owned))
            .unwrap_or_default();
        let another = |is_meant: fn(&Outcome) -> bool| {
            let mut own = self.store.ledger.records().filter(|record| record.key.poi == poi_id(site));
            own.find(|record| is_meant(&record.outcome) && record.delivery.as_str() != delivery)
                .map(|record| record.delivery.to_string())
        };
        let (frame, count) = match trouble {
            Trouble::ResultAgain => (text, Count::ResultAgain),
            Trouble::ResultDiffers => {
                // Only about what is settled: before that it would not be a second result, but a lie.
                let is_settled = self.store.ledger.records().any(|record| {
                    record.delivery.as_str() == delivery && matches!(record.outcome, Outcome::Answered(_))
                });
                let other = r#""Result":"Failure","ErrorCondition":"Aborted""#;
                if !is_settled || !text.contains(r#""Result":"Success""#) {
                    return;
                }
                (text.replace(r#""Result":"Success""#, other), Count::ResultDiffers)
            }
            Trouble::ResultMisfits => {
                let Some(open) = another(Outcome::is_undecided) else { return };
                (of_another(&text, &delivery, &open), Count::ResultMisfits)
            }
            Trouble::ResultOfUndelivered => {
                let gone = |outcome: &Outcome| matches!(outcome, Outcome::NeverReached | Outcome::Refused(_));
                let Some(gone) = another(gone) else { return };
                (of_another(&text, &delivery, &gone), Count::ResultOfUndelivered)
            }
            _ => (of_another(&text, &delivery, "d_nobody"), Count::ResultOfNobody),
        };
        self.tally.count(count);
        self.note(Some(site), &format!("the terminal says {count:?}"));
        for _ in 0..1 + self.chance.below(2) {
            self.send(number, End::Client, &Packet::Text(frame.clone().into()));
        }
    }
}

impl World {
    /// The same of an Actions terminal. What it says about a transaction can't be told from the truth, so it tells the truth
    /// once more, contradicts what is settled, or speaks of what nobody knows.
    fn odd_answer(&mut self, site: usize, trouble: Trouble) {
        let Some(number) = self.sites[site].link() else { return };
        let own = &self.sites[site];
        let said = own.plain.as_ref().map_or_else(|| own.results.clone(), |plain| plain.said.clone());
        let Some(answer) = said.get(self.chance.below(said.len())) else { return };
        let mut frame: Value = serde_json::from_slice(answer).unwrap_or_default();
        // Without it an answer that comes after a reconnect can't be told from that to a newer payment of the same name.
        if frame["desktopId"].is_null() {
            return;
        }
        let response = &mut frame["paymentResponse"];
        let transaction = response["transactionId"].as_str().unwrap_or_default().to_owned();
        let count = match trouble {
            Trouble::ResultAgain => Count::ResultAgain,
            Trouble::ResultDiffers => {
                let is_settled = |record: &relay::ledger::Record| {
                    let knows =
                        !record.outcome.is_undecided() && !matches!(record.outcome, Outcome::UnknownFinal(_));
                    knows || record.key.poi != poi_id(site)
                };
                // Only where no payment is open: before its end it would not be a second result, but a lie.
                if response["status"] != "SUCCESS" || !self.store.ledger.records().all(is_settled) {
                    return;
                }
                response["status"] = "CANCELLED".into();
                Count::ResultDiffers
            }
            Trouble::ResultOfNobody => {
                response["transactionId"] = format!("nobody-{transaction}").into();
                Count::ResultOfNobody
            }
            _ => return,
        };
        self.tally.count(count);
        self.note(Some(site), &format!("the terminal says {count:?}"));
        self.send(number, End::Client, &Packet::Text(frame.to_string().into()));
    }
}

/// A result frame as one for another delivery.
fn of_another(frame: &str, delivery: &str, other: &str) -> String {
    let name = |delivery: &str| format!(r#""deliveryId":"{delivery}""#);
    frame.replacen(&name(delivery), &name(other), 1)
}
