//! A WebSocket request on HTTP/2 that was not answered yet.

use std::io;

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::{HeaderValue, StatusCode, header};
use tidewire_proto::handshake::Refusal;

use crate::net::http2::{self, Http2Stream};

/// A WebSocket request that was not answered yet.
pub(super) struct Unanswered {
    pub(super) respond: SendResponse<Bytes>,
    pub(super) incoming: RecvStream,
}

impl Unanswered {
    pub(super) fn refuse(mut self, refusal: &Refusal) -> io::Result<()> {
        refuse(&mut self.respond, refusal).map_err(http2::io_error)
    }

    pub(super) fn accept(mut self, fields: &[(String, String)]) -> io::Result<Http2Stream> {
        let mut response = http::Response::new(());
        for (name, value) in fields {
            let name = http::HeaderName::from_bytes(name.as_bytes()).map_err(io::Error::other)?;
            let value = HeaderValue::from_str(value).map_err(io::Error::other)?;
            response.headers_mut().append(name, value);
        }
        let outgoing = self
            .respond
            .send_response(response, false)
            .map_err(http2::io_error)?;
        Ok(Http2Stream::new(outgoing, self.incoming, None))
    }
}

/// Answers with an HTTP error.
pub(super) fn refuse(
    respond: &mut SendResponse<Bytes>,
    refusal: &Refusal,
) -> Result<(), h2::Error> {
    let mut response = http::Response::new(());
    *response.status_mut() =
        StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let (media_type, body) = refusal.content();
    if let Ok(media_type) = HeaderValue::from_str(media_type)
        && !media_type.is_empty()
    {
        headers.insert(header::CONTENT_TYPE, media_type);
    }
    for (name, value) in refusal.http2_fields() {
        // What cannot be sent could split the response over HTTP/1.1.
        let name = http::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let body = Bytes::from(body.into_owned());
    let mut sender = respond.send_response(response, false)?;
    sender.send_data(body, true)
}
