//! A small real server of the calls that the library makes, over memory, with faults.

mod bytes;
mod native;
mod storage;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use cache_client::{Client, Retry};
use cache_core::Memory;
use cache_proto::{
    cachalot::v1::{
        self, administration_server::AdministrationServer, builds_server::BuildsServer,
        refs_server::RefsServer, statistics_server::StatisticsServer,
    },
    google::bytestream::byte_stream_server::ByteStreamServer,
    reapi::{
        capabilities_server::CapabilitiesServer,
        content_addressable_storage_server::ContentAddressableStorageServer,
        digest_function::Value as Function,
    },
};
use parking_lot::Mutex;
use tokio::{net::TcpListener, runtime::Runtime};
use tonic::{
    Status,
    transport::{Server as Transport, ServerTlsConfig, server::TcpIncoming},
};

/// What goes wrong in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is answered with this status.
    Status(tonic::Code),
    /// It is never answered.
    Hang,
    /// After so many bytes the stream breaks.
    BreakAfter(usize),
    /// After so many bytes nothing comes any more.
    HangAfter(usize),
    /// After so many bytes the stream ends as if that were all.
    EndAfter(usize),
    /// After so many bytes it breaks, and the server knows nothing of them.
    ForgetAfter(usize),
    /// Other bytes of the same length.
    Wrong,
    /// More bytes than there are.
    TooMany,
    /// Blobs of a message are left out.
    Omit,
}

/// What the server says that it can.
#[derive(Clone, Debug)]
pub(crate) struct Abilities {
    pub(crate) batch: i64,
    pub(crate) largest: i64,
    pub(crate) zstd: bool,
    pub(crate) functions: Vec<Function>,
    /// Not ours: the services of `cachalot.v1` are unknown.
    pub(crate) foreign: bool,
    /// Says so by a page, as servers do that speak more than gRPC.
    pub(crate) pages: bool,
    pub(crate) tls: Option<ServerTlsConfig>,
}

impl Default for Abilities {
    fn default() -> Self {
        Self {
            batch: 0,
            largest: 0,
            zstd: false,
            functions: vec![Function::Sha256, Function::Blake3],
            foreign: false,
            pages: false,
            tls: None,
        }
    }
}

/// What all calls share, and what stays when the server is started anew.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) store: Memory,
    pub(crate) abilities: Abilities,
    pub(crate) refs: Mutex<BTreeMap<(String, String), v1::Ref>>,
    pub(crate) builds: Mutex<Vec<v1::Build>>,
    uploads: Mutex<HashMap<String, Vec<u8>>>,
    faults: Mutex<HashMap<&'static str, VecDeque<Fault>>>,
    calls: Mutex<HashMap<&'static str, usize>>,
    resources: Mutex<Vec<String>>,
    authorizations: Mutex<Vec<Option<String>>>,
}

impl State {
    /// Notes a call, and says what is to go wrong in it.
    async fn begin<T>(
        &self,
        call: &'static str,
        request: &tonic::Request<T>,
    ) -> Result<Option<Fault>, Status> {
        let authorization = request.metadata().get("authorization");
        let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
        self.authorizations.lock().push(authorization);
        *self.calls.lock().entry(call).or_default() += 1;
        let fault = self
            .faults
            .lock()
            .get_mut(call)
            .and_then(VecDeque::pop_front);
        match fault {
            Some(Fault::Status(code)) => Err(Status::new(code, "as told")),
            Some(Fault::Hang) => std::future::pending().await,
            fault => Ok(fault),
        }
    }
}

/// A running server. Its connections end with it.
pub(crate) struct Server {
    pub(crate) state: Arc<State>,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Server {
    pub(crate) fn start(abilities: Abilities) -> Self {
        let state = State {
            abilities,
            ..State::default()
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Self {
            state: Arc::new(state),
            address: any,
            runtime: None,
        };
        server.restart();
        server
    }

    /// Begins again, at the same address.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = threads.unwrap();
        let listener = std::net::TcpListener::bind(self.address).unwrap();
        listener.set_nonblocking(true).unwrap();
        self.address = listener.local_addr().unwrap();
        runtime.spawn(serve(Arc::clone(&self.state), listener));
        self.runtime = Some(runtime);
    }

    /// Is gone in the middle of whatever it does.
    pub(crate) fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // From a thread where it may wait until every connection is closed.
            let stop = move || runtime.shutdown_timeout(Duration::from_secs(10));
            std::thread::spawn(stop).join().unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        match self.state.abilities.tls {
            Some(_) => format!("https://{}", self.address),
            None => format!("http://{}", self.address),
        }
    }

    /// A client that does not wait long.
    pub(crate) fn client(&self) -> Client {
        self.builder().connect_lazy().unwrap()
    }

    pub(crate) fn builder(&self) -> cache_client::Builder {
        let waits = (Duration::from_millis(1), Duration::from_millis(20));
        Client::builder(self.url())
            .retry(Retry::default().waits(waits.0, waits.1))
            .deadline(Duration::from_secs(20))
            .silence(Duration::from_secs(20))
    }

    /// What is to go wrong in the next calls of this name.
    pub(crate) fn fault(&self, call: &'static str, faults: impl IntoIterator<Item = Fault>) {
        let mut waiting = self.state.faults.lock();
        waiting.entry(call).or_default().extend(faults);
    }

    /// How often a call was made.
    pub(crate) fn calls(&self, call: &str) -> usize {
        self.state
            .calls
            .lock()
            .get(call)
            .copied()
            .unwrap_or_default()
    }

    /// The names by which streams were read and written.
    pub(crate) fn resources(&self) -> Vec<String> {
        self.state.resources.lock().clone()
    }

    pub(crate) fn authorizations(&self) -> Vec<Option<String>> {
        self.state.authorizations.lock().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One of the services, over what they share.
#[derive(Clone)]
struct Service(Arc<State>);

async fn serve(state: Arc<State>, listener: std::net::TcpListener) {
    let incoming = TcpIncoming::from(TcpListener::from_std(listener).unwrap());
    let Abilities { foreign, pages, .. } = state.abilities;
    let mut transport = Transport::builder();
    if let Some(tls) = state.abilities.tls.clone() {
        transport = transport.tls_config(tls).unwrap();
    }
    let service = Service(state);
    let limit = 4 << 20;
    let mut routes = tonic::service::Routes::default()
        .add_service(CapabilitiesServer::new(service.clone()))
        .add_service(
            ContentAddressableStorageServer::new(service.clone()).max_decoding_message_size(limit),
        )
        .add_service(ByteStreamServer::new(service.clone()).max_decoding_message_size(limit));
    if !foreign {
        routes = routes
            .add_service(RefsServer::new(service.clone()))
            .add_service(BuildsServer::new(service.clone()))
            .add_service(StatisticsServer::new(service.clone()))
            .add_service(AdministrationServer::new(service));
    }
    if pages {
        let page = async || (http::StatusCode::NOT_FOUND, "nothing is here\n");
        routes = routes.into_axum_router().fallback(page).into();
    }
    let served = transport.add_routes(routes);
    served.serve_with_incoming(incoming).await.unwrap();
}
