//! Identity, attribution, source quality: pure work on batches

pub mod attribution;
pub mod channel;
pub mod identity;
pub mod lifecycle;
pub mod logistic;
pub mod quality;
mod simplex;
