//! Which layer wins: default < file < environment < flag.

use tidewire_server::config::{AllowedOrigins, Overrides, Runtime};

use crate::{Fixture, load_variables, settings};

#[test]
fn a_stronger_layer_replaces_single_keys() {
    let fixture =
        Fixture::new("data_dir = \"/file\"\n[server]\nlisten = \"127.0.0.1:1\"\nworkers = 3");
    let variables = [
        ("TIDEWIRE_SERVER__LISTEN", "127.0.0.1:2"),
        ("TIDEWIRE_SERVER__DRAIN_TIMEOUT", "7s"),
    ];
    let flags = Overrides {
        listen: Some("localhost:3".to_owned()),
        ..Overrides::default()
    };
    let port = |variables: &[(&str, &str)], flags: &Overrides| {
        let settings = fixture.load(variables, flags).expect("valid");
        assert_eq!(settings.config.server.workers, 3);
        settings
            .server
            .listen
            .socket_addr()
            .expect("an IP address")
            .port()
    };
    assert_eq!(port(&[], &Overrides::default()), 1);
    assert_eq!(port(&variables, &Overrides::default()), 2);
    assert_eq!(port(&variables, &flags), 3);
}

#[test]
fn every_flag_reaches_its_key() {
    let flags = Overrides {
        listen: Some("127.0.0.1:0".to_owned()),
        rest_listen: Some("[::1]:0".to_owned()),
        admin_listen: None,
        data_dir: Some("/flag".to_owned()),
        echo: Some(true),
        log_level: None,
    };
    let settings = Fixture::new("data_dir = \"/file\"")
        .load(&[("TIDEWIRE_DATA_DIR", "/env")], &flags)
        .expect("valid");
    assert_eq!(settings.config.data_dir, "/flag");
    assert!(settings.config.server.echo);
    assert_eq!(
        settings
            .server
            .listen
            .socket_addr()
            .expect("an IP address")
            .port(),
        0
    );
    assert!(
        settings
            .rest
            .expect("served")
            .listen
            .ip()
            .expect("an IP address")
            .is_ipv6()
    );
}

#[test]
fn variables_take_the_type_of_their_key() {
    let settings = load_variables(&[
        ("TIDEWIRE_DATA_DIR", "42"),
        ("TIDEWIRE_SERVER__ECHO", "true"),
        ("TIDEWIRE_SERVER__RUNTIME", "pool"),
        ("TIDEWIRE_SERVER__ALLOWED_ORIGINS", "https://a, HTTP://B:80"),
        ("tidewire_server__limits__message_bytes_max", "4096"),
        ("TIDEWIRE_SERVER__ECHO_LIMITS__MESSAGE_BYTES_MAX", "64M"),
        ("TIDEWIRE_SERVER__ECHO_LIMITS__FRAGMENTS_MAX", "100000"),
        ("TIDEWIRE_MAILBOX__USER_BYTES_MAX", "1M"),
        (
            "TIDEWIRE_CHAT__SEND_BACK_IGNORED_TYPES",
            r#"["Typing", "a,b"]"#,
        ),
        ("OTHER_SERVER__LISTEN", "nonsense"),
    ])
    .expect("valid");
    assert_eq!(settings.config.data_dir, "42");
    assert!(settings.config.server.echo);
    assert_eq!(settings.config.server.runtime, Runtime::Pool);
    assert_eq!(
        settings.allowed_origins,
        AllowedOrigins::Only(vec!["https://a".to_owned(), "http://b".to_owned()])
    );
    assert_eq!(
        settings.config.server.echo_limits.message_bytes_max,
        64 << 20
    );
    assert_eq!(settings.config.server.echo_limits.fragments_max, 100_000);
    assert_eq!(settings.config.server.limits.message_bytes_max, 4096);
    assert_eq!(
        settings.config.chat.send_back_ignored_types,
        ["Typing", "a,b"]
    );
}

#[test]
fn a_password_of_digits_in_a_variable_is_a_password() {
    let settings = load_variables(&[
        ("TIDEWIRE_SERVER__AUTH__TYPE", "basic"),
        ("TIDEWIRE_SERVER__AUTH__USER", "007"),
        ("TIDEWIRE_SERVER__AUTH__PASSWORD", "true"),
    ])
    .expect("valid");
    // 007:true
    let request = [("authorization", "Basic MDA3OnRydWU=")];
    assert_eq!(settings.server.auth.check_now(&request).map(drop), Ok(()));
}

#[test]
fn lists_of_authentications_fit_in_a_variable() {
    let settings = load_variables(&[
        ("TIDEWIRE_REST__AUTH__TYPE", "oneOf"),
        (
            "TIDEWIRE_REST__AUTH__TYPES",
            r#"[{type = "bearer", value = "${env:TOKEN}"}, {type = "bearer", value = "b"}]"#,
        ),
        ("TOKEN", "a"),
    ])
    .expect("valid");
    let auth = settings.rest.expect("served").auth;
    assert_eq!(
        auth.check_now(&[("authorization", "Bearer a")]).map(drop),
        Ok(())
    );
    assert_eq!(
        auth.check_now(&[("authorization", "Bearer b")]).map(drop),
        Ok(())
    );
    assert!(auth.check_now(&[("authorization", "Bearer c")]).is_err());
}

#[test]
fn foreign_variables_with_our_prefix_are_left_alone() {
    load_variables(&[
        ("TIDEWIRE_CONFIG", "/etc/tidewire.toml"),
        ("TIDEWIRE_PORT", "tcp://10.0.0.1:8085"),
        ("TIDEWIRE_PORT_8085_TCP_ADDR", "10.0.0.1"),
        ("TIDEWIRE_SERVICE_HOST", "10.0.0.1"),
        ("TIDEWIRE_SERVICE_PORT_HTTP", "8085"),
    ])
    .expect("valid");
}

#[test]
fn listen_addresses_have_several_forms() {
    for (text, address) in [
        ("localhost:80", "127.0.0.1:80"),
        ("*:80", "0.0.0.0:80"),
        ("[::]:80", "[::]:80"),
        ("10.1.2.3:0", "10.1.2.3:0"),
        ("unix:/run/chat.sock", "unix:/run/chat.sock"),
        ("unix:///run/chat.sock", "unix:/run/chat.sock"),
    ] {
        let settings = settings(&format!(
            "[server]\nlisten = \"{text}\"\npublic_without_auth = true"
        ));
        assert_eq!(settings.server.listen.to_string(), address);
    }
}
