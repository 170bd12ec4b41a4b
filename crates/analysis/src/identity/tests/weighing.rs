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
fn people_are_believed_before_a_shared_profile() {
    let leads = Leads::new(&[batch(&rows())]).unwrap();
    let mut resolver = Probabilistic::new(Exact::default(), Options::default(), None);
    resolver.different.push(("b2".to_owned(), "b3".to_owned()));
    let links = resolver.find(&leads).unwrap().links;
    let clusters = super::super::cluster(leads.len(), &links).unwrap();
    assert!(clusters.iter().any(|members| members == [3]), "{clusters:?}");
}

#[test]
fn keys_join_nobody_whom_people_told_apart_and_everybody_whom_they_joined() {
    let leads = Leads::new(&[batch(&rows())]).unwrap();
    let held = |same: &[(u32, u32)], different: &[(u32, u32)]| {
        let links = Exact::default().link(&leads).held_to(leads.len(), same, different);
        let clusters = super::super::cluster(leads.len(), &links).unwrap();
        clusters.iter().map(<[u32]>::to_vec).collect::<Vec<_>>()
    };
    assert_eq!(held(&[], &[]), [vec![0, 1], vec![2, 3, 4]]);
    assert_eq!(held(&[], &[(2, 3)]), [vec![0, 1], vec![2, 4], vec![3]], "the chain over the third lead is cut too");
    assert_eq!(held(&[(0, 3)], &[(2, 3)]), [vec![0, 1, 3], vec![2, 4]]);
}

#[test]
fn a_model_that_the_leads_outgrew_is_learned_anew() {
    let few = Leads::new(&[batch(&rows())]).unwrap();
    let model = Probabilistic::default().find(&few).unwrap().model;
    let by = |leads: &Leads| {
        let found = Probabilistic::new(Exact::default(), Options::default(), Some(model.clone())).find(leads).unwrap();
        (found.is_learned, found.model.records())
    };
    assert_eq!(by(&few), (false, 5));
    let more: Vec<Row> =
        (0..3).flat_map(|copy| rows().into_iter().map(move |row| Row { id: format!("{}-{copy}", row.id), ..row })).collect();
    assert_eq!(by(&Leads::new(&[batch(&more)]).unwrap()), (true, 15));
}

#[test]
fn a_frozen_model_names_its_version() {
    let leads = Leads::new(&[batch(&rows())]).unwrap();
    let first = Probabilistic::default().find(&leads).unwrap();
    let frozen = Probabilistic::new(Exact::default(), Options::default(), Some(first.model.clone()));
    assert_eq!(frozen.version(), first.model.version());
    assert_eq!(frozen.find(&leads).unwrap().links, first.links);
}
