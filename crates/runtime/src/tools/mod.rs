//! The stages as stand-alone tools: no project, no store, a file in and an answer out.
//!
//! The same code as the stages does the work; what stands here reads the input, names file and line of what is wrong with it, and
//! gives the answer to the caller, who alone prints.

pub mod attribute;
pub mod read;
pub mod resolve;
