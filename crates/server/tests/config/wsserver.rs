//! `config.json` of wsserver: in the form of its README and of the file that it is shipped with, each key at each place,
//! each type of authentication, and one mistake each.

use std::fs;

use serde_json::{Value, json};
use tidewire_server::config::{
    AllowedOrigins, Config, ConfigError, Overrides, Settings, load, migrate,
};

/// A file in a directory that is gone when dropped.
struct File {
    directory: tempfile::TempDir,
}

impl File {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("config.json"), text).expect("writable");
        Self { directory }
    }

    fn load(&self) -> Result<Settings, ConfigError> {
        self.load_as("config.json")
    }

    fn load_as(&self, name: &str) -> Result<Settings, ConfigError> {
        let file = self.directory.path().join(name);
        load(Some(&file), std::iter::empty(), &Overrides::default())
    }

    /// The TOML that says the same, which has to mean the same.
    fn migrated(&self) -> Settings {
        let migrated = migrate(&self.directory.path().join("config.json"))
            .unwrap_or_else(|error| panic!("{error}"));
        fs::write(self.directory.path().join("t.toml"), &migrated.toml).expect("writable");
        self.load_as("t.toml")
            .unwrap_or_else(|error| panic!("{error}\n{}", migrated.toml))
    }
}

/// Loads a file that is expected to be right, also as TOML.
fn settings(text: &str) -> Settings {
    let file = File::new(text);
    let settings = file
        .load()
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    let migrated = file.migrated();
    assert_eq!(settings.config, migrated.config, "{text}");
    settings
}

fn config(json: &Value) -> Config {
    settings(&json.to_string()).config
}

fn warnings(json: &Value) -> String {
    let settings = settings(&json.to_string());
    let texts: Vec<String> = settings.warnings.iter().map(ToString::to_string).collect();
    texts.join("\n")
}

#[track_caller]
fn refused(text: &str, parts: &[&str]) {
    let file = File::new(text);
    let error = match file.load() {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    };
    for part in parts {
        assert!(error.contains(part), "{text}\n{error}\nlacks {part}");
    }
}

/// As the repository of the original ships it.
fn shipped() -> Value {
    json!({
        "server": {
            "endpoint": "/chat",
            "address": "*",
            "port": 8085,
            "workers": 8,
            "tmpDir": "/tmp",
            "timezone": "Europe/Moscow",
            "secure": {
                "enabled": false,
                "crtPath": "<insert certificate path here>",
                "keyPath": "<insert private key path here>"
            },
            "watchdog": { "enabled": false, "connectionLifetimeSeconds": 600 },
            "auth": { "type": "noauth", "user": "user", "password": "password" }
        },
        "restApi": {
            "enabled": true,
            "address": "*",
            "port": 8092,
            "secure": {
                "enabled": false,
                "crtPath": "<insert certificate path here>",
                "keyPath": "<insert private key path here>"
            },
            "auth": { "type": "noauth", "name": "X-Ws-Token", "value": "password" }
        },
        "chat": {
            "enableUndeliveredQueue": false,
            "message": { "maxSize": "10M", "enableDeliveryStatus": false, "enableSendBack": false }
        },
        "event": {
            "enabled": false,
            "enableRetry": true,
            "sendBotMessages": false,
            "retryIntervalSeconds": 10,
            "retryCount": 3,
            "maxParallelWorkers": 16,
            "targets": [{
                "type": "postback",
                "url": "http://mydomain/postback-url",
                "connectionTimeoutSeconds": 10,
                "auth": { "type": "header", "name": "X-My-Api-Token", "value": "token" }
            }]
        }
    })
}

