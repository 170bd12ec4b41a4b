//! Settings and project files into ingest, resolve, measure and deliver
