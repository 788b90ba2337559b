//! Services that say yes, no, nothing, or nonsense: only a yes lets anybody in.

use serde_json::{Value, json};
use tidewire_access::Gate;
use tidewire_auth::Denied;
use tokio::net::TcpListener;

use crate::{
    gate,
    service::{Service, ok},
};

const COOKIE: [(&str, &str); 1] = [("cookie", "session=good")];

fn remote(url: &str) -> Value {
    json!({"type": "remote", "source": {"type": "cookie", "name": "session"}, "url": url, "data": "{0}", "timeout": "5s"})
}

async fn check(gate: &Gate, fields: &[(&str, &str)]) -> Result<(), Denied> {
    gate.check(&fields.to_vec()).await.map(drop)
}

#[tokio::test]
async fn what_the_service_says_is_done_and_nothing_but_a_yes_is_one() {
    let long = "x".repeat(100 << 10);
    for (answer, expected) in [
        (ok("200 OK", ""), Ok(())),
        (ok("204 No Content", ""), Ok(())),
        (ok("200 OK", "no JSON at all"), Ok(())),
        (ok("401 Unauthorized", ""), Err(Denied::Wrong)),
        (ok("404 Not Found", ""), Err(Denied::Wrong)),
        (ok("302 Found\r\nLocation: /yes", ""), Err(Denied::Wrong)),
        (
            ok("301 Moved\r\nLocation: http://127.0.0.1:1/", ""),
            Err(Denied::Wrong),
        ),
        (ok("304 Not Modified", ""), Err(Denied::Wrong)),
        (ok("429 Too Many Requests", ""), Err(Denied::Unavailable)),
        (
            ok("500 Internal Server Error", ""),
            Err(Denied::Unavailable),
        ),
        (ok("503 Service Unavailable", ""), Err(Denied::Unavailable)),
        (ok("200 OK", &long), Err(Denied::Unavailable)),
        (
            Some("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_owned() + &"\0".repeat(3)),
            Err(Denied::Unavailable),
        ),
        (Some("garbage\r\n\r\n".to_owned()), Err(Denied::Unavailable)),
        (
            Some("HTTP/1.1 abc\r\n\r\n".to_owned()),
            Err(Denied::Unavailable),
        ),
        (Some(String::new()), Err(Denied::Unavailable)),
        (None, Err(Denied::Unavailable)),
    ] {
        let shown = answer.clone().unwrap_or_default();
        let service = Service::start(move |_| answer.clone()).await;
        let mut table = remote(&service.url);
        table["timeout"] = json!("300ms");
        let gate = gate(&table);
        assert_eq!(
            check(&gate, &COOKIE).await,
            expected,
            "{}",
            shown.get(..80).unwrap_or(&shown)
        );
        assert_eq!(check(&gate, &[]).await, Err(Denied::Missing));
        assert_eq!(service.asked(), 1, "nobody is asked about nothing");
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let gate = gate(&remote(&format!("http://{address}")));
    assert_eq!(check(&gate, &COOKIE).await, Err(Denied::Unavailable));
}

#[tokio::test]
async fn the_question_is_what_the_configuration_says() {
    let (tell, mut told) = tokio::sync::mpsc::channel(8);
    let service = Service::start(move |request| {
        tell.try_send(request.to_owned()).unwrap();
        ok("200 OK", "")
    })
    .await;
    let table = json!({"type": "remote", "source": {"type": "bearer"}, "method": "put",
        "url": format!("{}/check?t={{token}}", service.url),
        "headers": [{"X-Api-Key": "k"}, {"Authorization": "{0}"}], "data": {"a": "{0}", "n": [1, "{token}"]}});
    let gate = gate(&table);
    let fields = [("Authorization", "Bearer a\"b&c=d")];
    assert_eq!(check(&gate, &fields).await, Ok(()));
    let request = told.recv().await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(
        head.starts_with("put /check?t=a%22b%26c%3dd http/1.1\r\n"),
        "{head}"
    );
    for line in [
        "x-api-key: k",
        "authorization: bearer a\"b&c=d",
        "content-type: application/json",
    ] {
        assert!(head.contains(line), "{line} {head}");
    }
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body, json!({"a": "Bearer a\"b&c=d", "n": [1, "a\"b&c=d"]}));
}

#[tokio::test]
async fn an_answer_is_remembered_for_its_time_and_a_failure_is_not() {
    let service = Service::start(|request| match request {
        it if it.contains("good") => ok("200 OK", ""),
        it if it.contains("broken") => ok("500 Oops", ""),
        _ => ok("403 Forbidden", ""),
    })
    .await;
    let gate = gate(&remote(&service.url));
    for _ in 0..3 {
        assert_eq!(check(&gate, &COOKIE).await, Ok(()));
        assert_eq!(
            check(&gate, &[("cookie", "session=bad")]).await,
            Err(Denied::Wrong)
        );
    }
    assert_eq!(service.asked(), 2);
    for _ in 0..2 {
        let broken = check(&gate, &[("cookie", "session=broken")]).await;
        assert_eq!(broken, Err(Denied::Unavailable));
    }
    assert_eq!(service.asked(), 4);
    // A no is believed for 5 s, a yes for 30 s.
    pass(6).await;
    assert_eq!(
        check(&gate, &[("cookie", "session=bad")]).await,
        Err(Denied::Wrong)
    );
    assert_eq!(check(&gate, &COOKIE).await, Ok(()));
    assert_eq!(service.asked(), 5);
    pass(30).await;
    assert_eq!(check(&gate, &COOKIE).await, Ok(()));
    assert_eq!(service.asked(), 6);
}

pub(crate) async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn clients_with_the_same_credential_ask_once() {
    let service = Service::start(|_| ok("200 OK", "")).await;
    let gate = gate(&remote(&service.url));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let gate = gate.clone();
        tasks.spawn(async move { check(&gate, &COOKIE).await });
    }
    while let Some(checked) = tasks.join_next().await {
        assert_eq!(checked.unwrap(), Ok(()));
    }
    assert_eq!(service.asked(), 1);
}

