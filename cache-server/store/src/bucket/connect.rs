//! From what an operator says to a bucket that can be asked.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cache_core::{BoxError, Error, Result};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use object_store::{
    BackoffConfig, ObjectStore, ObjectStoreExt, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut},
    azure::MicrosoftAzureBuilder,
    client::{HttpClient, HttpRequest, HttpRequestBody},
    gcp::GoogleCloudStorageBuilder,
    list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore},
    path::Path,
    signer::{SignedUrlOptions, Signer},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    config::{BucketConfig, Encryption, Provider},
    objects::{Objects, Service},
    requests::{RequestMetrics, Requests},
};

/// Most compatible servers have this one, whatever it is called.
const REGION: &str = "us-east-1";

/// A try that follows another waits at least so long, then longer, with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// Tries beyond these come to nothing either.
const TRIES: usize = 8;

/// What is escaped in a URL's path: all but unreserved characters (RFC 3986, 2.3), slashes.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'/')
    .remove(b'_')
    .remove(b'~');

/// How long a signature for one request counts.
const SIGNED_FOR: Duration = Duration::from_secs(300);

pub(super) fn connect(config: &BucketConfig, metrics: RequestMetrics) -> Result<Objects> {
    let requests = Requests::new(config.authorities.as_deref(), metrics).map_err(refused)?;
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: FIRST_PAUSE,
            max_backoff: LONGEST_PAUSE,
            base: 2.0,
        },
        max_retries: TRIES,
        retry_timeout: config.patience,
    };
    let built = match config.provider {
        Provider::S3 => s3(config, requests, retry),
        Provider::Gcs => gcs(config, requests, retry),
        Provider::Azure => azure(config, requests, retry),
    };
    let (store, service) = built.map_err(|error| refused(error.into()))?;
    Ok(Objects::new(store, service, config.requests))
}

fn refused(error: BoxError) -> Error {
    Error::backend("connecting to the bucket")(error)
}

type Built = object_store::Result<(Arc<dyn ObjectStore>, Box<dyn Service>)>;

fn s3(config: &BucketConfig, requests: Requests, retry: RetryConfig) -> Built {
    let client = HttpClient::new(requests.clone());
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&config.bucket)
        .with_region(config.region.as_deref().unwrap_or(REGION))
        .with_virtual_hosted_style_request(!config.path_style)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(retry)
        .with_http_connector(requests);
    if let Some(endpoint) = &config.endpoint {
        let endpoint = endpoint.trim_end_matches('/');
        builder = builder
            .with_endpoint(endpoint)
            .with_allow_http(endpoint.starts_with("http://"));
    }
    if let Some(credentials) = &config.credentials {
        builder = builder
            .with_access_key_id(&credentials.id)
            .with_secret_access_key(credentials.secret.expose());
        if let Some(token) = &credentials.token {
            builder = builder.with_token(token.expose());
        }
    }
    builder = match &config.encryption {
        Encryption::Bucket => builder,
        Encryption::Managed => {
            let key = "aws_server_side_encryption".parse()?;
            builder.with_config(key, "AES256")
        }
        Encryption::Kms { key } => builder.with_sse_kms_encryption(key),
    };
    let store = Arc::new(builder.build()?);
    let service = S3 {
        store: Arc::clone(&store),
        client,
        bucket: config.bucket.clone(),
        encryption: config.encryption.clone(),
    };
    Ok((store, Box::new(service)))
}

fn gcs(config: &BucketConfig, requests: Requests, retry: RetryConfig) -> Built {
    let builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(&config.bucket)
        .with_retry(retry)
        .with_http_connector(requests);
    let store = Arc::new(builder.build()?);
    let service = Copying(Arc::clone(&store));
    Ok((store, Box::new(service)))
}

