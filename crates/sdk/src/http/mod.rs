//! The HTTP client every connector uses.
