//! Exit codes: a public table that scripts and container jobs rely on.

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// Done.
    Done = 0,
    /// A bug of ours.
    Bug = 1,
    /// The arguments are wrong; `clap` uses the same number.
    Usage = 2,
    /// The project, or a secret it names, is wrong.
    Config = 3,
    /// Done, but rows were refused.
    Refused = 4,
    /// A remote or the disk does not work now; try again.
    Unavailable = 5,
    /// A remote refused our credentials.
    Auth = 6,
    /// Another run holds the project, or changed it under us.
    Conflict = 7,
    /// Interrupted; what was committed stays.
    Interrupted = 130,
}

impl From<Code> for std::process::ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}
