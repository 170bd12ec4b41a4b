//! Our own connector files.
