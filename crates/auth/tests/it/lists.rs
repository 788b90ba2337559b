//! Truth tables of `oneOf` and `allOf`: every combination of passing and failing members.

use tidewire_auth::Denied;

use crate::authenticator;

/// Checks `kind` with `count` header members against all 2^count requests.
fn check_table(kind: &str, count: usize, expected: fn(u32, usize) -> bool) {
    let members: Vec<String> = (0..count)
        .map(|index| format!(r#"{{"type":"header","name":"x-{index}","value":"v{index}"}}"#))
        .collect();
    let authenticator = authenticator(&format!(
        r#"{{"type":"{kind}","types":[{}]}}"#,
        members.join(",")
    ));
    for right in 0..1_u32 << count {
        let headers: Vec<(String, String)> = (0..count)
            .map(|index| {
                let value = if right >> index & 1 == 1 { 'v' } else { 'w' };
                (format!("X-{index}"), format!("{value}{index}"))
            })
            .collect();
        let result = authenticator.check(&headers).map(drop);
        let wanted = if expected(right, count) {
            Ok(())
        } else {
            Err(Denied::Wrong)
        };
        assert_eq!(result, wanted, "{kind} of {count}: {right:b}");
    }
    assert_eq!(
        authenticator
            .check(&Vec::<(String, String)>::new())
            .map(drop),
        Err(Denied::Missing)
    );
}

#[test]
fn one_of_passes_when_any_member_passes() {
    for count in [1, 2, 3, 5] {
        check_table("oneOf", count, |right, _| right != 0);
    }
}

#[test]
fn all_of_passes_when_every_member_passes() {
    for count in [1, 2, 3, 5] {
        check_table("allOf", count, |right, count| {
            right.count_ones() as usize == count
        });
    }
}

#[test]
fn lists_within_lists_follow_the_same_tables() {
    let authenticator = authenticator(
        r#"{"type":"oneOf","types":[
            {"type":"allOf","types":[
                {"type":"header","name":"a","value":"1"},
                {"type":"header","name":"b","value":"1"}]},
            {"type":"header","name":"c","value":"1"}]}"#,
    );
    for right in 0..8_u32 {
        let value = |bit: u32| if right >> bit & 1 == 1 { "1" } else { "0" };
        let headers = [("a", value(0)), ("b", value(1)), ("c", value(2))];
        let expected = right & 0b11 == 0b11 || right & 0b100 != 0;
        assert_eq!(
            authenticator.check(&headers).is_ok(),
            expected,
            "{right:03b}"
        );
    }
}

#[test]
fn browsers_and_programs_can_be_mixed() {
    let authenticator = authenticator(
        r#"{"type":"oneOf","types":[
            {"type":"basic","user":"u","password":"p"},
            {"type":"bearer","value":"t"},
            {"type":"cookie","name":"c","value":"v"}]}"#,
    );
    for request in [
        ("Authorization", "Basic dTpw"),
        ("Authorization", "Bearer t"),
        ("Cookie", "c=v"),
    ] {
        assert_eq!(
            authenticator.check(&[request]).map(drop),
            Ok(()),
            "{request:?}"
        );
    }
}

/// Checks the three properties a server asks for before it starts.
fn check_properties(json: &str, is_open: bool, ambient: bool, challenges: bool) {
    let authenticator = authenticator(json);
    assert_eq!(authenticator.is_open(), is_open, "{json}");
    assert_eq!(authenticator.uses_ambient_credentials(), ambient, "{json}");
    assert_eq!(authenticator.challenge().is_some(), challenges, "{json}");
    let nothing = Vec::<(String, String)>::new();
    assert_eq!(authenticator.check(&nothing).is_ok(), is_open, "{json}");
}

#[test]
fn openness_and_ambient_credentials_are_seen_through_lists() {
    const BASIC: &str = r#"{"type":"basic","user":"u","password":"p"}"#;
    const BEARER: &str = r#"{"type":"bearer","value":"t"}"#;
    const COOKIE: &str = r#"{"type":"cookie","name":"c","value":"v"}"#;
    const HEADER: &str = r#"{"type":"header","name":"h","value":"v"}"#;
    const OPEN: &str = r#"{"type":"noauth"}"#;
    let list = |kind: &str, a: &str, b: &str| format!(r#"{{"type":"{kind}","types":[{a},{b}]}}"#);

    check_properties(OPEN, true, false, false);
    check_properties(BASIC, false, true, true);
    check_properties(BEARER, false, false, false);
    check_properties(COOKIE, false, true, false);
    check_properties(HEADER, false, false, false);
    check_properties(&list("oneOf", OPEN, BEARER), true, false, false);
    check_properties(&list("allOf", OPEN, BEARER), false, false, false);
    check_properties(&list("allOf", OPEN, OPEN), true, false, false);
    check_properties(&list("oneOf", BEARER, BASIC), false, true, true);
    check_properties(&list("allOf", COOKIE, HEADER), false, true, false);
    check_properties(
        &list("oneOf", BEARER, &list("allOf", BASIC, HEADER)),
        false,
        true,
        true,
    );
}
