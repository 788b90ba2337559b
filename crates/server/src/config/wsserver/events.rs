//! `event`: copies of messages for other systems.

use std::net::IpAddr;

use tidewire_config::{Dict, Value, quote};

use super::{
    auth::{Purpose, auth},
    node::Node,
    object::{Conversion, Object},
};

/// `event`. While it is switched off nothing in it is looked at, as in the original, whose example has no values there.
pub(super) fn event(out: &mut Conversion, object: &Object<'_>) {
    object.only(out, KEYS);
    if object.boolean(out, "enabled") != Some(true) {
        if object.has("targets") {
            out.remark("event", "is switched off: its targets are left out");
        }
        return;
    }
    if let Some(is_on) = object.boolean(out, "sendBotMessages") {
        out.set("events.bot_messages", is_on, "event.sendBotMessages");
    }
    if let Some(types) = object
        .has("ignoreTypes")
        .then(|| object.texts(out, "ignoreTypes"))
    {
        out.set(
            "events.ignore_types",
            types.unwrap_or_default(),
            "event.ignoreTypes",
        );
    }
    let common = Common::of(out, object);
    if !object.has("targets") {
        let what = "is missing: expected at least one target, or event.enabled = false";
        return out.missing("event.targets", what);
    }
    let Some(nodes) = object.list(out, "targets") else {
        return;
    };
    if nodes.is_empty() {
        let what = "is empty: expected at least one target, or event.enabled = false";
        return out.missing("event.targets", what);
    }
    let mut targets = Targets {
        common,
        tables: Vec::new(),
        kinds: Vec::new(),
    };
    for (index, node) in nodes.iter().enumerate() {
        targets.add(out, &format!("event.targets[{index}]"), node);
    }
    out.set("targets", targets.tables, "event.targets");
}

/// The keys that all targets have in common here, and each has for itself in our file.
struct Common {
    attempts: u32,
    retry_interval: String,
    parallel: u32,
    retries: bool,
}

impl Common {
    fn of(out: &mut Conversion, object: &Object<'_>) -> Self {
        let retries = object.boolean(out, "enableRetry").unwrap_or(true);
        let count = object.number(out, "retryCount", 0..=999).unwrap_or(3);
        if retries && count > 0 {
            let text = "counts what follows the first attempt, as the README says; wsserver counted that too";
            out.remark("event.retryCount", text);
        }
        let seconds = object
            .number(out, "retryIntervalSeconds", 0..=86_400)
            .unwrap_or(10);
        if seconds == 0 {
            out.note("event.retryIntervalSeconds", "is one second at least");
        }
        let workers = object
            .number(out, "maxParallelWorkers", 0..=65_535)
            .unwrap_or(16);
        if !(1..=256).contains(&workers) {
            out.note(
                "event.maxParallelWorkers",
                "is 1 to 256 here, for each target",
            );
        }
        Self {
            attempts: if retries { count + 1 } else { 1 },
            retry_interval: format!("{}s", seconds.max(1)),
            parallel: workers.clamp(1, 256),
            retries,
        }
    }
}

struct Targets {
    common: Common,
    tables: Vec<Value>,
    /// The types so far.
    kinds: Vec<&'static str>,
}

