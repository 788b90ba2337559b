//! The API's description is true: what is answered looks as it says, and what it calls valid is taken.
//!
//! Every answer below is checked member by member against the schema of its status; a member, a status or a keyword of
//! the schema that the check does not know fails it.

use serde_json::{Value, json};

use crate::desk::Desk;

const BASIC: &str = "[rest.auth]\ntype = \"basic\"\nuser = \"u\"\npassword = \"p\"\n"; // dTpw
const JSON: &str = "Content-Type: application/json\r\n";

async fn description(desk: &Desk) -> Value {
    let (status, _, body) = desk.call("GET", "/openapi.json", "", "").await;
    assert_eq!(status, 200);
    serde_json::from_str(&body).unwrap()
}

/// Says what in `value` is not as `schema` tells.
fn check(api: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let wrong = || Err(format!("expected {schema}, got {value}"));
    for (keyword, rule) in schema.as_object().ok_or("a schema")? {
        let is_kept = match keyword.as_str() {
            "$ref" => {
                let path = rule.as_str().and_then(|path| path.strip_prefix('#'));
                return check(
                    api,
                    api.pointer(path.ok_or("a path")?).ok_or("a schema")?,
                    value,
                );
            }
            "oneOf" => {
                let any = rule.as_array().ok_or("schemas")?;
                any.iter()
                    .filter(|one| check(api, one, value).is_ok())
                    .count()
                    == 1
            }
            "type" => match rule.as_str().ok_or("one type")? {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_u64() || value.is_i64(),
                other => return Err(format!("unknown type {other}")),
            },
            "required" => {
                let names = rule
                    .as_array()
                    .ok_or("names")?
                    .iter()
                    .filter_map(Value::as_str);
                names.into_iter().all(|name| value.get(name).is_some())
            }
            "properties" => {
                for (name, member) in value.as_object().ok_or("an object")? {
                    let schema = rule
                        .get(name)
                        .ok_or_else(|| format!("{name} is not described"))?;
                    check(api, schema, member)?;
                }
                true
            }
            "items" => {
                for item in value.as_array().ok_or("an array")? {
                    check(api, rule, item)?;
                }
                true
            }
            "minLength" => value.as_str().is_some_and(|text| !text.is_empty()),
            "maxLength" => value.as_str().is_some_and(|text| text.len() <= 64),
            "minItems" => value.as_array().is_some_and(|items| !items.is_empty()),
            "minimum" => value.as_i64().is_none_or(|number| number >= 0),
            "maximum" | "format" | "description" | "example" | "examples" => true,
            other => return Err(format!("unknown keyword {other}")),
        };
        if !is_kept {
            return wrong();
        }
    }
    Ok(())
}

/// Calls, and checks the answer against the description.
async fn call(
    desk: &Desk,
    api: &Value,
    (method, path): (&str, &str),
    fields: &str,
    body: &str,
) -> u16 {
    let (status, _, answer) = desk.call(method, path, fields, body).await;
    let name = path.split('?').next().unwrap();
    let operation = &api["paths"][name][method.to_ascii_lowercase()];
    let response = &operation["responses"][status.to_string()];
    assert!(
        response.is_object(),
        "{method} {path} {status} is not described"
    );
    let schema = &response["content"]["application/json"]["schema"];
    if schema.is_object() && path != "/stats" {
        let answer: Value = serde_json::from_str(&answer).unwrap();
        check(api, schema, &answer)
            .unwrap_or_else(|error| panic!("{method} {path} {status}: {error}"));
    }
    status
}

fn message(change: impl FnOnce(&mut Value)) -> String {
    let mut message = json!({"type": "text", "sender": 0, "recipients": [1], "text": "hi"});
    change(&mut message);
    message.to_string()
}

