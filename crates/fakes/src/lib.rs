//! Stand-ins for CRMs that cannot run here, each made after its vendor's documentation.
//!
//! A fake keeps records as the vendor does and answers as the vendor documents: limits, partial failures, search lag, expiring
//! tokens, conflicts. Tests use it to hold a sink against what a vendor does, and `headwater demo --crm` lets a user try the whole
//! way. It is not a mock: nothing is scripted per test, and what was written can be read back.
//!
//! Invariants: a [`Vendor`] is a pure machine of calls and answers, told the time; [`serve`] is the only network. What goes wrong
//! is said in [`Conditions`] and is the same in every run.

pub mod attio;
pub mod bottlecrm;
pub mod brevo;
mod call;
pub mod close;
mod conditions;
pub mod dataverse;
pub mod freshsales;
pub mod hubspot;
mod journal;
mod kind;
pub mod mailchimp;
pub mod odoo;
pub mod pipedrive;
mod records;
pub mod salesforce;
mod serve;
mod tasks;
mod tokens;
pub mod zoho;

pub use call::{Answer, Call};
pub use conditions::{Conditions, Rate, RetryAfter};
pub use journal::Journalled;
pub use kind::{ByHand, Kind};
pub use records::{Record, Records};
pub use serve::{Counts, Running, Vendor, serve};
