//! One mistake each: none is accepted, none panics, every error names source and key.

use tidewire_server::config::{ConfigError, Overrides, default_toml};

use crate::{Fixture, load_text, load_variables};

fn check_names(error: &ConfigError, what: &str, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{what}: {text:?} lacks {word:?}");
    }
    assert_eq!(error.problems().len(), 1, "{what}: {text}");
}

/// `(table, line, key, words the message has)`
#[rustfmt::skip] // one mistake, one line
const IN_FILES: &[(&str, &str, &str, &[&str])] = &[
    // unknown keys at each level
    ("", "datadir = \"x\"", "datadir", &["unknown key", "data_dir"]),
    ("", "[servers]\nlisten = \"x\"", "servers", &["unknown key", "server"]),
    ("server", "listne = \"x\"", "server.listne", &["unknown key", "listen"]),
    ("server", "Listen = \"x\"", "server.Listen", &["unknown key", "listen"]),
    ("server.tls", "cert = \"x\"", "server.tls.cert", &["certificate"]),
    ("server.limits", "max = 1", "server.limits.max", &["headers_max"]),
    ("server.echo_limits", "bytes = 1", "server.echo_limits.bytes", &["fragments_max"]),
    ("rest", "port = 8092", "rest.port", &["unknown key", "listen"]),
    ("rest.tls", "mode = 2", "rest.tls.mode", &["unknown key"]),
    ("server.limits", "maxSize = 1", "server.limits.maxSize", &["message_bytes_max"]),
    ("chat.message", "maxSize = \"10M\"", "chat.message", &["unknown key"]),
    ("server.keep_alive", "ping = 1", "server.keep_alive.ping", &["ping_interval"]),
    ("mailbox", "tll = 1", "mailbox.tll", &["ttl, ttl_max"]),
    ("log", "file = \"x\"", "log.file", &["level, format"]),
    // wrong types
    ("", "data_dir = 7", "data_dir", &["found 7", "a text"]),
    ("", "data_dir = \"\"", "data_dir", &["found \"\""]),
    ("", "server = 7", "server", &["found 7", "a table"]),
    ("", "server = \"x\"", "server", &["found \"x\"", "a table"]),
    ("", "chat = [1]", "chat", &["found a list"]),
    ("server", "listen = 8085", "server.listen", &["found 8085", "a text"]),
    ("server", "echo = \"yes\"", "server.echo", &["found \"yes\"", "true or false"]),
    ("server", "echo = 1", "server.echo", &["found 1", "true or false"]),
    ("server", "workers = \"4\"", "server.workers", &["found \"4\"", "whole number"]),
    ("server", "workers = 1.5", "server.workers", &["found 1.5", "whole number"]),
    ("server", "workers = true", "server.workers", &["found true"]),
    ("server", "workers = -1", "server.workers", &["found -1"]),
    ("server", "workers = 4294967296", "server.workers", &["found 4294967296"]),
    ("server", "runtime = 1", "server.runtime", &["found 1"]),
    ("server", "runtime = {pool = 1}", "server.runtime", &["found a table"]),
    ("server", "runtime = \"Pool\"", "server.runtime", &["found \"Pool\"", "per-core"]),
    ("server", "allowed_origins = \"*\"", "server.allowed_origins", &["a list"]),
    ("server", "allowed_origins = [7]", "server.allowed_origins[0]", &["found 7"]),
    ("server", "drain_timeout = 10", "server.drain_timeout", &["found 10", "such as \"5s\""]),
    ("server", "drain_timeout = \"10\"", "server.drain_timeout", &["found \"10\"", "ms, s, m, h or d"]),
    ("server", "drain_timeout = \"1.5s\"", "server.drain_timeout", &["found \"1.5s\""]),
    ("server", "tls = true", "server.tls", &["found true", "a table"]),
    ("server", "limits = 1", "server.limits", &["found 1", "a table"]),
    ("chat", "send_back_ignored_types = {}", "chat.send_back_ignored_types", &["a list"]),
    ("server", "confirm = \"acked\"", "server.confirm", &["found \"acked\"", "written"]),
    ("chat", "check_sender = \"false\"", "chat.check_sender", &["true or false"]),
    ("chat", "time_zone = 3", "chat.time_zone", &["found 3"]),
    ("log", "format = \"xml\"", "log.format", &["found \"xml\"", "json"]),
    ("log", "level = 2", "log.level", &["found 2"]),
    ("log", "level = 1979-05-27", "log.level", &[]),
    // what has no unit, and what was switched off by a key of its own
    ("mailbox", "file_bytes_max = 65535", "mailbox.file_bytes_max", &["found 65535", "at least 64KiB"]),
    // sizes
    ("server.limits", "message_bytes_max = \"10MB\"", "server.limits.message_bytes_max", &["\"10MB\"", "K, M or G"]),
    ("server.limits", "message_bytes_max = \"10m\"", "server.limits.message_bytes_max", &["\"10m\""]),
    ("server.limits", "message_bytes_max = \"M\"", "server.limits.message_bytes_max", &["\"M\""]),
    ("server.limits", "message_bytes_max = \"\"", "server.limits.message_bytes_max", &["\"\""]),
    ("server.limits", "message_bytes_max = \" 10M\"", "server.limits.message_bytes_max", &["\" 10M\""]),
    ("server.limits", "message_bytes_max = \"+1\"", "server.limits.message_bytes_max", &["\"+1\""]),
    ("server.limits", "message_bytes_max = \"-1K\"", "server.limits.message_bytes_max", &["\"-1K\""]),
    ("server.limits", "message_bytes_max = \"1.5M\"", "server.limits.message_bytes_max", &["\"1.5M\""]),
    ("server.limits", "message_bytes_max = -1", "server.limits.message_bytes_max", &["-1", "a size"]),
    ("server.limits", "message_bytes_max = 1.0", "server.limits.message_bytes_max", &["a size"]),
    ("server.limits", "message_bytes_max = true", "server.limits.message_bytes_max", &["found true"]),
    ("server.limits", "message_bytes_max = 0", "server.limits.message_bytes_max", &["found 0", "1 to 1GiB"]),
    ("chat", "outbox_bytes_max = \"99999999999G\"", "chat.outbox_bytes_max", &["a size"]),
    ("chat", "outbox_bytes_max = \"2G\"", "chat.outbox_bytes_max", &["found 2GiB", "1KiB to 1GiB"]),
    // ranges
    ("server", "workers = 1025", "server.workers", &["found 1025", "0 to 1024"]),
    ("server", "drain_timeout = \"3601s\"", "server.drain_timeout", &["found 3601s", "0s to 1h"]),
    ("server.limits", "handshake_timeout = \"0s\"", "server.limits.handshake_timeout", &["1s to 5m"]),
    ("server.limits", "handshake_timeout = \"301s\"", "server.limits.handshake_timeout", &["301s"]),
    ("server.limits", "head_bytes_max = 1023", "server.limits.head_bytes_max", &["1KiB to 1MiB"]),
    ("server.limits", "headers_max = 7", "server.limits.headers_max", &["8 to 1024"]),
    ("server.limits", "send_queue_bytes_max = 1", "server.limits.send_queue_bytes_max", &["16K"]),
    ("server.limits", "control_frames_per_second = 1001", "server.limits.control_frames_per_second", &["found 1001", "0 to 1000"]),
    ("server.limits", "control_frames_per_second = \"off\"", "server.limits.control_frames_per_second", &["found \"off\""]),
    ("server.limits", "control_frames_burst = 0", "server.limits.control_frames_burst", &["1 to 1000000"]),
    ("server.limits", "answer_timeout = \"0s\"", "server.limits.answer_timeout", &["1s to 1h"]),
    ("server.limits", "answers_bytes_max = \"512K\"", "server.limits.answers_bytes_max", &["1MiB to 1GiB"]),
    ("server.echo_limits", "message_bytes_max = 0", "server.echo_limits.message_bytes_max", &["1 to 1GiB"]),
    ("server.echo_limits", "message_bytes_max = \"2G\"", "server.echo_limits.message_bytes_max", &["found 2GiB", "1 to 1GiB"]),
    ("server.echo_limits", "fragments_max = 0", "server.echo_limits.fragments_max", &["found 0", "1 to 1000000"]),
    ("server.echo_limits", "fragments_max = 1000001", "server.echo_limits.fragments_max", &["1 to 1000000"]),
    ("server.echo_limits", "fragments_max = \"4K\"", "server.echo_limits.fragments_max", &["found \"4K\"", "whole number"]),
    ("rest", "body_bytes_max = 0", "rest.body_bytes_max", &["1KiB to 1GiB"]),
    ("chat", "recipients_max = 0", "chat.recipients_max", &["1 to 65536"]),
    ("chat", "sessions_per_user_max = 0", "chat.sessions_per_user_max", &["1 to 65536"]),
    ("chat", "outbox_messages_max = 0", "chat.outbox_messages_max", &["1 to 1048576"]),
    ("server.keep_alive", "pong_timeout = \"0s\"", "server.keep_alive.pong_timeout", &["1s to 1d"]),
    ("server.keep_alive", "inactive_timeout = \"31d\"", "server.keep_alive.inactive_timeout", &["0s to 30d"]),
    ("mailbox", "ttl = \"-1s\"", "mailbox.ttl", &["found \"-1s\""]),
    ("mailbox", "user_messages_max = -1", "mailbox.user_messages_max", &["found -1"]),
    ("mailbox", "enabled = 0", "mailbox.enabled", &["found 0", "true or false"]),
    ("mailbox", "sender_messages_max = \"many\"", "mailbox.sender_messages_max", &["found \"many\""]),
    ("mailbox", "sender_bytes_max = \"9M\"", "mailbox.sender_bytes_max", &["found 9MiB", "server.limits.message_bytes_max"]),
    ("mailbox", "sender_share_percent = 0", "mailbox.sender_share_percent", &["found 0", "1 to 100"]),
    ("mailbox", "sender_share_percent = 101", "mailbox.sender_share_percent", &["found 101", "1 to 100"]),
    ("mailbox", "queue_bytes_max = 0", "mailbox.queue_bytes_max", &["found 0", "1KiB to 1GiB"]),
    ("chat", "live_only_types = \"typing\"", "chat.live_only_types", &["a list"]),
    ("chat", "repeat_recipients = 1", "chat.repeat_recipients", &["true or false"]),
    ("chat", "submissions_bytes_max = 1", "chat.submissions_bytes_max", &["1KiB to 1GiB"]),
    ("rest", "answer_timeout = \"0s\"", "rest.answer_timeout", &["1s to 10m"]),
    ("rest", "idempotency_ttl = \"0s\"", "rest.idempotency_ttl", &["1s to 1d"]),
    ("rest", "idempotency_keys_max = 0", "rest.idempotency_keys_max", &["1 to 1000000"]),
    ("mailbox", "clock_jump_max = \"3651d\"", "mailbox.clock_jump_max", &["0s to 3650d"]),
    ("mailbox", "clock_confirm_after = 86400", "mailbox.clock_confirm_after", &["found 86400"]),
    ("mailbox", "bytes_max = \"2000000G\"", "mailbox.bytes_max", &["found 2000000GiB"]),
    // texts with a grammar
    ("server", "listen = \"\"", "server.listen", &["ip:port"]),
    ("server", "listen = \"unix:\"", "server.listen", &["expected a path behind unix:"]),
    ("server", "socket_mode = \"0999\"", "server.socket_mode", &["octal"]),
    ("rest", "socket_group = \"no such group\"", "rest.socket_group", &["a group of this system"]),
    ("server", "listen = \"8085\"", "server.listen", &["found \"8085\""]),
    ("server", "listen = \":8085\"", "server.listen", &["found \":8085\""]),
    ("server", "listen = \"127.0.0.1\"", "server.listen", &["127.0.0.1"]),
    ("server", "listen = \"127.0.0.1:65536\"", "server.listen", &["65536"]),
    ("server", "listen = \"example.org:80\"", "server.listen", &["example.org"]),
    ("server", "listen = \"localhost:+1\"", "server.listen", &["ip:port"]),
    ("rest", "listen = \"*\"", "rest.listen", &["ip:port"]),
    ("server", "endpoint = \"\"", "server.endpoint", &["a path"]),
    ("server", "endpoint = \"chat\"", "server.endpoint", &["found \"chat\""]),
    ("server", "endpoint = \"/\"", "server.endpoint", &["found \"/\""]),
    ("server", "endpoint = \"/echo\"", "server.endpoint", &["not /echo"]),
    ("server", "endpoint = \"/chat/\"", "server.endpoint", &["no slash at the end"]),
    ("server", "endpoint = \"/a//b\"", "server.endpoint", &["/a//b"]),
    ("server", "endpoint = \"/../a\"", "server.endpoint", &["/../a"]),
    ("server", "endpoint = \"/a?b\"", "server.endpoint", &["/a?b"]),
    ("server", "endpoint = \"/a b\"", "server.endpoint", &["/a b"]),
    ("server", "allowed_origins = [\"wss://a\"]", "server.allowed_origins[0]", &["http:// or https://"]),
    ("server", "allowed_origins = [\"a.org\"]", "server.allowed_origins[0]", &["\"a.org\""]),
    ("server", "allowed_origins = [\"https://a/b\"]", "server.allowed_origins[0]", &["path"]),
    ("server", "allowed_origins = [\"https://a.*.b\"]", "server.allowed_origins[0]", &["first label"]),
    ("server", "allowed_origins = [\"https://*\"]", "server.allowed_origins[0]", &["*.example.org"]),
    ("server", "allowed_origins = [\"https://*a*.b\"]", "server.allowed_origins[0]", &["first label"]),
    ("server", "allowed_origins = [\"://a\"]", "server.allowed_origins[0]", &["scheme"]),
    ("server", "allowed_origins = [\"https://a:*:1\"]", "server.allowed_origins[0]", &[]),
    ("server", "trusted_proxies = [\"proxy.example\"]", "server.trusted_proxies[0]", &["10.0.0.0/8"]),
    ("server", "proxy_protocol = [\"10.0.0.0/99\"]", "server.proxy_protocol[0]", &["10.0.0.0/8"]),
    ("server", "forwarded_fields = \"x\"", "server.forwarded_fields", &["x-forwarded"]),
    ("rest", "trusted_proxies = [\"*\"]", "rest.trusted_proxies[0]", &["10.0.0.0/8"]),
    ("server", "allowed_origins = [\"https://u@a\"]", "server.allowed_origins[0]", &[]),
    ("server", "allowed_origins = [\"https://a:0\"]", "server.allowed_origins[0]", &[]),
    ("server", "allowed_origins = [\"https://a:b\"]", "server.allowed_origins[0]", &[]),
    ("server", "allowed_origins = [\"https://\"]", "server.allowed_origins[0]", &[]),
    ("server", "allowed_origins = [\"*\", \"https://a\"]", "server.allowed_origins", &["alone"]),
    ("chat", "time_zone = \"Mars/Base\"", "chat.time_zone", &["Mars/Base", "IANA"]),
    ("chat", "time_zone = \"\"", "chat.time_zone", &["IANA"]),
    ("log", "level = \"inof\"", "log.level", &["found \"inof\"", "info"]),
    ("log", "level = \"\"", "log.level", &["found \"\""]),
    ("log", "level = \"info,\"", "log.level", &["found \"info,\""]),
    ("log", "level = \"a=b\"", "log.level", &["found \"a=b\""]),
    // authentication
    ("server", "auth = \"noauth\"", "server.auth", &["a table"]),
    ("server.auth", "type = \"oauth\"", "server.auth", &["`oauth`", "oneOf"]),
    ("server.auth", "type = 1", "server.auth.type", &["found a number"]),
    ("server.auth", "value = \"x\"", "server.auth", &["no key `value`"]),
    ("server.auth", "typ = \"basic\"", "server.auth.typ", &["unknown key"]),
    ("rest.auth", "type = \"bearer\"", "rest.auth", &["needs the key `value`"]),
    ("rest.auth", "type = \"bearer\"\nvalue = \"\"", "rest.auth.value", &["is empty"]),
    ("rest.auth", "type = \"bearer\"\nvalue = \"${env:NOPE}\"", "rest.auth.value", &["NOPE"]),
    ("rest.auth", "type = \"bearer\"\nvalue = \"${file:/nope}\"", "rest.auth.value", &["/nope"]),
    ("rest.auth", "type = \"oneOf\"\ntypes = []", "rest.auth.types", &["is empty"]),
    ("rest.auth", "type = \"oneOf\"\ntypes = [{type = \"noauth\"}, {type = \"jwt\"}]", "rest.auth.types[1]", &["`jwt`"]),
    ("rest.auth", "type = \"allOf\"\ntypes = [{type = \"bearer\", value = \"\"}]", "rest.auth.types[0].value", &["is empty"]),
];

