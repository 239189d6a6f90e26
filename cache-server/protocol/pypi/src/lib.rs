//! The Python package index: PEP 503 and 691 pages, files and their metadata.
