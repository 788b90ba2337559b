//! `server` and `restApi`: the two listeners.

use std::net::Ipv6Addr;

use tidewire_config::Value;

use super::{
    auth::{Auth, Purpose, auth},
    object::{Conversion, Object},
};

/// `server`.
pub(super) fn server(out: &mut Conversion, object: &Object<'_>) -> Option<Auth> {
    object.only(
        out,
        &[
            "endpoint",
            "address",
            "port",
            "workers",
            "tmpDir",
            "timezone",
            "useUniversalTime",
            "enableSecure",
            "secure",
            "watchdog",
            "auth",
        ],
    );
    let is_secure = secure(out, object, "server.tls");
    listen(out, object, "server.listen", 8085, is_secure);
    if let Some(endpoint) = object.text(out, "endpoint") {
        // It is a regular expression there, with a `?` put behind it.
        let path = endpoint.strip_suffix("/?").unwrap_or(endpoint);
        let path = path.strip_suffix('/').unwrap_or(path);
        out.set("server.endpoint", path, "server.endpoint");
    }
    if let Some(workers) = object.number(out, "workers", 0..=1024) {
        out.set("server.workers", workers, "server.workers");
    }
    if object.text(out, "tmpDir").is_some() {
        out.remark("server.tmpDir", "is not used, as in wsserver");
    }
    times(out, object);
    if object.boolean(out, "enableSecure") == Some(true) && !is_secure {
        let text = "does nothing, as in wsserver: server.secure.enabled switches TLS on";
        out.note("server.enableSecure", text);
    }
    if let Some(watchdog) = object.object(out, "watchdog") {
        self::watchdog(out, &watchdog);
    }
    match object.get("auth") {
        None => Some(Auth::open()),
        Some(node) => auth(out, "server.auth", node, Purpose::Incoming),
    }
}

fn times(out: &mut Conversion, object: &Object<'_>) {
    let zone = object.text(out, "timezone");
    let universal = object.boolean(out, "useUniversalTime");
    if let Some(zone) = zone.filter(|zone| !zone.is_empty()) {
        out.set("chat.time_zone", zone, "server.timezone");
    }
    match (universal, zone) {
        (Some(true), Some(zone)) if zone != "UTC" => {
            let text =
                "is not used: server.timezone says the zone of time stamps, as in wsserver 2";
            out.note("server.useUniversalTime", text);
        }
        (Some(false), None) => {
            let text = "is not used: time stamps are in UTC unless server.timezone says otherwise, as in wsserver 2";
            out.note("server.useUniversalTime", text);
        }
        _ => {}
    }
}

/// Dead connections are looked for either way; those whose client never answers a ping are left alone.
fn watchdog(out: &mut Conversion, object: &Object<'_>) {
    object.only(out, &["enabled", "connectionLifetimeSeconds"]);
    let is_enabled = object.boolean(out, "enabled") == Some(true);
    let key = object.key("connectionLifetimeSeconds");
    let lifetime = object.number(out, "connectionLifetimeSeconds", 0..=30 * 86_400);
    if !is_enabled {
        let text = "is false: nobody is closed for being silent, but connections whose client has answered pings and does \
                    not any more still are (server.keep_alive)";
        return out.remark(object.key("enabled"), text);
    }
    out.set(
        "server.keep_alive.ping_interval",
        "60s",
        &object.key("enabled"),
    );
    out.set(
        "server.keep_alive.pong_timeout",
        "59s",
        &object.key("enabled"),
    );
    let lifetime = lifetime.unwrap_or(600);
    out.set(
        "server.keep_alive.inactive_timeout",
        format!("{lifetime}s"),
        &key,
    );
    if lifetime > 0 {
        let text = format!(
            "closes connections whose client sends no message for {lifetime} s, as the README says and version 1 did; \
             version 2 did not: 0 switches it off"
        );
        out.note(key, text);
    }
}

/// `restApi`. `server_auth` counts where it has none of its own.
pub(super) fn rest(
    out: &mut Conversion,
    object: Option<&Object<'_>>,
    server_auth: Option<&Auth>,
) -> Option<Auth> {
    let Some(object) = object else {
        return rest_by_default(out, "restApi", server_auth);
    };
    object.only(out, &["enabled", "address", "port", "auth", "secure"]);
    let enabled = object.boolean(out, "enabled");
    if enabled == Some(false) {
        out.set("rest.enabled", false, "restApi.enabled");
        return Some(Auth::open());
    }
    let is_secure = secure(out, object, "rest.tls");
    listen(out, object, "rest.listen", 8092, is_secure);
    if !object.has("port") {
        let text = "is 8092, as the README says; wsserver listened on 8082";
        out.note("restApi.port", text);
    }
    let auth = match object.get("auth") {
        Some(node) => auth(out, "restApi.auth", node, Purpose::Incoming),
        None => inherited(out, server_auth),
    };
    if !object.has("enabled") {
        return unasked(out, "restApi.enabled", auth);
    }
    auth
}

/// The README's default is a REST API, that of the program was none.
fn rest_by_default(out: &mut Conversion, key: &str, server_auth: Option<&Auth>) -> Option<Auth> {
    out.set("rest.listen", "*:8092", key);
    let auth = inherited(out, server_auth);
    unasked(out, key, auth)
}

