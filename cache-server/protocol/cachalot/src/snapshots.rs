//! `cachalot.v1.Snapshots`: directory trees, shown only while every blob is here.

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{Action, Outcome};
use cache_proto::cachalot::v1::{
    self, CreateSnapshotRequest, CreateSnapshotResponse, DeleteRefRequest, DeleteRefResponse,
    ListRefsRequest, ListRefsResponse, ResolveRequest, ResolveResponse,
    snapshots_server::Snapshots,
};
use tonic::{Extensions, Request, Response, Status};

use crate::{
    Cachalot,
    blob::Named,
    cachalot::allow,
    error::CachalotError,
    name::{Shelf, Space},
    refs::Demand,
    serve::{answered, found},
};

impl Cachalot {
    async fn create_snapshot(
        &self,
        extensions: &Extensions,
        request: &CreateSnapshotRequest,
    ) -> Result<v1::Ref, CachalotError> {
        let space = Space::parse("namespace", &request.namespace)?;
        let who = allow(extensions, Action::Write, &space)?;
        let key = Shelf::Snapshots.key(&space, "key", &request.key)?;
        let root = Named::parse("root", request.root.as_ref())?;
        let _slot = self.slots().acquire().await;
        let needs = self.blobs_of_tree(root).await?;
        let demand = match request.only_if_unbound {
            true => Demand::UnboundOr(root.digest()),
            false => Demand::Any,
        };
        let bound = self.write(key, root, &needs, Bytes::new(), &who, demand);
        Ok(bound.await?.message(&space, &request.key))
    }
}

#[async_trait]
impl Snapshots for Cachalot {
    async fn create(
        &self,
        request: Request<CreateSnapshotRequest>,
    ) -> Result<Response<CreateSnapshotResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let r#ref = Some(self.create_snapshot(&extensions, &request).await?);
        let answer = CreateSnapshotResponse { r#ref };
        let method = "/cachalot.v1.Snapshots/Create";
        Ok(answered(method, answer, Outcome::Stored))
    }

    async fn resolve(
        &self,
        request: Request<ResolveRequest>,
    ) -> Result<Response<ResolveResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let answer = self.resolve_on(Shelf::Snapshots, &extensions, &request);
        let answer = answer.await?;
        let outcome = found(answer.r#ref.is_some());
        Ok(answered("/cachalot.v1.Snapshots/Resolve", answer, outcome))
    }

    async fn list(
        &self,
        request: Request<ListRefsRequest>,
    ) -> Result<Response<ListRefsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let answer = self
            .list_on(Shelf::Snapshots, &extensions, &request)
            .await?;
        let method = "/cachalot.v1.Snapshots/List";
        Ok(answered(method, answer, Outcome::Bypass))
    }

    async fn delete(
        &self,
        request: Request<DeleteRefRequest>,
    ) -> Result<Response<DeleteRefResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let answer = self.delete_on(Shelf::Snapshots, &extensions, &request);
        let answer = answer.await?;
        let method = "/cachalot.v1.Snapshots/Delete";
        Ok(answered(method, answer, Outcome::Bypass))
    }
}
