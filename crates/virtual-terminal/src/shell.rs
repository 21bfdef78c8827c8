//! The loop of one terminal: it waits for what happens, hands it to the state machines, and carries out what they ask.

use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use nexo::PoiId;
use relay::terminal::{Effect, Execution, Terminal};
use relay::{
    Backoff, CloseReason, Hello, JournalId, LinkAction, Now, ProcessId, Reconnect, Settings, TerminalEnd,
    ToGateway, ToTerminal, Welcome,
};
use tokio::sync::{mpsc, watch};

use crate::clock::Clock;
use crate::config::Platform;
use crate::device::{Device, Finish};
use crate::http::{Boarded, CallError, Http, MaintenanceAnswer, Refusal, Report, reported};
use crate::journal::{Journal, Record};
use crate::random::Random;
use crate::run::State;
use crate::secret::Secret;
use crate::socket::{Incoming, Socket};
use crate::writer::{Writer, Written};

/// Between two maintenance calls, unless the gateway says otherwise.
const MAINTENANCE_SECONDS: u32 = 6 * 60 * 60;

/// No gateway makes a terminal call more often than once a minute, or less often than once a day.
const MAINTENANCE_BOUNDS: std::ops::RangeInclusive<u32> = 60..=24 * 60 * 60;

/// How long a terminal that is to stop may take to store what it knows.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

type Call<T> = Pin<Box<dyn Future<Output = Result<T, CallError>> + Send>>;

/// What the owner of a handle asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    Stop,
    Unplug,
}

/// Who a terminal is.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) poi_id: PoiId,
    pub(crate) platform: Platform,
    pub(crate) process: ProcessId,
    pub(crate) journal_id: JournalId,
    pub(crate) token: Option<Secret>,
    pub(crate) boarding_code: Option<Secret>,
}

/// One terminal that runs.
pub(crate) struct Shell {
    identity: Identity,
    http: Http,
    clock: Clock,
    random: Random,
    terminal: Terminal,
    device: Device,
    writer: Writer,
    net: Net,
    backoff: Backoff,
    upkeep: Upkeep,
    settings: Settings,
    /// The token opens no link any more. It is kept until there is another: it still hands in results, and a journal
    /// without its token would be a new terminal's (T1).
    must_board: bool,
    /// Set when the terminal is to stop: when it stops waiting for that.
    stopping: Option<Duration>,
    shown: Shown,
}

/// What a terminal's handle can see of it.
pub(crate) struct Shown {
    pub(crate) state: watch::Sender<State>,
    /// A request runs, so that others are answered *busy*.
    pub(crate) busy: watch::Sender<bool>,
    pub(crate) executions: watch::Sender<Vec<Execution>>,
}

/// The terminal's connection, or what stands in for it.
enum Net {
    /// Nothing, until this time; forever when a person is needed.
    Resting {
        until: Option<Duration>,
    },
    Boarding(Call<Boarded>),
    /// The attempt is on its way into the journal.
    Raising,
    Dialing {
        attempt: u64,
        opening: Call<Box<Socket>>,
    },
    Linked {
        attempt: u64,
        socket: Box<Socket>,
        end: TerminalEnd,
        /// When it was welcomed, on the monotonic clock.
        since: Option<Duration>,
    },
}

/// Maintenance calls.
#[derive(Default)]
struct Upkeep {
    call: Option<Call<MaintenanceAnswer>>,
    /// When the next one is due, on the monotonic clock.
    due: Duration,
    /// After this one the terminal boards again.
    last: bool,
}

enum Event {
    Command(Option<Command>),
    Written(Written),
    Boarded(Result<Boarded, CallError>),
    Opened(Result<Box<Socket>, CallError>),
    Incoming(Incoming),
    Maintained(Result<MaintenanceAnswer, CallError>),
    Time,
}