fn azure(config: &BucketConfig, requests: Requests, retry: RetryConfig) -> Built {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(&config.bucket)
        .with_retry(retry)
        .with_http_connector(requests);
    if let Some(endpoint) = &config.endpoint {
        builder = builder
            .with_endpoint(endpoint.clone())
            .with_allow_http(endpoint.starts_with("http://"));
    }
    if let Some(credentials) = &config.credentials {
        builder = builder
            .with_account(&credentials.id)
            .with_access_key(credentials.secret.expose());
    }
    let store = Arc::new(builder.build()?);
    let service = Copying(Arc::clone(&store));
    Ok((store, Box::new(service)))
}

/// A service where an object that is copied onto itself is young.
#[derive(Debug)]
struct Copying<S>(Arc<S>);

#[async_trait]
impl<S: ObjectStore + PaginatedListStore> Service for Copying<S> {
    async fn list(
        &self,
        prefix: &str,
        options: PaginatedListOptions,
    ) -> object_store::Result<PaginatedListResult> {
        self.0.list_paginated(Some(prefix), options).await
    }

    async fn touch(&self, key: &Path) -> object_store::Result<()> {
        self.0.copy(key, key).await
    }
}

/// S3 and what speaks like it.
#[derive(Debug)]
struct S3 {
    store: Arc<AmazonS3>,
    client: HttpClient,
    bucket: String,
    encryption: Encryption,
}

#[async_trait]
impl Service for S3 {
    async fn list(
        &self,
        prefix: &str,
        options: PaginatedListOptions,
    ) -> object_store::Result<PaginatedListResult> {
        self.store.list_paginated(Some(prefix), options).await
    }

    /// A copy onto itself is taken only if it changes something: the metadata are said
    /// anew (S3, `CopyObject`, `x-amz-metadata-directive`).
    async fn touch(&self, key: &Path) -> object_store::Result<()> {
        let mut headers = HeaderMap::new();
        let source = utf8_percent_encode(key.as_ref(), ESCAPED);
        let source = format!("{}/{source}", self.bucket);
        headers.insert(
            HeaderName::from_static("x-amz-copy-source"),
            HeaderValue::try_from(source).map_err(generic)?,
        );
        headers.insert(
            HeaderName::from_static("x-amz-metadata-directive"),
            HeaderValue::from_static("REPLACE"),
        );
        self.encryption.say(&mut headers)?;
        let mut options = SignedUrlOptions::new();
        options.signed_headers = headers.clone();
        let url = self
            .store
            .signed_url_opts(Method::PUT, key, SIGNED_FOR, &options)
            .await?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = Method::PUT;
        *request.uri_mut() = url.as_str().parse().map_err(generic)?;
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        *request.headers_mut() = headers;
        let answer = self.client.execute(request).await.map_err(generic)?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(generic)?;
        // An error may come with 200 (S3, `CopyObject`).
        let copied = memchr::memmem::find(&body, b"<CopyObjectResult").is_some();
        match status {
            StatusCode::OK if copied => Ok(()),
            StatusCode::NOT_FOUND => Err(object_store::Error::NotFound {
                path: key.to_string(),
                source: "no such object".into(),
            }),
            status => {
                let said = String::from_utf8_lossy(&body[..body.len().min(500)]);
                Err(generic(format!("{status}: {said}")))
            }
        }
    }
}

impl Encryption {
    fn say(&self, headers: &mut HeaderMap) -> object_store::Result<()> {
        const HOW: HeaderName = HeaderName::from_static("x-amz-server-side-encryption");
        const KEY: HeaderName =
            HeaderName::from_static("x-amz-server-side-encryption-aws-kms-key-id");
        match self {
            Self::Bucket => {}
            Self::Managed => {
                headers.insert(HOW, HeaderValue::from_static("AES256"));
            }
            Self::Kms { key } => {
                headers.insert(HOW, HeaderValue::from_static("aws:kms"));
                headers.insert(KEY, HeaderValue::try_from(key).map_err(generic)?);
            }
        }
        Ok(())
    }
}

fn generic(source: impl Into<BoxError>) -> object_store::Error {
    object_store::Error::Generic {
        store: "S3",
        source: source.into(),
    }
}
