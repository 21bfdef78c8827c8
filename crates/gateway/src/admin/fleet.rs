//! What the operator of an installation does to a fleet as a whole: import, export, lists, settings.

use std::sync::Arc;

use nexo::PoiId;

use super::{Admin, AdminError, code};
use crate::clock::Clock;
use crate::fleet::settings::label_problem;
use crate::store::fleet_store::import::PoiIdsSeen;
use crate::store::fleet_store::{
    Change, CountryCode, ExportedTerminal, FLEET_PAGE, IMPORT_ROWS_MAX, ImportId, ImportRow, Level,
    LevelSettings, ListFilter, Listed, SettingsChange, SettingsPatch,
};
use crate::store::{CompanyCode, Entity, ImportError, MerchantCode, Place, Scope, Store, StoreCode};

/// A terminal as a file has it. Empty texts are as good as none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetRow {
    /// Its POIID.
    pub terminal: String,
    /// The merchant account that it is at; none for the company's inventory.
    pub merchant_account: Option<String>,
    /// The store of that merchant account that it is in.
    pub store: Option<String>,
    /// With a merchant account and no store: whether it is in inventory there, or in the store that it represents.
    pub inventory: Option<bool>,
    /// Where it is used: ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// Its platform.
    pub platform: Option<String>,
    /// Eight digits.
    pub permanent_terminal_id: Option<String>,
    /// What its screen and the lists call it.
    pub display_label: Option<String>,
}

/// A line that can't be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// From 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: String,
}

/// Rows that one call takes at most.
pub const ROWS_MAX: usize = IMPORT_ROWS_MAX;

/// Looks whether a file can be imported. It remembers the POIIDs, to find those that come twice.
#[derive(Debug)]
pub struct ImportCheck {
    store: Arc<dyn Store>,
    company: CompanyCode,
    seen: PoiIdsSeen,
}

/// An import that is being written: nobody sees anything of it until it is finished.
#[derive(Debug)]
pub struct Import {
    store: Arc<dyn Store>,
    clock: Clock,
    id: ImportId,
}

/// A setting as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownSetting {
    /// As the Management API names it.
    pub name: &'static str,
    /// What holds.
    pub value: String,
    /// Whether it is set at this level.
    pub is_set_here: bool,
}

/// Where settings are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingsLevel<'a> {
    /// For all of a company.
    Company(&'a str),
    /// For a merchant account.
    Merchant(&'a str),
    /// For a store.
    Store {
        /// Whose store.
        merchant: &'a str,
        /// Which one.
        store: &'a str,
    },
    /// For a terminal.
    Terminal(&'a PoiId),
}

impl Admin {
    /// Begins to check a file for this company.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn check_import(&self, company: &str) -> Result<ImportCheck, AdminError> {
        let company = self.known_company(company).await?;
        Ok(ImportCheck { store: self.store.clone(), company, seen: PoiIdsSeen::default() })
    }

    /// Begins to write an import into this company. What one that was broken off has left is removed first.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn begin_import(&self, company: &str) -> Result<Import, AdminError> {
        let company = self.known_company(company).await?;
        loop {
            match self.store.begin_import(&company, None, self.now()).await {
                Ok(id) => return Ok(Import { store: self.store.clone(), clock: self.clock, id }),
                Err(ImportError::Cleaning) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The terminals of a company as a file has them, in pages: those after `after`, the last of the page before; an empty page is
    /// the end.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn export(&self, company: &str, after: Option<&FleetRow>) -> Result<Vec<FleetRow>, AdminError> {
        let company = self.known_company(company).await?;
        let after = after.map(listed).transpose()?;
        let page = self.store.export(&company, after.as_ref()).await?;
        Ok(page.into_iter().map(exported).collect())
    }

    /// The POIIDs and places of a company's terminals, of one merchant account, or of one store, page by page.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn list_terminals(
        &self,
        company: &str,
        merchant: Option<&str>,
        store: Option<&str>,
        mut tell: impl FnMut(&str, String),
    ) -> Result<(), AdminError> {
        let company = self.known_company(company).await?;
        let filter = match (merchant, store) {
            (Some(merchant), Some(store)) => {
                ListFilter::Store(code(MerchantCode::parse(merchant))?, code(StoreCode::parse(store))?)
            }
            (Some(merchant), None) => ListFilter::Merchant(code(MerchantCode::parse(merchant))?),
            (None, _) => ListFilter::All,
        };
        let mut after = None;
        loop {
            let page = self.store.terminals_of(&company, &Scope::Company, &filter, after.as_ref()).await?;
            let is_last = page.len() < FLEET_PAGE;
            page.iter().for_each(|listed| tell(listed.poi.as_str(), listed.place.to_string()));
            after = page.into_iter().next_back();
            if is_last {
                return Ok(());
            }
        }
    }

    /// The settings of a level.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn settings(&self, level: SettingsLevel<'_>) -> Result<Vec<ShownSetting>, AdminError> {
        let (company, level) = self.level(level).await?;
        let settings = self.store.settings_at(&company, &level).await?;
        settings.map(shown).ok_or_else(|| missing(&level))
    }

    /// Changes settings of a level, and answers with them as they are then. A running gateway follows within a second or two.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn change_settings(
        &self,
        level: SettingsLevel<'_>,
        patch: SettingsPatch,
    ) -> Result<Vec<ShownSetting>, AdminError> {
        if let Change::Set(label) = &patch.display_label
            && let Some(problem) = label_problem(label)
        {
            return Err(AdminError::Refused(format!("the display label: {problem}")));
        }
        let (company, level) = self.level(level).await?;
        if matches!(level, Level::Terminal(_)) && patch.v1_booleans != Change::Keep {
            let text = "a terminal has no encoding of booleans of its own: set it for its store";
            return Err(AdminError::Refused(text.to_owned()));
        }
        let scope = Scope::Company;
        let change = SettingsChange { company, scope, level: level.clone(), patch, by: None, at: self.now() };
        self.store.change_settings(change).await?.map(shown).ok_or_else(|| missing(&level))
    }

    async fn known_company(&self, company: &str) -> Result<CompanyCode, AdminError> {
        let company = code(CompanyCode::parse(company))?;
        match self.store.company(&company).await? {
            Some(_) => Ok(company),
            None => Err(AdminError::Missing(format!("there is no company account {company}"))),
        }
    }

    async fn level(&self, level: SettingsLevel<'_>) -> Result<(CompanyCode, Level), AdminError> {
        let of_merchant = async |merchant: &str| {
            let merchant = code(MerchantCode::parse(merchant))?;
            match self.store.merchant_account(&merchant).await? {
                Some(account) => Ok((account.company, merchant)),
                None => Err(AdminError::Missing(format!("there is no merchant account {merchant}"))),
            }
        };
        Ok(match level {
            SettingsLevel::Company(company) => {
                let company = code(CompanyCode::parse(company))?;
                (company.clone(), Level::Company(company))
            }
            SettingsLevel::Merchant(merchant) => {
                let (company, merchant) = of_merchant(merchant).await?;
                (company, Level::Merchant(merchant))
            }
            SettingsLevel::Store { merchant, store } => {
                let (company, merchant) = of_merchant(merchant).await?;
                (company, Level::Store(merchant, code(StoreCode::parse(store))?))
            }
            SettingsLevel::Terminal(poi) => {
                let level = Level::Terminal(poi.clone());
                let terminal = self.store.terminal(poi).await?.ok_or_else(|| missing(&level))?;
                (terminal.company, level)
            }
        })
    }
}

