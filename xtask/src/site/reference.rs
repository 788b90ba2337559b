//! The description of the REST API (`OpenAPI`) as a chapter: every operation with its parameters, body and answers, then
//! the types they are made of.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::{Map, Value};

/// The chapter's text for this description.
pub(super) fn write(description: &Value) -> anyhow::Result<String> {
    let mut text = String::from(
        "## Operations\n\nMade from the description that the server itself gives at `/openapi.json`.\n\n",
    );
    let paths = description["paths"].as_object().context("no `paths`")?;
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().context("no operations")? {
            if let Some(operation) = operation.as_object() {
                self::operation(&mut text, method, path, operation)?;
            }
        }
    }
    text.push_str("## Types\n\n");
    let schemas = description["components"]["schemas"].as_object();
    for (name, schema) in schemas.context("no `schemas`")? {
        writeln!(text, "### {name}\n")?;
        paragraph(&mut text, &schema["description"])?;
        fields(&mut text, schema)?;
    }
    Ok(text)
}

fn operation(
    text: &mut String,
    method: &str,
    path: &str,
    operation: &Map<String, Value>,
) -> anyhow::Result<()> {
    writeln!(text, "### {} {path}\n", method.to_uppercase())?;
    for part in ["summary", "description"] {
        paragraph(text, operation.get(part).unwrap_or(&Value::Null))?;
    }
    if let Some(parameters) = operation.get("parameters").and_then(Value::as_array) {
        text.push_str("| parameter | in | type | meaning |\n|---|---|---|---|\n");
        for one in parameters {
            let name = one["name"].as_str().unwrap_or_default();
            let needed = if one["required"] == true {
                ", required"
            } else {
                ""
            };
            writeln!(
                text,
                "| `{name}` | {}{needed} | {} | {} |",
                one["in"].as_str().unwrap_or_default(),
                kind(&one["schema"]),
                cell(&one["description"])
            )?;
        }
        text.push('\n');
    }
    if let Some(body) = operation.get("requestBody") {
        writeln!(text, "Body: {}\n", content(body))?;
    }
    text.push_str("| answer | meaning | body |\n|---|---|---|\n");
    let answers = operation.get("responses").and_then(Value::as_object);
    for (status, answer) in answers.into_iter().flatten() {
        writeln!(
            text,
            "| {status} | {} | {} |",
            cell(&answer["description"]),
            content(answer)
        )?;
    }
    text.push('\n');
    Ok(())
}

/// The types of a body, each with its media type where that is not JSON.
fn content(of: &Value) -> String {
    let kinds = of["content"].as_object().into_iter().flatten();
    let kinds: Vec<String> = kinds
        .map(|(media, content)| match media.as_str() {
            "application/json" => kind(&content["schema"]),
            other => format!("`{other}`"),
        })
        .collect();
    kinds.join(", ")
}

fn fields(text: &mut String, schema: &Value) -> anyhow::Result<()> {
    let Some(properties) = schema["properties"].as_object() else {
        let kind = kind(schema);
        if !kind.is_empty() {
            writeln!(text, "{kind}\n")?;
        }
        return Ok(());
    };
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    text.push_str("| member | type | meaning |\n|---|---|---|\n");
    for (name, property) in properties {
        let needed = if required.contains(&name.as_str()) {
            ""
        } else {
            ", optional"
        };
        writeln!(
            text,
            "| `{name}` | {}{needed} | {} |",
            kind(property),
            cell(&property["description"])
        )?;
    }
    text.push('\n');
    Ok(())
}

/// A schema in a word or two, with a link where it is a type with a name.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|path| path.rsplit('/').next())
    {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    for choice in ["oneOf", "anyOf", "allOf"] {
        if let Some(kinds) = schema[choice].as_array() {
            let kinds: Vec<String> = kinds.iter().map(kind).filter(|it| !it.is_empty()).collect();
            return kinds.join(" or ");
        }
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("array of {}", kind(&schema["items"])),
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            names.join(" or ")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

fn paragraph(text: &mut String, value: &Value) -> anyhow::Result<()> {
    if let Some(words) = value.as_str().filter(|words| !words.is_empty()) {
        writeln!(text, "{words}\n")?;
    }
    Ok(())
}

/// Text for a cell of a table: in one line, without what would end the cell.
fn cell(value: &Value) -> String {
    let words = value.as_str().unwrap_or_default();
    words.replace('\n', " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operations_and_types_become_sections() {
        let description = json!({
            "paths": {"/stat": {"get": {
                "summary": "Statistics.",
                "parameters": [{"name": "id", "in": "query", "required": true, "schema": {"type": "string"}, "description": "a|b"}],
                "responses": {"200": {"description": "here", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Stat"}}}}}
            }}},
            "components": {"schemas": {"Stat": {"properties": {"ids": {"type": "array", "items": {"type": ["string", "null"]}}}}}}
        });
        let text = write(&description).expect("a description");
        for line in [
            "### GET /stat\n",
            "| `id` | query, required | string | a\\|b |\n",
            "| 200 | here | [Stat](#stat) |\n",
            "| `ids` | array of string or null, optional |  |\n",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
        assert!(write(&json!({})).is_err());
    }
}
