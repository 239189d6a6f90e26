//! Who asks, and what they may do.

/// What is done to a repository or key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Reading.
    Read,
    /// Writing, which includes reading and deleting.
    Write,
}

/// A right on every name below a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whole path segments, as `team/app`; empty for every name.
    pub prefix: String,
    /// The most that is allowed.
    pub action: Action,
}

/// Someone whose requests are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The user's or the token's name, for logs and for the writer of a ref.
    pub name: String,
    /// What they may do.
    pub grants: Vec<Grant>,
    /// Whether they showed who they are; decides between 401 and 403.
    pub authenticated: bool,
}

impl Principal {
    /// The one who asks a server that is open to all.
    #[must_use]
    pub fn anyone() -> Self {
        Self::anonymous(vec![Grant {
            prefix: String::new(),
            action: Action::Write,
        }])
    }

    /// Someone who did not show who they are.
    #[must_use]
    pub fn anonymous(grants: Vec<Grant>) -> Self {
        Self {
            name: "anonymous".to_owned(),
            grants,
            authenticated: false,
        }
    }

    /// Whether they may do `action` to `name`.
    #[must_use]
    pub fn may(&self, action: Action, name: &str) -> bool {
        self.grants
            .iter()
            .any(|grant| grant.action >= action && is_below(name, &grant.prefix))
    }

    /// Whether they may read every name.
    #[must_use]
    pub fn reads_all(&self) -> bool {
        self.grants.iter().any(|grant| grant.prefix.is_empty())
    }
}

fn is_below(name: &str, prefix: &str) -> bool {
    prefix.is_empty()
        || name
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_whole_segments_only() {
        let grants = vec![
            Grant {
                prefix: "team".to_owned(),
                action: Action::Read,
            },
            Grant {
                prefix: "team/app".to_owned(),
                action: Action::Write,
            },
        ];
        let principal = Principal::anonymous(grants);
        assert!(principal.may(Action::Read, "team"));
        assert!(principal.may(Action::Read, "team/other"));
        assert!(!principal.may(Action::Write, "team/other"));
        assert!(principal.may(Action::Write, "team/app/cache"));
        assert!(!principal.may(Action::Read, "teamwork"));
        assert!(!principal.may(Action::Write, "team/apple"));
        assert!(!principal.reads_all());
    }
}
