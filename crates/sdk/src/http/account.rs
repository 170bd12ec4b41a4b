//! What the programs of one machine count together: the requests that were sent with one credential.
//!
//! A remote counts by credential and knows nothing of our processes. So each account has files of its own, named by a hash and locked
//! while they are looked at:
//!
//! | file | holds |
//! |---|---|
//! | `HASH` | for how long instants are kept, then when requests were sent: microseconds (since 1970), eight bytes each |
//! | `HASH.day` | a day of UTC and how many requests were sent on it, as text |
//! | `HASH.closed` | until when the remote wants nothing: microseconds since 1970, eight bytes |
//! | `HASH.slot-N` | nothing: who has a request in flight holds the lock of one of them |
//! | `HASH.turn` | nothing: who is next in line for a slot holds its lock |
//!
//! Who looks at the last second and who looks at the last hour count the same requests, so each keeps them for as long as the one with the
//! longest memory wants.
//!
//! Where they cannot be used, each process counts for itself, and the remote's own answer to a call too many is heeded as ever.

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep};
use url::Url;

use crate::Clock;

/// The most requests that a file holds: far more than any remote allows in a window.
const MAX_REQUESTS: usize = 65_536;
/// The longest that instants are kept: no remote counts in longer windows than a day, and a file that says more is none of ours.
const LONGEST_KEPT: Duration = Duration::from_hours(48);
/// The bytes of one instant: microseconds since 1970.
const INSTANT_BYTES: usize = 8;
/// The longest that a file with a day and its count may be.
const MAX_DAY_BYTES: u64 = 64;
/// How long to wait before another look whether a slot is free: short beside any request.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long to wait for a slot of other processes: beyond it they hang, and no request takes so long.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

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
    /// The account in which a remote sees requests with these proofs of who sent them: names and values as they are sent, such as
    /// `authorization` and `Bearer …`. Nothing where processes share none.
    #[must_use]
    pub fn of(remote: &Url, proofs: &[(&str, &[u8])]) -> Option<Self> {
        let mut proofs: Vec<(String, &[u8])> = proofs.iter().map(|(name, value)| (name.to_ascii_lowercase(), *value)).collect();
        proofs.sort_unstable();
        let mut known = remote.origin().ascii_serialization().into_bytes();
        for (name, value) in proofs {
            known.push(0);
            known.extend_from_slice(name.as_bytes());
            known.push(0);
            known.extend_from_slice(value);
        }
        SHARED.get().map(|(folder, clock)| Self::in_folder(folder, clock.clone(), &known))
    }

    /// The same for some of its requests, which are counted apart.
    #[must_use]
    pub fn part(&self, name: &[u8]) -> Self {
        let known = [self.path.as_os_str().as_encoded_bytes(), &[0], name].concat();
        Self::in_folder(self.path.parent().unwrap_or(Path::new("")), self.clock.clone(), &known)
    }

    fn in_folder(folder: &Path, clock: Clock, credential: &[u8]) -> Self {
        let hash = ring::digest::digest(&ring::digest::SHA256, credential);
        let name: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self { path: folder.join(name), clock }
    }

    /// Works on when requests were sent, in the order of time, those of the last `longest` among them; and on what time it is. Nobody
    /// else does meanwhile. Nothing where the file cannot be used.
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
        let mut file = open(&self.path)?;
        // The system takes the lock back when the file is closed, also of a process that dies.
        file.lock()?;
        let mut bytes = Vec::new();
        (&mut file).take(((MAX_REQUESTS + 1) * INSTANT_BYTES) as u64).read_to_end(&mut bytes)?;
        let (spans, _) = bytes.as_chunks::<INSTANT_BYTES>();
        let mut spans = spans.iter().map(|bytes| Duration::from_micros(u64::from_le_bytes(*bytes)));
        let asked = longest.min(LONGEST_KEPT);
        let (known, kept) =
            spans.next().filter(|kept| *kept <= LONGEST_KEPT).map_or((false, asked), |kept| (true, kept.max(asked)));
        // A clock that was set back must not shut us out.
        let mut sent: VecDeque<Duration> = spans.filter(|at| known && *at + kept > now && *at <= now + kept).collect();
        let done = work(now, &mut sent);
        let spans = std::iter::once(&kept).chain(sent.iter().skip(sent.len().saturating_sub(MAX_REQUESTS)));
        let bytes: Vec<u8> = spans.flat_map(|at| u64::try_from(at.as_micros()).unwrap_or(u64::MAX).to_le_bytes()).collect();
        file.rewind()?;
        file.write_all(&bytes)?;
        file.set_len(bytes.len() as u64)?;
        Ok(done)
    }

    /// Counts so many more requests to the present day of UTC; how many there are by now, by all processes. Nothing where the file
    /// cannot be used.
    pub fn sent_today(&self, more: u64) -> Option<u64> {
        let counted = self.counted(more);
        if let Err(error) = &counted {
            tracing::debug!(%error, "the day's requests are counted by this process alone");
        }
        counted.ok()
    }

    fn counted(&self, more: u64) -> std::io::Result<u64> {
        let today = self.clock.now().strftime("%F").to_string();
        let mut file = open(&self.beside("day"))?;
        file.lock()?;
        let mut text = String::new();
        // What is no day and count begins anew.
        let read = (&mut file).take(MAX_DAY_BYTES).read_to_string(&mut text);
        let known = read.ok().and_then(|_| text.trim().split_once(' ')).filter(|(day, _)| *day == today);
        let known = known.and_then(|(_, count)| count.parse().ok()).unwrap_or(0_u64);
        let count = known.saturating_add(more);
        if more > 0 {
            let text = format!("{today} {count}\n");
            file.rewind()?;
            file.write_all(text.as_bytes())?;
            file.set_len(text.len() as u64)?;
        }
        Ok(count)
    }

    /// Notes that the remote wants nothing for so long. Where the file cannot be used, only this process knows.
    pub fn close_for(&self, wait: Duration) {
        let closed = self.until(wait).and_then(|until| {
            let mut file = open(&self.beside("closed"))?;
            file.lock()?;
            let known = read_instant(&mut file)?;
            file.rewind()?;
            file.write_all(&known.max(until).to_le_bytes())
        });
        if let Err(error) = closed {
            tracing::debug!(%error, "that the remote is closed is known to this process alone");
        }
    }

    /// How long the remote still wants nothing, as far as any process knows; `longest` at most, since a clock may be set back.
    #[must_use]
    pub fn closed_for(&self, longest: Duration) -> Option<Duration> {
        let mut file = File::open(self.beside("closed")).ok()?;
        file.lock_shared().ok()?;
        let now = u64::try_from(self.clock.now_us()).ok()?;
        let left = Duration::from_micros(read_instant(&mut file).ok()?.checked_sub(now)?);
        (!left.is_zero() && left <= longest).then_some(left)
    }

    fn until(&self, wait: Duration) -> std::io::Result<u64> {
        let until = Duration::from_micros(u64::try_from(self.clock.now_us()).unwrap_or_default()).saturating_add(wait);
        u64::try_from(until.as_micros()).map_err(std::io::Error::other)
    }

    /// Waits for one of `most` slots that all processes share. Nothing where the files cannot be used, or nobody gives one back.
    async fn slot(&self, most: usize) -> Option<File> {
        let until = Instant::now() + LONGEST_WAIT;
        let slots: Vec<String> = (0..most).map(|slot| format!("slot-{slot}")).collect();
        // One waits in line at a time, so that whoever has just given a slot back does not take it before them.
        let turn = self.first_free(&["turn".to_owned()], until).await?;
        let slot = self.first_free(&slots, until).await;
        drop(turn);
        slot
    }

    async fn first_free(&self, names: &[String], until: Instant) -> Option<File> {
        loop {
            for name in names {
                match self.try_lock(name) {
                    Ok(Some(file)) => return Some(file),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::debug!(%error, "requests in flight are counted by this process alone");
                        return None;
                    }
                }
            }
            if Instant::now() >= until {
                tracing::warn!("another process holds all requests in flight of this credential and does not end them; going on");
                return None;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// A file whose lock is held as long as it is open; nothing while somebody else holds it.
    fn try_lock(&self, name: &str) -> std::io::Result<Option<File>> {
        let file = open(&self.beside(name))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn beside(&self, what: &str) -> PathBuf {
        self.path.with_extension(what)
    }
}

/// The instant that a file holds; the beginning of time where it holds none.
fn read_instant(file: &mut File) -> std::io::Result<u64> {
    let mut bytes = Vec::with_capacity(INSTANT_BYTES);
    file.take(INSTANT_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
}

fn open(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match (options.open(path), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            options.open(path)
        }
        (opened, _) => opened,
    }
}

/// How many requests are in flight at once: of one client, and where it has an account of all processes. Those of one that is killed
/// are free again, since the system takes its locks back.
#[derive(Debug)]
pub struct Slots {
    most: usize,
    own: Semaphore,
    /// Who of this client waits for a slot that is shared.
    turn: Mutex<()>,
    account: Option<Account>,
}

/// A request in flight, until it is dropped.
#[derive(Debug)]
pub struct InFlight<'a> {
    _own: SemaphorePermit<'a>,
    _shared: Option<File>,
}

impl Slots {
    /// So many, at least one.
    #[must_use]
    pub fn new(most: usize, account: Option<Account>) -> Self {
        let most = most.max(1);
        Self { most, own: Semaphore::new(most), turn: Mutex::default(), account }
    }

    /// Waits for a slot; nothing when there are none any more.
    pub async fn take(&self) -> Option<InFlight<'_>> {
        let own = self.own.acquire().await.ok()?;
        let shared = match &self.account {
            Some(account) => {
                let _turn = self.turn.lock().await;
                account.slot(self.most).await
            }
            None => None,
        };
        Some(InFlight { _own: own, _shared: shared })
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

    fn of(folder: &tempfile::TempDir, at: &str, credential: &[u8]) -> Account {
        Account::in_folder(folder.path(), Clock::fixed(at.parse().unwrap()), credential)
    }

    #[test]
    fn the_requests_of_a_day_are_counted_by_all_and_begin_anew_on_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let at = |when: &str| of(&folder, when, b"a");
        let (noon, evening, morrow) = ("2026-03-01T12:00:00Z", "2026-03-01T23:59:59Z", "2026-03-02T00:00:00Z");
        assert_eq!((at(noon).sent_today(0), at(noon).sent_today(2), at(evening).sent_today(1)), (Some(0), Some(2), Some(3)));
        assert_eq!(of(&folder, evening, b"b").sent_today(1), Some(1), "another credential");
        assert_eq!((at(morrow).sent_today(0), at(evening).sent_today(0), at(morrow).sent_today(1)), (Some(0), Some(3), Some(1)));
        for broken in [&b"\xff\xfe 3"[..], b"2026-03-02", b"2026-03-02 many", &[b'9'; 4_096]] {
            fs::write(at(morrow).beside("day"), broken).unwrap();
            assert_eq!((at(morrow).sent_today(1), at(morrow).sent_today(0)), (Some(1), Some(1)));
        }
        fs::write(folder.path().join("file"), "").unwrap();
        let nowhere = Account::in_folder(&folder.path().join("file"), Clock::fixed(Timestamp::UNIX_EPOCH), b"a");
        assert_eq!(nowhere.sent_today(1), None, "where the folder cannot be used, nothing is shared");
    }

    #[test]
    fn what_one_learns_of_a_closed_remote_all_know_until_it_opens() {
        let folder = tempfile::tempdir().unwrap();
        let at = |when: &str| of(&folder, when, b"a");
        let (minute, hour) = (Duration::from_mins(1), Duration::from_hours(1));
        assert_eq!(at("2026-03-01T12:00:00Z").closed_for(hour), None);
        at("2026-03-01T12:00:00Z").close_for(minute);
        at("2026-03-01T12:00:10Z").close_for(minute / 6);
        assert_eq!(at("2026-03-01T12:00:20Z").closed_for(hour), Some(minute * 2 / 3), "the longer wait holds");
        assert_eq!(at("2026-03-01T12:01:00Z").closed_for(hour), None);
        assert_eq!(at("2026-03-01T09:00:00Z").closed_for(hour), None, "a clock that was set back shuts nobody out");
        assert_eq!(of(&folder, "2026-03-01T12:00:20Z", b"b").closed_for(hour), None, "another credential");
        fs::write(at("2026-03-01T12:00:20Z").beside("closed"), "?").unwrap();
        assert_eq!(at("2026-03-01T12:00:20Z").closed_for(hour), None);
    }

    #[test]
    fn who_looks_back_longer_finds_what_others_sent() {
        let folder = tempfile::tempdir().unwrap();
        let (second, minute) = (Duration::from_secs(1), Duration::from_mins(1));
        let sent = |at: &str, longest: Duration, more: usize| {
            let work = |now: Duration, sent: &mut VecDeque<Duration>| {
                sent.extend(std::iter::repeat_n(now, more));
                sent.len()
            };
            of(&folder, at, b"a").with(longest, work)
        };
        assert_eq!(sent("2026-03-01T12:00:00Z", minute, 2), Some(2));
        assert_eq!(sent("2026-03-01T12:00:30Z", second, 1), Some(3), "two are past one's window and not the other's");
        assert_eq!(sent("2026-03-01T12:00:59Z", minute, 0), Some(3));
        assert_eq!(sent("2026-03-01T12:01:00Z", second, 0), Some(1));
        assert_eq!(sent("2026-03-01T12:00:50Z", minute, MAX_REQUESTS * 2), Some(MAX_REQUESTS * 2 + 1));
        assert_eq!(sent("2026-03-01T12:00:50Z", minute, 0), Some(MAX_REQUESTS), "a file has a bound");
        for broken in [&b""[..], b"?", &[255; 64]] {
            fs::write(&of(&folder, "2026-03-01T12:00:50Z", b"a").path, broken).unwrap();
            assert_eq!(sent("2026-03-01T12:00:50Z", minute, 1), Some(1));
            assert_eq!(sent("2026-03-01T12:00:51Z", minute, 0), Some(1));
        }
    }

    #[test]
    fn parts_of_an_account_are_counted_apart() {
        let folder = tempfile::tempdir().unwrap();
        let whole = of(&folder, "2026-03-01T12:00:00Z", b"a");
        let count = |account: &Account| {
            account.with(Duration::from_secs(1), |now, sent| {
                sent.push_back(now);
                sent.len()
            })
        };
        let (one, other) = (whole.part(b"search"), whole.part(b"write"));
        assert_eq!([&whole, &one, &other, &whole.part(b"search")].map(count), [Some(1), Some(1), Some(1), Some(2)]);
    }

    #[tokio::test]
    async fn slots_are_shared_and_come_back_when_their_holder_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let client = |most| Slots::new(most, Some(of(&folder, "2026-03-01T12:00:00Z", b"a")));
        let (one, other) = (client(3), client(3));
        let held = [one.take().await.unwrap(), one.take().await.unwrap(), other.take().await.unwrap()];
        assert!(tokio::time::timeout(LOOK_AGAIN * 4, other.take()).await.is_err(), "three are in flight");
        assert!(tokio::time::timeout(LOOK_AGAIN * 4, one.take()).await.is_err());
        let [first, ..] = held;
        drop(first);
        let again = other.take().await.unwrap();
        assert!(again._shared.is_some());
        let nowhere = Account::in_folder(&folder.path().join("no\0folder"), Clock::fixed(Timestamp::UNIX_EPOCH), b"a");
        let alone = Slots::new(1, Some(nowhere));
        assert!(alone.take().await.unwrap()._shared.is_none(), "each process counts alone where the folder cannot be used");
    }

    #[tokio::test]
    async fn who_waits_for_a_slot_gets_it_before_whoever_gives_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let client = || Slots::new(1, Some(of(&folder, "2026-03-01T12:00:00Z", b"a")));
        let (greedy, patient) = (client(), client());
        let mut held = greedy.take().await.unwrap();
        let mut waiting = std::pin::pin!(patient.take());
        let mut turns = 0;
        loop {
            tokio::select! {
                biased;
                _ = &mut waiting => break,
                () = sleep(LOOK_AGAIN) => {}
            }
            drop(held);
            turns += 1;
            assert!(turns < 3, "whoever waited was passed over");
            held = match tokio::time::timeout(LOOK_AGAIN / 5, greedy.take()).await {
                Ok(slot) => slot.unwrap(),
                Err(_) => {
                    waiting.as_mut().await.unwrap();
                    break;
                }
            };
        }
    }
}
