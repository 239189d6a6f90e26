//! The tests' own client of HTTP.

use std::sync::Once;

use reqwest::{Client, ClientBuilder, Response};
use rustls::crypto::ring;

/// A client that is still to be built.
pub fn builder() -> ClientBuilder {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Whoever was first has set the same one.
        let _ = ring::default_provider().install_default();
    });
    Client::builder()
}

/// The answer to a GET.
///
/// # Errors
/// If there is none.
pub async fn get(url: impl reqwest::IntoUrl) -> reqwest::Result<Response> {
    builder().build()?.get(url).send().await
}
