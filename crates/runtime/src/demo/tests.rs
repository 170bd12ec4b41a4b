use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater_analysis::attribution::Model;
use headwater_model::mapping::Role;
use headwater_model::tables;
use headwater_sdk::{Clock, Connector, ConnectorSpec, Registry};

use super::*;
use crate::intake::signature::Unsigned;
use crate::intake::{IntakeConfig, Signature};
use crate::project::{Project, SinkEntry, Surroundings};
use crate::query::check_audience;

/// A connector of that name; what its own keys mean is its own tests' matter.
struct Named(&'static str);

impl Connector for Named {
    fn spec(&self) -> ConnectorSpec {
        ConnectorSpec { name: self.0, title: "", summary: "".into(), source_schema: None, sink_schema: None, readme: "" }
    }
}

fn load(dir: &Path) -> Project {
    let registry = Registry::new(["file", "intake"].map(|name| Arc::new(Named(name)) as Arc<dyn Connector>));
    let clock = Clock::fixed("2026-11-20T00:00:00Z".parse().unwrap());
    let surroundings = Surroundings { clock, env: Arc::new(BTreeMap::new()), flags: Vec::new() };
    Project::load(dir, &registry, &surroundings).unwrap()
}

fn made(template: Template) -> (tempfile::TempDir, Created) {
    let dir = tempfile::tempdir().unwrap();
    let created = init(dir.path(), template).unwrap();
    (dir, created)
}

#[test]
fn both_templates_are_projects_without_a_secret() {
    for template in [Template::Demo, Template::Blank] {
        let (dir, created) = made(template);
        let project = load(dir.path());
        let website: IntakeConfig = project.source("website").unwrap().config.parse().unwrap();
        assert!(matches!(website.signature, Signature::None(Unsigned { token: None })));
        assert_eq!(created.files.last().unwrap(), Path::new(FILE_NAME));
        let text = fs::read_to_string(dir.path().join(FILE_NAME)).unwrap();
        let secrets = text.lines().filter(|line| line.contains("env:") && !line.trim_start().starts_with('#'));
        assert_eq!(secrets.count(), 0);
    }
}

#[test]
fn every_file_of_the_demo_is_read_and_every_path_is_there() {
    let (dir, created) = made(Template::Demo);
    let project = load(dir.path());
    let of_sources = project.sources.iter().filter_map(|source| source.config.values.get("path")?.as_str().map(PathBuf::from));
    let read: BTreeSet<PathBuf> = of_sources.chain(project.file.measures.rates_file.iter().map(PathBuf::from)).collect();
    let data: BTreeSet<PathBuf> = created.files.iter().filter(|file| file.starts_with("data")).cloned().collect();
    assert_eq!(read, data);
    let roles: BTreeSet<Role> = project.sources.iter().map(|source| source.section.role.unwrap_or_default()).collect();
    assert_eq!(roles.len(), 4);
}

#[tokio::test]
async fn every_name_in_the_demo_is_one_that_the_lake_has() {
    let (dir, _) = made(Template::Demo);
    let project = load(dir.path());
    let SinkEntry { section, .. } = project.sink("crm_file").unwrap();
    check_audience(&section.audience).await.unwrap();
    let columns: Vec<&str> = tables::PROSPECT.columns.iter().map(|column| column.name).collect();
    let mapped = section.map.values().filter_map(|field| field.text());
    for ours in mapped.chain(project.file.measures.required_fields.iter().map(String::as_str)) {
        assert!(columns.contains(&ours), "{ours}");
    }
    for theirs in section.policy.keys().filter(|theirs| *theirs != "default") {
        assert!(section.map.contains_key(theirs), "{theirs}");
    }
    for model in &project.file.attribution.models {
        model.parse::<Model>().unwrap();
    }
    for source in &project.sources {
        let fields = headwater_model::conform::fields_of(source.section.role.unwrap_or_default());
        for ours in source.section.map.keys() {
            assert!(fields.contains(&ours.as_str()), "{}: {ours}", source.name);
        }
    }
}

#[test]
fn a_project_is_never_written_over() {
    let (dir, _) = made(Template::Blank);
    fs::write(dir.path().join(FILE_NAME), "version: 1\n").unwrap();
    let error = init(dir.path(), Template::Demo).unwrap_err();
    assert!(matches!(&error, Error::Usage(message) if message.contains("name another folder")), "{error}");
    assert_eq!(fs::read_to_string(dir.path().join(FILE_NAME)).unwrap(), "version: 1\n");
    assert!(!dir.path().join("data").exists());
}

#[test]
fn files_in_the_way_are_kept_and_no_project_is_made() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("data")).unwrap();
    fs::write(dir.path().join("data/orders.csv"), "mine").unwrap();
    fs::write(dir.path().join(".gitignore"), "mine").unwrap();
    assert!(matches!(init(dir.path(), Template::Demo), Err(Error::Usage(message)) if message.contains("orders.csv")));
    assert_eq!(fs::read_to_string(dir.path().join("data/orders.csv")).unwrap(), "mine");
    assert!(!dir.path().join(FILE_NAME).exists());
    fs::remove_file(dir.path().join("data/orders.csv")).unwrap();
    init(dir.path(), Template::Demo).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join(".gitignore")).unwrap(), "mine");
    load(dir.path());
}

#[test]
fn nobody_in_the_data_can_be_real() {
    // A free provider gives no address with a hyphen before the at sign, and a throwaway mailbox belongs to nobody.
    for (name, content) in DEMO.iter().filter(|(name, _)| name.starts_with("data")) {
        let text = String::from_utf8_lossy(content);
        for word in text.split(|letter: char| !letter.is_alphanumeric() && !"@.-_+".contains(letter)) {
            let Some((local, domain)) = word.rsplit_once('@') else { continue };
            let domain = domain.to_lowercase();
            let reserved = domain.ends_with(".example") || !domain.contains('.') || domain == "mailinator.com";
            assert!(reserved || domain == "gmail.com" && local.contains('-'), "{name}: {word}");
        }
    }
}
