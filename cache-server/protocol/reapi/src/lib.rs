//! The caching part of the Remote Execution API over a content-addressed store.
