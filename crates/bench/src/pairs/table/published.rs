//! The figures that `CppServer`'s documentation gives for its own programs: an Intel Core i7-4790K at 4 GHz with four
//! cores, Windows 8, each client with 1 000 messages of 32 bytes under way (HTTP: one request), for 10 seconds. Those of
//! one client had one thread, those of 100 clients four.

use super::super::scenario::{Benchmark, Pair, Transport};

/// A row of the documentation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Published {
    pub(super) pair: Pair,
    pub(super) clients: usize,
    /// Messages per second. Of `proto`: received bytes divided by 32, where an answer has 36.
    pub(super) rate: u64,
}

/// All of them, in the documentation's order.
pub(super) const PUBLISHED: [Published; 26] = [
    echo(Transport::Tcp, 1, 5_625_528),
    echo(Transport::Tcp, 100, 3_847_402),
    echo(Transport::Tls, 1, 969_878),
    echo(Transport::Tls, 100, 1_237_782),
    echo(Transport::Udp, 1, 150_801),
    echo(Transport::Udp, 100, 103_867),
    echo(Transport::Proto, 1, 1_628_542),
    echo(Transport::Proto, 100, 3_246_558),
    echo(Transport::Ws, 1, 160_448),
    echo(Transport::Ws, 100, 594_328),
    echo(Transport::Wss, 1, 203_343),
    echo(Transport::Wss, 100, 818_230),
    multicast(Transport::Tcp, 1, 6_327_549),
    multicast(Transport::Tcp, 100, 6_648_899),
    multicast(Transport::Tls, 1, 5_102_683),
    multicast(Transport::Tls, 100, 5_830_473),
    multicast(Transport::Udp, 1, 77_833),
    multicast(Transport::Udp, 100, 171_784),
    multicast(Transport::Ws, 1, 3_148_135),
    multicast(Transport::Ws, 100, 3_225_965),
    multicast(Transport::Wss, 1, 3_489_578),
    multicast(Transport::Wss, 100, 5_215_639),
    trace(Transport::Http, 1, 57_825),
    trace(Transport::Http, 100, 307_154),
    trace(Transport::Https, 1, 37_047),
    trace(Transport::Https, 100, 201_602),
];

const fn row(benchmark: Benchmark, transport: Transport, clients: usize, rate: u64) -> Published {
    Published {
        pair: Pair::of(benchmark, transport),
        clients,
        rate,
    }
}

const fn echo(transport: Transport, clients: usize, rate: u64) -> Published {
    row(Benchmark::Echo, transport, clients, rate)
}

const fn multicast(transport: Transport, clients: usize, rate: u64) -> Published {
    row(Benchmark::Multicast, transport, clients, rate)
}

const fn trace(transport: Transport, clients: usize, rate: u64) -> Published {
    row(Benchmark::Trace, transport, clients, rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_stands_there_with_one_client_and_with_a_hundred() {
        for pair in Pair::ALL {
            for clients in [1, 100] {
                let rows = PUBLISHED
                    .iter()
                    .filter(|row| row.pair == pair && row.clients == clients);
                assert_eq!(rows.count(), 1, "{pair}, {clients}");
            }
        }
    }
}
