//! Who is who, as its user meets it: what is joined, what is asked, and that answers last.

use headwater_tests::project::Project;
use serde_json::Value;

use super::{Fact, code, expect_error, number};

/// Two colleagues of one surname, one of them twice, and a third who is somebody else.
const LIST: &str = "id,first,last,email,company\n\
    1,Ada,Lovett,ada.lovett@northmill.example,North Mill\n\
    2,Ada,Lovett,ada.lovett@northmill.example,North Mill Ltd\n\
    3,Bruno,Ferrand,bruno@kestrel.example,Kestrel\n";

const SETTINGS: &str = "sources:
  list:
    connector: file
    path: list.csv
    key: id
    map: { email: email, given_name: first, family_name: last, company_name: company }
";

fn project(settings: &str) -> Result<Project, std::io::Error> {
    let project = Project::of(&format!("{SETTINGS}{settings}"))?;
    project.write("list.csv", LIST)?;
    Ok(project)
}

fn sync(project: &Project) -> Result<Value, std::io::Error> {
    project.run(&["sync", "--format", "json"])?.done()?.json()
}

fn explained(project: &Project, who: &str) -> Result<Value, std::io::Error> {
    project.run(&["explain", who, "--format", "json"])?.done()?.json()
}

fn ids(answer: &Value) -> Vec<String> {
    let leads = answer["leads"].as_array().map(Vec::as_slice).unwrap_or_default();
    leads.iter().filter_map(|lead| lead["lead_id"].as_str()).map(str::to_owned).collect()
}

