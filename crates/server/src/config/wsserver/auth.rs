//! Authentication objects: those of both listeners, and the credentials of postbacks.
//!
//! Stricter than the original wherever it let somebody pass by mistake: a type that it did not know meant "nobody is
//! asked". No message repeats a secret.

use tidewire_config::{Dict, Rule, Value};

use super::{
    node::Node,
    object::{Conversion, Object},
};

/// A converted object.
#[derive(Clone, Debug)]
pub(super) struct Auth {
    pub(super) table: Dict,
    /// Lets everybody pass.
    pub(super) is_open: bool,
    /// Browsers attach its credentials on their own.
    pub(super) is_ambient: bool,
}

/// Whose credentials an object is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Those of requests that come in.
    Incoming,
    /// Those of requests that go out.
    Outgoing,
}

impl Auth {
    fn new(kind: &str) -> Self {
        Self {
            table: Dict::from([("type".to_owned(), Value::from(kind))]),
            is_open: false,
            is_ambient: false,
        }
    }

    pub(super) fn open() -> Self {
        Self {
            is_open: true,
            ..Self::new("noauth")
        }
    }

    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.table.insert(key.to_owned(), value.into());
        self
    }

    fn ambient(mut self) -> Self {
        self.is_ambient = true;
        self
    }
}

/// The object at `at`; `None` when something is wrong with it, which is noted.
pub(super) fn auth(out: &mut Conversion, at: &str, node: &Node, purpose: Purpose) -> Option<Auth> {
    let object = Object::new(out, at, node)?.secret();
    // The original looks for this first, so that a target can be given as a whole.
    if let Some(inner) = object.get("auth") {
        object.only(out, &["auth", "type"]);
        return auth(out, &object.key("auth"), inner, purpose);
    }
    object.only(out, KEYS);
    let kind = kind(out, &object)?;
    let (used, auth): (&[&str], _) = match kind {
        "noauth" => (&[], Some(Auth::open())),
        "basic" => (&["user", "password", "value"], basic(out, &object)),
        "bearer" => (&["value"], {
            let value = needed(out, &object, kind, "value");
            value.map(|value| Auth::new("bearer").with("value", value))
        }),
        "header" | "cookie" => (&["name", "value"], {
            let name = needed(out, &object, kind, "name");
            let value = needed(out, &object, kind, "value");
            name.zip(value).map(|(name, value)| {
                let auth = Auth::new(kind).with("name", name).with("value", value);
                if kind == "cookie" {
                    auth.ambient()
                } else {
                    auth
                }
            })
        }),
        "oneOf" | "allOf" => (&["types"], members(out, &object, kind, purpose)),
        _ => (REMOTE_KEYS, remote(out, &object, purpose)),
    };
    for (name, _) in object.members() {
        if KEYS.contains(&name.as_str()) && name != "type" && !used.contains(&name.as_str()) {
            let text = format!("is not used by type `{kind}`");
            // The shipped file has some.
            if kind == "noauth" {
                out.remark(object.key(name), text);
            } else {
                out.note(object.key(name), text);
            }
        }
    }
    auth
}

/// The type in our spelling.
fn kind(out: &mut Conversion, object: &Object<'_>) -> Option<&'static str> {
    let key = object.key("type");
    let Some(node) = object.get("type") else {
        let message = format!("is missing: expected one of {}", TYPES.join(", "));
        out.problems.push((key, Rule::AuthTable { message }));
        return None;
    };
    let text = node.text().unwrap_or_default();
    let mut types = TYPES.iter();
    let kind = types.find(|known| known.eq_ignore_ascii_case(text));
    if kind.is_none() {
        // A type is no secret.
        let found = node.described(false);
        let message = format!("found {found}, expected one of {}", TYPES.join(", "));
        out.problems.push((key, Rule::AuthTable { message }));
    }
    kind.copied()
}

fn needed<'a>(
    out: &mut Conversion,
    object: &Object<'a>,
    kind: &str,
    name: &str,
) -> Option<&'a str> {
    if !object.has(name) {
        let message = format!("authentication type `{kind}` needs the key `{name}`");
        out.problems
            .push((object.key(name), Rule::AuthTable { message }));
    }
    object.text(out, name)
}

/// The README calls the password `value`, the program read `password`.
fn basic(out: &mut Conversion, object: &Object<'_>) -> Option<Auth> {
    let user = needed(out, object, "basic", "user");
    let name = if object.has("password") {
        "password"
    } else {
        "value"
    };
    if object.has("password") && object.has("value") {
        let text = "is not used: the password stands in `password`, which is what wsserver read";
        out.note(object.key("value"), text);
    } else if name == "value" {
        let text = "is the password, as wsserver's README has it; wsserver itself only knew `password` and did not start";
        out.note(object.key("value"), text);
    }
    let password = if object.has(name) {
        object.text(out, name)
    } else {
        needed(out, object, "basic", "password")
    };
    let auth = Auth::new("basic")
        .with("user", user?)
        .with("password", password?);
    Some(auth.ambient())
}

