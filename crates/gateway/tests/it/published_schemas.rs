//! Answers against the schemas that the APIs' publisher gives out. The project keeps no copy: the tests read them from the
//! folder that `TILLGATE_OPENAPI_DIR` names, and check nothing without it.

use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::Value;

/// Checks that `value` is what the schema of this name says.
#[track_caller]
pub(crate) fn assert_fits(file: &str, schema: &str, value: &Value) {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = std::env::var_os("TILLGATE_OPENAPI_DIR").map(PathBuf::from);
        if folder.is_none() {
            eprintln!(
                "TILLGATE_OPENAPI_DIR is not set: answers are not checked against the published schemas"
            );
        }
        folder
    });
    let Some(folder) = folder else { return };
    let path = folder.join(format!("{file}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let document: Value = serde_json::from_str(&text).unwrap();
    let schemas = &document["components"]["schemas"];
    check(schemas, &schemas[schema], value, schema);
}

/// The parts of JSON Schema that these documents use for what we answer. An unknown type fails.
#[track_caller]
fn check(schemas: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return check(schemas, &schemas[name], value, at);
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value} is none of {words:?}");
    }
    match schema["type"].as_str().unwrap_or_else(|| panic!("{at}: a schema without a type: {schema}")) {
        "string" => assert!(value.is_string(), "{at}: expected a text, got {value}"),
        "integer" => assert!(value.is_i64() || value.is_u64(), "{at}: expected an integer, got {value}"),
        "number" => assert!(value.is_number(), "{at}: expected a number, got {value}"),
        "boolean" => assert!(value.is_boolean(), "{at}: expected a boolean, got {value}"),
        "array" => {
            let items = value.as_array().unwrap_or_else(|| panic!("{at}: expected an array, got {value}"));
            for (n, item) in items.iter().enumerate() {
                check(schemas, &schema["items"], item, &format!("{at}[{n}]"));
            }
        }
        "object" => {
            let members =
                value.as_object().unwrap_or_else(|| panic!("{at}: expected an object, got {value}"));
            for name in schema["required"].as_array().into_iter().flatten() {
                assert!(members.contains_key(name.as_str().unwrap()), "{at}: {name} is missing");
            }
            for (name, value) in members {
                let known = &schema["properties"][name];
                assert!(!known.is_null(), "{at}: {name} is not in the schema");
                check(schemas, known, value, &format!("{at}.{name}"));
            }
        }
        other => panic!("{at}: unknown type {other}"),
    }
}
