//! Real processes: shells, and Python programs that call the test over TCP. While a process lives, its
//! call is open: so the end of the call is its end.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use tidewire::ws::{Client, CloseCode};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{
    super::{State, Status, Supervised, Supervisor},
    *,
};

/// Takes calls.
struct Home(TcpListener);

/// The call of a process.
struct Call(BufReader<TcpStream>);

impl Home {
    async fn open() -> Self {
        Self(TcpListener::bind(("127.0.0.1", 0)).await.unwrap())
    }

    /// A program that calls here, as `home`.
    fn program(&self, script: &str) -> Process {
        let port = self.0.local_addr().unwrap().port().to_string();
        let script = format!("{CALL}{script}");
        Process {
            // What must not happen in a test does not come in time; what must is made short there.
            stop_timeout: LONG,
            ready_timeout: LONG,
            backoff_min: Duration::from_millis(1),
            ..Process::new(["python3", "-c", script.as_str(), port.as_str()])
        }
    }

    /// The next process that calls, after its first line.
    async fn call(&self) -> (Call, String) {
        let (stream, _) = guard(self.0.accept()).await.unwrap();
        let mut call = Call(BufReader::new(stream));
        let line = call.line().await;
        (call, line)
    }
}

impl Call {
    async fn line(&mut self) -> String {
        let mut line = String::new();
        guard(self.0.read_line(&mut line)).await.unwrap();
        line.trim_end().to_owned()
    }

    async fn say(&mut self, line: &str) {
        self.0.write_all(line.as_bytes()).await.unwrap();
        self.0.write_all(b"\n").await.unwrap();
    }

    /// All that is said until everybody who could has died.
    async fn rest(mut self) -> String {
        let mut rest = String::new();
        guard(self.0.read_to_string(&mut rest)).await.unwrap();
        rest
    }
}

const LONG: Duration = Duration::from_hours(1);

const SHORT: Duration = Duration::from_millis(50);

const CALL: &str = r#"
import os, signal, socket, sys, time
home = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
hear = home.makefile("r")
def say(line): home.sendall((line + "\n").encode())
def ignore_term(): signal.signal(signal.SIGTERM, signal.SIG_IGN)
def on_term(then): signal.signal(signal.SIGTERM, lambda *_: then())
def wait():
    while True: signal.pause()
def quiet():
    os.close(1); os.close(2)
"#;

/// Ends itself when it is asked to.
const POLITE: &str = r#"
def bye():
    say("asked"); os._exit(0)
on_term(bye)
say(str(os.getpid()))
wait()
"#;

/// A hang guard.
async fn guard<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_mins(2), future)
        .await
        .expect("hangs")
}

fn start(process: Process) -> Supervised {
    Supervisor::start("chat", process, || async { Ok(()) })
}

/// Waits for a status.
async fn until(supervised: &Supervised, wanted: impl FnMut(&Status) -> bool) -> Status {
    let mut status = supervised.watch();
    let found = guard(status.wait_for(wanted)).await.unwrap();
    found.clone()
}

fn last_exit(supervised: &Supervised) -> String {
    supervised.status().last_exit.unwrap().to_string()
}

#[tokio::test]
async fn sigterm_is_honoured() {
    let home = Home::open().await;
    let supervised = start(home.program(POLITE));
    let (call, _pid) = home.call().await;
    until(&supervised, Status::is_ready).await;
    guard(supervised.stop()).await;
    assert_eq!(call.rest().await, "asked\n");
    assert_eq!(last_exit(&supervised), "exit status: 0");
    assert_eq!(supervised.state(), State::Stopped);
    guard(supervised.stop()).await; // again
}

#[tokio::test]
async fn who_ignores_sigterm_is_killed() {
    let home = Home::open().await;
    let program = home.program("ignore_term(); say('hello'); wait()");
    let supervised = start(Process {
        stop_timeout: SHORT,
        ..program
    });
    let (call, _) = home.call().await;
    guard(supervised.stop()).await;
    assert_eq!(call.rest().await, "");
    assert_eq!(last_exit(&supervised), "signal: 9 (SIGKILL)");
}

