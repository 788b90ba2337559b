//! What is checked beyond the types of single values, and what comes of it.

use std::fs;

use tidewire::ws::ProxyProtocol;
use tidewire_gateway::settings::{
    AccessLog, Balance, Extensions, HashKey, OnUnhealthy, Origins, OutgoingProxyProtocol, Overflow,
    PingAnswers, Replay, Source,
};

use crate::{CHAT, endpoint, load_toml, settings};

#[test]
fn every_choice_reaches_the_settings() {
    let text = format!(
        "handover = \"/run/gateway.sock\"\naccess_log = \"stdout\"\n{CHAT}\
         balance = {{hash = \"header:X-User\"}}\norigins = [\"HTTPS://A:443\"]\n\
         proxy_protocol = \"v2\"\nextensions = \"per-hop\"\npings = \"end-to-end\"\nper_client_max = 3\n\
         request_headers = {{X-A = \"1\", Cookie = \"\"}}\n\
         [endpoints.chat.health]\non_unhealthy = \"close\"\n\
         [endpoints.chat.resume]\noverflow = \"wait\"\nreplay = \"unconfirmed\"\ncodes = [1011]\n\
         [[listeners]]\nproxy_protocol = [\"10.0.0.0/8\"]\nhttp2 = true\n"
    );
    let settings = settings(&text);
    let endpoint = endpoint(&settings);
    let user = HashKey::Header("x-user".to_owned());
    assert_eq!(endpoint.balance, Balance::Hash(user));
    assert_eq!(
        endpoint.origins,
        Origins::List(["https://a".to_owned()].into())
    );
    assert_eq!(endpoint.proxy_protocol, Some(OutgoingProxyProtocol::V2));
    assert_eq!(endpoint.extensions, Extensions::PerHop);
    assert_eq!(endpoint.pings, PingAnswers::EndToEnd);
    assert_eq!(endpoint.per_client_max, 3);
    let resume = endpoint.resume.as_ref().expect("it is there");
    assert_eq!(
        (resume.overflow, resume.replay),
        (Overflow::Wait, Replay::Unconfirmed)
    );
    assert_eq!(resume.codes, [1011]);
    let health = endpoint.health.as_ref().expect("it is there");
    assert_eq!(health.on_unhealthy, OnUnhealthy::Close);
    assert!(settings.listeners[0].http2);
    let ProxyProtocol::Required { trusted } = &settings.listeners[0].proxy_protocol else {
        panic!("not required");
    };
    assert_eq!(trusted[0].to_string(), "10.0.0.0/8");
    assert_eq!(settings.access_log, Some(AccessLog::Stdout));
    assert_eq!(settings.handover, Some("/run/gateway.sock".into()));
    for (hash, key) in [
        ("ip", HashKey::Ip),
        ("query:room", HashKey::Query("room".to_owned())),
        ("cookie:Sid", HashKey::Cookie("Sid".to_owned())),
    ] {
        let settings = crate::settings(&format!("{CHAT}balance = {{hash = \"{hash}\"}}"));
        assert_eq!(crate::endpoint(&settings).balance, Balance::Hash(key));
    }
}

#[test]
fn where_messages_are_looked_at_compression_is_per_hop() {
    for (more, extensions) in [
        ("", Extensions::EndToEnd),
        ("resume = {}", Extensions::PerHop),
        ("resume = {enabled = false}", Extensions::EndToEnd),
        ("rates = {messages_per_second = 1}", Extensions::PerHop),
    ] {
        let settings = settings(&format!("{CHAT}extensions = \"end-to-end\"\n{more}"));
        assert_eq!(endpoint(&settings).extensions, extensions, "{more}");
    }
}

