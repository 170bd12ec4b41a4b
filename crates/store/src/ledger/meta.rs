//! `hw_meta`: single values about the ledger itself.

use sqlx::SqliteConnection;

use crate::Result;

/// The layout of the control tables.
pub(crate) const SCHEMA_VERSION: &str = "schema_version";
/// A digest of the suppression key, by which a lost or foreign key is noticed.
pub(crate) const SUPPRESSION_KEY: &str = "suppression_key";

/// There while an erasure is committed and not finished.
pub(crate) const ERASURE: &str = "erasure";

pub(crate) async fn get(connection: &mut SqliteConnection, key: &str) -> Result<Option<String>> {
    Ok(sqlx::query_scalar("SELECT value FROM hw_meta WHERE key = ?").bind(key).fetch_optional(connection).await?)
}

pub(crate) async fn set(connection: &mut SqliteConnection, key: &str, value: &str) -> Result<()> {
    sqlx::query("INSERT INTO hw_meta VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value")
        .bind(key)
        .bind(value)
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) async fn remove(connection: &mut SqliteConnection, key: &str) -> Result<()> {
    sqlx::query("DELETE FROM hw_meta WHERE key = ?").bind(key).execute(connection).await?;
    Ok(())
}