impl Net {
    /// What happens next at the connection; never, if nothing can. Cancel safe.
    async fn wait(&mut self) -> Event {
        match self {
            Net::Resting { .. } | Net::Raising => pending().await,
            Net::Boarding(call) => Event::Boarded(call.await),
            Net::Dialing { opening, .. } => Event::Opened(opening.await),
            Net::Linked { socket, .. } => Event::Incoming(socket.next().await),
        }
    }

    fn due(&self) -> Option<Duration> {
        match self {
            Net::Resting { until } => *until,
            Net::Linked { end, .. } => end.poll_timeout(),
            Net::Boarding(_) | Net::Raising | Net::Dialing { .. } => None,
        }
    }
}

impl Upkeep {
    async fn wait(&mut self) -> Event {
        match &mut self.call {
            Some(call) => {
                let answer = call.await;
                self.call = None;
                Event::Maintained(answer)
            }
            None => pending().await,
        }
    }
}

impl Shell {
    #[expect(clippy::too_many_arguments, reason = "the parts of one terminal, each made by who knows how")]
    pub(crate) fn new(
        identity: Identity,
        http: Http,
        clock: Clock,
        random: Random,
        terminal: Terminal,
        device: Device,
        journal: Journal,
        shown: Shown,
    ) -> Shell {
        let mut writer = Writer::new(journal);
        if identity.token.is_some() {
            writer.rewrite();
        }
        Shell {
            identity,
            http,
            clock,
            random,
            terminal,
            device,
            writer,
            net: Net::Resting { until: Some(Duration::ZERO) },
            backoff: Backoff::new(),
            upkeep: Upkeep::default(),
            settings: Settings::default(),
            must_board: false,
            stopping: None,
            shown,
        }
    }

    /// Runs until it is told to stop, or its handle is dropped.
    pub(crate) async fn run(mut self, mut orders: mpsc::Receiver<Command>) {
        loop {
            self.settle().await;
            if self.is_over() {
                break;
            }
            let due = self.due().map(|due| self.clock.instant(due));
            let reading = self.stopping.is_none();
            let event = tokio::select! {
                command = orders.recv(), if reading => Event::Command(command),
                written = self.writer.wait() => Event::Written(written),
                event = self.net.wait(), if reading => event,
                event = self.upkeep.wait() => event,
                () = sleep_until(due) => Event::Time,
            };
            match event {
                Event::Command(Some(Command::Stop)) => {
                    self.stopping = Some(self.clock.now().mono.saturating_add(STOP_TIMEOUT));
                    self.terminal.handle_stop();
                }
                Event::Command(Some(Command::Unplug) | None) => {
                    self.writer.end().await;
                    return;
                }
                Event::Written(written) => self.handle_written(written),
                Event::Boarded(answer) => self.handle_boarded(answer),
                Event::Opened(opened) => self.handle_opened(opened).await,
                Event::Incoming(incoming) => self.handle_incoming(incoming).await,
                Event::Maintained(answer) => self.handle_maintained(answer),
                Event::Time => self.handle_time(),
            }
        }
        if let Net::Linked { socket, .. } = std::mem::replace(&mut self.net, Net::Resting { until: None }) {
            socket.close(&CloseReason::Normal).await;
        }
        self.writer.end().await;
    }

    fn is_over(&self) -> bool {
        self.stopping.is_some_and(|until| {
            let quiet = self.terminal.running().is_none() && self.writer.is_settled();
            quiet || self.terminal.is_broken() || self.clock.now().mono >= until
        })
    }

    fn due(&self) -> Option<Duration> {
        if self.stopping.is_some() {
            let due = [self.stopping, self.terminal.poll_timeout(), self.device.poll_timeout()];
            return due.into_iter().flatten().min();
        }
        let upkeep = (self.identity.token.is_some() && self.upkeep.call.is_none()).then_some(self.upkeep.due);
        [self.net.due(), self.terminal.poll_timeout(), self.device.poll_timeout(), upkeep]
            .into_iter()
            .flatten()
            .min()
    }