#[test]
fn a_table_is_on_when_it_is_there_and_off_when_it_says_so() {
    for (line, is_on) in [
        ("", false),
        ("health = {}", true),
        ("health = {enabled = true}", true),
        ("health = {enabled = false, interval = \"1h\"}", false),
    ] {
        let settings = settings(&format!("{CHAT}{line}"));
        assert_eq!(endpoint(&settings).health.is_some(), is_on, "{line}");
    }
    let off = settings(&format!("{CHAT}ejection = {{enabled = false}}"));
    assert!(endpoint(&off).ejection.is_none());
}

#[test]
fn routes_name_endpoints_in_any_case_and_keep_their_order() {
    let settings = settings(&format!(
        "{CHAT}aliases = [\"Talk\"]\n[[routes]]\nendpoint = \"CHAT\"\npath = \"/a\"\nhost = \"A.org\"\n\
         [[routes]]\nendpoint = \"talk\"\nheader = {{X-B = \"re:[0-9]+\"}}\nstrip_prefix = \"\"\n"
    ));
    let [first, second] = settings.routes.as_slice() else {
        panic!("{:?}", settings.routes);
    };
    assert_eq!(
        (first.endpoint.as_str(), second.endpoint.as_str()),
        ("chat", "chat")
    );
    assert_eq!(
        (
            first.strip_prefix.as_deref(),
            second.strip_prefix.as_deref()
        ),
        (None, Some(""))
    );
    let sources: Vec<&Source> = first.conditions.iter().map(|one| &one.source).collect();
    assert_eq!(sources, [&Source::Path, &Source::Host]);
    assert!(first.conditions[1].pattern.matches("a.org"));
    assert_eq!(
        second.conditions[0].source,
        Source::Header("x-b".to_owned())
    );
    assert!(second.conditions[0].pattern.matches("42"));
    assert!(!second.conditions[0].pattern.matches("42a"));
}

#[test]
fn beyond_loopback_the_admin_page_needs_authentication() {
    for address in [
        "*:1",
        "0.0.0.0:1",
        "[::]:1",
        "10.0.0.1:0",
        "[::ffff:10.0.0.1]:80",
    ] {
        let admin = format!("{CHAT}[admin]\naddress = \"{address}\"\n");
        let error = load_toml(&admin).expect_err(address).to_string();
        assert!(error.contains("admin.auth lets everybody pass"), "{error}");
        let settings = settings(&format!(
            "{admin}auth = {{type = \"bearer\", value = \"x\"}}"
        ));
        assert!(settings.admin.expect("it is on").auth.is_some());
        settings_of_listener(address);
    }
}

/// Backends have an authentication of their own: the gateway need not.
fn settings_of_listener(address: &str) {
    let text = format!("{CHAT}[[listeners]]\naddress = \"{address}\"\n");
    assert!(settings(&text).warnings.is_empty());
}

#[test]
fn what_is_allowed_and_probably_not_meant_is_told() {
    for (more, part) in [
        ("origins = \"any\"", "every web page may connect"),
        ("origins = [\"*\"]", "every web page may connect"),
        (
            "auth = {type = \"bearer\", value = \"x\"}",
            "endpoints.chat.auth contains a secret",
        ),
        (
            "tls = {danger_unverified = true}",
            "danger_unverified is true",
        ),
        ("tls = {danger_unverified = true}", "no upstream is wss://"),
        (
            "[[routes]]\nendpoint = \"chat\"\n[[routes]]\nendpoint = \"chat\"",
            "routes[0] has no condition",
        ),
        (
            "[admin]\nauth = {type = \"bearer\", value = \"x\"}",
            "admin.auth contains a secret",
        ),
    ] {
        let settings = settings(&format!("{CHAT}{more}"));
        assert!(
            settings
                .warnings
                .iter()
                .any(|warning| warning.contains(part)),
            "{part}: {:?}",
            settings.warnings
        );
    }
    let unreachable = format!(
        "pin_by_name = false\nclassic = {{enabled = false}}\nmux = {{enabled = false}}\n{CHAT}"
    );
    let warnings = settings(&unreachable).warnings;
    assert!(
        warnings[0].contains("nothing leads to an endpoint"),
        "{warnings:?}"
    );
}

