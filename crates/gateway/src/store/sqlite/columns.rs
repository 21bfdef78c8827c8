//! Values on their way from a row into types. A value that doesn't fit is named with its table, column and row.

use std::cell::Cell;
use std::fmt::Display;

use relay::WallMs;
use rusqlite::Row;
use rusqlite::types::FromSql;

use crate::store::StoreError;

/// One row of a table, as an error names it.
pub(super) struct Columns<'r> {
    row: &'r Row<'r>,
    table: &'static str,
    key: String,
    /// Where the next column stands, if they are read in the order of the query: to look for a name among thirty takes longer
    /// than to find the row.
    next: Cell<usize>,
}

impl<'r> Columns<'r> {
    /// `key` is the column that names the row.
    pub(super) fn new(row: &'r Row<'r>, table: &'static str, key: &'static str) -> Result<Self, StoreError> {
        let name = row.get_ref(key)?;
        let key = match name {
            rusqlite::types::ValueRef::Text(text) => format!("{key} {}", String::from_utf8_lossy(text)),
            rusqlite::types::ValueRef::Integer(number) => format!("{key} {number}"),
            _ => format!("a row without {key}"),
        };
        Ok(Columns { row, table, key, next: Cell::new(0) })
    }

    /// A value as the database has it.
    pub(super) fn get<T: FromSql>(&self, column: &'static str) -> Result<T, StoreError> {
        self.row.get(self.index(column)?).map_err(|error| self.bad(column, error))
    }

    /// A text that a type has to accept.
    pub(super) fn parse<T, E: Display>(
        &self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, StoreError> {
        let text =
            self.row.get_ref(self.index(column)?)?.as_str().map_err(|error| self.bad(column, error))?;
        parse(text).map_err(|error| self.bad(column, error))
    }

    /// A text that a type has to accept, or nothing.
    pub(super) fn parse_option<T, E: Display>(
        &self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, StoreError> {
        let text = self
            .row
            .get_ref(self.index(column)?)?
            .as_str_or_null()
            .map_err(|error| self.bad(column, error))?;
        text.map(|text| parse(text).map_err(|error| self.bad(column, error))).transpose()
    }

    /// A moment.
    pub(super) fn moment(&self, column: &'static str) -> Result<WallMs, StoreError> {
        self.get(column).map(WallMs)
    }

    /// A moment, or none.
    pub(super) fn moment_option(&self, column: &'static str) -> Result<Option<WallMs>, StoreError> {
        Ok(self.get::<Option<i64>>(column)?.map(WallMs))
    }

    fn index(&self, column: &'static str) -> Result<usize, StoreError> {
        let (columns, next) = (self.row.as_ref(), self.next.get());
        let index = match columns.column_name(next) {
            Ok(name) if name == column => next,
            _ => columns.column_index(column)?,
        };
        self.next.set(index + 1);
        Ok(index)
    }

    /// The value of a column is none that this program writes.
    pub(super) fn bad(&self, column: &'static str, problem: impl Display) -> StoreError {
        StoreError::BadData { table: self.table, column, row: self.key.clone(), problem: problem.to_string() }
    }
}
