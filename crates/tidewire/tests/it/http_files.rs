//! Files and responses out of the cache.

use std::{fs, path::Path, time::Duration};

use bytes::Bytes;
use http::{Response, header};
use tempfile::TempDir;
use tidewire::{
    http::{
        self as web, CacheConfig, CacheError, FileCache, Handler, HandlerService, Http, Session,
    },
    service::{Config, RunningServer, Server, Workers},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const HANG: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_hours(1);

/// Answers what the cache has not.
struct Application;

impl Handler for Application {
    async fn received(&self, _session: &Session, request: http::Request<Bytes>) -> Response<Bytes> {
        web::get_response(format!("application: {}", request.uri().path()), None)
    }
}

fn quiet() -> CacheConfig {
    CacheConfig::default().reload_every(None)
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        write(folder.path(), name, content);
    }
    folder
}

fn write(folder: &Path, name: &str, content: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn serve(cache: &FileCache) -> RunningServer<Http<HandlerService<Application>>> {
    let config = Config::new("127.0.0.1:0".parse().unwrap()).workers(Workers::Pool);
    let http = web::Config::default().files(cache.clone());
    Server::new(config, Http::handler(Application, http))
        .start()
        .unwrap()
}

/// Sends a request without and with `Connection: close`, which go two ways; the answers must be the same but for `Date`.
async fn ask(
    running: &RunningServer<Http<HandlerService<Application>>>,
    method: &str,
    path: &str,
    fields: &str,
) -> Answer {
    let request = |end: &str| format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}{end}\r\n");
    let first = exchange(running, &request("")).await;
    let second = exchange(running, &request("Connection: close\r\n")).await;
    assert_eq!(first.status, second.status, "{method} {path} {fields}");
    assert_eq!(first.body, second.body, "{method} {path} {fields}");
    let names = [
        "content-type",
        "content-length",
        "cache-control",
        "etag",
        "last-modified",
        "vary",
        "content-encoding",
        "content-range",
        "accept-ranges",
        "location",
    ];
    for name in names {
        assert_eq!(
            first.field(name),
            second.field(name),
            "{method} {path} {fields} {name}"
        );
    }
    first
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines();
        let mut fields = lines.filter_map(|line| line.split_once(": "));
        fields
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// Ends the connection from this side, so that the answer is whatever comes.
async fn exchange(
    running: &RunningServer<Http<HandlerService<Application>>>,
    request: &str,
) -> Answer {
    let mut tcp = TcpStream::connect(running.local_addr()).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    tcp.shutdown().await.unwrap();
    let mut answer = Vec::new();
    timeout(HANG, tcp.read_to_end(&mut answer))
        .await
        .expect("an end")
        .unwrap();
    let end = answer
        .windows(4)
        .position(|it| it == b"\r\n\r\n")
        .expect("a head");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head,
        body: answer[end + 4..].to_vec(),
    }
}

