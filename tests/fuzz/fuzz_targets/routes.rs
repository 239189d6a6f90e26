//! Methods and URLs, as every protocol reads them.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    cache_oci::fuzzing::routes(input);
    cache_apt::fuzzing::routes(input);
    cache_cargo::fuzzing::routes(input);
    cache_file::fuzzing::routes(input);
    cache_npm::fuzzing::routes(input);
    cache_proxy::fuzzing::routes(input);
    cache_pypi::fuzzing::routes(input);
    #[cfg(feature = "server")]
    cache_server::fuzzing::routes(input);
});