impl ImportCheck {
    /// What is wrong with these lines, in their order; at most [`ROWS_MAX`] of them. Changes nothing.
    ///
    /// # Errors
    /// [`AdminError::Store`].
    pub async fn check(&mut self, rows: &[(u64, FleetRow)]) -> Result<Vec<BadLine>, AdminError> {
        let mut bad = Vec::new();
        let mut good = Vec::with_capacity(rows.len());
        for (line, row) in rows {
            match read(*line, row) {
                Err(problem) => bad.push(BadLine { line: *line, problem }),
                Ok(row) => match self.seen.note(*line, &row.poi) {
                    Some(twice) => bad.push(BadLine { line: *line, problem: twice.problem.to_string() }),
                    None => good.push(row),
                },
            }
        }
        let problems = self.store.check_import(&self.company, good).await?;
        let known = |problem: crate::store::fleet_store::ImportProblem| BadLine {
            line: problem.line,
            problem: problem.problem.to_string(),
        };
        bad.extend(problems.into_iter().map(known));
        bad.sort_by_key(|bad| bad.line);
        Ok(bad)
    }
}

impl Import {
    /// Writes these lines; at most [`ROWS_MAX`] of them.
    ///
    /// # Errors
    /// [`AdminError`]; none of them was written then.
    pub async fn write(&self, rows: &[(u64, FleetRow)]) -> Result<(), AdminError> {
        let read = rows.iter().map(|(line, row)| {
            read(*line, row).map_err(|problem| AdminError::Refused(format!("line {line}: {problem}")))
        });
        let rows = read.collect::<Result<Vec<_>, _>>()?;
        Ok(self.store.import_rows(self.id, rows, self.clock.now().wall).await?)
    }

    /// Has all terminals be there, at once. How many they are.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn finish(self) -> Result<u64, AdminError> {
        Ok(self.store.finish_import(self.id, self.clock.now().wall).await?)
    }

    /// Removes what was written.
    ///
    /// # Errors
    /// [`AdminError`]; then the next import does so.
    pub async fn abandon(self) -> Result<(), AdminError> {
        while !self.store.abandon_import(self.id).await? {}
        Ok(())
    }
}