    /// Carries out what the state machines ask for, until they ask for nothing.
    async fn settle(&mut self) {
        loop {
            if let Some(effect) = self.terminal.poll_effect() {
                self.carry_out(effect).await;
            } else if let Net::Linked { end, socket, .. } = &mut self.net
                && let Some(action) = end.poll_action()
            {
                match action {
                    LinkAction::Ping => {
                        if !socket.ping().await {
                            self.handle_ended(None).await;
                        }
                    }
                    LinkAction::Close(reason) => self.close(reason).await,
                    LinkAction::Probe { .. } => {}
                }
            } else {
                break;
            }
        }
        let (identity, device, terminal) = (&self.identity, &self.device, &self.terminal);
        self.writer.begin(|| whole(identity, device, terminal));
        let executions = self.terminal.executions();
        self.shown.executions.send_if_modified(|shown| catch_up(shown, executions));
        let busy = self.terminal.running().is_some();
        self.shown.busy.send_if_modified(|shown| std::mem::replace(shown, busy) != busy);
    }

    async fn carry_out(&mut self, effect: Effect) {
        let now = self.clock.now();
        match effect {
            Effect::Journal { seq, entry } => self.writer.push(Record::Entry(entry), Some(seq)),
            Effect::Dial { attempt } => {
                let Some(token) = self.identity.token.clone() else { return };
                let http = self.http.clone();
                let opening = Box::pin(async move { http.connect(&token).await });
                self.net = Net::Dialing { attempt, opening };
            }
            Effect::Send(frame) => self.send(frame.encode()).await,
            Effect::Start { delivery, message, .. } => {
                tracing::debug!(delivery = %delivery, "started");
                let executions = self.terminal.executions();
                let finish = self.device.start(now, delivery, message, executions, &mut self.random);
                self.handle_finish(now, finish);
            }
            Effect::Cancel { delivery, stop } => {
                let finish = self.device.cancel(now, &delivery, stop, &mut self.random);
                self.handle_finish(now, finish);
            }
            Effect::Close(reason) => self.close(reason).await,
        }
    }

    fn handle_finish(&mut self, now: Now, finish: Option<Finish>) {
        if let Some(Finish { delivery, outcome, execution }) = finish {
            tracing::debug!(delivery = %delivery, executed = execution.is_some(), "finished");
            self.terminal.handle_finished(now, &delivery, outcome, execution);
        }
    }

    fn handle_time(&mut self) {
        let now = self.clock.now();
        self.terminal.handle_timeout(now);
        let finish = self.device.handle_timeout(now, &mut self.random);
        self.handle_finish(now, finish);
        if self.stopping.is_some() {
            return;
        }
        if self.identity.token.is_some() && self.upkeep.call.is_none() && now.mono >= self.upkeep.due {
            self.maintain();
        }
        match &mut self.net {
            Net::Resting { until: Some(until) } if now.mono >= *until => self.go_online(now),
            Net::Linked { end, .. } => end.handle_timeout(now),
            _ => {}
        }
    }

    /// Takes the next step towards a link.
    fn go_online(&mut self, now: Now) {
        if self.terminal.is_broken() {
            self.net = Net::Resting { until: None };
        } else if self.identity.token.is_none() || self.must_board {
            self.board();
        } else if self.terminal.is_full() {
            // More than a hello can name is handed in first.
            self.wait(
                now,
                Reconnect::Backoff,
                None,
                "results have to be handed in by maintenance first".into(),
            );
            self.upkeep.due = self.upkeep.due.min(now.mono);
        } else {
            self.show(State::Connecting);
            self.net = Net::Raising;
            self.terminal.connect();
        }
    }

    /// Rests for as long as this asks for, and shows why.
    fn wait(&mut self, now: Now, reconnect: Reconnect, retry_after: Option<Duration>, why: String) {
        let delay = self.backoff.delay(reconnect, retry_after, self.random.number());
        tracing::info!(why, wait_ms = delay.map(|d| d.as_millis()), "no link");
        self.net = Net::Resting { until: delay.map(|delay| now.mono.saturating_add(delay)) };
        self.show(State::Waiting { why });
    }

