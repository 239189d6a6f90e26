//! `cachalot.v1.Refs`: mutable names for blobs.

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{
    Action, Binding, Change, Digest, Durability, Outcome, Precondition, Principal, RefKey,
};
use cache_proto::cachalot::v1::{
    self, BindRequest, BindResponse, DeleteRefRequest, DeleteRefResponse, ListRefsRequest,
    ListRefsResponse, ResolveRequest, ResolveResponse, bind_request, refs_server::Refs,
};
use tonic::{Extensions, Request, Response, Status};

use crate::{
    Cachalot,
    blob::Named,
    bound::Bound,
    cachalot::allow,
    closure::Needs,
    error::CachalotError,
    name::{Shelf, Space},
    serve::{answered, found},
};

/// A client's own bytes beside a ref.
const MAX_META: usize = 64 << 10;

/// What a writer demands of the key.
pub(crate) enum Demand {
    /// Nothing.
    Any,
    /// That it leads nowhere.
    Unbound,
    /// That it leads nowhere, or there already.
    UnboundOr(Digest),
    /// That it leads there.
    LeadsTo(Digest),
}

impl Cachalot {
    async fn bind_ref(
        &self,
        extensions: &Extensions,
        request: BindRequest,
    ) -> Result<v1::Ref, CachalotError> {
        let space = Space::parse("namespace", &request.namespace)?;
        let who = allow(extensions, Action::Write, &space)?;
        let key = Shelf::Refs.key(&space, "key", &request.key)?;
        if request.meta.len() > MAX_META {
            return Err(CachalotError::invalid("meta", "longer than 64 KiB"));
        }
        let demand = demand(request.precondition)?;
        let target = Named::parse("target", request.target.as_ref())?;
        // The message is the limit.
        let mut needs = Needs::new(usize::MAX);
        for blob in &request.closure {
            needs.add(Named::parse("closure", Some(blob))?);
        }
        needs.add(target);
        needs.settle();
        needs.lease(self.blobs(), "closure").await?;
        let closure = needs.without(&target);
        let bound = self.write(key, target, &closure, request.meta, &who, demand);
        Ok(bound.await?.message(&space, &request.key))
    }

    /// Binds a key to blobs that are leased.
    pub(crate) async fn write(
        &self,
        key: RefKey,
        target: Named,
        closure: &Needs,
        meta: Bytes,
        who: &Principal,
        demand: Demand,
    ) -> Result<Bound, CachalotError> {
        let precondition = self.precondition(&key, demand).await?;
        let kept = closure.keep(self.blobs()).await?;
        let (writer, now) = (who.name.clone(), self.clock().wall());
        let bound = Bound::new(target, kept, meta, writer, now);
        let binding = Binding {
            key,
            to: Some(bound.stored.clone()),
            precondition,
        };
        let change = Change {
            bindings: vec![binding],
            durability: Durability::Barrier,
        };
        self.cache()
            .bind(change)
            .await
            .map_err(|error| match error {
                cache_core::Error::Conflict => CachalotError::Conflict,
                cache_core::Error::Incomplete { missing } => CachalotError::Missing {
                    count: missing.len() as u64,
                    some: missing.into_iter().take(1).collect(),
                },
                other => CachalotError::Store(other),
            })?;
        Ok(bound)
    }

    /// What the store is to check. A ref that is not whole is a miss to everyone, so its
    /// key counts as unbound.
    async fn precondition(
        &self,
        key: &RefKey,
        demand: Demand,
    ) -> Result<Precondition, CachalotError> {
        let allowed = match demand {
            Demand::Any => return Ok(Precondition::Any),
            Demand::LeadsTo(digest) => return Ok(Precondition::Target(digest)),
            Demand::Unbound => None,
            Demand::UnboundOr(digest) => Some(digest),
        };
        let Some(current) = self.refs().resolve(key).await? else {
            return Ok(Precondition::Unbound);
        };
        let target = current.target;
        if allowed == Some(target) || self.whole(current).await?.is_none() {
            return Ok(Precondition::Target(target));
        }
        Err(CachalotError::Conflict)
    }
}

fn demand(precondition: Option<bind_request::Precondition>) -> Result<Demand, CachalotError> {
    match precondition {
        None | Some(bind_request::Precondition::Unbound(false)) => Ok(Demand::Any),
        Some(bind_request::Precondition::Unbound(true)) => Ok(Demand::Unbound),
        Some(bind_request::Precondition::LeadsTo(sha256)) => {
            let sha256 = <[u8; 32]>::try_from(&*sha256)
                .map_err(|_| CachalotError::invalid("leads_to", "not of 32 bytes"))?;
            Ok(Demand::LeadsTo(Digest::from_sha256(sha256)))
        }
    }
}

#[async_trait]
impl Refs for Cachalot {
    async fn resolve(
        &self,
        request: Request<ResolveRequest>,
    ) -> Result<Response<ResolveResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let answer = self.resolve_on(Shelf::Refs, &extensions, &request).await?;
        let outcome = found(answer.r#ref.is_some());
        Ok(answered("/cachalot.v1.Refs/Resolve", answer, outcome))
    }

    async fn bind(&self, request: Request<BindRequest>) -> Result<Response<BindResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let r#ref = Some(self.bind_ref(&extensions, request).await?);
        let answer = BindResponse { r#ref };
        Ok(answered("/cachalot.v1.Refs/Bind", answer, Outcome::Stored))
    }

    async fn list(
        &self,
        request: Request<ListRefsRequest>,
    ) -> Result<Response<ListRefsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let answer = self.list_on(Shelf::Refs, &extensions, &request).await?;
        Ok(answered("/cachalot.v1.Refs/List", answer, Outcome::Bypass))
    }

    async fn delete(
        &self,
        request: Request<DeleteRefRequest>,
    ) -> Result<Response<DeleteRefResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let answer = self.delete_on(Shelf::Refs, &extensions, &request).await?;
        Ok(answered(
            "/cachalot.v1.Refs/Delete",
            answer,
            Outcome::Bypass,
        ))
    }
}
