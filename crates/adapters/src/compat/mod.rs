//! Airbyte's declarative manifests.
