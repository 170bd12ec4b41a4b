//! Bad input: a clear message that names file, line or record, an exit code of the table, and nothing lost.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use headwater_tests::project::Project;

use crate::{Fact, code, expect_error, number};

#[test]
fn unknown_key_is_refused_with_its_line_and_the_nearest_key() -> Fact {
    let project = Project::of("attributon: { lookback_days: 30 }\n")?;
    expect_error(&project.run(&["sync"])?, code::CONFIG, &["headwater.yaml:2", "attributon", "attribution"]);
    Ok(())
}

#[test]
fn unknown_key_of_a_connector_is_refused_with_its_line() -> Fact {
    let project = Project::of("sources:\n  list:\n    connector: file\n    path: list.csv\n    pth: list.csv\n")?;
    expect_error(&project.run(&["sync"])?, code::CONFIG, &["headwater.yaml:6", "pth"]);
    Ok(())
}

#[test]
fn missing_secret_is_named_before_anything_is_read() -> Fact {
    let list = "sources:\n  list:\n    connector: file\n    path: list.csv\n    map: { email: Email }\n";
    let sink = "sinks:\n  crm:\n    connector: bottlecrm\n    url: http://127.0.0.1:9\n    token: { env: CRM_TOKEN }\n";
    let project = Project::of(&format!("{list}{sink}"))?;
    project.write("list.csv", "Email\nada@example.com\n")?;
    expect_error(&project.run(&["sync"])?, code::CONFIG, &["headwater.yaml", "CRM_TOKEN"]);
    Ok(())
}

#[test]
fn outside_a_project_the_error_says_how_to_make_one() -> Fact {
    expect_error(&Project::empty()?.run(&["sync"])?, code::CONFIG, &["headwater.yaml", "headwater init"]);
    Ok(())
}

#[test]
fn malformed_row_is_quarantined_and_the_others_arrive() -> Fact {
    let list = "sources:\n  list:\n    connector: file\n    path: list.csv\n    map: { email: Email, given_name: First }\n";
    let project = Project::of(list)?;
    project.write("list.csv", "Email,First\nada@example.com,Ada\nbram@example.com,Bram,one,too,many\ncleo@example.com,Cleo\n")?;
    let run = project.run(&["sync", "--format", "json"])?;
    assert_eq!(run.code, Some(code::REFUSED_ROWS), "{run}");
    assert_eq!(number(&run.json()?, "sources.list.quarantined"), 1);
    assert_eq!(number(&run.json()?, "sources.list.accepted"), 2);
    let refused = project.run(&["quarantine", "list"])?;
    assert!(refused.stdout.contains("list.csv:3"), "{refused}");
    Ok(())
}

#[test]
fn file_without_the_mapped_column_is_refused_by_name() -> Fact {
    let project = Project::of("sources:\n  list:\n    connector: file\n    path: list.csv\n    map: { email: E-Mail }\n")?;
    project.write("list.csv", "Name,Town\nAda,Delft\n")?;
    expect_error(&project.run(&["sync"])?, code::CONFIG, &["list.csv", "E-Mail"]);
    Ok(())
}

#[test]
fn refused_key_of_an_email_tool_is_an_auth_error() -> Fact {
    let (project, server) = ghost("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    let run = project.finish(project.command(&["sync"]).env("GHOST_KEY", KEY))?;
    expect_error(&run, code::AUTH, &["news"]);
    Ok(())
}

#[test]
fn email_tool_that_is_down_is_unavailable() -> Fact {
    let (project, _server) =
        ghost("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    let run = project.finish(project.command(&["sync"]).env("GHOST_KEY", KEY))?;
    expect_error(&run, code::UNAVAILABLE, &["news"]);
    Ok(())
}

#[test]
fn full_disk_is_said_and_what_was_there_stays() -> Fact {
    let project = Project::demo()?;
    // A file size limit is a disk that is full after so many KiB; with the signal ignored, the write fails as on a full disk.
    let full = "trap '' XFSZ; ulimit -f 64";
    let run = project.finish(&mut project.command_after(full, &["sync"]))?;
    expect_error(&run, code::UNAVAILABLE, &[".headwater"]);
    let after = project.run(&["sync", "--format", "json"])?.json()?;
    let alone = Project::demo()?.run(&["sync", "--format", "json"])?.json()?;
    assert_eq!(after["resolve"]["prospects"], alone["resolve"]["prospects"]);
    Ok(())
}

/// An Admin API key that no Ghost gave out.
const KEY: &str = "0123456789abcdef01234567:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn ghost_source(port: u16) -> String {
    format!("sources:\n  news:\n    connector: ghost\n    url: http://127.0.0.1:{port}\n    admin_key: {{ env: GHOST_KEY }}\n")
}

/// A project that reads from a server that gives every request the same answer.
fn ghost(answer: &'static str) -> std::io::Result<(Project, thread::JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let project = Project::of(&ghost_source(listener.local_addr()?.port()))?;
    let server = thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            if stream.read(&mut request).is_ok() && stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    Ok((project, server))
}
