//! Reading a partial change of settings: every member is known by name, and whatever is wrong is named.

use axum::http::StatusCode;
use serde_json::{Map, Value};

use crate::fleet::settings::label_problem;
use crate::http::problem::{InvalidField, Problem};
use crate::store::fleet_store::{Change, SettingsPatch, V1Booleans};

/// Members that are named in one answer: who has more wrong than that reads its own software.
const NAMED_MAX: usize = 20;

/// Characters of a wrong value that are told back.
const VALUE_CHARACTERS_MAX: usize = 80;

/// Why there is no change to be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatchError {
    /// 400.
    #[error("The body is no JSON object of settings: line {line}, column {column}.")]
    NoObject {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// 422. Members that are not known, or whose values can't be; at least one.
    #[error("Nothing was changed: {}.", first(.0))]
    Wrong(Vec<InvalidField>),
}

fn first(fields: &[InvalidField]) -> String {
    fields.first().map_or_else(String::new, |field| format!("{}: {}", field.name, field.message))
}

impl From<PatchError> for Problem {
    fn from(error: PatchError) -> Problem {
        let detail = error.to_string();
        match error {
            PatchError::NoObject { .. } => Problem::new(StatusCode::BAD_REQUEST, detail),
            PatchError::Wrong(fields) => {
                let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
                fields.into_iter().fold(problem, |problem, InvalidField { name, value, message }| {
                    problem.invalid_field(name, value, message)
                })
            }
        }
    }
}

/// Reads a change to the settings of a level.
///
/// # Errors
/// [`PatchError`].
pub(super) fn read(body: &[u8], is_of_terminal: bool) -> Result<SettingsPatch, PatchError> {
    let members: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| PatchError::NoObject { line: error.line(), column: error.column() })?;
    let mut reading = Reading { wrong: Vec::new() };
    let mut patch = SettingsPatch::default();
    for (name, value) in members {
        match name.as_str() {
            "connectivity" => {
                let Some(group) = reading.group("connectivity", value) else { continue };
                if group.is_empty() {
                    (patch.web_sockets_enabled, patch.terminal_api_enabled) = (Change::Clear, Change::Clear);
                }
                for (name, value) in group {
                    match name.as_str() {
                        "webSocketsEnabled" => patch.web_sockets_enabled = reading.switch(&name, value),
                        "terminalApiEnabled" => patch.terminal_api_enabled = reading.switch(&name, value),
                        _ => reading.unknown(format!("connectivity.{name}"), &value),
                    }
                }
            }
            "displayLabel" => patch.display_label = reading.label(value),
            "terminalManagement" if !is_of_terminal => {
                let Some(group) = reading.group("terminalManagement", value) else { continue };
                if group.is_empty() {
                    patch.v1_booleans = Change::Clear;
                }
                for (name, value) in group {
                    match name.as_str() {
                        "v1Booleans" => patch.v1_booleans = reading.v1_booleans(value),
                        _ => reading.unknown(format!("terminalManagement.{name}"), &value),
                    }
                }
            }
            _ => reading.unknown(name, &value),
        }
    }
    if reading.wrong.is_empty() { Ok(patch) } else { Err(PatchError::Wrong(reading.wrong)) }
}

/// What was wrong so far.
struct Reading {
    wrong: Vec<InvalidField>,
}

impl Reading {
    /// The members of a group; none of it resets all, as an empty one does.
    fn group(&mut self, name: &str, value: Value) -> Option<Map<String, Value>> {
        match value {
            Value::Object(members) => Some(members),
            Value::Null => Some(Map::new()),
            other => {
                self.wrong(name, &other, "expected an object");
                None
            }
        }
    }

    fn switch(&mut self, name: &str, value: Value) -> Change<bool> {
        match value {
            Value::Bool(is_on) => Change::Set(is_on),
            Value::Null => Change::Clear,
            other => {
                self.wrong(&format!("connectivity.{name}"), &other, "expected true, false or null");
                Change::Keep
            }
        }
    }

