//! Stopping and going on.
