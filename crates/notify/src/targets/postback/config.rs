//! The table of a postback, checked.

use http::{HeaderName, HeaderValue, Method, Uri, uri::Authority};
use tidewire::{tls::ClientTls, ws::Network};
use tidewire_auth::{AuthConfig, Secret};
use tidewire_config::{Auth, Checker, FILES_LOOKED_AT_EVERY, LIST_LENGTH_MAX, Rule, quote};
use tidewire_table::{Members, Texts, choice, table};

use super::{guard::Allowed, signature::Signer};
use crate::EventFormat;

choice! {
    /// The method of a request.
    pub enum PostbackMethod {
        /// POST.
        Post = "POST",
        /// PUT.
        Put = "PUT",
        /// PATCH.
        Patch = "PATCH",
    }
}

table! {
    /// HTTP requests to a backend. 2xx = taken; redirections are failures.
    pub struct PostbackConfig {
        /// Switches the table on.
        enabled: bool = true;
        /// Where to: http:// or https://. HTTP/2 where the server of https:// offers it.
        url: String, example "\"https://backend.example/events\"";
        /// `"POST"`, `"PUT"` or `"PATCH"`.
        method: PostbackMethod = PostbackMethod::Post;
        /// `"events"` = `{"events":[…]}` with up to `batch_max` events; `"classic"` = a request per message with the message as
        /// its body, byte for byte as wsserver sends it, 2xx and 3xx = taken, no other kinds and no signature.
        format: EventFormat = EventFormat::Events;
        /// References to keys that sign every request (docs/events.md), such as `["${env:WEBHOOK_KEY}"]`; each makes a
        /// signature, so that keys can be changed. Up to 4, of at least 24 bytes.
        signing_keys: Vec<String>;
        /// Further header fields.
        headers: Members<String> as Texts, example "X-Source = \"chat-1\"";
        /// Host names and networks that may be connected to though they are private, such as `["backend.internal",
        /// "10.0.0.0/8"]`. Others are refused if they resolve to addresses that are not public. What `url` has itself, an
        /// address or localhost, needs no entry.
        allow_private: Vec<String>;
        /// Speaks HTTP/2 from the first byte, also over http://.
        http2_prior_knowledge: bool = false;
        /// PEM file with the authorities to trust over https://; empty = the system's.
        ca: String;
        /// Credentials of the requests.
        auth: AuthConfig as Auth;
    }
}

/// The settings of a postback.
#[derive(Clone, Debug)]
pub(crate) struct PostbackSettings {
    pub(super) url: Uri,
    pub(super) method: Method,
    pub(super) format: EventFormat,
    pub(super) signer: Signer,
    /// Credentials among them, which are marked as sensitive.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) allowed: Allowed,
    pub(super) http2_prior_knowledge: bool,
    pub(super) tls: Option<ClientTls>,
}

/// Checks the table at `at`. `None` only when something was noted.
pub(crate) fn check(
    check: &mut Checker<'_>,
    at: &str,
    config: &PostbackConfig,
) -> Option<PostbackSettings> {
    let url = url(check, &format!("{at}.url"), &config.url);
    let signer = signer(check, &format!("{at}.signing_keys"), config);
    let headers = headers(check, at, config);
    let allowed = allowed(check, &format!("{at}.allow_private"), &config.allow_private);
    let tls = tls(check, at, &config.ca);
    Some(PostbackSettings {
        url: url?,
        method: match config.method {
            PostbackMethod::Post => Method::POST,
            PostbackMethod::Put => Method::PUT,
            PostbackMethod::Patch => Method::PATCH,
        },
        format: config.format,
        signer: signer?,
        headers: headers?,
        allowed,
        http2_prior_knowledge: config.http2_prior_knowledge,
        tls: tls.ok()?,
    })
}

impl PostbackSettings {
    /// How many events a request takes.
    pub(crate) fn batch_max(&self) -> usize {
        match self.format {
            EventFormat::Events => usize::MAX,
            EventFormat::Classic => 1,
        }
    }
}

