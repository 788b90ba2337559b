//! Variables that begin with our prefix and are none of ours. The kinds are those of `tidewire_config::contract`; ones
//! with `__`, which nobody else writes, are held to be ours.

use tidewire_config::contract;
use tidewire_gateway::config::Overrides;

use crate::{CHAT, Fixture};

/// Loads, and gives what is told in the log.
fn warnings(variables: &[(&str, &str)]) -> Vec<String> {
    let settings = Fixture::new("gateway.toml", CHAT).load(variables, &Overrides::default());
    let settings = settings.unwrap_or_else(|error| panic!("{variables:?}: {error}"));
    settings.warnings
}

#[test]
fn service_links_of_an_orchestrator_say_nothing() {
    let services = ["ADMIN_", "LISTEN_", "MUX_", "ENDPOINTS_"];
    contract::service_links_say_nothing("TIDEWIRE_GATEWAY_", &services, &warnings);
}

#[test]
fn what_images_set_says_nothing() {
    contract::what_images_set_says_nothing("TIDEWIRE_GATEWAY_", &warnings);
}

#[test]
fn what_is_almost_a_key_is_told_with_the_key() {
    let misses = [
        ("TIDEWIRE_GATEWAY_LISTEM", "TIDEWIRE_GATEWAY_LISTEN"),
        ("TIDEWIRE_GATEWAY_WORKER", "TIDEWIRE_GATEWAY_WORKERS"),
        ("TIDEWIRE_GATEWAY_LOG_LEVEL", "TIDEWIRE_GATEWAY_LOG__LEVEL"),
        (
            "TIDEWIRE_GATEWAY_DRAIN_TIMEOUT",
            "TIDEWIRE_GATEWAY_DRAIN__TIMEOUT",
        ),
        (
            "TIDEWIRE_GATEWAY_PER_IP_MAX",
            "TIDEWIRE_GATEWAY_LIMITS__PER_IP_MAX",
        ),
        ("TIDEWIRE_GATEWAY_MUX", "TIDEWIRE_GATEWAY_MUX__KEY"),
        (
            "TIDEWIRE_GATEWAY_ENDPOINTS",
            "TIDEWIRE_GATEWAY_ENDPOINTS__KEY",
        ),
    ];
    contract::near_misses_are_told(&misses, &warnings);
}
