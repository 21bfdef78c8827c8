//! `assignTerminals`: moves terminals to one place, all or none.
//!
//! `{"companyAccount":"DEMO_CO","merchantAccount":"DEMO_MERCHANT","store":"STORE_NORTH","terminals":["V400m-100200300"]}` →
//! `{"results":{"V400m-100200300":"RemoveConfigScheduled"}}`

use std::collections::HashSet;

use axum::Json;
use axum::body::Body;
use axum::http::HeaderMap;
use nexo::PoiId;
use serde::{Serialize, Serializer};

use super::members::{Members, missing};
use super::{TerminalManagementApi, answer};
use crate::access::Caller;
use crate::http::problem::ClassicError;
use crate::store::Place;
use crate::store::fleet_store::Assigned;

/// Terminals in one call. They are assigned in one transaction, in which payments have to wait for the database.
const TERMINALS_PER_CALL_MAX: usize = 10_000;

/// The longest request: as many terminals as may be, with names of 100 characters.
const REQUEST_MAX: usize = 1024 * 1024;

/// One entry for each terminal, in the order in which they were first named.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    #[serde(serialize_with = "as_object")]
    results: Vec<(PoiId, Assigned)>,
}

pub(super) async fn call(
    api: &TerminalManagementApi,
    headers: &HeaderMap,
    body: Body,
) -> Result<Json<Answer>, ClassicError> {
    let (caller, bytes) = api.take(headers, body, REQUEST_MAX).await?;
    let asked = Asked::read(&bytes)?;
    let company = api.queries.company(&caller, &asked.company).map_err(answer::unreached)?;
    let target = target(api, &caller, asked.target).await?;
    let terminals = terminals(api, &caller, asked.terminals).await?;
    tracing::debug!(company = %company, terminals = terminals.len(), "assigning terminals");
    let results = api.assignments.assign(&caller, terminals, target).await.map_err(answer::not_assigned)?;
    Ok(Json(Answer { results }))
}

/// What is asked for, before anything was looked up.
#[derive(Debug)]
struct Asked {
    company: String,
    terminals: Vec<String>,
    target: Target,
}

/// Where to, as it was written.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    CompanyInventory,
    MerchantInventory(String),
    MerchantInStore(String),
    Store { merchant: String, store: String },
}

impl Asked {
    fn read(bytes: &[u8]) -> Result<Asked, ClassicError> {
        let known = &["companyAccount", "merchantAccount", "merchantInventory", "store", "terminals"];
        let members = Members::read(bytes, "AssignTerminalsRequest", known)?;
        let company = members.required_text("companyAccount")?;
        let mut terminals = members.required_texts("terminals")?;
        let merchant = members.text("merchantAccount")?;
        let inventory = members.boolean("merchantInventory")?;
        let store = members.text("store")?;
        let target = match (merchant, inventory, store) {
            (_, Some(_), Some(_)) => {
                let message = "merchantInventory can't be used together with store";
                return Err(ClassicError::unprocessable("000", message));
            }
            (None, None, None) => Target::CompanyInventory,
            (None, _, _) => return Err(missing("merchantAccount")),
            (Some(merchant), None, Some(store)) => Target::Store { merchant, store },
            (Some(merchant), Some(true), None) => Target::MerchantInventory(merchant),
            (Some(merchant), Some(false), None) => Target::MerchantInStore(merchant),
            (Some(_), None, None) => return Err(missing("merchantInventory")),
        };
        once_each(&mut terminals);
        if terminals.len() > TERMINALS_PER_CALL_MAX {
            let message = format!(
                "Field 'terminals': {} terminals are too many for one call (limit terminals_per_call, \
                 {TERMINALS_PER_CALL_MAX})",
                terminals.len()
            );
            return Err(ClassicError::unprocessable("901", message));
        }
        Ok(Asked { company, terminals, target })
    }
}

