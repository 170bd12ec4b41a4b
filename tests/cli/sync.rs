//! The main job: init, sync, and what it tells.

use std::fs;

use headwater_tests::project::Project;

use super::{Fact, number};

const BUCKETS: [&str; 5] = ["accepted", "unchanged", "merged", "suppressed", "quarantined"];

#[test]
fn every_row_that_was_read_is_in_exactly_one_bucket() -> Fact {
    let project = Project::demo()?;
    let answer = project.run(&["sync", "--format", "json"])?.json()?;
    assert_eq!(answer["version"], 1);
    let sources = answer["sources"].as_object().ok_or("no sources")?;
    assert!(!sources.is_empty());
    for (name, counts) in sources {
        let read = number(counts, "read");
        // Nobody has posted a form yet.
        assert!(read > 0 || name == "website", "{name} read nothing");
        assert_eq!(BUCKETS.iter().map(|bucket| number(counts, bucket)).sum::<u64>(), read, "{name}");
    }
    assert!(number(&answer, "resolve.prospects") <= number(&answer, "resolve.leads"));
    assert!(number(&answer, "sinks.*.created") > 0);
    Ok(())
}

#[test]
fn second_sync_without_new_input_writes_nothing() -> Fact {
    let project = Project::demo()?;
    let first = project.run(&["sync", "--format", "json"])?.json()?;
    let before = project.rows("SELECT * FROM prospect", &[], |_| {})?;
    let files = data_files(&project)?;
    let second = project.run(&["sync", "--format", "json"])?.json()?;
    assert!(number(&first, "sources.*.accepted") > 0);
    for nothing in ["sources.*.accepted", "sinks.*.created", "sinks.*.updated", "sinks.*.pending"] {
        assert_eq!(number(&second, nothing), 0, "{nothing}");
    }
    assert_eq!(number(&second, "sinks.*.unchanged"), number(&first, "sinks.*.created"));
    assert_eq!(project.rows("SELECT * FROM prospect", &[], |_| {})?, before);
    assert_eq!(data_files(&project)?, files, "the lake has other files than before");
    Ok(())
}

/// The files of the lake, by path.
fn data_files(project: &Project) -> Result<Vec<String>, std::io::Error> {
    let mut files = Vec::new();
    let mut folders = vec![project.path(".headwater/lake")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.display().to_string());
            }
        }
    }
    files.sort();
    Ok(files)
}

#[test]
fn dry_run_changes_nothing() -> Fact {
    let project = Project::demo()?;
    project.run(&["sync", "--dry-run"])?;
    assert_eq!(project.rows("SELECT * FROM lead", &[], |_| {})?, Vec::<String>::new());
    Ok(())
}

#[test]
fn suppressed_person_in_a_later_list_becomes_no_prospect() -> Fact {
    let list = "sources:\n  list:\n    connector: file\n    path: list.csv\n    map: { email: Email, given_name: First }\n";
    let project = Project::of(list)?;
    project.write("list.csv", "Email,First\nada@example.com,Ada\nbram@example.com,Bram\n")?;
    project.run(&["suppress", "ADA@example.com"])?.done()?;
    let answer = project.run(&["sync", "--format", "json"])?.json()?;
    assert_eq!(number(&answer, "sources.list.suppressed"), 1);
    assert_eq!(number(&answer, "sources.list.accepted"), 1);
    assert_eq!(project.rows("SELECT given_name FROM prospect", &[], |_| {})?, [r#"{"given_name":"Bram"}"#]);
    Ok(())
}
