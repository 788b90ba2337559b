//! Which requests pass.

use tidewire_auth::{Authenticator, Denied, Headers};

use crate::authenticator;

const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln-bmF0_dXJl";

fn aladdin() -> Authenticator {
    authenticator(r#"{"type":"basic","user":"Aladdin","password":"open sesame"}"#)
}

fn check_all_denied(authenticator: &Authenticator, field: &str, values: &[&str]) {
    for value in values {
        assert!(
            authenticator.check(&[(field, *value)]).is_err(),
            "{field}: {value:?} passed"
        );
    }
}

#[test]
fn noauth_lets_everybody_pass() {
    let open = authenticator(r#"{"type":"noauth"}"#);
    assert_eq!(
        open.check(&[("Authorization", "Basic ???")]).map(drop),
        Ok(())
    );
}

#[test]
fn basic_takes_the_right_user_with_the_right_password() {
    for value in [
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        "basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        "BASIC   QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
    ] {
        for field in ["Authorization", "authorization", "AUTHORIZATION"] {
            assert_eq!(
                aladdin().check(&[(field, value)]).map(drop),
                Ok(()),
                "{value}"
            );
        }
    }
}

#[test]
fn basic_splits_at_the_first_colon() {
    let colons = authenticator(r#"{"type":"basic","user":"u","password":":p:"}"#);
    // u::p:
    assert_eq!(
        colons
            .check(&[("authorization", "Basic dTo6cDo=")])
            .map(drop),
        Ok(())
    );
}

#[test]
fn basic_takes_utf_8() {
    let utf8 = authenticator(r#"{"type":"basic","user":"test","password":"123£"}"#);
    assert_eq!(
        utf8.check(&[("authorization", "Basic dGVzdDoxMjPCow==")])
            .map(drop),
        Ok(())
    );
}

#[test]
fn bad_basic_credentials_are_denied() {
    check_all_denied(
        &aladdin(),
        "Authorization",
        &[
            "",
            "Basic",
            "Basic ",
            "Basic=",
            "BasicQWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Basic\tQWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            " Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== ",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ===",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZR==",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==,",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==, Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Basic QWxhZGRpbjpvcGVu\nIHNlc2FtZQ==",
            "Basic QWxhZGRpbjpvcGVu IHNlc2FtZQ==",
            "Basic Aladdin:open sesame",
            "Basic QWxhZGRpbg==",                 // Aladdin
            "Basic QWxhZGRpbjo=",                 // Aladdin:
            "Basic Og==",                         // :
            "Basic Om9wZW4gc2VzYW1l",             // :open sesame
            "Basic QWxhZGRpbjpvcGVuIHNlc2Ft",     // Aladdin:open sesam
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZWU=", // Aladdin:open sesamee
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQA=", // Aladdin:open sesame\0
            "Basic QWxhZGRpbjpPcGVuIHNlc2FtZQ==", // Aladdin:Open sesame
            "Basic YWxhZGRpbjpvcGVuIHNlc2FtZQ==", // aladdin:open sesame
            "Basic b3BlbiBzZXNhbWU6QWxhZGRpbg==", // open sesame:Aladdin
            "Basic 8J+Yig==",
            "Basic ====",
            "Basic null",
            "Digest QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Basi QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Basic: QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ],
    );
    assert_eq!(
        aladdin()
            .check(&[("Proxy-Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")])
            .map(drop),
        Err(Denied::Missing)
    );
}

#[test]
fn bearer_takes_the_token_with_the_scheme_in_any_case() {
    let bearer = authenticator(r#"{"type":"bearer","value":"s3cret.TOKEN"}"#);
    for value in [
        "Bearer s3cret.TOKEN",
        "bearer s3cret.TOKEN",
        "BEARER  s3cret.TOKEN",
    ] {
        assert_eq!(
            bearer.check(&[("authorization", value)]).map(drop),
            Ok(()),
            "{value}"
        );
    }
    check_all_denied(
        &bearer,
        "authorization",
        &[
            "",
            "Bearer",
            "Bearer ",
            "Bearers3cret.TOKEN",
            "Bearer\ts3cret.TOKEN",
            "Bearer: s3cret.TOKEN",
            "Bearer s3cret.token",
            "Bearer s3cret.TOKE",
            "Bearer s3cret.TOKENN",
            "Bearer s3cret.TOKENs3cret.TOKEN",
            "Bearer s3cret.TOKEN ",
            "Bearer s3cret.TOKEN\0",
            "Bearer \"s3cret.TOKEN\"",
            "Bearer s3cret.TOKEN, Bearer s3cret.TOKEN",
            "Bearer Bearer s3cret.TOKEN",
            "s3cret.TOKEN",
            "Token s3cret.TOKEN",
            "Basic s3cret.TOKEN",
        ],
    );
}

#[test]
fn header_takes_the_whole_value_under_a_name_in_any_case() {
    let header = authenticator(r#"{"type":"header","name":"X-Api-Key","value":"key 1/2=="}"#);
    for field in ["X-Api-Key", "x-api-key", "X-API-KEY"] {
        assert_eq!(
            header.check(&[(field, "key 1/2==")]).map(drop),
            Ok(()),
            "{field}"
        );
    }
    check_all_denied(
        &header,
        "x-api-key",
        &[
            "",
            "key",
            "key 1/2",
            "key 1/2=",
            "key 1/2===",
            "KEY 1/2==",
            "key  1/2==",
            "key 1/2==, key 1/2==",
            "key 1/2==;",
            "\"key 1/2==\"",
        ],
    );
    check_all_denied(&header, "x-api-key2", &["key 1/2=="]);
}

#[test]
fn bytes_that_are_no_text_are_compared_as_bytes() {
    let header = authenticator(r#"{"type":"header","name":"k","value":"ü"}"#);
    assert_eq!(header.check(&[("k", [0xc3, 0xbc])]).map(drop), Ok(()));
    assert_eq!(
        header.check(&[("k", [0xc3, 0xbd])]).map(drop),
        Err(Denied::Wrong)
    );
    assert_eq!(header.check(&[("k", [0xfc])]).map(drop), Err(Denied::Wrong));
}

#[test]
fn cookies_with_dots_equals_signs_or_slashes_match_as_a_whole() {
    for value in [
        JWT,
        "YWJj/ZGVm+Zw==",
        "=",
        "a=b=c",
        "\"quoted\"",
        "a b",
        "{1}",
    ] {
        let escaped = value.replace('"', "\\\"");
        let cookie = authenticator(&format!(
            r#"{{"type":"cookie","name":"Session","value":"{escaped}"}}"#
        ));
        for line in [
            format!("Session={value}"),
            format!("session={value}"),
            format!("a=b; Session={value}"),
            format!("a=b;Session={value};c=d"),
            format!("  Session = {value}  ; c"),
        ] {
            assert_eq!(
                cookie.check(&[("Cookie", &line)]).map(drop),
                Ok(()),
                "{line}"
            );
        }
        for line in [
            format!("Session={value}x"),
            format!("Session=x{value}"),
            format!("Session={value}.anything"),
            format!("Session2={value}"),
            format!("xSession={value}"),
        ] {
            assert!(cookie.check(&[("Cookie", &line)]).is_err(), "{line}");
        }
    }
}

#[test]
fn bad_cookies_are_denied() {
    let cookie = authenticator(r#"{"type":"cookie","name":"sid","value":"abc"}"#);
    assert_eq!(cookie.check(&[("cookie", "sid=abc")]).map(drop), Ok(()));
    check_all_denied(
        &cookie,
        "Cookie",
        &[
            "",
            ";",
            "=",
            "sid",
            "sid=",
            "=abc",
            "abc",
            "sid=abc.anything",
            "sid=abc=",
            "sid=abc/",
            "sid=ab",
            "sid=abcc",
            "sid=ABC",
            "sid=abc,sid=abc",
            "sid=abc, b=c",
            "sid==abc",
            "sid=a bc",
            "sid:abc",
            "sid=abc\0",
            "sid=abc\u{b}",
            "xsid=abc",
            "sidx=abc",
            "other=sid=abc",
            "sid=%61bc",
            "sid=\"abc",
            "sid=abc\"",
            "sid=\"\"abc\"\"",
            "sid=\"wrong\"",
            "sid=wrong; sid=; sid=\"\"",
        ],
    );
    check_all_denied(&cookie, "Set-Cookie", &["sid=abc"]);
    check_all_denied(&cookie, "Cookie2", &["sid=abc"]);
}

/// Proxies add fields of their own beside those of clients.
#[test]
fn one_right_field_among_those_of_its_name_is_enough() {
    let good = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    for fields in [
        [("Authorization", good), ("authorization", good)],
        [("Authorization", good), ("Authorization", "Basic x")],
        [("Authorization", "Bearer x"), ("Authorization", good)],
        [("Authorization", ""), ("Authorization", good)],
    ] {
        assert_eq!(aladdin().check(&fields).map(drop), Ok(()), "{fields:?}");
    }
    let half = [
        ("authorization", "Basic QWxhZGRpbjpv"),
        ("authorization", "cGVuIHNlc2FtZQ=="),
    ];
    assert_eq!(
        aladdin().check(&half).map(drop),
        Err(Denied::Wrong),
        "nothing is put together"
    );
    let header = authenticator(r#"{"type":"header","name":"k","value":"v"}"#);
    assert_eq!(header.check(&[("k", "w"), ("K", "v")]).map(drop), Ok(()));
    assert_eq!(
        header.check(&[("k", "w"), ("K", "x")]).map(drop),
        Err(Denied::Wrong)
    );
    assert_eq!(header.check(&[("k", "v, w")]).map(drop), Err(Denied::Wrong));
}

/// A browser that has a cookie for the host and one for the domain sends both, and HTTP/2 in as many fields as it likes.
#[test]
fn one_right_cookie_among_those_of_its_name_is_enough() {
    let cookie = authenticator(r#"{"type":"cookie","name":"sid","value":"right"}"#);
    for lines in [
        ["sid=old; sid=right", ""],
        ["sid=right; sid=old", "a=b"],
        ["sid=right; sid=right", ""],
        ["sid=; sid=right", ""],
        ["sid=old; SID=right; sid=other", ""],
        ["sid=old", "sid=right"],
        ["sid=right", "sid=old"],
        ["a=1", "b=2; sid=right"],
        ["sid=\"right\"", ""],
        ["sid=\"old\"; sid=\"right\"", ""],
    ] {
        let fields = lines.map(|line| ("Cookie", line));
        assert_eq!(cookie.check(&fields).map(drop), Ok(()), "{lines:?}");
    }
    for lines in [
        ["sid=old; sid=older", ""],
        ["sid=ri", "sid=ght"],
        ["sid=old, sid=right", ""],
        ["sid=old", "xsid=right"],
    ] {
        let fields = lines.map(|line| ("Cookie", line));
        assert_eq!(
            cookie.check(&fields).map(drop),
            Err(Denied::Wrong),
            "{lines:?}"
        );
    }
}

/// A request with a query.
pub(crate) struct Request<'a> {
    pub(crate) fields: Vec<(&'a str, &'a str)>,
    pub(crate) query: &'a str,
}

impl Headers for Request<'_> {
    fn values<'a>(&'a self, name: &'a str) -> Box<dyn Iterator<Item = &'a [u8]> + 'a> {
        self.fields.values(name)
    }

    fn query(&self) -> Option<&str> {
        Some(self.query)
    }
}

/// Pages can give a WebSocket no header field.
#[test]
fn a_page_gives_its_token_among_the_subprotocols() {
    let jwt = authenticator(&format!(r#"{{"type":"bearer","value":"{JWT}"}}"#));
    let field = "Sec-WebSocket-Protocol";
    for offer in [
        format!("tidewire.bearer.{JWT}"),
        format!("tidewire.classic, tidewire.bearer.{JWT}"),
        format!("tidewire.bearer.{JWT},chat"),
        format!("tidewire.bearer.wrong, tidewire.bearer.{JWT}"),
    ] {
        assert_eq!(jwt.check(&[(field, &offer)]).map(drop), Ok(()), "{offer}");
        let split = [(field, "chat"), (field, offer.as_str())];
        assert_eq!(jwt.check(&split).map(drop), Ok(()), "{offer}");
        // Basic credentials of a proxy in front are no bearer token.
        let both = [("Authorization", "Basic dTpw"), (field, offer.as_str())];
        assert_eq!(jwt.check(&both).map(drop), Ok(()), "{offer}");
    }
    for offer in [
        "tidewire.bearer.".to_owned(),
        format!("tidewire.bearer.{JWT}x"),
        format!("tidewire.bearer {JWT}"),
        format!("bearer.{JWT}"),
        format!("xtidewire.bearer.{JWT}"),
        format!("Tidewire.Bearer.{JWT}"),
        JWT.to_owned(),
    ] {
        assert!(jwt.check(&[(field, &offer)]).is_err(), "{offer}");
    }
    let odd = authenticator(r#"{"type":"bearer","value":"a/b+c==%"}"#);
    let encoded = [(field, "tidewire.bearer.a%2Fb%2Bc%3D%3D%25")];
    assert_eq!(odd.check(&encoded).map(drop), Ok(()));
}

#[test]
fn a_token_in_the_query_counts_only_where_the_configuration_names_the_parameter() {
    let named = r#"{"type":"bearer","value":"a/b+c","query":"access_token"}"#;
    let (named, unnamed) = (
        authenticator(named),
        authenticator(r#"{"type":"bearer","value":"a/b+c"}"#),
    );
    for query in [
        "access_token=a/b%2Bc",
        "id=7&access_token=a%2Fb%2bc&x=1",
        "access_token=old&access_token=a/b%2Bc",
        "access%5Ftoken=a/b%2Bc",
    ] {
        let request = Request {
            fields: Vec::new(),
            query,
        };
        assert_eq!(named.check(&request).map(drop), Ok(()), "{query}");
        assert_eq!(
            unnamed.check(&request).map(drop),
            Err(Denied::Missing),
            "{query}"
        );
    }
    for query in [
        "",
        "access_token",
        "access_token=",
        "access_token=a/b+c",
        "access_token=%",
        "Access_Token=a/b%2Bc",
        "token=a/b%2Bc",
    ] {
        let request = Request {
            fields: Vec::new(),
            query,
        };
        assert!(named.check(&request).is_err(), "{query}");
    }
}

#[test]
fn all_mismatches_of_equal_length_give_the_same_answer() {
    let token = "0123456789";
    let bearer = authenticator(&format!(r#"{{"type":"bearer","value":"{token}"}}"#));
    for position in 0..token.len() {
        let mut wrong = token.as_bytes().to_vec();
        wrong[position] = b'x';
        let value = [b"Bearer ", wrong.as_slice()].concat();
        assert_eq!(
            bearer.check(&[("authorization", value)]).map(drop),
            Err(Denied::Wrong),
            "{position}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn random_header_bytes_neither_pass_nor_panic(
        value in proptest::collection::vec(proptest::num::u8::ANY, 0..64),
    ) {
        let all = authenticator(
            r#"{"type":"oneOf","types":[
                {"type":"basic","user":"user-1","password":"password-1"},
                {"type":"bearer","value":"token-1"},
                {"type":"cookie","name":"sid","value":"cookie-1"}]}"#,
        );
        for field in ["authorization", "cookie"] {
            proptest::prop_assert!(all.check(&[(field, value.as_slice())]).is_err());
        }
    }
}
