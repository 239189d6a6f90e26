//! The `dl` of a registry: the URL of a crate with markers in it (the cargo book, "Index
//! configuration").

use std::sync::Arc;

use cache_upstream::{Origin, Source};
use url::Url;

use crate::name;

/// A template of download URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(String);

/// What the markers stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'a> {
    /// With its case.
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    /// Hexadecimal.
    pub(crate) checksum: &'a str,
}

/// A crate that nobody has, to see where a template leads.
const PROBE: Values<'_> = Values {
    name: "crate",
    version: "0.0.0",
    checksum: "0000000000000000000000000000000000000000000000000000000000000000",
};

const MARKERS: [&str; 5] = [
    "{crate}",
    "{version}",
    "{prefix}",
    "{lowerprefix}",
    "{sha256-checksum}",
];

impl Template {
    /// A template, if it leads below one of the origins.
    pub(crate) fn below(text: &str, origins: &[Arc<Origin>]) -> Option<Self> {
        let template = Self(text.to_owned());
        template.source(PROBE, origins)?;
        Some(template)
    }

    /// Where a crate is; `None` if that is below none of the origins, of which the first
    /// wins.
    pub(crate) fn source(&self, values: Values<'_>, origins: &[Arc<Origin>]) -> Option<Source> {
        let url = Url::parse(&self.filled(values)).ok()?;
        origins.iter().find_map(|origin| origin.source(&url))
    }

    /// As cargo does it: without any marker the usual path is appended.
    fn filled(&self, values: Values<'_>) -> String {
        let Values {
            name,
            version,
            checksum,
        } = values;
        if !MARKERS.iter().any(|marker| self.0.contains(marker)) {
            return format!("{}/{name}/{version}/download", self.0);
        }
        // No value has a brace, so none is taken for a marker.
        self.0
            .replace("{crate}", name)
            .replace("{version}", version)
            .replace("{prefix}", &name::prefix(name))
            .replace("{lowerprefix}", &name::prefix(&name.to_ascii_lowercase()))
            .replace("{sha256-checksum}", checksum)
    }
}

#[cfg(test)]
mod tests {
    use cache_upstream::OriginConfig;

    use super::*;

    #[test]
    fn markers_are_filled_in_as_by_cargo() {
        let values = Values {
            name: "MyCrate",
            version: "1.0.0+x",
            checksum: "abc",
        };
        for (template, expected) in [
            (
                "https://d.example",
                "https://d.example/MyCrate/1.0.0+x/download",
            ),
            (
                "https://d.example/{crate}-{version}.crate",
                "https://d.example/MyCrate-1.0.0+x.crate",
            ),
            (
                "https://d.example/{prefix}/{crate}",
                "https://d.example/My/Cr/MyCrate",
            ),
            (
                "https://d.example/{lowerprefix}/x",
                "https://d.example/my/cr/x",
            ),
            (
                "https://d.example/{sha256-checksum}",
                "https://d.example/abc",
            ),
            (
                "https://d.example/{other}",
                "https://d.example/{other}/MyCrate/1.0.0+x/download",
            ),
        ] {
            assert_eq!(Template(template.to_owned()).filled(values), expected);
        }
    }

    #[test]
    fn a_template_that_leads_elsewhere_is_none() {
        let origin = |url: &str| {
            let config = OriginConfig::from(Url::parse(url).unwrap());
            Arc::new(Origin::new(config).unwrap())
        };
        let origins = [origin("https://d.example/crates")];
        let below = |text: &str| Template::below(text, &origins).is_some();
        assert!(below("https://d.example/crates"));
        assert!(below("https://d.example/crates/{prefix}/{crate}"));
        for elsewhere in [
            "https://d.example/other",
            "https://d.example/cratesx",
            "http://d.example/crates",
            "https://{crate}.example/crates",
            "https://d.example/crates/../other/{crate}",
            "https://u:p@d.example/crates",
            "/crates",
            "",
        ] {
            assert!(!below(elsewhere), "{elsewhere}");
        }
    }
}
