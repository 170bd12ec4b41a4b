//! A run that is stopped, and a run that meets another.

use std::net::{TcpListener, TcpStream};

use headwater_tests::project::{Project, Running};

use super::{Fact, code, expect_error, number};

/// A project with a list and, after it, an email tool that takes the connection and says nothing: a run that has
/// connected has done its list and waits.
struct Stuck {
    project: Project,
    silent: TcpListener,
}

impl Stuck {
    fn new() -> std::io::Result<Self> {
        let silent = TcpListener::bind("127.0.0.1:0")?;
        let port = silent.local_addr()?.port();
        let project = Project::of(&format!(
            "sources:\n  a_list:\n    connector: file\n    path: list.csv\n    map: {{ email: Email }}\n  news:\n    connector: ghost\n    url: http://127.0.0.1:{port}\n    admin_key: {{ env: GHOST_KEY }}\n"
        ))?;
        project.write("list.csv", "Email\nada@example.com\n")?;
        Ok(Self { project, silent })
    }

    /// A run that is in its middle, and the connection that holds it there.
    fn run(&self) -> std::io::Result<(Running<'_>, TcpStream)> {
        let key = format!("{}:{}", "0".repeat(24), "0".repeat(64));
        let running = self.project.begin(self.project.command(&["sync"]).env("GHOST_KEY", key))?;
        let (connection, _) = self.silent.accept()?;
        Ok((running, connection))
    }
}

#[test]
fn second_sync_while_one_runs_is_a_conflict() -> Fact {
    let stuck = Stuck::new()?;
    let (_first, _connection) = stuck.run()?;
    let second = stuck.project.run(&["sync", "--only", "a_list"])?;
    expect_error(&second, code::CONFLICT, &["another run"]);
    Ok(())
}

#[test]
fn interrupted_run_keeps_what_it_committed_and_the_next_goes_on() -> Fact {
    let stuck = Stuck::new()?;
    let (running, _connection) = stuck.run()?;
    running.signal("TERM")?;
    let run = running.wait()?;
    assert_eq!(run.code, Some(code::INTERRUPTED), "{run}");
    let next = stuck.project.run(&["sync", "--only", "a_list", "--format", "json"])?.json()?;
    assert_eq!(number(&next, "sources.a_list.accepted"), 0, "the list was committed before");
    assert_eq!(number(&next, "resolve.prospects"), 1);
    Ok(())
}

#[test]
fn killed_run_holds_nobody_up() -> Fact {
    let stuck = Stuck::new()?;
    let (running, _connection) = stuck.run()?;
    running.signal("KILL")?;
    assert_eq!(running.wait()?.code, None);
    let next = stuck.project.run(&["sync", "--only", "a_list", "--format", "json"])?.json()?;
    assert_eq!(number(&next, "resolve.prospects"), 1);
    Ok(())
}
