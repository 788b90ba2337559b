//! Variables that begin with our prefix and are none of ours.
//!
//! Kinds: what Kubernetes sets for Services beside the pod (named like the program, like it with something behind, with
//! named ports, over TCP, UDP and SCTP, with two dashes in the name), what Docker sets for links, what images set
//! (version, home), empty ones, ones that are almost keys (an underscore too few, a letter wrong, a table in place of a
//! key, a key without its table), and ones with `__`, which nobody else writes: these are held to be ours.

use tidewire_server::config::Warning;

use crate::load_variables;

/// Loads, and gives what is told in the log.
fn warnings(variables: &[(&str, &str)]) -> Vec<String> {
    let settings = load_variables(variables);
    let settings = settings.unwrap_or_else(|error| panic!("{variables:?}: {error}"));
    settings.warnings.iter().map(Warning::to_string).collect()
}

#[test]
fn service_links_of_an_orchestrator_say_nothing() {
    for service in [
        "",
        "REST_",
        "METRICS_",
        "GATEWAY_",
        "GATEWAY_ADMIN_",
        "SERVER_",
        "DATA_",
        "LOG_",
        "MAILBOX_",
        "A__B_",
    ] {
        for (name, value) in [
            ("SERVICE_HOST", "10.0.0.1"),
            ("SERVICE_PORT", "8092"),
            ("SERVICE_PORT_HTTP", "8092"),
            ("SERVICE_PORT_LISTEN", "8092"),
            ("PORT", "tcp://10.0.0.1:8092"),
            ("PORT_8092_TCP", "tcp://10.0.0.1:8092"),
            ("PORT_8092_TCP_PROTO", "tcp"),
            ("PORT_8092_TCP_PORT", "8092"),
            ("PORT_8092_TCP_ADDR", "fd00::1"),
            ("PORT_53_UDP_ADDR", "10.0.0.1"),
            ("PORT_9_SCTP", "sctp://10.0.0.1:9"),
            ("NAME", "/web/tidewire"),
            ("ENV_PATH", "/usr/bin"),
            ("ENV_FOO__BAR", "1"),
        ] {
            let name = format!("TIDEWIRE_{service}{name}");
            let told = warnings(&[(name.as_str(), value)]);
            assert!(told.is_empty(), "{name}: {told:?}");
        }
    }
}

#[test]
fn what_images_set_says_nothing() {
    for name in [
        "VERSION", "HOME", "IMAGE", "USER", "UID", "HOST", "URL", "TAG", "COMMIT", "DEBUG", "PORT",
        "",
    ] {
        for value in ["1.2.3", ""] {
            let name = format!("TIDEWIRE_{name}");
            let told = warnings(&[(name.as_str(), value)]);
            assert!(told.is_empty(), "{name}: {told:?}");
        }
    }
}

#[test]
fn what_is_almost_a_key_is_told_with_the_key() {
    for (name, meant) in [
        ("TIDEWIRE_SERVER_LISTEN", "TIDEWIRE_SERVER__LISTEN"),
        ("tidewire_server_listen", "TIDEWIRE_SERVER__LISTEN"),
        ("TIDEWIRE_SERVER_LISTENS", "TIDEWIRE_SERVER__LISTEN"),
        ("TIDEWIRE_DATADIR", "TIDEWIRE_DATA_DIR"),
        ("TIDEWIRE_DATA_DRI", "TIDEWIRE_DATA_DIR"),
        ("TIDEWIRE_LOG_LEVEL", "TIDEWIRE_LOG__LEVEL"),
        (
            "TIDEWIRE_SERVER_TLS_CERTIFICATE",
            "TIDEWIRE_SERVER__TLS__CERTIFICATE",
        ),
        (
            "TIDEWIRE_ALLOWED_ORIGINS",
            "TIDEWIRE_SERVER__ALLOWED_ORIGINS",
        ),
        ("TIDEWIRE_SERVER", "TIDEWIRE_SERVER__KEY"),
        ("TIDEWIRE_REST", "TIDEWIRE_REST__KEY"),
    ] {
        let told = warnings(&[(name, "127.0.0.1:1")]);
        let expected = format!("environment variable {name} is not read: did you mean {meant}");
        assert_eq!(told.len(), 1, "{name}: {told:?}");
        assert!(told.concat().starts_with(&expected), "{told:?}");
    }
}
