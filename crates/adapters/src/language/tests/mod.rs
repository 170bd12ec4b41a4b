//! The format from outside: what a file may say, and what it is told when it says something else.

mod complaints;
mod features;
mod jobs;
mod positions;
mod remote;
mod resuming;
mod settings;
mod tokens;
mod troubles;
mod whole;
