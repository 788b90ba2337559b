//! Addresses as people write them.

use super::*;

/// Parity: R-09.
#[test]
fn addresses_are_split_into_their_parts() {
    for (url, secure, host, port, target) in [
        ("ws://example.com", false, "example.com", 80, "/"),
        ("wss://example.com", true, "example.com", 443, "/"),
        (
            "ws://example.com:8085/chat?id=42#top",
            false,
            "example.com",
            8085,
            "/chat?id=42",
        ),
        ("WS://example.com/a?b#c", false, "example.com", 80, "/a?b"),
        ("ws://example.com?x=1", false, "example.com", 80, "/?x=1"),
        ("ws://example.com/?#", false, "example.com", 80, "/?"),
        ("ws://[::1]:9000/x", false, "::1", 9000, "/x"),
        ("ws://[::1]", false, "::1", 80, "/"),
    ] {
        let parsed = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let parts = (
            parsed.is_secure(),
            parsed.host(),
            parsed.port(),
            parsed.target(),
        );
        assert_eq!(parts, (secure, host, port, target), "{url}");
    }
}

/// Parity: R-09.
#[test]
fn what_is_no_websocket_address_is_refused() {
    for (url, error) in [
        ("", UrlError::Scheme),
        ("example.com", UrlError::Scheme),
        ("http://example.com", UrlError::Scheme),
        ("ws://", UrlError::Host),
        ("ws:///path", UrlError::Host),
        ("ws://a b", UrlError::Host),
        ("ws://::1", UrlError::Host),
        ("ws://host:0", UrlError::Port),
        ("ws://host:65536", UrlError::Port),
        ("ws://host:+80", UrlError::Port),
        ("ws://host/a\r\nX: 1", UrlError::Target),
    ] {
        assert_eq!(Url::parse(url), Err(error), "{url:?}");
    }
}

/// Of this kind: a name alone, an empty password or name, everything a password may hold, raw or
/// percent-encoded; what Basic cannot carry.
#[test]
fn credentials_become_an_authorization_and_are_never_printed() {
    for (login, expected) in [
        ("", None),
        ("@", None),
        ("user:pass@", Some("Basic dXNlcjpwYXNz")),
        ("user@", Some("Basic dXNlcjo=")),
        ("user:@", Some("Basic dXNlcjo=")),
        (":pass@", Some("Basic OnBhc3M=")),
        (":@", Some("Basic Og==")),
        ("a:b:c@", Some("Basic YTpiOmM=")),
        ("a:p@ss@", Some("Basic YTpwQHNz")),
        ("a:p%40%2f%3A%23%25@", Some("Basic YTpwQC86IyU=")),
        // RFC 7617 section 2.1: a pound sign in UTF-8, raw and encoded.
        ("test:123£@", Some("Basic dGVzdDoxMjPCow==")),
        ("test:123%C2%A3@", Some("Basic dGVzdDoxMjPCow==")),
        // A percent sign that begins no escape is itself.
        ("a:100%@", Some("Basic YToxMDAl")),
    ] {
        let url = Url::parse(&format!("wss://{login}host:1/x"));
        let url = url.unwrap_or_else(|error| panic!("{login}: {error}"));
        assert_eq!(url.authorization(), expected, "{login}");
        assert_eq!(
            (url.host(), url.port(), url.to_string().as_str()),
            ("host", 1, "wss://host:1/x")
        );
        let printed = format!("{url:?}");
        let hidden = expected.is_none_or(|value| !printed.contains(value));
        assert!(hidden && !printed.contains("pass"), "{printed}");
    }
    for login in ["a%3Ab:c", "a:b%0D%0Ac", "a%00:b", "a:b\x7f"] {
        let error = Url::parse(&format!("ws://{login}@host/"));
        assert_eq!(error, Err(UrlError::Credentials), "{login}");
    }
    let unescaped = Url::parse("ws://user:pa/ss@host/").unwrap_err();
    assert_eq!(unescaped, UrlError::Port, "the slash ends the host");
}

#[test]
fn credentials_of_another_address_stay_with_it() {
    let url = Url::parse("ws://user:pass@host/a").unwrap();
    let other = url.with_target("/b").unwrap();
    assert_eq!(other.authorization(), url.authorization());
    assert_ne!(url, Url::parse("ws://host/a").unwrap());
}