fn url(check: &mut Checker<'_>, key: &str, text: &str) -> Option<Uri> {
    let expected = "an address such as https://backend.example/events, without user and password";
    let uri = text.parse::<Uri>().ok().filter(|uri| {
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority().map(Authority::as_str);
        is_http && authority.is_some_and(|authority| !authority.contains('@'))
    });
    if uri.is_none() {
        let shown = if text.contains('@') {
            "an address"
        } else {
            text
        };
        check.value(key, &quote(shown), expected);
    }
    uri
}

fn signer(check: &mut Checker<'_>, key: &str, config: &PostbackConfig) -> Option<Signer> {
    if config.signing_keys.len() > SIGNING_KEYS_MAX {
        check.value(key, &config.signing_keys.len(), "at most 4 keys");
    }
    if config.format == EventFormat::Classic && !config.signing_keys.is_empty() {
        let what = "contradicts the format \"classic\", which has no signature".to_owned();
        check.complain(key, Rule::Missing { what });
        return None;
    }
    let mut keys = Vec::new();
    for (index, text) in config.signing_keys.iter().enumerate() {
        let key = format!("{key}[{index}]");
        if !text.starts_with("${") {
            let expected = "a reference such as ${env:NAME} or ${file:/path}";
            check.value(&key, &"another text", expected);
            return None;
        }
        keys.push(check.secret(&key, &Secret::from(text.as_str()))?);
    }
    match Signer::new(&keys) {
        Ok(signer) => Some(signer),
        Err(error) => {
            check.value(key, &"another text", &error.to_string());
            None
        }
    }
}

/// Further fields, and credentials.
fn headers(
    check: &mut Checker<'_>,
    at: &str,
    config: &PostbackConfig,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut headers = Vec::new();
    let mut is_sound = true;
    for (name, value) in &config.headers {
        let key = format!("{at}.headers.{name}");
        match (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) if !OWN.contains(&name.as_str()) => headers.push((name, value)),
            _ => {
                let expected = "a header field that is not one of the request's own";
                check.value(&key, &"another field", expected);
                is_sound = false;
            }
        }
    }
    let key = format!("{at}.auth");
    let credentials = check.auth(&key, &config.auth)?.outgoing();
    let credentials = match credentials {
        Ok(credentials) => credentials,
        Err(error) => {
            let expected =
                "a type that has credentials of its own: basic, bearer, header or cookie";
            check.value(&format!("{key}.type"), &error.kind, expected);
            return None;
        }
    };
    for (name, secret) in credentials.fields() {
        let parsed = (
            name.parse::<HeaderName>(),
            HeaderValue::from_str(secret.expose()),
        );
        let (Ok(name), Ok(mut value)) = parsed else {
            check.value(&key, &"other credentials", "a header field");
            return None;
        };
        value.set_sensitive(true);
        headers.push((name, value));
    }
    is_sound.then_some(headers)
}

fn allowed(check: &mut Checker<'_>, key: &str, texts: &[String]) -> Allowed {
    if texts.len() > LIST_LENGTH_MAX {
        check.value(key, &texts.len(), "at most 256 hosts and networks");
    }
    let mut allowed = Allowed::default();
    for (index, text) in texts.iter().enumerate() {
        let is_host = !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
            && text.contains(|c: char| c.is_ascii_alphabetic());
        match text.parse::<Network>() {
            Ok(network) => allowed.networks.push(network),
            Err(_) if is_host => allowed.hosts.push(text.clone()),
            Err(_) => {
                let key = format!("{key}[{index}]");
                check.value(&key, &quote(text), "a host name, an address or a network");
            }
        }
    }
    allowed
}

fn tls(check: &mut Checker<'_>, at: &str, ca: &str) -> Result<Option<ClientTls>, Noted> {
    if ca.is_empty() {
        return Ok(None);
    }
    if !check.file_if_named(&format!("{at}.ca"), ca) {
        return Err(Noted);
    }
    let builder = ClientTls::builder()
        .reload_every(FILES_LOOKED_AT_EVERY)
        .ca_file(ca);
    let built = check.tls_built(at, builder.build());
    built.map(Some).ok_or(Noted)
}

/// Something is wrong, and noted.
struct Noted;

const SIGNING_KEYS_MAX: usize = 4;
/// Fields that the request has itself.
const OWN: &[&str] = &[
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "accept",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
];