#[test]
fn a_join_tells_the_weight_of_every_field() -> Fact {
    let project = project("identity: { engine: probabilistic }\n")?;
    assert_eq!(number(&sync(&project)?, "resolve.prospects"), 2);
    let ada = explained(&project, "ada.lovett@northmill.example")?;
    let joined = &ada["leads"][1];
    assert_eq!(joined["method"], "probabilistic", "{ada}");
    let fields = joined["weights"]["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert!(fields.iter().any(|field| field["field"] == "mailbox" && field["bits"].as_f64() > Some(1.0)), "{ada}");
    let shown = project.run(&["explain", "ada.lovett@northmill.example"])?.done()?;
    assert!(shown.stdout.contains("any two leads") && shown.stdout.contains("mailbox"), "{shown}");
    Ok(())
}

#[test]
fn a_split_holds_in_every_later_run_and_accepting_again_joins() -> Fact {
    let project = project("identity: { engine: probabilistic }\n")?;
    sync(&project)?;
    let ada = explained(&project, "ada.lovett@northmill.example")?;
    let (prospect, leads) = (ada["prospect_id"].as_str().unwrap_or_default().to_owned(), ids(&ada));
    assert_eq!(leads.len(), 2, "{ada}");
    let all = [&leads[..], &["led_nobody".to_owned()]].concat();
    let wrong: Vec<&str> = ["review", "split", &prospect].into_iter().chain(all.iter().map(String::as_str)).collect();
    expect_error(&project.run(&wrong)?, code::USAGE, &["belong"]);
    project.run(&["review", "split", &prospect, &leads[1]])?.done()?;
    assert_eq!(number(&sync(&project)?, "resolve.prospects"), 3);
    assert_eq!(number(&project.run(&["sync", "--full-refresh", "--format", "json"])?.done()?.json()?, "resolve.prospects"), 3);
    let kept = explained(&project, &prospect)?;
    assert_eq!(kept["prospect_id"], prospect.as_str(), "the id stays with one part");
    let list = project.run(&["review", "list", "--format", "json"])?.done()?.json()?;
    assert_eq!((number(&list, "waiting"), number(&list, "decided.different")), (0, 1), "what is decided is not asked again");
    assert_eq!(number(&project.run(&["status", "--format", "json"])?.done()?.json()?, "identity.decided"), 1);
    Ok(())
}

/// A bound of a join that hardly anything reaches, so that everything alike is asked about.
const STRICT: &str = "identity: { engine: probabilistic, auto_merge_above: 1.0, review_above: 0.05 }\n";

#[test]
fn what_is_accepted_is_one_person_and_can_be_parted_back_to_both_ids() -> Fact {
    let project = project(STRICT)?;
    let first = sync(&project)?;
    assert_eq!((number(&first, "resolve.prospects"), number(&first, "resolve.review")), (3, 1), "{first}");
    let prospects = "SELECT prospect_id, merged_into FROM prospect";
    let before = project.rows(prospects, &[], |_| {})?;
    let list = project.run(&["review", "list", "--format", "json"])?.done()?.json()?;
    let pair = list["pairs"][0]["review_id"].as_str().unwrap_or_default().to_owned();
    assert_eq!(list["pairs"][0]["one"]["says"]["email"], list["pairs"][0]["two"]["says"]["email"]);
    expect_error(&project.run(&["review", "accept", "rev_nothing"])?, code::USAGE, &["rev_nothing"]);
    assert_eq!(number(&project.run(&["review", "accept", &pair, "--format", "json"])?.done()?.json()?, "waiting"), 0);
    assert_eq!(number(&sync(&project)?, "resolve.prospects"), 2);

    let gone = project.rows("SELECT prospect_id FROM prospect WHERE merged_into IS NOT NULL", &[], |_| {})?;
    let gone: Value = serde_json::from_str(&gone[0])?;
    let gone = gone["prospect_id"].as_str().unwrap_or_default();
    project.run(&["review", "split", gone])?.done()?;
    assert_eq!(number(&sync(&project)?, "resolve.prospects"), 3);
    assert_eq!(project.rows(prospects, &[], |_| {})?, before, "both have the ids that they had");
    let again = project.run(&["sync", "--full-refresh", "--format", "json"])?.done()?.json()?;
    assert_eq!(number(&again, "resolve.prospects"), 3);
    assert_eq!(project.rows(prospects, &[], |_| {})?, before, "and keep them");
    Ok(())
}

#[test]
fn a_run_that_would_join_wildly_stops_before_it_changes_anything() -> Fact {
    let project = project("identity: { engine: probabilistic, gates: { largest: 1 } }\n")?;
    expect_error(&project.run(&["sync"])?, code::CONFIG, &["nobody was joined", "identity.gates"]);
    assert!(project.rows("SELECT * FROM prospect", &[], |_| {})?.is_empty());
    project.write("headwater.yaml", &format!("version: 1\n{SETTINGS}"))?;
    assert_eq!(number(&sync(&project)?, "resolve.prospects"), 2);
    Ok(())
}

#[test]
fn keys_alone_decide_where_the_project_says_so() -> Fact {
    let project = project("identity: { engine: exact }\n")?;
    assert_eq!(number(&sync(&project)?, "resolve.prospects"), 2);
    let ada = explained(&project, "ada.lovett@northmill.example")?;
    assert_eq!((ada["leads"][1]["method"].as_str(), ada["leads"][1]["evidence"].as_str()), (Some("exact"), Some("email")));
    Ok(())
}

#[test]
fn a_bound_that_is_no_chance_is_named() -> Fact {
    let project = project("identity: { auto_merge_above: 99 }\n")?;
    expect_error(&project.run(&["sync"])?, code::CONFIG, &["auto_merge_above", "from 0 to 1"]);
    Ok(())
}

#[test]
fn a_field_is_edited_holds_and_is_taken_back() -> Fact {
    let project = project("")?;
    sync(&project)?;
    let names = "SELECT given_name, job_title FROM prospect WHERE email = 'bruno@kestrel.example'";
    let kept = project.run(&["review", "edit", "bruno@kestrel.example", "job_title=Buyer", "given_name="])?.done()?;
    assert!(kept.stdout.contains("job_title, given_name") && kept.stderr.contains("headwater sync"), "{kept}");
    sync(&project)?;
    assert_eq!(project.rows(names, &[], |_| {})?, [r#"{"given_name":null,"job_title":"Buyer"}"#]);
    project.run(&["review", "edit", "bruno@kestrel.example", "--forget", "job_title", "--forget", "given_name"])?.done()?;
    sync(&project)?;
    assert_eq!(project.rows(names, &[], |_| {})?, [r#"{"given_name":"Bruno","job_title":null}"#]);
    expect_error(&project.run(&["review", "edit", "bruno@kestrel.example"])?, code::USAGE, &["FIELD=VALUE"]);
    expect_error(&project.run(&["review", "edit", "bruno@kestrel.example", "job=Buyer"])?, code::USAGE, &["job_title"]);
    expect_error(&project.run(&["review", "edit", "nobody@example.com", "city=X"])?, code::USAGE, &["nobody"]);
    Ok(())
}

#[test]
fn joined_pairs_are_drawn_shown_and_answered() -> Fact {
    let project = project("")?;
    sync(&project)?;
    expect_error(&project.run(&["review", "sample"])?, code::USAGE, &["--size"]);
    let drawn = project.run(&["review", "sample", "--size", "5", "--format", "json"])?.done()?.json()?;
    let pair = drawn["pairs"][0]["review_id"].as_str().unwrap_or_default().to_owned();
    assert!(pair.starts_with("rev_"), "{drawn}");
    project.run(&["review", "accept", &pair])?.done()?;
    let checked = project.run(&["review", "sample"])?.done()?;
    assert!(checked.stdout.contains("1 of 1"), "{checked}");
    Ok(())
}
