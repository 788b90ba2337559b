//! One mistake each: none is accepted, none panics, every error names source and key.

use tidewire_gateway::config::{ConfigError, Overrides, Rule, load};

use crate::{CHAT, EXAMPLE, Fixture, load_toml, pairs};

fn check_names(error: &ConfigError, what: &str, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{what}: {text:?} lacks {word:?}");
    }
    assert_eq!(error.problems().len(), 1, "{what}: {text}");
}

/// `(table, line, key, words the message has)`; the table `*` is the endpoint.
#[rustfmt::skip] // one mistake, one line
const IN_FILES: &[(&str, &str, &str, &[&str])] = &[
    // unknown keys at each level
    ("", "listener = 1", "listener", &["unknown key", "listeners"]),
    ("", "[endpoint.x]\na = 1", "endpoint", &["unknown key", "endpoints"]),
    ("*", "upstream = \"x\"", "endpoints.chat.upstream", &["unknown key", "upstreams"]),
    ("*", "[endpoints.chat.health]\npause = \"1s\"", "endpoints.chat.health.pause", &["interval"]),
    ("*", "[endpoints.chat.resume]\nbuffer = 1", "endpoints.chat.resume.buffer", &["bytes_max"]),
    ("*", "[endpoints.chat.process]\ncmd = []", "endpoints.chat.process.cmd", &["command"]),
    ("[listeners]", "port = 1", "listeners[0].port", &["unknown key", "address"]),
    ("[listeners]", "tls = {cert = \"x\"}", "listeners[0].tls.cert", &["certificate"]),
    ("[routes]", "endpoint = \"chat\"\npth = \"/\"", "routes[0].pth", &["unknown key", "path"]),
    ("classic", "timeout = \"1s\"", "classic.timeout", &["handshake_timeout"]),
    ("mux", "streams = 1", "mux.streams", &["streams_max"]),
    ("limits", "conns = 1", "limits.conns", &["connections_max"]),
    ("drain", "rate = 1", "drain.rate", &["per_second"]),
    ("admin", "listen = \"x\"", "admin.listen", &["address"]),
    ("log", "path = \"x\"", "log.path", &["level, format, file"]),
    // wrong types
    ("", "workers = \"4\"", "workers", &["found \"4\"", "whole number"]),
    ("", "pin_by_name = 1", "pin_by_name", &["found 1", "true or false"]),
    ("", "listeners = 1", "listeners", &["found 1", "a list"]),
    ("", "routes = [1]", "routes[0]", &["found 1", "a table"]),
    ("", "endpoints = 1", "endpoints", &["found 1"]),
    ("", "classic = true", "classic", &["found true", "a table"]),
    ("", "handover = 1", "handover", &["found 1", "a text"]),
    ("*", "zone = 1", "endpoints.chat.zone", &["found 1", "a text"]),
    ("*", "balance = \"random\"", "endpoints.chat.balance", &["found \"random\"", "round-robin"]),
    ("*", "balance = 1", "endpoints.chat.balance", &["found 1", "least-connections"]),
    ("*", "balance = {hash = \"port\"}", "endpoints.chat.balance.hash", &["found \"port\"", "\"ip\""]),
    ("*", "balance = {hash = \"header:\"}", "endpoints.chat.balance.hash", &["header:NAME"]),
    ("*", "balance = {hash = \"cookie:a b\"}", "endpoints.chat.balance.hash", &["cookie:NAME"]),
    ("*", "balance = {}", "endpoints.chat.balance.hash", &["is missing"]),
    ("*", "balance = {hash = 1}", "endpoints.chat.balance.hash", &["found 1"]),
    ("*", "balance = {hsh = \"ip\"}", "endpoints.chat.balance.hsh", &["unknown key", "hash"]),
    ("*", "origins = \"https://a\"", "endpoints.chat.origins", &["\"same\", \"any\" or a list"]),
    ("*", "origins = [1]", "endpoints.chat.origins[0]", &["found 1"]),
    ("*", "origins = [\"a.org\"]", "endpoints.chat.origins[0]", &["scheme://host"]),
    ("*", "pings = \"end_to_end\"", "endpoints.chat.pings", &["\"auto\", \"end-to-end\" or \"gateway\""]),
    ("*", "extensions = \"none\"", "endpoints.chat.extensions", &["per-hop"]),
    ("*", "proxy_protocol = \"v3\"", "endpoints.chat.proxy_protocol", &["\"v1\" or \"v2\""]),
    ("*", "proxy_protocol = true", "endpoints.chat.proxy_protocol", &["found true"]),
    ("*", "tls = true", "endpoints.chat.tls", &["found true", "a table"]),
    ("*", "resume = true", "endpoints.chat.resume", &["found true", "a table"]),
    ("*", "health = {on_unhealthy = \"leave\"}", "endpoints.chat.health.on_unhealthy", &["\"move\", \"keep\" or \"close\""]),
    ("*", "resume = {overflow = \"drop\"}", "endpoints.chat.resume.overflow", &["\"close\" or \"wait\""]),
    ("*", "resume = {replay = \"all\"}", "endpoints.chat.resume.replay", &["unconfirmed"]),
    ("*", "resume = {codes = [70000]}", "endpoints.chat.resume.codes[0]", &["found 70000"]),
    ("*", "process = {command = \"node a\"}", "endpoints.chat.process.command", &["a list"]),
    ("*", "request_headers = [\"a\"]", "endpoints.chat.request_headers", &["found a list"]),
    ("log", "format = \"xml\"", "log.format", &["json"]),
    // times and sizes
    ("*", "opening = {timeout = 5}", "endpoints.chat.opening.timeout", &["found 5", "ms, s, m, h or d"]),
    ("*", "opening = {timeout = \"5\"}", "endpoints.chat.opening.timeout", &["found \"5\"", "a time"]),
    ("*", "opening = {timeout = \"5 s\"}", "endpoints.chat.opening.timeout", &["\"5 s\""]),
    ("*", "opening = {timeout = \"0s\"}", "endpoints.chat.opening.timeout", &["found 0s", "10ms to 5m"]),
    ("limits", "handshake_timeout = \"10m\"", "limits.handshake_timeout", &["found 10m", "100ms to 5m"]),
    ("limits", "idle_timeout = \"10ms\"", "limits.idle_timeout", &["1s to 1d"]),
    ("limits", "control_frames_per_second = 1001", "limits.control_frames_per_second", &["found 1001", "0 to 1000"]),
    ("limits", "control_frames_burst = 0", "limits.control_frames_burst", &["1 to 1000000"]),
    ("mux", "credit = \"16K\"", "mux.credit", &["found 16K", "16390"]),
    ("mux", "credit = \"2G\"", "mux.credit", &["2147483647"]),
    ("classic", "message_bytes_max = \"1MB\"", "classic.message_bytes_max", &["K, M or G"]),
    ("*", "rates = {bytes_per_second = -1}", "endpoints.chat.rates.bytes_per_second", &["a size"]),
    // ranges
    ("", "workers = 1025", "workers", &["0 to 1024"]),
    ("*", "opening = {retries = 101}", "endpoints.chat.opening.retries", &["0 to 100"]),
    ("*", "ejection = {failures = 0}", "endpoints.chat.ejection.failures", &["1 to 1000"]),
    ("*", "ejection = {percent_max = 101}", "endpoints.chat.ejection.percent_max", &["0 to 100"]),
    ("*", "health = {unhealthy_after = 0}", "endpoints.chat.health.unhealthy_after", &["1 to 100"]),
    ("*", "resume = {codes = [999]}", "endpoints.chat.resume.codes[0]", &["1000 to 4999"]),
    ("*", "resume = {messages_max = 0}", "endpoints.chat.resume.messages_max", &["1 to 1000000"]),
    ("drain", "per_second = 0", "drain.per_second", &["1 to 1000000"]),
    ("mux", "streams_max = 0", "mux.streams_max", &["1 to 65536"]),
    ("classic", "routes_max = 0", "classic.routes_max", &["1 to 65536"]),
    // texts with a grammar
    ("", "listen = \"8090\"", "listen", &["found \"8090\"", "127.0.0.1:8090"]),
    ("[listeners]", "address = \"gateway:80\"", "listeners[0].address", &["ip:port"]),
    ("[listeners]", "address = \"unix:\"", "listeners[0].address", &["expected a path behind unix:"]),
    ("[listeners]", "address = \"/run/a.sock\"", "listeners[0].address", &["unix:/path/of.sock"]),
    ("[listeners]", "socket_mode = \"0680\"", "listeners[0].socket_mode", &["octal", "0660"]),
    ("[listeners]", "socket_mode = \"rw\"", "listeners[0].socket_mode", &["found \"rw\""]),
    ("[listeners]", "socket_group = \"no such group\"", "listeners[0].socket_group", &["a group of this system"]),
    ("admin", "address = \"unix:\"", "admin.address", &["expected a path"]),
    ("[listeners]", "trusted_proxies = [\"10.0.0.0/33\"]", "listeners[0].trusted_proxies[0]", &["10.0.0.0/8"]),
    ("[listeners]", "proxy_protocol = [\"x\"]", "listeners[0].proxy_protocol[0]", &["a network"]),
    ("*", "aliases = [\"\"]", "endpoints.chat.aliases[0]", &["1 to 255 bytes"]),
    ("*", "aliases = [\"nack\"]", "endpoints.chat.aliases[0]", &["handshake"]),
    ("*", "aliases = [\" a\"]", "endpoints.chat.aliases[0]", &["blanks"]),
    ("*", "health = {path = \"ping\"}", "endpoints.chat.health.path", &["begins with /"]),
    ("*", "request_headers = {\"a b\" = \"\"}", "endpoints.chat.request_headers", &["the name of a header"]),
    ("*", "request_headers = {Upgrade = \"x\"}", "endpoints.chat.request_headers", &["handshake"]),
    ("*", "request_headers = {Sec-WebSocket-Key = \"x\"}", "endpoints.chat.request_headers", &["handshake"]),
    ("*", "request_headers = {X = \"a\\r\\nb\"}", "endpoints.chat.request_headers.X", &["control characters"]),
    ("[routes]", "endpoint = \"chat\"\npath = \"chat\"", "routes[0].path", &["begins with /"]),
    ("[routes]", "endpoint = \"chat\"\npath = \"re:(\"", "routes[0].path", &["unclosed group"]),
    ("[routes]", "endpoint = \"chat\"\nhost = \"re:(a{1000}){1000}\"", "routes[0].host", &["size"]),
    ("[routes]", "endpoint = \"chat\"\nheader = {\"a b\" = \"\"}", "routes[0].header", &["found \"a b\""]),
    ("[routes]", "endpoint = \"chat\"\nstrip_prefix = \"a\"", "routes[0].strip_prefix", &["/chat"]),
    ("classic", "paths = [\"a\"]", "classic.paths[0]", &["begins with /"]),
    ("log", "level = \"loud\"", "log.level", &["found \"loud\""]),
    // what is not there
    ("[routes]", "path = \"/\"", "routes[0].endpoint", &["is missing"]),
    ("[routes]", "endpoint = \"nope\"", "routes[0].endpoint", &["found \"nope\"", "chat"]),
    ("[listeners]", "tls = {}", "listeners[0].tls.certificate", &["is missing"]),
    ("[listeners]", "tls = {certificate = \"/no/c\", key = \"/no/k\"}", "listeners[0].tls.certificate", &["/no/c"]),
    ("*", "tls = {ca = \"/no/ca\"}", "endpoints.chat.tls.ca", &["cannot open /no/ca"]),
    ("*", "tls = {ca = \"/\"}", "endpoints.chat.tls.ca", &["not a file"]),
    ("*", "tls = {danger_unverified = true, server_name = \"no name\"}", "endpoints.chat.tls", &["server name \"no name\" cannot be used"]),
    ("*", "tls = {key = \"Cargo.toml\"}", "endpoints.chat.tls.certificate", &["is missing"]),
    ("*", "process = {}", "endpoints.chat.process.command", &["is missing", "a program"]),
    ("*", "process = {command = [\"a\"], directory = \"/no/d\"}", "endpoints.chat.process.directory", &["/no/d"]),
    // authentication
    ("*", "auth = \"noauth\"", "endpoints.chat.auth", &["a table"]),
    ("*", "auth = {type = \"jwt\"}", "endpoints.chat.auth", &["`jwt`"]),
    ("*", "auth = {type = \"bearer\", value = \"${env:NOPE}\"}", "endpoints.chat.auth.value", &["NOPE"]),
    ("admin", "auth = {type = \"bearer\"}", "admin.auth", &["needs the key `value`"]),
    // contradictions
    ("*", "aliases = [\"Chat\"]", "endpoints.chat.aliases[0]", &["endpoints.chat has too"]),
    ("", "[endpoints.CHAT]\nupstreams = [\"ws://a/\"]", "endpoints.chat", &["endpoints.CHAT has too"]),
    ("*", "origins = \"any\"\nauth = {type = \"basic\", user = \"u\", password = \"p\"}", "endpoints.chat.origins", &["on their own"]),
    ("*", "health = {interval = \"1s\", timeout = \"2s\"}", "endpoints.chat.health.interval", &["at least endpoints.chat.health.timeout"]),
    ("*", "ejection = {ejected_for = \"1m\"}", "endpoints.chat.ejection.ejected_max", &["found 30s"]),
    ("*", "resume = {backoff_min = \"1m\"}", "endpoints.chat.resume.backoff_max", &["backoff_min, which is 1m"]),
    ("*", "process = {command = [\"a\"], backoff_max = \"10ms\"}", "endpoints.chat.process.backoff_max", &["100ms"]),
    ("*", "resume = {}\nrates = {message_bytes_max = \"2M\"}", "endpoints.chat.resume.bytes_max", &["2M"]),
    ("*", "tls = {danger_unverified = true, system_roots = true}", "endpoints.chat.tls.danger_unverified", &["verifies nothing"]),
    ("classic", "queue_bytes_max = \"64K\"", "classic.queue_bytes_max", &["classic.message_bytes_max"]),
    ("admin", "address = \"*:8091\"", "admin.address", &["reachable", "set admin.auth or listen"]),
    ("admin", "address = \"127.0.0.1:8090\"", "admin.address", &["listeners[0].address uses too"]),
];

