//! Finds the files that a path or pattern names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use headwater_sdk::{Error, ErrorKind, Result};

/// The most files that one pattern may name.
pub(super) const MAX_FILES: usize = 10_000;
/// The most folder entries that are looked at for one pattern: a `**` at the root of a disk ends here.
pub(super) const MAX_ENTRIES: usize = 1_000_000;

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its path relative to the project, as the user knows it.
    pub(super) name: String,
    /// Where it is.
    pub(super) path: PathBuf,
}

/// The files that `pattern` names, sorted by name.
///
/// Hidden files and folders are found only by a pattern that begins with their dot; Excel's lock files never.
pub(super) fn find(base: &Path, pattern: &str) -> Result<Vec<Found>> {
    let whole = base.join(pattern);
    let mut walk = Walk { files: BTreeMap::new(), base: base.to_path_buf(), entries: 0 };
    if whole.is_file() {
        walk.take(&whole)?;
    } else {
        let segments: Vec<&str> = pattern.split('/').filter(|segment| !segment.is_empty() && *segment != ".").collect();
        let start = if pattern.starts_with('/') { Path::new("/") } else { base };
        walk.descend(start, &segments)?;
    }
    if walk.files.is_empty() {
        return Err(Error::new(ErrorKind::Config, format!("no file matches `{pattern}`"))
            .context("path", "path")
            .hint(format!("paths start from the project's folder, {}", base.display())));
    }
    Ok(walk.files.into_iter().map(|(name, path)| Found { name, path }).collect())
}

struct Walk {
    files: BTreeMap<String, PathBuf>,
    base: PathBuf,
    entries: usize,
}

impl Walk {
    fn take(&mut self, path: &Path) -> Result<()> {
        let name = path.strip_prefix(&self.base).unwrap_or(path).to_string_lossy().into_owned();
        self.files.insert(name, path.to_path_buf());
        if self.files.len() > MAX_FILES { Err(too_many()) } else { Ok(()) }
    }

    fn descend(&mut self, folder: &Path, segments: &[&str]) -> Result<()> {
        let Some((&segment, rest)) = segments.split_first() else { return Ok(()) };
        if segment == "**" {
            let rest = if rest.is_empty() { &["*"] } else { rest };
            self.descend(folder, rest)?;
            for (name, path) in self.entries(folder)? {
                // Links to folders are not followed here: they can form a circle.
                if path.is_dir() && !path.is_symlink() && !name.starts_with('.') {
                    self.descend(&path, segments)?;
                }
            }
            return Ok(());
        }
        if !segment.contains(['*', '?']) {
            return self.step(&folder.join(segment), rest);
        }
        for (name, path) in self.entries(folder)? {
            let hidden = name.starts_with("~$") || (name.starts_with('.') && !segment.starts_with('.'));
            if !hidden && matches(segment, &name) {
                self.step(&path, rest)?;
            }
        }
        Ok(())
    }

    fn step(&mut self, path: &Path, rest: &[&str]) -> Result<()> {
        if rest.is_empty() {
            return if path.is_file() { self.take(path) } else { Ok(()) };
        }
        if path.is_dir() { self.descend(path, rest) } else { Ok(()) }
    }

    fn entries(&mut self, folder: &Path) -> Result<Vec<(String, PathBuf)>> {
        let unreadable = |error: std::io::Error| {
            Error::new(ErrorKind::Config, format!("folder {} cannot be read", folder.display()))
                .hint("check that it exists and that this user may read it")
                .source(error)
        };
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(too_many());
            }
            entries.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
        Ok(entries)
    }
}

fn too_many() -> Error {
    Error::new(ErrorKind::Config, format!("the pattern covers more than {MAX_FILES} files or {MAX_ENTRIES} folder entries"))
        .context("path", "path")
        .hint("narrow it, for example to one folder")
}

/// Whether a whole name of an object store fits a pattern of several segments; `**` stands for any folders.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    fn rest(pattern: &[&str], name: &[&str]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((&"**", more)), _) => {
                let more = if more.is_empty() { &["*"] } else { more };
                rest(more, name) || name.split_first().is_some_and(|(_, below)| rest(pattern, below))
            }
            (Some((segment, more)), Some((first, below))) => matches(segment, first) && rest(more, below),
            _ => false,
        }
    }
    rest(&pattern.split('/').collect::<Vec<_>>(), &name.split('/').collect::<Vec<_>>())
}

/// Whether `name` fits `pattern`, where `*` is any text and `?` any character.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut seen) = (0, 0);
    // Where the last star stands and how much of the name it has taken: on a mismatch it takes one more.
    let mut star: Option<(usize, usize)> = None;
    while let Some(&character) = name.get(seen) {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == character => {
                at += 1;
                seen += 1;
            }
            Some(_) | None => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                at = star_at + 1;
                seen = taken + 1;
            }
        }
    }
    pattern.iter().skip(at).all(|&rest| rest == '*')
}