fn inherited(out: &mut Conversion, server_auth: Option<&Auth>) -> Option<Auth> {
    let auth = server_auth?;
    if !auth.is_open {
        let text = "is that of server.auth; in wsserver everybody passed: { \"type\": \"noauth\" } if that is meant";
        out.note("restApi.auth", text);
    }
    Some(auth.clone())
}

/// Nobody has asked for it, so nobody else is let in without credentials.
fn unasked(out: &mut Conversion, key: &str, auth: Option<Auth>) -> Option<Auth> {
    let auth = auth?;
    if auth.is_open {
        let listen = out.text("rest.listen").unwrap_or_default();
        let port = listen.rsplit(':').next().unwrap_or("8092");
        out.set("rest.listen", format!("127.0.0.1:{port}"), key);
        let text = "does not say whether there is a REST API: it is served, as the README says, but on 127.0.0.1 only; \
                    wsserver served none: restApi.enabled says what is meant";
        out.note(key, text);
    } else {
        let text = "does not say whether there is a REST API: it is served, as the README says; wsserver served none: \
                    restApi.enabled says what is meant";
        out.note(key, text);
    }
    Some(auth)
}

/// `secure`; returns whether it is switched on.
fn secure(out: &mut Conversion, object: &Object<'_>, ours: &str) -> bool {
    let Some(object) = object.object(out, "secure") else {
        return false;
    };
    object.only(out, &["enabled", "crtPath", "keyPath"]);
    if object.boolean(out, "enabled") != Some(true) {
        return false;
    }
    out.set(&format!("{ours}.enabled"), true, &object.key("enabled"));
    for (theirs, name) in [("crtPath", "certificate"), ("keyPath", "key")] {
        // What is missing is told when the files are opened.
        let path = object.text(out, theirs).unwrap_or_default();
        out.set(&format!("{ours}.{name}"), path, &object.key(theirs));
        if name == "key" && is_exposed(path) {
            let allow = format!("{ours}.danger_allow_exposed_key");
            out.set(&allow, true, &object.key(theirs));
            let text = "can be read by every user of this machine, which wsserver did not mind: chmod 0640";
            out.note(object.key(theirs), text);
        }
    }
    true
}

#[cfg(unix)]
fn is_exposed(path: &str) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o027 != 0)
}

#[cfg(not(unix))]
fn is_exposed(_path: &str) -> bool {
    false
}

/// `address` and `port`.
fn listen(out: &mut Conversion, object: &Object<'_>, ours: &str, port: u32, is_secure: bool) {
    let address = object.text(out, "address");
    let port = object.number(out, "port", 0..=65_535).unwrap_or(port);
    let host = match address {
        None | Some("" | "*" | "0.0.0.0") => "*".to_owned(),
        Some(text) if text.parse::<Ipv6Addr>().is_ok() => format!("[{text}]"),
        Some(text) => text.to_owned(),
    };
    if let Some(text) = address.filter(|_| host != "*") {
        let was_obeyed = if is_secure {
            text.len() >= 7
        } else {
            text.len() == 15
        };
        if ours == "server.listen" && !was_obeyed {
            let note = "is obeyed; wsserver took no notice of it and listened on all addresses";
            out.note("server.address", note);
        }
    }
    let theirs = format!("{}, {}", object.key("address"), object.key("port"));
    out.set(ours, format!("{host}:{port}"), &theirs);
}

/// Decides what follows from addresses and credentials together.
pub(super) fn exposure(out: &mut Conversion, server: Option<&Auth>, rest: Option<&Auth>) {
    let is_rest_served = out.text("rest.listen").is_some();
    let mut open: Vec<&str> = Vec::new();
    for (table, auth, theirs) in [
        ("server", server, "server.auth"),
        ("rest", rest.filter(|_| is_rest_served), "restApi.auth"),
    ] {
        let listen = out.text(&format!("{table}.listen")).unwrap_or_default();
        let is_local = ["127.", "localhost:", "[::1]:"]
            .iter()
            .any(|start| listen.starts_with(start));
        if !is_local && auth.is_some_and(|auth| auth.is_open) {
            open.push(theirs);
        }
    }
    for theirs in &open {
        let text = "lets everybody pass who reaches the server, as in wsserver (server.public_without_auth)";
        out.note(*theirs, text);
    }
    if let Some(first) = open.first() {
        out.set("server.public_without_auth", true, first);
    }
    out.set("server.allowed_origins", vec![Value::from("*")], "server");
    let is_ambient = server.is_some_and(|auth| auth.is_ambient);
    if is_ambient {
        out.set(
            "server.danger_any_origin_with_credentials",
            true,
            "server.auth",
        );
    }
    let text = if is_ambient {
        "is of a type that browsers attach on their own, and every web page may connect, as in wsserver: any page that a \
         user visits can talk in the user's name; list the pages' origins in server.allowed_origins (TOML, or \
         TIDEWIRE_SERVER__ALLOWED_ORIGINS with TIDEWIRE_SERVER__DANGER_ANY_ORIGIN_WITH_CREDENTIALS=false)"
    } else {
        "has no list of origins, so every web page may connect, as in wsserver: list them in server.allowed_origins \
         (TOML, or TIDEWIRE_SERVER__ALLOWED_ORIGINS)"
    };
    out.note(if is_ambient { "server.auth" } else { "server" }, text);
}
