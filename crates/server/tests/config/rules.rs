//! What is checked beyond the types of single values.

use std::fs;

use tidewire::ws::{ForwardedBy, ProxyProtocol};
use tidewire_server::config::{AllowedOrigins, Overrides, Rule, Warning};

use crate::{load_text, load_variables, settings};

/// Asserts that a text breaks exactly one rule, at `key`, and returns that rule and message.
fn broken(text: &str, key: &str) -> (Rule, String) {
    let error = load_text(text).expect_err(text);
    let [problem] = error.problems() else {
        panic!("{text}: {error}");
    };
    assert_eq!(problem.key, key, "{text}: {error}");
    (problem.rule.clone(), error.to_string())
}

const BEARER: &str = "auth = {type = \"bearer\", value = \"x\"}";

/// Also where everybody may use the other listeners; a listener that is off is not checked.
#[test]
fn nobody_opens_the_admin_page_to_everybody() {
    let open = "[admin]\nlisten = \"0.0.0.0:8093\"\n";
    let allowed = "[server]\npublic_without_auth = true\n";
    settings(open);
    let (rule, message) = broken(&format!("{open}enabled = true\n{allowed}"), "admin.listen");
    assert!(matches!(rule, Rule::PublicWithoutAuth { .. }), "{message}");
    settings(&format!("{open}enabled = true\n{BEARER}"));
    for taken in ["8085", "8092"] {
        let text = format!("[admin]\nenabled = true\nlisten = \"127.0.0.1:{taken}\"");
        let (rule, message) = broken(&text, "admin.listen");
        assert!(matches!(rule, Rule::PortTaken { .. }), "{message}");
    }
    let socket = "\"unix:/run/tidewire-both.sock\"";
    let text = format!("[rest]\nlisten = {socket}\n[admin]\nenabled = true\nlisten = {socket}");
    let (rule, message) = broken(&text, "admin.listen");
    assert!(matches!(rule, Rule::SocketTaken { .. }), "{message}");
}

#[test]
fn listening_beyond_loopback_without_authentication_is_refused() {
    for listen in [
        "*:80",
        "0.0.0.0:80",
        "[::]:80",
        "10.0.0.1:0",
        "[::ffff:10.0.0.1]:80",
    ] {
        for table in ["server", "rest"] {
            let text = format!("[{table}]\nlisten = \"{listen}\"");
            let (rule, message) = broken(&text, &format!("{table}.listen"));
            assert!(matches!(rule, Rule::PublicWithoutAuth { .. }), "{message}");
            assert!(message.contains("server.public_without_auth"), "{message}");
            assert!(message.contains(&format!("{table}.auth")), "{message}");
            settings(&format!("{text}\n{BEARER}"));
            let allowed = format!("{text}\n[server]\npublic_without_auth = true");
            if table == "rest" {
                settings(&allowed);
            }
        }
    }
    for listen in [
        "127.0.0.1:80",
        "127.9.9.9:80",
        "[::1]:80",
        "[::ffff:127.0.0.1]:80",
    ] {
        settings(&format!("[server]\nlisten = \"{listen}\""));
    }
}

#[test]
fn a_list_that_lets_everybody_pass_is_no_authentication() {
    let open =
        "{type = \"oneOf\", types = [{type = \"bearer\", value = \"x\"}, {type = \"noauth\"}]}";
    let text = format!("[server]\nlisten = \"*:80\"\nauth = {open}");
    let (rule, _) = broken(&text, "server.listen");
    assert!(matches!(rule, Rule::PublicWithoutAuth { .. }));
}

#[test]
fn a_rest_api_that_is_not_served_needs_no_authentication() {
    let settings = settings("[rest]\nenabled = false\nlisten = \"*:80\"");
    assert!(settings.rest.is_none());
}