/// A terminal that is named twice counts once, where it came first.
fn once_each(terminals: &mut Vec<String>) {
    let mut seen = HashSet::with_capacity(terminals.len());
    let keep: Vec<bool> = terminals.iter().map(|terminal| seen.insert(terminal.as_str())).collect();
    let mut keep = keep.into_iter();
    terminals.retain(|_| keep.next().unwrap_or(true));
}

/// The place that is meant, of those that the caller reaches.
async fn target(api: &TerminalManagementApi, caller: &Caller, target: Target) -> Result<Place, ClassicError> {
    let merchant = async |code: &str| api.queries.merchant(caller, code).await.map_err(answer::unreached);
    Ok(match target {
        Target::CompanyInventory => Place::CompanyInventory,
        Target::MerchantInventory(code) => Place::MerchantInventory(merchant(&code).await?),
        Target::MerchantInStore(code) => Place::MerchantInStore(merchant(&code).await?),
        Target::Store { merchant: code, store } => {
            let merchant = merchant(&code).await?;
            let store = api.queries.store(&merchant, &store).await.map_err(answer::unreached)?;
            Place::Store { merchant, store }
        }
    })
}

/// The terminals that are meant. What can't be a POIID is no terminal's, and is named with the others that are not there.
async fn terminals(
    api: &TerminalManagementApi,
    caller: &Caller,
    named: Vec<String>,
) -> Result<Vec<PoiId>, ClassicError> {
    let terminals: Vec<PoiId> = named.iter().filter_map(|name| PoiId::parse(name).ok()).collect();
    if terminals.len() == named.len() {
        return Ok(terminals);
    }
    let missing = api.queries.missing(caller, &terminals).await.map_err(answer::unread)?;
    let missing: HashSet<&str> = missing.iter().map(PoiId::as_str).collect();
    let is_missing = |name: &&str| missing.contains(name) || PoiId::parse(name).is_err();
    Err(answer::terminals_not_found(named.iter().map(String::as_str).filter(is_missing)))
}

fn as_object<S: Serializer>(results: &[(PoiId, Assigned)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(results.iter().map(|(poi, assigned)| (poi.as_str(), assigned.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target_of(members: &str) -> Option<Target> {
        let text = format!(r#"{{"companyAccount":"C","terminals":["T-1"]{members}}}"#);
        Asked::read(text.as_bytes()).ok().map(|asked| asked.target)
    }

    #[test]
    fn four_targets_and_nothing_between_them() {
        let (m, s) = ("M".to_owned(), "S".to_owned());
        assert_eq!(target_of(""), Some(Target::CompanyInventory));
        assert_eq!(target_of(r#","merchantAccount":null,"store":"""#), Some(Target::CompanyInventory));
        let inventory = r#","merchantAccount":"M","merchantInventory":"#;
        for (value, expected) in [
            ("true", Target::MerchantInventory(m.clone())),
            ("\"true\"", Target::MerchantInventory(m.clone())),
            ("false", Target::MerchantInStore(m.clone())),
            ("\"false\"", Target::MerchantInStore(m.clone())),
        ] {
            assert_eq!(target_of(&format!("{inventory}{value}")), Some(expected));
        }
        let store = Target::Store { merchant: m, store: s };
        assert_eq!(target_of(r#","merchantAccount":"M","store":"S""#), Some(store));
        for unclear in [
            r#","merchantAccount":"M""#,
            r#","store":"S""#,
            r#","merchantInventory":true"#,
            r#","merchantAccount":"M","merchantInventory":false,"store":"S""#,
            r#","merchantInventory":false,"store":"S""#,
        ] {
            assert_eq!(target_of(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn a_terminal_that_is_named_twice_counts_once() {
        let mut terminals = ["B", "A", "B", "C", "A"].map(str::to_owned).to_vec();
        once_each(&mut terminals);
        assert_eq!(terminals, ["B", "A", "C"]);
    }
}
