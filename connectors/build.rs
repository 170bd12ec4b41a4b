//! Finds the connectors that are data: every folder with a `connector.yaml`, and those whose sink has a file of its own,
//! `sink.yaml`. It reads nothing else and decides nothing.

use std::fmt::Write as _;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};

fn main() -> Result<()> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).ok_or_else(|| Error::other(name.to_owned()));
    let root = variable("CARGO_MANIFEST_DIR")?;
    let tables = format!("({}, {})\n", table(&root, "connector.yaml")?, table(&root, "sink.yaml")?);
    std::fs::write(variable("OUT_DIR")?.join("declarative.rs"), tables)?;
    emit(&format!("cargo:rerun-if-changed={}", root.display()))
}

/// Name, text and README of every folder that has the file, as an expression.
fn table(root: &Path, file: &str) -> Result<String> {
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        if entry.path().join(file).is_file() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    names.sort();
    let mut table = String::from("&[\n");
    for name in &names {
        let text = |file: &str| included(&root.join(name).join(file));
        writeln!(table, "({name:?}, {}, {}),", text(file), text("README.md")).map_err(Error::other)?;
    }
    table.push(']');
    Ok(table)
}

/// The file's text as an expression.
fn included(path: &Path) -> String {
    if path.is_file() { format!("include_str!({:?})", path.display().to_string()) } else { "\"\"".to_owned() }
}

/// Tells cargo.
fn emit(line: &str) -> Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{line}")
}
