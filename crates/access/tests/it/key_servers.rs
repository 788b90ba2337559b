//! Keys that are fetched, rotated, missing.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tidewire_access::Gate;
use tidewire_auth::{BadToken, Denied, Secret, SigningKey};

use crate::{
    gate,
    remotes::pass,
    service::{Service, ok},
};

const P256: &str = include_str!("../../../auth/tests/keys/p256.pem");
const OTHER: &str = include_str!("../../../auth/tests/keys/other.pem");

/// The public keys of the two, with these ids.
fn jwk(id: &str, private: &str) -> Value {
    let (x, y) = if private == P256 {
        P256_POINT
    } else {
        OTHER_POINT
    };
    json!({"kty": "EC", "crv": "P-256", "kid": id, "x": x, "y": y})
}

fn token(id: &str, private: &str) -> [(&'static str, String); 1] {
    let key = SigningKey::new("ES256".parse().unwrap(), &Secret::from(private)).unwrap();
    let claims = json!({"iss": "i", "aud": "a", "sub": "alice", "exp": 253_402_300_799_u64});
    let token = key.id(id).sign(&claims).unwrap();
    [("authorization", format!("Bearer {token}"))]
}

fn gate_of(service: &Service) -> Gate {
    gate(
        &json!({"type": "jwt", "algorithms": ["ES256"], "issuer": "i", "audience": "a",
        "jwks": format!("{}/keys", service.url)}),
    )
}

async fn check(gate: &Gate, fields: &[(&'static str, String); 1]) -> Result<(), Denied> {
    gate.check(fields).await.map(drop)
}

#[tokio::test]
async fn keys_are_fetched_once_and_again_when_a_token_names_a_new_one() {
    let keys = Arc::new(Mutex::new(json!({"keys": [jwk("one", P256)]})));
    let served = Arc::clone(&keys);
    let service = Service::start(move |_| ok("200 OK", &served.lock().unwrap().to_string())).await;
    let gate = gate_of(&service);
    for _ in 0..3 {
        assert_eq!(check(&gate, &token("one", P256)).await, Ok(()));
    }
    assert_eq!(service.asked(), 1);
    // Made-up names do not make it ask again and again.
    *keys.lock().unwrap() = json!({"keys": [jwk("two", OTHER), jwk("one", P256)]});
    for name in ["a", "b", "two"] {
        let denied = check(&gate, &token(name, OTHER)).await;
        assert_eq!(denied, Err(Denied::Token(BadToken::Signature)), "{name}");
    }
    assert_eq!(service.asked(), 1);
    pass(11).await;
    assert_eq!(check(&gate, &token("two", OTHER)).await, Ok(()));
    assert_eq!(check(&gate, &token("one", P256)).await, Ok(()));
    assert_eq!(service.asked(), 2);
    // A key that was taken away is good no more as soon as that is known.
    *keys.lock().unwrap() = json!({"keys": [jwk("two", OTHER)]});
    pass(11).await;
    let unknown = check(&gate, &token("three", OTHER)).await;
    assert_eq!(unknown, Err(Denied::Token(BadToken::Signature)));
    assert_eq!(check(&gate, &token("two", OTHER)).await, Ok(()));
    assert!(check(&gate, &token("one", P256)).await.is_err());
}

#[tokio::test]
async fn a_key_server_that_fails_is_asked_less_and_less_and_lets_nobody_in() {
    for answer in [
        ok("500 Oops", ""),
        ok("200 OK", "<html>"),
        ok("200 OK", "{\"keys\":[]}"),
        ok("302 Found\r\nLocation: /keys", ""),
        ok("200 OK", &" ".repeat(300 << 10)),
    ] {
        let service = Service::start(move |_| answer.clone()).await;
        let gate = gate_of(&service);
        for _ in 0..10 {
            assert_eq!(
                check(&gate, &token("one", P256)).await,
                Err(Denied::Unavailable)
            );
        }
        assert_eq!(service.asked(), 1);
        pass(1).await;
        check(&gate, &token("one", P256)).await.unwrap_err();
        pass(1).await;
        check(&gate, &token("one", P256)).await.unwrap_err();
        assert_eq!(service.asked(), 2, "the second pause is longer");
    }
}

#[tokio::test]
async fn known_keys_stay_in_use_while_the_server_fails() {
    let is_up = Arc::new(Mutex::new(true));
    let up = Arc::clone(&is_up);
    let set = json!({"keys": [jwk("one", P256)]}).to_string();
    let service = Service::start(move |_| {
        if *up.lock().unwrap() {
            ok("200 OK", &set)
        } else {
            ok("500 Oops", "")
        }
    })
    .await;
    let gate = gate_of(&service);
    assert_eq!(check(&gate, &token("one", P256)).await, Ok(()));
    *is_up.lock().unwrap() = false;
    pass(11).await;
    check(&gate, &token("new", OTHER)).await.unwrap_err();
    assert_eq!(service.asked(), 2);
    assert_eq!(check(&gate, &token("one", P256)).await, Ok(()));
}

#[tokio::test]
async fn clients_that_come_at_once_fetch_once() {
    let set = json!({"keys": [jwk("one", P256)]}).to_string();
    let service = Service::start(move |_| ok("200 OK", &set)).await;
    let gate = gate_of(&service);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let gate = gate.clone();
        tasks.spawn(async move { check(&gate, &token("one", P256)).await });
    }
    while let Some(checked) = tasks.join_next().await {
        assert_eq!(checked.unwrap(), Ok(()));
    }
    assert_eq!(service.asked(), 1);
}
const P256_POINT: (&str, &str) = (
    "gcFvTVQNnXZbCOIPqQAgbYC5MH9bKM5sbqXj5P9CZIg",
    "xkCHqztqlpcgBxfTcCvpRmHJyW3-aFvMh7a-2U7S1Ak",
);
const OTHER_POINT: (&str, &str) = (
    "jRjTJkcSjs9GFubgclYDHUhHI-z6zvFfdffzlvzkr7Q",
    "yAreM6LNnbs66h1TC6URtWaw_GYkohJBjtNtN9pMKyg",
);
