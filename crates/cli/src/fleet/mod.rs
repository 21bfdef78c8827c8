//! `tillgate fleet`: terminals by the thousand, from files and into files.

mod file;

use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use gateway::{Admin, FleetRow, Import as Writing, ROWS_MAX};
use indicatif::{ProgressBar, ProgressStyle};

use crate::settings::Installation;
use file::{Format, Rows, Writer};

/// Import, export and list the terminals of a company.
///
/// They work beside a running gateway, on the machine that holds its database.
#[derive(Debug, Subcommand)]
pub(crate) enum Fleet {
    /// Add the terminals of a file, all or none
    Import(Import),
    /// Write all terminals in the form that import takes
    Export(Export),
    /// List terminals and their places
    List(List),
}

/// The file is CSV with a line of names, or JSON Lines. Names: terminal, merchantAccount, store, inventory, country, platform,
/// permanentTerminalId, displayLabel. Only terminal must be there. Without a merchantAccount it goes to the company's
/// inventory; with one and no store, inventory says true or false.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Company account
    #[arg(long, value_name = "CODE")]
    company: String,
    /// Only say what is wrong with it
    #[arg(long)]
    dry_run: bool,
    /// Form of the file [default: by its name]
    #[arg(long, value_name = "FORM")]
    format: Option<Format>,
    #[command(flatten)]
    installation: Installation,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Company account
    #[arg(long, value_name = "CODE")]
    company: String,
    /// Form
    #[arg(long, value_name = "FORM", default_value = "csv")]
    format: Format,
    #[command(flatten)]
    installation: Installation,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Company account
    #[arg(long, value_name = "CODE")]
    company: String,
    /// Only those of this merchant account and its stores
    #[arg(long, value_name = "CODE")]
    merchant_account: Option<String>,
    /// Only those of this store
    #[arg(long, value_name = "CODE", requires = "merchant_account")]
    store: Option<String>,
    #[command(flatten)]
    installation: Installation,
}

impl Fleet {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Fleet::Import(import) => import.run().await,
            Fleet::Export(export) => export.run().await,
            Fleet::List(list) => list.run().await,
        }
    }
}

impl Import {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let format = match self.format {
            Some(format) => format,
            None => Format::of(&self.file)?,
        };
        let admin = Admin::open(&self.installation.existing()?).await?;
        let (good, bad) = self.check(&admin, format).await?;
        if bad > 0 {
            bail!("{bad} of {} lines can't be imported. Nothing was written", good + bad);
        }
        if self.dry_run {
            println!("{good} terminals can be imported. Nothing was written: it was a dry run");
            return Ok(ExitCode::SUCCESS);
        }
        let import = admin.begin_import(&self.company).await?;
        if let Err(error) = self.write(&import, format).await {
            // What can't be removed now is removed by the next import.
            let _ = import.abandon().await;
            return Err(error.context("nothing was imported"));
        }
        let imported = import.finish().await?;
        println!("{imported} terminals imported");
        Ok(ExitCode::SUCCESS)
    }

    /// Says each line that is wrong; how many are right, and wrong.
    async fn check(&self, admin: &Admin, format: Format) -> anyhow::Result<(u64, u64)> {
        let mut check = admin.check_import(&self.company).await?;
        let mut rows = Rows::open(&self.file, format)?;
        let bar = bar(&self.file, "checking")?;
        let (mut all, mut bad) = (0, 0);
        loop {
            let (mut batch, mut wrong) = (Vec::with_capacity(ROWS_MAX), Vec::new());
            for read in rows.by_ref().take(ROWS_MAX) {
                all += 1;
                let (line, row) = read?;
                match row {
                    Ok(row) => batch.push((line, row)),
                    Err(problem) => wrong.push(gateway::BadLine { line, problem }),
                }
            }
            if batch.is_empty() && wrong.is_empty() {
                break;
            }
            wrong.extend(check.check(&batch).await?);
            wrong.sort_by_key(|wrong| wrong.line);
            bad += u64::try_from(wrong.len()).unwrap_or(u64::MAX);
            bar.suspend(|| {
                wrong.iter().for_each(|wrong| eprintln!("line {}: {}", wrong.line, wrong.problem));
            });
            bar.set_position(rows.position());
        }
        bar.finish_and_clear();
        Ok((all - bad, bad))
    }

    async fn write(&self, import: &Writing, format: Format) -> anyhow::Result<()> {
        let mut rows = Rows::open(&self.file, format)?;
        let bar = bar(&self.file, "writing")?;
        loop {
            let batch = rows.by_ref().take(ROWS_MAX).map(|read| {
                let (line, row) = read?;
                let row = row.map_err(|problem| {
                    anyhow::anyhow!("line {line}: {problem}; the file was changed meanwhile")
                })?;
                Ok((line, row))
            });
            let batch = batch.collect::<anyhow::Result<Vec<(u64, FleetRow)>>>()?;
            if batch.is_empty() {
                break;
            }
            import.write(&batch).await?;
            bar.set_position(rows.position());
        }
        bar.finish_and_clear();
        Ok(())
    }
}

impl Export {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let admin = Admin::open(&self.installation.existing()?).await?;
        let mut writer = Writer::new(BufWriter::new(io::stdout()), self.format)?;
        let mut page = admin.export(&self.company, None).await?;
        while let Some(last) = page.last().cloned() {
            page.iter().try_for_each(|row| writer.write(row))?;
            page = admin.export(&self.company, Some(&last)).await?;
        }
        writer.finish()?;
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let admin = Admin::open(&self.installation.existing()?).await?;
        let mut out = BufWriter::new(io::stdout());
        let mut written = Ok(());
        let (merchant, store) = (self.merchant_account.as_deref(), self.store.as_deref());
        admin
            .list_terminals(&self.company, merchant, store, |poi, place| {
                if written.is_ok() {
                    written = writeln!(out, "{poi:<28} {place}");
                }
            })
            .await?;
        written.and_then(|()| out.flush()).context("can't write")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// How much of a file was read; shown on a terminal only.
fn bar(file: &Path, what: &'static str) -> anyhow::Result<ProgressBar> {
    let size = std::fs::metadata(file).with_context(|| format!("can't read {}", file.display()))?.len();
    let style = ProgressStyle::with_template("{msg} [{bar:40}] {percent}% {eta} left")?;
    Ok(ProgressBar::new(size).with_style(style).with_message(what))
}
