//! The resolver that weighs: joins with evidence, vendor ids above names, decisions above all.

use super::super::engine::Options;
use super::super::{Exact, Field, Leads, Method, Prior, Probabilistic, Resolver as _, resolve};
use super::{Row, batch, row};

fn rows() -> Vec<Row> {
    let of = row;
    vec![
        of(
            "a1",
            &[
                (Field::GivenName, "Ada"),
                (Field::FamilyName, "Lovett"),
                (Field::Email, "ada.lovett@northmill.example"),
                (Field::CompanyName, "North Mill Ltd"),
            ],
        ),
        of("a2", &[(Field::FullName, "LOVETT, Ada"), (Field::Email, "ada.lovett+x@northmill.example")]),
        of("b1", &[(Field::GivenName, "Bruno"), (Field::FamilyName, "Ferrand"), (Field::Email, "bruno@kestrel.example")]),
        of(
            "b2",
            &[
                (Field::GivenName, "Brunhilde"),
                (Field::FamilyName, "Oster"),
                (Field::LinkedinUrl, "https://linkedin.com/in/ferrand"),
            ],
        ),
        of(
            "b3",
            &[
                (Field::GivenName, "Bruno"),
                (Field::FamilyName, "Ferrand"),
                (Field::Email, "bruno@kestrel.example"),
                (Field::LinkedinUrl, "linkedin.com/in/ferrand/"),
            ],
        ),
    ]
}

#[test]
fn joins_carry_the_fields_that_spoke() {
    let leads = Leads::new(&[batch(&rows())]).unwrap();
    let links = Probabilistic::default().link(&leads);
    let edge = links.edges.iter().find(|edge| (edge.left, edge.right) == (0, 1)).unwrap();
    assert_eq!(edge.method, Method::Probabilistic);
    assert!(edge.score > 0.9);
    assert!(links.evidence[edge.evidence as usize].contains("mailbox"), "{:?}", links.evidence);
    assert!(links.evidence.iter().all(|evidence| !evidence.to_lowercase().contains("ada")));
}

#[test]
fn one_profile_is_one_person_whatever_the_names() {
    let leads = Leads::new(&[batch(&rows())]).unwrap();
    let resolved = resolve(&leads, &Probabilistic::default(), &Prior::default()).unwrap();
    assert!(resolved.clusters.iter().any(|members| members == [2, 3, 4]), "{:?}", resolved.clusters);
}

#[test]
fn decisions_keep_leads_apart() {
    let leads = Leads::new(&[batch(&rows())]).unwrap();
    let mut resolver = Probabilistic::new(Exact::default(), Options::default(), None);
    resolver.different.push(("a1".to_owned(), "a2".to_owned()));
    let resolved = resolve(&leads, &resolver, &Prior::default()).unwrap();
    assert!(resolved.clusters.iter().any(|members| members == [0]), "{:?}", resolved.clusters);
}

#[test]
fn a_frozen_model_names_its_version() {
    let leads = Leads::new(&[batch(&rows())]).unwrap();
    let first = Probabilistic::default().find(&leads).unwrap();
    let frozen = Probabilistic::new(Exact::default(), Options::default(), Some(first.model.clone()));
    assert_eq!(frozen.version(), first.model.version());
    assert_eq!(frozen.find(&leads).unwrap().links, first.links);
}