#[test]
fn the_shipped_file_loads_unchanged() {
    let pretty = serde_json::to_string_pretty(&shipped()).expect("JSON");
    let settings = settings(&pretty);
    let config = &settings.config;
    assert_eq!(settings.server.listen.to_string(), "0.0.0.0:8085");
    let rest = settings.rest.as_ref().expect("served");
    assert_eq!(rest.listen.to_string(), "0.0.0.0:8092");
    assert_eq!(config.server.endpoint, "/chat");
    assert_eq!(config.server.workers, 8);
    assert_eq!(config.chat.time_zone, "Europe/Moscow");
    assert!(config.server.public_without_auth);
    assert!(!config.mailbox.enabled);
    assert_eq!(config.server.limits.message_bytes_max, 10 << 20);
    assert!(!config.chat.delivery_status && !config.chat.send_back);
    assert!(config.targets.is_empty());
    assert_eq!(settings.allowed_origins, AllowedOrigins::Any);
    let told = warnings(&shipped());
    for part in [
        "server.auth lets everybody pass",
        "restApi.auth lets everybody pass",
        "server.allowed_origins",
    ] {
        assert!(told.contains(part), "{told}\nlacks {part}");
    }
}

#[test]
fn the_example_with_placeholders_loads_unchanged() {
    let mut example = shipped();
    example["server"]["enableSecure"] = json!(false);
    example["server"]["auth"]["types"] = json!([{ "type": "cookie", "name": "a", "value": "b" }]);
    example["event"]["targets"] = json!([{
        "type": "redis",
        "address": "127.0.0.1 << use this instead of unixSocket",
        "unixSocket": "/path << use this instead of address",
        "mode": { "type": "queue or channel (select one)", "name": "my_queue" }
    }]);
    assert!(config(&example).targets.is_empty());
}

#[test]
fn every_key_of_the_readme_counts_and_the_rest_has_its_defaults() {
    let config = config(&json!({}));
    assert_eq!(config.server.listen, "*:8085");
    assert_eq!(config.server.endpoint, "/chat");
    assert!(config.rest.enabled);
    assert_eq!(config.chat.time_zone, "UTC");
    assert!(!config.mailbox.enabled && !config.chat.delivery_status && !config.chat.send_back);

    let config = self::config(&json!({
        "server": {
            "endpoint": "/messages/",
            "address": "127.0.0.1",
            "port": 9000,
            "workers": 3,
            "tmpDir": "/var/tmp",
            "useUniversalTime": true,
            "watchdog": { "enabled": true, "connectionLifetimeSeconds": 120 },
            "auth": { "type": "bearer", "value": "a-token" }
        },
        "restApi": { "enabled": false },
        "chat": {
            "enableUndeliveredQueue": true,
            "message": {
                "maxSize": "100K",
                "enableDeliveryStatus": true,
                "enableSendBack": true,
                "ignoredTypesSendBack": ["typing"]
            }
        }
    }));
    let (server, chat) = (&config.server, &config.chat);
    assert_eq!(server.listen, "127.0.0.1:9000");
    assert_eq!(server.endpoint, "/messages");
    assert_eq!(server.workers, 3);
    assert!(!server.public_without_auth);
    let seconds = |time: Option<std::time::Duration>| time.map(|time| time.as_secs());
    assert_eq!(seconds(server.keep_alive.ping_interval), Some(60));
    assert_eq!(seconds(server.keep_alive.inactive_timeout), Some(120));
    assert_eq!(server.limits.message_bytes_max, 100 << 10);
    assert!(!config.rest.enabled && config.mailbox.enabled);
    assert!(chat.delivery_status && chat.send_back);
    assert_eq!(chat.send_back_ignored_types, ["typing"]);
}

#[test]
fn keys_count_where_the_program_read_them_but_the_documented_place_goes_first() {
    let size = |json: Value| config(&json).server.limits.message_bytes_max;
    assert_eq!(size(json!({ "chat": { "maxSize": "2M" } })), 2 << 20);
    assert_eq!(
        size(json!({ "chat": { "maxSize": "2M", "message": { "maxSize": "3M" } } })),
        3 << 20
    );
    let kept = |json: Value| config(&json).mailbox.enabled;
    assert!(kept(
        json!({ "chat": { "message": { "enableUndeliveredQueue": true } } })
    ));
    assert!(!kept(
        json!({ "chat": { "enableUndeliveredQueue": false, "message": { "enableUndeliveredQueue": true } } })
    ));
    let status = |json: Value| config(&json).chat.delivery_status;
    assert!(status(json!({ "chat": { "enableDeliveryStatus": true } })));
    assert!(status(
        json!({ "chat": { "enableDeliveryStatus": false, "message": { "enableDeliveryStatus": true } } })
    ));
}

