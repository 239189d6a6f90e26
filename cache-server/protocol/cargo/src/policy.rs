//! Which crates and versions are withheld.

use std::time::SystemTime;

use cache_core::policy::{Policy, Verdict};

use crate::document::Release;

/// One name for what registries hold to be one: case makes no difference, nor does `-`
/// for `_`.
pub(crate) fn canonical(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// Why a crate is withheld, if it is.
pub(crate) fn of_crate(policy: &Policy, name: &str) -> Option<String> {
    enforced(policy.of_name(name))
}

/// Why a version is withheld, if it is.
pub(crate) fn of_release(policy: &Policy, release: &Release, now: SystemTime) -> Option<String> {
    let (name, version) = (&release.name, &release.version);
    enforced(policy.of_release(name, version, release.published, now))
}

fn enforced(verdict: Verdict) -> Option<String> {
    verdict.enforced(|reason| tracing::info!(reason, "the policy would withhold it"))
}

#[cfg(test)]
mod tests {
    use cache_core::policy::PolicyConfig;

    use super::*;

    #[test]
    fn case_and_the_two_dashes_make_no_difference() {
        for (pattern, name, covered) in [
            ("serde", "Serde", true),
            ("serde", "serde_json", false),
            ("serde-*", "serde_json", true),
            ("*_SYS", "OpenSSL-sys", true),
        ] {
            let config = PolicyConfig {
                deny: vec![pattern.to_owned()],
                ..PolicyConfig::default()
            };
            let policy = Policy::new(config, canonical);
            let is_denied = of_crate(&policy, name).is_some();
            assert_eq!(is_denied, covered, "{pattern} {name}");
        }
    }
}
