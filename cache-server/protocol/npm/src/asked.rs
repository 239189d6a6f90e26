//! How something is asked for, read from the request's headers: in which form, by whom,
//! and how new it must be.

use cache_upstream::Demand;
use http::{HeaderMap, HeaderValue, header};

/// How it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Which of the two packuments.
    pub(crate) form: Form,
    /// By whom.
    pub(crate) client: Client,
    /// How new it must be.
    pub(crate) demand: Demand,
}

/// The clients that are told apart, by how they take the URLs of tarballs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// npm itself, which finds tarballs by its own configuration.
    Npm,
    /// yarn 1, which writes what it is told into its lock file, and takes what is no URL
    /// for a path at the registry that it is configured for.
    Yarn1,
    /// One that talks to the registry itself, as far as it knows.
    OfTheOrigin,
    /// Everyone else follows URLs.
    Other,
}

/// The two forms of a packument (npm/registry, package-metadata.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// With everything.
    Full,
    /// With what an installation needs.
    Abbreviated,
}

impl Asked {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self {
            form: Form::accepted(headers),
            client: Client::of(headers),
            demand: Demand::of(headers),
        }
    }
}

impl Client {
    fn of(headers: &HeaderMap) -> Self {
        let agent = headers.get(header::USER_AGENT);
        match agent.map_or(&b""[..], HeaderValue::as_bytes) {
            // "pnpm/10.0.0 npm/? node/..." is another.
            agent if agent.starts_with(b"npm/") => Self::Npm,
            agent if agent.starts_with(b"yarn/1.") => Self::Yarn1,
            _ => Self::Other,
        }
    }
}

impl Form {
    const ABBREVIATED: &'static str = "application/vnd.npm.install-v1+json";

    /// Abbreviated for those who name it and like it no less than the full one; a client
    /// that gets too little fails, one that gets too much does not.
    fn accepted(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::ACCEPT).iter();
        let ranges = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .filter_map(quality);
        let (mut short, mut full) = (0.0_f32, 0.0);
        for (media, q) in ranges {
            if media.eq_ignore_ascii_case(Self::ABBREVIATED) {
                short = q;
            } else if media.eq_ignore_ascii_case("application/json") {
                full = q;
            }
        }
        if short > 0.0 && short >= full {
            Self::Abbreviated
        } else {
            Self::Full
        }
    }

    /// What the registry is asked with.
    pub(crate) const fn accept(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Full => "application/json",
            Self::Abbreviated => {
                "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*"
            }
        })
    }

    /// Its part of a key.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Abbreviated => "abbreviated",
        }
    }
}

/// A media range and its weight (RFC 9110, 12.4.2 and 12.5.1).
fn quality(range: &str) -> Option<(&str, f32)> {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next()?;
    let weight = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.eq_ignore_ascii_case("q").then_some(value)
    });
    let weight = weight.map_or(Some(1.0), |q| q.parse().ok())?;
    Some((media, weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_known_by_how_their_names_begin() {
        for (agent, client) in [
            ("npm/11.19.1 node/v24.0.0 linux x64", Client::Npm),
            ("pnpm/10.34.9 npm/? node/v24.0.0 linux x64", Client::Other),
            ("yarn/1.22.22 npm/? node/v24.0.0 linux x64", Client::Yarn1),
            ("yarn/4.18.1 npm/? node/v24.0.0 linux x64", Client::Other),
            ("bun/1.3.0 npm/? node/v24.0.0 linux x64", Client::Other),
            ("", Client::Other),
        ] {
            let headers = [(header::USER_AGENT, HeaderValue::from_static(agent))];
            assert_eq!(
                Client::of(&HeaderMap::from_iter(headers)),
                client,
                "{agent}"
            );
        }
        assert_eq!(Client::of(&HeaderMap::new()), Client::Other);
    }

    #[test]
    fn the_abbreviated_form_is_for_those_who_prefer_it() {
        let form = |accept: &'static str| {
            let headers = [(header::ACCEPT, HeaderValue::from_static(accept))];
            Asked::of(&HeaderMap::from_iter(headers)).form
        };
        let short = "application/vnd.npm.install-v1+json";
        for accept in [short, "Application/Vnd.npm.install-v1+JSON, */*"] {
            assert_eq!(form(accept), Form::Abbreviated, "{accept}");
        }
        for preferred in ["; q=1.0, application/json; q=0.8, */*", ",application/json"] {
            let accept = format!("{short}{preferred}").leak();
            assert_eq!(form(accept), Form::Abbreviated, "{accept}");
        }
        for full in ["; q=0", ";q=0.5, application/json", "; q=x"] {
            let accept = format!("{short}{full}").leak();
            assert_eq!(form(accept), Form::Full, "{accept}");
        }
        for accept in ["application/json", "*/*", "application/*", ""] {
            assert_eq!(form(accept), Form::Full, "{accept}");
        }
        assert_eq!(Asked::of(&HeaderMap::new()).form, Form::Full);
    }
}