    /// Needs a person from here on.
    fn halt(&mut self, why: String) {
        tracing::warn!(why, "stopped");
        self.net = Net::Resting { until: None };
        self.show(State::Stopped { why });
    }

    fn show(&self, state: State) {
        self.shown.state.send_if_modified(|shown| {
            let changed = *shown != state;
            *shown = state;
            changed
        });
    }

    fn handle_written(&mut self, written: Written) {
        match written {
            Written::Stored(Some(seq)) => self.terminal.handle_stored(self.clock.now(), seq),
            Written::Stored(None) => {}
            Written::Failed(error) => {
                self.terminal.handle_store_failed();
                self.halt_broken(&error);
            }
        }
    }

    /// The journal failed: the link goes as the terminal asks for it, everything else at once.
    fn halt_broken(&mut self, error: &std::io::Error) {
        let why = format!("the journal can't be written: {error}");
        if let Net::Linked { .. } = self.net {
            tracing::error!(why, "stopped");
            self.show(State::Stopped { why });
        } else {
            self.halt(why);
        }
    }

    fn board(&mut self) {
        let Some(code) = self.identity.boarding_code.clone() else {
            self.halt("the terminal has to board again: it needs a new boarding code".into());
            return;
        };
        self.show(State::Boarding);
        let (http, poi, journal) =
            (self.http.clone(), self.identity.poi_id.clone(), self.identity.journal_id.clone());
        self.net = Net::Boarding(Box::pin(async move { http.board(&poi, &code, &journal).await }));
    }

    fn handle_boarded(&mut self, answer: Result<Boarded, CallError>) {
        let now = self.clock.now();
        match answer {
            Ok(Boarded { token, merchant_account, store }) => {
                tracing::info!(merchant_account, store, "boarded");
                self.identity.token = Some(Secret::new(token));
                self.must_board = false;
                // It works once.
                self.identity.boarding_code = None;
                (self.device.merchant_account, self.device.store) = (merchant_account, store);
                self.writer.rewrite();
                self.upkeep.due = now.mono;
                self.go_online(now);
            }
            Err(CallError::Refused(Refusal { status: 401 | 403, detail, .. })) => {
                let detail = detail.unwrap_or_else(|| "the boarding code is not valid".into());
                self.halt(format!("boarding was refused: {detail}"));
            }
            Err(error) => {
                let reconnect = match &error {
                    CallError::Refused(refusal) => {
                        match Reconnect::after_refusal(refusal.status, refusal.code.as_deref()) {
                            Reconnect::Backoff => Reconnect::Backoff,
                            _ => Reconnect::Slowly,
                        }
                    }
                    CallError::Failed(_) => Reconnect::Backoff,
                };
                self.wait(now, reconnect, error.retry_after(), format!("not boarded: {error}"));
            }
        }
    }

    async fn handle_opened(&mut self, opened: Result<Box<Socket>, CallError>) {
        let Net::Dialing { attempt, .. } = self.net else { return };
        match opened {
            Ok(socket) => {
                let hello = ToGateway::Hello(Box::new(Hello {
                    link_version: 1,
                    journal_id: self.identity.journal_id.clone(),
                    attempt,
                    process_id: self.identity.process.clone(),
                    firmware_version: Some(self.device.firmware_version.clone()),
                    platform: Some(self.identity.platform.as_str().into()),
                    resume: self.terminal.resume(),
                    device: self.device.telemetry(),
                }));
                let end = TerminalEnd::new(self.clock.now());
                self.net = Net::Linked { attempt, socket, end, since: None };
                self.send(hello.encode()).await;
            }
            Err(error) => {
                self.terminal.handle_lost(attempt);
                let why = format!("no link: {error}");
                let reconnect = match &error {
                    CallError::Refused(refusal) => {
                        Reconnect::after_refusal(refusal.status, refusal.code.as_deref())
                    }
                    CallError::Failed(_) => Reconnect::Backoff,
                };
                self.go_on(reconnect, error.retry_after(), why);
            }
        }
    }

