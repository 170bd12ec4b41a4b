//! The durable log that deliveries are appended to and read from.

use std::collections::BTreeMap;

use async_trait::async_trait;
use headwater_store::{Store, StoreError};
use serde_json::Value;

/// A delivery on its way into the log.
#[derive(Clone, PartialEq, Eq)]
pub struct IntakeRecord {
    /// The source it was posted to.
    pub source: String,
    /// When it arrived, in microseconds of UTC.
    pub received_at_us: i64,
    /// Its content type, as sent.
    pub content_type: String,
    /// The few headers worth keeping: an object of text.
    pub headers: Value,
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// What makes a repetition recognisable; unique within the source.
    pub delivery_key: String,
    /// `verified`, `token_only` or `unsigned`.
    pub signature_status: &'static str,
}

/// A delivery as the log gives it back.
#[derive(Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its place in the log; grows.
    pub seq: i64,
    /// When it arrived, in microseconds of UTC.
    pub received_at_us: i64,
    /// Its content type, as sent.
    pub content_type: String,
    /// The kept headers: an object of text.
    pub headers: Value,
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// What makes a repetition recognisable.
    pub delivery_key: String,
    /// How its signature was judged.
    pub signature_status: String,
}

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The delivery's place in the log; the first one's, when this repeats it.
    pub seq: i64,
    /// Whether the log already had it.
    pub duplicate: bool,
}

/// Why the log did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Its queue is full; nothing was taken.
    #[error("the intake log has more waiting than it may hold: send again later")]
    Busy,
    /// There is no room; nothing was taken.
    #[error("the disk of the intake log is full: free some space")]
    DiskFull,
    /// Anything else.
    #[error("the intake log cannot be reached")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The durable log of deliveries. That deliveries were taken over is no call of its own: it belongs to the commit that does it.
#[async_trait]
pub trait IntakeLog: Send + Sync + 'static {
    /// Keeps a delivery. When this returns `Ok`, the delivery survives a crash of process and machine; a key the source already has
    /// is kept once.
    ///
    /// # Errors
    /// The delivery must then be taken as not kept.
    async fn append(&self, record: IntakeRecord) -> Result<Appended, LogError>;

    /// Up to `limit` deliveries of `source` that stand after `seq`, in order.
    ///
    /// # Errors
    /// When the log cannot be read.
    async fn after(&self, source: &str, seq: i64, limit: usize) -> Result<Vec<Delivery>, LogError>;

    /// How many deliveries of each source wait to be taken.
    ///
    /// # Errors
    /// When the log cannot be read.
    async fn depth(&self) -> Result<BTreeMap<String, u64>, LogError>;
}

#[async_trait]
impl IntakeLog for Store {
    async fn append(&self, record: IntakeRecord) -> Result<Appended, LogError> {
        let IntakeRecord { source, received_at_us, content_type, headers, body, delivery_key, signature_status } = record;
        let record = headwater_store::IntakeRecord {
            source,
            received_at: received_at_us,
            content_type: Some(content_type),
            headers,
            body,
            delivery_key: Some(delivery_key),
            signature_status: signature_status.to_owned(),
        };
        let headwater_store::Appended { seq, duplicate } = self.intake_append(record).await?;
        Ok(Appended { seq, duplicate })
    }

    async fn after(&self, source: &str, seq: i64, limit: usize) -> Result<Vec<Delivery>, LogError> {
        let rows = self.intake_after(source, seq, u32::try_from(limit).unwrap_or(u32::MAX)).await?;
        let delivery = |row: headwater_store::IntakeRow| Delivery {
            seq: row.seq,
            received_at_us: row.record.received_at,
            content_type: row.record.content_type.unwrap_or_default(),
            headers: row.record.headers,
            body: row.record.body,
            delivery_key: row.record.delivery_key.unwrap_or_else(|| format!("seq:{}", row.seq)),
            signature_status: row.record.signature_status,
        };
        Ok(rows.into_iter().map(delivery).collect())
    }

    async fn depth(&self) -> Result<BTreeMap<String, u64>, LogError> {
        let depths = self.intake_depth().await?;
        Ok(depths.into_iter().map(|(source, waiting)| (source, waiting.unsigned_abs())).collect())
    }
}

impl From<StoreError> for LogError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy { .. } => Self::Busy,
            StoreError::DiskFull { .. } => Self::DiskFull,
            other => Self::Unavailable(Box::new(other)),
        }
    }
}

// A body is a person's data: neither form prints it.
impl std::fmt::Debug for IntakeRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IntakeRecord")
            .field("source", &self.source)
            .field("received_at_us", &self.received_at_us)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("seq", &self.seq).field("body_bytes", &self.body.len()).finish_non_exhaustive()
    }
}