/// C-80, C-81.
#[tokio::test]
async fn a_directory_is_served_under_its_prefix_with_types_and_age() {
    let www = folder(&[
        ("index.html", b"<p>hello"),
        ("sub/api.yaml", b"openapi: 3.0.0"),
        ("with space.txt", b"text"),
        (".secret", b"no"),
    ]);
    let cache = FileCache::new(quiet());
    cache.add_directory(www.path(), "/chat/", HOUR).unwrap();
    let running = serve(&cache);
    let page = ask(&running, "GET", "/chat/index.html?v=1", "").await;
    assert_eq!((page.status, &*page.body), (200, &b"<p>hello"[..]));
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.field("cache-control"), Some("max-age=3600"));
    assert_eq!(page.field("content-length"), Some("8"));
    assert!(page.field("date").is_some() && page.field("last-modified").is_some());
    let head = ask(&running, "HEAD", "/chat/index.html", "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.field("content-length"), Some("8"));
    let yaml = ask(&running, "GET", "/chat/sub/api.yaml", "").await;
    assert_eq!(yaml.field("content-type"), Some("application/yaml"));
    let spaced = ask(&running, "GET", "/chat/with%20space.txt", "").await;
    assert_eq!(spaced.body, b"text");
    for (method, path) in [
        ("GET", "/chat/"),
        ("GET", "/chat/sub"),
        ("GET", "/chat/.secret"),
        ("GET", "/index.html"),
        ("GET", "/chat/../chat/index.html"),
        ("GET", "/chat/%2e%2e/%2e%2e/etc/passwd"),
        ("GET", "/chat/index.html%00"),
        ("GET", "/chat/%zz"),
        ("POST", "/chat/index.html"),
        ("DELETE", "/chat/index.html"),
    ] {
        let answer = ask(&running, method, path, "").await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(text.starts_with("application: "), "{method} {path}: {text}");
    }
    assert!(cache.remove_directory(www.path()));
    assert!(!cache.remove_directory(www.path()));
    let gone = ask(&running, "GET", "/chat/index.html", "").await;
    assert_eq!(gone.body, b"application: /chat/index.html");
    assert_eq!((cache.len(), cache.bytes()), (0, 0));
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let www = folder(&[("a.txt", b"one")]);
    let cache = FileCache::new(quiet());
    cache.add_directory(www.path(), "", HOUR).unwrap();
    let running = serve(&cache);
    let first = ask(&running, "GET", "/a.txt", "").await;
    let etag = first.field("etag").unwrap().to_owned();
    let modified = first.field("last-modified").unwrap().to_owned();
    for fields in [
        format!("If-None-Match: {etag}\r\n"),
        format!("If-None-Match: \"x\"\r\nIf-None-Match: W/{etag}\r\n"),
        format!("If-Modified-Since: {modified}\r\n"),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = ask(&running, method, "/a.txt", &fields).await;
            assert_eq!((answer.status, answer.body.len()), (304, 0), "{fields}");
            assert_eq!(answer.field("etag"), Some(&*etag));
            assert_eq!(answer.field("content-length"), None);
        }
    }
    let failed = ask(&running, "GET", "/a.txt", "If-Match: \"x\"\r\n").await;
    assert_eq!(failed.status, 412);
    let sent = ask(&running, "GET", "/a.txt", "If-None-Match: \"x\"\r\n").await;
    assert_eq!(sent.status, 200);
}

#[tokio::test]
async fn ranges_are_served_from_memory_and_from_disk_alike() {
    let content: Vec<u8> = (0..200_000_u32).map(|it| (it % 251) as u8).collect();
    let www = folder(&[("a.bin", &content)]);
    for file_bytes_max in [1 << 20, 1000] {
        let cache = FileCache::new(quiet().file_bytes_max(file_bytes_max));
        cache.add_directory(www.path(), "/", HOUR).unwrap();
        let running = serve(&cache);
        let whole = ask(&running, "GET", "/a.bin", "").await;
        assert!(whole.status == 200 && whole.body == content);
        let etag = whole.field("etag").unwrap().to_owned();
        let part = ask(&running, "GET", "/a.bin", "Range: bytes=1000-150999\r\n").await;
        assert_eq!(part.status, 206);
        assert!(part.body == content[1000..151_000]);
        assert_eq!(
            part.field("content-range"),
            Some("bytes 1000-150999/200000")
        );
        let end = ask(&running, "GET", "/a.bin", "Range: bytes=-1\r\n").await;
        assert_eq!((end.status, &*end.body), (206, &content[199_999..]));
        let behind = ask(&running, "GET", "/a.bin", "Range: bytes=200000-\r\n").await;
        assert_eq!(behind.status, 416);
        assert_eq!(behind.field("content-range"), Some("bytes */200000"));
        let fields = format!("Range: bytes=0-0\r\nIf-Range: {etag}\r\n");
        assert_eq!(ask(&running, "GET", "/a.bin", &fields).await.status, 206);
        let fields = "Range: bytes=0-0\r\nIf-Range: \"other\"\r\n";
        assert_eq!(ask(&running, "GET", "/a.bin", fields).await.status, 200);
        let head = ask(&running, "HEAD", "/a.bin", "Range: bytes=0-0\r\n").await;
        assert_eq!(
            (head.status, head.field("content-length")),
            (200, Some("200000"))
        );
    }
}

