//! `ActionCache`: what an action came to, and only with all of its outputs.

use std::collections::HashSet;

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{
    Action, Algorithm, Binding, BlobStoreExt, Change, Closure, Digest, Durability, Error, Outcome,
    Principal, Ref, Tier, Upload,
};
use cache_proto::reapi::{
    ActionResult, GetActionResultRequest, UpdateActionResultRequest,
    action_cache_server::ActionCache,
};
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use tonic::{Request, Response, Status};

use crate::{
    call::answer,
    digest::{Named, function},
    error::{ReapiError, Result},
    inline::Inliner,
    instance::Instance,
    outputs::Outputs,
    reapi::Reapi,
};

/// Names of another algorithm that are looked up at once.
const AT_ONCE: usize = 16;

#[async_trait]
impl ActionCache for Reapi {
    async fn get_action_result(
        &self,
        request: Request<GetActionResultRequest>,
    ) -> Result<Response<ActionResult>, Status> {
        let name = &request.get_ref().instance_name;
        let (instance, _) = Self::enter(request.extensions(), Action::Read, name)?;
        let asked = request.into_inner();
        let function = function(asked.digest_function)?;
        let action = Named::required(asked.action_digest.as_ref(), function)?;
        let (mut result, tier) = self.result(&instance, &action).await?;
        let function = Some(action.digest.algorithm());
        let mut inliner = Inliner::new(self, function, &result);
        inliner.fill(&mut result, &asked).await?;
        Ok(answer(result, Outcome::Hit, tier))
    }

    async fn update_action_result(
        &self,
        request: Request<UpdateActionResultRequest>,
    ) -> Result<Response<ActionResult>, Status> {
        let name = &request.get_ref().instance_name;
        let (instance, who) = Self::enter(request.extensions(), Action::Write, name)?;
        let asked = request.into_inner();
        let function = function(asked.digest_function)?;
        let action = Named::required(asked.action_digest.as_ref(), function)?;
        let result = asked.action_result;
        let result = result.ok_or(ReapiError::Result("it is not set"))?;
        let _slot = self.slot().await?;
        self.keep(&instance, &who, &action, &result).await?;
        Ok(answer(result, Outcome::Stored, Tier::None))
    }
}

impl Reapi {
    /// A result with all of its outputs, which are leased.
    async fn result(&self, instance: &Instance, action: &Named) -> Result<(ActionResult, Tier)> {
        let key = instance.action(&action.digest);
        let to = self.cache().refs().resolve(&key).await?;
        let to = to.ok_or(ReapiError::ActionUnknown)?;
        if self.cache().closure(&to).await? != Closure::Complete {
            return Err(ReapiError::ActionUnknown);
        }
        let blob = self.blobs().open(&to.target).await?;
        let blob = blob.ok_or(ReapiError::ActionUnknown)?;
        let bytes = match blob.read(self.config().document.0).await {
            // Damaged is as good as gone: the client runs the action again.
            Err(Error::Corrupt { .. }) => return Err(ReapiError::ActionUnknown),
            read => read?,
        };
        let result = ActionResult::decode(bytes).map_err(|_| ReapiError::ActionUnknown)?;
        Ok((result, blob.tier()))
    }

    /// Keeps a result whose outputs are all here.
    async fn keep(
        &self,
        instance: &Instance,
        who: &Principal,
        action: &Named,
        result: &ActionResult,
    ) -> Result<()> {
        let function = Some(action.digest.algorithm());
        let outputs = Outputs::of(self, result, function).await?;
        let closure = self.present(outputs).await?;
        let bytes = Bytes::from(result.encode_to_vec());
        let stored = self.blobs().put(Upload::default(), bytes, None).await?;
        let to = Ref {
            target: stored.digest,
            closure,
            meta: Bytes::new(),
            writer: who.name.clone(),
            written: self.clock().wall(),
        };
        let change = Change {
            bindings: vec![Binding::set(instance.action(&action.digest), to)],
            // An acknowledged result survives a power cut; all who wait share one sync.
            durability: Durability::Barrier,
        };
        Ok(self.cache().bind(change).await?)
    }

    /// The SHA-256 names of blobs, each once, if all are here; they are leased.
    async fn present(&self, blobs: Vec<Named>) -> Result<Vec<Digest>> {
        let mut seen = HashSet::with_capacity(blobs.len());
        let blobs: Vec<_> = blobs.into_iter().filter(|it| seen.insert(*it)).collect();
        let names: Vec<_> = blobs.iter().map(|blob| blob.digest).collect();
        let sizes = self.blobs().lease(&names).await?;
        let absent = blobs.iter().zip(sizes);
        let absent = absent.filter(|(blob, size)| *size != Some(blob.size));
        let missing: Vec<_> = absent.map(|(blob, _)| blob.digest).collect();
        if !missing.is_empty() {
            return Err(ReapiError::Incomplete { missing });
        }
        let names = stream::iter(names).map(|name| self.sha256(name));
        names.buffered(AT_ONCE).try_collect().await
    }

    /// The name under which a blob is stored.
    async fn sha256(&self, name: Digest) -> Result<Digest> {
        if name.algorithm() == Algorithm::Sha256 {
            return Ok(name);
        }
        let blob = self.blobs().open(&name).await?;
        let missing = vec![name];
        let blob = blob.ok_or(ReapiError::Incomplete { missing })?;
        Ok(*blob.digest())
    }
}