impl Targets {
    fn add(&mut self, out: &mut Conversion, at: &str, node: &Node) {
        let Some((kind, object)) = kind(out, at, node) else {
            return;
        };
        if self.kinds.contains(&kind) {
            let text = "is of a type that another target has too: both are used; wsserver only used the first";
            out.note(at, text);
        }
        self.kinds.push(kind);
        let number = self.kinds.iter().filter(|it| **it == kind).count();
        let name = format!("{kind}-{number}");
        let fallbacks = self.fallbacks(out, &object, &name);
        let index = self.tables.len();
        let mut table = self.table(out, &object, kind, &name);
        out.origins
            .insert(format!("targets[{index}]"), at.to_owned());
        if !fallbacks.is_empty() {
            let names: Vec<String> = fallbacks.iter().map(|(name, _, _)| name.clone()).collect();
            table.insert("fallback".to_owned(), Value::from(names));
            // Left alone by its breaker, a target would keep what the fallbacks are there for.
            table.insert("breaker_failures".to_owned(), Value::from(1_000_000));
        }
        self.tables.push(Value::from(table));
        for (_, at, mut table) in fallbacks {
            // It only stands in for others.
            table.insert("kinds".to_owned(), Value::from(Vec::<String>::new()));
            let index = self.tables.len();
            out.origins.insert(format!("targets[{index}]"), at);
            self.tables.push(Value::from(table));
        }
    }

    /// Name, place and table of each fallback.
    fn fallbacks(
        &self,
        out: &mut Conversion,
        object: &Object<'_>,
        name: &str,
    ) -> Vec<(String, String, Dict)> {
        if !object.has("fallback") {
            return Vec::new();
        }
        let nodes = object.list(out, "fallback").unwrap_or_default();
        if !self.common.retries {
            let text = "is not used while event.enableRetry is false, as in wsserver";
            out.note(object.key("fallback"), text);
            return Vec::new();
        }
        let mut fallbacks = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            let at = format!("{}[{index}]", object.key("fallback"));
            let Some((kind, object)) = kind(out, &at, node) else {
                continue;
            };
            if object.has("fallback") {
                out.note(
                    object.key("fallback"),
                    "is not used: a fallback has none, as in wsserver",
                );
            }
            let name = format!("{name}-fallback-{}", index + 1);
            let table = self.table(out, &object, kind, &name);
            fallbacks.push((name, at, table));
        }
        fallbacks
    }

    fn table(&self, out: &mut Conversion, object: &Object<'_>, kind: &str, name: &str) -> Dict {
        let common = &self.common;
        let mut table = Dict::from([
            ("name".to_owned(), Value::from(name)),
            ("attempts".to_owned(), Value::from(common.attempts)),
            (
                "retry_interval".to_owned(),
                Value::from(common.retry_interval.as_str()),
            ),
            ("backoff".to_owned(), Value::from("fixed")),
            ("parallel".to_owned(), Value::from(common.parallel)),
        ]);
        let (inner, timeout) = if kind == "postback" {
            postback(out, object)
        } else {
            (redis(out, object), None)
        };
        if let Some(seconds) = timeout {
            table.insert("timeout".to_owned(), Value::from(format!("{seconds}s")));
        }
        table.insert(kind.to_owned(), Value::from(inner));
        table
    }
}

fn kind<'a>(out: &mut Conversion, at: &str, node: &'a Node) -> Option<(&'static str, Object<'a>)> {
    let object = Object::new(out, at, node)?;
    let Some(node) = object.get("type") else {
        out.missing(
            object.key("type"),
            "is missing: expected \"postback\" or \"redis\"",
        );
        return None;
    };
    let kind = ["postback", "redis"]
        .into_iter()
        .find(|kind| matches!(node, Node::Text(text) if text.eq_ignore_ascii_case(kind)));
    if kind.is_none() {
        out.wrong(
            object.key("type"),
            node.described(false),
            "\"postback\" or \"redis\"",
        );
    }
    Some((kind?, object))
}

