//! What one client, and all clients together, may take.

use serde::{Deserialize, Serialize};

use cache_core::{Period, Size};

/// Limits of connections and requests. Every phase of a connection has one, so
/// that none can be held open for nothing.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Connections at once; more wait in the system's queue.
    pub connections: usize,
    /// Connections at once from one address (IPv6: from one /64); more are closed.
    pub connections_per_address: usize,
    /// TLS handshake.
    pub handshake: Period,
    /// From the connection, or the handshake, to the first byte of a request.
    pub first_byte: Period,
    /// From the first byte of a request to the end of its headers.
    pub headers: Period,
    /// Between two requests on one connection.
    pub idle: Period,
    /// A client that takes nothing of a response for this long is gone.
    pub write_stall: Period,
    /// A request body's progress is judged each time we have waited this long for it.
    pub body_window: Period,
    /// The least that must arrive per second of waiting.
    pub body_rate: Size,
    /// HTTP/2: requests at once on one connection.
    pub http2_streams: u32,
    /// HTTP/2: requests that the client took back before we saw them (CVE-2023-44487).
    pub http2_pending_resets: usize,
    /// HTTP/2: requests that we took back for the client's errors.
    pub http2_local_resets: usize,
    /// HTTP/2: the headers of one request.
    pub http2_headers: Size,
    /// HTTP/2: what a client may send ahead on one stream.
    pub http2_stream_window: Size,
    /// HTTP/2: what a client may send ahead on one connection; times the
    /// connections, this is the memory that clients can fill.
    pub http2_connection_window: Size,
    /// HTTP/2: what is buffered for one stream to be sent.
    pub http2_send_buffer: Size,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: 4096,
            // A whole CI fleet may come from behind one address.
            connections_per_address: 1024,
            handshake: Period::seconds(5),
            first_byte: Period::seconds(10),
            headers: Period::seconds(10),
            // Above the 90 s of Go's clients, so that they close first.
            idle: Period::seconds(120),
            write_stall: Period::seconds(30),
            body_window: Period::seconds(30),
            body_rate: Size::kib(1),
            http2_streams: 256,
            http2_pending_resets: 20,
            http2_local_resets: 128,
            http2_headers: Size::kib(16),
            http2_stream_window: Size::kib(256),
            http2_connection_window: Size::mib(1),
            http2_send_buffer: Size::kib(256),
        }
    }
}
