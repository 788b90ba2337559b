//! [`Hook`]: the operator's backend decides who may connect (docs/hooks.md).
//!
//! In: a request for a WebSocket whose credentials are right. Out: who it is and what it may do, or how it is closed.
//! Invariants: no answer within the time limit is a failure, and so is everything that is not exactly an answer; what a
//! failure means is the operator's choice; a backend that is down is left alone for a while; nothing but what the configuration
//! names is told of the client.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::http::{Method, Request as HttpRequest, StatusCode, Uri, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use parking_lot::Mutex;
use ring::hmac;
use serde::{Deserialize, Serialize};
use tidewire::{
    http::{Client, ClientConfig},
    tls::ClientTls,
    ws::Request,
};
use tidewire_auth::{
    Grants, Identity, PatternsError, Scope, Secret, decode_parameter, raw_parameters,
};
use tokio::time::Instant;

use crate::config::{ConnectHookConfig, IfUnavailable};

/// The backend that is asked.
pub(crate) struct Hook {
    client: Client,
    url: Uri,
    keys: Vec<hmac::Key>,
    headers: Vec<String>,
    query: Vec<String>,
    if_unavailable: IfUnavailable,
    breaker: Breaker,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hook")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// The outcome of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may connect, with this identity.
    Allow(std::sync::Arc<Identity>),
    /// It may not.
    Deny { code: Option<u16>, reason: String },
    /// There is no answer, and nobody is let in without one.
    Unavailable,
}

/// Of one version; members that it does not have yet are for later ones.
#[derive(Serialize)]
struct Question<'a> {
    version: u8,
    /// `connect`; `subscribe` and `publish` are kept for channels.
    event: &'static str,
    /// The user that the credentials are bound to.
    user: Option<&'a str>,
    /// The user that the client names.
    id: Option<String>,
    address: Option<IpAddr>,
    secure: bool,
    path: &'a str,
    headers: BTreeMap<&'a str, Vec<String>>,
    query: BTreeMap<&'a str, Vec<String>>,
}

#[derive(Deserialize)]
struct Answer {
    allow: bool,
    code: Option<u16>,
    reason: Option<String>,
    user: Option<String>,
    #[serde(default)]
    grants: Option<AnsweredGrants>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    /// Seconds since 1970.
    expires: Option<u64>,
}

#[derive(Deserialize)]
struct AnsweredGrants {
    send_to: Option<Names>,
    subscribe: Option<Names>,
    publish: Option<Names>,
    admin: Option<bool>,
}

/// Names and patterns.
#[derive(Deserialize)]
#[serde(try_from = "Vec<String>")]
struct Names(Scope);

impl TryFrom<Vec<String>> for Names {
    type Error = PatternsError;

    fn try_from(patterns: Vec<String>) -> Result<Self, PatternsError> {
        Scope::of_patterns(patterns.iter().map(String::as_str)).map(Self)
    }
}

impl Hook {
    /// `secrets` sign, `tls` trusts; the keys were checked.
    pub(crate) fn new(
        config: &ConnectHookConfig,
        url: Uri,
        secrets: &[Secret],
        tls: Option<ClientTls>,
    ) -> Self {
        let mut client = ClientConfig::default()
            .connect_timeout(config.timeout)
            .request_timeout(config.timeout)
            .requests_max(config.requests_max)
            .idle_per_host_max(config.requests_max.min(IDLE_MAX))
            .body_bytes_max(ANSWER_BYTES_MAX);
        client.tls = tls;
        let key = |secret: &Secret| hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        Self {
            client: Client::new(client),
            url,
            keys: secrets.iter().map(key).collect(),
            headers: config.headers.clone(),
            query: config.query.clone(),
            if_unavailable: config.if_unavailable,
            breaker: Breaker::default(),
        }
    }

