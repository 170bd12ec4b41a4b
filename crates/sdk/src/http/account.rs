//! What the programs of one machine count together: the requests that were sent with one credential.
//!
//! A remote counts by credential and knows nothing of our processes. So when the requests of each account were sent stands in a file of
//! its own, locked while it is looked at. It holds instants and nothing else; its name is a hash. Where it cannot be used, each process
//! counts for itself, and the remote's own answer to a call too many is heeded as ever.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use crate::Clock;

/// The most requests that a file holds: far more than any remote allows in a window.
const MAX_REQUESTS: usize = 65_536;
/// The bytes of one instant: microseconds since 1970.
const INSTANT_BYTES: usize = 8;

static SHARED: OnceLock<(PathBuf, Clock)> = OnceLock::new();

/// Lets all clients of this process count with those of other processes that were given the same folder. Only the first call counts.
pub fn share_accounts(folder: PathBuf, clock: Clock) {
    SHARED.get_or_init(|| (folder, clock));
}

/// What was sent with one credential.
#[derive(Debug, Clone)]
pub struct Account {
    path: PathBuf,
    clock: Clock,
}

impl Account {
    /// The account that these bytes name, host and secret among them; nothing where processes share none.
    #[must_use]
    pub fn of(credential: &[u8]) -> Option<Self> {
        SHARED.get().map(|(folder, clock)| Self::in_folder(folder, clock.clone(), credential))
    }

    fn in_folder(folder: &Path, clock: Clock, credential: &[u8]) -> Self {
        let hash = ring::digest::digest(&ring::digest::SHA256, credential);
        let name: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self { path: folder.join(name), clock }
    }

    /// Works on when requests were sent, in the order of time, those before `longest` forgotten; and on what time it is. Nobody else
    /// does meanwhile. Nothing where the file cannot be used.
    pub fn with<T>(&self, longest: Duration, work: impl FnOnce(Duration, &mut VecDeque<Duration>) -> T) -> Option<T> {
        let now = Duration::from_micros(u64::try_from(self.clock.now_us()).ok()?);
        let worked = self.locked(longest, now, work);
        if let Err(error) = &worked {
            tracing::debug!(%error, "requests are counted by this process alone");
        }
        worked.ok()
    }

    fn locked<T>(
        &self,
        longest: Duration,
        now: Duration,
        work: impl FnOnce(Duration, &mut VecDeque<Duration>) -> T,
    ) -> std::io::Result<T> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.path)?;
        // The system takes the lock back when the file is closed, also of a process that dies.
        file.lock()?;
        let mut bytes = Vec::new();
        (&mut file).take((MAX_REQUESTS * INSTANT_BYTES) as u64).read_to_end(&mut bytes)?;
        let (instants, _) = bytes.as_chunks::<INSTANT_BYTES>();
        let instants = instants.iter().map(|bytes| Duration::from_micros(u64::from_le_bytes(*bytes)));
        // A clock that was set back must not shut us out.
        let mut sent: VecDeque<Duration> = instants.filter(|at| *at + longest > now && *at <= now + longest).collect();
        let done = work(now, &mut sent);
        let bytes: Vec<u8> = sent.iter().flat_map(|at| u64::try_from(at.as_micros()).unwrap_or(u64::MAX).to_le_bytes()).collect();
        file.rewind()?;
        file.write_all(&bytes)?;
        file.set_len(bytes.len() as u64)?;
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn what_one_counts_another_sees_until_it_is_long_ago() {
        let folder = std::env::temp_dir().join(format!("headwater-account-{}", std::process::id()));
        let at = |second: i64| {
            let clock = Clock::fixed(Timestamp::from_second(second).unwrap());
            Account::in_folder(&folder, clock, b"crm.example\0token")
        };
        let window = Duration::from_secs(10);
        let count = |second: i64| {
            at(second).with(window, |now, sent| {
                sent.push_back(now);
                sent.len()
            })
        };
        assert_eq!((count(100), count(105), count(111)), (Some(1), Some(2), Some(2)));
        assert_eq!(count(50), Some(1), "a clock that was set back shuts nobody out");
        let other = Account::in_folder(&folder, Clock::fixed(Timestamp::UNIX_EPOCH), b"crm.example\0other");
        assert_eq!(other.with(window, |_, sent| sent.len()), Some(0));
        let names: Vec<_> = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert!(names.iter().all(|name| !name.to_string_lossy().contains("token")), "{names:?}");
        fs::remove_dir_all(folder).unwrap();
    }
}
