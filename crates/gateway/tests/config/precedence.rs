//! Which layer wins: default < file < environment < flag.

use tidewire_gateway::{
    config::{Overrides, load},
    settings::{Balance, Origins},
};

use crate::{CHAT, Fixture, pairs};

#[test]
fn a_stronger_layer_replaces_single_keys() {
    let text = format!("listen = \"127.0.0.1:1\"\nworkers = 3\n{CHAT}zone = \"file\"\n");
    let fixture = Fixture::new("gateway.toml", &text);
    let variables = [
        ("TIDEWIRE_GATEWAY_LISTEN", "127.0.0.1:2"),
        ("TIDEWIRE_GATEWAY_DRAIN__TIMEOUT", "7s"),
        ("TIDEWIRE_GATEWAY_ENDPOINTS__CHAT__ZONE", "environment"),
    ];
    let flags = Overrides {
        listen: Some("localhost:3".to_owned()),
        ..Overrides::default()
    };
    for (variables, flags, port, zone, drain) in [
        (&[] as &[_], Overrides::default(), 1, "file", 30),
        (&variables, Overrides::default(), 2, "environment", 7),
        (&variables, flags, 3, "environment", 7),
    ] {
        let settings = fixture.load(variables, &flags).expect("valid");
        assert_eq!(settings.workers, Some(3));
        assert_eq!(
            settings.listeners[0]
                .address
                .socket_addr()
                .expect("an IP address")
                .port(),
            port
        );
        assert_eq!(settings.endpoints[0].zone.as_deref(), Some(zone));
        assert_eq!(settings.drain.timeout.as_secs(), drain);
    }
}

#[test]
fn an_endpoint_can_come_from_the_environment_alone() {
    let settings = load(
        None,
        pairs(&[
            (
                "TIDEWIRE_GATEWAY_ENDPOINTS__A__UPSTREAMS",
                "ws://a/, ws://b/",
            ),
            (
                "TIDEWIRE_GATEWAY_ENDPOINTS__A__BALANCE",
                "least-connections",
            ),
            ("TIDEWIRE_GATEWAY_ENDPOINTS__A__ORIGINS", "any"),
            ("TIDEWIRE_GATEWAY_ENDPOINTS__A__HEALTH__INTERVAL", "9s"),
            ("TIDEWIRE_GATEWAY_ENDPOINTS__A__CONNECTIONS_MAX", "12"),
            (
                "TIDEWIRE_GATEWAY_ENDPOINTS__A__RATES__MESSAGE_BYTES_MAX",
                "64KiB",
            ),
            ("TIDEWIRE_GATEWAY_ENDPOINTS__A__AUTH__TYPE", "bearer"),
            ("TIDEWIRE_GATEWAY_ENDPOINTS__A__AUTH__VALUE", "${env:TOKEN}"),
            ("TOKEN", "t"),
            ("TIDEWIRE_GATEWAY_PIN_BY_NAME", "false"),
            (
                "TIDEWIRE_GATEWAY_ROUTES",
                "[{endpoint = \"A\", path = \"/a/*\"}]",
            ),
            (
                "TIDEWIRE_GATEWAY_LISTENERS",
                "[{address = \"*:81\"}, {address = \"*:82\"}]",
            ),
            ("TIDEWIRE_GATEWAY_ADMIN__ADDRESS", "127.0.0.1:83"),
            ("TIDEWIRE_GATEWAY_CONFIG", "is read by the command line"),
            ("TIDEWIRE_GATEWAY_SERVICE_HOST", "10.0.0.1"),
            ("TIDEWIRE_SERVER__LISTEN", "is the server's"),
        ]),
        &Overrides::default(),
    )
    .expect("valid");
    let endpoint = &settings.endpoints[0];
    assert_eq!(endpoint.name, "a");
    assert_eq!(endpoint.upstreams.len(), 2);
    assert_eq!(endpoint.balance, Balance::LeastConnections);
    assert_eq!(endpoint.origins, Origins::Any);
    assert_eq!(
        endpoint.health.as_ref().map(|it| it.interval.as_secs()),
        Some(9)
    );
    assert_eq!(endpoint.connections_max, 12);
    assert_eq!(endpoint.rates.message_bytes_max, 65_536);
    let auth = endpoint.auth.as_ref().expect("it is set");
    assert_eq!(
        auth.check_now(&[("authorization", "Bearer t")]).map(drop),
        Ok(())
    );
    assert!(!settings.pin_by_name);
    assert_eq!(settings.routes[0].endpoint, "a");
    assert_eq!(settings.listeners.len(), 2);
    assert_eq!(
        settings
            .admin
            .expect("it has an address")
            .address
            .to_string(),
        "127.0.0.1:83"
    );
}

#[test]
fn the_flag_for_the_address_leaves_the_rest_of_the_listener() {
    let text = format!(
        "{CHAT}[[listeners]]\naddress = \"*:1\"\ntrusted_proxies = [\"10.0.0.0/8\"]\n\
         [[listeners]]\naddress = \"*:2\"\n"
    );
    let flags = Overrides {
        listen: Some("127.0.0.1:0".to_owned()),
        ..Overrides::default()
    };
    let settings = Fixture::new("gateway.toml", &text)
        .load(&[], &flags)
        .expect("valid");
    let addresses: Vec<String> = settings
        .listeners
        .iter()
        .map(|listener| listener.address.to_string())
        .collect();
    assert_eq!(addresses, ["127.0.0.1:0", "0.0.0.0:2"]);
    assert_eq!(settings.listeners[0].trusted_proxies.len(), 1);
}