#[test]
fn two_listeners_need_two_addresses() {
    let both = |one: &str, other: &str| {
        load_toml(&format!(
            "{CHAT}[[listeners]]\naddress = \"{one}\"\n[[listeners]]\naddress = \"{other}\"\n"
        ))
    };
    for (one, other) in [("127.0.0.1:1", "127.0.0.1:1"), ("*:1", "127.0.0.1:1")] {
        let error = both(one, other).expect_err("a clash").to_string();
        assert!(
            error.contains("listeners[1].address: found port 1"),
            "{error}"
        );
    }
    for (one, other) in [
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("127.0.0.1:1", "127.0.0.2:1"),
    ] {
        assert!(both(one, other).is_ok(), "{one} {other}");
    }
}

/// What a reload goes by: equal texts give equal settings, a change shows at what it changes.
#[test]
fn settings_are_equal_exactly_when_nothing_changed() {
    let other = "[endpoints.other]\nupstreams = [\"ws://127.0.0.1:9002/\"]\n";
    let text = format!(
        "{CHAT}auth = {{type = \"bearer\", value = \"${{env:T}}\"}}\n\
         tls = {{danger_unverified = true}}\n{other}[[routes]]\nendpoint = \"chat\"\npath = \"/a*\"\n"
    );
    let load = |text: &str, token: &str| {
        crate::Fixture::new("gateway.toml", text)
            .load(
                &[("T", token)],
                &tidewire_gateway::config::Overrides::default(),
            )
            .expect("valid")
    };
    let old = load(&text, "one");
    assert_eq!(old, load(&text, "one"));
    for (from, to, token) in [
        ("9001", "9003", "one"),
        (
            "danger_unverified = true",
            "system_roots = true, enabled = false",
            "one",
        ),
        ("chat]", "chat]\nrates = {messages_per_second = 1}", "one"),
        ("chat]", "chat]", "two"),
    ] {
        let new = load(&text.replacen(from, to, 1), token);
        assert_ne!(old.endpoints[0], new.endpoints[0], "{to}");
        assert_eq!(old.endpoints[1], new.endpoints[1], "{to}");
        assert_eq!(old.listeners, new.listeners);
    }
    assert_ne!(
        old.routes,
        load(&text.replacen("/a*", "/b*", 1), "one").routes
    );
}

#[test]
fn certificates_are_read_and_wrong_ones_named() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let other =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let write = |name: &str, text: String| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("writable");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
        }
        path.display().to_string()
    };
    let certificate = write("c.pem", made.cert.pem());
    let key = write("k.pem", made.signing_key.serialize_pem());
    let wrong_key = write("w.pem", other.signing_key.serialize_pem());
    let nonsense = write("n.pem", "nonsense".to_owned());
    let listener = |certificate: &str, key: &str, more: &str| {
        format!(
            "{CHAT}[[listeners]]\n[listeners.tls]\ncertificate = \"{certificate}\"\n\
             key = \"{key}\"\n{more}"
        )
    };
    let tls = |text: &str| settings(text).listeners.remove(0).tls.expect("it is on");
    let plain = tls(&listener(&certificate, &key, ""));
    assert!(!plain.is_mutual());
    let mutual = tls(&listener(
        &certificate,
        &key,
        &format!("client_ca = \"{certificate}\""),
    ));
    assert!(mutual.is_mutual());
    assert_ne!(plain, mutual);
    assert_eq!(plain, tls(&listener(&certificate, &key, "")));
    for (text, parts) in [
        (
            listener(&certificate, &wrong_key, ""),
            ["listeners[0].tls: ", "c.pem"],
        ),
        (
            listener(&nonsense, &key, ""),
            ["listeners[0].tls: ", "n.pem"],
        ),
        (
            listener(&certificate, &key, "client_ca = \"/no\""),
            ["listeners[0].tls.client_ca: ", "/no"],
        ),
        (
            format!("{CHAT}tls = {{ca = \"{nonsense}\"}}"),
            ["endpoints.chat.tls: ", "n.pem"],
        ),
    ] {
        let error = load_toml(&text).expect_err("unusable").to_string();
        for part in parts {
            assert!(error.contains(part), "{error}");
        }
    }
    let upstream = format!(
        "{CHAT}tls = {{ca = \"{certificate}\", certificate = \"{certificate}\", key = \"{key}\"}}"
    );
    let unnamed = endpoint(&settings(&upstream)).tls.clone();
    assert!(unnamed.is_some());
    let named = upstream.replace("tls = {", "tls = {server_name = \"b.example\", ");
    assert_ne!(endpoint(&settings(&named)).tls, unnamed);
}