    async fn handle_incoming(&mut self, incoming: Incoming) {
        let now = self.clock.now();
        let Net::Linked { attempt, end, since, .. } = &mut self.net else { return };
        let attempt = *attempt;
        match incoming {
            Incoming::Alive => end.handle_alive(now),
            Incoming::Binary => {
                let reason = end.handle_binary(now);
                self.close(reason).await;
            }
            Incoming::TooLarge => self.close(CloseReason::TooLarge).await,
            Incoming::Ended(reason) => self.handle_ended(reason).await,
            Incoming::Text(frame) => match end.handle_text(now, &frame) {
                Ok(ToTerminal::Welcome(welcome)) => {
                    *since = Some(now.mono);
                    self.handle_welcome(attempt, *welcome).await;
                }
                Ok(ToTerminal::Deliver(deliver)) => {
                    tracing::debug!(delivery = %deliver.delivery, time_left_ms = deliver.time_left_ms, "delivered");
                    self.terminal.handle_deliver(now, attempt, deliver);
                }
                Ok(ToTerminal::Recorded { delivery, problem }) => {
                    if let Some(problem) = problem {
                        tracing::warn!(delivery = %delivery, problem, "the gateway could not use a result");
                    }
                    self.terminal.handle_recorded(now, &delivery);
                }
                Ok(ToTerminal::Unknown(action)) => tracing::debug!(action, "ignored an action"),
                Err(reason) => self.close(reason).await,
            },
        }
    }

    async fn handle_welcome(&mut self, attempt: u64, welcome: Welcome) {
        let Welcome { connection_id, terminal, settings, body_limit, .. } = welcome;
        if terminal.poi_id != self.identity.poi_id {
            let problem = format!("welcomed as {}, not as {}", terminal.poi_id, self.identity.poi_id);
            self.close(CloseReason::Protocol(problem)).await;
            return;
        }
        tracing::info!(connection = %connection_id, attempt, "online");
        if (&terminal.merchant_account, &terminal.store)
            != (&self.device.merchant_account, &self.device.store)
        {
            (self.device.merchant_account, self.device.store) = (terminal.merchant_account, terminal.store);
            self.writer.push(placed(&self.device), None);
        }
        self.settings = settings;
        self.terminal.handle_welcome(attempt, body_limit);
        self.show(State::Online);
    }

    async fn send(&mut self, frame: Bytes) {
        if let Net::Linked { socket, .. } = &mut self.net
            && !socket.send(frame).await
        {
            self.handle_ended(None).await;
        }
    }

    /// Closes the link from this end.
    async fn close(&mut self, reason: CloseReason) {
        match std::mem::replace(&mut self.net, Net::Resting { until: None }) {
            Net::Linked { attempt, socket, since, .. } => {
                self.terminal.handle_lost(attempt);
                socket.close(&reason).await;
                self.after_link(since, Some(&reason));
            }
            Net::Dialing { attempt, .. } => {
                self.terminal.handle_lost(attempt);
                self.after_link(None, Some(&reason));
            }
            other => self.net = other,
        }
    }

    /// The link has ended from the other end, or broken off.
    async fn handle_ended(&mut self, reason: Option<CloseReason>) {
        match std::mem::replace(&mut self.net, Net::Resting { until: None }) {
            Net::Linked { attempt, socket, since, .. } => {
                self.terminal.handle_lost(attempt);
                socket.end().await;
                self.after_link(since, reason.as_ref());
            }
            other => self.net = other,
        }
    }

