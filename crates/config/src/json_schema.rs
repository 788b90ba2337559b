//! Descriptions → a JSON schema, with which editors complete and check a file.

use serde_json::{Map, Value, json};
use tidewire_auth::AuthConfig;
use tidewire_table::{Description, Key, Shape};

use crate::template::{AUTH, documentation};

/// Writes the schema of a file (draft 2020-12).
///
/// # Panics
/// When a default is not what its key takes, which a test of every program finds.
pub fn json_schema(description: &Description, title: &str) -> String {
    let mut schema = object(description);
    schema.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    schema.insert("title".to_owned(), json!(title));
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is made of texts");
    text.push('\n');
    text
}

fn object(description: &Description) -> Map<String, Value> {
    let properties: Map<String, Value> = description
        .keys
        .iter()
        .map(|key| (key.name.to_owned(), Value::Object(property(key))))
        .collect();
    let mut schema = map(json!({
        "type": "object",
        "additionalProperties": false,
    }));
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema
}

fn property(key: &Key) -> Map<String, Value> {
    let mut schema = match &key.shape {
        Shape::Boolean => map(json!({"type": "boolean"})),
        Shape::Number => number(key),
        Shape::Size => map(json!({
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": "^[0-9]+([KMG](iB)?)?$",
        })),
        Shape::Duration => map(json!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$"})),
        Shape::Text => map(json!({"type": "string"})),
        Shape::List => map(json!({"type": "array", "items": {"type": "string"}})),
        Shape::Numbers => map(json!({"type": "array", "items": {"type": "integer"}})),
        Shape::Words(words) => map(json!({"enum": words})),
        Shape::Mixed(schema) => map(parsed(schema)),
        Shape::MixedList(item) => map(json!({"type": "array", "items": parsed(item)})),
        Shape::Auth => auth(),
        Shape::Texts => map(json!({"type": "object", "additionalProperties": {"type": "string"}})),
        Shape::Table(description, _) => object(description),
        Shape::Tables(description) => map(json!({"type": "array", "items": object(description)})),
        Shape::Named(description) => {
            map(json!({"type": "object", "additionalProperties": object(description)}))
        }
    };
    let description = documentation(key).join("\n\n");
    if !description.is_empty() {
        schema.insert("description".to_owned(), json!(description));
    }
    if let Some(default) = &key.default {
        schema.insert("default".to_owned(), parsed(default));
    }
    schema
}

fn number(key: &Key) -> Map<String, Value> {
    let mut schema = map(json!({"type": "integer", "minimum": 0}));
    if let Some((least, most)) = &key.range {
        schema.insert("minimum".to_owned(), parsed(least));
        schema.insert("maximum".to_owned(), parsed(most));
    }
    schema
}

fn auth() -> Map<String, Value> {
    map(json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["type"],
        "properties": {
            "type": {"enum": AuthConfig::TYPES, "description": AUTH},
            "user": {"type": "string"},
            "password": {"type": "string"},
            "name": {"type": "string"},
            "value": {"type": "string"},
            "query": {"type": "string"},
            "types": {"type": "array", "items": {"type": "object"}},
            "algorithms": {"type": "array", "items": {"enum": [
                "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
                "ES256", "ES384", "EdDSA", "Ed25519"]}},
            "secret": {"type": "string"},
            "public_key": {"type": "string"},
            "jwks": {"type": "string"},
            "ca": {"type": "string"},
            "issuer": {"type": "string"},
            "audience": {"type": ["string", "array"], "items": {"type": "string"}},
            "leeway": {"type": "string"},
            "user_claim": {"type": "string"},
            "device_claim": {"type": "string"},
            "grants_claim": {"type": "string"},
            "cookie": {"type": "string"},
            "first_message": {"type": "boolean"},
            "source": {"type": "object", "required": ["type"], "properties": {
                "type": {"enum": ["bearer", "basic", "header", "cookie"]},
                "name": {"type": "string"},
                "query": {"type": "string"},
            }},
            "url": {"type": "string"},
            "method": {"type": "string"},
            "headers": {"type": "array", "items": {"type": "object"}},
            "data": {"type": ["string", "object"]},
            "timeout": {"type": "string"},
            "cache_ttl": {"type": "string"},
            "denied_ttl": {"type": "string"},
            "cache_entries_max": {"type": "integer", "minimum": 0},
            "requests_max": {"type": "integer", "minimum": 1},
            "binds_user": {"type": "boolean"},
            "danger_allow_http": {"type": "boolean"},
            "prefix": {"type": "string"},
            "suffix": {"type": "string"},
        },
    }))
}

/// The values of our keys are written alike in TOML and JSON.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("a value as JSON: a test writes all schemas")
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}