#[tokio::test]
async fn several_ranges_come_as_parts_between_boundaries() {
    let www = folder(&[("a.txt", b"0123456789")]);
    let cache = FileCache::new(quiet());
    cache.add_directory(www.path(), "/", HOUR).unwrap();
    let running = serve(&cache);
    let request = "GET /a.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1, -2\r\n\r\n";
    let answer = exchange(&running, request).await;
    assert_eq!(answer.status, 206);
    let boundary = answer.field("content-type").unwrap();
    let boundary = boundary
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let part = |range: &str, text: &str| {
        format!(
            "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes {range}/10\r\n\r\n{text}\r\n"
        )
    };
    let expected = part("0-1", "01") + &part("8-9", "89") + &format!("--{boundary}--\r\n");
    assert_eq!(String::from_utf8(answer.body).unwrap(), expected);
}

#[tokio::test]
async fn a_precompressed_form_goes_to_those_who_take_it() {
    let www = folder(&[
        ("a.js", b"plain"),
        ("a.js.gz", b"zipped"),
        ("a.js.br", b"brotli"),
    ]);
    let cache = FileCache::new(quiet());
    cache.add_directory(www.path(), "/", HOUR).unwrap();
    let running = serve(&cache);
    for (accepted, coding, body) in [
        ("", None, &b"plain"[..]),
        ("Accept-Encoding: gzip\r\n", Some("gzip"), b"zipped"),
        ("Accept-Encoding: gzip, br\r\n", Some("br"), b"brotli"),
        ("Accept-Encoding: gzip, br;q=0\r\n", Some("gzip"), b"zipped"),
        ("Accept-Encoding: zstd\r\n", None, b"plain"),
    ] {
        let answer = ask(&running, "GET", "/a.js", accepted).await;
        assert_eq!(
            (answer.field("content-encoding"), &*answer.body),
            (coding, body),
            "{accepted}"
        );
        assert_eq!(
            answer.field("content-type"),
            Some("text/javascript; charset=utf-8")
        );
        assert_eq!(answer.field("vary"), Some("Accept-Encoding"));
        let etag = answer.field("etag").unwrap();
        let again = format!("{accepted}If-None-Match: {etag}\r\n");
        assert_eq!(ask(&running, "GET", "/a.js", &again).await.status, 304);
    }
    let zipped = ask(&running, "GET", "/a.js.gz", "").await;
    assert_eq!(zipped.field("content-type"), Some("application/gzip"));
}