    /// Asks about a request of `identity`, from `address`.
    pub(crate) async fn ask(
        &self,
        request: &Request,
        address: Option<IpAddr>,
        identity: &std::sync::Arc<Identity>,
    ) -> Verdict {
        let answered = if self.breaker.is_open() {
            Err("it failed before".to_owned())
        } else {
            let answered = self.answer(request, address, identity).await;
            self.breaker.note(answered.is_ok());
            answered
        };
        match answered {
            Ok(answer) => verdict(answer, identity),
            Err(error) => {
                tracing::warn!(%error, "the connect hook does not answer");
                match self.if_unavailable {
                    IfUnavailable::Accept => Verdict::Allow(std::sync::Arc::clone(identity)),
                    IfUnavailable::Refuse => Verdict::Unavailable,
                }
            }
        }
    }

    async fn answer(
        &self,
        request: &Request,
        address: Option<IpAddr>,
        identity: &Identity,
    ) -> Result<Answer, String> {
        let question = self.question(request, address, identity);
        let body = serde_json::to_vec(&question).map_err(|error| error.to_string())?;
        let request = self.signed(body.into())?;
        let response = self.client.send(request).await;
        let response = response.map_err(|error| tidewire::ErrorChain(&error).to_string())?;
        match response.status() {
            StatusCode::OK => {
                let answer = serde_json::from_slice(response.body());
                answer.map_err(|error| format!("its answer is no answer: {error}"))
            }
            // As a backend's own guard answers.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(Answer::denial()),
            status => Err(format!("it answered {status}")),
        }
    }

    fn question<'a>(
        &'a self,
        request: &'a Request,
        address: Option<IpAddr>,
        identity: &'a Identity,
    ) -> Question<'a> {
        let head = &request.head;
        let raw = head.query().unwrap_or_default();
        let parameters = |name: &str| -> Vec<String> {
            let of_name = raw_parameters(raw).filter(|(found, _)| found.eq_ignore_ascii_case(name));
            of_name
                .filter_map(|(_, value)| decode_parameter(value).ok().map(|text| text.to_string()))
                .collect()
        };
        let fields = |name: &str| -> Vec<String> {
            let values = head.values_of(name).into_iter();
            values
                .map(|value| String::from_utf8_lossy(value).into_owned())
                .collect()
        };
        let named = |names: &'a [String], values: &dyn Fn(&str) -> Vec<String>| {
            let pairs = names.iter().map(|name| (name.as_str(), values(name)));
            pairs.filter(|(_, values)| !values.is_empty()).collect()
        };
        Question {
            version: 1,
            event: "connect",
            user: identity.user(),
            id: parameters("id").into_iter().next(),
            address,
            secure: request.peer.secure,
            path: head.path(),
            headers: named(&self.headers, &fields),
            query: named(&self.query, &parameters),
        }
    }

    fn signed(&self, body: Bytes) -> Result<HttpRequest<Bytes>, String> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| error.to_string())?;
        let mut id = String::with_capacity(2 * random.len());
        for byte in random {
            write!(id, "{byte:02x}").expect("writing to a string cannot fail");
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let timestamp = now.unwrap_or_default().as_secs().to_string();
        let signatures = self.keys.iter().map(|key| {
            let mut context = hmac::Context::with_key(key);
            for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", &body[..]] {
                context.update(part);
            }
            format!("v1,{}", STANDARD.encode(context.sign()))
        });
        let signatures: Vec<String> = signatures.collect();
        HttpRequest::builder()
            .method(Method::POST)
            .uri(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "Tidewire")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures.join(" "))
            .body(body)
            .map_err(|error| error.to_string())
    }
}

impl Answer {
    fn denial() -> Self {
        Self {
            allow: false,
            code: None,
            reason: None,
            user: None,
            grants: None,
            attributes: BTreeMap::new(),
            expires: None,
        }
    }
}