/// The problems of a text, a line each, without the file.
fn problems(text: &str) -> Vec<String> {
    let error = load_toml(text).expect_err("it is wrong");
    let told =
        |problem: &tidewire_gateway::config::Problem| format!("{}: {}", problem.key, problem.rule);
    error.problems().iter().map(told).collect()
}

#[test]
fn wrong_types_and_broken_rules_are_told_at_once_but_not_what_follows_from_them() {
    let text = "workers = \"many\"\nwatches = true\n\
        [[routes]]\nendpoint = \"other\"\npath = \"chat\"\n\
        [endpoints.chat]\nupstreams = [7]\naliases = 3\n\
        [endpoints.chat.resume]\ncodes = [70000]\n\
        [endpoints.prices]\nupstream = [\"ws://127.0.0.1:1/\"]\n\
        [drain]\nper_second = 0\n\
        [admin]\naddress = \"0.0.0.0:1\"\nauth = 5\n\
        [classic]\nmessage_bytes_max = true\nqueue_bytes_max = \"2K\"\n";
    let problems = problems(text);
    let keys: Vec<&str> = problems
        .iter()
        .filter_map(|problem| problem.split_once(": ").map(|(key, _)| key))
        .collect();
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            "admin.auth",
            "classic.message_bytes_max",
            "drain.per_second",
            "endpoints.chat.aliases",
            "endpoints.chat.resume.codes[0]",
            "endpoints.chat.upstreams[0]",
            "endpoints.prices.upstream",
            "routes[0].path",
            "watches",
            "workers",
        ],
        "{problems:#?}"
    );
    let codes =
        "endpoints.chat.resume.codes[0]: found 70000, expected a whole number from 0 to 65535";
    assert!(problems.iter().any(|it| it == codes), "{problems:#?}");
}

#[test]
fn a_text_that_cannot_be_read_is_one_problem() {
    let problems = problems("workers = 7000\n[endpoints.chat\n");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("line 2"), "{problems:?}");
}

#[test]
fn a_file_for_the_gateway_is_told_from_one_for_the_server() {
    for (name, text, is_meant) in [
        ("a.toml", CHAT, true),
        ("a.conf", "routes = []\n", true),
        ("a.toml", "[[listeners]]\n", true),
        ("a.toml", "[[listeners]]\naddress = oops\n", true),
        ("a.toml", "[endpoints.\"a.b\"\n", true),
        ("a.ini", "", true),
        ("a.conf", "[Endpoint1]\nPort = 8080\nUsage\n", true),
        ("a.toml", "", false),
        (
            "a.toml",
            "[server]\nlisten = \"127.0.0.1:1\"\nendpoint = \"/chat\"\n",
            false,
        ),
        ("a.toml", "[server]\nlisten = oops\n", false),
        ("a.toml", "[log]\nlevel = \"info\"\n", false),
    ] {
        let fixture = crate::Fixture::new(name, text);
        let found = tidewire_gateway::config::is_meant_for_gateway(&fixture.file);
        assert_eq!(found, is_meant, "{name} {text:?}");
    }
    assert!(!tidewire_gateway::config::is_meant_for_gateway(
        "none.ini".as_ref()
    ));
}