/// Of this kind: any script, letters that map to others, full-width letters and dots, names in
/// punycode already, mixed case, percent-encoded names, a dot at the end.
#[cfg(feature = "idn")]
#[test]
fn host_names_outside_of_ascii_become_what_dns_knows() {
    for (host, expected) in [
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("MÜNCHEN.Example", "xn--mnchen-3ya.example"),
        ("mu\u{308}nchen.example", "xn--mnchen-3ya.example"),
        ("m%C3%BCnchen.example", "xn--mnchen-3ya.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
        ("מקומי.example", "xn--9dbinb7b.example"),
        ("ｅｘａｍｐｌｅ．com", "example.com"),
        ("a。b", "a.b"),
        ("☕.example", "xn--53h.example"),
        ("münchen.example.", "xn--mnchen-3ya.example."),
    ] {
        let url = Url::parse(&format!("wss://{host}/"));
        let url = url.unwrap_or_else(|error| panic!("{host}: {error}"));
        assert_eq!(url.host(), expected, "{host}");
        assert_eq!(url.host_header(), expected, "{host}");
    }
    for host in [
        "a\u{fffd}b",
        "\u{ad}",
        "a／b",
        "a＠b",
        "%FF",
        "a%2Fb",
        "a%20b",
    ] {
        let error = Url::parse(&format!("ws://{host}"));
        assert_eq!(error, Err(UrlError::Host), "{host}");
    }
}

#[cfg(not(feature = "idn"))]
#[test]
fn host_names_outside_of_ascii_are_refused_in_words_where_they_are_not_supported() {
    for host in ["münchen.example", "m%C3%BCnchen.example"] {
        let error = Url::parse(&format!("ws://{host}"));
        assert_eq!(error, Err(UrlError::NotAscii), "{host}");
    }
}

#[test]
fn hosts_are_written_as_dns_tls_and_the_host_header_want_them() {
    for (host, connect, header, server) in [
        ("EXAMPLE.com", "example.com", "example.com", "example.com"),
        (
            "XN--Mnchen-3ya.de",
            "xn--mnchen-3ya.de",
            "xn--mnchen-3ya.de",
            "xn--mnchen-3ya.de",
        ),
        (
            "example.com.",
            "example.com.",
            "example.com.",
            "example.com",
        ),
        ("example%2Ecom", "example.com", "example.com", "example.com"),
        (
            "a_b.internal",
            "a_b.internal",
            "a_b.internal",
            "a_b.internal",
        ),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1", "[::1]", "::1"),
        ("[0:0:0:0:0:0:0:1]", "::1", "[::1]", "::1"),
        (
            "[2001:DB8::A]",
            "2001:db8::a",
            "[2001:db8::a]",
            "2001:db8::a",
        ),
        (
            "[::ffff:192.0.2.1]",
            "::ffff:192.0.2.1",
            "[::ffff:192.0.2.1]",
            "::ffff:192.0.2.1",
        ),
        ("[fe80::1%25eth0]", "fe80::1%eth0", "[fe80::1]", "fe80::1"),
        ("[fe80::1%eth0]", "fe80::1%eth0", "[fe80::1]", "fe80::1"),
        ("[fe80::1%2]", "fe80::1%2", "[fe80::1]", "fe80::1"),
        (
            "[fe80::1%25en.0_a-b]",
            "fe80::1%en.0_a-b",
            "[fe80::1]",
            "fe80::1",
        ),
    ] {
        let url = Url::parse(&format!("wss://{host}/"));
        let url = url.unwrap_or_else(|error| panic!("{host}: {error}"));
        let got = (url.host(), url.host_header(), url.server_name());
        assert_eq!(got, (connect, header.to_owned(), server), "{host}");
        assert_eq!(Url::parse(&url.to_string()), Ok(url), "{host}");
    }
}

#[test]
fn hosts_that_are_none_are_refused() {
    for host in [
        "",
        ".",
        "..",
        "[]",
        "[::1",
        "::1]",
        "[::1]x",
        "[1.2.3.4]",
        "[example.com]",
        "[::1%]",
        "[::1%25]",
        "[::1%25a/b]",
        "[fe80::1%25a b]",
        "[fe80::1%25a%0D]",
        "[::g]",
        "a,b",
        "a\\b",
        "a|b",
    ] {
        let error = Url::parse(&format!("ws://{host}"));
        assert_eq!(error, Err(UrlError::Host), "{host:?}");
    }
}

#[test]
fn path_and_query_are_percent_encoded_once() {
    for (target, expected) in [
        ("/a b", "/a%20b"),
        ("/é/日本?q=é", "/%C3%A9/%E6%97%A5%E6%9C%AC?q=%C3%A9"),
        ("/%C3%A9?a=%20", "/%C3%A9?a=%20"),
        ("/100%", "/100%"),
        ("/a\"b'c?d=\"e'f", "/a%22b'c?d=%22e%27f"),
        ("/<>[\\]^`{|}", "/%3C%3E%5B%5C%5D%5E%60%7B%7C%7D"),
        ("?ids[]=1&j={\"a\":1}", "/?ids%5B%5D=1&j=%7B%22a%22:1%7D"),
        ("/a?b?c=d+e&f=g/h", "/a?b?c=d+e&f=g/h"),
        ("/\u{a0}\u{1f600}", "/%C2%A0%F0%9F%98%80"),
        ("/-._~!$&'()*+,;=:@%41", "/-._~!$&'()*+,;=:@%41"),
        ("/x#frag", "/x"),
        ("#frag", "/"),
        ("/a%23b#c", "/a%23b"),
        ("/a?b#c?d", "/a?b"),
    ] {
        let url = Url::parse(&format!("ws://host{target}"));
        let url = url.unwrap_or_else(|error| panic!("{target}: {error}"));
        assert_eq!(url.target(), expected, "{target}");
        assert_eq!(Url::parse(&url.to_string()), Ok(url), "{target}");
    }
    for target in ["/a\r\nX: 1", "/a\tb", "/\0", "/\u{7f}", "/\u{85}", "?a\nb"] {
        let error = Url::parse(&format!("ws://host{target}"));
        assert_eq!(error, Err(UrlError::Target), "{target:?}");
    }
}

#[test]
fn ports_are_those_that_tcp_has_and_may_be_left_out() {
    for (url, port, header) in [
        ("ws://host:80/", 80, "host"),
        ("ws://host:443/", 443, "host:443"),
        ("wss://host:443/", 443, "host"),
        ("wss://host:80/", 80, "host:80"),
        ("ws://host:/", 80, "host"),
        ("wss://[::1]:", 443, "[::1]"),
        ("ws://host:00080", 80, "host"),
        ("ws://host:65535", 65_535, "host:65535"),
        (" ws://host:81\n", 81, "host:81"),
    ] {
        let parsed = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let got = (parsed.port(), parsed.host_header());
        assert_eq!(got, (port, header.to_owned()), "{url}");
    }
    for url in [
        "ws://h:0",
        "ws://h:65536",
        "ws://h:-1",
        "ws://h:8o",
        "ws://h:８０",
        "ws://h:1:2",
    ] {
        let error = Url::parse(url).unwrap_err();
        assert!(
            matches!(error, UrlError::Port | UrlError::Host),
            "{url}: {error}"
        );
    }
}

/// Of this kind: every status that redirects has the same header; its value may be a whole address of
/// any scheme, without a scheme, a path from the root or from here, with dots, a query alone, nothing, or no address.
#[test]
fn redirects_are_resolved_against_the_address() {
    for (location, expected) in [
        ("wss://other/x", Ok("wss://other/x")),
        ("https://other:8443/x?y#z", Ok("wss://other:8443/x?y")),
        ("HTTP://other", Ok("ws://other/")),
        ("//other/x", Ok("wss://other/x")),
        ("/x", Ok("wss://host:1/x")),
        ("x", Ok("wss://host:1/a/x")),
        ("x/", Ok("wss://host:1/a/x/")),
        ("./x?y", Ok("wss://host:1/a/x?y")),
        ("../x", Ok("wss://host:1/x")),
        ("../../../x/.", Ok("wss://host:1/x/")),
        ("/x/../y/..", Ok("wss://host:1/")),
        ("?n=2", Ok("wss://host:1/a/b?n=2")),
        ("", Ok("wss://host:1/a/b?n=1")),
        ("#top", Ok("wss://host:1/a/b?n=1")),
        (" /blank é ", Ok("wss://host:1/blank%20%C3%A9")),
        ("x:y", Err(UrlError::Scheme)),
        ("mailto:someone@host", Err(UrlError::Scheme)),
        ("ftp://host/", Err(UrlError::Scheme)),
        ("//", Err(UrlError::Host)),
        ("unix:/run/private.sock", Err(UrlError::Scheme)),
        ("ws+unix:/run/private.sock:/", Err(UrlError::Scheme)),
        ("/a\0b", Err(UrlError::Target)),
    ] {
        let base = Url::parse("wss://host:1/a/b?n=1").unwrap();
        let joined = base.join(location).map(|url| url.to_string());
        assert_eq!(joined, expected.map(str::to_owned), "{location:?}");
    }
}

#[test]
fn credentials_do_not_follow_a_redirect_to_another_server() {
    let base = Url::parse("wss://user:pass@host/a").unwrap();
    for location in ["/b", "b", "?c", "", "//host/b", "https://host:443/b"] {
        let joined = base.join(location).unwrap();
        assert_eq!(joined.authorization(), base.authorization(), "{location}");
    }
    for location in [
        "http://host/b",
        "https://host:444/b",
        "//evil/b",
        "wss://host.evil/",
    ] {
        let joined = base.join(location).unwrap();
        assert_eq!(joined.authorization(), None, "{location}");
    }
    let own = base.join("wss://a:b@host/").unwrap();
    assert_eq!(own.authorization(), Some("Basic YTpi"));
}

#[test]
fn a_text_is_shown_without_what_may_be_a_password() {
    for (text, shown) in [
        ("ws://host/a", "ws://host/a"),
        ("wss://user:pass@host:x/a", "wss://\u{2026}@host:x/a"),
        ("ws://user:p@ss@host", "ws://\u{2026}@host"),
        ("user:pass@host", "://\u{2026}@host"),
        ("ws://user:pa/ss@host", "ws://\u{2026}@host"),
        ("", ""),
    ] {
        assert_eq!(Url::without_credentials(text), shown);
    }
}

#[test]
fn a_unix_socket_stands_in_place_of_host_and_port() {
    for (url, socket, target, shown) in [
        (
            "unix:/run/app.sock",
            "/run/app.sock",
            "/",
            "unix:/run/app.sock",
        ),
        (
            "unix:/run/app.sock:/ws",
            "/run/app.sock",
            "/ws",
            "unix:/run/app.sock:/ws",
        ),
        (
            "unix:/run/app.sock:/ws?a=b:c#d",
            "/run/app.sock",
            "/ws?a=b:c",
            "unix:/run/app.sock:/ws?a=b:c",
        ),
        (
            "unix:/run/app.sock:?a",
            "/run/app.sock",
            "/?a",
            "unix:/run/app.sock:/?a",
        ),
        (
            "unix:/run/app.sock:",
            "/run/app.sock",
            "/",
            "unix:/run/app.sock",
        ),
        ("unix:///run/a b", "/run/a b", "/", "unix:/run/a b"),
        ("WS+unix:/a:/b", "/a", "/b", "unix:/a:/b"),
        ("ws+unix:///a:/b", "/a", "/b", "unix:/a:/b"),
        ("wss+unix:/a", "/a", "/", "wss+unix:/a"),
        ("unix:@app:/ws", "@app", "/ws", "unix:@app:/ws"),
    ] {
        let parsed = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!(parsed.unix_socket(), Some(socket), "{url}");
        assert_eq!(parsed.target(), target, "{url}");
        assert_eq!(parsed.to_string(), shown);
        assert_eq!(Url::parse(shown).as_ref(), Ok(&parsed));
        assert_eq!(parsed.host_header(), "localhost");
        assert_eq!(parsed.is_secure(), url.starts_with("wss"));
    }
    let long = format!("unix:/{}", "x".repeat(107));
    for (url, error) in [
        ("unix:", UrlError::UnixSocket),
        ("unix:/", UrlError::UnixSocket),
        ("unix://", UrlError::UnixSocket),
        ("unix:@", UrlError::UnixSocket),
        ("unix:app.sock", UrlError::UnixSocket),
        ("unix:/run/", UrlError::UnixSocket),
        ("unix:/a\0b", UrlError::UnixSocket),
        ("unix://host/a.sock", UrlError::UnixSocket),
        ("unix:/a:b", UrlError::Target),
        ("unix:/a:/b\nc", UrlError::Target),
        (&*long, UrlError::UnixSocketTooLong),
    ] {
        assert_eq!(
            Url::parse(url).map(|url| url.to_string()),
            Err(error),
            "{url:?}"
        );
    }
}

#[test]
fn a_redirect_of_a_server_on_a_unix_socket_stays_there_unless_it_names_another() {
    let base = Url::parse("unix:/run/app.sock:/a/b").unwrap();
    for (location, joined) in [
        ("/x", "unix:/run/app.sock:/x"),
        ("x", "unix:/run/app.sock:/a/x"),
        ("http://localhost/x", "unix:/run/app.sock:/x"),
        ("http://localhost:8080/x", "ws://localhost:8080/x"),
        ("//other/x", "ws://other/x"),
    ] {
        assert_eq!(base.join(location).unwrap().to_string(), joined);
    }
    let elsewhere = base.with_target("/c").unwrap();
    assert_eq!(elsewhere.unix_socket(), Some("/run/app.sock"));
}