    fn after_link(&mut self, since: Option<Duration>, reason: Option<&CloseReason>) {
        if self.terminal.is_broken() {
            return;
        }
        let now = self.clock.now();
        self.backoff.handle_end(since.map_or(Duration::ZERO, |since| now.mono.saturating_sub(since)));
        let why = match reason {
            Some(reason) => format!("the link was closed: {} {}", reason.code(), reason.text()),
            None => "the link broke off".into(),
        };
        match (Reconnect::after_close(reason, &self.identity.process), reason) {
            (Reconnect::Stop, Some(CloseReason::Replaced { winner })) => {
                tracing::warn!(winner = %winner, "another process is this terminal now");
                self.net = Net::Resting { until: None };
                self.upkeep.due = Duration::MAX;
                self.show(State::Replaced { winner: winner.clone() });
            }
            (reconnect, _) => self.go_on(reconnect, None, why),
        }
    }

    fn go_on(&mut self, reconnect: Reconnect, retry_after: Option<Duration>, why: String) {
        let now = self.clock.now();
        match reconnect {
            Reconnect::BoardAgain => {
                tracing::warn!(why, "the terminal has to board again");
                self.net = Net::Resting { until: None };
                self.show(State::Waiting { why });
                // The token may be good for results still.
                self.upkeep.last = true;
                self.upkeep.due = now.mono;
            }
            Reconnect::Stop => self.halt(why),
            Reconnect::Maintenance => {
                self.upkeep.due = now.mono;
                self.wait(now, reconnect, retry_after, why);
            }
            Reconnect::AtOnce | Reconnect::Backoff | Reconnect::Slowly => {
                self.wait(now, reconnect, retry_after, why);
            }
        }
    }

    fn maintain(&mut self) {
        let Some(token) = self.identity.token.clone() else { return };
        let report = Report {
            journal_id: self.identity.journal_id.clone(),
            process_id: self.identity.process.clone(),
            firmware_version: self.device.firmware_version.clone(),
            device: self.device.telemetry(),
            resume: self.terminal.resume(),
            results: reported(self.terminal.results()),
            applied_revision: (self.settings.revision > 0).then_some(self.settings.revision),
        };
        let http = self.http.clone();
        self.upkeep.call = Some(Box::pin(async move { http.maintain(&token, &report).await }));
    }

    fn handle_maintained(&mut self, answer: Result<MaintenanceAnswer, CallError>) {
        let now = self.clock.now();
        let progress = match answer {
            Ok(answer) => {
                let before = self.terminal.resume().len();
                for recorded in answer.recorded {
                    if let Some(problem) = recorded.problem {
                        tracing::warn!(delivery = %recorded.delivery_id, problem, "the gateway could not use a result");
                    }
                    self.terminal.handle_recorded(now, &recorded.delivery_id);
                }
                if let Some(settings) = answer.settings {
                    self.settings = settings;
                }
                let seconds = answer.next_call_seconds.unwrap_or(MAINTENANCE_SECONDS);
                let seconds = seconds.clamp(*MAINTENANCE_BOUNDS.start(), *MAINTENANCE_BOUNDS.end());
                let next = match self.terminal.results().next().is_some() {
                    true => Backoff::MAINTENANCE, // Results wait: sooner than the gateway would have it.
                    false => Duration::from_secs(u64::from(seconds)),
                };
                self.schedule_maintenance(now, next, None);
                self.terminal.resume().len() < before
            }
            Err(error) => {
                tracing::info!(%error, "maintenance failed");
                self.schedule_maintenance(now, Backoff::MAINTENANCE, error.retry_after());
                false
            }
        };
        if progress && self.terminal.results().next().is_some() && !matches!(self.net, Net::Linked { .. }) {
            self.upkeep.due = now.mono;
        } else if std::mem::take(&mut self.upkeep.last) {
            self.must_board = true;
            self.board();
        }
    }

    /// Jitter only shortens.
    fn schedule_maintenance(&mut self, now: Now, delay: Duration, retry_after: Option<Duration>) {
        let tenths = u32::try_from(self.random.number() % 1000).unwrap_or(0);
        let jittered = delay - delay / 10 * tenths / 1000;
        let asked = retry_after.unwrap_or_default().min(Backoff::RETRY_AFTER_MAX);
        self.upkeep.due = now.mono.saturating_add(jittered.max(asked));
    }
}

