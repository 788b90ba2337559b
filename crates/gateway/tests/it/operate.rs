//! Reload, drain, hand-over.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tidewire::{
    proto::mux,
    tls::{Identity, ServerTls},
    ws::{Client, CloseCode, ProxyProtocol, RunningServer, WebSocket, connect},
};
use tidewire_gateway::{
    Running, StartError,
    settings::{Condition, Listener, Pattern, Route, Settings, Source},
    start,
};
use tokio::task::JoinSet;

use crate::support::{echoing, endpoint, in_time, settings, url};

/// Exchanges messages until told to stop, then closes; gives how many went through, or what was wrong.
async fn talk(mut socket: WebSocket, stop: Arc<AtomicBool>, number: usize) -> Result<u64, String> {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let text = format!("{number} {count}");
        socket
            .send(text.as_str())
            .await
            .map_err(|error| format!("{number}: {error} after {count}"))?;
        let answer = socket.recv().await;
        match &answer {
            Ok(Some(message)) if message.as_text() == Some(&text) => count += 1,
            _ => return Err(format!("{number}: {answer:?} after {count}")),
        }
        tokio::task::yield_now().await;
    }
    socket.close(CloseCode::NORMAL, "").await.ok();
    Ok(count)
}

/// `count` sockets that exchange messages with `endpoint` all the time.
async fn load(
    address: SocketAddr,
    endpoint: &str,
    count: usize,
    stop: &Arc<AtomicBool>,
) -> JoinSet<Result<u64, String>> {
    let mut talks = JoinSet::new();
    for number in 0..count {
        let socket = connect(&by_name(address, endpoint)).await.unwrap();
        talks.spawn(talk(socket, Arc::clone(stop), number));
    }
    talks
}

fn by_name(address: SocketAddr, endpoint: &str) -> String {
    format!("ws://{address}/?ROUTENAME={endpoint}")
}

async fn end(talks: JoinSet<Result<u64, String>>, stop: &AtomicBool) {
    stop.store(true, Ordering::Relaxed);
    for ended in talks.join_all().await {
        let count = ended.unwrap();
        assert!(count > 0);
    }
}

/// The gateway answers with this status.
async fn refused(url: &str, status: u16) {
    let answer = connect(url).await;
    let Err(error) = &answer else {
        panic!("{answer:?}")
    };
    assert_eq!(error.status(), Some(status));
}

