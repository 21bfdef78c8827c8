//! Answers against the schemas that the APIs' publisher gives out. The project keeps no copy: the tests read them from the
//! folder that `TILLGATE_OPENAPI_DIR` names, and check nothing without it.

use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::Value;

/// Checks that `value` is what the schema of this name says.
#[track_caller]
pub(crate) fn assert_fits(file: &str, schema: &str, value: &Value) {
    assert_fits_with(Booleans::Real, file, schema, value);
}

/// The same where booleans are `"true"` and `"false"`, which the schema does not say.
#[track_caller]
pub(crate) fn assert_fits_with_texts(file: &str, schema: &str, value: &Value) {
    assert_fits_with(Booleans::Texts, file, schema, value);
}

#[derive(Clone, Copy)]
enum Booleans {
    Real,
    Texts,
}

#[track_caller]
fn assert_fits_with(booleans: Booleans, file: &str, schema: &str, value: &Value) {
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
    check(booleans, schemas, &schemas[schema], value, schema);
}

/// The parts of JSON Schema that these documents use for what we answer. An unknown type fails.
#[track_caller]
fn check(booleans: Booleans, schemas: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return check(booleans, schemas, &schemas[name], value, at);
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value} is none of {words:?}");
    }
    match schema["type"].as_str().unwrap_or_else(|| panic!("{at}: a schema without a type: {schema}")) {
        "string" => assert!(value.is_string(), "{at}: expected a text, got {value}"),
        "integer" => assert!(value.is_i64() || value.is_u64(), "{at}: expected an integer, got {value}"),
        "number" => assert!(value.is_number(), "{at}: expected a number, got {value}"),
        "boolean" if matches!(booleans, Booleans::Texts) => {
            assert!(*value == "true" || *value == "false", "{at}: expected a text, got {value}");
        }
        "boolean" => assert!(value.is_boolean(), "{at}: expected a boolean, got {value}"),
        "array" => {
            let items = value.as_array().unwrap_or_else(|| panic!("{at}: expected an array, got {value}"));
            for (n, item) in items.iter().enumerate() {
                check(booleans, schemas, &schema["items"], item, &format!("{at}[{n}]"));
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
                let known = if known.is_null() { &schema["additionalProperties"] } else { known };
                assert!(known.is_object(), "{at}: {name} is not in the schema");
                check(booleans, schemas, known, value, &format!("{at}.{name}"));
            }
        }
        other => panic!("{at}: unknown type {other}"),
    }
}
