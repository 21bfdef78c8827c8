//! API credentials in SQL. What writes runs inside a transaction of the writer's.

use relay::WallMs;
use rusqlite::{Connection, Row, ToSql, params};

use super::actions;
use super::columns::Columns;
use super::fleet::{self, execute, list, one};
use crate::store::{
    CompanyCode, Credential, CredentialError, CredentialId, Entity, KeyHash, MerchantCode, NewCredential,
    PasswordHash, Scope, StoreError,
};

pub(super) fn create(connection: &Connection, new: &NewCredential) -> Result<(), CredentialError> {
    let taken: [(&str, &dyn ToSql, Entity); 3] = [
        ("id", &new.id.as_str(), Entity::Credential(new.id.clone())),
        ("username", &new.username, Entity::Username(new.username.clone())),
        ("key_hash", &new.key.0, Entity::Key),
    ];
    for (column, value, entity) in taken {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM api_credentials WHERE {column} = ?1)");
        if connection.prepare_cached(&sql)?.query_row([value], |row| row.get(0))? {
            return Err(CredentialError::AlreadyExists(entity));
        }
    }
    if fleet::company(connection, &new.company)?.is_none() {
        return Err(CredentialError::Missing(Entity::Company(new.company.clone())));
    }
    let (scope, merchants) = match &new.scope {
        Scope::Company => ("company", &[][..]),
        Scope::Merchants(merchants) if merchants.is_empty() => return Err(CredentialError::EmptyScope),
        Scope::Merchants(merchants) => ("merchants", &merchants[..]),
    };
    let roles = serde_json::to_string(&new.roles).map_err(|error| StoreError::Database(error.into()))?;
    execute(
        connection,
        "INSERT INTO api_credentials (id, company, scope, roles, key_hash, username, password_hash, description,
            created_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            new.id.as_str(),
            new.company.as_str(),
            scope,
            roles,
            new.key.0,
            new.username,
            new.password.0,
            new.description,
            new.created.0,
        ],
    )?;
    for merchant in merchants {
        let account = fleet::merchant_account(connection, merchant)?;
        if account.is_none_or(|account| account.company != new.company) {
            return Err(CredentialError::Missing(Entity::MerchantAccount(merchant.clone())));
        }
        let sql = "INSERT INTO api_credential_merchants (credential, company, merchant) VALUES (?1, ?2, ?3)
            ON CONFLICT DO NOTHING";
        execute(connection, sql, [new.id.as_str(), new.company.as_str(), merchant.as_str()])?;
    }
    actions::keep_facts(connection, new)
}

pub(super) fn revoke(connection: &Connection, id: &CredentialId, at: WallMs) -> Result<bool, StoreError> {
    let sql = "UPDATE api_credentials SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
    Ok(connection.prepare_cached(sql)?.execute(params![id.as_str(), at.0])? > 0)
}

/// The columns that [`credential_of`] reads.
const CREDENTIAL: &str = "SELECT id, company, scope, roles, username, password_hash, description, created_at,
    revoked_at, actions, actions_secret FROM api_credentials";

pub(super) fn of_company(
    connection: &Connection,
    company: &CompanyCode,
) -> Result<Vec<Credential>, StoreError> {
    let sql = format!("{CREDENTIAL} WHERE company = ?1 ORDER BY seq");
    list(connection, &sql, [company.as_str()], |row| credential_of(connection, row))
}

pub(super) fn by_key(connection: &Connection, key: KeyHash) -> Result<Option<Credential>, StoreError> {
    let sql = format!("{CREDENTIAL} WHERE key_hash = ?1 AND revoked_at IS NULL");
    one(connection, &sql, [key.0], |row| credential_of(connection, row))
}

pub(super) fn by_username(connection: &Connection, username: &str) -> Result<Option<Credential>, StoreError> {
    let sql = format!("{CREDENTIAL} WHERE username = ?1 AND revoked_at IS NULL");
    one(connection, &sql, [username], |row| credential_of(connection, row))
}

fn credential_of(connection: &Connection, row: &Row<'_>) -> Result<Credential, StoreError> {
    let columns = Columns::new(row, "api_credentials", "id")?;
    let id = columns.parse("id", CredentialId::parse)?;
    let word: String = columns.get("scope")?;
    let scope = match word.as_str() {
        "company" => Scope::Company,
        "merchants" => Scope::Merchants(merchants_of(connection, &id)?),
        _ => return Err(columns.bad("scope", format_args!("expected a scope, got {word:?}"))),
    };
    let actions = actions::facts_of(connection, &columns, &id)?;
    Ok(Credential {
        id,
        company: columns.parse("company", CompanyCode::parse)?,
        scope,
        roles: columns.parse("roles", |text| serde_json::from_str(text))?,
        username: columns.get("username")?,
        password: PasswordHash(columns.get("password_hash")?),
        description: columns.get("description")?,
        created: columns.moment("created_at")?,
        revoked: columns.moment_option("revoked_at")?,
        actions,
    })
}

fn merchants_of(connection: &Connection, id: &CredentialId) -> Result<Vec<MerchantCode>, StoreError> {
    let sql =
        "SELECT credential, merchant FROM api_credential_merchants WHERE credential = ?1 ORDER BY merchant";
    list(connection, sql, [id.as_str()], |row| {
        Columns::new(row, "api_credential_merchants", "credential")?.parse("merchant", MerchantCode::parse)
    })
}
