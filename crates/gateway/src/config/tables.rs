//! [`Config`]: the keys of the gateway's file, each declared once with default, range and documentation.
//!
//! The file is a sum of tables. Those of which the settings say the same stand there; here are the others, whose
//! values become something else when they are checked: addresses, credentials, files.

use std::path::PathBuf;

use tidewire_auth::AuthConfig;
use tidewire_config::{Auth, ForwardedFields, IdentityFiles};
use tidewire_table::{
    EmptyIsNone, Members, NamedTables, Nested, OnceThere, Switched, Tables, Texts, choice, table,
};

use super::value::{BalanceConfig, OriginsConfig, UpstreamConfig, Upstreams};
use crate::settings::{
    Classic, Drain, Ejection, Extensions, Health, LimitsConfig, Log, Mux, Opening,
    OutgoingProxyProtocol, PingAnswers, Process, Rates, Resume,
};

table! {
    /// The whole configuration.
    pub struct Config {
        /// Address of the first listener instead of its own, for the flag --listen and the environment; empty = its
        /// own.
        listen: String;
        /// Threads; 0 = one per core.
        workers: usize = 0, in 0..=1024;
        /// Whether `ROUTENAME` as a request header or a query parameter leads a plain WebSocket straight to the
        /// endpoint of that name.
        pin_by_name: bool = true;
        /// Path at which every listener answers plain HTTP requests with 200, for the probes of balancers; empty = none.
        health_path: Option<String> as EmptyIsNone = Some("/healthz".to_owned());
        /// Unix socket over which a new process takes over the listeners of this one; empty = none.
        handover: Option<PathBuf> as EmptyIsNone = None;
        /// Reads the configuration again when its files have changed.
        watch: bool = false;
        /// Where a JSON object per ended connection goes: `"stdout"`, `"stderr"` or a file, which is opened again at
        /// SIGHUP and when it was moved away; empty = nowhere.
        access_log: String;
        listeners: Vec<ListenerConfig> as Tables = vec![ListenerConfig::default()];
        /// A named target: the name is what clients ask for, in any case of letters.
        endpoints: Members<EndpointConfig> as NamedTables, example "chat";
        routes: Vec<RouteConfig> as Tables;
        classic: Classic as Nested;
        mux: Mux as Nested;
        limits: LimitsConfig as Nested;
        drain: Drain as Nested;
        admin: Option<AdminConfig> as OnceThere = None;
        log: Log as Nested;
    }
}

table! {
    /// Where clients connect. Several are possible, up to 64.
    pub struct ListenerConfig {
        /// Its address: ip:port, localhost:port, *:port for all IPv4 addresses, or the path of a Unix socket, such as
        /// `"unix:/run/tidewire/gateway.sock"`. Port 0 picks a free one.
        address: String = "127.0.0.1:8090".to_owned();
        /// Permissions of a Unix socket's file: who may write to it may connect. "0660" = user and group.
        socket_mode: String = "0660".to_owned();
        /// Group of a Unix socket's file, by name or number, such as that of a proxy in front; empty = the process's own.
        socket_group: String;
        /// Addresses or networks of balancers that send a PROXY protocol header; `"unix"` = all on a Unix socket. If
        /// there is one, nobody else is let in. For example `["10.0.0.0/8"]`.
        proxy_protocol: Vec<String>;
        /// Addresses or networks of HTTP proxies that are believed who asks for what (`"unix"` = all on a Unix
        /// socket): their X-Forwarded-For, -Proto, -Host and -Port, Forwarded or X-Real-IP tell the client's address for
        /// limits and records, and the page's origin; other fields that tell an address pass from them only.
        trusted_proxies: Vec<String>;
        /// The fields that these proxies write: `"either"` (X-Forwarded-For where it is there, else Forwarded, else X-Real-IP),
        /// `"x-forwarded"` or `"forwarded"`. Proxies that write Forwarded and pass X-Forwarded-For of clients through
        /// need `"forwarded"`.
        forwarded_fields: ForwardedFields = ForwardedFields::Either;
        /// Speaks HTTP/2 too (RFC 8441).
        http2: bool = false;
        tls: Option<TlsConfig> as OnceThere = None;
    }
}

