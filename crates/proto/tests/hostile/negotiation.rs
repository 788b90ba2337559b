//! Agreeing on compression with a peer that answers or asks for nonsense.

use tidewire_proto::{
    DeflateConfig, ExtensionError,
    handshake::{
        AcceptOptions, ClientRequest, HandshakeError, HeadLimits, RequestHead, RequestOptions,
        ResponseHead, Url, accept, accept_key,
    },
};

use crate::heads::UPGRADE;

fn free() -> DeflateConfig {
    let mut config = DeflateConfig::default();
    config.context_takeover = true;
    config.peer_context_takeover = true;
    config
}

/// What a client with this offer says to a server's choice.
fn answered(offered: Option<&DeflateConfig>, value: &str) -> Result<bool, HandshakeError> {
    let options = RequestOptions {
        deflate: offered,
        ..RequestOptions::default()
    };
    let request = ClientRequest::new(&Url::parse("ws://a/").unwrap(), [7; 16], options).unwrap();
    let head = RequestHead::parse(request.request.clone().into(), HeadLimits::default()).unwrap();
    let key = accept_key(head.single("sec-websocket-key").unwrap());
    let answer = format!(
        "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {key}\r\n\
         Sec-WebSocket-Extensions: {value}\r\n\r\n"
    );
    let answer = ResponseHead::parse(answer.into(), HeadLimits::default()).unwrap();
    request
        .verify(&answer)
        .map(|agreed| agreed.deflate.is_some())
}

/// Whether a server agrees to a client's offer, or its refusal's status.
fn offered(value: &str) -> Result<bool, u16> {
    let head = format!("GET / HTTP/1.1\r\n{UPGRADE}Sec-WebSocket-Extensions: {value}\r\n\r\n");
    let head = RequestHead::parse(head.into(), HeadLimits::default()).unwrap();
    let config = free();
    let options = AcceptOptions {
        deflate: Some(&config),
        ..AcceptOptions::default()
    };
    accept(&head, options)
        .map(|accepted| accepted.deflate.is_some())
        .map_err(|refusal| refusal.status)
}

const ABSURD: [&str; 22] = [
    "0",
    "1",
    "7",
    "16",
    "17",
    "99",
    "08",
    "09",
    "010",
    "015",
    "0015",
    "-9",
    "+9",
    "9.0",
    "1e1",
    "0x9",
    "a",
    "\"\"",
    "256",
    "264",
    "4294967304",
    "18446744073709551624",
];

/// undici passed the value of the server to zlib, which threw where nothing caught it.
#[test]
fn cve_2026_2229_window_bits_out_of_range_fail_the_handshake_of_a_client() {
    for side in ["server", "client"] {
        for bits in 8..=15 {
            let value = format!("permessage-deflate; {side}_max_window_bits={bits}");
            assert_eq!(answered(Some(&free()), &value), Ok(true), "{value}");
            let quoted = format!("permessage-deflate; {side}_max_window_bits=\"{bits}\"");
            assert_eq!(answered(Some(&free()), &quoted), Ok(true), "{quoted}");
        }
        for bits in ABSURD {
            let value = format!("permessage-deflate; {side}_max_window_bits={bits}");
            let error = answered(Some(&free()), &value).unwrap_err();
            assert!(
                matches!(error, HandshakeError::Extension(_)),
                "{value}: {error}"
            );
        }
    }
}

#[test]
fn cve_2026_2229_window_bits_out_of_range_are_declined_by_a_server() {
    for side in ["server", "client"] {
        for bits in 8..=15 {
            let value = format!("permessage-deflate; {side}_max_window_bits={bits}");
            // No compressor keeps to 8 (and zlib's own did not).
            let expected = !(side == "server" && bits == 8);
            assert_eq!(offered(&value), Ok(expected), "{value}");
        }
        for bits in ABSURD {
            let value = format!("permessage-deflate; {side}_max_window_bits={bits}");
            assert!(matches!(offered(&value), Ok(false) | Err(400)), "{value}");
            let again = format!("{value}, permessage-deflate");
            assert!(matches!(offered(&again), Ok(true) | Err(400)), "{again}");
        }
    }
}

#[test]
fn what_was_not_offered_cannot_be_chosen() {
    for value in ["permessage-deflate", "x-webkit-deflate-frame", "foo; bar=1"] {
        let error = answered(None, value).unwrap_err();
        assert_eq!(
            error,
            HandshakeError::Extension(ExtensionError::NotOffered),
            "{value}"
        );
    }
    for value in [
        "permessage-deflate, permessage-deflate",
        "permessage-deflate, foo",
        "foo",
        "permessage-deflate; foo",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
        "permessage-deflate; client_max_window_bits",
        ",;,",
        "permessage-deflate;",
        "=",
        "\"permessage-deflate\"",
    ] {
        let error = answered(Some(&free()), value).unwrap_err();
        assert!(
            matches!(error, HandshakeError::Extension(_)),
            "{value}: {error}"
        );
    }
    // The default wants no context kept: a server that keeps it anyway is refused.
    let error = answered(Some(&DeflateConfig::default()), "permessage-deflate").unwrap_err();
    assert!(matches!(error, HandshakeError::Extension(_)), "{error}");
}
