//! Which crates and versions are withheld.

use std::time::SystemTime;

use cache_core::policy::{Policy, Verdict};
use cache_upstream::Subject;

use crate::{
    document::Release,
    name::CrateName,
    registry::{PROTOCOL, Registry},
};

/// One name for what registries hold to be one: case makes no difference, nor does `-`
/// for `_`.
pub(crate) fn canonical(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// What is judged of a crate, for the log and the metrics.
pub(crate) fn subject<'a>(registry: &'a Registry, name: &'a CrateName) -> Subject<'a> {
    Subject {
        protocol: PROTOCOL,
        index: &registry.name,
        policy: &registry.policy,
        package: name.as_str(),
    }
}

/// What the rules say of a version.
pub(crate) fn of_release(policy: &Policy, release: &Release, now: SystemTime) -> Verdict {
    let (name, version) = (&release.name, &release.version);
    policy.of_release(name, version, release.published, now)
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
            let is_denied = policy.of_name(name).enforced().is_some();
            assert_eq!(is_denied, covered, "{pattern} {name}");
        }
    }
}
