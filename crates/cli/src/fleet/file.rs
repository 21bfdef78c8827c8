//! The forms of a file of terminals: CSV, and JSON Lines.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write};
use std::path::Path;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use gateway::FleetRow;
use serde::{Deserialize, Serialize};

/// The longest line of JSON, in bytes: ten times what all members together need.
const LINE_MAX: usize = 16 * 1024;

/// How terminals are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A line of names, then a line for each terminal.
    Csv,
    /// A JSON object for each terminal, one on a line.
    Jsonl,
}

impl Format {
    /// By the ending of a file's name.
    pub(super) fn of(file: &Path) -> anyhow::Result<Format> {
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("csv") => Ok(Format::Csv),
            Some("jsonl" | "ndjson") => Ok(Format::Jsonl),
            _ => bail!("is {} CSV or JSON Lines? Say it with --format csv or --format jsonl", file.display()),
        }
    }
}

/// A terminal in a file.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Row {
    terminal: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    merchant_account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    store: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inventory: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    permanent_terminal_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    display_label: Option<String>,
}

/// The names of CSV, in the order in which they are written.
const NAMES: [&str; 8] = [
    "terminal",
    "merchantAccount",
    "store",
    "inventory",
    "country",
    "platform",
    "permanentTerminalId",
    "displayLabel",
];

impl From<Row> for FleetRow {
    fn from(row: Row) -> FleetRow {
        let Row {
            terminal,
            merchant_account,
            store,
            inventory,
            country,
            platform,
            permanent_terminal_id,
            display_label,
        } = row;
        FleetRow {
            terminal,
            merchant_account,
            store,
            inventory,
            country,
            platform,
            permanent_terminal_id,
            display_label,
        }
    }
}

/// The terminals of a file, each with its line. A line that can't be read has its problem; a file that can't be read ends all.
pub(super) enum Rows {
    Csv { reader: Box<csv::Reader<File>>, names: csv::StringRecord, has_failed: bool },
    Jsonl { reader: BufReader<File>, line: u64, position: u64 },
}

impl Rows {
    pub(super) fn open(file: &Path, format: Format) -> anyhow::Result<Rows> {
        let opened = File::open(file).with_context(|| format!("can't read {}", file.display()))?;
        Ok(match format {
            Format::Csv => {
                let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(opened);
                let names =
                    reader.headers().with_context(|| format!("can't read {}", file.display()))?.clone();
                if let Some(unknown) = names.iter().find(|name| !NAMES.contains(name)) {
                    bail!("line 1: there is no column {unknown:?}. Columns are {}", NAMES.join(", "));
                }
                Rows::Csv { reader: Box::new(reader), names, has_failed: false }
            }
            Format::Jsonl => Rows::Jsonl { reader: BufReader::new(opened), line: 0, position: 0 },
        })
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        match self {
            Rows::Csv { reader, .. } => reader.position().byte(),
            Rows::Jsonl { position, .. } => *position,
        }
    }
}

impl Iterator for Rows {
    type Item = anyhow::Result<(u64, Result<FleetRow, String>)>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Rows::Csv { has_failed: true, .. } => None,
            Rows::Csv { reader, names, has_failed } => {
                let mut record = csv::StringRecord::new();
                match reader.read_record(&mut record) {
                    Ok(false) => None,
                    Ok(true) => {
                        let line = record.position().map_or(0, csv::Position::line);
                        let row = record.deserialize::<Row>(Some(names)).map(FleetRow::from);
                        Some(Ok((line, row.map_err(|error| csv_problem(&error)))))
                    }
                    Err(error) => {
                        let line = error.position().map_or(0, csv::Position::line);
                        *has_failed = error.is_io_error();
                        match *has_failed {
                            true => Some(Err(anyhow::Error::from(error).context("can't read the file"))),
                            false => Some(Ok((line, Err(csv_problem(&error))))),
                        }
                    }
                }
            }
            Rows::Jsonl { reader, line, position } => loop {
                let mut bytes = Vec::new();
                let limit = u64::try_from(LINE_MAX).unwrap_or(u64::MAX);
                match std::io::Read::take(&mut *reader, limit).read_until(b'\n', &mut bytes) {
                    Ok(0) => return None,
                    Ok(read) => *position += u64::try_from(read).unwrap_or(u64::MAX),
                    Err(error) => {
                        return Some(Err(anyhow::Error::from(error).context("can't read the file")));
                    }
                }
                *line += 1;
                if bytes.len() >= LINE_MAX && bytes.last() != Some(&b'\n') {
                    return Some(Err(anyhow::anyhow!("line {line} is longer than {LINE_MAX} bytes")));
                }
                if bytes.trim_ascii().is_empty() {
                    continue;
                }
                let row = serde_json::from_slice::<Row>(bytes.trim_ascii()).map(FleetRow::from);
                return Some(Ok((*line, row.map_err(|error| error.to_string()))));
            },
        }
    }
}

fn csv_problem(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Deserialize { err, .. } => match err.field().and_then(|n| usize::try_from(n).ok()) {
            Some(field) => format!("field {}: {}", field + 1, err.kind()),
            None => err.kind().to_string(),
        },
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("expected {expected_len} fields, got {len}")
        }
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

/// Writes terminals.
pub(super) enum Writer<W: Write> {
    Csv(Box<csv::Writer<W>>),
    Jsonl(W),
}

impl<W: Write> Writer<W> {
    pub(super) fn new(to: W, format: Format) -> anyhow::Result<Writer<W>> {
        Ok(match format {
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(to);
                writer.write_record(NAMES)?;
                Writer::Csv(Box::new(writer))
            }
            Format::Jsonl => Writer::Jsonl(to),
        })
    }

    pub(super) fn write(&mut self, row: &FleetRow) -> anyhow::Result<()> {
        match self {
            Writer::Csv(writer) => {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                writer.write_record([
                    row.terminal.clone(),
                    text(&row.merchant_account),
                    text(&row.store),
                    row.inventory.map_or_else(String::new, |is| is.to_string()),
                    text(&row.country),
                    text(&row.platform),
                    text(&row.permanent_terminal_id),
                    text(&row.display_label),
                ])?;
            }
            Writer::Jsonl(to) => {
                let row = Row {
                    terminal: row.terminal.clone(),
                    merchant_account: row.merchant_account.clone(),
                    store: row.store.clone(),
                    inventory: row.inventory,
                    country: row.country.clone(),
                    platform: row.platform.clone(),
                    permanent_terminal_id: row.permanent_terminal_id.clone(),
                    display_label: row.display_label.clone(),
                };
                serde_json::to_writer(&mut *to, &row)?;
                to.write_all(b"\n")?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self {
            Writer::Csv(mut writer) => writer.flush()?,
            Writer::Jsonl(mut to) => to.flush()?,
        }
        Ok(())
    }
}
