//! HTTP servers that answer TRACE with what they received.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use tidewire::{
    http::{Config, Handler, HandlerService, Http, Session, error_response},
    service::{self, RunningServer, Server, StartError, Workers},
    tls::ServerTls,
};
use tokio::runtime::Runtime;

use super::{DRAINING, Drained, Publish};

type Running = RunningServer<Http<HandlerService<OnlyTrace>>>;

pub(super) fn start(
    address: SocketAddr,
    workers: Workers,
    tls: Option<ServerTls>,
) -> Result<Box<dyn Drained>, StartError> {
    let mut config = service::Config::new(address.into()).workers(workers);
    config.tls = tls;
    let mut http = Config::default();
    http.trace = true;
    // The answer has the fields of the original's and no others.
    http.trace_date = false;
    // The original's client sends none.
    http.may_lack_host = true;
    let running = Server::new(config, Http::handler(OnlyTrace, http)).start()?;
    Ok(Box::new(running))
}

/// Is asked for what is no TRACE.
struct OnlyTrace;

impl Handler for OnlyTrace {
    async fn received(&self, _session: &Session, request: Request<Bytes>) -> Response<Bytes> {
        let text = format!("Unsupported HTTP method: {}\n", request.method());
        error_response(http::StatusCode::METHOD_NOT_ALLOWED, text)
    }
}

impl Drained for Running {
    fn local_addr(&self) -> SocketAddr {
        self.local_addr()
    }

    fn drain(self: Box<Self>, runtime: &Runtime) {
        // Whoever has not gone by then is cut.
        let _all_have_gone = runtime.block_on((*self).drain(DRAINING));
    }

    fn publisher(&self) -> Option<Box<dyn Publish>> {
        None
    }
}