#[test]
fn warnings_name_what_the_original_silently_did_otherwise() {
    for (json, part) in [
        (
            json!({ "server": { "address": "10.0.0.1", "auth": { "type": "bearer", "value": "x" } } }),
            "server.address is obeyed",
        ),
        (
            json!({ "server": { "enableSecure": true } }),
            "server.enableSecure does nothing",
        ),
        (
            json!({ "server": { "watchdog": { "enabled": true } } }),
            "server.watchdog.connectionLifetimeSeconds closes",
        ),
        (
            json!({ "server": { "timezone": "Europe/Moscow", "useUniversalTime": true } }),
            "server.useUniversalTime is not used",
        ),
        (
            json!({ "restApi": { "enabled": true } }),
            "restApi.port is 8092",
        ),
        (
            json!({}),
            "restApi does not say whether there is a REST API",
        ),
        (
            json!({ "server": { "auth": { "type": "bearer", "value": "x" } }, "restApi": { "enabled": true } }),
            "restApi.auth is that of server.auth",
        ),
        (
            json!({ "server": { "auth": { "type": "basic", "user": "u", "value": "p" } } }),
            "server.auth.value is the password",
        ),
        (
            json!({ "server": { "auth": { "type": "basic", "user": "u", "password": "p", "value": "q" } } }),
            "server.auth.value is not used",
        ),
        (
            json!({ "server": { "auth": { "type": "cookie", "name": "c", "value": "p" } } }),
            "browsers attach on their own",
        ),
        (
            json!({ "chat": { "enableUndeliveredQueue": true } }),
            "chat.enableUndeliveredQueue is obeyed",
        ),
        (
            json!({ "chat": { "message": { "enableDeliveryStatus": true } } }),
            "chat.message.enableDeliveryStatus is obeyed",
        ),
        (
            json!({ "event": { "enabled": true, "targets": [{ "type": "postback", "url": "http://a/b" }] } }),
            "event.targets[0].method is not there",
        ),
        (
            json!({ "event": { "enabled": true, "targets": [{ "type": "postback", "url": "http://a/b", "method": "put" }] } }),
            "event.targets[0].method is POST",
        ),
        (
            json!({ "event": { "enabled": true, "targets": [
            { "type": "postback", "url": "http://a/b" }, { "type": "postback", "url": "http://a/c" }
        ] } }),
            "event.targets[1] is of a type that another target has too",
        ),
    ] {
        let told = warnings(&json);
        assert!(told.contains(part), "{json}: {told}\nlacks {part}");
    }
}

#[test]
fn a_status_of_messages_that_are_not_kept_is_a_warning() {
    let part = "chat.enableDeliveryStatus has no effect without chat.enableUndeliveredQueue";
    let chat = |is_kept: bool| json!({ "chat": { "enableDeliveryStatus": true, "enableUndeliveredQueue": is_kept } });
    assert!(warnings(&chat(false)).contains(part));
    assert!(!warnings(&chat(true)).contains(part));
}

#[test]
fn what_nobody_opened_is_not_opened_to_others() {
    // The README's default is a REST API, the program's was none.
    let settings = settings("{}");
    assert_eq!(
        settings.rest.expect("served").listen.to_string(),
        "127.0.0.1:8092"
    );
    // A REST API without an object of its own is not open beside a protected endpoint.
    let json = json!({
        "server": { "auth": { "type": "bearer", "value": "a-token" } },
        "restApi": { "enabled": true }
    });
    let settings = self::settings(&json.to_string());
    assert!(!settings.rest.expect("served").auth.is_open());
    assert!(!settings.config.server.public_without_auth);
}