/// Echoes; the gateway's settings with a stable and an extra endpoint.
fn stage() -> (RunningServer, Settings) {
    let backend = echoing();
    let stable = endpoint("stable", &[url(&backend, "/")]);
    let extra = endpoint("extra", &[url(&backend, "/")]);
    let settings = settings(vec![stable, extra]);
    (backend, settings)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_reloads_under_load_drop_no_unrelated_socket() {
    let (backend, base) = stage();
    let gateway = start(base.clone()).unwrap();
    let address = gateway.addresses()[0];
    let stop = Arc::default();
    in_time(async {
        let talks = load(address, "stable", 50, &stop).await;
        for round in 0..100_u32 {
            let mut other = base.clone();
            match round % 5 {
                0 => other.endpoints.truncate(1),
                1 => {
                    let mut changed =
                        endpoint("extra", &[url(&backend, "/x"), url(&backend, "/y")]);
                    changed.connections_max = round as usize;
                    other.endpoints[1] = Arc::new(changed);
                }
                2 => other.routes = vec![route("/r", "extra")],
                3 => {
                    other.limits.per_ip_max = 500 + round as usize;
                    other.listeners[0].trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
                }
                _ => other
                    .listeners
                    .push(Listener::new("127.0.0.1:0".parse().unwrap())),
            }
            gateway.reload(other).unwrap();
            assert_eq!(gateway.addresses()[0], address);
            // Something new comes in meanwhile.
            let mut socket = connect(&by_name(address, "stable")).await.unwrap();
            socket.send("x").await.unwrap();
            socket.recv().await.unwrap().unwrap();
        }
        end(talks, &stop).await;
    })
    .await;
    assert!(in_time(gateway.stop()).await);
}

fn route(path: &str, endpoint: &str) -> Route {
    Route {
        endpoint: endpoint.to_owned(),
        conditions: vec![Condition {
            source: Source::Path,
            pattern: Pattern::parse(path).unwrap(),
        }],
        strip_prefix: None,
        keep_path: false,
        by_name: false,
    }
}

#[tokio::test]
async fn names_routes_and_limits_of_a_reload_hold_for_what_comes() {
    let (_backend, base) = stage();
    let gateway = start(base.clone()).unwrap();
    let address = gateway.addresses()[0];
    in_time(async {
        let mut open = connect(&by_name(address, "extra")).await.unwrap();
        let mut other = base.clone();
        let mut extra = (*other.endpoints[1]).clone();
        extra.connections_max = 1;
        other.endpoints[1] = Arc::new(extra);
        other.routes = vec![route("/r", "stable")];
        let reloaded = gateway.reload(other).unwrap();
        assert_eq!(
            reloaded.to_string(),
            "endpoints changed: extra; routes added: [0] to stable"
        );
        refused(&by_name(address, "extra"), 503).await;
        connect(&format!("ws://{address}/r")).await.unwrap();
        open.send("x").await.unwrap();
        open.recv().await.unwrap().unwrap();

        let mut other = base.clone();
        other.workers = Some(7);
        let same = gateway.reload(other).unwrap();
        assert_eq!(same.needs_restart, ["workers"]);
        connect(&by_name(address, "extra")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn sockets_of_a_removed_endpoint_end_at_the_pace_and_no_others() {
    let (_backend, mut base) = stage();
    base.drain.per_second = 20;
    let gateway = start(base.clone()).unwrap();
    let address = gateway.addresses()[0];
    in_time(async {
        let mut stable = connect(&by_name(address, "stable")).await.unwrap();
        let mut extra = Vec::new();
        for _ in 0..5 {
            extra.push(connect(&by_name(address, "extra")).await.unwrap());
        }
        base.endpoints.truncate(1);
        let began = tokio::time::Instant::now();
        gateway.reload(base.clone()).unwrap();
        refused(&by_name(address, "extra"), 404).await;
        for socket in &mut extra {
            assert!(socket.recv().await.unwrap().is_none());
            let frame = socket.close_frame().unwrap();
            assert_eq!(frame.code, CloseCode::SERVICE_RESTART);
        }
        assert!(began.elapsed() >= Duration::from_millis(190), "too fast");
        stable.send("x").await.unwrap();
        stable.recv().await.unwrap().unwrap();
    })
    .await;
    assert!(in_time(gateway.stop()).await);
}

#[tokio::test]
async fn a_reload_that_fails_changes_nothing_and_says_why() {
    let (_backend, base) = stage();
    let gateway = start(base.clone()).unwrap();
    let address = gateway.addresses()[0];
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = busy.local_addr().map(|address| (busy, address)).unwrap();
    in_time(async {
        let mut other = base.clone();
        other.endpoints.truncate(1);
        other.listeners[0].proxy_protocol = ProxyProtocol::Required {
            trusted: vec!["10.0.0.0/8".parse().unwrap()],
        };
        other
            .listeners
            .push(Listener::new("127.0.0.1:0".parse().unwrap()));
        other.listeners.push(Listener::new(busy.1.into()));
        let error = gateway.reload(other.clone()).unwrap_err();
        assert!(matches!(error, StartError::Listen(_)), "{error:?}");
        assert_eq!(gateway.addresses(), [address]);
        connect(&by_name(address, "extra")).await.unwrap();

        other.listeners.pop();
        other.access_log = Some(tidewire_gateway::settings::AccessLog::File(
            "/nowhere/at/all".into(),
        ));
        let error = gateway.reload(other).unwrap_err();
        assert!(matches!(error, StartError::AccessLog(_)), "{error:?}");
        assert_eq!(gateway.addresses(), [address]);
        connect(&by_name(address, "extra")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn listeners_come_and_go_and_their_sockets_stay() {
    let (_backend, mut base) = stage();
    let gateway = start(base.clone()).unwrap();
    let first = gateway.addresses()[0];
    in_time(async {
        base.listeners
            .push(Listener::new("127.0.0.1:0".parse().unwrap()));
        let reloaded = gateway.reload(base.clone()).unwrap();
        assert_eq!(reloaded.listeners.added.len(), 1);
        let second = gateway.addresses()[1];
        let mut socket = connect(&by_name(second, "stable")).await.unwrap();
        base.listeners.pop();
        let reloaded = gateway.reload(base.clone()).unwrap();
        assert_eq!(reloaded.listeners.removed.len(), 1);
        assert_eq!(gateway.addresses(), [first]);
        while tokio::net::TcpStream::connect(second).await.is_ok() {
            tokio::task::yield_now().await;
        }
        socket.send("x").await.unwrap();
        socket.recv().await.unwrap().unwrap();
        // The same address can be had again while it lives.
        base.listeners.push(Listener::new(second.into()));
        gateway.reload(base.clone()).unwrap();
        connect(&by_name(second, "stable")).await.unwrap();
        // A stop ends it as any other.
        let stopped = tokio::spawn(gateway.stop());
        assert!(socket.recv().await.unwrap().is_none());
        assert_eq!(
            socket.close_frame().unwrap().code,
            CloseCode::SERVICE_RESTART
        );
        assert!(stopped.await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn tls_comes_and_goes_for_new_connections_on_the_same_socket() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let identity = Identity::from_pem(made.cert.pem(), made.signing_key.serialize_pem());
    let (_backend, mut base) = stage();
    let gateway = start(base.clone()).unwrap();
    let address = gateway.addresses()[0];
    in_time(async {
        let mut plain = connect(&by_name(address, "stable")).await.unwrap();
        base.listeners[0].tls = Some(ServerTls::builder(identity).build().unwrap());
        let reloaded = gateway.reload(base.clone()).unwrap();
        assert_eq!(reloaded.listeners.changed.len(), 1);
        assert!(connect(&by_name(address, "stable")).await.is_err());
        let url = format!("wss://localhost:{}/?ROUTENAME=stable", address.port());
        let trust = tidewire::tls::ClientTls::builder()
            .ca_pem(made.cert.pem())
            .build()
            .unwrap();
        let client = Client::new(&url).unwrap().tls(trust);
        let mut secure = client.connect().await.unwrap();
        base.listeners[0].tls = None;
        gateway.reload(base.clone()).unwrap();
        for socket in [&mut plain, &mut secure] {
            socket.send("x").await.unwrap();
            socket.recv().await.unwrap().unwrap();
        }
        connect(&by_name(address, "stable")).await.unwrap();
    })
    .await;
}

/// Operates a gateway as a program does.
fn operate(gateway: Running, load: tidewire_gateway::Load) -> Operated {
    let (operator, requests) = gateway.operator();
    Operated {
        operator,
        ended: tokio::spawn(gateway.operate(requests, load)),
    }
}

struct Operated {
    operator: tidewire_gateway::Operator,
    ended: tokio::task::JoinHandle<bool>,
}

#[tokio::test]
async fn what_is_wrong_with_the_file_is_told_and_the_old_settings_stay() {
    let (_backend, base) = stage();
    let gateway = start(base.clone()).unwrap();
    let address = gateway.addresses()[0];
    let count = Arc::new(AtomicU64::new(0));
    let load = Box::new(move || match count.fetch_add(1, Ordering::Relaxed) {
        0 => Err("line 7: expected a port".to_owned()),
        1 => panic!("a defect of the loader"),
        _ => {
            let mut other = base.clone();
            other.endpoints.truncate(1);
            Ok(other)
        }
    });
    let running = operate(gateway, load);
    in_time(async {
        let told = running.operator.reload().await.unwrap_err();
        assert_eq!(told, "line 7: expected a port");
        running.operator.reload().await.unwrap_err();
        connect(&by_name(address, "extra")).await.unwrap();
        let told = running.operator.reload().await.unwrap();
        assert_eq!(told, "endpoints removed: extra");
        refused(&by_name(address, "extra"), 404).await;
        running.operator.stop();
        assert!(running.ended.await.unwrap());
        running.operator.reload().await.unwrap_err();
        running.operator.request_reload();
    })
    .await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_file_that_cannot_be_read() {
    let (_backend, base) = stage();
    let (release, stuck) = std::sync::mpsc::sync_channel::<()>(0);
    let stuck = std::sync::Mutex::new(stuck);
    let (asked, reading) = tokio::sync::oneshot::channel();
    let asked = std::sync::Mutex::new(Some(asked));
    let load = Box::new(move || {
        asked.lock().unwrap().take().unwrap().send(()).unwrap();
        stuck.lock().unwrap().recv().ok();
        Err("too late".to_owned())
    });
    let running = operate(start(base).unwrap(), load);
    in_time(async {
        running.operator.request_reload();
        reading.await.unwrap();
        running.operator.stop();
        assert!(running.ended.await.unwrap());
    })
    .await;
    drop(release);
}

#[tokio::test]
async fn changed_files_are_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.toml");
    std::fs::write(&path, "1").unwrap();
    let (_backend, mut base) = stage();
    base.watch = true;
    base.files = vec![path.clone()];
    let gateway = start(base.clone()).unwrap();
    let (seen, mut reads) = tokio::sync::mpsc::channel(8);
    let file = path.clone();
    let running = operate(
        gateway,
        Box::new(move || {
            let text = std::fs::read_to_string(&file).unwrap();
            seen.try_send(text).unwrap();
            Ok(base.clone())
        }),
    );
    // Answered by the loop, which watches by then.
    in_time(running.operator.reload()).await.unwrap();
    assert_eq!(in_time(reads.recv()).await.unwrap(), "1");
    std::fs::write(&path, "22").unwrap();
    assert_eq!(in_time(reads.recv()).await.unwrap(), "22");
    running.operator.stop();
    assert!(in_time(running.ended).await.unwrap());
}

#[tokio::test]
async fn a_stop_says_goaway_to_mux_clients_before_it_ends_them_with_1012() {
    let (_backend, base) = stage();
    let gateway = start(base).unwrap();
    let url = format!("ws://{}/", gateway.addresses()[0]);
    in_time(async {
        let client = Client::new(&url).unwrap().subprotocol(mux::SUBPROTOCOL);
        let mut socket = client.connect().await.unwrap();
        // Answered by the session: it is listed by then.
        let ping = mux::Frame {
            stream: 0,
            body: mux::Body::Ping(b"8 octets"),
        };
        let mut bytes = Vec::new();
        ping.encode_into(&mut bytes).unwrap();
        socket.send(bytes).await.unwrap();
        socket.recv().await.unwrap().unwrap();
        let stopped = tokio::spawn(gateway.stop());
        let message = socket.recv().await.unwrap().unwrap();
        let frame = mux::Frame::decode(message.payload(), mux::Side::Gateway).unwrap();
        let within_ms = 30_000;
        assert_eq!(frame.body, mux::Body::GoAway { within_ms });
        assert!(socket.recv().await.unwrap().is_none());
        let code = socket.close_frame().unwrap().code;
        assert_eq!(code, CloseCode::SERVICE_RESTART);
        assert!(stopped.await.unwrap());
    })
    .await;
}

/// An endpoint whose process writes its number into `file`.
#[cfg(unix)]
fn with_process(base: &Settings, file: &std::path::Path) -> Settings {
    let mut other = base.clone();
    let mut extra = (*other.endpoints[1]).clone();
    let script = format!(
        "echo $$ > {0}.new; mv {0}.new {0}; exec sleep 600",
        file.display()
    );
    extra.process = Some(tidewire_gateway::settings::Process::new([
        "sh", "-c", &script,
    ]));
    other.endpoints[1] = Arc::new(extra);
    other
}

/// The number of a process that has started.
#[cfg(unix)]
async fn started(file: &std::path::Path) -> String {
    let number = loop {
        match std::fs::read_to_string(file) {
            Ok(number) => break number.trim().to_owned(),
            Err(_) => tokio::task::yield_now().await,
        }
    };
    std::fs::remove_file(file).unwrap();
    assert!(runs(&number));
    number
}

#[cfg(unix)]
fn runs(number: &str) -> bool {
    std::path::Path::new("/proc").join(number).exists()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_process_comes_and_goes_with_its_endpoint_and_stays_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("number");
    let (_backend, base) = stage();
    let with = with_process(&base, &file);
    let gateway = start(with.clone()).unwrap();
    in_time(async {
        let first = started(&file).await;
        let mut other = with.clone();
        other.pin_by_name = false;
        gateway.reload(other).unwrap();
        let mut without = base.clone();
        without.endpoints.truncate(1);
        assert!(runs(&first));
        gateway.reload(without).unwrap();
        while runs(&first) {
            tokio::task::yield_now().await;
        }
        assert!(!file.exists(), "it was not restarted");
        gateway.reload(with.clone()).unwrap();
        let second = started(&file).await;
        // Another command: another process.
        let changed = directory.path().join("changed");
        gateway.reload(with_process(&base, &changed)).unwrap();
        let third = started(&changed).await;
        assert!(!runs(&second));
        assert!(gateway.stop().await);
        assert!(!runs(&third));
    })
    .await;
}

#[cfg(unix)]
mod handing_over {
    use std::{io::Write as _, os::unix::net::UnixStream, path::Path};

    use tidewire_gateway::{HandoverError, start_or_take_over};

    use super::*;

    async fn begin(settings: &Settings) -> (SocketAddr, Operated) {
        let gateway = start_or_take_over(settings.clone()).await.unwrap();
        let address = gateway.addresses()[0];
        let load = Box::new(|| Err("nothing to load".to_owned()));
        (address, operate(gateway, load))
    }

    fn at(mut settings: Settings, path: &Path) -> Settings {
        settings.handover = Some(path.to_owned());
        settings
    }

    /// Connects again and again, and uses each socket once.
    async fn keep_connecting(url: String, stop: Arc<AtomicBool>) -> Result<u64, String> {
        let mut count = 0;
        while !stop.load(Ordering::Relaxed) {
            let mut socket = connect(&url)
                .await
                .map_err(|error| format!("connecting after {count}: {error:?}"))?;
            let sent = socket.send("x").await;
            let answer = socket.recv().await;
            // A new socket of the old process may be asked to end at once, in good form.
            let ended = socket.close_frame().map(|frame| frame.code);
            match answer {
                Ok(Some(_)) => {}
                Ok(None) if ended == Some(CloseCode::SERVICE_RESTART) => {}
                other => return Err(format!("after {count}: {sent:?}, {other:?}, {ended:?}")),
            }
            count += 1;
        }
        Ok(count)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_connection_is_refused_and_no_socket_is_lost_before_its_turn() {
        let directory = tempfile::tempdir().unwrap();
        let (_backend, base) = stage();
        let mut settings = at(base, &directory.path().join("handover.sock"));
        settings.drain.per_second = 50;
        in_time(async {
            let (address, mut running) = begin(&settings).await;
            let stop: Arc<AtomicBool> = Arc::default();
            let mut connecting = JoinSet::new();
            for _ in 0..4 {
                let url = by_name(address, "stable");
                connecting.spawn(keep_connecting(url, Arc::clone(&stop)));
            }
            for _ in 0..5 {
                let mut old = Vec::new();
                for _ in 0..10 {
                    old.push(connect(&by_name(address, "stable")).await.unwrap());
                }
                let (same, next) = begin(&settings).await;
                assert_eq!(same, address);
                for socket in &mut old {
                    let ended = socket.recv().await.unwrap();
                    assert!(ended.is_none());
                    let frame = socket.close_frame().unwrap();
                    assert_eq!(frame.code, CloseCode::SERVICE_RESTART);
                }
                assert!(running.ended.await.unwrap());
                running = next;
            }
            stop.store(true, Ordering::Relaxed);
            for ended in connecting.join_all().await {
                assert!(ended.unwrap() > 0);
            }
            running.operator.stop();
            assert!(running.ended.await.unwrap());
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        })
        .await;
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_process_of_the_successor_waits_for_the_end_of_its_predecessors() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("number");
        let (_backend, base) = stage();
        let settings = at(base, &directory.path().join("handover.sock"));
        let settings = with_process(&settings, &file);
        in_time(async {
            let (address, old) = begin(&settings).await;
            let first = started(&file).await;
            let mut socket = connect(&by_name(address, "extra")).await.unwrap();
            let (_same, new) = begin(&settings).await;
            assert!(socket.recv().await.unwrap().is_none());
            assert!(old.ended.await.unwrap());
            assert!(!runs(&first));
            let second = started(&file).await;
            new.operator.stop();
            assert!(new.ended.await.unwrap());
            assert!(!runs(&second));
        })
        .await;
    }

    #[tokio::test]
    async fn the_admin_listener_is_handed_over_too_and_can_ask_for_reload_and_stop() {
        let directory = tempfile::tempdir().unwrap();
        let (_backend, base) = stage();
        let mut settings = at(base, &directory.path().join("handover.sock"));
        // The address is taken: without the hand-over a second process could not have it.
        settings.admin = Some(tidewire_gateway::settings::Admin::new(
            free_address().into(),
        ));
        in_time(async {
            let mut ended = Vec::new();
            for round in 0..3 {
                let mut gateway = start_or_take_over(settings.clone()).await.unwrap();
                let (operator, requests) = gateway.operator();
                let admin = gateway.serve_admin(Arc::new(operator)).unwrap().unwrap();
                let admin = admin.socket_addr().unwrap();
                let (told, count) = (settings.clone(), AtomicU64::new(0));
                let load = move || match count.fetch_add(1, Ordering::Relaxed) {
                    0 => Err("line 1 is wrong".to_owned()),
                    _ => Ok(told.clone()),
                };
                ended.push(tokio::spawn(gateway.operate(requests, Box::new(load))));
                let refused = post(admin, "/api/v1/reload").await;
                assert!(refused.contains("line 1 is wrong"), "{round} {refused}");
                let taken = post(admin, "/api/v1/reload").await;
                assert!(taken.contains("no listener, endpoint or route"), "{taken}");
                if round == 2 {
                    post(admin, "/api/v1/drain").await;
                }
            }
            for ended in ended {
                assert!(ended.await.unwrap());
            }
        })
        .await;
    }

    fn free_address() -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    }

    async fn post(admin: SocketAddr, path: &str) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(admin).await.unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_successor_with_other_listeners_takes_what_it_needs() {
        let directory = tempfile::tempdir().unwrap();
        let (_backend, base) = stage();
        let mut settings = at(base, &directory.path().join("handover.sock"));
        settings.workers = Some(3);
        let second = Listener::new("127.0.0.1:0".parse().unwrap());
        settings.listeners.push(second.clone());
        in_time(async {
            let gateway = start_or_take_over(settings.clone()).await.unwrap();
            let addresses = gateway.addresses();
            let old = operate(gateway, Box::new(|| Err(String::new())));
            settings.workers = Some(1);
            settings.listeners[1].http2 = true;
            settings.listeners.push(second);
            let new = start_or_take_over(settings).await.unwrap();
            assert_eq!(new.addresses()[..2], addresses);
            assert_eq!(new.addresses().len(), 3);
            assert!(old.ended.await.unwrap());
            // As many as had listeners of their own: none is left without somebody who accepts.
            for _ in 0..20 {
                for address in new.addresses() {
                    connect(&by_name(address, "stable")).await.unwrap();
                }
            }
            assert!(new.stop().await);
        })
        .await;
    }

    #[tokio::test]
    async fn a_successor_that_dies_says_nonsense_or_speaks_another_version_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("handover.sock");
        let (_backend, base) = stage();
        let settings = at(base, &path);
        in_time(async {
            let (address, running) = begin(&settings).await;
            let mut socket = connect(&by_name(address, "stable")).await.unwrap();
            let endless = vec![b'x'; 100_000];
            let lines: [&[u8]; 5] = [
                b"",
                b"{\"hello\":{\"version\":1}}\n",
                b"{\"hello\":{\"version\":1}}\n\"released\"\n",
                b"{\"hello\":{\"version\":2}}\n",
                &endless,
            ];
            for said in lines {
                let mut successor = UnixStream::connect(&path).unwrap();
                drop(successor.write_all(said));
                drop(successor);
                socket.send("x").await.unwrap();
                socket.recv().await.unwrap().unwrap();
                connect(&by_name(address, "stable")).await.unwrap();
            }
            // A successor whose start fails is one of them.
            let mut wrong = settings.clone();
            wrong.access_log = Some(tidewire_gateway::settings::AccessLog::File(
                "/nowhere/at/all".into(),
            ));
            let error = start_or_take_over(wrong).await.unwrap_err();
            assert!(matches!(error, StartError::AccessLog(_)), "{error:?}");
            connect(&by_name(address, "stable")).await.unwrap();
            // All that was no obstacle.
            let (same, next) = begin(&settings).await;
            assert_eq!(same, address);
            assert!(socket.recv().await.unwrap().is_none());
            assert!(running.ended.await.unwrap());
            next.operator.stop();
            assert!(next.ended.await.unwrap());
        })
        .await;
    }

    #[tokio::test]
    async fn a_predecessor_that_was_killed_is_no_obstacle_and_a_foreign_file_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("handover.sock");
        let (_backend, base) = stage();
        let settings = at(base, &path);
        // Listens no more, and has left its socket behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        in_time(async {
            let gateway = start_or_take_over(settings.clone()).await.unwrap();
            assert!(gateway.stop().await);
            assert!(!path.exists());
            std::fs::write(&path, "precious").unwrap();
            let error = start_or_take_over(settings).await.unwrap_err();
            let StartError::Handover(HandoverError::Place { .. }) = error else {
                panic!("{error:?}")
            };
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        })
        .await;
    }
}
