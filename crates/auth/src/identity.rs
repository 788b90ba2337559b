//! [`Identity`]: the answer to "who is it, and what may it do".
//!
//! In: what the credentials of a request are bound to. Out: a value that the session keeps for as long as it lives.
//! Invariants: what no credential grants is not granted; nothing secret can be printed.

use std::{collections::BTreeMap, fmt, sync::Arc, time::SystemTime};

/// Whoever presented credentials that passed.
///
/// The kinds this crate knows today (basic, bearer, header, cookie and lists of them) are secrets that a group of clients
/// shares. They say that a client belongs to the group, not which member it is: their identity is
/// [`Identity::of_group`], with no user, no device, no expiry and no attributes.
///
/// The messaging server refuses a connection whose query names another user than a bound one. Grants and
/// expiry are evaluated by nobody yet, because no kind restricts them yet.
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

/// The rights of an [`Identity`]. What is not granted is forbidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    send_to: Scope,
    subscribe: Scope,
    publish: Scope,
    admin: bool,
}

impl Grants {
    /// No right at all.
    pub fn none() -> Self {
        let nothing = || Scope::Only(Arc::from([]));
        Self {
            send_to: nothing(),
            subscribe: nothing(),
            publish: nothing(),
            admin: false,
        }
    }

    /// Sends to every user, subscribes and publishes to every channel; no administrator.
    pub fn messaging() -> Self {
        Self {
            send_to: Scope::All,
            subscribe: Scope::All,
            publish: Scope::All,
            admin: false,
        }
    }

    /// Sets the users that messages may be addressed to.
    #[must_use]
    pub fn with_send_to(mut self, users: Scope) -> Self {
        self.send_to = users;
        self
    }

    /// Sets the channels that may be subscribed to.
    #[must_use]
    pub fn with_subscribe(mut self, channels: Scope) -> Self {
        self.subscribe = channels;
        self
    }

    /// Sets the channels that may be published to.
    #[must_use]
    pub fn with_publish(mut self, channels: Scope) -> Self {
        self.publish = channels;
        self
    }

    /// Adds the right to act for the operator: to send as user 0, to change what belongs to others.
    #[must_use]
    pub fn with_admin(mut self) -> Self {
        self.admin = true;
        self
    }

    /// The users that messages may be addressed to.
    pub fn send_to(&self) -> &Scope {
        &self.send_to
    }

    /// The channels that may be subscribed to.
    pub fn subscribe(&self) -> &Scope {
        &self.subscribe
    }

    /// The channels that may be published to.
    pub fn publish(&self) -> &Scope {
        &self.publish
    }

    /// Returns whether it may act for the operator.
    pub fn is_admin(&self) -> bool {
        self.admin
    }
}

/// The names (of users or channels) that a right extends to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every name.
    All,
    /// These names and no others; none at all if the list is empty. Names are compared byte by byte.
    Only(Arc<[String]>),
}

impl Scope {
    /// Returns whether the right extends to this name. Takes time in proportion to the length of the list.
    pub fn covers(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|covered| covered == name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
