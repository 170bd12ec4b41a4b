//! The kit for making a connector, and a project that uses a file of its own.

use headwater_tests::project::Project;

use super::{Fact, code, expect_error};

const PROJECT: &str =
    "version: 1\nsources:\n  tool:\n    connector: ./connectors/my_tool/connector.yaml\n    token: { env: TOOL_TOKEN }\n";

#[test]
fn the_readme_lists_no_connector_that_does_not_exist() -> Fact {
    let project = Project::empty()?;
    let listed = project.run(&["connectors", "list", "--markdown"])?.done()?.stdout;
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"))?;
    let (_, table) = readme.split_once("<!-- connectors -->\n").expect("the README has the table");
    let (table, _) = table.split_once("<!-- /connectors -->").expect("the table ends");
    assert!(table.lines().count() > 20);
    for row in table.lines() {
        assert!(
            listed.lines().any(|line| line == row),
            "the README says `{row}`: paste `headwater connectors list --markdown` anew"
        );
    }
    Ok(())
}

#[test]
fn a_new_connector_passes_its_own_test_and_works_in_a_project() -> Fact {
    let project = Project::empty()?;
    project.run(&["connectors", "new", "my_tool"])?.done()?;
    let tested = project.run(&["connectors", "test", "--format", "json"])?.done()?.json()?;
    assert_eq!(tested["ok"], true, "{tested}");
    assert_eq!(tested["connectors"][0]["tests"][0]["rows"], 4);
    project.write("headwater.yaml", PROJECT)?;
    let checked = project.finish(project.command(&["check", "--offline"]).env("TOOL_TOKEN", "example"))?;
    assert_eq!(checked.code, Some(0), "{checked}");
    let again = project.run(&["connectors", "new", "my_tool"])?;
    expect_error(&again, code::USAGE, &["exists already"]);
    Ok(())
}

#[test]
fn a_connector_file_that_is_wrong_is_told_with_its_line() -> Fact {
    let project = Project::empty()?;
    project.run(&["connectors", "new", "my_tool"])?.done()?;
    let file = "connectors/my_tool/connector.yaml";
    let text = project.read(file)?;
    project.write(file, &text.replace("record.name.first", "recrod.name.first"))?;
    project.write("headwater.yaml", PROJECT)?;
    let says = ["connector.yaml:43: there is no variable `recrod`", "did you mean `record`?"];
    expect_error(&project.run(&["check", "--offline"])?, code::CONFIG, &says);
    expect_error(&project.run(&["connectors", "test"])?, code::CONFIG, &says);
    project.write(file, &text.replace("record.name.first", "record.name.last"))?;
    let differs = project.run(&["connectors", "test"])?;
    assert_eq!(differs.code, Some(code::REFUSED_ROWS), "{differs}");
    assert!(differs.stdout.contains("expected, but not given"), "{differs}");
    Ok(())
}
