//! Who asks: what is put on each request.

use base64::{Engine, prelude::BASE64_STANDARD};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};

use crate::{Error, Result};

/// What a caller has to show.
#[derive(Clone, Default)]
pub(crate) enum Credentials {
    #[default]
    None,
    Token(String),
    Basic {
        user: String,
        password: String,
    },
}

/// Says which, and no secret.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token(...)",
            Self::Basic { .. } => "Basic(...)",
        })
    }
}

/// Puts the credentials on each request.
#[derive(Clone, Debug)]
pub(crate) struct Authorization(Option<MetadataValue<Ascii>>);

impl Authorization {
    /// The `authorization` field (RFC 6750 2.1, RFC 7617 2).
    pub(crate) fn of(credentials: &Credentials) -> Result<Self> {
        let (what, text) = match credentials {
            Credentials::None => return Ok(Self(None)),
            Credentials::Token(token) => ("token", format!("Bearer {token}")),
            Credentials::Basic { user, .. } if user.contains(':') => {
                return Err(Error::configuration("user", &"may not contain a colon"));
            }
            Credentials::Basic { user, password } => {
                let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
                ("user", format!("Basic {pair}"))
            }
        };
        let value = text.parse::<MetadataValue<Ascii>>();
        let mut value = value.map_err(|error| Error::configuration(what, &error))?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Authorization {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(credentials: &Credentials) -> Result<String> {
        let value = Authorization::of(credentials)?.0;
        Ok(value.unwrap().to_str().unwrap().to_owned())
    }

    #[test]
    fn a_user_and_a_password_are_sent_as_rfc_7617_says() {
        let basic = |user: &str| Credentials::Basic {
            user: user.to_owned(),
            password: "open sesame".to_owned(),
        };
        let sent = header(&basic("Aladdin")).unwrap();
        assert_eq!(sent, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(header(&basic("a:b")).is_err());
    }

    #[test]
    fn a_token_with_a_line_break_is_refused() {
        let token = Credentials::Token("a\nb".to_owned());
        assert!(header(&token).is_err());
        assert_eq!(format!("{token:?}"), "Token(...)");
    }
}
