//! The opening handshake: heads in any cut, addresses, and both ends against each other.

use arbitrary::Unstructured;
use bytes::Bytes;
use tidewire_proto::handshake::{
    AcceptOptions, ClientRequest, HeadLimits, HeadScanner, Refusal, RequestHead, RequestOptions,
    ResponseHead, Url, accept, accept_key,
};

use crate::script;

const SUBPROTOCOLS: &[&str] = &["chat", "superchat"];

pub(crate) fn request_head(data: &[u8]) {
    let Some((bytes, limits)) = scan(data) else {
        return;
    };
    match RequestHead::parse(bytes.clone(), limits) {
        Ok(head) => {
            // The documented exception: an empty target is read as `/`.
            if !bytes.starts_with(b"GET  HTTP/") {
                assert_eq!(head.as_bytes(), &bytes, "a head keeps its bytes");
            }
            check_fields(head.fields(), limits);
            let path_len = head.path().len();
            assert!(head.target().len() >= path_len, "the path is in the target");
            for name in ["id", "", "\u{fffd}"] {
                let found = (head.query_parameter(name), head.cookie(name));
                drop(found);
            }
            let token = head.bearer().unwrap_or("a");
            assert!(!token.is_empty(), "a token is something");
            match accept(&head, options()) {
                Ok(accepted) => check_accepted(&accepted.response, accepted.subprotocol.as_deref()),
                Err(refusal) => check_refusal(&refusal),
            }
        }
        Err(error) => check_refusal(&Refusal::from(error)),
    }
}

pub(crate) fn response_head(data: &[u8]) {
    let Some((bytes, limits)) = scan(data) else {
        return;
    };
    let Ok(head) = ResponseHead::parse(bytes, limits) else {
        return;
    };
    check_fields(head.fields(), limits);
    let url = Url::parse("ws://localhost/").expect("a valid address");
    let request = ClientRequest::new(
        &url,
        *b"the sample nonce",
        request_options(&["chat".to_owned()]),
    )
    .expect("a valid request");
    if let Ok(chosen) = request.verify(&head) {
        assert_eq!(head.status(), 101);
        assert!(head.has_token("upgrade", "websocket"));
        assert!(head.has_token("connection", "upgrade"));
        // The example of RFC 6455 section 1.3.
        let expected: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        assert!(head.values("sec-websocket-accept").eq([expected]));
        assert!(
            chosen.subprotocol.is_none_or(|name| name == "chat"),
            "only what was offered can be chosen"
        );
    }
}

/// An address that is taken makes a request which the server's end understands and accepts.
pub(crate) fn url(data: &[u8]) {
    let Some((nonce, text)) = data.split_first_chunk::<16>() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let Ok(url) = Url::parse(text) else {
        return;
    };
    assert!(!url.host().is_empty(), "an address has a host");
    let offered = ["superchat".to_owned(), "chat".to_owned()];
    let request =
        ClientRequest::new(&url, *nonce, request_options(&offered)).expect("no argument is wrong");
    // The limits bound what is received; this head is ours.
    let limits = HeadLimits {
        bytes_max: request.request.len(),
        fields_max: 64,
    };
    let bytes = Bytes::from(request.request.clone().into_bytes());
    let end = HeadScanner::default().scan(&bytes, limits);
    assert_eq!(end, Ok(Some(bytes.len())), "an address cannot end the head");
    let head = RequestHead::parse(bytes, limits).expect("a request of ours is well-formed");
    assert_eq!(head.target(), url.target());
    let fields = 6 + usize::from(url.authorization().is_some());
    assert_eq!(
        head.fields().count(),
        fields,
        "an address cannot add fields"
    );
    let accepted = accept(&head, options()).expect("a request of ours is accepted");
    let response = Bytes::from(accepted.response.into_bytes());
    let response = ResponseHead::parse(response, HeadLimits::default()).expect("our own answer");
    let agreed = request.verify(&response).expect("our own answer fits");
    assert_eq!(agreed.subprotocol.as_deref(), Some("chat"));
    let again =
        Url::parse(&url.to_string()).expect("what was parsed can be written and parsed again");
    assert_eq!(
        (
            again.is_secure(),
            again.host(),
            again.port(),
            again.target()
        ),
        (url.is_secure(), url.host(), url.port(), url.target())
    );
    assert!(
        again.authorization().is_none(),
        "what is written shows no credentials"
    );
}

