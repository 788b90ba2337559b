//! What must never be printed: a canary in every secret slot, looked for in every text.

use tidewire_auth::{AuthConfig, Lookup, LookupError, NoLookup, Secret};

use crate::{authenticator, config};

const CANARY: &str = "canary-4711";

const EVERY_KIND: &str = r#"{"type":"oneOf","types":[
    {"type":"basic","user":"u","password":"canary-4711"},
    {"type":"bearer","value":"canary-4711"},
    {"type":"header","name":"n","value":"canary-4711"},
    {"type":"jwt","algorithms":["HS256"],"secret":"canary-4711 canary-4711 canary-4711"},
    {"type":"remote","source":{"type":"bearer"},"url":"https://a.example/canary-4711?k=canary-4711",
        "headers":[{"X-Key":"canary-4711"}],"data":{"k":"canary-4711"}},
    {"type":"remote","source":{"type":"bearer"},"url":"https://a.example","data":"canary-4711"},
    {"type":"allOf","types":[{"type":"cookie","name":"n","value":"canary-4711"}]}]}"#;

#[test]
fn debug_of_config_shows_no_secret() {
    let text = format!("{0:?} {0:#?}", config(EVERY_KIND));
    assert!(!text.contains(CANARY), "{text}");
    assert!(text.contains("Secret(…)"), "{text}");
}

#[test]
fn debug_of_authenticator_shows_no_secret() {
    let text = format!("{0:?} {0:#?}", authenticator(EVERY_KIND));
    assert!(!text.contains(CANARY), "{text}");
}

#[test]
fn errors_of_reading_show_no_secret() {
    for json in [
        r#"{"type":"noauth","value":"canary-4711"}"#,
        r#"{"type":"basic","password":"canary-4711"}"#,
        r#"{"type":"basic","user":"u","password":"canary-4711","value":"canary-4711"}"#,
        r#"{"type":"bearer","value":"canary-4711","typo":"canary-4711"}"#,
        r#"{"type":"remote","value":"canary-4711"}"#,
        r#"{"type":"remote","source":{"type":"canary-4711"},"url":"canary-4711"}"#,
        r#"{"type":"remote","source":"canary-4711","url":"canary-4711"}"#,
        r#"{"type":"remote","source":{"type":"basic"},"url":"u","headers":"canary-4711"}"#,
        r#"{"type":"remote","source":{"type":"basic"},"url":"u","data":["canary-4711"]}"#,
        r#"{"type":"jwt","secret":"canary-4711"}"#,
        r#"{"type":"jwt","algorithms":["HS256"],"secret":["canary-4711"]}"#,
        r#"{"type":"jwt","algorithms":["HS256"],"secret":"canary-4711","value":"canary-4711"}"#,
        r#"{"type":"certificate","name":"canary-4711"}"#,
    ] {
        let error = serde_json::from_str::<AuthConfig>(json).expect_err(json);
        let text = format!("{error} {error:?}");
        assert!(!text.contains(CANARY), "{text}");
    }
}

#[test]
fn a_number_in_place_of_a_secret_is_not_repeated() {
    for value in ["471147114711", "-471147114711", "4711.4711", "1e4711"] {
        let json = format!(r#"{{"type":"bearer","value":{value}}}"#);
        let error = serde_json::from_str::<AuthConfig>(&json).expect_err(&json);
        assert!(!error.to_string().contains("4711"), "{error}");
    }
}

/// Answers every reference with a text that no client can send.
struct Unsendable;

impl Lookup for Unsendable {
    fn env(&self, _: &str) -> Result<Secret, LookupError> {
        Ok(Secret::new(format!("{CANARY}\u{1}")))
    }

    fn file(&self, _: &str) -> Result<Secret, LookupError> {
        Ok(Secret::new(format!("{CANARY}\u{1}")))
    }
}

#[test]
fn errors_of_resolving_show_no_secret() {
    for value in [
        "canary-4711 ",
        "${canary-4711",
        "x${canary-4711}",
        "${env:A}",
        "${file:/a}",
    ] {
        let bearer = AuthConfig::Bearer {
            value: Secret::from(value),
            query: None,
        };
        let error = bearer.resolve(&Unsendable).expect_err(value);
        let text = format!("{error} {error:?}");
        assert!(!text.contains(CANARY), "{text}");
    }
}

#[test]
fn errors_of_tokens_and_services_show_no_secret() {
    for json in [
        r#"{"type":"jwt","algorithms":["HS256"],"secret":"canary-4711"}"#,
        r#"{"type":"jwt","algorithms":["ES256"],"public_key":"canary-4711"}"#,
        r#"{"type":"jwt","algorithms":["ES256"],"public_key":"-----BEGIN PUBLIC KEY-----\ncanary4711\n-----END PUBLIC KEY-----"}"#,
        r#"{"type":"jwt","algorithms":["ES256"],"public_key":"{\"canary-4711\":1}"}"#,
        r#"{"type":"remote","source":{"type":"basic"},"url":"http://canary-4711/"}"#,
        r#"{"type":"remote","source":{"type":"basic"},"url":"https://canary-4711@a/"}"#,
        r#"{"type":"remote","source":{"type":"basic"},"url":"https://a","headers":[{"a":"canary-4711\n"}]}"#,
        r#"{"type":"remote","source":{"type":"basic"},"url":"https://a","data":"${canary-4711"}"#,
        r#"{"type":"remote","source":{"type":"basic"},"url":"https://a","timeout":"canary-4711"}"#,
    ] {
        let error = config(json).resolve(&NoLookup).expect_err(json);
        let text = format!("{error} {error:?}");
        assert!(!text.contains("canary"), "{text}");
    }
}

/// The credentials of a request may not show in what is said about it.
#[test]
fn denials_show_nothing_of_the_request() {
    let all = authenticator(EVERY_KIND);
    let fields = [
        (
            "authorization",
            "Bearer canary-9999.canary-9999.canary-9999",
        ),
        ("cookie", "n=canary-9999"),
    ];
    let denied = all.check(&fields).expect_err("nothing is right");
    assert!(!format!("{denied} {denied:?}").contains("canary"));
    let asked = format!("{:?}", all.inquiries(&fields));
    assert!(!asked.contains("canary"), "{asked}");
}
