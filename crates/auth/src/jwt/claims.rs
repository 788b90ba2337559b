//! The claims of a verified token → an [`Identity`].

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, de};

use super::{BadToken, TokenRules, object::Object};
use crate::{Grants, Identity, Scope, user_name};

/// Reads the claims, and checks them.
pub(super) fn identity(
    json: &[u8],
    rules: &TokenRules,
    now: SystemTime,
) -> Result<Identity, BadToken> {
    let claims = Object::parse(json).ok_or(BadToken::Claims)?;
    let expires = in_time(&claims, rules.leeway, now)?;
    if let Some(issuer) = &rules.issuer {
        let told: String = claims.get("iss")?.ok_or(BadToken::Claims)?;
        if told != *issuer {
            return Err(BadToken::Issuer);
        }
    }
    let audiences: Option<Audiences> = claims.get("aud")?;
    match audiences {
        None if rules.audiences.is_empty() => {}
        None => return Err(BadToken::Claims),
        Some(Audiences(named)) => {
            if !rules.audiences.iter().any(|own| named.contains(own)) {
                return Err(BadToken::Audience);
            }
        }
    }
    let user: Id = claims.get(&rules.user_claim)?.ok_or(BadToken::Claims)?;
    let user = user_name(&user.0).map_err(|_| BadToken::Claims)?;
    let grants: Option<GrantsClaim> = claims.get(&rules.grants_claim)?;
    let mut identity = Identity::new(grants.map_or_else(Grants::messaging, |claim| claim.0))
        .with_user(user)
        .with_expiry(expires);
    if let Some(name) = &rules.device_claim
        && let Some(Id(device)) = claims.get(name)?
    {
        let device = user_name(&device).map_err(|_| BadToken::Claims)?;
        identity = identity.with_device(device);
    }
    Ok(identity)
}

/// Returns when the token is good no more.
fn in_time(claims: &Object, leeway: Duration, now: SystemTime) -> Result<SystemTime, BadToken> {
    let expires: Time = claims.get("exp")?.ok_or(BadToken::Claims)?;
    let expires = expires.0.checked_add(leeway).ok_or(BadToken::Claims)?;
    if now >= expires {
        return Err(BadToken::Expired);
    }
    let latest = now.checked_add(leeway).ok_or(BadToken::Claims)?;
    for name in ["nbf", "iat"] {
        let begins: Option<Time> = claims.get(name)?;
        if begins.is_some_and(|begins| begins.0 > latest) {
            return Err(BadToken::NotYet);
        }
    }
    Ok(expires)
}

/// `NumericDate`: seconds since 1970, perhaps with a fraction; up to the end of the year 9999.
struct Time(SystemTime);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        let is_date = (0.0..=253_402_300_799.0).contains(&seconds);
        let elapsed = is_date.then(|| Duration::from_secs_f64(seconds));
        elapsed
            .and_then(|elapsed| SystemTime::UNIX_EPOCH.checked_add(elapsed))
            .map(Time)
            .ok_or_else(|| de::Error::custom("no date"))
    }
}

/// One, or a list.
struct Audiences(Vec<String>);

impl<'de> Deserialize<'de> for Audiences {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            One(String),
            Several(Vec<String>),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::One(name) => Self(vec![name]),
            Form::Several(names) => Self(names),
        })
    }
}

/// A text, or an unsigned integer, as many issuers write ids.
pub(crate) struct Id(pub(crate) String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u64),
            Text(String),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Number(number) => Self(number.to_string()),
            Form::Text(text) => Self(text),
        })
    }
}

/// `{"send_to":["bob","team-*"],"subscribe":[],"publish":[],"admin":true}`; what is left out is not granted.
pub(crate) struct GrantsClaim(pub(crate) Grants);

impl<'de> Deserialize<'de> for GrantsClaim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Object::deserialize(deserializer)?;
        let wrong = |_| de::Error::custom("expected lists of texts, and admin true or false");
        let list = |name: &str| {
            let list: Option<Vec<String>> = object.get(name).map_err(wrong)?;
            let list = list.unwrap_or_default();
            let patterns = list.iter().map(String::as_str);
            Scope::of_patterns(patterns).map_err(de::Error::custom)
        };
        let grants = Grants::none()
            .with_send_to(list("send_to")?)
            .with_subscribe(list("subscribe")?)
            .with_publish(list("publish")?);
        let is_admin: Option<bool> = object.get("admin").map_err(wrong)?;
        Ok(Self(if is_admin.unwrap_or_default() {
            grants.with_admin()
        } else {
            grants
        }))
    }
}
