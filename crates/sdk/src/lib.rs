//! What a connector is: [`Connector`], [`Source`], [`Sink`], their errors, secrets and the HTTP client.
//!
//! A connector yields and answers; it never drives. It knows no store, no schedule, no other connector, and holds no position:
//! everything needed to go on stands in the [`Checkpoint`](headwater_model::checkpoint::Checkpoint) it was given.

pub mod clock;
pub mod connector;
pub mod document;
pub mod error;
pub mod http;
pub mod rows;
pub mod secret;
pub mod since;
pub mod sink;
pub mod source;
#[cfg(feature = "testkit")]
pub mod testkit;
#[cfg(feature = "testkit")]
pub mod testkit_sink;

pub use clock::Clock;
pub use connector::{BuildContext, Companion, ConfigDoc, Connector, ConnectorSpec, Registry};
pub use error::{Error, ErrorKind, Result, Retry};
pub use rows::{TextRows, json_text};
pub use secret::{Secret, SecretRef};
pub use since::SinceCursor;
pub use sink::{
    DeliveryRow, Fields, Lookup, MatchKey, Operation, Pace, RemoteRecord, Removal, RowOutcome, Sink, SinkCapability, WriteReport,
    Writes,
};
pub use source::{EventStream, Source, SourceEvent, StreamSpec};
