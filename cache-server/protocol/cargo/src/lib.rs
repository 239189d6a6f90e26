//! The cargo sparse registry: index and crates.
