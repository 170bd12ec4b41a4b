//! `resolve`: a table in, who is who out.

use std::fmt::Write as _;

use headwater_tests::project::Project;

use super::{Fact, code, expect_error, number};

/// Thirty made-up people with two records each, a column of the truth and one that means nothing.
fn table(header: &str) -> Result<String, std::fmt::Error> {
    let given = ["Ada", "Bram", "Cleo", "Dario", "Edda"];
    let parts = ["mor", "tel", "van", "quis", "lund", "bek"];
    let mut text = format!("{header}\n");
    for person in 0..30 {
        let (first, last) =
            (given[person % 5], format!("{}{}{}", parts[person % 6], parts[person / 6], parts[person * 5 % 7 % 6]));
        let mail = format!("{first}.{last}@firm{}.example", person % 7);
        writeln!(text, "x{person},{first},{last},{mail},{person},crm")?;
        writeln!(text, "y{person},{},{last},{},{person},list", first.to_uppercase(), mail.to_lowercase())?;
    }
    Ok(text)
}

const HEADER: &str = "id,first_name,last_name,email,entity,origin";

#[test]
fn a_table_is_resolved_measured_and_explained() -> Fact {
    let project = Project::empty()?;
    project.write("leads.csv", &table(HEADER)?)?;
    let args = ["resolve", "leads.csv", "--out", "out.csv", "--pairs", "pairs.csv", "--truth", "entity", "--threads", "2"];
    let run = project.run(&args)?.done()?;
    assert!(run.stdout.contains("60 records are 30 prospects"), "{run}");
    assert!(run.stdout.contains("precision 1.0000, recall 1.0000, F1 1.0000"), "{run}");
    assert!(run.stderr.contains("never used as evidence: `origin`"), "{run}");
    let out = project.read("out.csv")?;
    assert!(out.starts_with("id,prospect_id,confidence\nx0,x0,"), "{out}");
    assert!(out.contains("\ny29,x29,"), "{out}");
    assert!(project.read("pairs.csv")?.starts_with("id_1,id_2,probability,verdict,bits,evidence\n"));

    let run = project.run(&["resolve", "leads.csv", "--truth", "entity", "--format", "json"])?.done()?;
    let answer = run.json()?;
    assert_eq!(number(&answer, "version"), 1);
    assert_eq!((number(&answer, "records"), number(&answer, "prospects"), number(&answer, "largest")), (60, 30, 2));
    assert_eq!(answer["ignored"], serde_json::json!(["origin"]));
    assert_eq!(answer["truth"]["pairs"]["f1"], 1.0);
    assert_eq!(answer["truth"]["b_cubed"]["f1"], 1.0);
    Ok(())
}

#[test]
fn a_configuration_names_the_columns() -> Fact {
    let project = Project::empty()?;
    project.write("leads.csv", &table("key,vorname,name,mail,entity,origin")?)?;
    project.write("c.yaml", "id: key\nmap: { first_name: vorname, last_name: name, email: mail }\n")?;
    let args = ["resolve", "leads.csv", "--out", "out.csv", "--config", "c.yaml", "--format", "json"];
    assert_eq!(number(&project.run(&args)?.done()?.json()?, "prospects"), 30);
    project.write("c.yaml", "id: key\nmap: { firstname: vorname }\n")?;
    expect_error(&project.run(&args)?, code::CONFIG, &["c.yaml:2", "no attribute `firstname`", "`first_name`"]);
    project.write("c.yaml", "merge_above: 0.5\n")?;
    expect_error(&project.run(&args)?, code::CONFIG, &["c.yaml:1", "merge_above"]);
    Ok(())
}

#[test]
fn what_cannot_be_resolved_ends_with_the_code_of_its_cause() -> Fact {
    let project = Project::empty()?;
    for (name, text, says) in [
        ("no-id.csv", "email\nada@example.com\n", "has no column `id`"),
        ("twice.csv", "id,email\n1,ada@example.com\n1,bram@example.com\n", "twice.csv:3: record 2 repeats the id"),
        ("empty.csv", "", "is empty"),
        ("mute.csv", "id,notes\n1,x\n", "no column that tells people apart"),
    ] {
        project.write(name, text)?;
        let run = project.run(&["resolve", name, "--out", "out.csv"])?;
        expect_error(&run, code::USAGE, &[name, says]);
        assert!(!run.stderr.contains("example.com"), "an error shows nobody's data: {run}");
        assert!(!project.path("out.csv").exists(), "{run}");
    }
    std::fs::write(project.path("latin.csv"), b"id,last_name\n1,Andr\xe9\n")?;
    expect_error(&project.run(&["resolve", "latin.csv", "--out", "out.csv"])?, code::USAGE, &["latin.csv:2", "not UTF-8"]);
    expect_error(&project.run(&["resolve", "nobody.csv", "--out", "out.csv"])?, code::USAGE, &["nobody.csv cannot be read"]);
    expect_error(&project.run(&["resolve", "mute.csv"])?, code::USAGE, &["--out"]);
    project.write("leads.csv", &table(HEADER)?)?;
    let run = project.run(&["resolve", "leads.csv", "--out", "no/such/out.csv"])?;
    expect_error(&run, code::UNAVAILABLE, &["no/such/out.csv cannot be written"]);
    expect_error(&project.run(&["resolve", "leads.csv", "--out", "leads.csv"])?, code::USAGE, &["would be written over"]);
    Ok(())
}