#[tokio::test]
async fn every_answer_looks_as_the_description_says() {
    let desk = Desk::start("[rest]\nbody_bytes_max = \"2K\"\n[mailbox]\nuser_messages_max = 4\n");
    let api = description(&desk).await;
    let fine = message(|_| {});
    let large = message(|message| message["text"] = "x".repeat(3000).into());
    let gzip = format!("{JSON}Content-Encoding: gzip\r\n");
    let key = format!("{JSON}Idempotency-Key: k\r\n");
    let send = ("POST", "/send-message");
    for (request, fields, body, expected) in [
        (("GET", "/stat?id=1"), "", "", 200),
        (("GET", "/stat"), "", "", 400),
        (("GET", "/check-online?id=a"), "", "", 200),
        (("GET", "/check-online?id="), "", "", 400),
        (("GET", "/stats"), "", "", 200),
        (("HEAD", "/status"), "", "", 200),
        (("GET", "/health"), "", "", 200),
        (("GET", "/metrics"), "", "", 200),
        (send, JSON, fine.as_str(), 202),
        (send, &key, &fine, 202),
        (send, &key, "{}", 422),
        (send, JSON, "{", 400),
        (send, "", &fine, 400),
        (send, JSON, &large, 413),
        (send, &gzip, &fine, 415),
        (
            send,
            JSON,
            &message(|it| it["recipients"] = json!([1, "two"])),
            202,
        ),
        (send, JSON, &fine, 202),
        (
            send,
            JSON,
            &message(|it| it["recipients"] = json!([1, "two"])),
            202,
        ),
        (send, JSON, &fine, 429),
        (("DELETE", "/messages?user=1"), "", "", 200),
        (("DELETE", "/messages"), "", "", 400),
    ] {
        let status = call(&desk, &api, request, fields, body).await;
        assert_eq!(status, expected, "{request:?} {body}");
    }
    let guarded = Desk::start(BASIC);
    for request in [
        ("GET", "/stats"),
        ("GET", "/stat?id=1"),
        send,
        ("DELETE", "/messages?user=1"),
    ] {
        assert_eq!(
            call(&guarded, &api, request, "", "").await,
            401,
            "{request:?}"
        );
    }
}

/// And what it does not is refused.
#[tokio::test]
async fn what_the_description_calls_a_message_is_taken() {
    let desk = Desk::start("");
    let api = description(&desk).await;
    let schema = json!({"$ref": "#/components/schemas/Payload"});
    for (body, is_message) in [
        (message(|_| {}), true),
        (message(|it| it["data"] = Value::Null), true),
        (message(|it| it["data"] = json!([1, "a"])), true),
        (message(|it| it["data"] = json!("text")), true),
        (message(|it| it["sender"] = json!("anna")), true),
        (message(|it| it["sender"] = json!(u64::MAX)), true),
        (message(|it| it["timestamp"] = json!("now")), true),
        (
            message(|it| *it = json!({"type": "t", "sender": 0, "recipients": [1]})),
            true,
        ),
        (message(|it| it["recipients"] = json!([])), false),
        (message(|it| it["recipients"] = json!([-1])), false),
        (message(|it| it["sender"] = json!("")), false),
        (message(|it| it["type"] = json!(1)), false),
        (message(|it| it["type"] = json!("x".repeat(65))), false),
        (message(|it| it["text"] = json!(1)), false),
        (
            message(|it| *it = json!({"sender": 0, "recipients": [1]})),
            false,
        ),
    ] {
        let value: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(check(&api, &schema, &value).is_ok(), is_message, "{body}");
        let (status, _, answer) = desk.call("POST", "/send-message", JSON, &body).await;
        assert_eq!(status == 202, is_message, "{body}: {answer}");
    }
}

#[tokio::test]
async fn samples_of_errors_are_errors() {
    let desk = Desk::start("");
    let api = description(&desk).await;
    let mut count = 0;
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let content = &response["content"]["application/json"];
                let sample = &content["example"];
                if sample.is_null() {
                    continue;
                }
                count += 1;
                assert_eq!(sample["success"], false, "{method} {path} {status}");
                assert_eq!(sample["status"].to_string(), *status, "{method} {path}");
                check(&api, &content["schema"], sample).unwrap();
            }
        }
    }
    assert!(count >= 15, "{count} samples");
}