fn verdict(answer: Answer, identity: &Identity) -> Verdict {
    if !answer.allow {
        let is_free = |code: &u16| (4000..5000).contains(code) || *code == 1008;
        let reason = answer.reason.unwrap_or_default();
        return Verdict::Deny {
            code: answer.code.filter(is_free),
            reason: if reason.is_empty() {
                "Forbidden".to_owned()
            } else {
                reason
            },
        };
    }
    let is_foreign = |user: &String| identity.user().is_some_and(|bound| bound != user);
    if answer.user.as_ref().is_some_and(is_foreign) {
        // The credentials have said who it is.
        return Verdict::Deny {
            code: None,
            reason: "Forbidden".to_owned(),
        };
    }
    let mut grown = match answer.grants {
        None => identity.clone(),
        Some(grants) => regranted(identity, grants),
    };
    if let Some(user) = answer.user {
        grown = grown.with_user(user);
    }
    for (name, value) in answer.attributes {
        grown = grown.with_attribute(name, value);
    }
    if let Some(expires) = answer.expires {
        let expires = UNIX_EPOCH + Duration::from_secs(expires.min(EXPIRES_MAX));
        // The earlier of the two counts.
        let expires = grown.expires().map_or(expires, |other| other.min(expires));
        grown = grown.with_expiry(expires);
    }
    Verdict::Allow(grown.into())
}

/// The same identity with other grants; a right that the backend leaves out stays as it was. What credentials grant can
/// only become less; those that a group shares say nothing about rights, so there the backend alone says what is granted.
fn regranted(identity: &Identity, grants: AnsweredGrants) -> Identity {
    let own = identity.grants();
    let scope = |names: Option<Names>, own: &Scope| names.map_or_else(|| own.clone(), |it| it.0);
    let mut granted = Grants::none()
        .with_send_to(scope(grants.send_to, own.send_to()))
        .with_subscribe(scope(grants.subscribe, own.subscribe()))
        .with_publish(scope(grants.publish, own.publish()));
    if grants.admin.unwrap_or_else(|| own.is_admin()) {
        granted = granted.with_admin();
    }
    if !identity.is_group() {
        granted = granted.and(own);
    }
    identity.clone().with_grants(granted)
}

/// Leaves a backend alone that fails.
#[derive(Debug, Default)]
struct Breaker(Mutex<Failures>);

#[derive(Debug, Default)]
struct Failures {
    /// In a row.
    count: u32,
    open_until: Option<Instant>,
}

impl Breaker {
    /// Returns whether the backend is not to be asked. Once its time is over, one question at a time tries again.
    fn is_open(&self) -> bool {
        let mut failures = self.0.lock();
        let now = Instant::now();
        match failures.open_until {
            Some(until) if until > now => true,
            Some(_) => {
                failures.open_until = Some(now + pause(failures.count));
                false
            }
            None => false,
        }
    }

    fn note(&self, has_answered: bool) {
        let mut failures = self.0.lock();
        if has_answered {
            *failures = Failures::default();
            return;
        }
        failures.count = failures.count.saturating_add(1);
        if failures.count >= FAILURES_MAX {
            failures.open_until = Some(Instant::now() + pause(failures.count));
        }
    }
}

/// How long a backend is left alone after so many failures in a row.
fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(FAILURES_MAX).min(8);
    (Duration::from_secs(1) * (1 << doublings)).min(PAUSE_MAX)
}

