//! Sockets that a service manager has bound for this process (socket activation: `LISTEN_FDS`, `LISTEN_PID`).
//!
//! In: descriptors from 3 on, once. Out: the sockets, to whoever has an address in the configuration that one of them is
//! bound to. Invariants: a socket is never wider than the address it is used for, so that what is checked of that address
//! holds for it; descriptors meant for another process are not touched.

use std::{fmt, io, path::Path, sync::OnceLock};

use parking_lot::Mutex;
use tidewire::net::{Address, Listener, UnixAddress};

/// Listening sockets that the service manager has bound.
#[derive(Debug, Default)]
struct Sockets {
    given: Vec<Given>,
}

#[derive(Debug)]
struct Given {
    socket: Listener,
    address: Address,
    claimed: bool,
}

/// Sockets that the service manager passed and nobody in the configuration listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unclaimed(Vec<Address>);

impl fmt::Display for Unclaimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<_> = self.0.iter().map(Address::to_string).collect();
        write!(
            f,
            "sockets were passed by the service manager for {}, where no listener is configured",
            addresses.join(", ")
        )
    }
}

impl Sockets {
    /// Those of this process; without them it is as if none had been passed.
    fn of_process() -> Self {
        let mut passed = listenfd::ListenFd::from_env();
        let mut sockets = Self::default();
        for index in 0..passed.len() {
            match take(&mut passed, index) {
                Ok(Some(socket)) => {
                    if let Err(error) = sockets.add(socket) {
                        tracing::warn!(index, %error, "a socket of the service manager cannot be used");
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(index, %error, "a descriptor of the service manager is no listening socket");
                }
            }
        }
        sockets
    }

    fn add(&mut self, socket: Listener) -> io::Result<()> {
        let address = socket.local_addr()?;
        self.given.push(Given {
            socket,
            address,
            claimed: false,
        });
        Ok(())
    }

    /// Those bound to `configured`; clones, so that a listener that comes back finds its socket again.
    fn claim(&mut self, configured: &Address) -> io::Result<Vec<Listener>> {
        let fitting = self
            .given
            .iter_mut()
            .filter(|given| fits(&given.address, configured));
        let clone = |given: &mut Given| {
            given.claimed = true;
            given.socket.try_clone()
        };
        fitting.map(clone).collect()
    }

    fn unclaimed(&self) -> Option<Unclaimed> {
        let unclaimed = self.given.iter().filter(|given| !given.claimed);
        let addresses: Vec<_> = unclaimed.map(|given| given.address.clone()).collect();
        (!addresses.is_empty()).then_some(Unclaimed(addresses))
    }
}

/// Of TCP, or a Unix socket.
fn take(passed: &mut listenfd::ListenFd, index: usize) -> io::Result<Option<Listener>> {
    let tcp = passed.take_tcp_listener(index);
    #[cfg(unix)]
    if tcp.is_err() {
        // It was left in its place.
        return Ok(passed.take_unix_listener(index)?.map(Listener::from));
    }
    Ok(tcp?.map(Listener::from))
}

/// Returns whether a socket of `bound` may stand for the configured address: the same, or a part of all addresses. All
/// addresses are the same in both families. The paths of a Unix socket may differ by links, as `/run` and `/var/run`.
fn fits(bound: &Address, configured: &Address) -> bool {
    match (bound, configured) {
        (Address::Ip(bound), Address::Ip(configured)) => {
            bound.port() == configured.port()
                && (bound.ip() == configured.ip() || configured.ip().is_unspecified())
        }
        (Address::Unix(UnixAddress::Path(bound)), Address::Unix(UnixAddress::Path(configured))) => {
            bound == configured || is_same_file(bound, configured)
        }
        _ => bound == configured,
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().ok();
    whole(one).is_some_and(|one| Some(one) == whole(other))
}

fn process() -> &'static Mutex<Sockets> {
    static SOCKETS: OnceLock<Mutex<Sockets>> = OnceLock::new();
    SOCKETS.get_or_init(|| Mutex::new(Sockets::of_process()))
}

/// The sockets that a service manager has bound to this address and passed to the process, to be accepted from instead of
/// binding it; `None` if there are none. The first call takes them from the environment.
///
/// # Errors
/// When there is no descriptor left.
pub fn activated_sockets(configured: &Address) -> io::Result<Option<Vec<Listener>>> {
    let sockets = process().lock().claim(configured)?;
    Ok((!sockets.is_empty()).then_some(sockets))
}

/// The sockets that were passed and nobody has asked for so far.
pub fn unclaimed_sockets() -> Option<Unclaimed> {
    process().lock().unclaimed()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_socket_stands_for_its_own_address_and_for_all_but_not_for_a_narrower_one() {
        let address = |text: &str| text.parse::<Address>().unwrap();
        for (bound, configured, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("10.0.0.1:80", "0.0.0.0:80", true),
            ("[::]:80", "0.0.0.0:80", true),
            ("0.0.0.0:80", "[::]:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", false), // would be public
            ("[::]:80", "[::1]:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("unix:/run/a", "unix:/run/a", true),
            ("unix:/run/a", "unix:/run/b", false),
            ("unix:@a", "unix:@a", true),
            ("unix:@a", "unix:a", false),
            ("unix:/run/a", "0.0.0.0:80", false),
            ("127.0.0.1:80", "unix:/run/a", false),
        ] {
            assert_eq!(
                fits(&address(bound), &address(configured)),
                expected,
                "{bound} {configured}"
            );
        }
    }

    #[test]
    fn a_socket_is_found_again_and_one_that_nobody_wants_is_told() {
        let mut sockets = Sockets::default();
        let addresses: Vec<_> = (0..2)
            .map(|_| {
                let socket = TcpListener::bind("127.0.0.1:0").unwrap();
                let address = socket.local_addr().unwrap();
                sockets.add(socket.into()).unwrap();
                Address::from(address)
            })
            .collect();
        for _ in 0..2 {
            let claimed = sockets.claim(&addresses[0]).unwrap();
            assert_eq!(claimed[0].local_addr().unwrap(), addresses[0]);
        }
        assert!(
            sockets
                .claim(&"127.0.0.1:1".parse().unwrap())
                .unwrap()
                .is_empty()
        );
        let told = sockets.unclaimed().unwrap().to_string();
        assert!(
            told.contains(&addresses[1].to_string()) && !told.contains(&addresses[0].to_string())
        );
        sockets.claim(&addresses[1]).unwrap();
        assert_eq!(sockets.unclaimed(), None);
    }
}
