//! Whether a client may use an endpoint: page, credentials, numbers.
//!
//! In: a request and an endpoint. Out: an [`Admitted`] that counts until it is dropped, or an HTTP refusal.
//! Invariant: no upstream is opened for a client that was not admitted.

use std::sync::Arc;

use tidewire::{
    http::{self, RequestTarget},
    proto::handshake::RequestHead,
    ws::{Established, Opening, Refusal, Request},
};
use tidewire_access::{Gate, certificate_names};
use tidewire_auth::{CertificatePart, Denied, Headers};

use crate::{
    backend::forward::Client,
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
    check_origin(head, &client_request.client, endpoint)?;
    if let Some(auth) = &endpoint.auth {
        check_auth(&client_request.request, auth)?;
    }
    let per_ip_max = endpoint.per_client_max;
    connections.take(
        client_request.client.ip(),
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
fn check_origin(head: &RequestHead, client: &Client, endpoint: &Endpoint) -> Result<(), Refusal> {
    let listed: &[String] = match &endpoint.origins {
        Origins::Any => return Ok(()),
        Origins::Same => &[],
        Origins::List(list) => list,
    };
    let host = request::header(head, "host").unwrap_or_default();
    let target = RequestTarget::new(host, Some(client.secure), &client.forwarded);
    let checked = http::check_origin(head.values("origin"), &target, listed);
    checked.map_err(|foreign| {
        let key = format!("endpoints.{}.origins", endpoint.name);
        let mut reason = format!("this origin may not connect; see {key}");
        if let Some(differs) = foreign.differs {
            let (origin, asked) = (&foreign.origin, &foreign.asked);
            reason.push_str(", and behind a proxy trusted_proxies of the listener");
            tracing::info!(
                key, origin, asked, %differs,
                "refused a page's origin that has the host's name: behind a proxy, set trusted_proxies of the listener"
            );
        } else {
            let (origin, asked) = (&foreign.origin, &foreign.asked);
            tracing::info!(key, origin, asked, "refused a page's origin");
        }
        Refusal::new(403, reason)
    })
}

/// Checks the credentials in the request. Who it is does not matter to the gateway: endpoints have credentials of their
/// own, and backends know their users.
fn check_auth(request: &Request, auth: &Gate) -> Result<(), Refusal> {
    auth.check_now(&Fields(request))
        .map(drop)
        .map_err(|denied| {
            tracing::debug!(%denied, "refused");
            if denied == Denied::Unavailable {
                return Refusal::new(
                    503,
                    "the credentials cannot be checked now; try again later",
                );
            }
            let refusal = Refusal::new(401, "valid credentials are needed");
            match auth.challenge() {
                Some(challenge) => refusal.header("WWW-Authenticate", challenge),
                None => refusal,
            }
        })
}

/// A request's fields for the authenticator.
struct Fields<'a>(&'a Request);

impl Headers for Fields<'_> {
    fn values<'a>(&'a self, name: &'a str) -> Box<dyn Iterator<Item = &'a [u8]> + 'a> {
        Box::new(self.0.head.values(name))
    }

    fn query(&self) -> Option<&str> {
        self.0.head.query()
    }

    fn certificate_names(&self, part: CertificatePart) -> Vec<String> {
        certificate_names(&self.0.peer, part)
    }
}

#[cfg(test)]
mod tests {
    use tidewire::proto::{handshake::HeadLimits, proxy::Forwarded};

    use super::*;

    fn head(origin: &str) -> RequestHead {
        let text = format!("GET / HTTP/1.1\r\nHost: a.example\r\n{origin}\r\n");
        RequestHead::parse(text.into(), HeadLimits::default()).unwrap()
    }

    fn check(head: &RequestHead, secure: bool, origins: &Origins) -> Result<(), Refusal> {
        let mut endpoint = Endpoint::new("chat", Vec::new());
        endpoint.origins = origins.clone();
        let client = Client {
            forwarded: Forwarded::default(),
            secure,
            writes_older: true,
        };
        check_origin(head, &client, &endpoint)
    }

    #[test]
    fn pages_of_other_origins_are_refused_unless_listed() {
        let same = head("Origin: https://a.example\r\n");
        let other = head("Origin: https://b.example\r\n");
        let twice = head("Origin: https://a.example\r\nOrigin: https://b.example\r\n");
        let list = Origins::List(Arc::from(["https://B.example".to_owned()]));
        assert!(check(&same, true, &Origins::Same).is_ok());
        assert!(check(&same, false, &Origins::Same).is_err());
        assert!(check(&other, true, &Origins::Same).is_err());
        assert!(check(&twice, true, &Origins::Same).is_err());
        assert!(check(&other, true, &list).is_ok());
        assert!(
            check(&same, true, &list).is_ok(),
            "a list is of further ones"
        );
        assert!(check(&head(""), true, &list).is_ok());
        assert!(check(&twice, true, &list).is_err());
        assert!(check(&twice, true, &Origins::Any).is_ok());
    }

    #[test]
    fn a_refused_page_is_told_which_key_decides() {
        let other = head("Origin: https://b.example\r\n");
        let refusal = check(&other, true, &Origins::Same).unwrap_err();
        assert_eq!(
            (
                refusal.status,
                refusal.reason.contains("endpoints.chat.origins")
            ),
            (403, true)
        );
        assert!(
            !refusal.reason.contains("trusted_proxies"),
            "{}",
            refusal.reason
        );
        for origin in ["https://a.example", "http://a.example:8080"] {
            let refusal = check(
                &head(&format!("Origin: {origin}\r\n")),
                false,
                &Origins::Same,
            );
            let reason = refusal.unwrap_err().reason;
            assert!(reason.contains("trusted_proxies"), "{reason}");
        }
    }
}