#[tokio::test]
async fn a_service_that_fails_again_and_again_is_left_alone_for_a_while() {
    let service = Service::start(|_| ok("500 Oops", "")).await;
    let gate = gate(&remote(&service.url));
    for _ in 0..20 {
        assert_eq!(check(&gate, &COOKIE).await, Err(Denied::Unavailable));
    }
    assert_eq!(service.asked(), 5);
    pass(1).await;
    for _ in 0..5 {
        assert_eq!(check(&gate, &COOKIE).await, Err(Denied::Unavailable));
    }
    assert_eq!(service.asked(), 6);
}

/// Every combination of a password and a service, right, wrong and missing.
#[tokio::test]
async fn one_of_and_all_of_with_a_service_are_what_they_say() {
    let service = Service::start(|request| {
        let answer = if request.contains("good") {
            "200 OK"
        } else {
            "403 Forbidden"
        };
        ok(answer, "")
    })
    .await;
    let types = json!([{"type": "bearer", "value": "right"}, remote(&service.url)]);
    let any = gate(&json!({"type": "oneOf", "types": types}));
    let all = gate(&json!({"type": "allOf", "types": types}));
    let down = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = down.local_addr().unwrap();
    drop(down);
    let types = json!([{"type": "bearer", "value": "right"}, remote(&format!("http://{address}"))]);
    let any_down = gate(&json!({"type": "oneOf", "types": types}));
    let all_down = gate(&json!({"type": "allOf", "types": types}));
    for (bearer, first) in [
        (Some("Bearer right"), true),
        (Some("Bearer wrong"), false),
        (None, false),
    ] {
        for (cookie, second) in [
            (Some("session=good"), true),
            (Some("session=bad"), false),
            (None, false),
        ] {
            let fields = [("authorization", bearer), ("cookie", cookie)];
            let fields: Vec<_> = fields
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect();
            assert_eq!(
                check(&any, &fields).await.is_ok(),
                first || second,
                "{fields:?}"
            );
            assert_eq!(
                check(&all, &fields).await.is_ok(),
                first && second,
                "{fields:?}"
            );
            assert_eq!(check(&any_down, &fields).await.is_ok(), first, "{fields:?}");
            assert!(check(&all_down, &fields).await.is_err(), "{fields:?}");
        }
    }
}

#[tokio::test]
async fn a_service_may_say_who_it_is() {
    let service = Service::start(|request| match request {
        it if it.contains("good") => {
            ok("200 OK", r#"{"user":"alice","grants":{"send_to":["bob"]}}"#)
        }
        it if it.contains("mute") => ok("200 OK", ""),
        _ => ok("200 OK", "[1"),
    })
    .await;
    let mut table = remote(&service.url);
    table["binds_user"] = json!(true);
    let gate = gate(&table);
    let identity = gate.check(&COOKIE).await.unwrap();
    assert_eq!(identity.user(), Some("alice"));
    assert!(
        identity.grants().send_to().covers("bob") && !identity.grants().send_to().covers("carol")
    );
    for cookie in ["session=mute", "session=garbage"] {
        assert_eq!(
            check(&gate, &[("cookie", cookie)]).await,
            Err(Denied::Wrong)
        );
    }
}

/// More values than a request needs are not asked about.
#[tokio::test]
async fn a_request_cannot_make_many_questions() {
    let service = Service::start(|_| ok("403 Forbidden", "")).await;
    let gate = gate(&remote(&service.url));
    let many = (0..5)
        .map(|index| format!("session={index}; "))
        .collect::<Vec<_>>()
        .concat();
    assert_eq!(check(&gate, &[("cookie", &many)]).await, Err(Denied::Wrong));
    assert_eq!(service.asked(), 0);
    let few = (0..4)
        .map(|index| format!("session={index}; "))
        .collect::<Vec<_>>()
        .concat();
    assert_eq!(check(&gate, &[("cookie", &few)]).await, Err(Denied::Wrong));
    assert_eq!(service.asked(), 4);
}
