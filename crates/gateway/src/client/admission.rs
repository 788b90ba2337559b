//! Whether a client may use an endpoint: page, credentials, numbers.
//!
//! In: a request and an endpoint. Out: an [`Admitted`] that counts until it is dropped, or an HTTP refusal.
//! Invariant: no upstream is opened for a client that was not admitted.

use std::sync::Arc;

use tidewire::{
    proto::handshake::RequestHead,
    ws::{Established, Opening, Refusal},
};
use tidewire_auth::{Authenticator, Headers};

use crate::{
    client::client_request::ClientRequest,
    routing::{
        connections::{Admitted, ConnectionCounts},
        request,
    },
    settings::{Endpoint, Origins},
};

/// Checks everything, and counts the connection.
pub(crate) fn admit(
    client_request: &ClientRequest,
    endpoint: &Endpoint,
    connections: &Arc<ConnectionCounts>,
) -> Result<Admitted, Refusal> {
    let head = &client_request.request.head;
    check_origin(head, client_request.client.secure, &endpoint.origins)?;
    if let Some(auth) = &endpoint.auth {
        check_auth(head, auth)?;
    }
    let per_ip_max = endpoint.per_client_max;
    connections.take(
        client_request.client.ip,
        endpoint.connections_max,
        per_ip_max,
    )
}

/// Tells the client; then nothing is to be run.
pub(crate) async fn refuse(opening: Opening, refusal: &Refusal) -> Option<Established> {
    if let Err(error) = opening.refuse(refusal).await {
        tracing::debug!(%error, "a refusal was not sent");
    }
    None
}

/// Checks the page's origin (RFC 6455 section 10.2).
fn check_origin(head: &RequestHead, secure: bool, origins: &Origins) -> Result<(), Refusal> {
    if head.values("origin").next().is_none() {
        return Ok(()); // no browser
    }
    let allowed = match (origins, request::header(head, "origin")) {
        (Origins::Any, _) => true,
        (Origins::Same, Some(origin)) => is_same(origin, head, secure),
        (Origins::List(list), Some(origin)) => list
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(origin)),
        (Origins::Same | Origins::List(_), None) => false,
    };
    if allowed {
        return Ok(());
    }
    Err(Refusal::new(403, "this origin may not connect"))
}

fn is_same(origin: &str, head: &RequestHead, secure: bool) -> bool {
    let (scheme, port) = if secure {
        ("https://", ":443")
    } else {
        ("http://", ":80")
    };
    let host = request::header(head, "host").unwrap_or_default();
    let host = host.strip_suffix(port).unwrap_or(host);
    origin
        .strip_prefix(scheme)
        .is_some_and(|rest| !rest.is_empty() && rest.eq_ignore_ascii_case(host))
}

/// Checks the credentials in the request. Who it is does not matter to the gateway: endpoints have credentials of their
/// own, and backends know their users.
fn check_auth(head: &RequestHead, auth: &Authenticator) -> Result<(), Refusal> {
    auth.check(&Fields(head)).map(drop).map_err(|denied| {
        tracing::debug!(%denied, "refused");
        let refusal = Refusal::new(401, "valid credentials are needed");
        match auth.challenge() {
            Some(challenge) => refusal.header("WWW-Authenticate", challenge),
            None => refusal,
        }
    })
}

/// A request's fields for the authenticator.
struct Fields<'a>(&'a RequestHead);

impl Headers for Fields<'_> {
    fn values<'a>(&'a self, name: &'a str) -> Box<dyn Iterator<Item = &'a [u8]> + 'a> {
        Box::new(self.0.values(name))
    }

    fn query(&self) -> Option<&str> {
        self.0.query()
    }
}

#[cfg(test)]
mod tests {
    use tidewire::proto::handshake::HeadLimits;

    use super::*;

    fn head(origin: &str) -> RequestHead {
        let text = format!("GET / HTTP/1.1\r\nHost: a.example\r\n{origin}\r\n");
        RequestHead::parse(text.into(), HeadLimits::default()).unwrap()
    }

    #[test]
    fn pages_of_other_origins_are_refused_unless_listed() {
        let same = head("Origin: https://a.example\r\n");
        let other = head("Origin: https://b.example\r\n");
        let twice = head("Origin: https://a.example\r\nOrigin: https://b.example\r\n");
        let list = Origins::List(Arc::from(["https://B.example".to_owned()]));
        assert!(check_origin(&same, true, &Origins::Same).is_ok());
        assert!(check_origin(&same, false, &Origins::Same).is_err());
        assert!(check_origin(&other, true, &Origins::Same).is_err());
        assert!(check_origin(&twice, true, &Origins::Same).is_err());
        assert!(check_origin(&other, true, &list).is_ok());
        assert!(check_origin(&same, true, &list).is_err());
        assert!(check_origin(&head(""), true, &list).is_ok());
        assert!(check_origin(&twice, true, &Origins::Any).is_ok());
    }
}
