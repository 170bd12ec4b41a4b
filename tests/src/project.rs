//! A project folder of its own, and the real program run in it.

use std::fmt::{self, Display};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::{env, fs, io};

use serde_json::Value;
use tempfile::TempDir;

/// The tables of the lake.
pub const TABLES: [&str; 25] = [
    "source_record",
    "lead",
    "touch",
    "engagement",
    "conversion",
    "cost",
    "consent",
    "quarantine",
    "prospect",
    "prospect_field",
    "identity_link",
    "fact_link",
    "identity_event",
    "lifecycle_transition",
    "credit",
    "credit_change",
    "spend",
    "scorecard",
    "scorecard_cohort",
    "drift",
    "propensity",
    "customer",
    "company",
    "propensity_model",
    "delivery",
];

/// A project in a folder that is removed with it.
#[derive(Debug)]
pub struct Project {
    folder: TempDir,
}

/// What a run of the program left behind, with the project's folder written as `[DIR]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The exit code; `None` when a signal ended the program.
    pub code: Option<i32>,
    /// The answer.
    pub stdout: String,
    /// Everything else.
    pub stderr: String,
}

/// A run that has not ended yet. Dropping it kills the program.
#[derive(Debug)]
pub struct Running<'a> {
    project: &'a Project,
    child: Option<Child>,
}

impl Project {
    /// An empty folder.
    ///
    /// # Errors
    /// When no folder can be made.
    pub fn empty() -> io::Result<Self> {
        Ok(Self { folder: TempDir::new()? })
    }

    /// The project that `init` makes, with its sample data.
    ///
    /// # Errors
    /// When `init` fails.
    pub fn demo() -> io::Result<Self> {
        let project = Self::empty()?;
        project.run(&["init", "."])?.done()?;
        Ok(project)
    }

    /// A project file with these lines after `version: 1`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn of(settings: &str) -> io::Result<Self> {
        let project = Self::empty()?;
        project.write("headwater.yaml", &format!("version: 1\n{settings}"))?;
        Ok(project)
    }

    /// A copy of this project as it lies there, store and all.
    ///
    /// # Errors
    /// When a file cannot be copied.
    pub fn copy(&self) -> io::Result<Self> {
        let copy = Self::empty()?;
        copy_folder(self.folder.path(), copy.folder.path())?;
        Ok(copy)
    }

    /// A path in the project.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and the folders above it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.path(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, text)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, name: &str) -> io::Result<String> {
        fs::read_to_string(self.path(name))
    }

    /// The program in this project, without our environment: no colour, no secrets, no settings.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        self.furnish(command.args(args));
        command
    }

    /// The program under a shell that first runs `prelude`, where `mount` is allowed and nobody else sees what it mounts.
    #[must_use]
    pub fn command_in_own_mounts(&self, prelude: &str, args: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "bash", "-c", &format!("{prelude}; exec \"$0\" \"$@\"")]);
        self.furnish(command.arg(program()).args(args));
        command
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, args: &[&str]) -> io::Result<Run> {
        self.finish(&mut self.command(args))
    }

    /// Runs a command of this project to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn finish(&self, command: &mut Command) -> io::Result<Run> {
        let output = command.output()?;
        Ok(self.seen(output.status, &output.stdout, &output.stderr))
    }

    /// Starts the program.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, args: &[&str]) -> io::Result<Running<'_>> {
        self.begin(&mut self.command(args))
    }

    /// Starts a command of this project.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn begin(&self, command: &mut Command) -> io::Result<Running<'_>> {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        Ok(Running { project: self, child: Some(child) })
    }

    /// The rows of a query, each as JSON text without these columns and with every value passed through `clean`, sorted.
    ///
    /// # Errors
    /// When the query fails or its answer is no JSON.
    pub fn rows(&self, sql: &str, but: &[&str], clean: impl Fn(&mut Value)) -> io::Result<Vec<String>> {
        let run = self.run(&["query", sql, "--format", "json", "--limit", "1000000"])?.done()?;
        let mut rows = Vec::new();
        for line in run.stdout.lines() {
            let mut row: Value = serde_json::from_str(line)?;
            if let Some(row) = row.as_object_mut() {
                row.retain(|column, _| !but.contains(&column.as_str()));
                row.values_mut().for_each(&clean);
            }
            rows.push(row.to_string());
        }
        rows.sort();
        Ok(rows)
    }

    fn furnish(&self, command: &mut Command) {
        command.current_dir(self.folder.path()).stdin(Stdio::null()).env_clear();
        command.env("PATH", inherited("PATH")).env("HOME", self.folder.path()).env("TZ", "UTC").env("COLUMNS", "120");
    }

    fn seen(&self, status: ExitStatus, stdout: &[u8], stderr: &[u8]) -> Run {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let text = |bytes| String::from_utf8_lossy(bytes).replace(&folder, "[DIR]");
        Run { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }
}