table! {
    /// TLS (wss://) on this listener. Changed files are taken over within a minute, or at once by SIGHUP.
    pub struct TlsConfig {
        /// Switches TLS on.
        enabled: bool = true;
        /// PEM file with the certificate chain, the gateway's own first.
        certificate: String;
        /// PEM file with the private key; its mode is 0640 or less.
        key: String;
        /// File with the passphrase of an encrypted key (PKCS#8); empty = the key is not encrypted.
        key_passphrase_file: String;
        /// Takes a key file that others than its owner and group can read, as orchestrators mount secrets (0444, 0644):
        /// every user of the machine who can read it can pose as this gateway.
        danger_allow_exposed_key: bool = false;
        /// PEM file with the CAs of client certificates. When set, every client must present one; empty = none asked
        /// for.
        client_ca: String;
    }
}

table! {
    /// A named target.
    pub struct EndpointConfig {
        /// Further names.
        aliases: Vec<String>;
        /// Where it is: addresses, or tables such as
        /// `{url="wss://b.example/ws",weight=2,zone="b",connections_max=100}`. weight is the share of new connections,
        /// 1 to 1000, default 1; zone tells where it stands; connections_max limits them, 0 = no limit.
        upstreams: Vec<UpstreamConfig> as Upstreams, example "[\"ws://127.0.0.1:9001/\"]";
        /// Which upstream a new connection gets: `"round-robin"`, `"least-connections"`, or `{hash="ip"}` for always
        /// the same one; "header:NAME", "query:NAME" and "cookie:NAME" are hashed too.
        balance: BalanceConfig;
        /// Upstreams of this zone are preferred while one of them is usable.
        zone: Option<String> as EmptyIsNone = None;
        /// Which web pages may connect: `"same"` (pages of the host that was asked for), `"any"`, or a list of others
        /// that may connect too, such as `["https://example.org","https://*.example.net","capacitor://localhost"]`. `*`
        /// stands for sub-domains, a part of the first label, or any port; "null" and "file://" are those of local
        /// files.
        origins: OriginsConfig;
        /// Connections at a time; 0 = no limit.
        connections_max: u32 = 0;
        /// Connections of one client address (IPv6: of one /64 network) at a time; 0 = no limit.
        per_client_max: u32 = 0;
        /// Who negotiates compression: `"end-to-end"` (client and upstream) or `"per-hop"` (each with the gateway).
        /// With resume or rates it is per hop in any case, for the gateway has to read the messages.
        extensions: Extensions;
        /// Who answers the upstreams' pings where the gateway reads the messages: `"end-to-end"` (the client: the pong
        /// proves that it has read all before), `"gateway"` (at once), or `"auto"` (end to end when the upstream asks
        /// for that in its answer, as "tidewire serve" does).
        pings: PingAnswers;
        /// Whether the upstream gets the Host header of the client, or its own address.
        preserve_host: bool = true;
        /// Whether the upstream is told who connects by a PROXY protocol header: `"off"`, `"v1"` or `"v2"`.
        proxy_protocol: OutgoingConfig;
        /// Headers of the request to the upstream: set, or taken away by an empty text.
        request_headers: Members<String> as Texts, example "X-Gateway = \"edge-1\"";
        /// Who may connect.
        auth: AuthConfig as Auth;
        tls: Option<ClientTlsConfig> as OnceThere = None;
        opening: Opening as Nested;
        health: Option<Health> as OnceThere = None;
        ejection: Ejection as Switched;
        rates: Rates as Nested;
        resume: Option<Resume> as OnceThere = None;
        process: Option<Process> as OnceThere = None;
    }
}

impl TlsConfig {
    pub(super) fn files(&self) -> IdentityFiles<'_> {
        IdentityFiles {
            certificate: &self.certificate,
            key: &self.key,
            passphrase: &self.key_passphrase_file,
            is_exposed_key_allowed: self.danger_allow_exposed_key,
        }
    }
}

impl ClientTlsConfig {
    pub(super) fn files(&self) -> IdentityFiles<'_> {
        IdentityFiles {
            certificate: &self.certificate,
            key: &self.key,
            passphrase: &self.key_passphrase_file,
            is_exposed_key_allowed: self.danger_allow_exposed_key,
        }
    }
}

