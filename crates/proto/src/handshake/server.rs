//! The server's side: is this a valid upgrade request, and what is the answer?

use std::fmt::Write as _;

use super::{
    AcceptOptions, Refusal, RequestHead, accept_key, accept_key::is_valid_key,
    client::check_header, extended_connect::check_extended,
};
use crate::{DeflateConfig, DeflateParameters, deflate};

/// The answer to a valid upgrade request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The 101 response, to be written as it is.
    pub response: String,
    /// The chosen subprotocol.
    pub subprotocol: Option<String>,
    /// The compression agreed on, for
    /// [`Connection::with_deflate`](crate::Connection::with_deflate).
    pub deflate: Option<DeflateParameters>,
}

/// Checks an upgrade request and makes the 101 answer.
///
/// # Errors
/// The answer for a request that breaks a rule of section 4.2.1: what was expected is named.
pub fn accept(head: &RequestHead, options: AcceptOptions<'_>) -> Result<Accepted, Refusal> {
    let answer = Answer {
        subprotocol: options.subprotocol_for(head),
        deflate: options.deflate,
        headers: options.headers,
        ..Answer::default()
    };
    answer_with(head, &answer)
}

/// The answer when somebody else has chosen: a gateway passes on what its upstream said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer<'a> {
    /// The chosen subprotocol, one of those the client offered.
    pub subprotocol: Option<&'a str>,
    /// Take an offer of permessage-deflate that these settings can meet.
    pub deflate: Option<&'a DeflateConfig>,
    /// Extensions chosen by somebody else, instead of `deflate`.
    pub extensions: Option<&'a str>,
    /// Further header fields; one that is no field or that the handshake sets itself is left
    /// out.
    pub headers: &'a [(String, String)],
}

/// Returns whether a request may be accepted at all: by [`answer_with`], or for HTTP/2 with the fields of
/// [`Answer::fields`].
///
/// # Errors
/// The answer for a request that breaks a rule of section 4.2.1, or of RFC 8441.
pub fn check_request(head: &RequestHead) -> Result<(), Refusal> {
    if head.is_http2() {
        return check_extended(head);
    }
    check(head).map(|_key| ())
}

/// Checks an upgrade request and makes the 101 answer.
///
/// # Errors
/// The answer for a request that breaks a rule of section 4.2.1: what was expected is named.
pub fn answer_with(head: &RequestHead, answer: &Answer<'_>) -> Result<Accepted, Refusal> {
    let key = check(head)?;
    let (fields, deflate) = answer.fields(head)?;
    let mut response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n",
        accept_key(key),
    );
    for (name, value) in fields {
        write!(response, "{name}: {value}\r\n").expect("writing to a string cannot fail");
    }
    response.push_str("\r\n");
    Ok(Accepted {
        response,
        subprotocol: answer.subprotocol.map(str::to_owned),
        deflate,
    })
}

/// Header fields, and the compression agreed on.
pub type AnswerFields = (Vec<(String, String)>, Option<DeflateParameters>);

impl Answer<'_> {
    /// The header fields of the answer besides those that every one has, and the compression
    /// agreed on.
    ///
    /// # Errors
    /// 400 for a malformed offer of extensions.
    pub fn fields(&self, head: &RequestHead) -> Result<AnswerFields, Refusal> {
        let mut fields = Vec::new();
        if let Some(subprotocol) = self.subprotocol {
            fields.push(("Sec-WebSocket-Protocol".to_owned(), subprotocol.to_owned()));
        }
        let mut agreed = None;
        if let Some(extensions) = self.extensions {
            let printable = !extensions.chars().any(char::is_control);
            fields.extend(
                printable.then(|| ("Sec-WebSocket-Extensions".to_owned(), extensions.to_owned())),
            );
        } else if let Some(config) = self.deflate {
            let accepted = deflate::accept(head.values("sec-websocket-extensions"), config)
                //= rfc6455#9.1: a malformed list of extensions MUST fail the connection
                .map_err(|error| Refusal::new(400, error.to_string()))?;
            if let Some((parameters, text)) = accepted {
                fields.push(("Sec-WebSocket-Extensions".to_owned(), text));
                agreed = Some(parameters);
            }
        }
        let sendable = self
            .headers
            .iter()
            .filter(|(name, value)| check_header(name, value).is_ok());
        fields.extend(sendable.cloned());
        Ok((fields, agreed))
    }
}

