//! What the application passes into a head stays where it was put: a request reads back as it
//! was meant, or is not made.

use tidewire_proto::handshake::{
    AcceptOptions, ClientRequest, HeadLimits, Refusal, RequestError, RequestHead, RequestOptions,
    ResponseHead, Url, accept,
};

/// Every byte that could mean something in a head, and some that do not.
fn values() -> impl Iterator<Item = String> {
    let bytes = (0..=255_u8).map(char::from).map(|c| format!("a{c}b"));
    let texts = [
        "\r\nX-Injected: 1",
        "\nX-Injected: 1",
        "\rX-Injected: 1",
        "\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "%0d%0aX-Injected: 1",
        "\u{2028}X-Injected: 1",
        "\u{85}X-Injected: 1",
        "č\u{10a}X-Injected: 1",
        " HTTP/1.1\r\nX-Injected: 1\r\nX: ",
        "\t",
        " ",
        "",
        "\0",
        ":",
        ": 1",
    ];
    bytes.chain(texts.map(str::to_owned))
}

/// The fields of a request, as a server reads it.
fn read(request: &ClientRequest) -> RequestHead {
    let bytes = request.request.clone();
    let ends = bytes.match_indices("\r\n\r\n").count();
    assert_eq!(ends, 1, "one head: {bytes:?}");
    assert_eq!(
        bytes.matches('\n').count(),
        bytes.matches("\r\n").count(),
        "{bytes:?}"
    );
    assert_eq!(
        bytes.matches('\r').count(),
        bytes.matches("\r\n").count(),
        "{bytes:?}"
    );
    let head = RequestHead::parse(bytes.into(), HeadLimits::default()).unwrap();
    assert!(head.single("x-injected").is_none());
    head
}

fn request(
    url: &str,
    headers: &[(String, String)],
    subprotocols: &[String],
) -> Result<ClientRequest, RequestError> {
    let url = Url::parse(url).unwrap();
    let options = RequestOptions {
        headers,
        subprotocols,
        ..RequestOptions::default()
    };
    ClientRequest::new(&url, [7; 16], options)
}

#[test]
fn header_values_read_back_as_they_were_given_or_are_refused() {
    let mut made = 0;
    for value in values() {
        let headers = [("X-Mine".to_owned(), value.clone())];
        match request("ws://a/", &headers, &[]) {
            Ok(request) => {
                let head = read(&request);
                let got = head.single("x-mine").unwrap();
                assert_eq!(got, value.trim_matches([' ', '\t']).as_bytes(), "{value:?}");
                assert_eq!(head.fields().count(), 6, "{value:?}");
                made += 1;
            }
            Err(error) => assert!(
                matches!(error, RequestError::HeaderValue(_))
                    && value.chars().any(char::is_control),
                "{value:?}: {error}"
            ),
        }
    }
    assert!(made > 100, "{made}");
}

#[test]
fn header_names_read_back_as_they_were_given_or_are_refused() {
    for name in values() {
        let headers = [(name.clone(), "mine".to_owned())];
        if let Ok(request) = request("ws://a/", &headers, &[]) {
            assert_eq!(read(&request).single(&name), Some(&b"mine"[..]), "{name:?}");
        }
    }
}

#[test]
fn subprotocols_read_back_as_they_were_given_or_are_refused() {
    for name in values() {
        let Ok(request) = request("ws://a/", &[], std::slice::from_ref(&name)) else {
            continue;
        };
        let head = read(&request);
        let options = AcceptOptions {
            subprotocols: &[&name],
            ..AcceptOptions::default()
        };
        assert_eq!(accept(&head, options).unwrap().subprotocol, Some(name));
    }
}

#[test]
fn a_url_reads_back_as_it_was_given_or_is_refused() {
    let mut made = 0;
    for value in values() {
        for url in [
            format!("ws://a/{value}"),
            format!("ws://a/?q={value}"),
            format!("ws://a{value}/"),
            format!("{value}ws://a/"),
        ] {
            let Ok(url) = Url::parse(&url) else { continue };
            let request = ClientRequest::new(&url, [7; 16], RequestOptions::default()).unwrap();
            let head = read(&request);
            assert_eq!(head.target(), url.target());
            assert_eq!(head.single("host"), Some(url.host_header().as_bytes()));
            // Credentials are one field, and what they hold cannot begin another.
            assert_eq!(
                head.single("authorization"),
                url.authorization().map(str::as_bytes)
            );
            let count = 5 + usize::from(url.authorization().is_some());
            assert_eq!(head.fields().count(), count);
            made += 1;
        }
    }
    assert!(made > 100, "{made}");
}

/// undici wrote the `upgrade` option into the request unchecked; here the application cannot
/// set what the handshake sets, in any spelling.
#[test]
fn cve_2026_1527_the_fields_of_the_upgrade_cannot_be_set_from_outside() {
    for name in [
        "Upgrade",
        "upgrade",
        "UPGRADE",
        "Connection",
        "Sec-WebSocket-Key",
        "sec-websocket-version",
        "Sec-WebSocket-Extensions",
        "SEC-WEBSOCKET-PROTOCOL",
        "Content-Length",
        "Transfer-Encoding",
    ] {
        for value in ["x", "websocket\r\nX-Injected: 1"] {
            let headers = [(name.to_owned(), value.to_owned())];
            let error = request("ws://a/", &headers, &[]).unwrap_err();
            assert!(
                matches!(
                    error,
                    RequestError::Reserved(_) | RequestError::HeaderValue(_)
                ),
                "{name}: {error}"
            );
        }
    }
}

/// A gateway asks for the host that its client asked for.
#[test]
fn a_host_from_outside_is_one_authority_and_stands_alone() {
    let one = |value: &str| [("host".to_owned(), value.to_owned())];
    let made = request("ws://a/", &one("b.example:99"), &[]).unwrap();
    assert_eq!(read(&made).single("host"), Some(&b"b.example:99"[..]));
    for value in ["", "b c", "b\r\nX-Injected: 1", "u@b", "b/c", "b:99999"] {
        let error = request("ws://a/", &one(value), &[]).unwrap_err();
        assert!(
            matches!(error, RequestError::HeaderValue(_)),
            "{value:?}: {error}"
        );
    }
    let two = [one("b"), one("c")].concat();
    let error = request("ws://a/", &two, &[]).unwrap_err();
    assert!(matches!(error, RequestError::Reserved(_)), "{error}");
}

#[test]
fn a_refusal_cannot_be_split() {
    for value in values() {
        let refusal = Refusal::new(403, value.clone()).header("X-Mine", value.clone());
        let response = refusal.to_response();
        let end = response.find("\r\n\r\n").unwrap() + 4;
        let (head, body) = response.split_at(end);
        assert_eq!(body, format!("{value}\n"));
        let parsed = ResponseHead::parse(head.to_owned().into(), HeadLimits::default());
        let parsed = parsed.unwrap_or_else(|error| panic!("{value:?}: {error}"));
        assert_eq!(parsed.values("x-injected").count(), 0, "{value:?}");
        let length = parsed.values("content-length").next().unwrap();
        assert_eq!(length, body.len().to_string().as_bytes(), "{value:?}");
    }
}
