//! Clients that say who they are. Believed are proxies that the operator has named, nobody else.

use tidewire::ws::ProxyProtocol;
use tidewire_gateway::{
    Running,
    settings::{OutgoingProxyProtocol, Settings},
    start,
};
use tidewire_proto::proxy::{HEADER_BYTES_MAX, Header};
use tokio::sync::mpsc;

use crate::{
    support::{endpoint, in_time, settings, telling, url},
    wire::{Fake, Wire, field, switching, upgrade},
};

const SPOOFS: &str = "ROUTENAME: one\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\n\
    x-forwarded-proto: https\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Port: 443\r\n\
    X-Forwarded-Prefix: /admin\r\nForwarded: for=6.6.6.6;proto=https;host=evil\r\nX-Real-IP: 6.6.6.6\r\n\
    X_Forwarded_For: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\nx-forwarded_proto: https\r\n";

fn trusting(mut settings: Settings) -> Settings {
    settings.listeners[0].trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    settings
}

async fn told(gateway: &Running, fields: &str) -> String {
    Wire::open(gateway, "/", fields).await.text().await
}

#[tokio::test]
async fn what_a_client_says_of_itself_is_not_passed_on() {
    let backend = telling();
    let gateway = start(settings(vec![endpoint("one", &[url(&backend, "/")])])).unwrap();
    in_time(async {
        let head = told(&gateway, SPOOFS).await;
        assert_eq!(field(&head, "X-Forwarded-For"), Some("127.0.0.1"));
        assert_eq!(field(&head, "X-Forwarded-Proto"), Some("http"));
        assert_eq!(field(&head, "X-Forwarded-Host"), Some("gw.example"));
        for lie in ["6.6.6.6", "7.7.7.7", "https", "evil", "/admin", "443"] {
            assert!(!head.contains(lie), "{lie}: {head}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_trusted_proxys_chain_is_continued() {
    let backend = telling();
    let gateway = start(trusting(settings(vec![endpoint(
        "one",
        &[url(&backend, "/")],
    )])))
    .unwrap();
    in_time(async {
        let head = told(&gateway, SPOOFS).await;
        assert_eq!(
            field(&head, "X-Forwarded-For"),
            Some("6.6.6.6, 7.7.7.7, 127.0.0.1")
        );
        assert_eq!(field(&head, "X-Forwarded-Proto"), Some("https"));
        assert_eq!(
            field(&head, "Forwarded"),
            None,
            "the proxies' own field is the other one"
        );
    })
    .await;
}

/// Fields by which clients, and what they have asked for, are told to a backend, besides those that the gateway writes
/// itself.
const TELL_CLIENT: [&str; 43] = [
    "CF-Connecting-IP",
    "CF-Connecting-IPv6",
    "CF-Pseudo-IPv4",
    "CF-Visitor",
    "Client-Address",
    "Client-IP",
    "Coming-From",
    "Fastly-Client-IP",
    "Fly-Client-IP",
    "Forwarded-For",
    "Front-End-Https",
    "HTTP_CLIENT_IP",
    "Proxy",
    "Proxy-Client-IP",
    "Remote-Address",
    "Remote-Host",
    "True-Client-IP",
    "WL-Proxy-Client-IP",
    "X-AppEngine-User-IP",
    "X-Azure-ClientIP",
    "X-Client",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Coming-From",
    "X-Envoy-External-Address",
    "X-Forwarded",
    "X-Forwarded-By",
    "X-Forwarded-Port",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Original-Forwarded-For",
    "X-Original-Host",
    "X-Original-URI",
    "X-Original-URL",
    "X-Originating-IP",
    "X-ProxyUser-IP",
    "X-Real-IP",
    "X-Remote-Addr",
    "X-Remote-Host",
    "X-Remote-IP",
    "X-Rewrite-URL",
    "X-Scheme",
    "X-Url-Scheme",
];

#[tokio::test]
async fn no_field_of_any_proxy_is_passed_on_for_those_who_are_none() {
    let backend = telling();
    let gateway = start(settings(vec![endpoint("one", &[url(&backend, "/")])])).unwrap();
    in_time(async {
        for name in TELL_CLIENT.into_iter().chain(["Forwarded"]) {
            for name in [
                name.to_owned(),
                name.to_ascii_uppercase(),
                name.to_ascii_lowercase(),
                name.replace('-', "_"),
            ] {
                let fields = format!("ROUTENAME: one\r\n{name}: 6.6.6.6\r\nX-Other: kept\r\n");
                let head = told(&gateway, &fields).await;
                assert!(!head.contains("6.6.6.6"), "{name}: {head}");
                assert_eq!(field(&head, &name), None, "{name}: {head}");
                assert_eq!(field(&head, "X-Other"), Some("kept"), "{head}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_trusted_proxys_fields_pass_in_their_own_spelling_only() {
    let backend = telling();
    let mut one = endpoint("one", &[url(&backend, "/")]);
    let own = ("X-Client-IP".to_owned(), "of the operator".to_owned());
    one.request_headers = vec![own];
    let gateway = start(trusting(settings(vec![one]))).unwrap();
    in_time(async {
        for name in TELL_CLIENT {
            let fields = format!("ROUTENAME: one\r\n{name}: 6.6.6.6\r\n");
            let head = told(&gateway, &fields).await;
            let expected = match name {
                "X-Client-IP" => "of the operator",
                _ => "6.6.6.6",
            };
            assert_eq!(field(&head, name), Some(expected), "{head}");
            let disguised = name.replace('-', "_");
            if disguised != name {
                let fields = format!("ROUTENAME: one\r\n{disguised}: 6.6.6.6\r\n");
                let head = told(&gateway, &fields).await;
                assert!(!head.contains("6.6.6.6"), "{disguised}: {head}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn limits_count_the_rightmost_address_that_is_not_trusted() {
    let backend = telling();
    let limited = || {
        let mut endpoint = endpoint("one", &[url(&backend, "/")]);
        endpoint.per_client_max = 1;
        settings(vec![endpoint])
    };
    let status = async |gateway: &Running, chain: &str| {
        let mut client = Wire::to(gateway).await;
        let fields = format!("ROUTENAME: one\r\nX-Forwarded-For: {chain}\r\n");
        client.write(upgrade("/", &fields)).await;
        let answer = client.head().await;
        (client, answer[9..12].to_owned())
    };
    in_time(async {
        let gateway = start(limited()).unwrap();
        let (_first, answer) = status(&gateway, "1.1.1.1").await;
        assert_eq!(answer, "101");
        let (_, answer) = status(&gateway, "2.2.2.2").await;
        assert_eq!(answer, "429", "the same client, whatever it says");

        let gateway = start(trusting(limited())).unwrap();
        let (_first, answer) = status(&gateway, "1.1.1.1, 5.5.5.5").await;
        assert_eq!(answer, "101");
        let (_, answer) = status(&gateway, "2.2.2.2, 5.5.5.5").await;
        assert_eq!(
            answer, "429",
            "what stands left of it is the client's own word"
        );
        let (_other, answer) = status(&gateway, "5.5.5.5, 1.1.1.1").await;
        assert_eq!(answer, "101");
    })
    .await;
}

/// A backend that tells the PROXY header it got.
fn proxied() -> (Fake, mpsc::UnboundedReceiver<Header>) {
    let (told, headers) = mpsc::unbounded_channel();
    let fake = Fake::start(move |mut wire| {
        let told = told.clone();
        async move {
            let (header, len) = loop {
                assert!(wire.more().await, "a PROXY header");
                if let Some(found) = Header::scan(&wire.buffer, HEADER_BYTES_MAX).unwrap() {
                    break found;
                }
            };
            wire.buffer.drain(..len);
            let head = wire.head().await;
            assert!(head.starts_with("GET /own HTTP/1.1\r\n"), "{head}");
            told.send(header).unwrap();
            wire.write(switching(&head)).await;
            wire.rest().await;
        }
    });
    (fake, headers)
}

#[tokio::test]
async fn the_backend_is_told_the_right_client_by_the_proxy_protocol() {
    let (fake, mut headers) = proxied();
    in_time(async {
        for version in [OutgoingProxyProtocol::V1, OutgoingProxyProtocol::V2] {
            let mut one = endpoint("one", &[fake.url()]);
            one.proxy_protocol = Some(version);
            let plain = start(settings(vec![one.clone()])).unwrap();
            let client = Wire::open(&plain, "/", SPOOFS).await;
            let header = headers.recv().await.unwrap();
            let address = client.stream.local_addr().unwrap();
            assert_eq!(header.addresses.source(), Some(address), "{version:?}");
            assert_eq!(header.addresses.destination(), Some(plain.addresses()[0]));

            let trusting = start(trusting(settings(vec![one.clone()]))).unwrap();
            let _client = Wire::open(&trusting, "/", SPOOFS).await;
            let header = headers.recv().await.unwrap();
            let source = Some("7.7.7.7:0".parse().unwrap());
            assert_eq!(header.addresses.source(), source, "{version:?}");
            let fields = "ROUTENAME: one\r\nX-Forwarded-For: 2001:db8::1\r\n";
            let _client = Wire::open(&trusting, "/", fields).await;
            let header = headers.recv().await.unwrap();
            let source = Some("[2001:db8::1]:0".parse().unwrap());
            assert_eq!(header.addresses.source(), source, "{version:?}");

            let mut balanced = settings(vec![one]);
            balanced.listeners[0].proxy_protocol = ProxyProtocol::Required {
                trusted: vec!["127.0.0.1".parse().unwrap()],
            };
            let balanced = start(balanced).unwrap();
            let mut client = Wire::to(&balanced).await;
            let request = upgrade("/", SPOOFS);
            client
                .write(format!("PROXY TCP4 9.9.9.9 8.8.8.8 1234 80\r\n{request}"))
                .await;
            assert!(client.head().await.starts_with("HTTP/1.1 101 "));
            let header = headers.recv().await.unwrap();
            assert_eq!(
                header.addresses.source(),
                Some("9.9.9.9:1234".parse().unwrap())
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_proxy_header_from_a_client_that_is_no_balancer_is_no_request() {
    let backend = Fake::start(|_| async {});
    let gateway = start(settings(vec![endpoint("one", &[backend.url()])])).unwrap();
    in_time(async {
        let mut client = Wire::to(&gateway).await;
        let request = upgrade("/", "ROUTENAME: one\r\n");
        client
            .write(format!("PROXY TCP4 9.9.9.9 8.8.8.8 1234 80\r\n{request}"))
            .await;
        let answer = client.head().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert_eq!(backend.visits(), 0);
    })
    .await;
}
