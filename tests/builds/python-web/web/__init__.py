"""Temperature conversion over HTTP."""
