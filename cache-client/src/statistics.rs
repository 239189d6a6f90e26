//! What a server did, in figures.

use std::time::{Duration, SystemTime};

use cache_proto::cachalot::v1::{self, statistics_client::StatisticsClient};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};

use crate::{
    Result,
    builds::{parse_duration, parse_time},
    connection::Connection,
    retry::Repeat,
    streamed::streamed,
};

/// What the server did since its start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// The server's version.
    pub version: String,
    /// When it started.
    pub started: SystemTime,
    /// What time the server says it is; `None` if it is a version that does not tell.
    pub now: Option<SystemTime>,
    /// Requests, by what they were and what they came to.
    pub requests: Vec<RequestCount>,
    /// Bytes, by where they came from.
    pub bytes: Vec<ByteCount>,
    /// What is stored.
    pub storage: Storage,
}

/// How many requests were alike. The labels are those of the metric
/// `cachalot_requests_total`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestCount {
    /// The protocol, as `npm`.
    pub protocol: String,
    /// `immutable`, `index` or `other`.
    pub class: String,
    /// The operation, as `get`.
    pub op: String,
    /// What it came to, as `hit`.
    pub outcome: String,
    /// Where the bytes came from.
    pub tier: String,
    /// The program that asked.
    pub client: String,
    /// How many.
    pub requests: u64,
}

/// How many bytes came from somewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ByteCount {
    /// The protocol.
    pub protocol: String,
    /// Where they came from; `upstream` for what origins sent.
    pub tier: String,
    /// How many.
    pub bytes: u64,
}

/// What is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Storage {
    /// How many blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The limit in bytes.
    pub capacity: u64,
}

/// One request that the server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// By which the server's log knows it.
    pub id: String,
    /// When it began.
    pub started: SystemTime,
    /// How long it took.
    pub duration: Duration,
    /// As `GET`.
    pub method: String,
    /// What was asked for.
    pub path: String,
    /// The HTTP status.
    pub status: u32,
    /// The protocol.
    pub protocol: String,
    /// What it came to.
    pub outcome: String,
    /// Where the bytes came from.
    pub tier: String,
    /// The program that asked.
    pub client: String,
    /// Who asked.
    pub principal: String,
    /// How many bytes were sent.
    pub bytes: u64,
    /// Which package it was about, if one.
    pub package: String,
}

/// What a server did.
#[derive(Clone, Debug)]
pub struct Statistics {
    connection: Connection,
}

impl Statistics {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// The figures since the server's start.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn summary(&self) -> Result<Summary> {
        let call = "cachalot.v1.Statistics.Summary";
        let summary =
            |channel, request| async move { StatisticsClient::new(channel).summary(request).await };
        let request = v1::SummaryRequest {};
        let answer = self.connection.call(call, Repeat::Safe, request, summary);
        Ok(Summary::parse(answer.await?))
    }

    /// The last requests, at most `last` and 1,000, the newest last; with `follow` those
    /// that come then, until the stream is dropped.
    ///
    /// # Errors
    /// Those of any call; an item too, and the stream ends there.
    pub async fn requests(
        &self,
        last: u32,
        follow: bool,
    ) -> Result<BoxStream<'static, Result<Request>>> {
        let call = "cachalot.v1.Statistics.Requests";
        let request = v1::RequestsRequest { last, follow };
        let requests = |channel, request| async move {
            StatisticsClient::new(channel).requests(request).await
        };
        let pages = streamed(&self.connection, call, request, requests).await?;
        let requests = pages.map_ok(|page: v1::RequestsResponse| {
            stream::iter(
                page.requests
                    .into_iter()
                    .map(|wire| Ok(Request::parse(wire))),
            )
        });
        Ok(requests.try_flatten().boxed())
    }

    /// What the server knows of a URL, a digest (`algorithm:hex`) or a key
    /// (`namespace:key`), and what a request would find: a JSON document.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn why(&self, subject: &str) -> Result<String> {
        let call = "cachalot.v1.Statistics.Why";
        let request = v1::WhyRequest {
            subject: subject.to_owned(),
        };
        let why =
            |channel, request| async move { StatisticsClient::new(channel).why(request).await };
        let answer = self.connection.call(call, Repeat::Safe, request, why);
        Ok(answer.await?.json)
    }
}

impl Summary {
    fn parse(wire: v1::SummaryResponse) -> Self {
        let storage = wire.storage.unwrap_or_default();
        Self {
            version: wire.version,
            started: parse_time(wire.started),
            now: wire.now.map(|now| parse_time(Some(now))),
            requests: wire.requests.into_iter().map(RequestCount::parse).collect(),
            bytes: wire.bytes.into_iter().map(ByteCount::parse).collect(),
            storage: Storage {
                blobs: storage.blobs,
                bytes: storage.bytes,
                capacity: storage.capacity,
            },
        }
    }
}

impl RequestCount {
    fn parse(wire: v1::RequestCount) -> Self {
        Self {
            protocol: wire.protocol,
            class: wire.class,
            op: wire.op,
            outcome: wire.outcome,
            tier: wire.tier,
            client: wire.client,
            requests: wire.requests,
        }
    }
}

impl ByteCount {
    fn parse(wire: v1::ByteCount) -> Self {
        Self {
            protocol: wire.protocol,
            tier: wire.tier,
            bytes: wire.bytes,
        }
    }
}

impl Request {
    fn parse(wire: v1::Request) -> Self {
        Self {
            id: wire.id,
            started: parse_time(wire.started),
            duration: parse_duration(wire.duration),
            method: wire.method,
            path: wire.path,
            status: wire.status,
            protocol: wire.protocol,
            outcome: wire.outcome,
            tier: wire.tier,
            client: wire.client,
            principal: wire.principal,
            bytes: wire.bytes,
            package: wire.package,
        }
    }
}