/// The key of a request that keeps the rules.
fn check(head: &RequestHead) -> Result<&[u8], Refusal> {
    if head.method() != "GET" {
        let refusal = Refusal::new(405, "a WebSocket is opened with GET");
        return Err(refusal.header("Allow", "GET"));
    }
    if head.minor_version() < 1 {
        return Err(Refusal::new(400, "a WebSocket needs HTTP/1.1"));
    }
    if head.single("host").is_none() {
        return Err(Refusal::new(400, "expected exactly one Host header"));
    }
    // What follows would be taken for frames here, and for a body by a proxy in front.
    let lengths = head.values("content-length").count();
    if head.values("transfer-encoding").next().is_some()
        || (lengths > 0 && head.single("content-length") != Some(b"0"))
    {
        return Err(Refusal::new(400, "expected a request without a body"));
    }
    //= rfc9112#3.2.2: the authority in the target counts; one that differs is meant to deceive
    if let (Some(authority), Some(host)) = (head.target_authority(), head.single("host"))
        && !host.eq_ignore_ascii_case(authority.as_bytes())
    {
        return Err(Refusal::new(400, "expected a Host header as in the target"));
    }
    if !head.has_token("upgrade", "websocket") || !head.has_token("connection", "upgrade") {
        let expected = "expected Upgrade: websocket and Connection: Upgrade";
        return Err(Refusal::upgrade_required(expected));
    }
    //= rfc6455#4.4: the server answers with the versions it supports
    if head.single("sec-websocket-version") != Some(b"13") {
        let refusal = Refusal::upgrade_required("expected Sec-WebSocket-Version: 13");
        return Err(refusal.header("Sec-WebSocket-Version", "13"));
    }
    let key = head
        .single("sec-websocket-key")
        .filter(|key| is_valid_key(key));
    key.ok_or_else(|| Refusal::new(400, "expected one Sec-WebSocket-Key of 16 bytes in Base64"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::handshake::HeadLimits;

    const GOOD: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n";

    fn answer(head: &str, subprotocols: &[&str]) -> Result<Accepted, Refusal> {
        accept(
            &RequestHead::parse(Bytes::from(head.to_owned()), HeadLimits::default()).unwrap(),
            AcceptOptions {
                subprotocols,
                ..AcceptOptions::default()
            },
        )
    }

    #[test]
    fn the_request_of_the_rfc_is_accepted() {
        let accepted = answer(GOOD, &[]).unwrap();
        assert_eq!(
            accepted.response,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        );
    }

    #[test]
    fn fields_of_the_endpoint_are_answered_unless_they_would_break_the_answer() {
        let head = RequestHead::parse(Bytes::from(GOOD), HeadLimits::default()).unwrap();
        let options = AcceptOptions {
            headers: &[
                ("Tidewire-Confirm", "pong"),
                ("Connection", "close"),
                ("Sec-WebSocket-Accept", "mine"),
                ("two words", "x"),
                ("X", "a\r\nY: b"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
            ..AcceptOptions::default()
        };
        let response = accept(&head, options).unwrap().response;
        let plain = accept(&head, AcceptOptions::default()).unwrap().response;
        let told =
            plain.strip_suffix("\r\n").unwrap().to_owned() + "Tidewire-Confirm: pong\r\n\r\n";
        assert_eq!(response, told);
    }

    #[test]
    fn the_servers_favourite_among_the_offered_subprotocols_is_chosen() {
        for (ours, chosen) in [
            (&["superchat", "chat"][..], Some("superchat")),
            (&["other"], None),
            (&["CHAT"], None),
            (&["other", "chat"], Some("chat")),
        ] {
            assert_eq!(
                answer(GOOD, ours).unwrap().subprotocol.as_deref(),
                chosen,
                "{ours:?}"
            );
        }
    }

    #[test]
    fn a_target_in_absolute_form_is_accepted_with_the_same_host() {
        let host = "http://Server.example.com/chat";
        answer(&GOOD.replace("/chat", host), &[]).unwrap();
        let other = answer(&GOOD.replace("/chat", "http://other/chat"), &[]);
        assert_eq!(other.unwrap_err().status, 400);
    }

    #[test]
    fn an_answer_426_names_the_upgrade_as_http_demands() {
        for bad in [
            GOOD.replace("Version: 13", "Version: 8"),
            GOOD.replace("Connection: Upgrade", "Connection: close"),
        ] {
            let response = answer(&bad, &[]).unwrap_err().to_response();
            assert!(
                response.contains("\r\nUpgrade: websocket\r\n"),
                "{response}"
            );
            assert!(
                response.contains("\r\nConnection: close, upgrade\r\n"),
                "{response}"
            );
        }
    }

    #[test]
    fn firefoxs_connection_list_is_accepted() {
        answer(
            &GOOD.replace("Connection: Upgrade", "connection:keep-alive,Upgrade"),
            &[],
        )
        .unwrap();
    }

    #[test]
    fn each_broken_rule_has_its_status() {
        for (from, to, status) in [
            ("GET", "POST", 405),
            ("HTTP/1.1", "HTTP/1.0", 400),
            ("Host: server.example.com\r\n", "", 400),
            ("Host: ", "Host: a\r\nHost: ", 400),
            ("Upgrade: websocket", "Upgrade: h2c", 426),
            ("Connection: Upgrade", "Connection: close", 426),
            ("Version: 13", "Version: 8", 426),
            ("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=", 400),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400),
        ] {
            let refusal = answer(&GOOD.replacen(from, to, 1), &[]).unwrap_err();
            assert_eq!(refusal.status, status, "{from} -> {to}: {}", refusal.reason);
            assert!(
                refusal
                    .to_response()
                    .starts_with(&format!("HTTP/1.1 {status} "))
            );
        }
    }

    #[cfg(feature = "deflate")]
    #[test]
    fn compression_is_agreed_on_when_it_is_offered_well_and_wanted() {
        let config = DeflateConfig::default();
        let answer = |extensions: &str, deflate| {
            let head = GOOD.replacen("Host", &format!("{extensions}Host"), 1);
            let head = RequestHead::parse(Bytes::from(head), HeadLimits::default()).unwrap();
            let options = AcceptOptions {
                deflate,
                ..AcceptOptions::default()
            };
            accept(&head, options).map(|accepted| {
                let sent = accepted
                    .response
                    .contains("\r\nSec-WebSocket-Extensions: permessage-deflate");
                assert_eq!(accepted.deflate.is_some(), sent);
                sent
            })
        };
        let offer = "Sec-WebSocket-Extensions: foo\r\nsec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n";
        assert_eq!(answer(offer, Some(&config)), Ok(true));
        assert_eq!(answer(offer, None), Ok(false));
        assert_eq!(answer("", Some(&config)), Ok(false));
        let bad = "Sec-WebSocket-Extensions: permessage-deflate;\r\n";
        assert_eq!(answer(bad, Some(&config)).unwrap_err().status, 400);
        assert_eq!(answer(bad, None), Ok(false));
    }
}