/// The table of a postback, and its time limit in seconds.
fn postback(out: &mut Conversion, object: &Object<'_>) -> (Dict, Option<u32>) {
    object.only(
        out,
        &[
            "type",
            "url",
            "method",
            "connectionTimeoutSeconds",
            "auth",
            "fallback",
        ],
    );
    let mut table = Dict::from([("format".to_owned(), Value::from("classic"))]);
    if !object.has("url") {
        out.missing(
            object.key("url"),
            "is missing: expected the address of your server",
        );
    }
    if let Some(url) = object.text(out, "url") {
        // As curl takes it.
        let url = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        if let Some(host) = host_name(&url) {
            table.insert("allow_private".to_owned(), Value::from(vec![host]));
        }
        table.insert("url".to_owned(), Value::from(url));
    }
    method(out, object);
    if let Some(node) = object.get("auth") {
        let auth = auth(out, &object.key("auth"), node, Purpose::Outgoing);
        if let Some(auth) = auth.filter(|auth| !auth.is_open) {
            table.insert("auth".to_owned(), Value::from(auth.table));
        }
    }
    let timeout = object.number(out, "connectionTimeoutSeconds", 0..=600);
    if timeout == Some(0) {
        out.note(
            object.key("connectionTimeoutSeconds"),
            "is 10 minutes at most, and so is 0",
        );
    }
    (
        table,
        Some(timeout.map_or(10, |seconds| if seconds == 0 { 600 } else { seconds })),
    )
}

/// Requests are POSTs, whatever is asked for: this is what reached the receivers, if anything did.
fn method(out: &mut Conversion, object: &Object<'_>) {
    let key = object.key("method");
    if !object.has("method") {
        let text =
            "is not there: messages are sent by POST; wsserver sent a GET without the message";
        return out.note(key, text);
    }
    let Some(method) = object.text(out, "method") else {
        return;
    };
    match method.to_ascii_uppercase().as_str() {
        "POST" => {}
        "PUT" => {
            let text = "is POST, as wsserver sent it; method = \"PUT\" in TOML is obeyed";
            out.note(key, text);
        }
        _ => out.wrong(
            key,
            quote(method),
            "POST: no other method carries a message",
        ),
    }
}

/// The name of the host, if it is one that may lead to a private address: the original let every address pass.
fn host_name(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    if authority.contains(['[', '@']) {
        return None;
    }
    let host = authority.split(':').next()?;
    let is_name = !host.is_empty() && host.parse::<IpAddr>().is_err() && host != "localhost";
    is_name.then(|| host.to_owned())
}

/// The table of a Redis server.
fn redis(out: &mut Conversion, object: &Object<'_>) -> Dict {
    object.only(
        out,
        &[
            "type",
            "address",
            "port",
            "unixSocket",
            "database",
            "password",
            "mode",
            "fallback",
        ],
    );
    let mut table = Dict::from([("format".to_owned(), Value::from("classic"))]);
    let mut set = |key: &str, value: Value| table.insert(key.to_owned(), value);
    if let Some(path) = object
        .text(out, "unixSocket")
        .filter(|path| !path.is_empty())
    {
        set("unix_socket", path.into());
        if object.has("address") {
            let text = "is not used: unixSocket says where the server is, as in wsserver";
            out.note(object.key("address"), text);
        }
    } else {
        if let Some(address) = object.text(out, "address") {
            set("address", address.into());
        }
        if let Some(port) = object.number(out, "port", 1..=65_535) {
            set("port", port.into());
        }
    }
    if let Some(database) = object.number(out, "database", 0..=1_000_000) {
        set("database", database.into());
    }
    let secret = object.clone().secret();
    if let Some(password) = secret.text(out, "password").filter(|text| !text.is_empty()) {
        set("password", password.into());
    }
    if let Some(mode) = object.object(out, "mode") {
        mode.only(out, &["type", "name"]);
        let kind = mode.text(out, "type").unwrap_or("queue");
        let known = ["queue", "channel"]
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(kind));
        match known {
            Some(known) => drop(set("mode", known.into())),
            None => out.wrong(mode.key("type"), quote(kind), "\"queue\" or \"channel\""),
        }
        if let Some(name) = mode.text(out, "name") {
            set("name", name.into());
        }
    }
    table
}

const KEYS: &[&str] = &[
    "enabled",
    "enableRetry",
    "retryIntervalSeconds",
    "retryCount",
    "sendBotMessages",
    "maxParallelWorkers",
    "ignoreTypes",
    "targets",
];
