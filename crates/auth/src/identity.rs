//! [`Identity`]: the answer to "who is it, and what may it do".
//!
//! In: what the credentials of a request are bound to. Out: a value that the session keeps for as long as it lives.
//! Invariants: what no credential grants is not granted; nothing secret can be printed.

use std::{collections::BTreeMap, fmt, time::SystemTime};

use crate::Grants;

/// Whoever presented credentials that passed.
///
/// Basic, bearer, header and cookie are secrets that a group of clients shares. They say that a client belongs to the
/// group, not which member it is: their identity is [`Identity::of_group`], with no user, no device, no expiry and no
/// attributes. Tokens, certificates and services that are asked can say more.
///
/// The messaging server refuses a connection whose query names another user than a bound one, refuses messages to users
/// that the grants do not cover, and ends a session when its credentials expire.
///
/// ```
/// use tidewire_auth::{Grants, Identity, Scope};
///
/// let identity = Identity::new(Grants::none().with_send_to(Scope::Only(["lobby".into()].into())))
///     .with_user("alice")
///     .with_device("phone");
/// assert_eq!(identity.user(), Some("alice"));
/// assert!(identity.grants().send_to().covers("lobby"));
/// assert!(!identity.grants().send_to().covers("bob"));
/// assert!(!identity.is_admin());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    user: Option<String>,
    device: Option<String>,
    grants: Grants,
    attributes: BTreeMap<String, String>,
    expires: Option<SystemTime>,
}

impl Identity {
    /// An identity with these grants, bound to nothing, that never expires.
    pub fn new(grants: Grants) -> Self {
        Self {
            user: None,
            device: None,
            grants,
            attributes: BTreeMap::new(),
            expires: None,
        }
    }

    /// A member of a group that shares a secret: bound to nothing, may send to, subscribe and publish to everything,
    /// and is no administrator.
    pub fn of_group() -> Self {
        Self::new(Grants::messaging())
    }

    /// Replaces its grants.
    #[must_use]
    pub fn with_grants(mut self, grants: Grants) -> Self {
        self.grants = grants;
        self
    }

    /// Binds it to a user: it may act as nobody else. Default: any user the client names.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Binds it to one device of the user. Default: none.
    #[must_use]
    pub fn with_device(mut self, device: impl Into<String>) -> Self {
        self.device = Some(device.into());
        self
    }

    /// Adds an attribute, such as a claim of a token; a later one of the same name replaces it. Default: none.
    #[must_use]
    pub fn with_attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// Sets the time from which on the credentials are no longer valid. Default: never.
    #[must_use]
    pub fn with_expiry(mut self, expires: SystemTime) -> Self {
        self.expires = Some(expires);
        self
    }

    /// The user that the credentials are bound to; `None`: they leave it to the client to name one.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The device that the credentials are bound to.
    pub fn device(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// Returns what it may do.
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// Returns whether the credentials say nothing but that their bearer belongs to a group: they bind nobody, restrict
    /// nothing and do not expire.
    pub fn is_group(&self) -> bool {
        *self == Self::of_group()
    }

    /// Both at once, for credentials that were demanded together: what one binds is bound, only what both grant is
    /// granted, and the sooner expiry counts. A group's secret adds and takes nothing. `None`: they are bound to different
    /// users or devices.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        if self.is_group() {
            return Some(other.clone());
        }
        if other.is_group() {
            return Some(self.clone());
        }
        let one = |a: &Option<String>, b: &Option<String>| match (a, b) {
            (Some(a), Some(b)) if a != b => None,
            (a, b) => Some(a.clone().or_else(|| b.clone())),
        };
        let mut attributes = other.attributes.clone();
        attributes.extend(self.attributes.clone());
        Some(Self {
            user: one(&self.user, &other.user)?,
            device: one(&self.device, &other.device)?,
            grants: self.grants.and(&other.grants),
            attributes,
            expires: [self.expires, other.expires].into_iter().flatten().min(),
        })
    }

    /// Shorthand for [`Grants::is_admin`].
    pub fn is_admin(&self) -> bool {
        self.grants.is_admin()
    }

    /// The attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// The time from which on the credentials are no longer valid; `None`: they stay valid.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }
}

