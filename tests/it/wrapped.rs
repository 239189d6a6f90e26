//! Builds that `cachalot build` wraps.
