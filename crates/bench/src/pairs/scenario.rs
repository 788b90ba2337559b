//! The thirteen pairs of a server and its client, their default ports, and who takes which parameter.

use std::{fmt, path::PathBuf, time::Duration};

/// The work that a pair measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Benchmark {
    /// A client sends messages, the server sends each back.
    Echo,
    /// The server sends messages to all clients at a rate.
    Multicast,
    /// A client sends HTTP TRACE requests, the server answers with what it received.
    Trace,
}

impl Benchmark {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Multicast => "multicast",
            Self::Trace => "trace",
        }
    }
}

/// The protocol that a pair speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// UDP.
    Udp,
    /// The FBE simple protocol over TCP.
    Proto,
    /// WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Tcp,
        Self::Tls,
        Self::Udp,
        Self::Proto,
        Self::Ws,
        Self::Wss,
        Self::Http,
        Self::Https,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Udp => "udp",
            Self::Proto => "proto",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of `CppServer`'s programs.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Tcp => 1111,
            Self::Tls => 2222,
            Self::Udp => 3333,
            Self::Proto => 4444,
            Self::Ws | Self::Http => 8080,
            Self::Wss | Self::Https => 8443,
        }
    }

    /// Returns whether certificates have a meaning.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Wss | Self::Https)
    }
}

/// A server and its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    benchmark: Benchmark,
    transport: Transport,
}

/// There is no such pair.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {} benchmark over {}; it runs over {}", benchmark.name(), transport.name(), transports(*benchmark))]
pub struct NoSuchPair {
    benchmark: Benchmark,
    transport: Transport,
}

impl Pair {
    /// All of them, in the order of `CppServer`'s documentation.
    pub const ALL: [Self; 13] = [
        Self::of(Benchmark::Echo, Transport::Tcp),
        Self::of(Benchmark::Echo, Transport::Tls),
        Self::of(Benchmark::Echo, Transport::Udp),
        Self::of(Benchmark::Echo, Transport::Proto),
        Self::of(Benchmark::Echo, Transport::Ws),
        Self::of(Benchmark::Echo, Transport::Wss),
        Self::of(Benchmark::Multicast, Transport::Tcp),
        Self::of(Benchmark::Multicast, Transport::Tls),
        Self::of(Benchmark::Multicast, Transport::Udp),
        Self::of(Benchmark::Multicast, Transport::Ws),
        Self::of(Benchmark::Multicast, Transport::Wss),
        Self::of(Benchmark::Trace, Transport::Http),
        Self::of(Benchmark::Trace, Transport::Https),
    ];

    pub(super) const fn of(benchmark: Benchmark, transport: Transport) -> Self {
        Self {
            benchmark,
            transport,
        }
    }

    /// The pair of `benchmark` over `transport`.
    ///
    /// # Errors
    /// [`NoSuchPair`].
    pub fn new(benchmark: Benchmark, transport: Transport) -> Result<Self, NoSuchPair> {
        let pair = Self::of(benchmark, transport);
        let is_there = Self::ALL.contains(&pair);
        is_there.then_some(pair).ok_or(NoSuchPair {
            benchmark,
            transport,
        })
    }

    /// The work that it measures.
    pub fn benchmark(self) -> Benchmark {
        self.benchmark
    }

    /// The protocol that it speaks.
    pub fn transport(self) -> Transport {
        self.transport
    }

    /// Where the client looks for the server, or which group it joins.
    pub fn default_address(self) -> &'static str {
        if self.is_group() {
            "239.255.0.1"
        } else {
            "127.0.0.1"
        }
    }

    /// Returns whether the address is that of a multicast group.
    pub fn is_group(self) -> bool {
        self == Self::of(Benchmark::Multicast, Transport::Udp)
    }

    /// Messages that each client has under way by default; `None`: clients only receive.
    pub fn default_in_flight(self) -> Option<usize> {
        match self.benchmark {
            Benchmark::Echo => Some(1000),
            Benchmark::Multicast => None,
            Benchmark::Trace => Some(1),
        }
    }

    /// Returns whether messages have a size that can be chosen.
    pub fn has_size(self) -> bool {
        self.benchmark != Benchmark::Trace
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport.name(), self.benchmark.name())
    }
}

fn transports(benchmark: Benchmark) -> String {
    let of_benchmark = Pair::ALL
        .iter()
        .filter(|pair| pair.benchmark == benchmark)
        .map(|pair| pair.transport.name());
    of_benchmark.collect::<Vec<_>>().join(", ")
}

/// The task of a client. The values are checked: no count is zero.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Which client.
    pub pair: Pair,
    /// Where the server is, a name or an address; for UDP multicast the group.
    pub address: String,
    /// The server's port.
    pub port: u16,
    /// Threads, each with clients and a runtime of its own.
    pub threads: usize,
    /// Connections.
    pub clients: usize,
    /// Messages that each client has under way.
    pub in_flight: usize,
    /// Bytes of a message.
    pub size: usize,
    /// How long to measure.
    pub seconds: u64,
    /// Ends the measurement earlier, when all clients together have received so many messages.
    pub messages_total: Option<u64>,
    /// Open loop: all clients together send so many messages in a second, whether they are answered or not.
    pub rate: Option<u64>,
    /// The run fails when the server cannot be reached, or nothing arrives, for so long.
    pub timeout: Duration,
    /// UDP multicast: the interface by which the group is heard, a name or an address that it has.
    pub interface: String,
    /// The authorities to trust (PEM); without them certificates are not verified.
    pub ca: Option<PathBuf>,
}

/// The task of a server. The values are checked: no count is zero.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Which server.
    pub pair: Pair,
    /// For UDP multicast the group.
    pub address: String,
    /// The port to listen on; for UDP multicast that of the group.
    pub port: u16,
    /// Threads, each with connections and a runtime of its own.
    pub threads: usize,
    /// Multicast: messages to send in a second.
    pub rate: u64,
    /// Multicast: bytes of a message.
    pub size: usize,
    /// UDP multicast: the interface by which datagrams leave, a name or an address that it has.
    pub interface: String,
    /// The certificate chain to show, and its private key (PEM); without them one is made at every start, which nobody
    /// can verify.
    pub identity: Option<IdentityFiles>,
}

/// Where a server's certificate is.
#[derive(Clone, Debug)]
pub struct IdentityFiles {
    /// The chain, PEM.
    pub certificate: PathBuf,
    /// The key, PEM; may be the same file.
    pub key: PathBuf,
    /// Opens an encrypted key.
    pub passphrase: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_that_is_not_there_names_those_that_are() {
        let error = Pair::new(Benchmark::Trace, Transport::Udp).expect_err("no trace over udp");
        assert_eq!(
            error.to_string(),
            "there is no trace benchmark over udp; it runs over http, https"
        );
        let there = Pair::ALL.map(|pair| Pair::new(pair.benchmark, pair.transport));
        assert!(there.iter().all(Result::is_ok));
    }

    #[test]
    fn ports_are_those_of_the_original_programs() {
        let ports = Transport::ALL.map(Transport::default_port);
        assert_eq!(ports, [1111, 2222, 3333, 4444, 8080, 8443, 8080, 8443]);
    }
}
