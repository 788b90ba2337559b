//! [`Remote`]: asking somebody else's HTTP service about the credentials of a request.
//!
//! In: a credential as the client sent it. Out: the request to send, and what its answer says. Sending it is the
//! program's business. Invariants: what a client sends is escaped for the place where it is put, so it never becomes
//! more than a value there; the service's address is never the client's to choose; only 2xx is a yes.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::{
    Grants, Headers, Identity, Secret, credentials,
    jwt::{GrantsClaim, Id, Object},
    user_name,
};

/// Values of one kind that are looked at in a request: more make it wrong, because each one costs.
pub(crate) const OFFERS_MAX: usize = 4;

/// A checked `remote`.
#[derive(Clone, PartialEq, Eq)]
pub struct Remote {
    pub(crate) source: RemoteSource,
    pub(crate) url: Secret,
    pub(crate) method: String,
    pub(crate) headers: Vec<(String, Secret)>,
    pub(crate) data: RemoteData,
    pub(crate) binds_user: bool,
    pub(crate) limits: RemoteLimits,
    pub(crate) authorities: Option<Secret>,
}

/// The time and memory that a [`Remote`] may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteLimits {
    /// The service must answer within. Default 2 s.
    pub timeout: Duration,
    /// A yes is believed for. Default 30 s.
    pub cache_ttl: Duration,
    /// A no is believed for. Default 5 s.
    pub denied_ttl: Duration,
    /// Answers that are remembered at a time; the oldest are forgotten for new ones. Default 10000.
    pub cache_entries_max: usize,
    /// Questions that are under way at a time; more wait, within the time limit. Default 64.
    pub requests_max: usize,
}

impl Default for RemoteLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(2),
            cache_ttl: Duration::from_secs(30),
            denied_ttl: Duration::from_secs(5),
            cache_entries_max: 10_000,
            requests_max: 64,
        }
    }
}

/// Where in a request the credential stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RemoteSource {
    Header(String),
    Cookie(String),
    Bearer { query: Option<String> },
    Basic,
}

/// The body of the question.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum RemoteData {
    None,
    /// A text, escaped as a form, or as a JSON string where the content type is JSON.
    Text(Secret),
    /// JSON whose strings may hold the credential.
    Json(Secret),
}

/// The question to an HTTP service.
pub struct RemoteRequest {
    /// The method.
    pub method: String,
    /// The whole URL, escaped.
    pub url: Secret,
    /// Fields.
    pub headers: Vec<(String, Secret)>,
    /// The body.
    pub body: Secret,
}

