//! The source tree as text, for the checks that read it.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Folders that hold nothing of ours: what is built, and what starts with a dot is left out as well.
const FOREIGN: [&str; 2] = ["target", "node_modules"];

/// A text file of the tree.
#[derive(Debug, Clone)]
pub struct File {
    /// Path from the root of the tree, with `/`.
    pub path: String,
    /// Its whole text.
    pub text: String,
}

impl File {
    /// A file that exists in a test only.
    #[must_use]
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The lines that are not comments, numbered from one.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// All lines, numbered from one.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }
}

/// The root of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// Every text file below `root`, sorted by path; what is not UTF-8 is no text.
///
/// # Errors
/// When a folder or a file cannot be read.
pub fn read(root: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            if name.starts_with('.') || FOREIGN.contains(&name.as_str()) {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file()
                && let Ok(text) = String::from_utf8(fs::read(entry.path())?)
            {
                let path = entry.path();
                let path = path.strip_prefix(root).unwrap_or(&path);
                files.push(File { path: path.to_string_lossy().replace('\\', "/"), text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}
