//! The readers of what clients send, for fuzzers: none may panic, whatever they are given.

use bytes::Bytes;

use crate::{
    compression::Inflater,
    digest::{function, of_hex},
    instance::Instance,
    resource_name::{ResourceName, UploadName},
};

/// Reads a text as each kind of name, and what is one again as it is printed.
///
/// # Panics
/// If a name is not read again as itself.
pub fn names(text: &str) {
    let _ = Instance::parse(text);
    if let Ok(name) = ResourceName::parse(text) {
        assert_eq!(ResourceName::parse(&name.to_string()).ok(), Some(name));
    }
    if let Ok(name) = UploadName::parse(text) {
        assert_eq!(UploadName::parse(&name.to_string()).ok(), Some(name));
    }
}

/// Reads a text as a hash of a function that a message names.
pub fn hash(text: &str, named: i32) {
    if let Ok(function) = function(named) {
        let _ = of_hex(text, function);
    }
}

/// Decompresses a stream that is said to be of a blob of `size` bytes.
///
/// # Panics
/// If more than that comes out.
pub fn inflate(stream: &[u8], size: u16) {
    let size = u64::from(size);
    let Ok(mut inflater) = Inflater::new(size) else {
        return;
    };
    let mut input = Bytes::copy_from_slice(stream);
    let mut made = 0;
    while let Ok(Some(part)) = inflater.step(&mut input) {
        made += part.len() as u64;
        assert!(made <= size);
    }
}