/// Everything that the journal has to hold by now.
fn whole(identity: &Identity, device: &Device, terminal: &Terminal) -> Vec<Record> {
    let mut records = vec![Record::Journal {
        version: 1,
        journal_id: identity.journal_id.clone(),
        poi_id: identity.poi_id.clone(),
    }];
    records.extend(identity.token.as_ref().map(|token| Record::Boarded { token: token.reveal().into() }));
    records.push(placed(device));
    records.extend(terminal.snapshot().into_iter().map(Record::Entry));
    records
}

fn placed(device: &Device) -> Record {
    Record::Placed { merchant_account: device.merchant_account.clone(), store: device.store.clone() }
}

/// Shows what was done since the last time, without copying what is shown already. Says whether anything changed.
fn catch_up(shown: &mut Vec<Execution>, done: &[Execution]) -> bool {
    // Executions are only added at the end and forgotten from the front.
    if shown.first() != done.first() {
        *shown = done.to_vec();
        return true;
    }
    let new = done.get(shown.len()..).unwrap_or_default();
    shown.extend_from_slice(new);
    !new.is_empty()
}

async fn sleep_until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use nexo::SaleId;
    use relay::terminal::ExecutionKind;
    use relay::{DeliveryId, WallMs};

    use super::*;
    use crate::config::DeviceFacts;

    #[tokio::test]
    async fn a_token_that_opens_no_link_is_kept_and_goes_on_handing_in_results() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::start();
        let poi_id = PoiId::parse("V400m-324688179").unwrap();
        let device = Device::new(DeviceFacts::countertop(&poi_id), "1".into(), Duration::ZERO);
        let identity = Identity {
            poi_id,
            platform: Platform::NonAndroid,
            process: ProcessId::parse("p_1").unwrap(),
            journal_id: JournalId::parse("j_1").unwrap(),
            token: Some(Secret::new("tg_term_EXAMPLE")),
            boarding_code: None,
        };
        let (state, shown) = watch::channel(State::Connecting);
        let mut shell = Shell::new(
            identity,
            Http::new("http://127.0.0.1:1", None).unwrap(),
            clock,
            Random::seeded(7),
            Terminal::restore(clock.now(), Vec::new()),
            device,
            Journal::open(dir.path()).unwrap().0,
            Shown { state, busy: watch::channel(false).0, executions: watch::channel(Vec::new()).0 },
        );
        shell.go_on(Reconnect::BoardAgain, None, "the token has ended".into());
        shell.handle_maintained(Err(CallError::Failed("the network is down".into())));
        assert!(matches!(&*shown.borrow(), State::Stopped { why } if why.contains("new boarding code")));
        assert_eq!(shell.due(), Some(shell.upkeep.due), "it calls again");
        let kept = whole(&shell.identity, &shell.device, &shell.terminal);
        assert!(kept.contains(&Record::Boarded { token: "tg_term_EXAMPLE".into() }));
    }

    #[test]
    fn what_is_shown_catches_up_with_what_was_done() {
        let all: Vec<Execution> = (0..5)
            .map(|number| Execution {
                delivery: DeliveryId::parse(&format!("d_{number}")).unwrap(),
                kind: ExecutionKind::Payment,
                service: None,
                sale: SaleId::parse("POS1").unwrap(),
                sale_transaction: None,
                poi_transaction: format!("tx.{number}"),
                amount: "10.99".parse().unwrap(),
                currency: "EUR".into(),
                at: WallMs(number),
            })
            .collect();
        let mut shown = Vec::new();
        for (range, changed) in
            [(0..0, false), (0..2, true), (0..2, false), (0..4, true), (2..5, true), (5..5, true)]
        {
            assert_eq!(catch_up(&mut shown, &all[range.clone()]), changed, "{range:?}");
            assert_eq!(shown, all[range]);
        }
    }
}