impl fmt::Debug for Identity {
    /// Prints no value of an attribute: a claim may be as private as a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("user", &self.user)
            .field("device", &self.device)
            .field("grants", &self.grants)
            .field("attributes", &self.attributes.keys())
            .field("expires", &self.expires)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scope;

    #[test]
    fn an_identity_without_grants_may_do_nothing() {
        let identity = Identity::new(Grants::none());
        let grants = identity.grants();
        for scope in [grants.send_to(), grants.subscribe(), grants.publish()] {
            assert!(!scope.covers(""));
            assert!(!scope.covers("alice"));
        }
        assert!(!identity.is_admin());
    }

    #[test]
    fn a_member_of_a_group_may_message_everybody_and_is_bound_to_nothing() {
        let identity = Identity::of_group();
        let grants = identity.grants();
        for scope in [grants.send_to(), grants.subscribe(), grants.publish()] {
            assert!(scope.covers("alice"));
        }
        assert_eq!((identity.user(), identity.device()), (None, None));
        assert_eq!(identity.expires(), None);
        assert!(!identity.is_admin());
    }

    #[test]
    fn each_right_extends_to_its_own_names_only() {
        let only = |name: &str| Scope::Only([name.to_owned()].into());
        let grants = Grants::none()
            .with_send_to(only("bob"))
            .with_subscribe(only("news"))
            .with_publish(only("chat"));
        assert!(grants.send_to().covers("bob") && !grants.send_to().covers("news"));
        assert!(grants.subscribe().covers("news") && !grants.subscribe().covers("chat"));
        assert!(grants.publish().covers("chat") && !grants.publish().covers("bob"));
        assert!(!grants.publish().covers("Chat") && !grants.publish().covers("chat2"));
        assert!(!grants.is_admin() && grants.with_admin().is_admin());
    }

    #[test]
    fn the_value_of_an_attribute_is_given_out_but_not_printed() {
        let expiry = SystemTime::UNIX_EPOCH;
        let identity = Identity::of_group()
            .with_attribute("mail", "before")
            .with_attribute("mail", "canary-7261")
            .with_expiry(expiry);
        assert_eq!(identity.attribute("mail"), Some("canary-7261"));
        assert_eq!(identity.attribute("name"), None);
        assert_eq!(identity.expires(), Some(expiry));
        let printed = format!("{identity:?}");
        assert!(
            printed.contains("mail") && !printed.contains("canary"),
            "{printed}"
        );
    }

    #[test]
    fn together_bind_what_either_binds_and_grant_what_both_grant() {
        let only = |names: &[&str]| Scope::of_patterns(names.iter().copied()).unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let token = Identity::new(Grants::none().with_send_to(only(&["a*"])).with_admin())
            .with_user("alice")
            .with_expiry(at(7));
        let certificate = Identity::new(Grants::none().with_send_to(only(&["*b"])))
            .with_device("phone")
            .with_expiry(at(5));
        let both = token.and(&certificate).unwrap();
        assert_eq!((both.user(), both.device()), (Some("alice"), Some("phone")));
        assert_eq!(both.expires(), Some(at(5)));
        assert!(!both.is_admin());
        let send_to = both.grants().send_to();
        let covered = ["ab", "a", "b", "axb"].map(|name| send_to.covers(name));
        assert_eq!(covered, [true, false, false, true]);
        assert_eq!(token.and(&Identity::of_group()), Some(token.clone()));
        assert_eq!(Identity::of_group().and(&token), Some(token.clone()));
        assert_eq!(token.and(&Identity::of_group().with_user("bob")), None);
    }
}
