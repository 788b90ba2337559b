//! SIGHUP and renewed certificates, in `serve` and in the gateway alike.
//!
//! Kinds of renewal: files written over, renamed into place, a swapped `..data` link as Kubernetes does it. Kinds of
//! broken ones, which leave the old in use as a whole: key without its certificate (in the middle of a renewal), cut,
//! gone, readable for others. Kinds of moments: running, while the server starts, twice in a row, while it stops, as
//! nobody's terminal. Kinds of configuration: other keys that can change, some that cannot, wrong. What is open goes on.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Stdio,
    sync::Arc,
};

use tidewire::ws::{Client, ConnectError, Message};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    gateway::Gateway,
    identity::{Identity, tls_keys},
    peer::{Peer, message},
    program::{self, tidewire},
    run,
    server::{Home, Server},
};

const READ_AGAIN: &str = "the configuration was read again";
const STAYS: &str = "the old configuration stays in use";

/// Spoils the files of a certificate.
type Spoil<'a> = Box<dyn Fn() + 'a>;

/// A server whose messaging listener speaks TLS with the files in `files`.
fn home(files: &Path) -> Home {
    Home::new(&format!("[server.tls]\n{}", tls_keys(files)))
}

/// Returns whether the server shows this certificate.
async fn shows(url: &str, identity: &Identity) -> bool {
    let client = Client::new(url).expect("a URL").tls(identity.client());
    client.connect().await.is_ok()
}

async fn server_shows(server: &Server, identity: &Identity) -> bool {
    shows(&format!("{}?id=9", server.url("messaging")), identity).await
}

#[test]
fn a_hangup_takes_a_renewed_certificate_and_what_is_open_goes_on() {
    run(async {
        let files = tempfile::tempdir().expect("a temporary directory");
        let (old, new) = (Identity::new(), Identity::new());
        old.write(files.path());
        let home = home(files.path());
        let server = home.start().await;
        let url = format!("{}?id=7", server.url("messaging"));
        let client = Client::new(&url).expect("a URL").tls(old.client());
        let mut open = client.connect().await.expect("it trusts the old one");

        new.write(files.path());
        server.signal("HUP");
        server.until_logged("certificates renewed: server", 1).await;
        assert!(server_shows(&server, &new).await && !server_shows(&server, &old).await);
        open.send(message(7, &[7], "still here"))
            .await
            .expect("open");
        let echoed = open.recv().await.expect("open").expect("a message");
        assert!(matches!(echoed, Message::Text(text) if text.as_str().contains("still here")));

        // Nothing has changed since.
        server.signal("HUP");
        server
            .until_logged("no key and no certificate changed", 1)
            .await;
        server.stop().await;
    });
}

#[test]
fn renewals_by_rename_and_by_swapped_links_are_taken() {
    run(async {
        let files = tempfile::tempdir().expect("a temporary directory");
        let volume = |name: &str, identity: &Identity| {
            let folder = files.path().join(name);
            fs::create_dir(&folder).expect("new");
            identity.write(&folder);
        };
        let identities = [Identity::new(), Identity::new(), Identity::new()];
        volume("..first", &identities[0]);
        symlink("..first", files.path().join("..data")).expect("new");
        for name in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(name), files.path().join(name)).expect("new");
        }
        let home = home(files.path());
        let server = home.start().await;
        assert!(server_shows(&server, &identities[0]).await);

        volume("..second", &identities[1]);
        symlink("..second", files.path().join("..new")).expect("new");
        fs::rename(files.path().join("..new"), files.path().join("..data")).expect("movable");
        server.signal("HUP");
        server.until_logged("certificates renewed", 1).await;
        assert!(server_shows(&server, &identities[1]).await);

        volume("third", &identities[2]);
        for name in ["tls.crt", "tls.key"] {
            let new = files.path().join("third").join(name);
            fs::rename(new, files.path().join("..second").join(name)).expect("movable");
        }
        server.signal("HUP");
        server.until_logged("certificates renewed", 2).await;
        assert!(server_shows(&server, &identities[2]).await);
        server.stop().await;
    });
}