impl Run {
    /// This run, if it ended with 0.
    ///
    /// # Errors
    /// When it did not; the error shows all of it.
    pub fn done(self) -> io::Result<Self> {
        if self.code == Some(0) { Ok(self) } else { Err(io::Error::other(self.to_string())) }
    }

    /// The last line of the answer, which is one JSON object.
    ///
    /// # Errors
    /// When there is none; the error shows the whole run.
    pub fn json(&self) -> io::Result<Value> {
        let last = self.stdout.lines().next_back().unwrap_or_default();
        serde_json::from_str(last).map_err(|error| io::Error::other(format!("{error} in:\n{self}")))
    }
}

impl Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => writeln!(f, "exit: {code}")?,
            None => writeln!(f, "exit: by a signal")?,
        }
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.trim().is_empty() {
                write!(f, "--- {name}\n{}\n", text.trim_end())?;
            }
        }
        Ok(())
    }
}

impl Running<'_> {
    /// Sends a signal: `TERM`, `KILL`.
    ///
    /// # Errors
    /// When the program is gone already.
    pub fn signal(&self, signal: &str) -> io::Result<()> {
        let id = self.child.as_ref().map(Child::id).unwrap_or_default();
        let sent = Command::new("kill").args(["-s", signal, &id.to_string()]).status()?;
        if sent.success() { Ok(()) } else { Err(io::Error::other("the program is gone already")) }
    }

    /// The next line that it writes to stdout.
    ///
    /// # Errors
    /// When it ends before.
    pub fn line(&mut self) -> io::Result<String> {
        let out = self.child.as_mut().and_then(|child| child.stdout.as_mut());
        let out = out.ok_or_else(|| io::Error::other("the program is gone already"))?;
        let (mut line, mut byte) = (Vec::new(), [0]);
        loop {
            out.read_exact(&mut byte)?;
            match byte {
                [b'\n'] => return Ok(String::from_utf8_lossy(&line).into_owned()),
                [byte] => line.push(byte),
            }
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When its output cannot be read.
    pub fn wait(mut self) -> io::Result<Run> {
        let child = self.child.take().ok_or_else(|| io::Error::other("the program was never started"))?;
        let output = child.wait_with_output()?;
        Ok(self.project.seen(output.status, &output.stdout, &output.stderr))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take()
            && child.kill().is_ok()
            && child.wait().is_err()
        {
            // It was killed; that it cannot be waited for is nobody's loss.
        }
    }
}

/// What differs between two equal runs, and what stands for it in a snapshot. Instants of the data and ids made of it do not.
///
/// # Errors
/// When nobody tells what day it is.
pub fn filters() -> io::Result<Vec<(String, &'static str)>> {
    let today = Command::new("date").args(["-u", "+%F"]).output()?.stdout;
    let today = String::from_utf8_lossy(&today);
    Ok(vec![
        (format!(r"{}[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?", today.trim()), "[NOW]"),
        (r"\brun_[0-9a-z]{26}\b".to_owned(), "[RUN]"),
        (r"\b\d+(\.\d+)? (ms|µs|s)\b".to_owned(), "[DURATION]"),
        // The last days of the made-up data are compared with those before only for some weeks.
        (r"\d+ figures? of .* not what (it was|they were); see `report sources`\n".to_owned(), ""),
    ])
}

/// The value of a variable that `./test` sets.
///
/// # Panics
/// When it is not set: a test that asks for a server does not pass without it.
#[must_use]
pub fn server(variable: &str) -> String {
    let value = inherited(variable);
    assert!(!value.is_empty(), "{variable} is not set: `./test e2e` starts the servers and sets it");
    value
}

/// The program: the one that `./test` put aside, or the one beside the tests, as `cargo build --workspace --bins --tests` leaves it.
fn program() -> PathBuf {
    let given = inherited("HEADWATER_TEST_BINARY");
    if !given.is_empty() {
        return given.into();
    }
    let test = env::current_exe().unwrap_or_default();
    test.ancestors().nth(2).unwrap_or(Path::new("")).join(format!("headwater{}", env::consts::EXE_SUFFIX))
}

#[expect(clippy::disallowed_methods, reason = "the environment is how `./test` talks to the tests")]
fn inherited(variable: &str) -> String {
    env::var(variable).unwrap_or_default()
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&source, &target)?;
        } else {
            fs::copy(source, target)?;
        }
    }
    Ok(())
}
