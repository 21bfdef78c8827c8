//! `tillgate terminal`: one virtual terminal in a process of its own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use nexo::PoiId;
use relay::terminal::{Execution, ExecutionKind};
use relay::{DeliveryId, Settings};
use tokio::sync::watch;
use virtual_terminal::{Actions, Config, Dialect, Habit, Notice, Secret, StartError, State, VirtualTerminal};

use crate::connection::with_scheme;
use crate::nexo_key::NexoKey;
use crate::signals::{AT_ONCE, Farewell, Signals};
use crate::{clock, paint, pay};

/// Run a virtual terminal.
///
/// A real client of the terminal link, in software: it boards with a code (see `tillgate board`), keeps its connection, and
/// takes payments, at which a card is presented by itself. What a terminal must not forget is kept in its data directory; a
/// second start goes on from there and needs no code.
///
/// With `--dialect actions` it is a terminal of the Actions API instead: it needs no code, but a key of the role
/// actions-terminal (see `tillgate key new`), which says which terminal it is.
///
/// Exit status: 0 ended by Ctrl-C, 5 stopped and in need of a person, 6 another process is this terminal now.
#[derive(Debug, Args)]
pub(crate) struct Terminal {
    /// The gateway
    #[arg(long, value_name = "URL", env = "TILLGATE_URL")]
    url: String,
    /// The terminal's name. In the Actions dialect the key says which terminal it is, and this only names its journal
    /// [default there: actions-terminal-…, made of the key]
    #[arg(long, value_name = "POIID")]
    poi_id: Option<PoiId>,
    /// For the first start, or to board again
    #[arg(long, value_name = "CODE")]
    boarding_code: Option<String>,
    /// Where it keeps its journal [default: tillgate-terminal-POIID]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Which family of devices it is
    #[arg(long, value_enum, default_value_t = Platform::NonAndroid)]
    platform: Platform,
    /// How long the cardholder takes to present a card
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    cardholder_seconds: Duration,
    /// Certificates to trust instead of the system's (PEM)
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    #[command(flatten)]
    nexo_key: NexoKey,
    #[command(flatten)]
    actions: ActionsArgs,
}

/// What only a terminal of the Actions API has.
#[derive(Debug, Args)]
#[command(next_help_heading = "For the Actions API")]
struct ActionsArgs {
    /// Which protocol it speaks
    #[arg(long, value_enum, default_value_t = Protocol::Link)]
    dialect: Protocol,
    /// API key of the role actions-terminal, with --dialect actions [env: TILLGATE_TERMINAL_KEY]
    #[arg(long, value_name = "KEY", env = KEY_ENV, hide_env = true, hide_env_values = true)]
    key: Option<String>,
    /// Say no more than the documented page asks for: no acknowledgements. After a reconnect it says its last result again, or
    /// forgets it
    #[arg(long, value_enum, value_name = "HABIT", num_args = 0..=1, default_missing_value = "repeats")]
    plain: Option<Plain>,
}

/// What to do about a key that is of no use.
const NEXT_STEP: &str = "`tillgate key new --role actions-terminal --group CODE --poi-id POIID --device-id ID` makes a key for a \
                         terminal of the Actions API, and `tillgate key list` shows those that are good";

const KEY_ENV: &str = "TILLGATE_TERMINAL_KEY";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// The terminal link
    Link,
    /// The Actions API
    Actions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Plain {
    /// Says its last result again after a reconnect
    Repeats,
    /// Forgets what was not heard
    Forgets,
}