#[test]
fn mistakes_in_files_are_refused_by_file_and_key() {
    assert!(IN_FILES.len() >= 60);
    for (table, line, key, words) in IN_FILES {
        let text = if table.is_empty() {
            (*line).to_owned()
        } else {
            format!("[{table}]\n{line}")
        };
        let Err(error) = load_text(&text) else {
            panic!("accepted {text}");
        };
        let named = format!("tidewire.toml: {key}: ");
        check_names(
            &error,
            &text,
            &[words, [named.as_str()].as_slice()].concat(),
        );
    }
}

/// `(variable, value, key, a word the message has)`
#[rustfmt::skip] // one mistake, one line
const IN_VARIABLES: &[(&str, &str, &str, &str)] = &[
    ("TIDEWIRE_SERVER__LISTNE", "x", "server.listne", "unknown key"),
    ("TIDEWIRE_SERVER__TLS__CERT", "x", "server.tls.cert", "certificate"),
    ("TIDEWIRE_NOPE__LISTEN", "x", "nope.listen", "unknown key"),
    ("TIDEWIRE___", "x", ".", "unknown key"),
    ("TIDEWIRE_DATA_DIR__X", "x", "data_dir.x", "unknown key"),
    ("TIDEWIRE_SERVER__AUTH", "x", "server.auth", "is a table"),
    ("TIDEWIRE_SERVER__AUTH__SECRETS", "x", "server.auth.secrets", "password"),
    ("TIDEWIRE_SERVER__LISTEN", "", "server.listen", "ip:port"),
    ("TIDEWIRE_SERVER__LISTEN", "8085", "server.listen", "found \"8085\""),
    ("TIDEWIRE_SERVER__WORKERS", "many", "server.workers", "found \"many\""),
    ("TIDEWIRE_SERVER__WORKERS", "", "server.workers", "found \"\""),
    ("TIDEWIRE_SERVER__WORKERS", "-1", "server.workers", "found -1"),
    ("TIDEWIRE_SERVER__ECHO", "1", "server.echo", "found \"1\""),
    ("TIDEWIRE_SERVER__ECHO", "True", "server.echo", "true or false"),
    ("TIDEWIRE_SERVER__RUNTIME", "1", "server.runtime", "per-core"),
    ("TIDEWIRE_SERVER__ALLOWED_ORIGINS", "[", "server.allowed_origins", "a list"),
    ("TIDEWIRE_SERVER__ALLOWED_ORIGINS", "x", "server.allowed_origins[0]", "scheme"),
    ("TIDEWIRE_SERVER__ALLOWED_ORIGINS", "[]\nx=1", "server.allowed_origins", "a list"),
    ("TIDEWIRE_SERVER__LIMITS__MESSAGE_BYTES_MAX", "1T", "server.limits.message_bytes_max", "\"1T\""),
    ("TIDEWIRE_SERVER__AUTH__TYPE", "oauth", "server.auth", "`oauth`"),
    ("TIDEWIRE_SERVER__AUTH__TYPE", "bearer", "server.auth", "`value`"),
    ("TIDEWIRE_SERVER__AUTH__VALUE", "x", "server.auth", "`value`"),
    ("TIDEWIRE_SERVER__AUTH__TYPES", "x", "server.auth.types", "a table"),
];