choice! {
    /// `proxy_protocol` of an endpoint.
    #[derive(Default)]
    pub enum OutgoingConfig {
        /// No header.
        #[default]
        Off = "off",
        /// Text.
        V1 = "v1",
        /// Binary.
        V2 = "v2",
    }
}

impl OutgoingConfig {
    /// The form of the header, if there is one.
    pub(super) fn form(self) -> Option<OutgoingProxyProtocol> {
        match self {
            Self::Off => None,
            Self::V1 => Some(OutgoingProxyProtocol::V1),
            Self::V2 => Some(OutgoingProxyProtocol::V2),
        }
    }
}

table! {
    /// Trust and identity towards wss:// upstreams. Without: the system's authorities.
    pub struct ClientTlsConfig {
        /// Switches the table on.
        enabled: bool = true;
        /// Trusts the system's authorities besides `ca`.
        system_roots: bool = false;
        /// PEM file with the authorities to trust.
        ca: String;
        /// Name that the upstreams' certificates are for, sent as SNI too, where they are reached by another one or by
        /// an address; empty = the host of each.
        server_name: String;
        /// PEM file with the gateway's certificate chain, for upstreams that ask.
        certificate: String;
        /// PEM file with the key of `certificate`; its mode is 0640 or less.
        key: String;
        /// File with the passphrase of an encrypted key (PKCS#8); empty = the key is not encrypted.
        key_passphrase_file: String;
        /// Takes a key file that others than its owner and group can read, as orchestrators mount secrets (0444, 0644):
        /// every user of the machine who can read it can pose as this gateway.
        danger_allow_exposed_key: bool = false;
        /// Takes any certificate: encrypted, but nobody knows with whom.
        danger_unverified: bool = false;
    }
}

table! {
    /// Requests that meet all conditions go to the endpoint, without any handshake of the gateway's; the first route
    /// that fits counts. A condition is a text, a text with * for anything, or re: and a regular expression over the
    /// whole.
    pub struct RouteConfig {
        /// Name of the endpoint.
        endpoint: String, example "\"chat\"";
        /// The path, without the query.
        path: Option<String> = None, shown "\"/chat*\"";
        /// The Host header without port.
        host: Option<String> = None, example "\"*.example.org\"";
        /// One of the offered subprotocols.
        subprotocol: Option<String> = None, example "\"chat.v1\"";
        /// The path towards the upstream: `"own"` (that of its address, whatever the client asked for), `"request"` (the
        /// path that the client asked for), or `"rest"` (what the * at the end of `path` stands for, behind the path of
        /// the upstream's address). Without this key and `strip_prefix`: its own.
        upstream_path: Option<String> = None, shown "\"rest\"";
        /// Clients that ask for the endpoint by its name, as with ROUTENAME, need not meet this route's
        /// conditions for host, headers, query and cookies.
        by_name: bool = false;
        /// Put the request's path without this prefix behind the upstream's path. Without this key the upstream gets
        /// the path of its own address.
        strip_prefix: Option<String> = None, example "\"/chat\"";
        /// Conditions for headers by name.
        header: Members<String> as Texts, example "X-Version = \"2\"";
        /// Conditions for query parameters by name.
        query: Members<String> as Texts, example "room = \"re:[0-9]+\"";
        /// Conditions for cookies by name.
        cookie: Members<String> as Texts, example "beta = \"1\"";
    }
}

table! {
    /// Admin page, API and metrics.
    pub struct AdminConfig {
        /// Switches them on.
        enabled: bool = true;
        /// Their address, written like that of a listener; beyond loopback, set `admin.auth`. A Unix socket counts as
        /// loopback.
        address: String = "127.0.0.1:8091".to_owned();
        /// Addresses or networks of HTTP proxies that are believed what was asked for, as for `listeners`.
        trusted_proxies: Vec<String>;
        /// The fields that these proxies write, as for `listeners`: `"either"`, `"x-forwarded"` or `"forwarded"`.
        forwarded_fields: ForwardedFields = ForwardedFields::Either;
        /// Permissions of a Unix socket's file: who may write to it may connect. "0660" = user and group.
        socket_mode: String = "0660".to_owned();
        /// Group of a Unix socket's file, by name or number; empty = the process's own.
        socket_group: String;
        /// Who may use them.
        auth: AuthConfig as Auth;
    }
}