const FAILURES_MAX: u32 = 5;
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Kept connections to one backend.
const IDLE_MAX: usize = 32;
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The year 9999.
const EXPIRES_MAX: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(text: &str, identity: &Identity) -> Verdict {
        verdict(serde_json::from_str(text).unwrap(), identity)
    }

    fn denied(text: &str) -> (Option<u16>, String) {
        match answered(text, &Identity::of_group()) {
            Verdict::Deny { code, reason } => (code, reason),
            other @ (Verdict::Allow(_) | Verdict::Unavailable) => {
                panic!("expected a denial, got {other:?}")
            }
        }
    }

    #[test]
    fn a_denial_has_a_code_of_applications_and_words() {
        let forbidden = |code| (code, "Forbidden".to_owned());
        assert_eq!(denied(r#"{"allow":false}"#), forbidden(None));
        assert_eq!(denied(r#"{"allow":false,"code":1000}"#), forbidden(None));
        assert_eq!(denied(r#"{"allow":false,"code":5000}"#), forbidden(None));
        assert_eq!(
            denied(r#"{"allow":false,"code":1008}"#),
            forbidden(Some(1008))
        );
        let own = denied(r#"{"allow":false,"code":4123,"reason":"no seat","extra":1}"#);
        assert_eq!(own, (Some(4123), "no seat".to_owned()));
    }

    #[test]
    fn an_answer_adds_user_grants_attributes_and_the_earlier_expiry() {
        let expiry = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let identity = Identity::of_group().with_expiry(expiry(100));
        let text = r#"{"allow":true,"user":"bob","grants":{"send_to":["lobby"]},
            "attributes":{"tier":"gold"},"expires":200}"#;
        let Verdict::Allow(identity) = answered(text, &identity) else {
            panic!("allowed");
        };
        assert_eq!(identity.user(), Some("bob"));
        assert_eq!(identity.attribute("tier"), Some("gold"));
        assert!(identity.grants().send_to().covers("lobby"));
        assert!(!identity.grants().send_to().covers("alice"));
        assert!(
            identity.grants().subscribe().covers("news"),
            "left as it was"
        );
        assert!(!identity.is_admin());
        assert_eq!(identity.expires(), Some(expiry(100)));
    }

    #[test]
    fn a_backend_cannot_make_one_user_another() {
        let bob = Identity::of_group().with_user("bob");
        let other = answered(r#"{"allow":true,"user":"alice"}"#, &bob);
        assert!(matches!(other, Verdict::Deny { .. }));
        let same = answered(r#"{"allow":true,"user":"bob"}"#, &bob);
        assert!(matches!(same, Verdict::Allow(_)));
    }

    #[test]
    fn rights_of_credentials_become_less_and_a_group_has_what_the_backend_says() {
        let own = Scope::of_patterns(["team-*"]).unwrap();
        let token = Identity::new(Grants::none().with_send_to(own)).with_user("bob");
        let text = r#"{"allow":true,"grants":{"send_to":["*-a"],"publish":["*"],"admin":true}}"#;
        let Verdict::Allow(narrowed) = answered(text, &token) else {
            panic!("allowed");
        };
        let grants = narrowed.grants();
        let covered = ["team-a", "team-b", "other-a"].map(|name| grants.send_to().covers(name));
        assert_eq!(covered, [true, false, false]);
        assert!(!grants.publish().covers("news") && !narrowed.is_admin());
        let Verdict::Allow(granted) = answered(text, &Identity::of_group()) else {
            panic!("allowed");
        };
        assert!(granted.grants().send_to().covers("other-a") && granted.is_admin());
        assert!(!granted.grants().send_to().covers("team-b"));

        let admin = Identity::new(Grants::messaging().with_admin());
        for (text, is_admin) in [
            (r#"{"allow":true,"grants":{"send_to":["a"]}}"#, true),
            (r#"{"allow":true,"grants":{"admin":false}}"#, false),
        ] {
            let Verdict::Allow(identity) = answered(text, &admin) else {
                panic!("allowed");
            };
            assert_eq!(identity.is_admin(), is_admin, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_fails_is_left_alone_and_then_tried_by_one() {
        let breaker = Breaker::default();
        for _ in 0..FAILURES_MAX {
            assert!(!breaker.is_open());
            breaker.note(false);
        }
        assert!(breaker.is_open());
        tokio::time::advance(Duration::from_millis(1001)).await;
        assert!(!breaker.is_open(), "one tries");
        assert!(breaker.is_open(), "the others wait for what becomes of it");
        breaker.note(false);
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert!(breaker.is_open(), "longer each time");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!breaker.is_open());
        breaker.note(true);
        assert!(!breaker.is_open() && !breaker.is_open());
        assert_eq!(pause(1000), PAUSE_MAX);
    }
}