fn members(
    out: &mut Conversion,
    object: &Object<'_>,
    kind: &str,
    purpose: Purpose,
) -> Option<Auth> {
    if !object.has("types") {
        let message = format!("authentication type `{kind}` needs the key `types`");
        out.problems
            .push((object.key("types"), Rule::AuthTable { message }));
    }
    let nodes = object.list(out, "types")?;
    let key = object.key("types");
    if nodes.is_empty() {
        let message = "is empty: expected at least one authentication object".to_owned();
        out.problems.push((key, Rule::AuthTable { message }));
        return None;
    }
    let each: Vec<Option<Auth>> = nodes
        .iter()
        .enumerate()
        .map(|(index, node)| auth(out, &format!("{key}[{index}]"), node, purpose))
        .collect();
    let members: Vec<Auth> = each.into_iter().collect::<Option<_>>()?;
    let mut opens = members.iter().map(|member| member.is_open);
    let is_open = if kind == "oneOf" {
        opens.any(|open| open)
    } else {
        opens.all(|open| open)
    };
    let is_ambient = members.iter().any(|member| member.is_ambient);
    let tables: Vec<Value> = members
        .into_iter()
        .map(|member| Value::from(member.table))
        .collect();
    Some(Auth {
        is_open,
        is_ambient,
        ..Auth::new(kind).with("types", tables)
    })
}

/// The question to another service.
fn remote(out: &mut Conversion, object: &Object<'_>, purpose: Purpose) -> Option<Auth> {
    if purpose == Purpose::Outgoing {
        let text = "has no credentials of its own: nothing is sent, as by wsserver";
        out.note(object.at.clone(), text);
        return Some(Auth::open());
    }
    let source = source(out, object);
    let url = needed(out, object, "remote", "url");
    let method = object
        .text(out, "method")
        .unwrap_or("POST")
        .to_ascii_uppercase();
    let headers = if object.has("headers") {
        headers(out, object)
    } else {
        Some(Vec::new())
    };
    let data = data(out, object);
    let (source, is_ambient) = source?;
    let url = url?;
    let mut auth = Auth::new("remote")
        .with("source", source)
        .with("url", url)
        .with("method", method)
        // What the original waits at most.
        .with("timeout", "10s");
    auth.is_ambient = is_ambient;
    if is_plain_elsewhere(url) {
        let text = "sends clients' credentials to another machine without encryption, as wsserver did: use https";
        out.note(object.key("url"), text);
        auth = auth.with("danger_allow_http", true);
    }
    let headers = headers?;
    if !headers.is_empty() {
        auth = auth.with("headers", headers);
    }
    if let Some(data) = data {
        auth = auth.with("data", data);
    }
    Some(auth)
}

/// Where the client's value stands, and whether browsers attach it on their own.
fn source(out: &mut Conversion, object: &Object<'_>) -> Option<(Dict, bool)> {
    let Some(node) = object.get("source") else {
        let message = "authentication type `remote` needs the key `source`".to_owned();
        out.problems
            .push((object.key("source"), Rule::AuthTable { message }));
        return None;
    };
    let mut source = Object::new(out, &object.key("source"), node)?.secret();
    if source.has("auth") {
        source = source.object(out, "auth")?.secret();
    }
    source.only(out, KEYS);
    let kind = kind(out, &source)?;
    let mut table = Dict::from([("type".to_owned(), Value::from(kind))]);
    match kind {
        "bearer" | "basic" => {}
        "header" | "cookie" => {
            let name = needed(out, &source, kind, "name")?;
            table.insert("name".to_owned(), Value::from(name));
        }
        _ => {
            let message =
                format!("found \"{kind}\", expected one of basic, bearer, header, cookie");
            out.problems
                .push((source.key("type"), Rule::AuthTable { message }));
            return None;
        }
    }
    for name in ["user", "password", "value"] {
        if source.has(name) {
            out.note(source.key(name), "is not used: the other service decides");
        }
    }
    Some((table, matches!(kind, "basic" | "cookie")))
}

/// `[{"K": "V"}, …]`.
fn headers(out: &mut Conversion, object: &Object<'_>) -> Option<Vec<Value>> {
    let mut headers = Vec::new();
    let mut is_sound = true;
    for (index, node) in object.list(out, "headers")?.iter().enumerate() {
        let at = format!("{}[{index}]", object.key("headers"));
        let Some(members) = Object::new(out, &at, node) else {
            is_sound = false;
            continue;
        };
        let members = members.secret();
        for (name, _) in members.members() {
            match members.text(out, name) {
                Some(value) => {
                    headers.push(Value::from(Dict::from([(
                        name.clone(),
                        Value::from(value),
                    )])));
                }
                None => is_sound = false,
            }
        }
    }
    is_sound.then_some(headers)
}

/// The body, if there is one; a wrong one is noted.
fn data(out: &mut Conversion, object: &Object<'_>) -> Option<Value> {
    let node = object.get("data")?;
    if !matches!(node, Node::Text(_) | Node::Object(_)) {
        let found = node.described(true);
        out.wrong(object.key("data"), found, "a text or an object");
        return None;
    }
    let value = node.value();
    if value.is_none() {
        let found = "a null within".to_owned();
        out.wrong(object.key("data"), found, "an object without null");
    }
    value
}

fn is_plain_elsewhere(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_loopback = authority.starts_with("127.")
        || authority.starts_with("[::1]")
        || authority.split(':').next() == Some("localhost");
    !is_loopback
}

const TYPES: &[&str] = &[
    "noauth", "basic", "bearer", "header", "cookie", "oneOf", "allOf", "remote",
];
const REMOTE_KEYS: &[&str] = &["source", "url", "method", "headers", "data"];
/// The keys of all types; what stands at a type that has no use for it was common, in the shipped file too.
const KEYS: &[&str] = &[
    "type", "user", "password", "name", "value", "types", "source", "url", "method", "headers",
    "data",
];
