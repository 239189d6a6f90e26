//! Which form of a page a client wants (PEP 691, "Version + Format Selection").

use http::{HeaderMap, HeaderValue, header};

/// The media type of one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// PEP 691.
    Json,
    /// PEP 503, under the name that PEP 691 gave it.
    HtmlV1,
    /// PEP 503.
    Html,
}

/// What origins are asked for.
pub(crate) const ACCEPT: HeaderValue = HeaderValue::from_static(
    "application/vnd.pypi.simple.v1+json, \
     application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01",
);

impl Form {
    /// What a request's `Accept` likes best; `text/html` if it says nothing, or nothing
    /// that there is (PEP 691 allows this instead of 406).
    pub(crate) fn wanted(request: &HeaderMap) -> Self {
        let lines = request.get_all(header::ACCEPT).iter();
        let ranges: Vec<Range<'_>> = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .map(Range::parse)
            .collect();
        // In the order that decides between equals.
        let forms = [Self::Json, Self::HtmlV1, Self::Html];
        let mut best = (Self::Html, 0, 0);
        for form in forms {
            let range = ranges
                .iter()
                .filter_map(|range| Some((range.fits(form)?, range.quality)));
            // The closest range says how much it is liked (RFC 9110, 12.5.1).
            let Some((closeness, quality)) = range.max_by_key(|(closeness, _)| *closeness) else {
                continue;
            };
            if quality > 0 && (quality, closeness) > (best.1, best.2) {
                best = (form, quality, closeness);
            }
        }
        match best {
            // `*/*` says nothing: curl and browsers send it.
            (_, _, 0) => Self::Html,
            (form, _, _) => form,
        }
    }

    /// The form of an origin's page; `None` if it is no page.
    pub(crate) fn of(answer: &HeaderMap) -> Option<Self> {
        let value = answer.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let essence = value.split(';').next()?.trim().to_ascii_lowercase();
        match &*essence {
            "application/vnd.pypi.simple.v1+json" | "application/json" => Some(Self::Json),
            "application/vnd.pypi.simple.v1+html" => Some(Self::HtmlV1),
            "text/html" | "application/xhtml+xml" => Some(Self::Html),
            _ => None,
        }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/vnd.pypi.simple.v1+json",
            Self::HtmlV1 => "application/vnd.pypi.simple.v1+html",
            Self::Html => "text/html; charset=utf-8",
        }
    }

    pub(crate) const fn is_json(self) -> bool {
        matches!(self, Self::Json)
    }
}

/// One member of `Accept`.
struct Range<'a> {
    kind: &'a str,
    /// In thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let quality = parts
            .filter_map(|part| part.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .map_or(1000, |(_, value)| thousandths(value.trim()));
        Self { kind, quality }
    }

    /// How closely it fits: 2 by name, 1 by kind, 0 as anything does.
    fn fits(&self, form: Form) -> Option<u8> {
        let is = |name: &str| self.kind.eq_ignore_ascii_case(name);
        let named = match form {
            Form::Json => {
                is("application/vnd.pypi.simple.v1+json")
                    || is("application/vnd.pypi.simple.latest+json")
            }
            Form::HtmlV1 => {
                is("application/vnd.pypi.simple.v1+html")
                    || is("application/vnd.pypi.simple.latest+html")
            }
            Form::Html => is("text/html"),
        };
        let kind = match form {
            Form::Json | Form::HtmlV1 => "application/*",
            Form::Html => "text/*",
        };
        match () {
            () if named => Some(2),
            () if is(kind) => Some(1),
            () if is("*/*") => Some(0),
            () => None,
        }
    }
}

/// A q-value; one that is none counts as zero, so that nothing is sent by mistake.
fn thousandths(text: &str) -> u16 {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=1.0).contains(&value) => (value * 1000.0) as u16,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_form_is_chosen() {
        let wanted = |accept: &str| {
            let accept = (header::ACCEPT, HeaderValue::from_str(accept).unwrap());
            Form::wanted(&HeaderMap::from_iter([accept]))
        };
        let ours = ACCEPT;
        for (accept, form) in [
            (ours.to_str().unwrap(), Form::Json),
            ("application/vnd.pypi.simple.v1+json", Form::Json),
            ("application/vnd.pypi.simple.latest+json", Form::Json),
            ("APPLICATION/vnd.pypi.simple.v1+JSON;Q=0.5", Form::Json),
            ("application/vnd.pypi.simple.v1+html", Form::HtmlV1),
            (
                "application/vnd.pypi.simple.v1+html, application/vnd.pypi.simple.v1+json;q=0.9",
                Form::HtmlV1,
            ),
            (
                "text/html, application/vnd.pypi.simple.v1+json;q=0.1",
                Form::Html,
            ),
            ("application/vnd.pypi.simple.v1+json;q=0, */*", Form::Html),
            (
                "application/vnd.pypi.simple.v1+json;q=0, text/html;q=0.01",
                Form::Html,
            ),
            ("*/*", Form::Html),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Form::Html),
            ("application/*", Form::Json),
            ("application/vnd.pypi.simple.v2+json", Form::Html),
            (";q=,,=;", Form::Html),
            ("application/vnd.pypi.simple.v1+json;q=nan", Form::Html),
        ] {
            assert_eq!(wanted(accept), form, "{accept}");
        }
        assert_eq!(Form::wanted(&HeaderMap::new()), Form::Html);
    }
}
