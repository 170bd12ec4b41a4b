//! Identity, attribution, source quality: pure work on batches
