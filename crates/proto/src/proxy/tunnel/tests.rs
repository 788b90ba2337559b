//! Conversations with proxies, cut anywhere.

use proptest::prelude::*;

use super::*;
use crate::proxy::Credentials;

const SOCKS: &str = "socks5://proxy";
const OK_V4: &[u8] = b"\x05\x00\x00\x01\0\0\0\0\x12\x34";
const CONNECTED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// What was written to the proxy, and the bytes behind the tunnel's beginning.
type Talk = (Vec<Vec<u8>>, Option<Vec<u8>>);

/// Feeds `answer` in pieces of `step` bytes. No bytes behind: more is
/// needed.
fn talk(proxy: &str, host: &str, answer: &[u8], step: usize) -> Result<Talk, TunnelError> {
    let proxy = ProxyUrl::parse(proxy).unwrap();
    let (mut tunnel, first) = Tunnel::new(&proxy, host, 443)?;
    let mut written = vec![first];
    let mut input = Vec::new();
    let mut pieces = answer.chunks(step);
    loop {
        match tunnel.receive(&input)? {
            Step::More => match pieces.next() {
                Some(piece) => input.extend_from_slice(piece),
                None => return Ok((written, None)),
            },
            Step::Write { used, bytes } => {
                input.drain(..used);
                written.push(bytes);
            }
            Step::Open { used } => {
                input.drain(..used);
                input.extend(pieces.flatten());
                return Ok((written, Some(input)));
            }
        }
    }
}

/// The whole conversation in every cut, each of its prefixes, and bytes of the server behind.
fn check(proxy: &str, host: &str, answer: &[u8], expected: &[&[u8]]) {
    let expected: Vec<Vec<u8>> = expected.iter().map(|bytes| bytes.to_vec()).collect();
    let with_more = [answer, b"\x05early"].concat();
    for step in 1..=with_more.len() {
        let result = talk(proxy, host, &with_more, step).unwrap();
        assert_eq!(result, (expected.clone(), Some(b"\x05early".to_vec())));
    }
    for cut in 0..answer.len() {
        let (_, behind) = talk(proxy, host, &answer[..cut], 3).unwrap();
        assert_eq!(behind, None, "cut at {cut}");
    }
}

#[test]
fn connect_opens_a_tunnel_with_any_2xx_in_any_cut() {
    let request = b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n";
    for answer in [
        CONNECTED,
        b"HTTP/1.0 200 OK\r\nVia: x\r\n\r\n",
        b"HTTP/1.1 299 \r\nContent-Length: 5\r\n\r\n",
    ] {
        check("http://proxy", "example.com", answer, &[request]);
    }
}

#[test]
fn connect_brackets_ipv6_and_sends_credentials() {
    check(
        "http://Aladdin:open%20sesame@proxy",
        "2001:db8::1",
        CONNECTED,
        &[
            b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\
            Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n",
        ],
    );
}

#[test]
fn interim_answers_are_passed_over_a_few_times() {
    let interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    let answer = |count| [interim.repeat(count), CONNECTED.to_vec()].concat();
    for step in [1, 7, 500] {
        let (written, behind) = talk("http://proxy", "a", &answer(4), step).unwrap();
        assert!(written[1..].iter().all(Vec::is_empty));
        assert_eq!(behind, Some(Vec::new()));
        let result = talk("http://proxy", "a", &answer(5), step);
        assert_eq!(result, Err(TunnelError::Status(103)));
    }
}

#[test]
fn what_does_not_open_a_tunnel_is_an_error_that_tells_why() {
    let long = [&b"HTTP/1.1 200 OK\r\nX: "[..], &vec![b'a'; 20_000]].concat();
    for (answer, error) in [
        (
            &b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..],
            TunnelError::Unauthorized,
        ),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", TunnelError::Status(403)),
        (
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            TunnelError::Status(101),
        ),
        (
            b"HTTP/1.1 302 Found\r\nLocation: x\r\n\r\n",
            TunnelError::Status(302),
        ),
        (
            b"HTTP/1.1 2000 OK\r\n\r\n",
            TunnelError::Head(HeadError::Malformed),
        ),
        (
            b"HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
            TunnelError::Head(HeadError::Malformed),
        ),
        (b"H2", TunnelError::Unexpected("an HTTP/1 answer")),
        (b"\x05\x00", TunnelError::Unexpected("an HTTP/1 answer")),
    ] {
        for step in [1, 7, answer.len()] {
            let result = talk("http://proxy", "a", answer, step);
            assert_eq!(result, Err(error.clone()), "{}", answer.escape_ascii());
        }
    }
    let result = talk("http://proxy", "a", &long, 100);
    assert!(matches!(
        result,
        Err(TunnelError::Head(HeadError::TooLarge { .. }))
    ));
}

