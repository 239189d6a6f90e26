//! The forms in which a client takes a manifest. A registry chooses among them, so what
//! a tag leads to depends on them; by its digest there is one form only.

use http::{HeaderMap, HeaderValue, header};

use crate::document::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

const KNOWN: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

/// Which of the known forms a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forms([bool; KNOWN.len()]);

impl Forms {
    /// Whatever it is.
    pub(super) const ALL: Self = Self([true; KNOWN.len()]);

    /// What `Accept` lists. Who takes anything, or lists nothing that we know, gets it
    /// as the registry has it.
    pub(super) fn of(request: &HeaderMap) -> Self {
        let lines = request.get_all(header::ACCEPT).iter();
        let lines = lines.filter_map(|line| line.to_str().ok());
        let listed: Vec<&str> = lines
            .flat_map(|line| line.split(','))
            .map(|range| range.split(';').next().unwrap_or_default().trim())
            .collect();
        let has = |form: &str| listed.iter().any(|it| it.eq_ignore_ascii_case(form));
        let forms = KNOWN.map(has);
        if has("*/*") || has("application/*") || forms == [false; KNOWN.len()] {
            return Self::ALL;
        }
        Self(forms)
    }

    /// `Accept` for the registry.
    pub(super) fn accept(self) -> HeaderValue {
        let wanted = KNOWN.iter().zip(self.0).filter(|(_, wanted)| *wanted);
        let mut listed: Vec<&str> = wanted.map(|(form, _)| *form).collect();
        if self == Self::ALL {
            listed.push("*/*");
        }
        HeaderValue::try_from(listed.join(", ")).expect("media types are ASCII")
    }

    /// What tells a tag in these forms from the same in all.
    pub(super) fn suffix(self) -> String {
        if self == Self::ALL {
            return String::new();
        }
        let digits = self.0.map(|wanted| if wanted { '1' } else { '0' });
        format!(" {}", digits.iter().collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Forms {
        let line = |line: &&str| (header::ACCEPT, HeaderValue::from_str(line).unwrap());
        Forms::of(&lines.iter().map(line).collect())
    }

    #[test]
    fn who_takes_anything_gets_what_there_is() {
        let all = KNOWN.join(",");
        for lines in [
            &[][..],
            &["*/*"],
            &["application/json"],
            &[OCI_INDEX, "*/*;q=0.1"],
            &[&all],
            &KNOWN,
        ] {
            assert_eq!(of(lines), Forms::ALL, "{lines:?}");
        }
        assert!(Forms::ALL.suffix().is_empty());
        assert!(Forms::ALL.accept().to_str().unwrap().ends_with(", */*"));
    }

    #[test]
    fn who_takes_one_form_is_kept_apart_and_asks_for_that_form() {
        let docker = of(&[&format!("{DOCKER_MANIFEST};q=0.5, text/html")]);
        assert_eq!(docker.accept(), DOCKER_MANIFEST);
        assert_eq!(docker.suffix(), " 0001");
        let both = of(&[DOCKER_MANIFEST, &OCI_MANIFEST.to_uppercase()]);
        assert_eq!(both.suffix(), " 0101");
        assert_eq!(both.accept(), format!("{OCI_MANIFEST}, {DOCKER_MANIFEST}"));
    }
}