#[tokio::test]
async fn the_index_of_a_folder_is_an_option() {
    let www = folder(&[("index.html", b"root"), ("docs/index.html", b"docs")]);
    let cache = FileCache::new(quiet().index("index.html".to_owned()));
    cache.add_directory(www.path(), "/", HOUR).unwrap();
    let running = serve(&cache);
    assert_eq!(ask(&running, "GET", "/", "").await.body, b"root");
    assert_eq!(ask(&running, "GET", "/docs/", "").await.body, b"docs");
    let moved = ask(&running, "GET", "/docs?a=b", "").await;
    assert_eq!(
        (moved.status, moved.field("location")),
        (301, Some("/docs/?a=b"))
    );
    let elsewhere = ask(&running, "GET", "//docs", "").await;
    assert_eq!(elsewhere.status, 200, "the application's: {elsewhere:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_followed_inside_and_not_out() {
    let outside = folder(&[("secret.txt", b"secret")]);
    let www = folder(&[("a.txt", b"a")]);
    let link = |target: &Path, name: &str| {
        std::os::unix::fs::symlink(target, www.path().join(name)).unwrap();
    };
    link(&www.path().join("a.txt"), "inside.txt");
    link(&outside.path().join("secret.txt"), "file.txt");
    link(outside.path(), "folder");
    link(www.path(), "round");
    link(Path::new("/dev/zero"), "zero");
    let cache = FileCache::new(quiet());
    cache.add_directory(www.path(), "/", HOUR).unwrap();
    assert!(cache.find("/inside.txt").is_some());
    assert!(cache.find("/round/a.txt").is_some());
    for path in ["/file.txt", "/folder/secret.txt", "/zero"] {
        assert!(cache.find(path).is_none(), "{path}");
    }
}

/// C-80.
#[test]
fn what_changes_on_disk_changes_in_the_cache() {
    let www = folder(&[("a.txt", b"one"), ("b.txt", b"b")]);
    let cache = FileCache::new(quiet());
    cache.add_directory(www.path(), "/", HOUR).unwrap();
    cache
        .insert("/c.txt", Response::new(Bytes::from("mine")), None)
        .unwrap();
    let etag = |path: &str| {
        cache
            .find(path)
            .map(|it| it.headers()[header::ETAG].clone())
    };
    let first = etag("/a.txt");
    write(www.path(), "a.txt", b"another");
    write(www.path(), "c.txt", b"not mine");
    write(www.path(), "new/d.txt", b"d");
    fs::remove_file(www.path().join("b.txt")).unwrap();
    cache.expire();
    assert_eq!(cache.find("/a.txt").unwrap().body(), "another");
    assert_ne!(etag("/a.txt"), first);
    assert!(cache.find("/b.txt").is_none());
    assert_eq!(cache.find("/new/d.txt").unwrap().body(), "d");
    assert_eq!(
        cache.find("/c.txt").unwrap().body(),
        "mine",
        "the application goes first"
    );
    // A directory that is away for a moment keeps what was read.
    fs::remove_dir_all(www.path()).unwrap();
    cache.expire();
    assert_eq!(cache.find("/a.txt").unwrap().body(), "another");
    cache.clear();
    assert!(cache.is_empty() && cache.bytes() == 0 && !cache.has_directory(www.path()));
}

#[test]
fn a_thread_of_the_cache_sees_changes_by_itself() {
    let www = folder(&[]);
    let cache = FileCache::new(CacheConfig::default().reload_every(Duration::from_millis(50)));
    cache.add_directory(www.path(), "/", HOUR).unwrap();
    write(www.path(), "a.txt", b"a");
    let (found, wait) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        while cache.find("/a.txt").is_none() {
            std::thread::yield_now();
        }
        found.send(()).unwrap();
    });
    wait.recv_timeout(HANG).expect("it is seen");
}

#[tokio::test(start_paused = true)]
async fn a_response_of_the_application_is_served_until_it_expires() {
    let cache = FileCache::new(quiet());
    let mut response = Response::new(Bytes::from("made"));
    *response.status_mut() = http::StatusCode::ACCEPTED;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, "a/b".parse().unwrap());
    cache
        .insert("/made", response, Duration::from_secs(10).into())
        .unwrap();
    let (found, left) = cache.find_with_timeout("/made").unwrap();
    assert_eq!(
        (found.status().as_u16(), left),
        (202, Some(Duration::from_secs(10)))
    );
    let running = serve(&cache);
    let answer = ask(&running, "GET", "/made", "").await;
    assert_eq!((answer.status, &*answer.body), (202, &b"made"[..]));
    assert_eq!(answer.field("content-type"), Some("a/b"));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(cache.find("/made").is_none());
    assert_eq!(
        ask(&running, "GET", "/made", "").await.body,
        b"application: /made"
    );
    cache.expire();
    assert_eq!((cache.len(), cache.bytes()), (0, 0));
    let error = cache.insert("made", Response::default(), None).unwrap_err();
    assert!(matches!(error, CacheError::Path), "{error}");
}