#[test]
fn every_type_of_authentication_means_the_same_on_both_listeners() {
    let each = [
        json!({ "type": "noauth" }),
        json!({ "type": "NoAuth" }),
        json!({ "type": "basic", "user": "u", "password": "p" }),
        json!({ "type": "basic", "user": "u", "value": "p" }),
        json!({ "type": "BEARER", "value": "t" }),
        json!({ "type": "header", "name": "X-A", "value": "v" }),
        json!({ "type": "cookie", "name": "c", "value": "v" }),
        json!({ "auth": { "type": "cookie", "name": "c", "value": "v" } }),
        json!({ "type": "oneof", "types": [
            { "type": "cookie", "name": "c", "value": "v" },
            { "type": "bearer", "value": "t" },
            { "auth": { "type": "header", "name": "X-A", "value": "v" } }
        ] }),
        json!({ "type": "allOf", "types": [
            { "type": "header", "name": "X-A", "value": "v" },
            { "type": "oneOf", "types": [{ "type": "bearer", "value": "t" }] }
        ] }),
    ];
    for auth in each {
        let json =
            json!({ "server": { "auth": auth }, "restApi": { "enabled": true, "auth": auth } });
        let config = config(&json);
        assert_eq!(config.server.auth, config.rest.auth, "{auth}");
        let is_open = auth["type"]
            .as_str()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("noauth"));
        assert_eq!(config.server.public_without_auth, is_open, "{auth}");
    }
}

#[test]
fn another_service_is_asked_as_before() {
    for source in [
        json!({ "type": "bearer", "value": "not used" }),
        json!({ "type": "Basic", "user": "not", "password": "used" }),
        json!({ "type": "header", "name": "X-Token" }),
        json!({ "auth": { "type": "cookie", "name": "session" } }),
    ] {
        for data in [
            json!("token={0}"),
            json!({ "token": "{0}", "deep": [{ "n": 1 }] }),
        ] {
            let auth = json!({
                "type": "remote",
                "source": source,
                "url": "https://auth.internal/check",
                "method": "put",
                "headers": [{ "X-Service": "chat" }, { "Accept": "*/*" }],
                "data": data
            });
            let json = json!({ "server": { "auth": auth }, "restApi": { "enabled": false } });
            let config = config(&json);
            assert!(!config.server.public_without_auth, "{auth}");
        }
    }
    let plain =
        json!({ "type": "remote", "source": { "type": "bearer" }, "url": "http://auth.internal/" });
    let told = warnings(&json!({ "server": { "auth": plain }, "restApi": { "enabled": false } }));
    assert!(
        told.contains("server.auth.url sends clients' credentials"),
        "{told}"
    );
}

#[test]
fn targets_say_the_same_in_our_words() {
    let config = config(&json!({ "event": {
        "enabled": true,
        "enableRetry": true,
        "retryIntervalSeconds": 7,
        "retryCount": 2,
        "sendBotMessages": true,
        "maxParallelWorkers": 5,
        "ignoreTypes": ["notification_typing"],
        "targets": [{
            "type": "postback",
            "url": "http://backend.internal:8080/hook?x=1",
            "method": "POST",
            "connectionTimeoutSeconds": 4,
            "auth": { "type": "header", "name": "X-My-Api-Token", "value": "token" },
            "fallback": [{ "type": "Postback", "url": "https://10.0.0.1/other", "method": "POST" }]
        }]
    } }));
    assert!(config.events.bot_messages);
    assert_eq!(config.events.ignore_types, ["notification_typing"]);
    let [first, second] = config.targets.as_slice() else {
        panic!("{:?}", config.targets);
    };
    assert_eq!(first.name, "postback-1");
    assert_eq!((first.attempts, first.parallel), (3, 5));
    assert_eq!(first.retry_interval.as_secs(), 7);
    assert_eq!(first.timeout.as_secs(), 4);
    assert_eq!(first.fallback, ["postback-1-fallback-1"]);
    assert_eq!(first.kinds, ["message"]);
    let postback = first.postback.as_ref().expect("a postback");
    assert_eq!(postback.url, "http://backend.internal:8080/hook?x=1");
    assert_eq!(postback.allow_private, ["backend.internal"]);
    assert_eq!(second.name, "postback-1-fallback-1");
    assert!(second.kinds.is_empty() && second.fallback.is_empty());
    let postback = second.postback.as_ref().expect("a postback");
    assert!(postback.allow_private.is_empty());
}