#[test]
fn mistakes_in_files_are_refused_by_file_and_key() {
    assert!(IN_FILES.len() >= 100, "{}", IN_FILES.len());
    for (table, line, key, words) in IN_FILES {
        let text = match *table {
            "" if line.starts_with('[') => format!("{CHAT}{line}"),
            "" if line.starts_with("endpoints") => (*line).to_owned(),
            "" => format!("{line}\n{CHAT}"),
            "*" => format!("{CHAT}{line}"),
            table => format!("{CHAT}[{table}]\n{line}"),
        };
        let Err(error) = load_toml(&text) else {
            panic!("accepted {text}");
        };
        let named = format!("gateway.toml: {key}: ");
        let words = [words, [named.as_str()].as_slice()].concat();
        if line.contains("tls = {}") || line.contains("/no/k") {
            // Certificate and key, each by itself.
            assert_eq!(error.problems().len(), 2, "{error}");
            assert!(
                words.iter().all(|word| error.to_string().contains(word)),
                "{error}"
            );
        } else {
            check_names(&error, &text, &words);
        }
    }
}

/// `(upstream, key behind upstreams, word)`
#[rustfmt::skip] // one mistake, one line
const UPSTREAMS: &[(&str, &str, &str)] = &[
    ("[]", "", "is missing"),
    ("\"ws://a/\"", "", "a list"),
    ("[1]", "[0]", "found 1"),
    ("[\"http://a/\"]", "[0]", "ws:// or wss://"),
    ("[\"\"]", "[0]", "ws://127.0.0.1:9001/"),
    ("[\"ws://a:0/\"]", "[0]", "a port from 1 to 65535"),
    ("[\"ws://a/\", \"ws://a/b c\"]", "[1]", "blanks"),
    ("[\"ws://user:hidden@a:99999/\"]", "[0]", "\u{2026}@a:99999"),
    ("[{weight = 1}]", "[0]", "ws://"),
    ("[{url = \"ws://a/\", weight = 0}]", "[0].weight", "1 to 1000"),
    ("[{url = \"ws://a/\", weight = \"2\"}]", "[0].weight", "whole number"),
    ("[{url = \"ws://a/\", prio = 1}]", "[0].prio", "connections_max"),
    ("[{url = 1}]", "[0].url", "a text"),
];

