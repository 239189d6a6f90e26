//! `/integrations/buildkit/source-policy.json`: rules by which `BuildKit` asks us for what
//! a build wants from the origins, with no change to its Dockerfile.
//!
//! The rules are those of `moby/buildkit`'s `sourcepolicy/pb/policy.proto`. They convert
//! `ADD` of a URL in every builder, and every GET of a RUN step where the builder has a
//! proxy network for it.

use axum::{
    Json, Router,
    extract::{Query, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::transparent::Places;

/// Makes the policy.
#[derive(Clone, Debug)]
pub(crate) struct SourcePolicy {
    places: Places,
    public: Url,
}

#[derive(Debug, Deserialize)]
struct Asked {
    /// How builders reach this server, if not by its public URL.
    server: Option<Url>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Policy {
    version: u32,
    rules: Vec<Rule>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Rule {
    action: &'static str,
    selector: Selector,
    updates: Update,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Selector {
    identifier: String,
    match_type: &'static str,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Update {
    identifier: String,
}

impl SourcePolicy {
    pub(crate) const fn new(places: Places, public: Url) -> Self {
        Self { places, public }
    }

    pub(crate) fn routes(self) -> Router {
        let path = "/integrations/buildkit/source-policy.json";
        Router::new().route(path, get(policy)).with_state(self)
    }

    fn policy(&self, server: &Url) -> Policy {
        let server = server.as_str().trim_end_matches('/');
        let mut rules: Vec<Rule> = Vec::new();
        for (base, below) in self.places.bases() {
            let rule = rule(base, below, server);
            // One origin may serve two protocols.
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        Policy { version: 1, rules }
    }
}

async fn policy(
    State(policy): State<SourcePolicy>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let server = match asked {
        Ok(Query(asked)) => asked.server.unwrap_or_else(|| policy.public.clone()),
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    if !matches!(server.scheme(), "http" | "https") || server.query().is_some() {
        let told = "?server= is the http or https URL by which builders reach this server\n";
        return (StatusCode::BAD_REQUEST, told).into_response();
    }
    Json(policy.policy(&server)).into_response()
}

/// For what lies below a base. Behind a proxy that ends TLS, `BuildKit` has the port in
/// what it compares.
fn rule(base: &Url, below: &str, server: &str) -> Rule {
    let (scheme, path) = (base.scheme(), base.path());
    let host = base.host_str().unwrap_or_default();
    let port = match (base.port(), base.port_or_known_default()) {
        (None, Some(port)) => format!("(?::{port})?"),
        (port, _) => port.map(|port| format!(":{port}")).unwrap_or_default(),
    };
    let (quoted_host, quoted_path) = (quoted(host), quoted(path));
    let authority = base.authority();
    Rule {
        action: "CONVERT",
        selector: Selector {
            identifier: format!("^{scheme}://{quoted_host}{port}{quoted_path}({below})$"),
            match_type: "REGEX",
        },
        updates: Update {
            // `$` begins the name of a group.
            identifier: format!(
                "{server}/t/{scheme}/{authority}{}${{1}}",
                path.replace('$', "$$")
            ),
        },
    }
}

/// Text as a regular expression of it (RE2).
fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for c in text.chars() {
        if c.is_ascii_punctuation() && !matches!(c, '/' | '-' | '_') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_leads_what_is_below_a_base_here() {
        let base = "https://pypi.example/simple/".parse().unwrap();
        let rule = rule(&base, ".*", "http://cachalot:3242");
        assert_eq!(
            rule.selector.identifier,
            r"^https://pypi\.example(?::443)?/simple/(.*)$"
        );
        assert_eq!(
            rule.updates.identifier,
            "http://cachalot:3242/t/https/pypi.example/simple/${1}"
        );
    }

    #[test]
    fn a_port_of_its_own_is_a_part_of_the_origin() {
        let base = "http://127.0.0.1:8081/a+b/".parse().unwrap();
        let rule = rule(&base, ".*", "http://cachalot");
        assert_eq!(
            rule.selector.identifier,
            r"^http://127\.0\.0\.1:8081/a\+b/(.*)$"
        );
        assert_eq!(
            rule.updates.identifier,
            "http://cachalot/t/http/127.0.0.1:8081/a+b/${1}"
        );
    }
}
