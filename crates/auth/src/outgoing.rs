//! [`Outgoing`]: the same tables for requests of ours, such as those to a backend's address (S-72).

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{Authenticator, Secret, node::Node};

/// The fields that carry our credentials. The values are secrets: mark them as sensitive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    fields: Vec<(String, Secret)>,
}

/// A kind that only makes sense for requests of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "type `{kind}` checks others' credentials and has none of its own: expected basic, bearer, header or cookie"
)]
pub struct OutgoingError {
    /// The kind.
    pub kind: &'static str,
}

impl Outgoing {
    /// Name and value of each field, in the order of the members of a list; cookies share one field.
    pub fn fields(&self) -> &[(String, Secret)] {
        &self.fields
    }
}

impl Authenticator {
    /// Returns the fields with which a request of ours passes somebody who has the same table: the credentials of every member,
    /// of `oneOf` as of `allOf`. `noauth` carries nothing.
    ///
    /// # Errors
    /// [`OutgoingError`]: there is a kind without credentials of its own.
    pub fn outgoing(&self) -> Result<Outgoing, OutgoingError> {
        let mut fields = Vec::new();
        let mut cookies = String::new();
        let mut wrong = None;
        self.root.each_leaf(&mut |leaf| {
            let mut add =
                |name: &str, value: String| fields.push((name.to_owned(), Secret::new(value)));
            match leaf {
                Node::NoAuth | Node::OneOf(_) | Node::AllOf(_) => {}
                Node::Basic { user, password } => {
                    let pair = Secret::new(format!("{}:{}", user.expose(), password.expose()));
                    let encoded = STANDARD.encode(pair.expose());
                    add("authorization", format!("Basic {encoded}"));
                }
                Node::Bearer { value, .. } => {
                    add("authorization", format!("Bearer {}", value.expose()));
                }
                Node::Header { name, value } => add(name, value.expose().to_owned()),
                Node::Cookie { name, value } => {
                    if !cookies.is_empty() {
                        cookies.push_str("; ");
                    }
                    cookies.push_str(name);
                    cookies.push('=');
                    cookies.push_str(value.expose());
                }
                Node::Jwt(_) => wrong = wrong.or(Some("jwt")),
                Node::Remote(_) => wrong = wrong.or(Some("remote")),
                Node::Certificate { .. } => wrong = wrong.or(Some("certificate")),
            }
        });
        if let Some(kind) = wrong {
            return Err(OutgoingError { kind });
        }
        let cookies = Secret::new(cookies);
        if !cookies.is_empty() {
            fields.push(("cookie".to_owned(), cookies));
        }
        Ok(Outgoing { fields })
    }
}
