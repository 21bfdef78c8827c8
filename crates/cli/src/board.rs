//! `tillgate board`: a code for a terminal.

use std::process::ExitCode;

use clap::Args;
use gateway::Admin;
use nexo::PoiId;

use crate::program::{self, quoted};
use crate::settings::Installation;
use crate::{clock, paint};

/// Make a boarding code for a terminal.
///
/// The code is typed into the terminal, which then may connect. It is good once, for a day, and ends any earlier code. The
/// terminal must be in store. Works beside a running gateway, on the machine that holds its database; elsewhere use
/// POST /v3/terminals/{terminalId}/boardingCode.
#[derive(Debug, Args)]
pub(crate) struct Board {
    /// The terminal
    #[arg(value_name = "POIID")]
    poi_id: PoiId,
    /// The gateway, for the line that starts a virtual terminal
    #[arg(long, value_name = "URL", env = "TILLGATE_URL")]
    url: Option<String>,
    #[command(flatten)]
    installation: Installation,
}

impl Board {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.installation.existing()?;
        let url = self.url.unwrap_or_else(|| format!("http://{}", config.listen));
        let made = Admin::open(&config).await?.make_boarding_code(&self.poi_id).await?;
        let code = made.code.reveal();
        println!("Boarding code  {}", paint::stdout(&code, paint::BOLD));
        println!("Good until     {}, once", clock::whole_seconds(&made.expires));
        println!();
        println!("Type it into the terminal, or start a virtual one with it:");
        let (program, url, poi) = (program::name(), quoted(&url), quoted(self.poi_id.as_str()));
        println!("  {program} terminal --url {url} --poi-id {poi} --boarding-code {code}");
        Ok(ExitCode::SUCCESS)
    }
}
