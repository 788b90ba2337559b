//! JSON Web Tokens: which pass, which are refused, and what they say.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tidewire_auth::{
    Algorithm, Answers, Authenticator, BadToken, Denied, Identity, Inquiry, KeySet, Secret,
    SigningKey,
};

use crate::authenticator;

const SECRET: &str = "a secret of sixty-four bytes for HS512, which nobody ever guesses";

/// Name, algorithm, private key, public key.
const PAIRS: &[(&str, &str, &str)] = &[
    ("RS256", RSA, RSA_PUBLIC),
    ("RS384", RSA, RSA_PUBLIC),
    ("RS512", RSA, RSA_PUBLIC),
    ("PS256", RSA, RSA_PUBLIC),
    ("PS384", RSA, RSA_PUBLIC),
    ("PS512", RSA, RSA_PUBLIC),
    ("ES256", P256, P256_PUBLIC),
    ("ES384", P384, P384_PUBLIC),
    ("EdDSA", ED25519, ED25519_PUBLIC),
];
const RSA: &str = include_str!("../keys/rsa.pem");
const RSA_PUBLIC: &str = include_str!("../keys/rsa.pub.pem");
const P256: &str = include_str!("../keys/p256.pem");
const P256_PUBLIC: &str = include_str!("../keys/p256.pub.pem");
const OTHER_P256: &str = include_str!("../keys/other.pem");
const P384: &str = include_str!("../keys/p384.pem");
const P384_PUBLIC: &str = include_str!("../keys/p384.pub.pem");
const ED25519: &str = include_str!("../keys/ed25519.pem");
const ED25519_PUBLIC: &str = include_str!("../keys/ed25519.pub.pem");

/// The moment of all tests.
const NOW: u64 = 1_800_000_000;

pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

pub(crate) fn signer(algorithm: &str, key: &str) -> SigningKey {
    SigningKey::new(algorithm.parse().unwrap(), &Secret::from(key)).unwrap()
}

fn hs256() -> SigningKey {
    signer("HS256", SECRET)
}

/// Accepts HS256 and ES256 for one issuer and one audience.
static STRICT: LazyLock<Authenticator> = LazyLock::new(|| {
    authenticator(
        &json!({"type": "jwt", "algorithms": ["HS256", "ES256"], "secret": SECRET,
            "public_key": P256_PUBLIC, "issuer": "https://id.example", "audience": ["chat", "desk"],
            "device_claim": "dev"})
        .to_string(),
    )
});

fn claims() -> Value {
    json!({"iss": "https://id.example", "aud": "chat", "sub": "alice", "exp": NOW + 60, "iat": NOW - 5})
}

/// The claims with one of them replaced; `null` takes it away.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    let members = claims.as_object_mut().unwrap();
    if value.is_null() {
        members.remove(name);
    } else {
        members.insert(name.to_owned(), value);
    }
    claims
}

fn check(authenticator: &Authenticator, token: &str) -> Result<Identity, Denied> {
    let fields = [("authorization", format!("Bearer {token}"))];
    let checked = authenticator.check_with(&fields, &Answers::default(), now());
    checked.map(|identity| (*identity).clone())
}

fn strict(token: &str) -> Result<Identity, BadToken> {
    check(&STRICT, token).map_err(|denied| {
        if let Denied::Token(bad) = denied {
            bad
        } else {
            panic!("{denied:?} for {token}")
        }
    })
}

#[test]
fn a_token_says_who_it_is_and_until_when() {
    let mut claims = with("dev", json!("phone"));
    claims["tidewire"] = json!({"send_to": ["bob", "team-*"], "subscribe": ["news.*"]});
    let identity = strict(&hs256().sign(&claims).unwrap()).unwrap();
    assert_eq!(
        (identity.user(), identity.device()),
        (Some("alice"), Some("phone"))
    );
    // Until it would be refused: the leeway belongs to it.
    assert_eq!(
        identity.expires(),
        Some(now() + Duration::from_secs(60 + 30))
    );
    let grants = identity.grants();
    let send_to = ["bob", "team-a", "carol"].map(|user| grants.send_to().covers(user));
    assert_eq!(send_to, [true, true, false]);
    assert!(grants.subscribe().covers("news.eu") && !grants.publish().covers("news.eu"));
    assert!(!identity.is_admin());
    claims["tidewire"] = json!({"admin": true});
    let identity = strict(&hs256().sign(&claims).unwrap()).unwrap();
    assert!(identity.is_admin() && !identity.grants().send_to().covers("bob"));
    let plain = strict(&hs256().sign(&self::claims()).unwrap()).unwrap();
    assert!(plain.grants().send_to().covers("anybody") && !plain.is_admin());
}