#[tokio::test]
async fn who_is_stopped_is_woken_to_end_gracefully() {
    let home = Home::open().await;
    let script = "
on_term(lambda: (say('asked'), os._exit(0)))
child = os.fork()
if child == 0:
    os.kill(os.getpid(), signal.SIGSTOP); wait()
os.waitpid(child, os.WUNTRACED)
say('hello'); wait()
";
    let supervised = start(home.program(script));
    let (call, _) = home.call().await;
    guard(supervised.stop()).await;
    assert_eq!(call.rest().await, "asked\nasked\n");
}

#[tokio::test]
async fn a_silent_grandchild_dies_with_its_parent() {
    let home = Home::open().await;
    let script = "
if os.fork() == 0:
    quiet(); ignore_term(); say('hello'); wait()
wait()
";
    let supervised = start(home.program(script));
    let (call, _) = home.call().await;
    guard(supervised.stop()).await;
    assert_eq!(call.rest().await, "");
    assert_eq!(last_exit(&supervised), "signal: 15 (SIGTERM)");
}

#[tokio::test]
async fn a_grandchild_that_holds_the_output_is_killed_in_the_end() {
    let home = Home::open().await;
    let script = "
if os.fork() == 0:
    ignore_term(); say('hello'); wait()
wait()
";
    let supervised = start(Process {
        stop_timeout: SHORT,
        ..home.program(script)
    });
    let (call, _) = home.call().await;
    guard(supervised.stop()).await;
    assert_eq!(call.rest().await, "");
}

#[tokio::test]
async fn a_grandchild_gets_the_time_to_end_gracefully() {
    let home = Home::open().await;
    let script = "
def finish():
    say('asked'); hear.readline(); say('finished'); os._exit(0)
if os.fork() == 0:
    on_term(finish); say('hello'); wait()
wait()
";
    let supervised = start(home.program(script));
    let (mut call, _) = home.call().await;
    let exchange = async {
        assert_eq!(call.line().await, "asked");
        // Its parent is gone by now or soon; that is no reason to hurry.
        call.say("finish").await;
        assert_eq!(call.rest().await, "finished\n");
    };
    tokio::join!(guard(supervised.stop()), exchange);
    assert_eq!(supervised.state(), State::Stopped);
}

#[tokio::test]
async fn who_leaves_the_group_with_the_output_delays_but_does_not_prevent_a_stop() {
    let home = Home::open().await;
    let script = "
if os.fork() == 0:
    os.setsid(); ignore_term(); say('hello'); hear.readline(); say('alive'); os._exit(0)
wait()
";
    let supervised = start(Process {
        stop_timeout: SHORT,
        ..home.program(script)
    });
    let (mut call, _) = home.call().await;
    guard(supervised.stop()).await;
    call.say("are you there?").await; // documented: out of reach
    assert_eq!(call.rest().await, "alive\n");
}

#[tokio::test]
async fn what_a_crashed_process_leaves_dies_before_the_next_start() {
    let home = Home::open().await;
    let script = "
if os.fork() == 0:
    quiet(); ignore_term(); say('hello'); wait()
hear.readline()
os._exit(3)
";
    let supervised = start(home.program(script));
    let (mut call, _) = home.call().await;
    call.say("crash").await;
    assert_eq!(call.rest().await, "");
    let (_second, _) = home.call().await;
    let status = until(&supervised, |status| status.restarts == 1).await;
    assert_eq!(status.last_exit.as_deref(), Some("exit status: 3"));
    guard(supervised.stop()).await;
}

#[tokio::test]
async fn a_handle_that_is_dropped_takes_the_process_and_its_children_along() {
    let home = Home::open().await;
    let script = "
if os.fork() == 0:
    quiet(); ignore_term(); wait()
ignore_term(); say('hello'); wait()
";
    let supervised = start(home.program(script));
    let (call, _) = home.call().await;
    drop(supervised);
    assert_eq!(call.rest().await, "");
}