/// The accept value is Base64 of 20 bytes, whatever the key.
pub(crate) fn accept_value(data: &[u8]) {
    let value = accept_key(data);
    let (body, end) = value.split_at(27);
    assert_eq!(end, "=", "20 bytes make 27 digits and one pad");
    assert!(
        body.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
    );
    assert_eq!(value, accept_key(data), "equal keys give equal values");
}

/// The head at the start of `data`, found in any cut, and the limits in force.
fn scan(data: &[u8]) -> Option<(Bytes, HeadLimits)> {
    let mut u = Unstructured::new(data);
    let small: bool = u.arbitrary().ok()?;
    let cuts = script::cuts(&mut u).ok()?;
    let bytes = u.take_rest();
    let limits = if small {
        HeadLimits {
            bytes_max: 256,
            fields_max: 8,
        }
    } else {
        HeadLimits::default()
    };
    let whole = HeadScanner::default().scan(bytes, limits);
    let mut scanner = HeadScanner::default();
    let mut sizes = cuts.iter().cycle();
    let mut len = 0;
    let mut found = Ok(None);
    while found == Ok(None) && len < bytes.len() {
        let size = sizes
            .next()
            .map_or(bytes.len(), |size| usize::from(*size).max(1));
        len = len.saturating_add(size).min(bytes.len());
        found = scanner.scan(&bytes[..len], limits);
    }
    assert_eq!(found, whole, "the same end in any cut");
    let end = whole.ok()??;
    assert!(end <= limits.bytes_max, "a head within the limit");
    assert!(bytes[..end].ends_with(b"\r\n\r\n"));
    Some((Bytes::copy_from_slice(&bytes[..end]), limits))
}

fn check_fields<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>, limits: HeadLimits) {
    let mut count = 0;
    for (name, value) in fields {
        count += 1;
        assert!(!name.is_empty(), "a field has a name");
        assert!(
            !name.bytes().any(|byte| byte <= b' ' || byte == b':'),
            "a field's name is a token: {name:?}"
        );
        assert!(
            !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)),
            "a field's value is one line"
        );
    }
    assert!(count <= limits.fields_max, "fields within the limit");
}

fn check_accepted(response: &str, subprotocol: Option<&str>) {
    let head = ResponseHead::parse(Bytes::from(response.to_owned()), HeadLimits::default())
        .expect("our own answer is well-formed");
    assert_eq!(head.status(), 101);
    assert_eq!(head.values("sec-websocket-accept").count(), 1);
    let named: Vec<&[u8]> = head.values("sec-websocket-protocol").collect();
    assert_eq!(
        named,
        subprotocol
            .map(str::as_bytes)
            .into_iter()
            .collect::<Vec<_>>()
    );
    assert!(subprotocol.is_none_or(|name| SUBPROTOCOLS.contains(&name)));
}

fn check_refusal(refusal: &Refusal) {
    assert!((400..600).contains(&refusal.status));
    let response = refusal.to_response();
    let end = response.find("\r\n\r\n").expect("a head") + 4;
    let (head, body) = response.split_at(end);
    let head = ResponseHead::parse(Bytes::from(head.to_owned()), HeadLimits::default())
        .expect("our own answer is well-formed");
    assert_eq!(head.status(), refusal.status);
    let length = body.len().to_string();
    assert!(head.values("content-length").eq([length.as_bytes()]));
}

fn options() -> AcceptOptions<'static> {
    AcceptOptions {
        subprotocols: SUBPROTOCOLS,
        ..AcceptOptions::default()
    }
}

fn request_options(subprotocols: &[String]) -> RequestOptions<'_> {
    RequestOptions {
        subprotocols,
        ..RequestOptions::default()
    }
}
