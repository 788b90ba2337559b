//! Endpoints that open, or do not.

use std::time::Duration;

use tidewire::{
    mux::{self, ConnectError, Event, OpenError},
    proto::mux::{Body, Open},
    ws::{CloseCode, Message, Server},
};

use super::script::{start, within};
use crate::server::{config, echo};

fn accept(credit: u32, subprotocol: Option<&str>) -> Body<'_> {
    Body::Accept {
        credit,
        subprotocol,
    }
}

fn open(name: &str) -> Body<'_> {
    Body::Open(Open {
        credit: 65_536,
        name,
        ..Open::default()
    })
}

fn close(code: u16) -> Body<'static> {
    Body::Close(Some(tidewire::proto::mux::Close::new(CloseCode(code), "")))
}

#[tokio::test]
async fn an_endpoint_is_asked_for_with_all_that_was_said_and_has_the_chosen_subprotocol() {
    within(async {
        let (gateway, mut script) = start().await;
        let answer = async {
            let asked = Open {
                credit: 20_000,
                name: "Köln",
                query: "room=1",
                subprotocols: vec!["chat.v2", "chat"],
            };
            script.expect(1, Body::Open(asked)).await;
            script.say(1, accept(16_390, Some("chat"))).await;
        };
        let endpoint = gateway
            .endpoint("Köln")
            .query("room=1")
            .subprotocol("chat.v2")
            .subprotocol("chat")
            .credit(20_000);
        let (socket, ()) = tokio::join!(endpoint.into_future(), answer);
        let socket = socket.unwrap();
        assert_eq!(socket.subprotocol(), Some("chat"));
        assert_eq!(socket.name(), "Köln");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_says_why_and_the_next_number_is_greater() {
    within(async {
        let (gateway, mut script) = start().await;
        let answer = async {
            script.expect(1, open("nothing")).await;
            let reject = Body::Reject {
                status: 404,
                reason: "no such endpoint",
            };
            script.say(1, reject).await;
        };
        let (refused, ()) = tokio::join!(gateway.endpoint("nothing").into_future(), answer);
        let error = refused.unwrap_err();
        assert!(matches!(error, OpenError::Rejected { status: 404, .. }));
        assert_eq!(
            error.to_string(),
            "refused with status 404: no such endpoint"
        );
        script.open(&gateway, 2, 65_536).await;
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_here_and_uses_no_number() {
    within(async {
        let (gateway, mut script) = start().await;
        for endpoint in [
            gateway.endpoint(""),
            gateway.endpoint("n".repeat(256)),
            gateway.endpoint("a").query("a b"),
            gateway.endpoint("a").subprotocol("a,b"),
        ] {
            let refused = endpoint.await.unwrap_err();
            assert!(matches!(refused, OpenError::Invalid(_)), "{refused}");
        }
        script.open(&gateway, 1, 65_536).await;
    })
    .await;
}

#[tokio::test]
async fn a_subprotocol_that_was_not_offered_is_refused() {
    within(async {
        let (gateway, mut script) = start().await;
        let answer = async {
            script.hear().await;
            script.say(1, accept(65_536, Some("other"))).await;
        };
        let (refused, ()) = tokio::join!(gateway.endpoint("a").into_future(), answer);
        assert!(matches!(refused.unwrap_err(), OpenError::Subprotocol));
        let why = "a subprotocol that was not offered";
        let close = tidewire::proto::mux::Close::new(CloseCode(1002), why);
        script.expect(1, Body::Close(Some(close))).await;
    })
    .await;
}

#[tokio::test]
async fn an_attempt_that_is_given_up_is_closed_whatever_the_answer() {
    within(async {
        let (gateway, mut script) = start().await;
        tokio::select! {
            biased;
            _ = gateway.endpoint("slow").into_future() => panic!("nobody answered"),
            () = script.expect(1, open("slow")) => {}
        }
        script.expect(1, close(1001)).await;
        script.say(1, accept(65_536, None)).await;
        script.text(1, b"crossing", true).await;
        script.say(1, Body::Close(None)).await;
        script.settle().await;
        script.open(&gateway, 2, 65_536).await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_no_gateway_is_told_apart() {
    within(async {
        let server = Server::new(config()).route("/", echo).start().unwrap();
        let url = format!("ws://{}/", server.local_addr());
        let refused = mux::connect(&url).await.unwrap_err();
        assert!(matches!(refused, ConnectError::NoGateway), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn a_gateway_that_goes_away_opens_nothing_and_leaves_what_is_open() {
    within(async {
        let (gateway, mut script) = start().await;
        let mut socket = script.open(&gateway, 1, 65_536).await;
        assert!(!gateway.is_going_away());
        script.say(0, Body::GoAway { within_ms: 1500 }).await;
        let within = gateway.going_away().await;
        assert_eq!(within, Some(Duration::from_millis(1500)));
        assert!(gateway.is_going_away());
        let refused = gateway.endpoint("a").await.unwrap_err();
        assert!(matches!(refused, OpenError::GoingAway), "{refused}");
        script.text(1, b"still here", true).await;
        assert_eq!(
            socket.recv().await.unwrap(),
            Some(Message::text("still here"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_backend_that_goes_and_comes_back_is_told_in_order_with_the_messages() {
    within(async {
        let (gateway, mut script) = start().await;
        let mut socket = script.open(&gateway, 1, 65_536).await;
        script.text(1, b"before", true).await;
        for retry_ms in [100, 200] {
            script.say(1, Body::Down { retry_ms }).await;
        }
        script.text(1, b"between", true).await;
        script.say(1, Body::Up).await;
        script.settle().await;
        let retry = Duration::from_millis(200);
        for event in [
            Event::Message(Message::text("before")),
            Event::Down { retry },
            Event::Message(Message::text("between")),
            Event::Up,
        ] {
            assert_eq!(socket.recv_any().await.unwrap(), Some(event));
        }
        script.say(1, Body::Up).await;
        script.text(1, b"after", true).await;
        let message = socket.recv().await.unwrap();
        assert_eq!(message, Some(Message::text("after")), "recv skips events");
    })
    .await;
}

#[tokio::test]
async fn pings_are_answered_on_the_connection_and_on_streams() {
    within(async {
        let (gateway, mut script) = start().await;
        let _socket = script.open(&gateway, 1, 65_536).await;
        for stream in [0, 1] {
            script.say(stream, Body::Ping(b"there?")).await;
            script.expect(stream, Body::Pong(b"there?")).await;
        }
    })
    .await;
}