#[test]
fn any_origin_and_ambient_credentials_exclude_each_other() {
    let any = "[server]\nallowed_origins = [\"*\"]\n";
    for auth in [
        "{type = \"basic\", user = \"u\", password = \"p\"}",
        "{type = \"cookie\", name = \"n\", value = \"v\"}",
        "{type = \"allOf\", types = [{type = \"cookie\", name = \"n\", value = \"v\"}]}",
    ] {
        let (rule, message) = broken(&format!("{any}auth = {auth}"), "server.allowed_origins");
        assert!(matches!(rule, Rule::AnyOriginWithAmbientCredentials { .. }));
        assert!(message.contains("server.auth"), "{message}");
    }
    let settings = settings(&format!("{any}{BEARER}"));
    assert_eq!(settings.allowed_origins, AllowedOrigins::Any);
}

#[test]
fn origins_are_compared_as_browsers_write_them() {
    let settings = settings(
        "[server]\nallowed_origins = [\"HTTPS://Chat.Example.org:443\", \"http://[::1]:8080\"]",
    );
    let origins = settings.allowed_origins;
    assert!(origins.allows("https://chat.example.org"));
    assert!(origins.allows("http://[::1]:8080"));
    for other in [
        "http://chat.example.org",
        "https://chat.example.org:8443",
        "https://chat.example.org.evil.net",
        "https://evil-chat.example.org",
        "https://chat.example.org.",
        "null",
        "",
    ] {
        assert!(!origins.allows(other), "{other}");
    }
}

/// Checks what an entry of the list fits, and what it does not.
fn check_listed(listed: &str, fitting: &[&str], others: &[&str]) {
    let text = format!("[server]\nallowed_origins = [\"{listed}\"]");
    let origins = settings(&text).allowed_origins;
    for origin in fitting {
        assert!(origins.allows(origin), "{listed} {origin}");
    }
    for origin in others {
        assert!(!origins.allows(origin), "{listed} {origin}");
    }
}

/// Also: extensions, local files.
#[test]
fn origins_of_apps_and_local_files_can_be_listed() {
    for (listed, fitting, others) in [
        ("null", &["null"][..], &["file://"][..]),
        ("file://", &["file://"], &["null"]),
        ("app://.", &["app://."], &["app://x"]),
        (
            "capacitor://localhost",
            &["capacitor://localhost"],
            &["http://localhost"],
        ),
        ("ionic://localhost", &["ionic://localhost"], &[]),
        ("tauri://localhost", &["tauri://localhost"], &[]),
        (
            "chrome-extension://*",
            &["chrome-extension://abcdef"],
            &["https://abcdef"],
        ),
    ] {
        check_listed(listed, fitting, others);
    }
}

/// Also: parts of a label, ports, names outside of ASCII, addresses, a slash at the end.
#[test]
fn sub_domains_can_be_listed_and_every_spelling_of_an_origin() {
    for (listed, fitting, others) in [
        (
            "HTTPS://*.Example.org/",
            &["https://a.b.example.org"][..],
            &["https://example.org"][..],
        ),
        (
            "https://*.example.org:443",
            &["https://a.example.org:443"],
            &["https://a.example.org:8443"],
        ),
        (
            "https://app-*.example.org",
            &["https://app-7.example.org"],
            &["https://app.example.org"],
        ),
        (
            "http://localhost:*",
            &["http://localhost:5173", "http://localhost"],
            &["https://localhost"],
        ),
        (
            "http://127.0.0.1:5173",
            &["http://127.0.0.1:5173"],
            &["http://127.0.0.1"],
        ),
        (
            "https://b\u{fc}cher.example",
            &["https://xn--bcher-kva.example"],
            &["https://bcher.example"],
        ),
        (
            "https://*.b\u{fc}cher.example",
            &["https://a.xn--bcher-kva.example"],
            &[],
        ),
        (
            "https://xn--bcher-kva.example",
            &["https://xn--bcher-kva.example"],
            &[],
        ),
        (
            "http://[2001:DB8:0::1]:80",
            &["http://[2001:db8::1]"],
            &["http://[2001:db8::2]"],
        ),
        (
            "https://under_score.example",
            &["https://under_score.example"],
            &[],
        ),
    ] {
        check_listed(listed, fitting, others);
    }
}