#[tokio::test]
async fn what_ends_is_started_again() {
    let home = Home::open().await;
    let script = "say(str(os.getpid())); hear.readline(); os._exit(7)";
    let supervised = start(Process {
        crash_loop: 0,
        ..home.program(script)
    });
    for restarts in 0..5 {
        let (mut call, pid) = home.call().await;
        let is_this = |status: &Status| matches!(status.state, State::Running { pid: it, .. } if it.to_string() == pid);
        let status = until(&supervised, is_this).await;
        assert_eq!(status.restarts, restarts);
        call.say("end").await;
    }
    let status = until(&supervised, |status| status.restarts == 5).await;
    assert_eq!(status.last_exit.as_deref(), Some("exit status: 7"));
    assert!(!status.crash_loop);
}

#[tokio::test]
async fn an_asked_restart_is_graceful_and_does_not_wait() {
    let home = Home::open().await;
    let supervised = start(Process {
        backoff_min: LONG,
        backoff_max: LONG,
        ..home.program(POLITE)
    });
    let (call, first) = home.call().await;
    supervised.restart();
    assert_eq!(call.rest().await, "asked\n");
    let (_call, second) = home.call().await;
    assert_ne!(first, second);
    let status = until(&supervised, Status::is_ready).await;
    assert_eq!(status.restarts, 1);
}

#[tokio::test]
async fn a_crash_loop_is_reported_once_and_ended_by_the_operator() {
    let log = Log::default();
    let _guard = log.capture();
    let supervised = start(Process {
        crash_loop: 3,
        backoff_min: Duration::from_millis(1),
        backoff_max: LONG,
        ..Process::new(["sh", "-c", "echo no \"$0\" >&2; exit 1", "idea"])
    });
    for round in 1..=2 {
        let in_loop = |status: &Status| matches!(status.state, State::CrashLoop { .. });
        let status = until(&supervised, in_loop).await;
        assert!(status.crash_loop);
        assert_eq!(status.restarts, round * 3 - 1);
        assert_eq!(status.last_exit.as_deref(), Some("exit status: 1"));
        let text = log.text();
        let reports = text.lines().filter(|line| line.contains("ERROR")).count();
        assert_eq!(reports as u64, round, "{text}");
        let output = text.lines().filter(|line| line.contains("no idea"));
        assert_eq!(output.count() as u64, round * 3, "{text}");
        supervised.restart();
        until(&supervised, |status| !status.crash_loop).await;
    }
}

#[tokio::test]
async fn what_cannot_be_started_is_told() {
    let supervised = start(Process {
        backoff_min: LONG,
        backoff_max: LONG,
        ..Process::new(["/no/such/program"])
    });
    let is_waiting = |status: &Status| matches!(status.state, State::Waiting { .. });
    let status = until(&supervised, is_waiting).await;
    let expected = "cannot be started: No such file or directory (os error 2)";
    assert_eq!(status.last_exit.as_deref(), Some(expected));
    guard(supervised.stop()).await;
}

#[tokio::test]
async fn a_flood_of_output_does_not_block_the_process() {
    let log = Log::default();
    let _guard = log.capture();
    let home = Home::open().await;
    let script = "
for block in range(200):
    sys.stdout.buffer.write(b'stdout without sense\\n' * 5000) # 20 MB, a pipe holds 64 KiB
    sys.stderr.buffer.write(b'\\x1b\\xff' * 50000)              # one endless line
sys.stdout.flush(); sys.stderr.flush()
say('written')
wait()
";
    let supervised = start(home.program(script));
    let (_call, line) = home.call().await;
    assert_eq!(line, "written");
    guard(supervised.stop()).await;
    let text = log.text();
    assert!(text.contains("lines were left out"), "no bound on lines");
    assert!(
        text.contains("bytes left out"),
        "no bound on the length of a line"
    );
    let logged = text.lines().filter(|line| line.contains("without sense"));
    assert!(logged.count() < 900_000);
    assert!(!text.contains('\x1b'));
}