#[test]
fn mistakes_in_variables_are_refused_by_variable_and_key() {
    for (name, value, key, word) in IN_VARIABLES {
        let Err(error) = load_variables(&[(*name, *value)]) else {
            panic!("accepted {name}={value}");
        };
        let named = format!("environment variable {name}: {key}");
        check_names(&error, name, &[named.as_str(), *word]);
    }
}

#[test]
fn variables_that_differ_in_case_clash() {
    let error = load_variables(&[("TIDEWIRE_DATA_DIR", "/a"), ("tidewire_data_dir", "/b")])
        .expect_err("a clash");
    check_names(&error, "clash", &["tidewire_data_dir", "set twice"]);
}

#[test]
fn mistakes_in_flags_are_refused_by_flag_and_key() {
    let flag = |listen: &str, rest_listen: &str, data_dir: &str| Overrides {
        listen: Some(listen.to_owned()),
        rest_listen: Some(rest_listen.to_owned()),
        admin_listen: None,
        data_dir: Some(data_dir.to_owned()),
        echo: None,
        log_level: None,
    };
    let good = "127.0.0.1:0";
    for (overrides, named) in [
        (flag("x", good, "d"), "flag --listen: server.listen: "),
        (flag(good, "x", "d"), "flag --rest-listen: rest.listen: "),
        (flag(good, good, ""), "flag --data-dir: data_dir: "),
    ] {
        let error = Fixture::new("").load(&[], &overrides).expect_err(named);
        check_names(&error, named, &[named]);
    }
}

