//! Bad input: a clear message that names file, line or record, an exit code of the table, and nothing lost.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use headwater_tests::project::{Project, Run};

use super::{Fact, code, expect_error, number};

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
fn missing_secret_is_pointed_at_by_the_key_that_names_it() -> Fact {
    for (command, settings, place) in [
        ("sync", "connector: mailchimp\n    api_key: { env: NOT_SET }", "headwater.yaml:5"),
        ("sync", "connector: brevo\n    api_key:\n      env: NOT_SET", "headwater.yaml:5"),
        ("sync", "connector: mysql\n    table: people\n    url: { env: NOT_SET }\n    key: [id]", "headwater.yaml:6"),
        (
            "serve",
            "connector: intake\n    signature:\n      type: standard_webhooks\n      secret: [{ env: NOT_SET }]",
            "headwater.yaml:7",
        ),
    ] {
        let project = Project::of(&format!("sources:\n  news:\n    {settings}\n"))?;
        let says = [place, "environment variable NOT_SET is not set", "export NOT_SET=…"];
        expect_error(&project.run(&[command])?, code::CONFIG, &says);
    }
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
fn mapped_column_that_the_file_does_not_have_is_named_with_those_it_has() -> Fact {
    let project = Project::of("sources:\n  list:\n    connector: file\n    path: list.csv\n    map: { email: E-Mail }\n")?;
    project.write("list.csv", "Name,Town\nAda,Delft\n")?;
    expect_error(&project.run(&["sync"])?, code::CONFIG, &["headwater.yaml:6", "`E-Mail`", "Name, Town"]);
    Ok(())
}

#[test]
fn refused_key_of_an_email_tool_is_an_auth_error() -> Fact {
    let (project, _server) = ghost("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
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
fn full_disk_is_said_and_with_room_the_next_run_goes_on() -> Fact {
    let project = Project::demo()?;
    project.run(&["sync"])?;
    let people = project.rows(PEOPLE, &[], |_| {})?;
    // The first size is too small for an empty store, the last for the delivery.
    for size in ["64k", "200k", "700k", "1300k"] {
        let project = Project::demo()?;
        project.write(".headwater/.keep", "")?;
        let full = format!(
            "mount -t tmpfs -o size={size} tmpfs .headwater && \"$0\" sync 2>error; echo $? >code; \
             mount -o remount,size=64m tmpfs .headwater; \"$0\" sync >/dev/null 2>&1"
        );
        let again = project.finish(&mut project.command_in_own_mounts(&full, &["query", PEOPLE, "--format", "json"]))?;
        let first =
            Run { code: project.read("code")?.trim().parse().ok(), stdout: String::new(), stderr: project.read("error")? };
        expect_error(&first, code::UNAVAILABLE, &["no space is left", ".headwater"]);
        assert_eq!(again.done()?.stdout.trim(), people.join("\n"), "after a disk of {size} was full");
    }
    Ok(())
}

const PEOPLE: &str = "SELECT count(*) AS people, count(DISTINCT prospect_id) AS ids FROM prospect";

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