#[tokio::test]
async fn the_last_words_of_a_crashed_process_are_logged_with_their_origin() {
    let log = Log::default();
    let _guard = log.capture();
    let supervised = start(Process {
        backoff_min: LONG,
        backoff_max: LONG,
        ..Process::new(["sh", "-c", r"printf 'fine\n\033[31mbad\rfaked'; kill -9 $$"])
    });
    let is_waiting = |status: &Status| matches!(status.state, State::Waiting { .. });
    let status = until(&supervised, is_waiting).await;
    assert_eq!(status.last_exit.as_deref(), Some("signal: 9 (SIGKILL)"));
    let text = log.text();
    let line = text.lines().find(|line| line.contains("faked")).unwrap();
    assert!(line.contains(r"\u{1b}[31mbad\rfaked"), "{line}");
    for part in ["endpoint=chat", "pid=", "stream=\"stdout\""] {
        assert!(line.contains(part), "{line}");
    }
}

#[tokio::test]
async fn directory_and_environment_are_as_told() {
    let home = Home::open().await;
    let script = "say(os.getcwd() + ' ' + os.environ['COLOUR'] + ' ' + repr(sys.stdin.read()))";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    let supervised = start(Process {
        directory: Some(path.clone()),
        environment: [("COLOUR".into(), "a b;c".into())].into(),
        backoff_min: LONG,
        backoff_max: LONG,
        ..home.program(script)
    });
    let (_call, line) = home.call().await;
    assert_eq!(line, format!("{} a b;c ''", path.display()));
    guard(supervised.stop()).await;
}

#[tokio::test]
async fn a_process_counts_as_running_once_its_probe_succeeds() {
    let home = Home::open().await;
    let open = Arc::new(AtomicBool::new(false));
    let is_open = Arc::clone(&open);
    let supervised = Supervisor::start("chat", home.program(POLITE), move || {
        let answer = is_open.load(Ordering::Relaxed);
        async move { answer.then_some(()).ok_or_else(|| "closed".to_owned()) }
    });
    let (call, pid) = home.call().await;
    let pid = Some(pid.parse().unwrap());
    until(&supervised, |status| {
        status.state == State::Starting { pid }
    })
    .await;
    open.store(true, Ordering::Relaxed);
    until(&supervised, Status::is_ready).await;
    guard(supervised.stop()).await;
    assert_eq!(call.rest().await, "asked\n");
}

#[tokio::test]
async fn what_is_not_ready_in_time_is_ended_and_waits() {
    let home = Home::open().await;
    let process = Process {
        ready_timeout: SHORT,
        backoff_min: LONG,
        backoff_max: LONG,
        ..home.program(POLITE)
    };
    let refuse = || async { Err("connection refused".to_owned()) };
    let supervised = Supervisor::start("chat", process, refuse);
    let is_waiting = |status: &Status| matches!(status.state, State::Waiting { .. });
    let status = until(&supervised, is_waiting).await;
    let last_exit = status.last_exit.unwrap();
    let expected = "not ready within 50ms: connection refused; ";
    assert!(last_exit.starts_with(expected), "{last_exit}");
}

#[tokio::test]
async fn a_websocket_handshake_can_be_the_probe() {
    let home = Home::open().await;
    let script = r#"
import base64, hashlib
server = socket.create_server(("127.0.0.1", 0))
say(str(server.getsockname()[1]))
hear.readline()
while True:
    client = server.accept()[0]
    head = client.recv(4096).decode()
    key = [line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key")][0]
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
    client.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
"#;
    let port = Arc::new(AtomicU16::new(1)); // nobody is there
    let known = Arc::clone(&port);
    let supervised = Supervisor::start("chat", home.program(script), move || {
        let url = format!("ws://127.0.0.1:{}/", known.load(Ordering::Relaxed));
        async move {
            let client = Client::new(&url).map_err(|error| error.to_string())?;
            let socket = Box::pin(client.connect()).await;
            let mut socket = socket.map_err(|error| error.to_string())?;
            drop(timeout(SHORT, socket.close(CloseCode::NORMAL, "")).await);
            Ok(())
        }
    });
    let (mut call, line) = home.call().await;
    assert!(!supervised.status().is_ready());
    port.store(line.parse().unwrap(), Ordering::Relaxed);
    call.say("answer").await; // until now the kernel accepts, and nobody answers
    until(&supervised, Status::is_ready).await;
    guard(supervised.stop()).await;
}
