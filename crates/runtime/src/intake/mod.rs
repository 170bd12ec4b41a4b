//! Web forms on their way in: who may deliver, what is kept, and how a delivery becomes rows.
//!
//! ```text
//! HTTP (crates/server) ─► Endpoint::admit: signature over the raw bytes, delivery key ─► IntakeLog::append (durable)
//!                                                                                              │
//!                           rows of fields ◄─ payload::read ◄─ IntakeSource ◄──────────────────┘
//! ```
//!
//! Invariants:
//! - A body is judged and kept as the bytes that arrived; nothing is parsed before the answer except to find the sender's own id.
//! - The answer promises durability and nothing else: a body that no parser understands is accepted, and refused later, at conform
//!   time, into quarantine. Senders treat an error as "try again" or "switch the webhook off", and neither would mend it.
//! - The same delivery has the same key, so a sender may repeat itself as often as it likes.
//! - Push becomes pull: [`IntakeSource`] is a source like any other, and its position is a number in the log.

mod config;
mod endpoint;
mod key;
mod log;
pub mod payload;
pub mod provider;
pub mod signature;
mod source;

pub use config::{FetchConfig, Format, IntakeConfig};
pub use endpoint::{Asked, Endpoint, Incoming, Reply, is_browser_form};
pub use headwater_sdk::{BuildContext, Clock, Secret, SecretRef};
pub use key::delivery_key;
pub use log::{Appended, Delivery, IntakeLog, IntakeRecord, LogError};
pub use signature::Signature;
pub use source::{IntakeConnector, IntakeSource, NAME, taken_over};