impl ActionsArgs {
    fn dialect(self) -> anyhow::Result<Dialect> {
        match (self.dialect, self.key) {
            (Protocol::Link, _) if self.plain.is_some() => bail!("--plain goes with --dialect actions"),
            (Protocol::Link, _) => Ok(Dialect::Link),
            (Protocol::Actions, None) => bail!(
                "with which API key? Give --key, or set {KEY_ENV}. {NEXT_STEP}; a demo prints one when it starts"
            ),
            (Protocol::Actions, Some(key)) => {
                let habit = match self.plain {
                    None => Habit::Acknowledges,
                    Some(Plain::Repeats) => Habit::PlainAndRepeats,
                    Some(Plain::Forgets) => Habit::PlainAndForgets,
                };
                Ok(Dialect::Actions(Actions { key: Secret::new(key), habit }))
            }
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Platform {
    /// Portable, with a battery
    Android,
    /// Countertop, with a printer
    NonAndroid,
}

impl Terminal {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut signals = Signals::listen()?;
        with_scheme(&self.url)?;
        let nexo_key = self.nexo_key.open()?;
        let dialect = self.actions.dialect()?;
        let speaks_actions = dialect != Dialect::Link;
        let poi = name(self.poi_id, &dialect)?;
        if speaks_actions && self.boarding_code.is_some() {
            bail!("a terminal of the Actions API is not boarded: its key is all it needs");
        }
        let data_dir =
            self.data_dir.unwrap_or_else(|| format!("tillgate-terminal-{}", file_name(&poi)).into());
        let mut told = virtual_terminal::executions(&data_dir)?.pop().map(|last| last.delivery);
        let mut config = Config::new(self.url, data_dir, poi.clone());
        config.dialect = dialect;
        if matches!(self.platform, Platform::Android) {
            config = config.portable();
        }
        config.boarding_code = self.boarding_code.map(Secret::new);
        config.ca_file = self.ca_file;
        config.cardholder = self.cardholder_seconds;
        config.nexo_key = nexo_key;
        let handle = VirtualTerminal::start(config).await.map_err(|error| match error {
            StartError::NeedsBoardingCode(poi) => anyhow::anyhow!(
                "{poi} has not been boarded here. Make a code with `tillgate board {poi}`, and start again with \
                 --boarding-code CODE"
            ),
            error @ StartError::OtherDialect(_) => {
                anyhow::Error::from(error).context("choose another directory with --data-dir")
            }
            error => anyhow::Error::from(error),
        })?;
        let (mut state, mut executions) = (handle.state(), handle.executions());
        let mut notices = handle.notices();
        state.mark_changed();
        loop {
            tokio::select! {
                changed = state.changed() => {
                    changed.context("the terminal has ended by itself")?;
                    let now = state.borrow_and_update().clone();
                    say(&poi, &now);
                    if speaks_actions && matches!(now, State::Stopped { .. }) {
                        println!("{NEXT_STEP}");
                    }
                    let code = match now {
                        State::Stopped { .. } => 5,
                        State::Replaced { .. } => 6,
                        _ => continue,
                    };
                    handle.stop().await;
                    tell(&poi, speaks_actions, &mut executions, &mut told);
                    return Ok(ExitCode::from(code));
                }
                changed = executions.changed() => {
                    changed.context("the terminal has ended by itself")?;
                    tell(&poi, speaks_actions, &mut executions, &mut told);
                }
                notice = notices.recv() => {
                    if let Ok(notice) = notice {
                        announce(&poi, &notice);
                    }
                }
                () = signals.next() => break,
            }
        }
        let farewell = signals.unless_again(handle.stop()).await;
        tell(&poi, speaks_actions, &mut executions, &mut told);
        match farewell {
            Farewell::Done => {
                println!("{}  {poi}  ended", clock::time_of_day());
                Ok(ExitCode::SUCCESS)
            }
            Farewell::CutShort => Ok(ExitCode::from(AT_ONCE)),
        }
    }
}

/// The terminal's name. In the Actions dialect it is nobody's but this program's.
fn name(given: Option<PoiId>, dialect: &Dialect) -> anyhow::Result<PoiId> {
    match (given, dialect) {
        (Some(poi), _) => Ok(poi),
        (None, Dialect::Link) => bail!("which terminal? Give --poi-id, or --dialect actions and --key"),
        (None, Dialect::Actions(actions)) => Ok(actions.name()),
    }
}

fn say(poi: &PoiId, state: &State) {
    let text = match state {
        State::Boarding => "boarding".to_owned(),
        State::Connecting => "connecting".to_owned(),
        State::Online => paint::stdout("connected", paint::GREEN).into_owned(),
        State::Waiting { why } => {
            format!("{}: {why}; tries again", paint::stdout("not connected", paint::YELLOW))
        }
        State::SwitchedOff => format!(
            "{}: WebSockets are switched off for it. It asks by maintenance every 5 min at most, and connects when they are on",
            paint::stdout("not connected", paint::YELLOW)
        ),
        State::Stopped { why } => format!("{}: {why}", paint::stdout("stopped", paint::RED)),
        State::Replaced { winner: Some(winner) } => format!(
            "{}: process {winner} is {poi} now. Only one may be; end that one, or use another POIID",
            paint::stdout("taken over", paint::RED)
        ),
        State::Replaced { winner: None } => format!(
            "{}: another program is connected with this key now. Only one may be; end that one, or use another key",
            paint::stdout("taken over", paint::RED)
        ),
    };
    println!("{}  {poi}  {text}", clock::time_of_day());
}

/// Says what the fleet has changed.
fn announce(poi: &PoiId, notice: &Notice) {
    let text = match notice {
        Notice::Settings(settings) => settings_line(settings),
        Notice::Moved { merchant_account, store: Some(store) } => {
            format!("stands in store {store} of {merchant_account} now")
        }
        Notice::Moved { merchant_account, store: None } => format!("stands at {merchant_account} now"),
        Notice::RemovesConfig { waits: true } => {
            "is being moved: finishes what runs, then removes its configuration".to_owned()
        }
        Notice::RemovesConfig { waits: false } => "is being moved: removes its configuration".to_owned(),
        Notice::ConfigRemoved => "configuration removed; waits for the new one".to_owned(),
        Notice::NewToken => "has a new token, and forgets the old one".to_owned(),
    };
    println!("{}  {poi}  {text}", clock::time_of_day());
}

fn settings_line(settings: &Settings) -> String {
    let switch = |on| if on { "on" } else { "off" };
    let label = match &settings.display_label {
        Some(label) => format!("label {label:?}"),
        None => "no label".to_owned(),
    };
    format!(
        "settings {}: {label}, WebSockets {}, Terminal API {}",
        settings.revision,
        switch(settings.web_sockets_enabled),
        switch(settings.terminal_api_enabled)
    )
}

/// Says what was done with money since `told`, the last delivery that it was said of.
fn tell(
    poi: &PoiId,
    speaks_actions: bool,
    executions: &mut watch::Receiver<Vec<Execution>>,
    told: &mut Option<DeliveryId>,
) {
    let new = since(told.as_ref(), &executions.borrow_and_update()).to_vec();
    for execution in new {
        let what = match execution.kind {
            ExecutionKind::Payment => paint::stdout("paid", paint::GREEN),
            ExecutionKind::Reversal { .. } => paint::stdout("given back", paint::YELLOW),
        };
        let amount = pay::shown(execution.amount, &execution.currency);
        // In the Actions dialect no ServiceID travels: the one in here is the terminal's own.
        let named = match (speaks_actions, execution.service, execution.sale_transaction) {
            (true, _, Some(transaction)) => format!(", transaction {transaction}"),
            (false, Some(service), _) => format!(", ServiceID {service}"),
            _ => String::new(),
        };
        println!("{}  {poi}  {what} {amount}{named}", clock::time_of_day());
        *told = Some(execution.delivery);
    }
}

/// Executions are forgotten after 48 h: if the one that was told last is gone, all others are newer.
fn since<'a>(told: Option<&DeliveryId>, executions: &'a [Execution]) -> &'a [Execution] {
    let last = executions.iter().rposition(|execution| Some(&execution.delivery) == told);
    last.map_or(executions, |last| executions.get(last + 1..).unwrap_or_default())
}

/// A POIID may hold anything; a file's name may not.
pub(crate) fn file_name(poi: &PoiId) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    poi.as_str().chars().map(plain).collect()
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..=600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "expected 0 to 600 seconds".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_named_after_the_terminal() {
        let name = |poi| file_name(&PoiId::parse(poi).unwrap());
        assert_eq!(name("V400m-324688179"), "V400m-324688179");
        assert_eq!(name("../é x"), ".._é_x".replace('é', "_"));
    }

    #[test]
    fn a_cardholder_takes_up_to_ten_minutes() {
        assert_eq!(seconds("0.5").unwrap(), Duration::from_millis(500));
        assert!(seconds("-1").is_err() && seconds("NaN").is_err() && seconds("601").is_err());
    }
}
