//! [`Target`]: where to connect, and how.

use std::path::Path;

use anyhow::{Context as _, ensure};
use tidewire::{
    tls::ClientTls,
    ws::{Client, Url, WebSocket},
};
use tidewire_auth::first_parameter;
use tidewire_hub::UserId;

use super::dialect::Dialect;

/// What the command line says about connections.
#[derive(Debug)]
pub(super) struct Target {
    url: String,
    connects_at_once: bool,
    headers: Vec<(String, String)>,
    tls: Option<ClientTls>,
    to: Option<UserId>,
}

impl Target {
    /// # Errors
    /// A file that cannot be used, or an address that could never be connected to.
    pub(super) fn new(
        url: Option<&str>,
        headers: Vec<(String, String)>,
        ca: Option<&Path>,
        to: Option<UserId>,
    ) -> anyhow::Result<Self> {
        let target = Self {
            url: url.unwrap_or(DEFAULT_URL).to_owned(),
            connects_at_once: url.is_some(),
            headers,
            tls: ca.map(ClientTls::with_ca).transpose()?,
            to,
        };
        target.client(&target.url)?;
        if target.connects_at_once {
            target.dialect(&target.url)?;
        }
        Ok(target)
    }

    /// Where `connect` goes.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Returns whether the command line named an address.
    pub(super) fn connects_at_once(&self) -> bool {
        self.connects_at_once
    }

    /// Connects to `url`.
    ///
    /// # Cancel safety
    /// Cancel safe: when dropped, the attempt is given up.
    pub(super) async fn connect(&self, url: &str) -> anyhow::Result<(WebSocket, Dialect)> {
        let dialect = self.dialect(url)?;
        Ok((self.client(url)?.connect().await?, dialect))
    }

    fn client(&self, url: &str) -> anyhow::Result<Client> {
        let mut client =
            Client::new(url).with_context(|| format!("{:?}", Url::without_credentials(url)))?;
        for (name, value) in &self.headers {
            client = client.header(name, value);
        }
        if let Some(tls) = &self.tls {
            client = client.tls(tls.clone());
        }
        Ok(client)
    }

    fn dialect(&self, url: &str) -> anyhow::Result<Dialect> {
        let Some(recipient) = self.to.clone() else {
            return Ok(Dialect::Plain);
        };
        let url = Url::parse(url)?;
        let sender = user(url.target()).context("--to needs a URL with ?id=")?;
        Ok(Dialect::Envelope { sender, recipient })
    }
}

/// Reads `NAME: VALUE`.
pub(super) fn header(text: &str) -> anyhow::Result<(String, String)> {
    let (name, value) = text.split_once(':').context("expected NAME: VALUE")?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    ensure!(
        !name.is_empty() && name.bytes().all(is_token),
        "expected letters, digits and hyphens before the colon"
    );
    let value = value.trim();
    ensure!(
        !value.bytes().any(|byte| byte.is_ascii_control()),
        "expected no control characters"
    );
    Ok((name.to_owned(), value.to_owned()))
}

/// The user in a request's query, as the server reads it.
fn user(target: &str) -> anyhow::Result<UserId> {
    let (_, query) = target.split_once('?').context("there is no query")?;
    let value = first_parameter(query, "id").context("there is no id")?;
    Ok(UserId::from_query(value)?)
}

///
const DEFAULT_URL: &str = "ws://127.0.0.1:8080";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sender_is_the_id_in_the_url() {
        for (target, expected) in [
            ("/chat?id=42", Some("42")),
            ("/chat?x=1&ID=b%C3%B8b&id=2", Some("bøb")),
            ("/chat", None),
            ("/chat?id", None),
            ("/chat?id=", None),
            ("/chat?id=%4", None),
            ("/chat?id=%FF", None),
            ("/chat?id=042", Some("042")),
            ("/chat?id=J%C3%B6rg+K", Some("Jörg K")),
            ("/chat?id=+42", None),
        ] {
            let user = user(target).ok().map(|user| user.to_string());
            assert_eq!(user.as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn headers_are_name_colon_value() {
        let read = |text| header(text).ok();
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(read("X-A:  b: c "), pair("X-A", "b: c"));
        assert_eq!(read("X-A:"), pair("X-A", ""));
        for wrong in ["", "X-A", ": b", "X A: b", "X-A: b\r\nX-B: c"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