#[test]
fn mistakes_in_upstreams_are_refused() {
    for (value, key, word) in UPSTREAMS {
        let text = format!("[endpoints.a]\nupstreams = {value}");
        let error = load_toml(&text).expect_err(&text);
        let named = format!("gateway.toml: endpoints.a.upstreams{key}: ");
        check_names(&error, &text, &[named.as_str(), *word]);
    }
}

/// `(variable, value, key, a word the message has)`
#[rustfmt::skip] // one mistake, one line
const IN_VARIABLES: &[(&str, &str, &str, &str)] = &[
    ("TIDEWIRE_GATEWAY_LISTENERS__ADDRES", "x", "listeners.addres", "unknown key"),
    ("TIDEWIRE_GATEWAY_MUXX__STREAMS_MAX", "1", "muxx.streams_max", "unknown key"),
    ("TIDEWIRE_GATEWAY_ENDPOINTS__CHAT", "x", "endpoints.chat", "is a table"),
    ("TIDEWIRE_GATEWAY_ENDPOINTS__CHAT__AUTH", "x", "endpoints.chat.auth", "is a table"),
    ("TIDEWIRE_GATEWAY_ENDPOINTS__CHAT__AUTH__SECRETS", "x", "endpoints.chat.auth.secrets", "password"),
    ("TIDEWIRE_GATEWAY_ENDPOINTS__CHAT__ZONES", "x", "endpoints.chat.zones", "unknown key"),
    ("TIDEWIRE_GATEWAY_ENDPOINTS__CHAT__HEALTH__INTERVAL", "5", "endpoints.chat.health.interval", "a time"),
    ("TIDEWIRE_GATEWAY_ENDPOINTS__CHAT__REQUEST_HEADERS__X", "x", "endpoints.chat.request_headers.x", "unknown key"),
    ("TIDEWIRE_GATEWAY_ENDPOINTS__SYN__UPSTREAMS", "ws://a/", "endpoints.syn", "handshake"),
    ("TIDEWIRE_GATEWAY_WORKERS", "many", "workers", "found \"many\""),
    ("TIDEWIRE_GATEWAY_PIN_BY_NAME", "1", "pin_by_name", "true or false"),
    ("TIDEWIRE_GATEWAY_LISTENERS", "127.0.0.1:1", "listeners[0]", "a table"),
    ("TIDEWIRE_GATEWAY_LISTENERS__ADDRESS", "x", "listeners.address", "unknown key"),
    ("TIDEWIRE_GATEWAY_LISTEN", "1", "listen", "ip:port"),
    ("TIDEWIRE_GATEWAY_ADMIN__ADDRESS", "*:1", "admin.address", "reachable"),
];