#[test]
fn a_renewal_that_is_not_whole_leaves_the_old_in_use() {
    run(async {
        let files = tempfile::tempdir().expect("a temporary directory");
        let (old, new) = (Identity::new(), Identity::new());
        old.write(files.path());
        let home = home(files.path());
        let server = home.start().await;
        let (certificate, key) = (files.path().join("tls.crt"), files.path().join("tls.key"));
        let breaks: [(&str, Spoil<'_>); 5] = [
            (
                "cannot be used",
                Box::new(|| fs::write(&certificate, new.certificate()).expect("ours")),
            ),
            (
                "a certificate",
                Box::new(|| {
                    fs::write(&certificate, &new.certificate().as_bytes()[..300]).expect("ours");
                }),
            ),
            (
                "a certificate",
                Box::new(|| fs::write(&certificate, "").expect("ours")),
            ),
            (
                "server.tls.key",
                Box::new(|| fs::remove_file(&key).expect("ours")),
            ),
            (
                "danger_allow_exposed_key",
                Box::new(|| {
                    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("ours");
                }),
            ),
        ];
        for (index, (word, spoil)) in breaks.into_iter().enumerate() {
            old.write(files.path());
            spoil();
            server.signal("HUP");
            server.until_logged(STAYS, index + 1).await;
            let log = server.log();
            let told = log
                .lines()
                .rfind(|line| line.contains(STAYS))
                .expect("there");
            assert!(told.contains(word), "{word}: {told}");
            assert!(server_shows(&server, &old).await, "{word}");
        }
        new.write(files.path());
        server.signal("HUP");
        server.until_logged("certificates renewed", 1).await;
        assert!(server_shows(&server, &new).await);
        server.stop().await;
    });
}

#[test]
fn a_hangup_takes_what_can_change_and_names_what_cannot() {
    run(async {
        let bearer = |token: &str| format!("[rest.auth]\ntype = \"bearer\"\nvalue = \"{token}\"\n");
        let home = Home::new(&bearer("old"));
        let server = home.start().await;
        let mut peer = Peer::connect(&server, 7).await.expect("it runs");
        home.write_config(
            &(bearer("new") + "[server]\nendpoint = \"/ws\"\n[mailbox]\nttl = \"1h\"\n"),
        );
        server.signal("HUP");
        server.until_logged(READ_AGAIN, 1).await;
        let log = server.log();
        for part in [
            "changed: server.endpoint, rest.auth",
            "a restart is needed for mailbox.ttl",
        ] {
            assert!(log.contains(part), "{part}: {log}");
        }
        assert!(!log.contains("\"new\""), "{log}");
        assert!(Peer::connect(&server, 8).await.is_err(), "/chat is gone");
        let there = server.url("messaging").replace("/chat", "/ws");
        Peer::connect_to(&there, 8).await.expect("/ws is there");
        peer.socket
            .send(message(7, &[7], "still here"))
            .await
            .expect("open");
        peer.until("still here").await;

        home.write_config("[server]\nendpoint = \"/other\"\nworkers = \"many\"\n");
        server.signal("HUP");
        server.until_logged(STAYS, 1).await;
        assert!(
            server.log().contains("server.workers: found"),
            "{}",
            server.log()
        );
        Peer::connect_to(&there, 8).await.expect("as before");
        server.stop().await;
    });
}

/// A page fetches a ticket with its credentials, and then opens its WebSocket: a reload may come between.
#[test]
fn a_ticket_outlives_a_reload_unless_the_credentials_are_others() {
    run(async {
        let config = |password: &str, rest: &str| {
            format!(
                "[server.auth]\ntype = \"basic\"\nuser = \"u\"\npassword = \"{password}\"\n{rest}"
            )
        };
        let home = Home::new(&config("p", ""));
        let server = home.start().await;
        let (kept, lost) = (ticket(&server).await, ticket(&server).await);

        home.write_config(&config(
            "p",
            "[server.limits]\nmessage_bytes_max = \"1MiB\"\n",
        ));
        server.signal("HUP");
        server.until_logged(READ_AGAIN, 1).await;
        assert!(opens(&server, &kept).await, "{}", server.log());
        assert!(!opens(&server, &kept).await, "it was good once");

        home.write_config(&config("other", ""));
        server.signal("HUP");
        server.until_logged(READ_AGAIN, 2).await;
        assert!(!opens(&server, &lost).await, "{}", server.log());
        server.stop().await;
    });
}

async fn ticket(server: &Server) -> String {
    let address = server.url("messaging").trim_start_matches("ws://");
    let address = address.trim_end_matches("/chat");
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!(
        "POST /webchat/ticket HTTP/1.1\r\nHost: {address}\r\nAuthorization: Basic dTpw\r\n\
         Connection: close\r\nContent-Length: 0\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (_, ticket) = answer.split_once("\"ticket\":\"").expect("a ticket");
    ticket.split('"').next().unwrap_or_default().to_owned()
}

/// Returns whether a WebSocket with this ticket is that of a user.
async fn opens(server: &Server, ticket: &str) -> bool {
    let client = Client::new(&format!("{}?id=7", server.url("messaging"))).expect("a URL");
    let client = client.subprotocol(format!("tidewire.ticket.{ticket}"));
    let mut socket = client.connect().await.expect("101");
    socket.send(message(7, &[7], "me")).await.is_ok()
        && matches!(socket.recv().await, Ok(Some(Message::Text(_))))
}

/// A pipe stands in for a configuration on a slow disk: who writes waits until somebody reads, and the other way round.
#[test]
fn a_hangup_while_the_server_starts_is_done_when_it_is_ready() {
    run(async {
        let home = Home::new("");
        let file = home.path().join("tidewire.toml");
        pipe_at(&file);
        let mut server = home.spawn(home.command());
        let pipe = writer(&file).await;
        server.signal("HUP");
        server.signal("HUP");
        drop(pipe);
        server.wait_until_ready().await;
        let mut pipe = writer(&file).await;
        pipe.write_all(b"[server]\nendpoint = \"/ws\"\n")
            .expect("somebody reads");
        drop(pipe);
        server.until_logged("changed: server.endpoint", 1).await;
        assert_eq!(
            server.log().matches(READ_AGAIN).count(),
            1,
            "two that waited are one"
        );
        server.signal("TERM");
        server.signal("HUP");
        assert_eq!(server.end().await, Some(0), "{}", server.log());
    });
}

/// Both programs listen to signals before they read anything.
#[test]
fn sigterm_while_the_configuration_is_read_ends_with_0() {
    run(async {
        for program in ["serve", "gateway"] {
            for signal in ["TERM", "INT"] {
                let directory = tempfile::tempdir().expect("a temporary directory");
                let file = directory.path().join("t.toml");
                pipe_at(&file);
                let command = tidewire(directory.path(), &[program, "--config", "t.toml"]);
                let mut child = tokio::process::Command::from(command)
                    .kill_on_drop(true)
                    .spawn()
                    .expect("it starts");
                let _pipe = writer(&file).await;
                program::signal(signal, child.id().expect("it runs"));
                let status = child.wait().await.expect("a child");
                assert_eq!(status.code(), Some(0), "{program} {signal}");
            }
        }
    });
}

fn pipe_at(file: &Path) {
    if file.exists() {
        fs::remove_file(file).expect("ours");
    }
    let made = std::process::Command::new("mkfifo").arg(file).status();
    assert!(made.expect("mkfifo is there").success());
}

/// Waits until somebody reads.
async fn writer(file: &Path) -> File {
    let file = file.to_owned();
    let opened = tokio::task::spawn_blocking(move || File::options().write(true).open(file));
    opened.await.expect("no panic").expect("a pipe")
}

/// Who closes the window does not want a server that nobody sees and that keeps the ports. `script` lends the terminal,
/// which goes away with it.
#[test]
fn a_server_whose_terminal_is_gone_stops_in_good_form() {
    run(async {
        let home = Home::new("");
        let serve = format!(
            "exec {} serve --listen 127.0.0.1:0 --rest-listen 127.0.0.1:0 --data-dir data",
            program::BINARY
        );
        let mut script = program::command("script", home.path());
        script
            .args(["--quiet", "--command", &serve, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut terminal = tokio::process::Command::from(script)
            .kill_on_drop(true)
            .spawn()
            .expect("script (util-linux) is installed");
        // It is removed by a stop in good form, and by nothing else.
        let control = home.data_dir().join("control");
        while !control.exists() {
            tokio::task::yield_now().await;
        }
        terminal.start_kill().expect("it runs");
        while control.exists() {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn the_gateway_takes_a_renewed_certificate_alike() {
    run(async {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (old, new) = (Identity::new(), Identity::new());
        old.write(directory.path());
        let config = format!(
            "[endpoints.a]\nupstreams = [\"ws://127.0.0.1:1/\"]\n[[listeners]]\n[listeners.tls]\n{}",
            tls_keys(directory.path())
        );
        fs::write(directory.path().join("gateway.toml"), config).expect("writable");
        let directory = Arc::new(directory);
        let gateway = Gateway::start_in(Arc::clone(&directory), "gateway.toml", &[]).await;
        let trusts = async |identity: &Identity| {
            // The upstream is not there, which a client hears only after the handshake.
            let client = Client::new(&format!("{}?ROUTENAME=a", gateway.url)).expect("a URL");
            let error = client
                .tls(identity.client())
                .connect()
                .await
                .expect_err("no upstream");
            !matches!(error, ConnectError::Tls { .. })
        };
        assert!(trusts(&old).await);
        fs::write(directory.path().join("tls.crt"), new.certificate()).expect("writable");
        gateway.signal("HUP");
        gateway.until("errors", STAYS).await;
        assert!(trusts(&old).await);
        new.write(directory.path());
        gateway.signal("HUP");
        gateway
            .until("errors", "listeners changed: certificate of")
            .await;
        assert!(trusts(&new).await && !trusts(&old).await);
        gateway.stop().await;
    });
}

#[test]
fn a_hangup_changes_the_log_level_and_back() {
    run(async {
        let home = Home::new("[log]\nlevel = \"info\"\n");
        let server = home.start().await;
        let opened = |server: &Server| server.log().matches("DEBUG").count();
        Peer::connect(&server, 7).await.expect("it runs");
        assert_eq!(opened(&server), 0);
        home.write_config("[log]\nlevel = \"info,tidewire=debug\"\n");
        server.signal("HUP");
        server.until_logged("changed: log.level", 1).await;
        Peer::connect(&server, 7).await.expect("it runs");
        server.until_logged("DEBUG", 1).await;
        home.write_config("[log]\nlevel = \"wrong=\"\n");
        server.signal("HUP");
        server.until_logged("not reloaded", 1).await;
        assert_eq!(server.log().matches("changed: log.level").count(), 1);
        server.stop().await;
    });
}
