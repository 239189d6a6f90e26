//! `Capabilities`: what this server does, and how much of it at once.

use async_trait::async_trait;
use cache_core::{Action, Outcome, Tier};
use cache_http::Identity;
use cache_proto::{
    build::bazel::semver::SemVer,
    reapi::{
        ActionCacheUpdateCapabilities, CacheCapabilities, GetCapabilitiesRequest,
        ServerCapabilities, capabilities_server::Capabilities, compressor::Value as Compressor,
        digest_function::Value as Function, symlink_absolute_path_strategy::Value as Symlinks,
    },
};
use tonic::{Request, Response, Status};

use crate::{call::answer, reapi::Reapi};

/// BLAKE3 came with 2.3; nothing later is spoken.
const VERSIONS: (SemVer, SemVer) = (version(0), version(3));

#[async_trait]
impl Capabilities for Reapi {
    async fn get_capabilities(
        &self,
        request: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<ServerCapabilities>, Status> {
        let name = &request.get_ref().instance_name;
        let (instance, _) = Self::enter(request.extensions(), Action::Read, name)?;
        let may_write = Identity::allow(request.extensions(), Action::Write, instance.as_str());
        let capabilities = ServerCapabilities {
            cache_capabilities: Some(self.cache_capabilities(may_write.is_ok())),
            deprecated_api_version: None,
            low_api_version: Some(VERSIONS.0),
            high_api_version: Some(VERSIONS.1),
        };
        Ok(answer(capabilities, Outcome::Bypass, Tier::None))
    }
}

impl Reapi {
    fn cache_capabilities(&self, update_enabled: bool) -> CacheCapabilities {
        let functions = [Function::Sha256, Function::Blake3, Function::Sha512];
        let config = self.config();
        CacheCapabilities {
            digest_functions: functions.map(Into::into).to_vec(),
            action_cache_update_capabilities: Some(ActionCacheUpdateCapabilities {
                update_enabled,
            }),
            cache_priority_capabilities: None,
            max_batch_total_size_bytes: signed(config.batch_bytes()),
            symlink_absolute_path_strategy: Symlinks::Allowed.into(),
            supported_compressors: vec![Compressor::Zstd.into()],
            supported_batch_update_compressors: vec![Compressor::Zstd.into()],
            // 0 is no limit.
            max_cas_blob_size_bytes: config.blob.map_or(0, |limit| signed(limit.0)),
        }
    }
}

const fn version(minor: i32) -> SemVer {
    SemVer {
        major: 2,
        minor,
        patch: 0,
        prerelease: String::new(),
    }
}

/// As messages tell sizes.
pub(crate) fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