#[test]
fn proxies_in_front_are_named_by_address_or_network_for_each_listener() {
    let settings = settings(
        "[server]\ntrusted_proxies = [\"127.0.0.1\", \"2001:db8::/32\"]\nforwarded_fields = \"forwarded\"\n\
         [rest]\nproxy_protocol = [\"10.0.0.0/8\"]",
    );
    let proxies = &settings.server.trusted_proxies;
    assert_eq!(proxies.networks.len(), 2);
    assert_eq!(proxies.by, ForwardedBy::Forwarded);
    assert_eq!(settings.server.proxy_protocol, ProxyProtocol::Off);
    let rest = settings.rest.unwrap();
    let trusted = vec!["10.0.0.0/8".parse().unwrap()];
    assert_eq!(rest.proxy_protocol, ProxyProtocol::Required { trusted });
    assert_eq!(rest.trusted_proxies.by, ForwardedBy::Either);
}

#[test]
fn equal_ports_are_refused() {
    let (rule, _) = broken("[rest]\nlisten = \"127.0.0.1:8085\"", "rest.listen");
    assert!(matches!(rule, Rule::PortTaken { port: 8085, .. }));
    settings("[server]\nlisten = \"127.0.0.1:0\"\n[rest]\nlisten = \"127.0.0.1:0\"");
}

#[test]
fn what_is_accepted_must_fit_where_it_is_kept() {
    for (text, key) in [
        (
            "[mailbox]\nuser_bytes_max = \"9M\"",
            "mailbox.user_bytes_max",
        ),
        ("[mailbox]\nbytes_max = \"15M\"", "mailbox.bytes_max"),
        ("[mailbox]\nmessages_max = 999", "mailbox.messages_max"),
        ("[mailbox]\nttl_max = \"1m\"", "mailbox.ttl_max"),
    ] {
        let (rule, message) = broken(text, key);
        assert!(matches!(rule, Rule::BelowOther { .. }), "{message}");
    }
    settings("[mailbox]\nuser_bytes_max = \"10M\"\nbytes_max = \"10M\"");
}

#[test]
fn a_pong_is_awaited_shorter_than_pings_are_apart() {
    let (rule, _) = broken(
        "[server.keep_alive]\nping_interval = \"10s\"",
        "server.keep_alive.pong_timeout",
    );
    assert!(matches!(rule, Rule::NotBelowOther { .. }));
    let keep_alive = settings("[server.keep_alive]\nping_interval = \"0s\"")
        .config
        .server
        .keep_alive;
    assert_eq!(keep_alive.ping_interval, None);
}

#[test]
fn the_limits_of_the_echo_endpoint_may_be_as_wide_as_their_ranges() {
    for (bytes, fragments) in [("1", 1), ("1G", 1_000_000)] {
        let text = format!(
            "[server.echo_limits]\nmessage_bytes_max = \"{bytes}\"\nfragments_max = {fragments}"
        );
        let limits = settings(&text).config.server.echo_limits;
        assert_eq!(limits.fragments_max, fragments);
    }
}

#[test]
fn tls_needs_files_that_are_there() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let there = directory.path().join("there.pem");
    fs::write(&there, "").expect("writable");
    let there = there.display();
    let folder = directory.path().display();
    for table in ["server", "rest"] {
        let tls = |rest: &str| format!("[{table}.tls]\nenabled = true\n{rest}");
        for (text, key) in [
            (tls(&format!("key = \"{there}\"")), "certificate"),
            (tls(&format!("certificate = \"{there}\"")), "key"),
            (
                tls(&format!("certificate = \"{there}\"\nkey = \"/nope\"")),
                "key",
            ),
            (
                tls(&format!("certificate = \"{folder}\"\nkey = \"{there}\"")),
                "certificate",
            ),
            (
                tls(&format!(
                    "certificate = \"{there}\"\nkey = \"{there}\"\nclient_ca = \"/nope\""
                )),
                "client_ca",
            ),
        ] {
            broken(&text, &format!("{table}.tls.{key}"));
        }
        let empty = tls(&format!("certificate = \"{there}\"\nkey = \"{there}\""));
        broken(&empty, &format!("{table}.tls"));
    }
}

