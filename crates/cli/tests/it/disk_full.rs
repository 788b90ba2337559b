//! A full disk: messages are refused with a clear answer, nothing accepted is lost, and
//! accepting goes on as soon as there is room, without a restart.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    ledger::{Ledger, Reading, Sent},
    peer::{Peer, message},
    rest::{Answer, Rest},
    run_within,
    server::{Home, Server},
};

const READER: u64 = 5;
const MIB: usize = 1 << 20;
/// The store holds 16 MiB of it in reserve.
const DISK: usize = 64 * MIB;
const CONFIG: &str = "[mailbox]\nuser_messages_max = 100000\nuser_bytes_max = \"1G\"\n";

#[test]
fn a_full_disk_refuses_and_heals() {
    run_within(Duration::from_mins(2), async {
        let home = Home::new(CONFIG);
        let _disk = Disk::mount(&home.data_dir());
        let ballast = home.data_dir().join("ballast");
        fs::File::create(&ballast)
            .and_then(|mut file| file.write_all(&vec![0; 16 * MIB]))
            .expect("there is room");
        let server = home.start().await;
        let mut writer = Writer {
            rest: server.rest().await,
            sent: Vec::new(),
        };

        writer.fill().await;
        let health = writer.rest.get("/health").await.expect("an answer");
        assert_eq!(health.status, 200, "{health:?}");
        assert!(health.body.contains("degraded"), "{health:?}");
        assert!(health.body.contains("the disk is full"), "{health:?}");

        fs::remove_file(&ballast).expect("it is there");
        writer.retry().await;
        let health = writer.rest.get("/health").await.expect("an answer");
        assert_eq!(health.status, 200, "{health:?}");

        writer.fill().await;
        let mut reader = Peer::connect(&server, READER).await.expect("it runs");
        let first = read(&mut reader, writer.accepted()).await;
        reader.confirm_and_close().await;
        writer.retry().await;

        // What came behind the drained ones, also after a kill on a disk that had been full.
        writer.fill().await;
        let sent = writer.sent;
        server.kill().await;
        let server: Server = home.start().await;
        let mut reader = Peer::connect(&server, READER).await.expect("it runs");
        let waiting = sent.iter().filter(|sent| sent.accepted).count() - first.envelopes.len();
        let second = read(&mut reader, waiting).await;
        // Nothing that was refused comes behind.
        let mut rest = server.rest().await;
        let end = message(1, &[READER], "the end");
        while rest.send_message(&end).await.expect("an answer").status != 202 {}
        assert_eq!(reader.until("the end").await, []);
        reader.confirm_and_close().await;
        let readings = vec![first, second];
        let summary = Ledger { sent, readings }.check();
        println!("{summary:?}");
        assert_eq!(summary.duplicates, 0, "{summary:?}");
        server.stop().await;
    });
}

/// A limit of the size of files, like a quota, is no broken store and no end of the process.
#[test]
fn a_limit_of_file_sizes_refuses_and_heals() {
    run_within(Duration::from_mins(2), async {
        let home = Home::new(CONFIG);
        // Room for the reserve, and some.
        let command = home.command_under("prlimit", &["--fsize=25165824", crate::program::BINARY]);
        let server = home.start_by(command).await;
        let mut writer = Writer {
            rest: server.rest().await,
            sent: Vec::new(),
        };
        writer.fill().await;
        let health = writer.rest.get("/health").await.expect("an answer");
        assert_eq!(health.status, 200, "{health:?}");
        assert!(health.body.contains("degraded"), "{health:?}");

        let mut reader = Peer::connect(&server, READER).await.expect("it runs");
        let first = read(&mut reader, writer.accepted()).await;
        reader.confirm_and_close().await;
        writer.retry().await;
        let mut reader = Peer::connect(&server, READER).await.expect("it runs");
        let second = read(&mut reader, 1).await;
        let sent = writer.sent;
        let readings = vec![first, second];
        let summary = Ledger { sent, readings }.check();
        assert_eq!(summary.duplicates, 0, "{summary:?}");
        server.kill().await;
        let server = home.start().await;
        server.stop().await;
    });
}

async fn read(peer: &mut Peer, count: usize) -> Reading {
    let mut envelopes = Vec::with_capacity(count);
    while envelopes.len() < count {
        let next = peer.next().await.expect("no failure");
        envelopes.push(next.expect("the server stays"));
    }
    Reading {
        user: READER,
        envelopes,
    }
}

struct Writer {
    rest: Rest,
    sent: Vec<Sent>,
}

impl Writer {
    /// Sends until the disk is full.
    async fn fill(&mut self) {
        let before = self.accepted();
        let refusal = loop {
            let answer = self.send().await;
            if answer.status != 202 {
                break answer;
            }
        };
        let body = r#"{"message":"the disk is full","status":503,"success":false}"#;
        assert_eq!((refusal.status, refusal.body.as_str()), (503, body));
        assert!(self.accepted() > before, "no message was accepted before");
    }

    /// Sends until a message is accepted.
    async fn retry(&mut self) {
        while self.send().await.status != 202 {}
    }

    async fn send(&mut self) -> Answer {
        let number = self.sent.len() as u64;
        let text = format!("{number} {}", "x".repeat(100_000));
        let answer = self.rest.send_message(&message(1, &[READER], &text)).await;
        let answer = answer.expect("an answer");
        self.sent.push(Sent {
            sender: 1,
            number,
            recipients: vec![READER],
            accepted: answer.status == 202,
        });
        answer
    }

    fn accepted(&self) -> usize {
        self.sent.iter().filter(|sent| sent.accepted).count()
    }
}

/// A small disk of its own; gone when dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(path: &Path) -> Self {
        fs::create_dir(path).expect("new");
        let output = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={DISK}"),
                "tidewire-test",
            ])
            .arg(path)
            .output()
            .expect("mount starts");
        assert!(
            output.status.success(),
            "this test has to mount a small disk, which root may: {output:?}"
        );
        Self(path.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, for a failing test has a server on it.
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            println!("{} is still mounted", self.0.display());
        }
    }
}
