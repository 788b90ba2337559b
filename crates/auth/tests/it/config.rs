//! What is accepted and refused in a configuration.

use tidewire_auth::{AuthConfig, AuthRule, Lookup, LookupError, MEMBERS_MAX, NoLookup, Secret};

use crate::{authenticator, config, resolve};

#[test]
fn type_names_are_read_in_any_case() {
    for name in ["noauth", "NoAuth", "NOAUTH"] {
        assert_eq!(
            config(&format!(r#"{{"type":"{name}"}}"#)),
            AuthConfig::NoAuth
        );
    }
    for name in ["oneOf", "oneof", "ONEOF"] {
        let json = format!(r#"{{"type":"{name}","types":[{{"type":"Bearer","value":"x"}}]}}"#);
        assert!(matches!(config(&json), AuthConfig::OneOf { .. }), "{json}");
    }
}

#[test]
fn the_password_of_basic_may_be_called_value() {
    let expected = config(r#"{"type":"basic","user":"u","password":"p"}"#);
    assert_eq!(
        config(r#"{"type":"basic","user":"u","value":"p"}"#),
        expected
    );
}

#[test]
fn an_unknown_type_is_an_error_that_names_it_with_the_allowed_ones() {
    for name in ["jws", "", "none", "basic ", "one_of"] {
        let json = format!(r#"{{"type":"{name}"}}"#);
        let error = serde_json::from_str::<AuthConfig>(&json)
            .expect_err(name)
            .to_string();
        assert!(error.contains(&format!("`{name}`")), "{error}");
        for allowed in AuthConfig::TYPES {
            assert!(error.contains(allowed), "{error} lacks {allowed}");
        }
    }
}

#[test]
fn malformed_tables_are_errors() {
    for json in [
        "{}",
        "null",
        "7",
        r#""noauth""#,
        "[]",
        r#"{"type":null}"#,
        r#"{"type":1}"#,
        r#"{"type":["basic"]}"#,
        r#"{"type":"noauth","value":"x"}"#,
        r#"{"type":"noauth","extra":1}"#,
        r#"{"type":"basic"}"#,
        r#"{"type":"basic","user":"u"}"#,
        r#"{"type":"basic","password":"p"}"#,
        r#"{"type":"basic","user":"u","password":"p","value":"p"}"#,
        r#"{"type":"basic","user":"u","password":"p","name":"n"}"#,
        r#"{"type":"basic","user":"u","password":7}"#,
        r#"{"type":"basic","user":7,"password":"p"}"#,
        r#"{"type":"basic","user":"u","password":"p","Password":"q"}"#,
        r#"{"type":"bearer"}"#,
        r#"{"type":"bearer","password":"p"}"#,
        r#"{"type":"bearer","value":true}"#,
        r#"{"type":"bearer","value":["x"]}"#,
        r#"{"type":"bearer","value":"x","value":"y"}"#,
        r#"{"type":"header","value":"x"}"#,
        r#"{"type":"header","name":"x"}"#,
        r#"{"type":"cookie","name":"x"}"#,
        r#"{"type":"cookie","value":"x"}"#,
        r#"{"type":"oneOf"}"#,
        r#"{"type":"oneOf","types":{}}"#,
        r#"{"type":"oneOf","types":["noauth"]}"#,
        r#"{"type":"oneOf","types":[{"type":"remote"}]}"#,
        r#"{"type":"allOf","types":[{"type":"noauth"}],"value":"x"}"#,
    ] {
        assert!(
            serde_json::from_str::<AuthConfig>(json).is_err(),
            "accepted {json}"
        );
    }
}

/// Asserts that resolving is refused at `path` by a rule that `is_expected`.
fn check_refused(json: &str, path: &str, is_expected: fn(&AuthRule) -> bool) {
    let error = resolve(json).expect_err(json);
    assert_eq!(error.path, path, "{json}: {error}");
    assert!(is_expected(&error.rule), "{json}: {error}");
}

#[test]
fn empty_texts_are_refused() {
    let is_empty = |rule: &AuthRule| matches!(rule, AuthRule::Empty);
    for (json, path) in [
        (r#"{"type":"basic","user":"","password":"p"}"#, "user"),
        (r#"{"type":"basic","user":"u","password":""}"#, "password"),
        (r#"{"type":"bearer","value":""}"#, "value"),
        (r#"{"type":"header","name":"","value":"x"}"#, "name"),
        (r#"{"type":"header","name":"n","value":""}"#, "value"),
        (r#"{"type":"cookie","name":"n","value":""}"#, "value"),
        (
            r#"{"type":"oneOf","types":[{"type":"noauth"},{"type":"bearer","value":""}]}"#,
            "types[1].value",
        ),
    ] {
        check_refused(json, path, is_empty);
    }
}

#[test]
fn texts_that_no_client_can_send_are_refused() {
    let is_unsendable = |rule: &AuthRule| matches!(rule, AuthRule::Unsendable { .. });
    for (json, path) in [
        (r#"{"type":"basic","user":"a:b","password":"p"}"#, "user"),
        (
            r#"{"type":"basic","user":"u","password":"p\n"}"#,
            "password",
        ),
        (r#"{"type":"bearer","value":"Bearer x"}"#, "value"),
        (r#"{"type":"bearer","value":"ü"}"#, "value"),
        (r#"{"type":"header","name":"a b","value":"x"}"#, "name"),
        (r#"{"type":"header","name":"n","value":" x"}"#, "value"),
        (r#"{"type":"header","name":"n","value":"x\r\ny"}"#, "value"),
        (r#"{"type":"cookie","name":"n=","value":"x"}"#, "name"),
        (r#"{"type":"cookie","name":"n","value":"x;y"}"#, "value"),
        (r#"{"type":"cookie","name":"n","value":"x "}"#, "value"),
    ] {
        check_refused(json, path, is_unsendable);
    }
}

#[test]
fn a_text_of_the_longest_length_is_accepted_and_one_more_byte_refused() {
    let bearer = |length: usize| format!(r#"{{"type":"bearer","value":"{}"}}"#, "x".repeat(length));
    authenticator(&bearer(8192));
    check_refused(&bearer(8193), "value", |rule| {
        matches!(rule, AuthRule::TooLong)
    });
}

#[test]
fn empty_lists_are_refused() {
    let is_empty = |rule: &AuthRule| matches!(rule, AuthRule::NoMembers);
    check_refused(r#"{"type":"oneOf","types":[]}"#, "types", is_empty);
    check_refused(r#"{"type":"allOf","types":[]}"#, "types", is_empty);
    check_refused(
        r#"{"type":"oneOf","types":[{"type":"allOf","types":[]}]}"#,
        "types[0].types",
        is_empty,
    );
}

#[test]
fn nesting_ends_at_the_fourth_level() {
    let nested = |levels: usize| {
        let open = r#"{"type":"oneOf","types":["#.repeat(levels - 1);
        let close = "]}".repeat(levels - 1);
        format!(r#"{open}{{"type":"bearer","value":"x"}}{close}"#)
    };
    authenticator(&nested(4));
    check_refused(&nested(5), "types[0].types[0].types[0].types[0]", |rule| {
        matches!(rule, AuthRule::TooDeep)
    });
}

#[test]
fn members_are_counted_over_all_lists() {
    let list = |count: usize| {
        let member = r#"{"type":"bearer","value":"x"}"#;
        format!(
            r#"{{"type":"oneOf","types":[{}]}}"#,
            vec![member; count].join(",")
        )
    };
    let is_too_many = |rule: &AuthRule| matches!(rule, AuthRule::TooManyMembers);
    authenticator(&list(MEMBERS_MAX));
    check_refused(&list(MEMBERS_MAX + 1), "types", is_too_many);
    let nested = format!(
        r#"{{"type":"allOf","types":[{},{}]}}"#,
        list(MEMBERS_MAX / 2),
        list(MEMBERS_MAX / 2)
    );
    check_refused(&nested, "types[1].types", is_too_many);
}

/// One variable and one file.
struct Fixture;

impl Lookup for Fixture {
    fn env(&self, name: &str) -> Result<Secret, LookupError> {
        match name {
            "TOKEN" => Ok(Secret::from("from-env")),
            "EMPTY" => Ok(Secret::from("")),
            "TRICKY" => Ok(Secret::from("${env:TOKEN}")),
            _ => Err(LookupError::NotSet),
        }
    }

    fn file(&self, path: &str) -> Result<Secret, LookupError> {
        match path {
            "/run/token" => Ok(Secret::from("from-file\n")),
            "/run/dos" => Ok(Secret::from("from-file\r\n")),
            "/run/blank" => Ok(Secret::from("\n")),
            "/run/lines" => Ok(Secret::from("a\nb\n")),
            _ => Err(LookupError::Unreadable {
                reason: "no such file".into(),
            }),
        }
    }
}

fn bearer(value: &str) -> AuthConfig {
    AuthConfig::Bearer {
        value: Secret::from(value),
        query: None,
    }
}

#[test]
fn references_are_replaced_by_what_they_point_to() {
    for (reference, token) in [
        ("${env:TOKEN}", "from-env"),
        ("${file:/run/token}", "from-file"),
        ("${file:/run/dos}", "from-file"),
        ("${env:TRICKY}", "${env:TOKEN}"),
        ("plain", "plain"),
        ("$plain{}", "$plain{}"),
    ] {
        let authenticator = bearer(reference).resolve(&Fixture).expect(reference);
        let request = [("authorization", format!("Bearer {token}"))];
        assert_eq!(
            authenticator.check(&request).map(drop),
            Ok(()),
            "{reference}"
        );
        let literal = [("authorization", format!("Bearer {reference}"))];
        assert_eq!(
            authenticator.check(&literal).is_ok(),
            reference == token,
            "{reference}"
        );
    }
}

#[test]
fn user_names_may_be_references() {
    let config = AuthConfig::Basic {
        user: "${env:TOKEN}".into(),
        password: Secret::from("p"),
    };
    let authenticator = config.resolve(&Fixture).expect("resolves");
    let request = [("authorization", "Basic ZnJvbS1lbnY6cA==")];
    assert_eq!(authenticator.check(&request).map(drop), Ok(()));
}

#[test]
fn references_that_lead_nowhere_are_errors_that_name_them() {
    for (reference, word) in [
        ("${env:NOPE}", "${env:NOPE}"),
        ("${env:NOPE}", "not set"),
        ("${file:/nope}", "no such file"),
        ("${env:EMPTY}", "is empty"),
        ("${file:/run/blank}", "is empty"),
        ("${file:/run/lines}", "cannot be sent"),
        ("${file:relative}", "not a reference"),
        ("${env:}", "not a reference"),
        ("${vault:x}", "not a reference"),
        ("${env:TOKEN", "not a reference"),
        ("x${env:TOKEN}", "not a reference"),
        ("${env:TOKEN}x", "not a reference"),
        ("${env:A}${env:B}", "not a reference"),
        ("${TOKEN}", "not a reference"),
        ("${}", "not a reference"),
    ] {
        let error = bearer(reference)
            .resolve(&Fixture)
            .expect_err(reference)
            .to_string();
        assert!(error.contains(word), "{reference}: {error}");
        assert!(error.starts_with("value: "), "{reference}: {error}");
    }
    assert!(bearer("${env:TOKEN}").resolve(&NoLookup).is_err());
}

#[test]
fn inline_secrets_are_noticed() {
    assert!(!AuthConfig::NoAuth.has_inline_secret());
    assert!(bearer("x").has_inline_secret());
    assert!(!bearer("${env:X}").has_inline_secret());
    let types = vec![bearer("${env:X}"), bearer("x")];
    assert!(AuthConfig::AllOf { types }.has_inline_secret());
}
