//! The program from outside, and the source tree as text. One binary: linking takes longer than all of these checks compile.

mod cli;
mod crash;
mod delivery;
mod tidy;
