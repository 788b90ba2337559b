//! Every hook is called as documented, in order, whatever the protocol: one table.

mod bytes; // tcp, tls and Unix sockets; messages of the simple protocol
mod datagrams; // udp
mod web; // http, https, ws and wss

use std::{
    error::Error,
    pin::Pin,
    sync::{Arc, Mutex},
};

use tidewire::{fbe, service::Observer, tcp, udp};

use crate::tcp::until;

/// The calls, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn push(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    async fn until(&self, line: &str) {
        until(|| self.lines().iter().any(|it| it == line)).await;
    }
}

macro_rules! observes {
    ($($sender:ty),+) => {$(
        impl Observer<$sender> for Log {
            fn started(&self) {
                self.push("started");
            }

            fn stopped(&self) {
                self.push("stopped");
            }

            fn connected(&self, _session: &$sender) {
                self.push("connected");
            }

            fn disconnected(&self, _session: &$sender) {
                self.push("disconnected");
            }

            fn error(&self, error: &(dyn Error + 'static)) {
                self.push(format!("error: {error}"));
            }
        }
    )+};
}

observes!(tcp::Sender, fbe::Sender, udp::Sender);

/// Starts a server, has a client say something, and ends both; everything is told to the log.
type Scenario = Pin<Box<dyn Future<Output = Log>>>;

/// The name, what happens, and the calls for it.
type Row = (&'static str, Scenario, &'static [&'static str]);

const BYTES: &[&str] = &[
    "started",
    "connected",
    "opened",
    "drained",
    "received 5",
    "sent 5, 0 pending",
    "drained",
    "finished",
    "sent 3, 0 pending",
    "drained",
    "closed",
    "disconnected",
    "stopped",
];

const BROKEN_BYTES: &[&str] = &[
    "started",
    "connected",
    "opened",
    "drained",
    "received 1001",
    "failed: the peer sent more than may be held",
    "error: the peer sent more than may be held",
    "disconnected",
    "stopped",
];

const DATAGRAMS: &[&str] = &[
    "started",
    "connected",
    "opened",
    "joined 239.255.0.78 on interface lo",
    "drained",
    "received 5",
    "sent 5",
    "left 239.255.0.78 on interface lo",
    "received 3",
    "sent 3",
    "closed",
    "disconnected",
    "stopped",
];

const REQUESTS: &[&str] = &[
    "connected",
    "head /hello",
    "received /hello 4",
    "head /refused",
    "head /large",
    "error: expected a body of at most 10 bytes",
    "cached /file",
    "disconnected",
];

const MESSAGES: &[&str] = &[
    "opened",
    "message hello",
    "ping 1",
    "message ping me",
    "pong 2",
    "message bye",
    "closed 1000",
];

const FBE: &[&str] = &[
    "started",
    "connected",
    "opened",
    "drained",
    "frame 1",
    "received SimpleRequest(id=01020304-0506-0708-090a-0b0c0d0e0f10,Message=\"test\")",
    "sent 40, 0 pending",
    "drained",
    "frame 99",
    "frame 5",
    "disconnect requested",
    "closed",
    "disconnected",
    "stopped",
];

const BROKEN_FBE: &[&str] = &[
    "started",
    "connected",
    "opened",
    "drained",
    "failed: the peer broke the protocol",
    "error: the peer broke the protocol",
    "disconnected",
    "stopped",
];

fn rows() -> Vec<Row> {
    vec![
        ("tcp", Box::pin(bytes::tcp()), BYTES),
        ("tls", Box::pin(bytes::tls()), BYTES),
        ("unix", Box::pin(bytes::unix()), BYTES),
        ("tcp, too much", Box::pin(bytes::too_much()), BROKEN_BYTES),
        ("udp", Box::pin(datagrams::udp()), DATAGRAMS),
        ("http", Box::pin(web::http(false)), REQUESTS),
        ("https", Box::pin(web::http(true)), REQUESTS),
        ("ws", Box::pin(web::ws(false)), MESSAGES),
        ("wss", Box::pin(web::ws(true)), MESSAGES),
        ("fbe", Box::pin(bytes::fbe()), FBE),
        ("fbe, no message", Box::pin(bytes::broken_fbe()), BROKEN_FBE),
    ]
}

#[tokio::test]
async fn every_hook_is_called_in_the_order_that_is_documented() {
    for (name, scenario, expected) in rows() {
        println!("{name}"); // told when it fails
        assert_eq!(scenario.await.lines(), expected, "{name}");
    }
}
