//! Airbyte manifests.

mod jinja;
