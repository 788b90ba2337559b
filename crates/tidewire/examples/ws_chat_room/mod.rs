//! A chat room: whatever somebody says goes to everybody, `!` alone leaves; the page `/chat/index.html` is served on the
//! same port, and an upgrade on any path enters.

use std::{
    error::Error,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tidewire::{
    ErrorChain,
    http::{self as web, CacheConfig, FileCache, Handler, Session},
    ws::{CloseCode, RunningServer, Server, ServerConfig, StartError, Topic, WebSocket},
};

use crate::console::{Console, Input, argument, begin, say};

const GREETING: &str =
    "Hello from WebSocket chat! Please send a message or '!' to disconnect the client!";

/// A chat server: its name for people, the scheme of its page, and its port unless another one is given.
pub(crate) async fn run(
    (name, scheme, port): (&str, &str, u16),
    change: impl FnOnce(ServerConfig) -> Result<ServerConfig, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let port: u16 = argument(1, "port", port);
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/www/chat");
    let www: String = argument(2, "directory", beside.to_owned());
    let files = FileCache::new(CacheConfig::default().index("index.html".to_owned()));
    files.add_directory(PathBuf::from(&www), "/chat", Duration::from_hours(1))?;
    let mut config = change(ServerConfig::new(([0, 0, 0, 0], port).into()))?;
    let room = Topic::default();
    let listeners = server(&config, &room, &files).bind()?;
    if let Some(listener) = listeners.first() {
        // Of port 0 the system has made one.
        config.address = listener.local_addr()?;
    }
    let server = server(&config, &room, &files);
    let port = config.address.socket_addr().map_or(port, |it| it.port());
    say(format_args!("{name} server port: {port}"));
    say(format_args!("{name} server static content path: {www}"));
    say(format_args!(
        "WebSocket server website: {scheme}://localhost:{port}/chat/index.html\n"
    ));
    begin("Server starting...");
    let mut running = server.start_on(listeners)?;
    say("Done!");
    say("Press Enter to stop the server or '!' to restart the server...");
    let mut console = Console::new();
    loop {
        match console.next().await {
            Input::Stop => break,
            Input::Exclamation => {
                begin("Server restarting...");
                running = restart(running, &server).await?;
                say("Done!");
            }
            Input::Line(line) => room.publish_text(&format!("(admin) {line}")),
        }
    }
    begin("Server stopping...");
    running.drain(Duration::from_secs(5)).await;
    say("Done!");
    Ok(())
}

async fn restart(running: RunningServer, server: &Server) -> Result<RunningServer, StartError> {
    running.drain(Duration::from_secs(5)).await;
    server.start()
}

fn server(config: &ServerConfig, room: &Topic, files: &FileCache) -> Server {
    let room = room.clone();
    let ids = Arc::new(AtomicU64::new(1));
    let pages = web::Config::default().files(files.clone());
    Server::new(config.clone())
        .route_any(move |socket: WebSocket| {
            let id = ids.fetch_add(1, Ordering::Relaxed);
            visit(socket, room.clone(), id)
        })
        .fallback(web::fallback_handler(Pages, pages))
}

/// Everything else than the page.
struct Pages;

impl Handler for Pages {
    async fn received(&self, _session: &Session, _request: Request<Bytes>) -> Response<Bytes> {
        web::error_response(StatusCode::NOT_FOUND, "The page is at /chat/index.html\n")
    }
}

async fn visit(mut socket: WebSocket, room: Topic, id: u64) {
    say(format_args!(
        "Chat WebSocket session with Id {id} connected!"
    ));
    // First the greeting, for this one alone; then whatever is said.
    if socket.send(GREETING).await.is_ok() {
        socket.join(&room);
        talk(&mut socket, &room).await;
    }
    say(format_args!(
        "Chat WebSocket session with Id {id} disconnected!"
    ));
}

async fn talk(socket: &mut WebSocket, room: &Topic) {
    loop {
        let message = match socket.recv().await {
            Ok(Some(message)) => message,
            Ok(None) => return,
            Err(error) => {
                say(format_args!(
                    "Chat WebSocket session caught an error: {}",
                    ErrorChain(&error)
                ));
                return;
            }
        };
        let text = String::from_utf8_lossy(message.payload()).into_owned();
        say(format_args!("Incoming: {text}"));
        room.publish_text(&text);
        if text == "!" {
            socket.close(CloseCode::NORMAL, "").await.ok();
            return;
        }
    }
}