#[test]
fn every_algorithm_is_accepted_where_it_is_configured_and_nowhere_else() {
    for (name, private, public) in PAIRS {
        let token = signer(name, private).sign(&claims_of_nobody()).unwrap();
        for (other, _, other_public) in PAIRS {
            let config = json!({"type": "jwt", "algorithms": [other], "public_key": other_public});
            let checked = check(&authenticator(&config.to_string()), &token);
            assert_eq!(checked.is_ok(), name == other, "{name} {other}");
        }
        let all = json!({"type": "jwt", "algorithms": [name], "public_key":
            format!("{RSA_PUBLIC}\n{P256_PUBLIC}{P384_PUBLIC}{ED25519_PUBLIC}{public}")});
        assert!(
            check(&authenticator(&all.to_string()), &token).is_ok(),
            "{name}"
        );
    }
    for name in ["HS256", "HS384", "HS512"] {
        let config = json!({"type": "jwt", "algorithms": [name], "secret": SECRET}).to_string();
        let token = signer(name, SECRET).sign(&claims_of_nobody()).unwrap();
        assert!(check(&authenticator(&config), &token).is_ok(), "{name}");
    }
}

/// For configurations without issuer and audience.
fn claims_of_nobody() -> Value {
    json!({"sub": "alice", "exp": NOW + 60})
}

#[test]
fn clocks_may_differ_by_the_leeway_and_no_more() {
    for (name, value, good) in [
        ("exp", json!(NOW), true),
        ("exp", json!(NOW - 29), true),
        ("exp", json!(NOW - 30), false),
        (
            "exp",
            json!(f64::from(u32::try_from(NOW).unwrap()) + 0.5),
            true,
        ),
        ("exp", json!(253_402_300_799_u64), true),
        ("nbf", json!(NOW + 30), true),
        ("nbf", json!(NOW + 31), false),
        ("nbf", json!(0), true),
        ("iat", json!(NOW + 30), true),
        ("iat", json!(NOW + 31), false),
        ("sub", json!(42), true),
        ("aud", json!(["other", "desk"]), true),
    ] {
        let token = hs256().sign(&with(name, value.clone())).unwrap();
        assert_eq!(strict(&token).is_ok(), good, "{name} {value}");
    }
    let numbered = hs256().sign(&with("sub", json!(42))).unwrap();
    assert_eq!(strict(&numbered).unwrap().user(), Some("42"));
}

/// Claims that are wrong, in a token that is signed well.
#[test]
fn what_a_well_signed_token_must_not_say() {
    use BadToken as B;
    for (name, value, expected) in [
        ("exp", Value::Null, B::Claims),
        ("exp", json!("1800000060"), B::Claims),
        ("exp", json!(true), B::Claims),
        ("exp", json!([NOW + 60]), B::Claims),
        ("exp", json!({"a": 1}), B::Claims),
        ("exp", json!(-1), B::Claims),
        ("exp", json!(1e300), B::Claims),
        ("exp", json!(0), B::Expired),
        ("exp", json!(NOW - 31), B::Expired),
        ("nbf", json!("now"), B::Claims),
        ("nbf", json!(NOW + 3600), B::NotYet),
        ("nbf", json!(-1), B::Claims),
        ("iat", json!("x"), B::Claims),
        ("iat", json!(NOW + 3600), B::NotYet),
        ("iss", Value::Null, B::Claims),
        ("iss", json!("https://id.example/"), B::Issuer),
        ("iss", json!("https://ID.example"), B::Issuer),
        ("iss", json!(["https://id.example"]), B::Claims),
        ("iss", json!(1), B::Claims),
        ("aud", Value::Null, B::Claims),
        ("aud", json!("Chat"), B::Audience),
        ("aud", json!(""), B::Audience),
        ("aud", json!([]), B::Audience),
        ("aud", json!(["other"]), B::Audience),
        ("aud", json!([["chat"]]), B::Claims),
        ("aud", json!({"chat": 1}), B::Claims),
        ("aud", json!(7), B::Claims),
        ("sub", Value::Null, B::Claims),
        ("sub", json!(""), B::Claims),
        ("sub", json!("a\nb"), B::Claims),
        ("sub", json!("x".repeat(129)), B::Claims),
        ("sub", json!(["alice"]), B::Claims),
        ("sub", json!(true), B::Claims),
        ("sub", json!(-1), B::Claims),
        ("sub", json!(1.5), B::Claims),
        ("sub", json!(" 42"), B::Claims),
        ("dev", json!(["phone"]), B::Claims),
        ("dev", json!(""), B::Claims),
        ("tidewire", json!([]), B::Claims),
        ("tidewire", json!("admin"), B::Claims),
        ("tidewire", json!({"admin": "true"}), B::Claims),
        ("tidewire", json!({"send_to": "*"}), B::Claims),
        ("tidewire", json!({"send_to": [1]}), B::Claims),
        ("tidewire", json!({"send_to": vec!["a"; 257]}), B::Claims),
        ("tidewire", json!({"send_to": ["x".repeat(257)]}), B::Claims),
    ] {
        let token = hs256().sign(&with(name, value.clone())).unwrap();
        assert_eq!(strict(&token), Err(expected), "{name} {value}");
    }
}

