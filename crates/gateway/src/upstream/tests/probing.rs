//! The prober: its rhythm in virtual time with made-up checks, and real checks over loopback.

use std::{
    future::{pending, poll_fn},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use tidewire::{
    proto::handshake::{AcceptOptions, RequestHead, accept},
    service::Workers,
    ws::{
        AcceptFuture, CloseCode, Decision, HeadLimits, ProxyProtocol, Refusal, Request,
        RunningServer, Server, ServerConfig, WebSocket,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::{Instant as TokioInstant, advance, timeout},
};

use super::*;
use crate::{settings::OutgoingProxyProtocol, upstream::check::CheckError};

/// The host's health, waited for.
async fn until(pool: &Pool, status: HealthStatus) {
    let mut changed = pool.usable_changed();
    let guard = timeout(Duration::from_mins(1), async {
        while pool.snapshot().upstreams[0].health != status {
            changed.changed().await.unwrap();
        }
    });
    guard.await.unwrap_or_else(|_| {
        let snapshot = pool.snapshot();
        panic!("never became {status:?}: {snapshot:?}")
    });
}

/// A prober whose checks succeed while the flag is set, and else never answer.
fn probe(pool: &Pool, answers: &Arc<AtomicBool>, checks: &Arc<AtomicU32>) -> Prober {
    let (answers, checks) = (Arc::clone(answers), Arc::clone(checks));
    Prober::start_with(pool, move |check| {
        checks.fetch_add(1, Ordering::Relaxed);
        let answers = answers.load(Ordering::Relaxed);
        async move {
            if answers {
                return Ok(());
            }
            let within = check.within;
            timeout(within, pending())
                .await
                .map_err(|_elapsed| CheckError::NoPong(within))
        }
    })
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_gets_stuck_is_found_within_two_intervals() {
    // Stuck at the worst moment (just after a check), and some others.
    for stuck_after_ms in [0, 1, 1_000, 4_400, 4_999, 7_000] {
        let pool = Pool::new(&endpoint(vec![upstream("a")]));
        let (answers, checks) = (Arc::new(AtomicBool::new(true)), Arc::default());
        let _prober = probe(&pool, &answers, &checks);
        until(&pool, HealthStatus::Healthy).await;
        advance(Duration::from_millis(stuck_after_ms)).await;
        let stuck = TokioInstant::now();
        answers.store(false, Ordering::Relaxed);
        let picked = pool.pick(stuck.into_std(), &ClientKey::default(), &[]);
        let mut lease = picked.unwrap();
        lease.watch();
        let told = poll_fn(|cx| lease.poll_unhealthy(cx));
        timeout(Duration::from_mins(1), told).await.unwrap();
        assert_eq!(pool.snapshot().upstreams[0].health, HealthStatus::Unhealthy);
        let found = stuck.elapsed();
        assert!(
            found <= Duration::from_secs(10),
            "{found:?} after {stuck_after_ms} ms"
        );
        answers.store(true, Ordering::Relaxed);
        let back = TokioInstant::now();
        until(&pool, HealthStatus::Healthy).await;
        assert!(
            back.elapsed() <= Duration::from_secs(3),
            "{:?}",
            back.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_accepts_and_never_answers_is_unhealthy() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap(); // the kernel accepts
    let address = listener.local_addr().unwrap();
    let pool = Pool::new(&endpoint(vec![upstream(&address.to_string())]));
    let started = TokioInstant::now();
    let _prober = Prober::start(&pool);
    until(&pool, HealthStatus::Unhealthy).await;
    assert!(started.elapsed() <= Duration::from_secs(10));
    let error = pool.snapshot().upstreams[0].health_error.clone();
    assert_eq!(error.as_deref(), Some("no handshake within 2s"));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_shakes_hands_and_then_never_answers_is_unhealthy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let pool = Pool::new(&endpoint(vec![upstream(&address.to_string())]));
    let serve = async {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            let head = RequestHead::parse(request.into(), HeadLimits::default()).unwrap();
            let accepted = accept(&head, AcceptOptions::default()).unwrap();
            stream
                .write_all(accepted.response.as_bytes())
                .await
                .unwrap();
            held.push(stream);
        }
    };
    let _prober = Prober::start(&pool);
    tokio::select! {
        () = until(&pool, HealthStatus::Unhealthy) => {}
        () = serve => {}
    }
    let error = pool.snapshot().upstreams[0].health_error.clone();
    assert_eq!(error.as_deref(), Some("no pong within 2s"));
}

#[tokio::test(start_paused = true)]
async fn a_stuck_upstream_delays_no_check_of_its_siblings() {
    let pool = Pool::new(&endpoint(vec![upstream("stuck"), upstream("fine")]));
    let _prober = Prober::start_with(&pool, |check| async move {
        if check.url.host() == "stuck" {
            pending::<()>().await; // not even its deadline holds
        }
        Ok(())
    });
    let mut changed = pool.usable_changed();
    changed.changed().await.unwrap();
    let health = |pool: &Pool| {
        let all = pool.snapshot().upstreams;
        all.iter().map(|u| u.health).collect::<Vec<_>>()
    };
    assert_eq!(
        health(&pool),
        [HealthStatus::Unknown, HealthStatus::Healthy]
    );
}

#[tokio::test(start_paused = true)]
async fn checks_follow_a_reload_and_end_with_the_prober() {
    let none = Endpoint {
        health: None,
        ..endpoint(vec![upstream("a")])
    };
    let pool = Pool::new(&none);
    let (answers, checks) = (Arc::new(AtomicBool::new(true)), Arc::<AtomicU32>::default());
    let count = || checks.load(Ordering::Relaxed);
    let prober = probe(&pool, &answers, &checks);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(count(), 0, "no health in the settings");

    pool.update(&endpoint(vec![upstream("a")]));
    tokio::time::sleep(Duration::from_secs(51)).await;
    assert!((11..=12).contains(&count()), "{} checks every 5 s", count());

    let before = count();
    pool.update(&endpoint(vec![upstream("a"), upstream("b")]));
    tokio::time::sleep(Duration::from_millis(1)).await;
    let new = count() - before; // the old one keeps its rhythm, and may be due just now
    assert!((1..=2).contains(&new), "{new} checks");

    let mut faster = endpoint(vec![upstream("b")]);
    faster.health.as_mut().unwrap().interval = Duration::from_secs(1);
    pool.update(&faster);
    let before = count();
    tokio::time::sleep(Duration::from_millis(10_500)).await;
    let checked = count() - before;
    assert!((10..=12).contains(&checked), "{checked} checks of b alone");

    drop(prober);
    tokio::task::yield_now().await;
    let before = count();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(count(), before);
}

fn server(address: SocketAddr) -> RunningServer {
    let mut config = ServerConfig::new(address.into());
    config.workers = Workers::Pool;
    let route =
        |mut socket: WebSocket| async move { while let Ok(Some(_)) = socket.recv().await {} };
    Server::new(config).route("/alive", route).start().unwrap()
}

/// Checks every 50 ms, one failure suffices.
fn eager(address: SocketAddr, path: Option<&str>) -> Endpoint {
    let mut endpoint = endpoint(vec![upstream(&address.to_string())]);
    endpoint.health = Some(Health {
        interval: Duration::from_millis(50),
        timeout: Duration::from_secs(30),
        path: path.map(str::to_owned),
        unhealthy_after: 1,
        healthy_after: 1,
        ..Health::default()
    });
    endpoint
}

#[tokio::test]
async fn a_server_that_goes_and_comes_back_is_followed_and_those_who_wait_are_woken() {
    let running = server(([127, 0, 0, 1], 0).into());
    let address = running.local_addr();
    let pool = Pool::new(&eager(address, Some("/alive")));
    let _prober = Prober::start(&pool);
    until(&pool, HealthStatus::Healthy).await;
    assert!(running.drain(Duration::from_secs(10)).await);
    until(&pool, HealthStatus::Unhealthy).await;
    let error = pool.snapshot().upstreams[0].health_error.clone();
    assert!(error.is_some_and(|error| error.contains("refused")));
    let _running = server(address);
    until(&pool, HealthStatus::Healthy).await;
    assert_eq!(pool.snapshot().upstreams[0].health_error, None);
}

#[tokio::test]
async fn a_server_that_ends_the_connection_before_the_pong_is_unhealthy() {
    let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into());
    config.workers = Workers::Pool;
    let route = |mut socket: WebSocket| async move {
        socket.start_close(CloseCode::INTERNAL_ERROR, "");
        drop(socket.flush().await);
    };
    let running = Server::new(config).route_any(route).start().unwrap();
    let pool = Pool::new(&eager(running.local_addr(), None));
    let _prober = Prober::start(&pool);
    until(&pool, HealthStatus::Unhealthy).await;
    let error = pool.snapshot().upstreams[0].health_error.clone().unwrap();
    assert!(error.contains("before the pong"), "{error}");
}

#[tokio::test]
async fn a_server_that_refuses_the_path_is_unhealthy_and_the_reason_is_told() {
    let running = server(([127, 0, 0, 1], 0).into());
    let pool = Pool::new(&eager(running.local_addr(), Some("nowhere?key=secret")));
    let _prober = Prober::start(&pool);
    until(&pool, HealthStatus::Unhealthy).await;
    let error = pool.snapshot().upstreams[0].health_error.clone().unwrap();
    assert!(error.contains("404"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

/// Accepts who shows a key, and pings as they come.
struct Guarded;

impl tidewire::ws::Endpoint for Guarded {
    fn accept<'a>(&'a self, request: &'a Request) -> AcceptFuture<'a> {
        match request.head.single("x-key") {
            Some(b"1") => Decision::default().into(),
            Some(_) | None => Refusal::new(403, "no key").into(),
        }
    }

    fn serve(
        &self,
        mut socket: WebSocket,
        _request: Request,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move { while let Ok(Some(_)) = socket.recv().await {} })
    }
}

#[tokio::test]
async fn checks_carry_the_headers_and_the_proxy_header_of_real_connections() {
    for version in [OutgoingProxyProtocol::V1, OutgoingProxyProtocol::V2] {
        let mut config = ServerConfig::new(([127, 0, 0, 1], 0).into());
        config.workers = Workers::Pool;
        config.proxy_protocol = ProxyProtocol::Required {
            trusted: vec!["127.0.0.0/8".parse().unwrap()],
        };
        let running = Server::new(config).route_any(Guarded).start().unwrap();
        let mut endpoint = eager(running.local_addr(), None);
        endpoint.proxy_protocol = Some(version);
        endpoint.request_headers = vec![
            ("Host".into(), "elsewhere".into()),
            ("X-Key".into(), "1".into()),
            ("X-Taken-Away".into(), String::new()),
        ];
        let pool = Pool::new(&endpoint);
        let _prober = Prober::start(&pool);
        until(&pool, HealthStatus::Healthy).await;
    }
}