#[tokio::test]
async fn a_full_cache_reads_files_from_disk_and_refuses_responses() {
    let content = vec![b'x'; 6000];
    let www = folder(&[("a.txt", &content), ("b.txt", &content)]);
    let cache = FileCache::new(quiet().bytes_max(10_000));
    cache.add_directory(www.path(), "/", HOUR).unwrap();
    assert!(cache.bytes() <= 10_000, "{}", cache.bytes());
    let running = serve(&cache);
    for path in ["/a.txt", "/b.txt"] {
        assert!(
            ask(&running, "GET", path, "").await.body == content,
            "{path}"
        );
    }
    let error = cache
        .insert("/c", Response::new(Bytes::from(content)), None)
        .unwrap_err();
    assert!(
        matches!(error, CacheError::Full { len: 6000, .. }),
        "{error}"
    );
    let cache = FileCache::new(quiet().entries_max(1));
    let error = cache.add_directory(www.path(), "/", HOUR).unwrap_err();
    assert!(
        matches!(error, CacheError::TooMany { entries_max: 1 }),
        "{error}"
    );
    let error = cache
        .add_directory(www.path().join("nowhere"), "/", HOUR)
        .unwrap_err();
    assert!(matches!(error, CacheError::Unreadable { .. }), "{error}");
}

#[test]
fn two_caches_exchange_all_they_have() {
    let www = folder(&[("a.txt", b"a")]);
    let (one, other) = (FileCache::new(quiet()), FileCache::new(quiet()));
    one.add_directory(www.path(), "/", HOUR).unwrap();
    other
        .insert("/b", Response::new(Bytes::from("b")), None)
        .unwrap();
    one.swap(&other);
    one.swap(&one.clone());
    assert!(one.find("/b").is_some() && one.find("/a.txt").is_none());
    assert!(other.has_directory(www.path()) && other.find("/a.txt").is_some());
    assert_eq!(one.remove("/b").unwrap().body(), "b");
    assert!(one.is_empty() && one.bytes() == 0);
}

#[tokio::test]
async fn cached_answers_never_overtake_those_of_the_application() {
    let cache = FileCache::new(quiet());
    let large = Bytes::from(vec![b'f'; 100_000]);
    cache.insert("/file", Response::new(large), None).unwrap();
    let running = serve(&cache);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let round: String = ["/file", "/1", "/2", "/file", "/file", "/3"]
        .map(get)
        .concat();
    let requests = round.repeat(50) + "GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let tcp = TcpStream::connect(running.local_addr()).await.unwrap();
    let (mut read, mut write) = tcp.into_split();
    // Written without being read, until the server's answers fill every buffer.
    let writing =
        tokio::spawn(async move { write.write_all(requests.as_bytes()).await.map(|()| write) });
    let mut answer = Vec::new();
    timeout(HANG, read.read_to_end(&mut answer))
        .await
        .expect("an end")
        .unwrap();
    writing.await.unwrap().unwrap();
    let text = String::from_utf8(answer).unwrap();
    let bodies: Vec<&str> = text.split("HTTP/1.1 200 OK\r\n").skip(1).collect();
    let bodies: Vec<&str> = bodies
        .iter()
        .map(|it| it.split_once("\r\n\r\n").unwrap().1)
        .collect();
    assert_eq!(bodies.len(), 301);
    let kind = |body: &&str| {
        if body.len() == 100_000 {
            "/file"
        } else {
            body.trim_start_matches("application: ")
        }
        .to_owned()
    };
    let kinds: Vec<String> = bodies.iter().map(kind).collect();
    for round in kinds.chunks_exact(6) {
        assert_eq!(round, ["/file", "/1", "/2", "/file", "/file", "/3"]);
    }
    let stats = running.service().protocol().stats();
    assert_eq!((stats.requests, stats.cached), (301, 150));
}