#[test]
fn redis_is_found_and_named_as_before() {
    let config = config(&json!({ "event": { "enabled": true, "targets": [
        { "type": "redis" },
        {
            "type": "Redis", "address": "10.0.0.9", "port": 6380, "database": 2, "password": "canary-84",
            "mode": { "type": "Channel", "name": "mine" }
        },
        {
            "type": "postback", "url": "http://127.0.0.1/", "method": "POST",
            "fallback": [{ "type": "redis", "address": "x", "unixSocket": "/run/redis.sock", "mode": { "type": "queue" } }]
        }
    ] } }));
    let redis: Vec<_> = config
        .targets
        .iter()
        .filter_map(|target| target.redis.as_ref())
        .collect();
    let [plain, other, fallback] = redis.as_slice() else {
        panic!("{:?}", config.targets);
    };
    assert_eq!(
        (plain.address.as_str(), plain.port, plain.name.as_str()),
        ("127.0.0.1", 6379, "")
    );
    assert_eq!(
        (other.address.as_str(), other.port, other.database),
        ("10.0.0.9", 6380, 2)
    );
    assert_eq!(
        (other.name.as_str(), other.password.as_str()),
        ("mine", "canary-84")
    );
    assert_eq!(format!("{:?}", other.mode), "Channel");
    for redis in [plain, other, fallback] {
        assert_eq!(format!("{:?}", redis.format), "Classic");
    }
    assert_eq!(
        (fallback.unix_socket.as_str(), fallback.address.as_str()),
        ("/run/redis.sock", "127.0.0.1")
    );
}

#[test]
fn without_retries_there_is_one_attempt_and_no_fallback() {
    let config = config(&json!({ "event": {
        "enabled": true,
        "enableRetry": false,
        "targets": [{
            "type": "postback", "url": "http://127.0.0.1/", "method": "POST",
            "fallback": [{ "type": "postback", "url": "http://127.0.0.1/", "method": "POST" }]
        }]
    } }));
    let [target] = config.targets.as_slice() else {
        panic!("{:?}", config.targets);
    };
    assert_eq!((target.attempts, target.fallback.len()), (1, 0));
}

#[test]
fn large_messages_fit_wherever_they_pass() {
    for size in ["1K", "8M", "9M", "33M", "100M", "512M"] {
        let config = config(
            &json!({ "chat": { "enableUndeliveredQueue": true, "message": { "maxSize": size } } }),
        );
        let message = config.server.limits.message_bytes_max;
        assert!(config.rest.body_bytes_max >= message, "{size}");
        assert!(config.chat.fanout_bytes_max >= message, "{size}");
        assert!(
            config.mailbox.user_bytes_max >= message as u64 * 2,
            "{size}"
        );
    }
}

