//! Our own services, as far as the library's calls go.

use std::time::SystemTime;

use cache_core::{BlobStoreExt, Digest};
use cache_proto::cachalot::v1::{
    self, BindRequest, BindResponse, CheckProgress, CheckRequest, CollectRequest, CollectResponse,
    DeleteRefRequest, DeleteRefResponse, ListBuildsRequest, ListBuildsResponse, ListRefsRequest,
    ListRefsResponse, RepairRequest, ReportBuildRequest, ReportBuildResponse, RequestsRequest,
    RequestsResponse, ResolveRequest, ResolveResponse, ScrubProgress, ScrubRequest, SummaryRequest,
    SummaryResponse, WhyRequest, WhyResponse, administration_server::Administration,
    bind_request::Precondition, builds_server::Builds, refs_server::Refs,
    statistics_server::Statistics,
};
use futures::{StreamExt, stream, stream::BoxStream};
use tonic::{Request, Response, Status, async_trait};

use super::Service;

/// Small, so that a few refs are several pages.
const PAGE: usize = 3;

#[async_trait]
impl Refs for Service {
    async fn resolve(
        &self,
        request: Request<ResolveRequest>,
    ) -> Result<Response<ResolveResponse>, Status> {
        self.0.begin("Resolve", &request).await?;
        let refs = self.0.refs.lock();
        for (i, candidate) in request.into_inner().candidates.iter().enumerate() {
            let of = refs.values().filter(|r| r.namespace == candidate.namespace);
            let found = of
                .filter(|r| match candidate.prefix {
                    true => r.key.starts_with(&candidate.key),
                    false => r.key == candidate.key,
                })
                .max_by_key(|r| r.written.map(|t| (t.seconds, t.nanos)));
            if let Some(found) = found {
                return Ok(Response::new(ResolveResponse {
                    r#ref: Some(found.clone()),
                    candidate: i as u32,
                }));
            }
        }
        Ok(Response::new(ResolveResponse::default()))
    }

