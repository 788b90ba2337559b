//! The examples `proto_server` and `proto_client`, started and spoken to.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::within;

/// An example at work.
struct Program {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Examples lie beside the folder of the tests, which cargo builds after them.
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut path = std::env::current_exe().unwrap();
        path.pop();
        path.set_file_name("examples");
        path.push(name);
        let mut child = Command::new(&path)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            input,
            output,
        }
    }

    async fn types(&mut self, line: &str) {
        self.input
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
    }

    /// The next line that holds `part`.
    async fn says(&mut self, part: &str) -> String {
        let found = async {
            while let Some(line) = self.output.next_line().await.unwrap() {
                if line.contains(part) {
                    return line;
                }
            }
            panic!("ended before it said {part}");
        };
        within(found).await
    }

    async fn ends(mut self) {
        let status = within(self.child.wait()).await.unwrap();
        assert!(status.success(), "{status}");
    }
}

#[tokio::test]
async fn the_server_and_the_client_talk_as_the_originals_do() {
    let mut server = Program::start("proto_server", &["0"]);
    let line = server.says("Listening on ").await;
    let port = line.rsplit(':').next().unwrap().to_owned();
    server.says("Press Enter to stop the server").await;

    let mut client = Program::start("proto_client", &["127.0.0.1", &port]);
    client.says("Press Enter to stop the client").await;
    client.says("Client connecting...Done!").await;
    client.says("Hello from Simple protocol server!").await;
    server.says("connected!").await;

    client.types("test").await;
    client.says("Length: 4, Hash: 0x0A7A19FB").await;
    server.says("Message=\"test\"").await;

    server.types("news").await;
    client.says("(admin) news").await;

    client.types("!").await;
    client.says("disconnected a session").await;
    client.says("Hello from Simple protocol server!").await;
    server.says("disconnected!").await;

    client.types("").await;
    client.says("Client disconnecting...Done!").await;
    client.ends().await;
    server.types("").await;
    server.says("Server stopping...Done!").await;
    server.ends().await;
}