#[test]
fn odd_forms_that_the_original_took_are_taken() {
    for text in [
        "\u{feff}{\"server\": {\"port\": 8085.0}}",
        "\r\n\t {\"server\": {\"port\": 8085}}",
        "{\"server\": {\"port\": 1, \"port\": 8085}}",
        "{\"server\": {\"port\": 8085}} and a remark",
        "{\"server\": {\"port\": 8085, \"address\": \"\"}}",
        "{\"_comment\": \"ours\", \"server\": {\"port\": 8085, \"//\": 1}}",
        "{\"server\": {\"endpoint\": \"/chat/?\"}}",
    ] {
        let config = settings(text).config;
        assert_eq!(config.server.listen, "*:8085", "{text}");
        assert_eq!(config.server.endpoint, "/chat", "{text}");
    }
    let settings = settings("{\"server\": {\"port\": 1, \"port\": 8085}} x");
    let told: Vec<String> = settings.warnings.iter().map(ToString::to_string).collect();
    let told = told.join("\n");
    assert!(
        told.contains("server.port is there twice") && told.contains("behind its end"),
        "{told}"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of mistakes")]
fn one_mistake_each_is_told_by_its_key() {
    for (path, value, part) in [
        (
            "/server/endpoint",
            json!(7),
            "server.endpoint: found 7, expected a text",
        ),
        ("/server/endpoint", json!("chat"), "server.endpoint"),
        ("/server/endpoint", json!("/cha.*t"), "server.endpoint"),
        ("/server/address", json!(null), "server.address: found null"),
        (
            "/server/address",
            json!("example.org"),
            "server.address, server.port (server.listen)",
        ),
        (
            "/server/port",
            json!("8085"),
            "server.port: found \"8085\", expected a whole number from 0 to 65535",
        ),
        ("/server/port", json!(70_000), "server.port: found 70000"),
        ("/server/port", json!(-1), "server.port: found -1"),
        ("/server/port", json!(80.5), "server.port: found 80.5"),
        (
            "/server/workers",
            json!(5_000),
            "server.workers: found 5000",
        ),
        (
            "/server/timezone",
            json!("Mars/Base"),
            "server.timezone (chat.time_zone): found \"Mars/Base\"",
        ),
        (
            "/server/secure",
            json!([]),
            "server.secure: found a list, expected an object",
        ),
        (
            "/server/secure/enabled",
            json!(1),
            "server.secure.enabled: found 1, expected true or false",
        ),
        (
            "/server/watchdog/enabled",
            json!("yes"),
            "server.watchdog.enabled",
        ),
        ("/server/auth", json!({}), "server.auth.type: is missing"),
        ("/server/auth", json!([]), "server.auth: found a list"),
        (
            "/server/auth/type",
            json!("foo"),
            "server.auth.type: found \"foo\", expected one of noauth, basic",
        ),
        (
            "/server/auth",
            json!({ "type": "basic", "user": "u" }),
            "server.auth.password: authentication type `basic` needs the key `password`",
        ),
        (
            "/server/auth",
            json!({ "type": "basic", "password": "p" }),
            "server.auth.user",
        ),
        (
            "/server/auth",
            json!({ "type": "bearer" }),
            "server.auth.value",
        ),
        (
            "/server/auth",
            json!({ "type": "bearer", "value": "" }),
            "server.auth",
        ),
        (
            "/server/auth",
            json!({ "type": "header", "value": "p" }),
            "server.auth.name",
        ),
        (
            "/server/auth",
            json!({ "type": "oneOf" }),
            "server.auth.types",
        ),
        (
            "/server/auth",
            json!({ "type": "oneOf", "types": [] }),
            "server.auth.types: is empty",
        ),
        (
            "/server/auth",
            json!({ "type": "allOf", "types": [null] }),
            "server.auth.types[0]: found null",
        ),
        (
            "/server/auth",
            json!({ "type": "allOf", "types": [{ "type": "foo" }] }),
            "server.auth.types[0].type",
        ),
        (
            "/server/auth",
            json!({ "type": "remote", "url": "https://a/" }),
            "server.auth.source",
        ),
        (
            "/server/auth",
            json!({ "type": "remote", "url": "https://a/", "source": { "type": "noauth" } }),
            "server.auth.source.type",
        ),
        (
            "/server/auth/tpye",
            json!("basic"),
            "server.auth.tpye: unknown key",
        ),
        ("/restApi/auth/type", json!("foo"), "restApi.auth.type"),
        (
            "/restApi/port",
            json!(8085),
            "restApi.address, restApi.port (rest.listen): found port 8085",
        ),
        (
            "/chat/message/maxSize",
            json!("10"),
            "chat.message.maxSize: found \"10\"",
        ),
        (
            "/chat/message/maxSize",
            json!("10m"),
            "chat.message.maxSize",
        ),
        ("/chat/message/maxSize", json!("0M"), "chat.message.maxSize"),
        (
            "/chat/message/maxSize",
            json!("9999999999999999999M"),
            "chat.message.maxSize",
        ),
        (
            "/chat/message/maxSize",
            json!(10),
            "chat.message.maxSize: found 10",
        ),
        (
            "/chat/message/enableSendBack",
            json!(null),
            "chat.message.enableSendBack",
        ),
        (
            "/chat/enableUndeliverdQueue",
            json!(true),
            "chat.enableUndeliverdQueue: unknown key",
        ),
        ("/event/retryCount", json!(-1), "event.retryCount"),
        ("/event/targets", json!([]), "event.targets: is empty"),
        (
            "/event/targets",
            json!({}),
            "event.targets: found an object",
        ),
        (
            "/event/targets/0/type",
            json!("webhook"),
            "event.targets[0].type: found \"webhook\"",
        ),
        (
            "/event/targets/0/url",
            json!("ftp://a/"),
            "event.targets[0] (targets[0].postback.url)",
        ),
        (
            "/event/targets/0/method",
            json!("GET"),
            "event.targets[0].method: found \"GET\"",
        ),
        (
            "/event/targets/0/auth/type",
            json!("foo"),
            "event.targets[0].auth.type",
        ),
        (
            "/event/targets/0/fallback",
            json!([{ "type": "foo" }]),
            "event.targets[0].fallback[0].type",
        ),
        (
            "/more",
            json!({}),
            "more: unknown key, expected one of server, restApi, chat, event",
        ),
    ] {
        let mut mutant = shipped();
        mutant["event"]["enabled"] = json!(true);
        let (parent, name) = path.rsplit_once('/').expect("a path");
        mutant.pointer_mut(parent).expect("it is there")[name] = value.clone();
        refused(&mutant.to_string(), &[part]);
    }
}

#[test]
fn what_is_no_json_is_told_with_its_place() {
    for (text, part) in [
        ("{\n  \"server\": {\n    // a comment\n  }\n}", "line 3"),
        ("{\"server\": {}", "line 1"),
        ("{\"server\": {},}", "trailing comma"),
        ("{'server': {}}", "JSON"),
        ("{", "EOF"),
    ] {
        refused(text, &["config.json: line", part]);
    }
    let deep = format!("{}1{}", "{\"a\":".repeat(2_000), "}".repeat(2_000));
    refused(&deep, &["recursion limit"]);
}

#[test]
fn all_mistakes_are_told_at_once_and_no_secret_with_them() {
    let text = json!({
        "server": { "port": "x", "auth": { "type": "basic", "user": 5, "password": ["canary-81"] } },
        "chat": { "message": { "maxSize": "huge" } },
        "restApi": { "enabled": true, "auth": { "type": "header", "name": "a b", "value": "canary-82" } }
    });
    refused(
        &text.to_string(),
        &[
            "server.port",
            "server.auth.user",
            "server.auth.password",
            "chat.message.maxSize",
        ],
    );
    let error = File::new(&text.to_string())
        .load()
        .expect_err("wrong")
        .to_string();
    assert!(!error.contains("canary"), "{error}");
    // Names and values that cannot be sent are found by what checks our own files.
    let text = json!({ "restApi": { "enabled": true, "auth": { "type": "header", "name": "a b", "value": "canary-83" } } });
    refused(&text.to_string(), &["restApi.auth"]);
}

#[test]
fn certificates_are_looked_for_where_the_file_says() {
    let json = json!({ "server": { "secure": { "enabled": true, "crtPath": "/none/a.crt", "keyPath": "" } } });
    refused(
        &json.to_string(),
        &[
            "server.secure.crtPath (server.tls.certificate)",
            "server.secure.keyPath (server.tls.key)",
        ],
    );
}

#[test]
fn only_json_can_be_converted() {
    let file = File::new("[server]\n");
    let error = migrate(&file.directory.path().join("config.json")).expect_err("TOML");
    assert!(error.to_string().contains("is no JSON"), "{error}");
    let error = migrate(&file.directory.path().join("none.json")).expect_err("none");
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[test]
fn the_toml_tells_where_its_keys_come_from_and_what_differs() {
    let mut json = shipped();
    json["server"]["address"] = json!("10.0.0.1");
    let file = File::new(&json.to_string());
    let toml = migrate(&file.directory.path().join("config.json"))
        .expect("right")
        .toml;
    for part in [
        "# Made of wsserver's config.json by tidewire migrate-config.",
        "\nlisten = \"10.0.0.1:8085\"  # server.address, server.port\n",
        "\n# - server.address is obeyed;",
        "\n# - restApi.auth.value is not used by type `noauth`\n",
        "\n[server.auth]\ntype = \"noauth\"\n",
        "\nmessage_bytes_max = 10485760  # chat.message.maxSize\n",
    ] {
        assert!(toml.contains(part), "{toml}\nlacks {part}");
    }
}