#[test]
fn client_certificates_without_tls_are_refused() {
    let (rule, message) = broken(
        "[server.tls]\nclient_ca = \"/ca.pem\"",
        "server.tls.client_ca",
    );
    assert!(matches!(rule, Rule::ClientCaWithoutTls { .. }));
    assert!(message.contains("server.tls.enabled"), "{message}");
}

#[test]
fn secrets_may_live_in_files_and_variables() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("token");
    fs::write(&file, "from-file\n").expect("writable");
    let reference = format!("${{file:{}}}", file.display());
    for (reference, token) in [
        (reference.as_str(), "from-file"),
        ("${env:TOKEN}", "from-env"),
    ] {
        let settings = load_variables(&[
            ("TIDEWIRE_SERVER__AUTH__TYPE", "bearer"),
            ("TIDEWIRE_SERVER__AUTH__VALUE", reference),
            ("TOKEN", "from-env"),
        ])
        .expect("valid");
        let request = [("authorization", format!("Bearer {token}"))];
        assert_eq!(settings.server.auth.check_now(&request).map(drop), Ok(()));
        assert!(settings.warnings.is_empty());
    }
}

#[test]
fn an_authentication_from_two_layers_names_both() {
    let fixture =
        crate::Fixture::new("[server.auth]\ntype = \"basic\"\nuser = \"u\"\npassword = \"p\"");
    let error = fixture
        .load(
            &[("TIDEWIRE_SERVER__AUTH__TYPE", "bearer")],
            &Overrides::default(),
        )
        .expect_err("a mixture")
        .to_string();
    assert!(error.contains("tidewire.toml"), "{error}");
    assert!(error.contains("TIDEWIRE_SERVER__AUTH__TYPE"), "{error}");
}

/// As in the original, where 0 means off.
#[test]
fn a_queue_is_switched_off_by_its_key_or_by_a_limit_of_nothing() {
    for off in [
        "enabled = false",
        "ttl = \"0s\"",
        "user_messages_max = 0",
        "user_bytes_max = 0",
        "messages_max = 0",
        "bytes_max = 0",
    ] {
        let settings = settings(&format!("[mailbox]\n{off}"));
        assert!(!settings.config.mailbox.stores(), "{off}");
        assert_eq!(settings.warnings, [Warning::NothingStored], "{off}");
    }
    let unlimited = settings("[mailbox]\nsender_messages_max = 0\nsender_bytes_max = 0");
    let mailbox = unlimited.config.mailbox;
    assert!(mailbox.stores());
    let opened = mailbox.opened();
    assert_eq!(opened.sender_messages_max, u64::MAX);
    assert_eq!(opened.sender_bytes_max, u64::MAX);
}

#[test]
fn what_is_dangerous_is_told() {
    let warned = settings(
        "[server]\nlisten = \"*:0\"\npublic_without_auth = true\nallowed_origins = [\"*\"]\n\
         [rest.auth]\ntype = \"bearer\"\nvalue = \"canary\"\n[chat]\ncheck_sender = false",
    );
    assert_eq!(
        warned.warnings,
        [
            Warning::SenderUnchecked,
            Warning::PublicWithoutAuth,
            Warning::AnyOrigin,
            Warning::InlineSecret { key: "rest.auth" },
        ]
    );
    assert!(!format!("{warned:?}").contains("canary"));
}

#[test]
fn the_root_table_has_no_secret_in_debug() {
    let settings =
        settings("[server.auth]\ntype = \"basic\"\nuser = \"u\"\npassword = \"canary-4711\"");
    assert!(!format!("{settings:?} {settings:#?}").contains("canary"));
}