/// A line as the store takes it, or what is wrong with it.
fn read(line: u64, row: &FleetRow) -> Result<ImportRow, String> {
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let poi = PoiId::parse(&row.terminal).map_err(|error| format!("terminal: {error}"))?;
    let country = filled(&row.country)
        .map(|text| {
            CountryCode::parse(&text)
                .ok_or_else(|| format!("country: expected two capital letters such as NL, got {text:?}"))
        })
        .transpose()?;
    let permanent_terminal_id = filled(&row.permanent_terminal_id);
    if let Some(id) = &permanent_terminal_id
        && !(id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return Err(format!("permanentTerminalId: expected eight digits, got {id:?}"));
    }
    let display_label = filled(&row.display_label);
    if let Some(problem) = display_label.as_deref().and_then(label_problem) {
        return Err(format!("displayLabel: {problem}"));
    }
    Ok(ImportRow {
        line,
        poi,
        place: place_of(row)?,
        platform: filled(&row.platform),
        country,
        permanent_terminal_id,
        display_label,
    })
}

fn place_of(row: &FleetRow) -> Result<Place, String> {
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (merchant, store) = (filled(&row.merchant_account), filled(&row.store));
    let Some(merchant) = merchant else {
        return match (store, row.inventory) {
            (None, None | Some(true)) => Ok(Place::CompanyInventory),
            (None, Some(false)) => {
                Err("inventory: expected true, or a merchantAccount: a company has inventory only".to_owned())
            }
            (Some(_), _) => Err("merchantAccount: expected that of the store".to_owned()),
        };
    };
    let merchant = MerchantCode::parse(&merchant).map_err(|error| error.to_string())?;
    match (store, row.inventory) {
        (Some(store), None | Some(false)) => {
            let store = StoreCode::parse(&store).map_err(|error| error.to_string())?;
            Ok(Place::Store { merchant, store })
        }
        (Some(_), Some(true)) => Err("inventory: a store has none; leave it out".to_owned()),
        (None, Some(true)) => Ok(Place::MerchantInventory(merchant)),
        (None, Some(false)) => Ok(Place::MerchantInStore(merchant)),
        (None, None) => {
            Err("inventory: expected true or false with a merchantAccount that has no store beside it"
                .to_owned())
        }
    }
}

fn listed(row: &FleetRow) -> Result<Listed, AdminError> {
    let poi = code(PoiId::parse(&row.terminal))?;
    Ok(Listed { poi, place: place_of(row).map_err(AdminError::Refused)? })
}

fn exported(terminal: ExportedTerminal) -> FleetRow {
    let Listed { poi, place } = terminal.listed;
    FleetRow {
        terminal: poi.as_str().to_owned(),
        merchant_account: place.merchant().map(|merchant| merchant.as_str().to_owned()),
        store: place.store().map(|store| store.as_str().to_owned()),
        inventory: match place {
            Place::CompanyInventory | Place::Store { .. } => None,
            Place::MerchantInventory(_) => Some(true),
            Place::MerchantInStore(_) => Some(false),
        },
        country: terminal.country.map(|country| country.as_str().to_owned()),
        platform: terminal.platform,
        permanent_terminal_id: terminal.permanent_terminal_id,
        display_label: terminal.display_label,
    }
}

fn missing(level: &Level) -> AdminError {
    AdminError::Missing(match level {
        Level::Company(company) => format!("there is no company account {company}"),
        Level::Merchant(merchant) => format!("there is no merchant account {merchant}"),
        Level::Store(merchant, store) => format!("there is no store {store} of merchant account {merchant}"),
        Level::Terminal(poi) => Entity::Terminal(poi.clone()).to_string(),
    })
}

fn shown(settings: LevelSettings) -> Vec<ShownSetting> {
    let LevelSettings { level, own, inherited, .. } = settings;
    let switch = |name, own: Option<bool>, inherited: Option<bool>| ShownSetting {
        name,
        value: if own.or(inherited).unwrap_or_default() { "on" } else { "off" }.to_owned(),
        is_set_here: own.is_some(),
    };
    let mut all = vec![
        switch("webSocketsEnabled", own.web_sockets_enabled, inherited.web_sockets_enabled),
        switch("terminalApiEnabled", own.terminal_api_enabled, inherited.terminal_api_enabled),
        ShownSetting {
            name: "displayLabel",
            is_set_here: own.display_label.is_some(),
            value: own.display_label.or(inherited.display_label).unwrap_or_else(|| "none".to_owned()),
        },
    ];
    if !matches!(level, Level::Terminal(_)) {
        let encoding = own.v1_booleans.or(inherited.v1_booleans);
        all.push(ShownSetting {
            name: "v1Booleans",
            value: encoding.map_or("as configured", |encoding| encoding.as_str()).to_owned(),
            is_set_here: own.v1_booleans.is_some(),
        });
    }
    all
}

impl From<ImportError> for AdminError {
    fn from(error: ImportError) -> AdminError {
        let text = error.to_string();
        match error {
            ImportError::Missing(_) => AdminError::Missing(text),
            ImportError::Running | ImportError::Cleaning | ImportError::Ended | ImportError::Rows(_) => {
                AdminError::Refused(text)
            }
            ImportError::Store(error) => error.into(),
        }
    }
}