    fn v1_booleans(&mut self, value: Value) -> Change<V1Booleans> {
        match &value {
            Value::Null => return Change::Clear,
            Value::String(text) => {
                if let Some(encoding) = V1Booleans::parse(text) {
                    return Change::Set(encoding);
                }
            }
            _ => {}
        }
        self.wrong("terminalManagement.v1Booleans", &value, "expected \"strings\", \"booleans\" or null");
        Change::Keep
    }

    fn label(&mut self, value: Value) -> Change<String> {
        let text = match value {
            Value::Null => return Change::Clear,
            Value::String(text) => text,
            other => {
                self.wrong("displayLabel", &other, "expected a text or null");
                return Change::Keep;
            }
        };
        match label_problem(&text) {
            None => Change::Set(text),
            Some(problem) => {
                self.wrong("displayLabel", &Value::String(text), &problem);
                Change::Keep
            }
        }
    }

    fn unknown(&mut self, name: String, value: &Value) {
        self.wrong(&name, value, "not known here");
    }

    fn wrong(&mut self, name: &str, value: &Value, message: &str) {
        if self.wrong.len() < NAMED_MAX {
            let value = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let short = |text: &str| text.chars().take(VALUE_CHARACTERS_MAX).collect::<String>();
            let (name, value) = (short(name).into(), short(&value));
            self.wrong.push(InvalidField { name, value, message: message.to_owned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(body: &str) -> SettingsPatch {
        read(body.as_bytes(), false).unwrap()
    }

    fn refused(body: &str, is_of_terminal: bool) -> Value {
        let error = read(body.as_bytes(), is_of_terminal).unwrap_err();
        serde_json::to_value(Problem::from(error)).unwrap()
    }

    #[test]
    fn what_is_left_out_stays_and_what_is_null_or_empty_is_reset() {
        assert_eq!(patch("{}"), SettingsPatch::default());
        let set = patch(
            r#"{"connectivity":{"webSocketsEnabled":false},"displayLabel":"Till 4","terminalManagement":{"v1Booleans":"booleans"}}"#,
        );
        let expected = SettingsPatch {
            web_sockets_enabled: Change::Set(false),
            terminal_api_enabled: Change::Keep,
            v1_booleans: Change::Set(V1Booleans::Booleans),
            display_label: Change::Set("Till 4".to_owned()),
        };
        assert_eq!(set, expected);
        let cleared = SettingsPatch {
            web_sockets_enabled: Change::Clear,
            terminal_api_enabled: Change::Clear,
            v1_booleans: Change::Clear,
            display_label: Change::Clear,
        };
        assert_eq!(patch(r#"{"connectivity":{},"displayLabel":null,"terminalManagement":{}}"#), cleared);
        assert_eq!(patch(r#"{"connectivity":null,"displayLabel":null,"terminalManagement":null}"#), cleared);
        let one = SettingsPatch { terminal_api_enabled: Change::Clear, ..SettingsPatch::default() };
        assert_eq!(patch(r#"{"connectivity":{"terminalApiEnabled":null}}"#), one);
    }

    #[test]
    fn every_member_that_is_not_known_or_can_not_be_is_named() {
        let problem = refused(
            r#"{"connectivity":{"webSocketsEnabled":"true","simcardStatus":"ACTIVE"},"passcodes":{},"displayLabel":""}"#,
            false,
        );
        assert_eq!(problem["status"], 422);
        let fields = problem["invalidFields"].as_array().unwrap();
        let mut names: Vec<_> = fields.iter().map(|field| field["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["connectivity.simcardStatus", "connectivity.webSocketsEnabled", "displayLabel", "passcodes"]
        );
        let of_terminal = refused(r#"{"terminalManagement":{"v1Booleans":"strings"}}"#, true);
        assert_eq!(of_terminal["invalidFields"][0]["name"], "terminalManagement");
        assert_eq!(refused("[]", false)["status"], 400);
        assert_eq!(refused("{", false)["status"], 400);
    }

    #[test]
    fn a_label_is_short_and_no_card_number() {
        assert_eq!(label_problem("Kasse 4 – Süd"), None);
        assert!(label_problem(&"x".repeat(65)).unwrap().contains("got 65"));
        assert!(label_problem("a\u{7}b").unwrap().contains("control"));
        assert!(label_problem("4111 1111 1111 1111").unwrap().contains("card number"));
    }
}
