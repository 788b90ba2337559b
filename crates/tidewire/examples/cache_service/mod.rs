//! The cache that the HTTP servers of the examples offer under `/api/cache`: values under keys, in memory.
//!
//! Any URL is a key: `/api/cache` and `?key=` in front are taken away, the rest is decoded.

use std::{
    collections::BTreeMap,
    error::Error,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tidewire::{
    http::{
        self as web, ALL_METHODS, FileCache, Handler, HandlerService, Http, Printed, ReceivedHead,
        Session,
    },
    service::{Config, RunningServer, Server, StartError},
};

use crate::console::{Console, Input, argument, begin, say};

/// Values of all keys together, at most: this is memory that strangers fill.
const BYTES_MAX: usize = 64 << 20;

#[derive(Default)]
struct Values {
    values: BTreeMap<String, Bytes>,
    bytes: usize,
}

/// The service.
#[derive(Default)]
struct Cache(Mutex<Values>);

impl Cache {
    fn with<T>(&self, work: impl FnOnce(&mut Values) -> T) -> T {
        work(
            &mut self
                .0
                .lock()
                .expect("nothing panics while it holds the lock"),
        )
    }

    fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let key = key(request);
        match *request.method() {
            Method::HEAD => web::head_response(),
            Method::GET if key.is_empty() => self.with(|it| list(&it.values)),
            Method::GET => match self.with(|it| it.values.get(&key).cloned()) {
                Some(value) => web::get_response(value, None),
                None => not_found("Required", &key),
            },
            Method::POST | Method::PUT => self.put(key, request.body().clone()),
            Method::DELETE => match self.with(|it| it.remove(&key)) {
                Some(value) => web::get_response(value, None),
                None => not_found("Deleted", &key),
            },
            Method::OPTIONS => web::options_response(ALL_METHODS),
            Method::TRACE => web::trace_response(received(request)),
            _ => {
                let text = format!("Unsupported HTTP method: {}", request.method());
                let mut response = web::error_response(StatusCode::METHOD_NOT_ALLOWED, text);
                let allow = HeaderValue::from_static(ALL_METHODS);
                response.headers_mut().insert(header::ALLOW, allow);
                response
            }
        }
    }

    fn put(&self, key: String, value: Bytes) -> Response<Bytes> {
        let is_stored = self.with(|it| {
            let size = key.len() + value.len() + 64;
            it.remove(&key);
            let has_room = it.bytes + size <= BYTES_MAX;
            if has_room {
                it.bytes += size;
                it.values.insert(key, value);
            }
            has_room
        });
        if is_stored {
            return web::ok_response();
        }
        web::error_response(StatusCode::INSUFFICIENT_STORAGE, "The cache is full")
    }
}

impl Values {
    fn remove(&mut self, key: &str) -> Option<Bytes> {
        let value = self.values.remove(key)?;
        self.bytes -= key.len() + value.len() + 64;
        Some(value)
    }
}

impl Handler for Cache {
    async fn received(&self, _session: &Session, request: Request<Bytes>) -> Response<Bytes> {
        say(format_args!("\n{}", Printed::Request(&request)));
        self.answer(&request)
    }

    fn request_error(&self, _session: &Session, error: &str) {
        say(format_args!("Request error: {error}"));
    }
}

fn not_found(which: &str, key: &str) -> Response<Bytes> {
    let text = format!("{which} cache value was not found for the key: {key}");
    web::error_response(StatusCode::NOT_FOUND, text)
}

fn list(values: &BTreeMap<String, Bytes>) -> Response<Bytes> {
    let values = values.iter().map(|(key, value)| {
        let value = String::from_utf8_lossy(value);
        serde_json::json!({ "key": key, "value": value })
    });
    let list = serde_json::Value::Array(values.collect());
    let json = HeaderValue::from_static("application/json; charset=UTF-8");
    web::get_response(format!("{list:#}\n"), Some(json))
}

