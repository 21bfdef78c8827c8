//! `tillgate terminals`: who is connected, as it changes.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::connection::{Connection, Gateway};
use crate::signals::Signals;
use crate::{clock, paint};

/// How often the list is asked for.
const INTERVAL: Duration = Duration::from_secs(1);

const WAIT: Duration = Duration::from_secs(10);

/// Watch which terminals are connected.
///
/// Prints those that are connected now, and then each arrival and departure with its time (UTC), until Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Terminals {
    #[command(flatten)]
    connection: Connection,
    /// Merchant account [default: the demo's]
    #[arg(long, value_name = "CODE")]
    merchant_account: Option<String>,
    /// Only this store of it
    #[arg(long, value_name = "CODE")]
    store: Option<String>,
    /// Print the list once and end
    #[arg(long)]
    once: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    merchant_account: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connected {
    unique_terminal_ids: BTreeSet<String>,
}

impl Terminals {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let gateway = self.connection.open()?;
        let merchants = match self.merchant_account {
            Some(merchant) => vec![merchant],
            None => gateway.ready.as_ref().map(|ready| ready.merchant_accounts.clone()).unwrap_or_default(),
        };
        anyhow::ensure!(!merchants.is_empty(), "of which merchant account? Give --merchant-account");
        let store = self.store.as_deref();
        let mut now = connected(&gateway, &merchants, store).await?;
        for poi in &now {
            println!("{poi}");
        }
        if self.once {
            return Ok(ExitCode::SUCCESS);
        }
        let mut signals = Signals::listen()?;
        let mut problem = None;
        println!("{}", paint::stdout(&format!("-- {} connected; Ctrl-C ends --", now.len()), paint::DIM));
        loop {
            tokio::select! {
                () = signals.next() => return Ok(ExitCode::SUCCESS),
                () = tokio::time::sleep(INTERVAL) => {}
            }
            match connected(&gateway, &merchants, store).await {
                Ok(then) => {
                    if problem.take().is_some() {
                        println!("{}  the gateway answers again", clock::time_of_day());
                    }
                    changes(&now, &then).iter().for_each(|line| println!("{}  {line}", clock::time_of_day()));
                    now = then;
                }
                Err(error) => {
                    // Said once: whoever watches wants to know, and the gateway may come back.
                    let text = format!("{error:#}");
                    if problem.as_ref() != Some(&text) {
                        println!("{}  {}", clock::time_of_day(), paint::stdout(&text, paint::RED));
                        problem = Some(text);
                    }
                }
            }
        }
    }
}

async fn connected(
    gateway: &Gateway,
    merchants: &[String],
    store: Option<&str>,
) -> anyhow::Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for merchant_account in merchants {
        let question = serde_json::to_vec(&Question { merchant_account, store })?;
        let body = gateway.post("/connectedTerminals", question, WAIT).await?;
        let list: Connected = serde_json::from_slice(&body).context("the gateway's list can't be read")?;
        all.extend(list.unique_terminal_ids);
    }
    Ok(all)
}

fn changes(before: &BTreeSet<String>, now: &BTreeSet<String>) -> Vec<String> {
    let gone =
        before.difference(now).map(|poi| format!("{} {poi}", paint::stdout("- gone     ", paint::YELLOW)));
    let come =
        now.difference(before).map(|poi| format!("{} {poi}", paint::stdout("+ connected", paint::GREEN)));
    gone.chain(come).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_shown() {
        let set = |all: &[&str]| all.iter().map(|&poi| poi.to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(changes(&set(&["A", "B"]), &set(&["B", "C"])), ["- gone      A", "+ connected C"]);
        assert!(changes(&set(&["A"]), &set(&["A"])).is_empty());
    }
}