/// Headers, signatures and forms that are wrong around good claims.
#[test]
fn what_a_token_must_not_be() {
    let good = claims().to_string();
    let with_header = |header: &str| {
        hs256()
            .sign_parts(header.as_bytes(), good.as_bytes())
            .unwrap()
    };
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"nOnE","typ":"JWT"}"#,
        r#"{"alg":""}"#,
        r#"{"alg":null}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"HS256 "}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":256}"#,
        r#"{"typ":"JWT"}"#,
        r#"{"alg":"HS384"}"#,
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"dir","enc":"A256GCM"}"#,
        r#"{"alg":"HS256","enc":"A256GCM"}"#,
        r#"{"alg":"HS256","zip":"DEF"}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
        r#"{"alg":"HS256","crit":null}"#,
        r#"{"alg":"HS256","b64":true}"#,
        r#"{"alg":"HS256","cty":"JWT"}"#,
        r#"{"alg":"HS256","typ":"logout+jwt"}"#,
        r#"{"alg":"HS256","typ":"secevent+jwt"}"#,
        r#"{"alg":"HS256","typ":"dpop+jwt"}"#,
        r#"{"alg":"HS256","typ":1}"#,
        r#"{"alg":"HS256","kid":7}"#,
        r#"{"alg":"HS256","kid":["a"]}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"{"alg":"HS256","kid":"a","kid":"b"}"#,
        r#"["HS256"]"#,
        r#""HS256""#,
        "",
        "{",
        "null",
        "\u{feff}{\"alg\":\"HS256\"}",
        r#"{"alg":"HS256"} x"#,
        // Signed with the secret, called ES256: an EC key there is, but it did not make this.
        r#"{"alg":"ES256"}"#,
        r#"{"alg":"ES384"}"#,
        r#"{"alg":"EdDSA"}"#,
    ] {
        assert!(strict(&with_header(header)).is_err(), "{header}");
    }
    let long_id = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(257));
    assert!(strict(&with_header(&long_id)).is_err());
    assert!(strict(&with_header(r#"{"alg":"HS256","typ":"at+jwt","x5t":"a"}"#)).is_ok());
    assert!(
        strict(&with_header(r#"{"alg":"HS256","kid":"../../dev/null"}"#)).is_ok(),
        "a name, no path"
    );
}

#[test]
fn claims_that_are_no_object_or_there_twice_are_refused() {
    let header = br#"{"alg":"HS256"}"#;
    let good = claims().to_string();
    let twice = good.replace("\"exp\"", "\"exp\":9999999999,\"exp\"");
    let twice_sub = good.replace("\"sub\"", "\"sub\":\"bob\",\"sub\"");
    let escaped = good.replace("\"sub\"", "\"s\\u0075b\":\"bob\",\"sub\"");
    let trailing = format!("{good}{{}}");
    for claims in [
        "", "[]", "null", "7", "{", &twice, &twice_sub, &escaped, &trailing,
    ] {
        let token = hs256().sign_parts(header, claims.as_bytes()).unwrap();
        assert_eq!(strict(&token), Err(BadToken::Claims), "{claims}");
    }
    let token = hs256().sign_parts(header, b"\xff\xfe").unwrap();
    assert_eq!(strict(&token), Err(BadToken::Claims));
}

#[test]
fn a_token_has_one_spelling() {
    let good = hs256().sign(&claims()).unwrap();
    assert!(strict(&good).is_ok());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, mac] = parts[..] else {
        panic!()
    };
    let none = "eyJhbGciOiJub25lIn0";
    for token in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!("{header}..{mac}"),
        format!(".{claims}.{mac}"),
        format!("{good}."),
        format!("{good}.{mac}"),
        format!("{good}="),
        format!("{good}A"),
        format!("{header}=.{claims}.{mac}"),
        format!("{header}.{claims}=.{mac}"),
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{mac}"),
        format!("{header}.{claims}.AAAA"),
        format!("{header}.{mac}.{claims}"),
        format!("{header}+.{claims}.{mac}"),
        format!("{header}.{claims}.{mac}/"),
        good.to_uppercase(),
        good.replace('.', ".."),
        good.replace('.', "%2E"),
        format!("\"{good}\""),
        good.chars().rev().collect(),
        "x".repeat(8192),
        format!("{header}.{}.{mac}", claims.repeat(60)),
    ] {
        assert!(check(&STRICT, &token).is_err(), "{token}");
    }
    // Every bit of the signature counts, and every letter before it.
    for at in 0..good.len() {
        let mut letters = good.clone().into_bytes();
        letters[at] = if letters[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(letters).unwrap();
        assert!(check(&STRICT, &changed).is_err(), "{at}");
    }
}

/// The public key is no secret, however a token is labelled, and however the configuration mixes the two.
#[test]
fn a_public_key_is_no_secret() {
    for secret in [P256_PUBLIC, RSA_PUBLIC, P256_PUBLIC.trim_end()] {
        for algorithm in ["HS256", "HS384", "HS512"] {
            if secret.len() < 64 {
                continue;
            }
            let token = signer(algorithm, secret).sign(&claims_of_nobody()).unwrap();
            let public = json!({"type": "jwt", "algorithms": ["ES256"], "public_key": P256_PUBLIC});
            assert!(check(&authenticator(&public.to_string()), &token).is_err());
            assert!(strict(&token).is_err());
        }
    }
    // In ES256's place the MAC of a public key.
    let header = br#"{"alg":"ES256"}"#;
    let token = signer("HS256", P256_PUBLIC).sign_parts(header, claims().to_string().as_bytes());
    assert_eq!(strict(&token.unwrap()), Err(BadToken::Signature));
}

#[test]
fn another_key_of_the_same_kind_does_not_count() {
    let token = signer("ES256", OTHER_P256).sign(&claims()).unwrap();
    assert_eq!(strict(&token), Err(BadToken::Signature));
    let token = signer("HS256", "another secret, which is long enough for it").sign(&claims());
    assert_eq!(strict(&token.unwrap()), Err(BadToken::Signature));
    let token = signer("ES256", P256).sign(&claims()).unwrap();
    assert!(strict(&token).is_ok());
}

/// RFC 7515 appendix A.1 (HS256 there has a secret of bytes, so A.3, ES256), RFC 8037 appendix A.4 and A.5 (Ed25519).
#[test]
fn the_examples_of_the_rfcs_are_signed_well() {
    let es256 = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let config = json!({"type": "jwt", "algorithms": ["ES256"], "public_key": es256}).to_string();
    // It has no subject and is expired since 2011; but its signature is right.
    assert_eq!(
        check(&authenticator(&config), token),
        Err(Denied::Token(BadToken::Expired))
    );
    let rsa = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let config = json!({"type": "jwt", "algorithms": ["RS256"], "public_key": rsa}).to_string();
    assert_eq!(
        check(&authenticator(&config), token),
        Err(Denied::Token(BadToken::Expired))
    );
    let ed25519 =
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let config = json!({"type": "jwt", "algorithms": ["EdDSA"], "public_key": ed25519}).to_string();
    // What is signed there is a sentence.
    assert_eq!(
        check(&authenticator(&config), token),
        Err(Denied::Token(BadToken::Claims))
    );
}

#[test]
fn a_token_may_stand_where_the_configuration_says() {
    let everywhere = json!({"type": "jwt", "algorithms": ["HS256"], "secret": SECRET,
        "cookie": "session", "query": "access_token"});
    let everywhere = authenticator(&everywhere.to_string());
    let header = json!({"type": "jwt", "algorithms": ["HS256"], "secret": SECRET});
    let header = authenticator(&header.to_string());
    let mut good = claims_of_nobody();
    good["exp"] = json!(253_402_300_799_u64);
    let token = hs256().sign(&good).unwrap();
    let fields = |name: &'static str, value: String| [(name, value)];
    for (field, is_default) in [
        (fields("authorization", format!("bearer  {token}")), true),
        (
            fields(
                "sec-websocket-protocol",
                format!("chat, tidewire.bearer.{token}"),
            ),
            true,
        ),
        (fields("cookie", format!("session={token}")), false),
        (
            fields("cookie", format!("a=b; session=\"{token}\"; session=old")),
            false,
        ),
    ] {
        assert!(everywhere.check(&field).is_ok(), "{field:?}");
        assert_eq!(header.check(&field).is_ok(), is_default, "{field:?}");
    }
    let query = format!("access_token={token}");
    let request = crate::requests::Request {
        fields: Vec::new(),
        query: &query,
    };
    assert!(everywhere.check(&request).is_ok() && header.check(&request).is_err());
}

/// One right token among wrong ones is enough, but not one of two users at once, nor any number of them.
#[test]
fn of_several_tokens_one_has_to_be_right() {
    let config = json!({"type": "jwt", "algorithms": ["HS256"], "secret": SECRET}).to_string();
    let jwt = authenticator(&config);
    let token_of = |user: &str| {
        let token = hs256()
            .sign(&json!({"sub": user, "exp": 253_402_300_799_u64}))
            .unwrap();
        ("authorization", format!("Bearer {token}"))
    };
    let wrong = ("authorization", "Bearer a.b.c".to_owned());
    let (alice, bob) = (token_of("alice"), token_of("bob"));
    for fields in [
        vec![alice.clone()],
        vec![wrong.clone(), alice.clone()],
        vec![alice.clone(), wrong.clone(), wrong.clone()],
        vec![alice.clone(), alice.clone()],
    ] {
        assert_eq!(jwt.check(&fields).unwrap().user(), Some("alice"));
    }
    assert!(jwt.check(&vec![alice.clone(), bob]).is_err());
    let many = vec![wrong.clone(), wrong.clone(), wrong.clone(), wrong, alice];
    assert_eq!(jwt.check(&many).map(drop), Err(Denied::Wrong));
}

#[test]
fn keys_of_a_server_are_asked_for_when_a_token_names_an_unknown_one() {
    let jwk = |id: &str| {
        json!({"kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "alg": "ES256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})
    };
    let config = json!({"type": "jwt", "algorithms": ["ES256"], "jwks": "https://id.example/keys",
        "issuer": "https://id.example", "audience": "chat"});
    let jwt = authenticator(&config.to_string());
    let with_id = |id: &str| {
        let token = signer("ES256", P256).id(id).sign(&claims()).unwrap();
        [("authorization", format!("Bearer {token}"))]
    };
    assert_eq!(jwt.check(&with_id("a")).map(drop), Err(Denied::Unavailable));
    let asked = |id: &str| {
        let inquiries = jwt.inquiries(&with_id(id));
        inquiries.into_iter().find_map(|inquiry| {
            if let Inquiry::Keys { server, key_id } = inquiry {
                Some((server, key_id))
            } else {
                None
            }
        })
    };
    let (server, key_id) = asked("a").unwrap();
    assert_eq!(
        (server.url(), key_id.as_deref()),
        ("https://id.example/keys", Some("a"))
    );
    let set =
        json!({"keys": [jwk("a"), {"kty": "oct", "k": "c2VjcmV0", "kid": "b"}, {"kty": "new"}, 7]});
    server.set(KeySet::from_key_server(set.to_string().as_bytes()).unwrap());
    assert!(asked("a").is_none() && asked("b").is_some());
    assert_eq!(
        jwt.check(&with_id("a")).map(drop),
        Err(Denied::Token(BadToken::Signature))
    );
    // Tokens that are not signed as configured are not worth a question.
    let hmac = hs256().id("z").sign(&claims()).unwrap();
    assert!(
        jwt.inquiries(&[("authorization", format!("Bearer {hmac}"))])
            .is_empty()
    );
    assert!(
        jwt.inquiries(&[("authorization", "Bearer garbage")])
            .is_empty()
    );
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#,
        "<html>",
    ] {
        assert!(KeySet::from_key_server(bad.as_bytes()).is_err(), "{bad}");
    }
    let many = json!({"keys": vec![jwk("a"); 65]}).to_string();
    assert!(KeySet::from_key_server(many.as_bytes()).is_err());
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of mistakes")]
fn a_configuration_that_would_let_nobody_or_anybody_in_is_an_error() {
    let refused = |table: &Value, path: &str| {
        let config = crate::config(&table.to_string());
        let error = config.resolve(&tidewire_auth::NoLookup).unwrap_err();
        assert_eq!(error.path, path, "{table}: {error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    };
    let rsa_1024 = include_str!("../keys/rsa1024.pub.pem");
    let p521 = include_str!("../keys/p521.pub.pem");
    let server = "https://id.example/keys";
    for (mut table, path) in [
        (json!({"algorithms": []}), "algorithms"),
        (
            json!({"algorithms": ["none"], "secret": SECRET}),
            "algorithms",
        ),
        (
            json!({"algorithms": ["hs256"], "secret": SECRET}),
            "algorithms",
        ),
        (json!({"algorithms": ["HS256"]}), "algorithms"),
        (
            json!({"algorithms": ["HS256"], "public_key": P256_PUBLIC}),
            "algorithms",
        ),
        (
            json!({"algorithms": ["ES256"], "secret": SECRET}),
            "algorithms",
        ),
        (
            json!({"algorithms": ["RS256"], "public_key": P256_PUBLIC}),
            "algorithms",
        ),
        (
            json!({"algorithms": ["HS256"], "secret": "canary"}),
            "secret",
        ),
        (
            json!({"algorithms": ["HS512"], "secret": "a secret of less than sixty-four bytes"}),
            "secret",
        ),
        (
            json!({"algorithms": ["HS256"], "secret": P256_PUBLIC}),
            "secret",
        ),
        (
            json!({"algorithms": ["ES256"], "public_key": P256}),
            "public_key",
        ),
        (
            json!({"algorithms": ["ES256"], "public_key": "canary"}),
            "public_key",
        ),
        (
            json!({"algorithms": ["RS256"], "public_key": rsa_1024}),
            "public_key",
        ),
        (
            json!({"algorithms": ["ES384"], "public_key": p521}),
            "public_key",
        ),
        (
            json!({"algorithms": ["ES256"], "public_key": r#"{"kty":"oct","k":"AAAA"}"#}),
            "public_key",
        ),
        (
            json!({"algorithms": ["ES256"], "jwks": server, "audience": "a"}),
            "issuer",
        ),
        (
            json!({"algorithms": ["ES256"], "jwks": server, "issuer": "a"}),
            "audience",
        ),
        (
            json!({"algorithms": ["ES256"], "jwks": "http://id.example/keys", "issuer": "a", "audience": "a"}),
            "jwks",
        ),
        (
            json!({"algorithms": ["ES256"], "jwks": "id.example", "issuer": "a", "audience": "a"}),
            "jwks",
        ),
        (
            json!({"algorithms": ["ES256"], "jwks": "https://u:p@id.example", "issuer": "a", "audience": "a"}),
            "jwks",
        ),
        (
            json!({"algorithms": ["HS256"], "secret": SECRET, "jwks": server, "issuer": "a", "audience": "a", "leeway": "1h"}),
            "leeway",
        ),
        (
            json!({"algorithms": ["HS256"], "secret": SECRET, "leeway": "soon"}),
            "leeway",
        ),
        (
            json!({"algorithms": ["HS256"], "secret": SECRET, "cookie": "a b"}),
            "cookie",
        ),
    ] {
        table["type"] = json!("jwt");
        refused(&table, path);
    }
}

#[test]
fn names_of_algorithms_are_read_back() {
    for name in ["HS256", "RS512", "PS384", "ES256", "ES384", "EdDSA"] {
        assert_eq!(name.parse::<Algorithm>().unwrap().to_string(), name);
    }
    assert_eq!("Ed25519".parse::<Algorithm>().unwrap(), Algorithm::EdDsa);
}

proptest::proptest! {
    #[test]
    fn random_tokens_neither_pass_nor_panic(token in "[A-Za-z0-9_.=-]{0,200}") {
        proptest::prop_assert!(check(&STRICT, &token).is_err());
    }
}
