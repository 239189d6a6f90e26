//! The npm registry: packuments and tarballs.
