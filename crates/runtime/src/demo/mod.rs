//! `init`: a project that runs at once, offline, on the data it brings along.
//!
//! Everybody in the data is made up; `fixtures/demo/make.py` makes them, the same bytes each time, and knows who is who.
//! Invariants: nothing that exists is changed; the project file comes last, so that a broken-off `init` is no project and can be
//! run again.

#[cfg(test)]
mod tests;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::project::FILE_NAME;

/// What a new project holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Template {
    /// Seven made-up sources with data, and a sink.
    #[default]
    Demo,
    /// A web form, and the rest as comments.
    Blank,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Created {
    /// The project's folder.
    pub dir: PathBuf,
    /// The files in it, in the order in which they were made.
    pub files: Vec<PathBuf>,
}

type Files = &'static [(&'static str, &'static [u8])];

/// What the store and the sink write is no source text; other people's data do not belong into a repository.
const IGNORE: &[u8] = b".headwater/\nout/\n";

const DEMO: Files = &[
    ("data/ad_costs.csv", include_bytes!("data/ad_costs.csv")),
    ("data/apollo_export.csv", include_bytes!("data/apollo_export.csv")),
    ("data/mailings.csv", include_bytes!("data/mailings.csv")),
    ("data/newsletter.csv", include_bytes!("data/newsletter.csv")),
    ("data/orders.csv", include_bytes!("data/orders.csv")),
    ("data/rates.csv", include_bytes!("data/rates.csv")),
    ("data/web_forms.jsonl", include_bytes!("data/web_forms.jsonl")),
    ("data/zoominfo_contacts.csv", include_bytes!("data/zoominfo_contacts.csv")),
    (".gitignore", IGNORE),
    (FILE_NAME, include_bytes!("headwater.yaml")),
];

const BLANK: Files = &[(".gitignore", IGNORE), (FILE_NAME, include_bytes!("blank.yaml"))];

impl Template {
    fn files(self) -> Files {
        match self {
            Self::Demo => DEMO,
            Self::Blank => BLANK,
        }
    }
}

/// Makes a project in `dir`, which is made when it is not there.
///
/// # Errors
/// When there is a project already, a file of its name stands in the way, or the disk refuses.
pub fn init(dir: &Path, template: Template) -> Result<Created> {
    make(dir, template.files())
}

/// Makes the demo's project with other sinks: `sinks` stands in place of its own below `sinks:`, and `secret`, a name and what it
/// holds, beside it.
///
/// # Errors
/// As [`init`].
pub fn init_into(dir: &Path, sinks: &str, secret: (&str, &str)) -> Result<Created> {
    let outer = |marker: &str| Error::Internal(format!("the demo's project has no `{marker}`"));
    let text = include_str!("headwater.yaml");
    let (before, rest) = text.split_once("\nsinks:\n").ok_or_else(|| outer("sinks"))?;
    let (_, after) = rest.split_once("\nschedule:").ok_or_else(|| outer("schedule"))?;
    let project = format!("{before}\nsinks:\n{sinks}\nschedule:{after}");
    let mut files = vec![(secret.0, secret.1.as_bytes())];
    files.extend(DEMO.iter().filter(|(name, _)| *name != FILE_NAME));
    files.push((FILE_NAME, project.as_bytes()));
    make(dir, &files)
}

fn make(dir: &Path, contents: &[(&str, &[u8])]) -> Result<Created> {
    if dir.join(FILE_NAME).exists() {
        let shown = dir.join(FILE_NAME);
        return Err(Error::Usage(format!(
            "there is a project already: {} exists; name another folder, or run `headwater -C {} sync`",
            shown.display(),
            dir.display()
        )));
    }
    let mut files = Vec::new();
    for (name, content) in contents {
        let path = dir.join(name);
        match write(&path, content) {
            Ok(()) => files.push(PathBuf::from(name)),
            // A folder under version control has one, with rules of its own; what a broken-off `init` left is as we would write it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && (*name == ".gitignore" || holds(&path, content)) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let shown = path.display();
                return Err(Error::Usage(format!("{shown} exists and is not of the demo; name another folder")));
            }
            Err(source) => {
                return Err(Error::File { path: path.display().to_string(), doing: "written", source });
            }
        }
    }
    Ok(Created { dir: dir.to_owned(), files })
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(content)
}

fn holds(path: &Path, content: &[u8]) -> bool {
    fs::read(path).is_ok_and(|found| found == content)
}
