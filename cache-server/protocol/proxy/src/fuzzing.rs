//! The reader of requests' targets, for fuzz targets: it may not panic, whatever it is
//! given.

use http::{Method, Request};

use crate::{config::Target, route::Endpoint};

/// Reads a method and a target.
///
/// # Panics
/// If a tunnel is one for another method, or leads where it was not allowed to.
pub fn routes(input: &[u8]) {
    let Some((method, uri)) = cache_http::fuzzing::asked(input) else {
        return;
    };
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    let (parts, ()) = request.into_parts();
    let own = ["cache.example:3142".to_owned()];
    let allowed = Target {
        to: "files.example:443".to_owned(),
        private: false,
    };
    match Endpoint::of(&parts, &own) {
        Endpoint::Tunnel(to) => {
            assert_eq!(parts.method, Method::CONNECT);
            if let Some(to) = to.filter(|to| allowed.is(to)) {
                assert!(to.host().eq_ignore_ascii_case("files.example"));
                assert_eq!(to.port_u16(), Some(443));
            }
        }
        Endpoint::Elsewhere => assert!(parts.uri.authority().is_some()),
        Endpoint::Here => assert_ne!(parts.method, Method::CONNECT),
    }
}

#[cfg(test)]
mod tests {
    use cache_core::testing::replay;

    #[test]
    fn routes_that_were_hard_to_read() {
        replay("routes", super::routes);
    }
}