#[test]
fn unreadable_files_are_refused() {
    let load = |path: &str| {
        tidewire_server::config::load(
            Some(path.as_ref()),
            std::iter::empty(),
            &Overrides::default(),
        )
    };
    for path in ["/does/not/exist.toml", "/", "/dev/zero"] {
        let error = load(path).expect_err(path);
        check_names(&error, path, &[path, "cannot be read"]);
    }
}

#[test]
fn broken_toml_is_refused_with_its_place_and_without_its_text() {
    for (text, place) in [
        ("a", "line 1, column 2"),
        ("\n[server\n", "line 2, column 8"),
        ("[server.auth]\nvalue = \"canary-4711", "line 2"),
        (
            "[server.auth]\ntype = \"bearer\"\nvalue = canary-4711",
            "line 3, column 9",
        ),
        ("[log]\n[log]", "line 2"),
        ("data_dir = \"a\"\ndata_dir = \"b\"", "line 2"),
        ("data_dir = \"\\q\"", "line 1"),
        ("workers = 99999999999999999999", "line 1"),
    ] {
        let error = load_text(text).expect_err(text);
        check_names(&error, text, &["tidewire.toml: ", place]);
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    let text = "nope = 1\n[server]\necho = 7\nlistne = \"x\"\n[rest]\nenabled = \"x\"";
    let error = Fixture::new(text)
        .load(&[("TIDEWIRE_LOG__LEVELS", "x")], &Overrides::default())
        .expect_err("five mistakes");
    assert_eq!(error.problems().len(), 5, "{error}");
    let error = load_text("[server]\nlisten = \"x\"\nworkers = 9999\n[log]\nlevel = \"x\"")
        .expect_err("three mistakes");
    assert_eq!(error.problems().len(), 3, "{error}");
}

/// `(former key in a file, key of today, a word the message has)`
const RENAMED: &[(&str, &str, &str)] = &[
    (
        "server.drain_seconds = 10",
        "server.drain_timeout",
        "\"10s\"",
    ),
    (
        "chat.keep_alive.ping_seconds = 25",
        "server.keep_alive",
        "now",
    ),
    (
        "server.keep_alive.ping_seconds = 25",
        "server.keep_alive.ping_interval",
        "\"25s\"",
    ),
    (
        "chat.message_bytes_max = \"1M\"",
        "server.limits.message_bytes_max",
        "now",
    ),
    ("chat.confirm = \"pong\"", "server.confirm", "now"),
    (
        "chat.unproven_kept_seconds = 1",
        "server.unproven_kept_for",
        "\"10m\"",
    ),
    (
        "rest.idempotency_seconds = 1",
        "rest.idempotency_ttl",
        "\"10m\"",
    ),
    ("mailbox.ttl_seconds = 1", "mailbox.ttl", "\"1d\""),
    (
        "mailbox.clock_jump_seconds_max = 1",
        "mailbox.clock_jump_max",
        "\"1h\"",
    ),
];

#[test]
fn a_former_key_is_told_its_new_name() {
    for (line, key, word) in RENAMED {
        let error = load_text(line).expect_err(line);
        check_names(&error, line, &[&format!("is called {key} now"), word]);
    }
    let error =
        load_variables(&[("TIDEWIRE_SERVER__DRAIN_SECONDS", "7")]).expect_err("a former key");
    let named = "environment variable TIDEWIRE_SERVER__DRAIN_SECONDS: server.drain_seconds";
    check_names(
        &error,
        "variable",
        &[named, "is called server.drain_timeout now"],
    );
}

#[test]
fn no_line_of_the_example_can_be_broken_unnoticed() {
    let example = default_toml();
    for line in example.lines() {
        let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else {
            continue;
        };
        for broken in [
            format!("{key}_ = {value}"),
            format!("{key} = {{}}"),
            format!("{key} = [[]]"),
            format!("{key} = nan"),
        ] {
            let text = example.replacen(&format!("\n{line}\n"), &format!("\n{broken}\n"), 1);
            let error = load_text(&text).expect_err(&broken).to_string();
            assert!(error.contains("tidewire.toml: "), "{broken}: {error}");
            assert!(error.contains(key), "{broken}: {error}");
        }
    }
}

#[test]
fn no_error_repeats_a_secret() {
    for text in [
        "[server]\nauth = \"canary-4711\"",
        "[server.auth]\ntype = \"bearer\"\nvalue = [\"canary-4711\"]",
        "[server.auth]\ntype = \"bearer\"\nvalue = {x = \"canary-4711\"}",
        "[server.auth]\ntype = \"bearer\"\nvalue = \"canary-4711 \"",
        "[server.auth]\ntype = \"oneOf\"\ntypes = \"canary-4711\"",
        "[server.auth]\ntype = \"oneOf\"\ntypes = [\"canary-4711\"]",
        "[server.auth]\ntype = \"basic\"\nuser = \"u\"\nname = \"n\"\nvalue = \"canary-4711\"",
        "[server.auth]\ntype = \"bearer\"\nvalue = 47114711",
        "[server.auth]\ntype = \"bearer\"\nvalue = \"canary-4711\"\n[log]\nlevel = \"x\"",
    ] {
        let error = load_text(text).expect_err(text);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("4711"), "{text}: {shown}");
    }
}
