//! Variables that begin with our prefix and are none of ours. The kinds are those of `tidewire_config::contract`; ones
//! with `__`, which nobody else writes, are held to be ours.

use tidewire_config::contract;
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
    let services = [
        "REST_",
        "METRICS_",
        "GATEWAY_",
        "GATEWAY_ADMIN_",
        "SERVER_",
        "DATA_",
        "MAILBOX_",
    ];
    contract::service_links_say_nothing("TIDEWIRE_", &services, &warnings);
}

#[test]
fn what_images_set_says_nothing() {
    contract::what_images_set_says_nothing("TIDEWIRE_", &warnings);
}

#[test]
fn what_is_almost_a_key_is_told_with_the_key() {
    let misses = [
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
    ];
    contract::near_misses_are_told(&misses, &warnings);
}