fn key(request: &Request<Bytes>) -> String {
    let url = request
        .uri()
        .path_and_query()
        .map_or("/", |url| url.as_str());
    let url = url.replace('+', " ");
    let url = percent_encoding::percent_decode_str(&url).decode_utf8_lossy();
    url.replacen("/api/cache", "", 1).replacen("?key=", "", 1)
}

/// Over HTTP/2 a request has no form of its own in text: it is shown as HTTP/1.1 would have it.
fn received(request: &Request<Bytes>) -> Bytes {
    let mut text = match request.extensions().get::<ReceivedHead>() {
        Some(ReceivedHead(head)) if !head.is_empty() => head.to_vec(),
        _ => format!("TRACE {} HTTP/2\r\n\r\n", request.uri()).into_bytes(),
    };
    text.extend_from_slice(request.body());
    Bytes::from(text)
}

/// The page that shows the API, out of the binary, beside the description in `www`.
fn documentation(files: &FileCache) -> Result<(), Box<dyn Error>> {
    let config = Arc::new(utoipa_swagger_ui::Config::from("/api/openapi.yaml"));
    for name in [
        "index.html",
        "index.css",
        "swagger-ui.css",
        "swagger-ui-bundle.js",
        "swagger-ui-standalone-preset.js",
        "swagger-initializer.js",
        "favicon-16x16.png",
        "favicon-32x32.png",
    ] {
        let path = format!("/api/{name}");
        // A page of one's own in `www` goes first.
        if files.find(&path).is_some() {
            continue;
        }
        if let Some(file) = utoipa_swagger_ui::serve(name, Arc::clone(&config))? {
            let content_type = HeaderValue::try_from(file.content_type)?;
            let page = web::get_response(file.bytes.into_owned(), Some(content_type));
            files.insert(&path, page, None)?;
        }
    }
    Ok(())
}

type Running = RunningServer<Http<HandlerService<Cache>>>;

/// A server of the cache: its name for people, the scheme of its address, and its port unless another one is given.
pub(crate) async fn run(
    (name, scheme, port): (&str, &str, u16),
    change: impl FnOnce(Config) -> Result<Config, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let port: u16 = argument(1, "port", port);
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/www/api");
    let www: String = argument(2, "directory", beside.to_owned());
    let files = FileCache::default();
    files.add_directory(PathBuf::from(&www), "/api", Duration::from_hours(1))?;
    documentation(&files)?;
    let mut config = change(Config::new(([0, 0, 0, 0], port).into()))?;
    let http = web::Config::default().files(files).keep_heads(true);
    let server = |config: &Config| {
        let http = Http::handler(Cache::default(), http.clone());
        Server::new(config.clone(), http)
    };
    let mut server_now = server(&config);
    let listeners = server_now.bind()?;
    if let Some(listener) = listeners.first() {
        // Of port 0 the system has made one.
        config.address = listener.local_addr()?;
    }
    let port = config.address.socket_addr().map_or(port, |it| it.port());
    say(format_args!("{name} server port: {port}"));
    say(format_args!("{name} server static content path: {www}"));
    say(format_args!(
        "{name} server website: {scheme}://localhost:{port}/api/index.html\n"
    ));
    begin("Server starting...");
    let mut running: Running = server_now.start_on(listeners)?;
    server_now = server(&config);
    say("Done!");
    say("Press Enter to stop the server or '!' to restart the server...");
    let mut console = Console::new();
    loop {
        match console.next().await {
            Input::Stop => break,
            Input::Exclamation => {
                begin("Server restarting...");
                running = restart(running, &server_now).await?;
                say("Done!");
            }
            // As the original: nobody is there to be told.
            Input::Line(_) => {}
        }
    }
    begin("Server stopping...");
    running.drain(Duration::from_secs(5)).await;
    say("Done!");
    Ok(())
}

async fn restart(
    running: Running,
    server: &Server<Http<HandlerService<Cache>>>,
) -> Result<Running, StartError> {
    running.drain(Duration::from_secs(5)).await;
    server.start()
}