impl fmt::Debug for RemoteRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteRequest")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// Shows nothing that a client or an operator wants to keep.
impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("source", &self.source)
            .field("method", &self.method)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Remote {
    /// Time and memory.
    pub fn limits(&self) -> &RemoteLimits {
        &self.limits
    }

    /// Certificate authorities to trust besides the system's, in PEM.
    pub fn authorities(&self) -> Option<&str> {
        self.authorities.as_ref().map(Secret::expose)
    }

    /// Scheme, host and port of the service, for logs: no path, and nothing secret.
    pub fn host(&self) -> &str {
        host_of(self.url.expose())
    }

    /// The credentials of the request, with the word in front (`Bearer `, `Basic `) where there is one.
    pub(crate) fn offers(&self, headers: &dyn Headers) -> Vec<Secret> {
        let texts = |values: Vec<Vec<u8>>| {
            let texts = values
                .into_iter()
                .map(|value| String::from_utf8(value).unwrap_or_default());
            texts.map(Secret::new).take(OFFERS_MAX + 1).collect()
        };
        match &self.source {
            RemoteSource::Header(name) => texts(headers.values(name).map(<[u8]>::to_vec).collect()),
            RemoteSource::Cookie(name) => {
                let cookies = credentials::cookies(headers, name);
                texts(
                    cookies
                        .map(|it| credentials::unquoted(it).unwrap_or(it).to_vec())
                        .collect(),
                )
            }
            RemoteSource::Bearer { query } => {
                let tokens = credentials::bearer(headers, query.as_deref());
                let whole = |token: &[u8]| match token {
                    [] => Vec::new(),
                    token => [b"Bearer ", token].concat(),
                };
                texts(tokens.iter().map(|token| whole(token.bytes())).collect())
            }
            RemoteSource::Basic => {
                let encoded = credentials::basic_encoded(headers);
                let whole = |encoded: Option<&[u8]>| match encoded {
                    None => Vec::new(),
                    Some(encoded) => [b"Basic ", encoded].concat(),
                };
                texts(encoded.map(whole).collect())
            }
        }
    }

    pub(crate) fn asks_for_basic(&self) -> bool {
        self.source == RemoteSource::Basic
    }

    /// Returns whether browsers send the credential by themselves.
    pub(crate) fn is_ambient(&self) -> bool {
        matches!(self.source, RemoteSource::Cookie(_) | RemoteSource::Basic)
    }

    /// The question about a credential.
    pub fn request(&self, credential: &Secret) -> RemoteRequest {
        let credential = credential.expose();
        let headers = self.headers.iter();
        let mut headers: Vec<(String, Secret)> = headers
            .map(|(name, value)| (name.clone(), filled(value, credential, str::to_owned)))
            .collect();
        let content_type = headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
            .map(|(_, value)| value.expose().to_ascii_lowercase());
        let (body, own_type) = match &self.data {
            RemoteData::None => (Secret::from(""), None),
            RemoteData::Json(json) => (filled(json, credential, json_escaped), Some(JSON)),
            RemoteData::Text(text) => {
                let is_json = content_type.as_ref().is_some_and(|it| it.contains("json"));
                let escape = if is_json { json_escaped } else { url_escaped };
                (filled(text, credential, escape), Some(FORM))
            }
        };
        if let (Some(own), None) = (own_type, content_type) {
            headers.push(("content-type".to_owned(), own.into()));
        }
        RemoteRequest {
            method: self.method.clone(),
            url: filled(&self.url, credential, url_escaped),
            headers,
            body,
        }
    }

    /// Reads an answer; `None` is a no. Redirections, errors and what cannot be read are a no.
    pub fn identity(&self, status: u16, body: &[u8]) -> Option<Identity> {
        if !(200..300).contains(&status) {
            return None;
        }
        if !self.binds_user {
            return Some(Identity::of_group());
        }
        let told = Object::parse(body)?;
        let user: Id = told.get("user").ok()??;
        let grants: Option<GrantsClaim> = told.get("grants").ok()?;
        let grants = grants.map_or_else(Grants::messaging, |claim| claim.0);
        let mut identity = Identity::new(grants).with_user(user_name(&user.0).ok()?);
        if let Some(device) = told.get::<String>("device").ok()? {
            identity = identity.with_device(user_name(&device).ok()?);
        }
        // Seconds since 1970.
        if let Some(seconds) = told.get("expires_at").ok()? {
            let expires = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
            identity = identity.with_expiry(expires);
        }
        Some(identity)
    }
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// Everything but what RFC 3986 calls unreserved.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn url_escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// A JSON string without its quotes.
fn json_escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    let inner = quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    inner.unwrap_or_default().to_owned()
}

/// Replaces `{0}` by the credential and `{token}` by the credential without the word in front. The template is read
/// once: what stands in a credential is never looked at again.
fn filled(template: &Secret, credential: &str, escape: fn(&str) -> String) -> Secret {
    let token = ["Bearer ", "Basic "]
        .iter()
        .find_map(|word| credential.strip_prefix(word))
        .unwrap_or(credential);
    let mut out = String::new();
    let mut rest = template.expose();
    while let Some(start) = rest.find('{') {
        let (before, at) = rest.split_at(start);
        out.push_str(before);
        rest = if let Some(behind) = at.strip_prefix("{0}") {
            out.push_str(&escape(credential));
            behind
        } else if let Some(behind) = at.strip_prefix("{token}") {
            out.push_str(&escape(token));
            behind
        } else {
            out.push('{');
            at.get(1..).unwrap_or_default()
        };
    }
    out.push_str(rest);
    Secret::new(out)
}