    async fn bind(&self, request: Request<BindRequest>) -> Result<Response<BindResponse>, Status> {
        self.0.begin("Bind", &request).await?;
        let request = request.into_inner();
        let target = request.target.clone().unwrap();
        for blob in request.closure.iter().chain([&target]) {
            let digest = Digest::from_sha256(blob.sha256[..].try_into().unwrap());
            if self.0.store.size(&digest).await.unwrap().is_none() {
                return Err(Status::failed_precondition(format!("{digest} is missing")));
            }
        }
        let mut refs = self.0.refs.lock();
        let key = (request.namespace.clone(), request.key.clone());
        let now = refs.get(&key).map(|r| r.target.clone().unwrap().sha256);
        let holds = match request.precondition {
            None => true,
            Some(Precondition::Unbound(_)) => now.is_none(),
            Some(Precondition::LeadsTo(wanted)) => now == Some(wanted),
        };
        if !holds {
            return Err(Status::aborted("it leads elsewhere"));
        }
        let bound = v1::Ref {
            namespace: request.namespace,
            key: request.key,
            target: Some(target),
            closure: request.closure.len() as u64,
            meta: request.meta,
            writer: "test".to_owned(),
            written: Some(SystemTime::now().into()),
        };
        refs.insert(key, bound.clone());
        Ok(Response::new(BindResponse { r#ref: Some(bound) }))
    }

    async fn list(
        &self,
        request: Request<ListRefsRequest>,
    ) -> Result<Response<ListRefsResponse>, Status> {
        self.0.begin("List", &request).await?;
        let request = request.into_inner();
        let refs = self.0.refs.lock();
        let wanted = |r: &&v1::Ref| {
            r.namespace == request.namespace
                && r.key.starts_with(&request.prefix)
                && r.key > request.page
        };
        let found: Vec<_> = refs.values().filter(wanted).take(PAGE).cloned().collect();
        let next = found.last().filter(|_| found.len() == PAGE);
        Ok(Response::new(ListRefsResponse {
            next_page: next.map(|r| r.key.clone()).unwrap_or_default(),
            refs: found,
        }))
    }

    async fn delete(
        &self,
        request: Request<DeleteRefRequest>,
    ) -> Result<Response<DeleteRefResponse>, Status> {
        self.0.begin("Delete", &request).await?;
        let request = request.into_inner();
        let key = (request.namespace, request.key);
        let existed = self.0.refs.lock().remove(&key).is_some();
        Ok(Response::new(DeleteRefResponse { existed }))
    }
}

#[async_trait]
impl Builds for Service {
    async fn report(
        &self,
        request: Request<ReportBuildRequest>,
    ) -> Result<Response<ReportBuildResponse>, Status> {
        let build = request.get_ref().build.clone().unwrap();
        // It is done, whatever is then said of it.
        let previous = self.0.builds.lock().last().cloned();
        self.0.builds.lock().push(build);
        self.0.begin("Report", &request).await?;
        Ok(Response::new(ReportBuildResponse { previous }))
    }

    async fn list(
        &self,
        request: Request<ListBuildsRequest>,
    ) -> Result<Response<ListBuildsResponse>, Status> {
        self.0.begin("ListBuilds", &request).await?;
        let builds = self.0.builds.lock().iter().rev().cloned().collect();
        Ok(Response::new(ListBuildsResponse { builds }))
    }
}

#[async_trait]
impl Statistics for Service {
    async fn summary(
        &self,
        request: Request<SummaryRequest>,
    ) -> Result<Response<SummaryResponse>, Status> {
        self.0.begin("Summary", &request).await?;
        Ok(Response::new(SummaryResponse {
            version: "1.2.3".to_owned(),
            ..SummaryResponse::default()
        }))
    }

    type RequestsStream = BoxStream<'static, Result<RequestsResponse, Status>>;

    async fn requests(
        &self,
        request: Request<RequestsRequest>,
    ) -> Result<Response<Self::RequestsStream>, Status> {
        self.0.begin("Requests", &request).await?;
        let page = |id: &str| {
            let request = v1::Request {
                id: id.to_owned(),
                ..v1::Request::default()
            };
            Ok(RequestsResponse {
                requests: vec![request],
            })
        };
        let pages = stream::iter([page("first"), page("second")]);
        Ok(Response::new(if request.get_ref().follow {
            pages.chain(stream::pending()).boxed()
        } else {
            pages.boxed()
        }))
    }

    async fn why(&self, request: Request<WhyRequest>) -> Result<Response<WhyResponse>, Status> {
        self.0.begin("Why", &request).await?;
        let subject = &request.get_ref().subject;
        Ok(Response::new(WhyResponse {
            json: format!("{{\"subject\":\"{subject}\"}}"),
        }))
    }
}

#[async_trait]
impl Administration for Service {
    async fn collect(
        &self,
        request: Request<CollectRequest>,
    ) -> Result<Response<CollectResponse>, Status> {
        self.0.begin("Collect", &request).await?;
        Ok(Response::new(CollectResponse { blobs: 2, bytes: 7 }))
    }

    type ScrubStream = BoxStream<'static, Result<ScrubProgress, Status>>;

    async fn scrub(
        &self,
        request: Request<ScrubRequest>,
    ) -> Result<Response<Self::ScrubStream>, Status> {
        self.0.begin("Scrub", &request).await?;
        let progress = |blobs, complete| ScrubProgress {
            blobs,
            complete,
            ..ScrubProgress::default()
        };
        let progress = [Ok(progress(1, false)), Ok(progress(2, true))];
        Ok(Response::new(stream::iter(progress).boxed()))
    }

    type CheckStream = BoxStream<'static, Result<CheckProgress, Status>>;

    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<Self::CheckStream>, Status> {
        self.0.begin("Check", &request).await?;
        let found = CheckProgress {
            missing_blobs: 1,
            findings: vec!["a file is gone".to_owned()],
            complete: true,
            ..CheckProgress::default()
        };
        Ok(Response::new(stream::iter([Ok(found)]).boxed()))
    }

    type RepairStream = BoxStream<'static, Result<CheckProgress, Status>>;

    async fn repair(
        &self,
        request: Request<RepairRequest>,
    ) -> Result<Response<Self::RepairStream>, Status> {
        self.0.begin("Repair", &request).await?;
        let broken = Err(Status::unavailable("as told"));
        Ok(Response::new(
            stream::iter([Ok(CheckProgress::default()), broken]).boxed(),
        ))
    }
}