#[test]
fn socks_opens_a_tunnel_without_login_in_any_cut() {
    for reply in [
        OK_V4,
        b"\x05\x00\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x12\x34",
        b"\x05\x00\x00\x03\x03abc\x12\x34",
        b"\x05\x00\x00\x03\x00\x12\x34",
    ] {
        check(
            SOCKS,
            "example.com",
            &[b"\x05\x00", reply].concat(),
            &[b"\x05\x01\x00", b"\x05\x01\x00\x03\x0bexample.com\x01\xbb"],
        );
    }
}

#[test]
fn socks_addresses_are_sent_as_addresses() {
    let answer = &[b"\x05\x00", OK_V4].concat();
    check(
        SOCKS,
        "192.0.2.1",
        answer,
        &[b"\x05\x01\x00", b"\x05\x01\x00\x01\xc0\x00\x02\x01\x01\xbb"],
    );
    check(
        SOCKS,
        "::1",
        answer,
        &[
            b"\x05\x01\x00",
            b"\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x01\xbb",
        ],
    );
}

#[test]
fn socks_credentials_are_sent_only_when_the_proxy_asks() {
    let request = &b"\x05\x01\x00\x03\x01a\x01\xbb"[..];
    let proxy = "socks5://user:pass@proxy";
    check(
        proxy,
        "a",
        &[b"\x05\x02\x01\x00", OK_V4].concat(),
        &[b"\x05\x02\x00\x02", b"\x01\x04user\x04pass", request],
    );
    check(
        proxy,
        "a",
        &[b"\x05\x00", OK_V4].concat(),
        &[b"\x05\x02\x00\x02", request],
    );
}

#[test]
fn a_socks_proxy_that_refuses_is_understood_by_name() {
    let login = "socks5://user:pass@proxy";
    let unexpected = TunnelError::Unexpected;
    for (proxy, answer, error) in [
        (SOCKS, &b"\x05\xff"[..], TunnelError::Unauthorized),
        (
            SOCKS,
            b"\x05\x02",
            unexpected("a SOCKS5 method that was offered"),
        ),
        (
            SOCKS,
            b"\x05\x01",
            unexpected("a SOCKS5 method that was offered"),
        ),
        (SOCKS, b"\x04", unexpected("SOCKS version 5")),
        (SOCKS, b"HTTP/1.1 400", unexpected("SOCKS version 5")),
        (login, b"\x05\x02\x01\x01", TunnelError::Unauthorized),
        (
            login,
            b"\x05\x02\x05\x00",
            unexpected("the answer to a SOCKS5 login"),
        ),
        (
            SOCKS,
            b"\x05\x00\x05\x05",
            TunnelError::Reply(SocksReply::ConnectionRefused),
        ),
        (
            SOCKS,
            b"\x05\x00\x05\x09",
            TunnelError::Reply(SocksReply::Unassigned(9)),
        ),
        (SOCKS, b"\x05\x00\x06", unexpected("SOCKS version 5")),
        (
            SOCKS,
            b"\x05\x00\x05\x00\x00\x02",
            unexpected("a SOCKS5 address type"),
        ),
    ] {
        for step in [1, answer.len()] {
            let result = talk(proxy, "a", answer, step);
            assert_eq!(result, Err(error.clone()), "{}", answer.escape_ascii());
        }
    }
    let names: Vec<String> = (1..=9)
        .map(|code| SocksReply::from(code).to_string())
        .collect();
    assert_eq!(names[3], "host unreachable");
    assert_eq!(names[8], "unassigned reply 9");
}

#[test]
fn a_host_cannot_break_the_request() {
    let long = "a".repeat(256);
    for proxy in ["http://proxy", SOCKS] {
        for host in [
            "",
            "a\r\nX: y",
            "a b",
            "a:1",
            "a/b",
            "a@b",
            "[::1]",
            "a\0",
            &long,
        ] {
            assert_eq!(
                talk(proxy, host, b"", 1),
                Err(TunnelError::Host),
                "{host:?}"
            );
        }
    }
}

#[test]
fn a_tunnel_does_not_print_credentials() {
    for scheme in ["http", "socks5"] {
        let proxy = ProxyUrl::parse(&format!("{scheme}://proxy"))
            .and_then(|proxy| proxy.with_credentials(Credentials::new("alice", "secret")))
            .unwrap();
        let (tunnel, _) = Tunnel::new(&proxy, "a", 1).unwrap();
        let printed = format!("{tunnel:?}");
        assert!(!printed.contains("secret") && !printed.contains("115, 101, 99"));
    }
}

proptest! {
    #[test]
    fn answers_of_any_kind_end_the_same_in_any_cut(
        socks in any::<bool>(), start in 0_usize..3,
        bytes in proptest::collection::vec(any::<u8>(), 0..80), step in 1_usize..80,
    ) {
        let proxy = if socks { SOCKS } else { "http://proxy" };
        let start = [&b""[..], b"\x05\x00\x05\x00\x00", b"HTTP/1.1 200 OK\r\n"][start];
        let answer = [start, &bytes].concat();
        prop_assert_eq!(talk(proxy, "a", &answer, step), talk(proxy, "a", &answer, answer.len().max(1)));
    }
}
