//! The keys that bound what clients do in a time, and the backend that is asked about connections.

use std::time::Duration;

use tidewire_table::{DAY, HOUR, MINUTE, SECOND, Size, choice, table};

choice! {
    /// The treatment of a client that sends more than it may.
    #[non_exhaustive]
    pub enum WhenExceeded {
        /// It is not read from until it may send again: nothing is lost.
        Wait = "wait",
        /// Its message is refused with a notice; who goes on in spite of many notices is closed with 4429.
        Refuse = "refuse",
        /// It is closed with 4429.
        Close = "close",
    }
}

choice! {
    /// The treatment of a client about which the backend cannot be asked.
    #[non_exhaustive]
    pub enum IfUnavailable {
        /// It is closed with 1013: try again later.
        Refuse = "refuse",
        /// It is let in as if there were no hook.
        Accept = "accept",
    }
}

table! {
    /// How much clients may do in a time. An address of IPv6 counts for its network of 64 bits. A restart
    /// forgets all that was counted.
    pub struct RatesConfig {
        /// Messages of one connection in a second, in the long run; 0 = unlimited, as are the five keys below: what a
        /// flood of messages costs others is bounded by turns, the sender's budget and the memory budget anyway.
        messages_per_second: u32 = 0, in 0..=10_000_000;
        /// Payload of one connection in a second.
        bytes_per_second: u64 as Size = 0, in 0..=1 << 40;
        /// Messages of all connections of one user in a second.
        user_messages_per_second: u32 = 0, in 0..=10_000_000;
        /// Payload of all connections of one user in a second.
        user_bytes_per_second: u64 as Size = 0, in 0..=1 << 40;
        /// Messages of all connections from one address in a second. All clients behind a proxy that is not among
        /// `trusted_proxies` share one.
        address_messages_per_second: u32 = 0, in 0..=10_000_000;
        /// Payload of all connections from one address in a second.
        address_bytes_per_second: u64 as Size = 0, in 0..=1 << 40;
        /// As much as this time brings may come at once.
        burst_time: Duration = SECOND * 2, in SECOND..=HOUR;
        /// `"wait"`: who sends more is not read from until he may send again, at most 30 s at a time; `"refuse"`: the
        /// message is refused with a notice (`rate_limited`), and who goes on in spite of as many notices as messages is
        /// closed; `"close"`: he is closed with 4429.
        when_exceeded: WhenExceeded = WhenExceeded::Wait;
        /// WebSockets from one address in a minute; more are closed with 4429; 0 = unlimited.
        connects_per_minute: u32 = 0, in 0..=10_000_000;
        /// WebSockets of one user in a minute; more are closed with 4429; 0 = unlimited.
        user_connects_per_minute: u32 = 0, in 0..=10_000_000;
        /// REST requests from one address in a second, twice as many at once; more get 429; 0 = unlimited.
        requests_per_second: u32 = 0, in 0..=10_000_000;
        /// Wrong credentials for one account from one address in a minute, and of all addresses that got it wrong
        /// together; more are not looked at (4429, over HTTP 429) for a minute, then two, up to `login_pause_max`. Other
        /// addresses get through. 0 = unlimited.
        failed_logins_per_minute: u32 = 10, in 0..=100_000;
        /// Wrong credentials from one address in a minute, whatever the accounts; 0 = unlimited.
        failed_logins_per_address: u32 = 30, in 0..=100_000;
        /// The longest pause.
        login_pause_max: Duration = MINUTE * 15, in MINUTE..=DAY;
        /// New connections in a second in the long run, whoever they are, of each listener; more get 503 and a time after
        /// which to try again, another one each; 0 = unlimited.
        accepts_per_second: u32 = 1000, in 0..=10_000_000;
        /// As many may come at once.
        accepts_burst: u32 = 10_000, in 1..=10_000_000;
        /// Connections whose handshakes are not over; one more ends the one that has been at it for longest;
        /// 0 = a fifth of `limits.connections_max`, at least 64.
        half_open_max: u32 = 0, in 0..=10_000_000;
        /// Users without limits here, by id. Counts where credentials are bound to the user.
        exempt_users: Vec<String>;
        /// Addresses or networks of clients without limits here, but for `accepts_per_second`, such as
        /// `["10.0.0.0/8"]`; `"unix"` = all on a Unix socket.
        exempt_networks: Vec<String>;
        /// Users and addresses that are counted at a time, in each of six tables of about 100 bytes an entry; those who
        /// have most of their allowance back are forgotten first.
        entries_max: usize = 100_000, in 100..=10_000_000;
    }
}

table! {
    /// A backend that is asked by HTTP about each connection that has valid credentials. See docs/hooks.md.
    pub struct ConnectHookConfig {
        /// Where, such as `"https://backend.example/tidewire/connect"`; empty = nobody is asked. Redirections are
        /// failures.
        backend_url: String;
        /// References to the secrets that sign the requests, such as `["${file:/run/secrets/hook}"]`, each of at least
        /// 16 bytes; two while one replaces the other, at most four.
        secrets: Vec<String>;
        /// Time for an answer, connecting and waiting for a turn included.
        timeout: Duration = SECOND * 2, in SECOND..=MINUTE;
        /// Requests under way at a time; more wait for a turn.
        requests_max: usize = 64, in 1..=10_000;
        /// While there is no answer, `"refuse"` closes with 1013, `"accept"` lets clients in as if there were no
        /// hook. After 5 failures in a row it is not asked for a second, then for longer, up to 30 s.
        if_unavailable: IfUnavailable = IfUnavailable::Refuse;
        /// Header fields of the client's request that the backend is told, such as `["cookie","x-app-version"]`. All
        /// others stay here.
        headers: Vec<String>;
        /// Parameters of the client's query that the backend is told. `id` always is.
        query: Vec<String>;
        /// PEM file with the CAs of the backend's certificate; empty = those of the system.
        ca: String;
    }
}