/// Scheme and authority of a URL.
pub(crate) fn host_of(url: &str) -> &str {
    let Some((scheme, rest)) = url.split_once("://") else {
        return "";
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    url.get(..scheme.len() + 3 + end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    //! Kinds of credentials: harmless, with the characters of each place, with placeholders of their own.

    use super::*;

    fn remote(url: &str, data: RemoteData) -> Remote {
        Remote {
            source: RemoteSource::Bearer { query: None },
            url: url.into(),
            method: "POST".to_owned(),
            headers: vec![("x-credential".to_owned(), "{0}".into())],
            data,
            binds_user: false,
            limits: RemoteLimits::default(),
            authorities: None,
        }
    }

    #[test]
    fn what_a_client_sends_stays_a_value_wherever_it_is_put() {
        let nasty = Secret::from("Bearer \"},{\"admin\":true} &a=b#{0}{token}/../ü");
        let json = r#"{"a":"{0}","b":["{token}"]}"#;
        let asked = remote(
            "https://a.example/x/{token}?t={0}",
            RemoteData::Json(json.into()),
        );
        let request = asked.request(&nasty);
        let body: Value = serde_json::from_str(request.body.expose()).unwrap();
        assert_eq!(body["a"], nasty.expose());
        assert_eq!(
            body["b"][0],
            nasty.expose().strip_prefix("Bearer ").unwrap()
        );
        assert_eq!(body.as_object().unwrap().len(), 2);
        let url = request.url.expose();
        let escaped =
            "%22%7D%2C%7B%22admin%22%3Atrue%7D%20%26a%3Db%23%7B0%7D%7Btoken%7D%2F..%2F%C3%BC";
        assert_eq!(
            url,
            format!("https://a.example/x/{escaped}?t=Bearer%20{escaped}")
        );
        let form = remote(
            "https://a.example",
            RemoteData::Text("grant=x&t={token}".into()),
        );
        assert_eq!(
            form.request(&nasty).body.expose(),
            format!("grant=x&t={escaped}")
        );
    }

    #[test]
    fn only_2xx_is_a_yes() {
        let asked = remote("https://a.example", RemoteData::None);
        for status in [
            100, 101, 199, 300, 301, 302, 307, 308, 399, 400, 401, 404, 500, 503, 999,
        ] {
            assert_eq!(asked.identity(status, b""), None, "{status}");
        }
        assert_eq!(asked.identity(204, b""), Some(Identity::of_group()));
    }

    #[test]
    fn a_service_that_has_to_say_who_it_is_has_to() {
        let mut asked = remote("https://a.example", RemoteData::None);
        asked.binds_user = true;
        for body in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"user":null}"#,
            r#"{"user":""}"#,
            r#"{"user":true}"#,
            r#"{"user":-1}"#,
            r#"{"user":1.5}"#,
            r#"{"user":"a\n"}"#,
            r#"{"user":"a","grants":[]}"#,
            r#"{"user":"a","expires_at":-1}"#,
            r#"{"user":"a","user":"b"}"#,
            r#"{"user":"a"} x"#,
        ] {
            assert_eq!(asked.identity(200, body.as_bytes()), None, "{body}");
        }
        let body = br#"{"user":42,"device":"d","grants":{"send_to":["a*"]},"expires_at":5}"#;
        let identity = asked.identity(200, body).unwrap();
        assert_eq!(
            (identity.user(), identity.device()),
            (Some("42"), Some("d"))
        );
        assert!(
            identity.grants().send_to().covers("ab") && !identity.grants().send_to().covers("b")
        );
        assert!(identity.expires().is_some());
    }

    #[test]
    fn nothing_of_it_is_printed_but_the_host() {
        let canary = "https://a.example:8/canary-7261?canary-7261";
        let asked = remote(canary, RemoteData::Text("canary-7261".into()));
        let request = asked.request(&Secret::from("canary-7261"));
        let printed = format!("{asked:?} {request:?}");
        assert!(!printed.contains("canary"), "{printed}");
        assert_eq!(asked.host(), "https://a.example:8");
    }
}
