//! Identity, attribution, source quality: pure work on batches

pub mod attribution;
pub mod channel;
pub mod company;
pub mod customer;
pub mod identity;
pub mod lifecycle;
pub mod logistic;
pub mod propensity;
pub mod quality;
mod simplex;
