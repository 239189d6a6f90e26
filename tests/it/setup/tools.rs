//! Real tools in between.
