//! Cachalot's own gRPC services.