#[test]
fn mistakes_in_variables_are_refused_by_variable_and_key() {
    for (name, value, key, word) in IN_VARIABLES {
        let result =
            Fixture::new("gateway.toml", CHAT).load(&[(*name, *value)], &Overrides::default());
        let Err(error) = result else {
            panic!("accepted {name}={value}");
        };
        let named = format!("environment variable {name}: {key}");
        check_names(&error, name, &[named.as_str(), *word]);
    }
}

#[test]
fn mistakes_in_flags_are_refused_by_flag_and_key() {
    let flags = Overrides {
        listen: Some("x".to_owned()),
        ..Overrides::default()
    };
    let error = Fixture::new("gateway.toml", CHAT)
        .load(&[], &flags)
        .expect_err("no address");
    check_names(&error, "--listen", &["flag --listen: listen: ", "ip:port"]);
}

#[test]
fn nothing_at_all_is_no_gateway() {
    let error = load(None, pairs(&[]), &Overrides::default()).expect_err("no endpoint");
    check_names(
        &error,
        "nothing",
        &["endpoints: there is none", "[endpoints.chat]"],
    );
}

#[test]
fn unreadable_files_are_refused() {
    for path in [
        "/does/not/exist.toml",
        "/does/not/exist.ini",
        "/",
        "/dev/zero",
    ] {
        let error = load(Some(path.as_ref()), pairs(&[]), &Overrides::default()).expect_err(path);
        check_names(&error, path, &[path, "cannot be read"]);
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    let types = "nope = 1\n[[listeners]]\naddress = 1\nhttp2 = 2\n[[listeners]]\nx = 1\n\
                 [endpoints.a]\nzone = 1\n[endpoints.b]\nbalance = \"x\"\n[[routes]]\npath = 1\n\
                 [[routes]]\nendpoint = 7";
    let error = load_toml(types).expect_err("eight mistakes");
    assert_eq!(error.problems().len(), 8, "{error}");
    let rules = "workers = 2000\n[[listeners]]\naddress = \"x\"\n[endpoints.syn]\n\
                 upstreams = [\"x\"]\n[[routes]]\nendpoint = \"y\"\npath = \"z\"";
    let error = load_toml(rules).expect_err("six mistakes");
    assert_eq!(error.problems().len(), 6, "{error}");
}

#[test]
fn no_line_of_the_example_can_be_broken_unnoticed() {
    let mut lines = 0;
    let mut table = "";
    for line in EXAMPLE.lines() {
        if line.starts_with('[') {
            table = line;
        }
        let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else {
            continue;
        };
        lines += 1;
        for broken in [
            format!("{key}_ = {value}"),
            format!("{key} = {{zz = 1}}"),
            format!("{key} = [[]]"),
            format!("{key} = nan"),
        ] {
            let (before, behind) = if table.is_empty() {
                ("", EXAMPLE.as_str())
            } else {
                let split = format!("\n{table}\n");
                let at = EXAMPLE.find(&split).expect("a table") + split.len();
                EXAMPLE.split_at(at)
            };
            let behind =
                format!("\n{behind}").replacen(&format!("\n{line}\n"), &format!("\n{broken}\n"), 1);
            let error = load_toml(&format!("{before}{behind}"))
                .expect_err(&broken)
                .to_string();
            assert!(
                error.contains("gateway.toml: "),
                "{table} {broken}: {error}"
            );
            let is_named = error.contains(key) || (key == "type" && error.contains("auth"));
            assert!(is_named, "{table} {broken}: {error}");
        }
    }
    assert!(lines > 80, "{lines}");
}

#[test]
fn a_former_name_is_answered_with_the_new_one() {
    for (table, old, new) in [
        (
            "classic",
            "handshake_within = \"9s\"",
            "classic.handshake_timeout",
        ),
        (
            "limits",
            "handshake_within = \"9s\"",
            "limits.handshake_timeout",
        ),
        ("limits", "write_within = \"9s\"", "limits.write_timeout"),
        ("limits", "ping_every = \"9s\"", "limits.ping_interval"),
        ("limits", "idle_within = \"9s\"", "limits.idle_timeout"),
        ("drain", "within = \"9s\"", "drain.timeout"),
        (
            "endpoints.chat.opening",
            "within = \"9s\"",
            "endpoints.chat.opening.timeout",
        ),
        (
            "endpoints.chat.health",
            "every = \"9s\"",
            "endpoints.chat.health.interval",
        ),
        (
            "endpoints.chat.health",
            "within = \"9s\"",
            "endpoints.chat.health.timeout",
        ),
        (
            "endpoints.chat.resume",
            "within = \"9s\"",
            "endpoints.chat.resume.timeout",
        ),
        (
            "endpoints.chat.process",
            "ready_within = \"9s\"",
            "endpoints.chat.process.ready_timeout",
        ),
        (
            "endpoints.chat.process",
            "stop_within = \"9s\"",
            "endpoints.chat.process.stop_timeout",
        ),
    ] {
        let text = format!("{CHAT}[{table}]\n{old}\n");
        let error = load_toml(&text).expect_err(&text);
        let problem = error.problems().first().expect("a problem");
        let Rule::Renamed { key, example } = &problem.rule else {
            panic!("{text}: {error}");
        };
        assert_eq!(key, new, "{text}");
        assert!(example.is_some(), "{text}: {error}");
    }
}

#[test]
fn no_error_repeats_a_secret() {
    for line in [
        "auth = \"canary-4711\"",
        "auth = {type = \"bearer\", value = [\"canary-4711\"]}",
        "auth = {type = \"bearer\", value = \"canary-4711 \"}",
        "auth = {type = \"basic\", user = \"u\", name = \"n\", value = \"canary-4711\"}",
        "auth = {type = \"bearer\", value = 47114711}",
        "request_headers = {Authorization = \"canary-4711\\n\"}",
    ] {
        let text = format!("{CHAT}{line}");
        let error = load_toml(&text).expect_err(&text);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("4711"), "{text}: {shown}");
    }
}
