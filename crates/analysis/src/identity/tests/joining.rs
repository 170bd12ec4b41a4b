//! Which leads become one, and on what evidence.

use std::collections::BTreeMap;

use arrow::array::BooleanArray;
use proptest::prelude::*;

use super::super::{Bounds, Directory, Edge, Error, Exact, Field, Leads, Links, Method, Prior, Resolver, cluster, resolve};
use super::{Row, batch, groups, leads, resolved, row, shuffled_world, world};

const ADA: [(Field, &str); 2] = [(Field::GivenName, "Ada"), (Field::FamilyName, "Stone")];

/// The evidence of the only edge between these two leads.
fn evidence(one: &[(Field, &str)], two: &[(Field, &str)]) -> Option<String> {
    let links = Exact::default().link(&leads(&[row("a", one), row("b", two)]));
    links.edges.first().map(|edge| links.evidence[edge.evidence as usize].clone())
}

fn with(cells: &[(Field, &'static str)]) -> Vec<(Field, &'static str)> {
    [&ADA[..], cells].concat()
}

#[test]
fn same_address_joins() {
    let joined = evidence(&[(Field::Email, "ada@example.com")], &[(Field::Email, "ADA+fair@example.com")]);
    assert_eq!(joined.as_deref(), Some("email"));
}

#[test]
fn a_desk_joins_only_one_name() {
    let desk = [(Field::Email, "info@example.com")];
    assert_eq!(evidence(&desk, &desk), None);
    assert_eq!(evidence(&with(&desk), &desk), None);
    assert_eq!(evidence(&with(&desk), &with(&desk)).as_deref(), Some("email+name"));
    let said = [(Field::Email, "atelier@example.com"), (Field::EmailKind, "generic_pro")];
    assert_eq!(evidence(&said, &said), None);
}

#[test]
fn same_phone_needs_the_same_full_name() {
    let phone = [(Field::Phone, "+33100000001")];
    let mobile = [(Field::Mobile, "+33100000001")];
    assert_eq!(evidence(&phone, &phone), None);
    assert_eq!(evidence(&with(&phone), &with(&mobile)).as_deref(), Some("phone+name"));
    let lone = [(Field::GivenName, "Ada"), phone[0]];
    assert_eq!(evidence(&lone, &lone), None);
}

#[test]
fn same_profile_joins() {
    let profile = [(Field::LinkedinUrl, "https://linkedin.com/in/ada")];
    assert_eq!(evidence(&profile, &profile).as_deref(), Some("linkedin"));
}

#[test]
fn vendor_ids_join_within_one_vendor_only() {
    let lead = |id, source| row(id, &[(Field::ExternalId, "7"), (Field::Source, source)]);
    let rows = [lead("a", "zoominfo_may"), lead("b", "zoominfo_june"), lead("c", "apollo")];
    let vendors = BTreeMap::from(["may", "june"].map(|month| (format!("zoominfo_{month}"), "zoominfo".to_owned())));
    let links = Exact { vendors: vendors.clone(), bounds: Bounds::default() }.link(&leads(&rows));
    assert_eq!(links.edges.len(), 1);
    assert_eq!(links.evidence[links.edges[0].evidence as usize], "vendor_id:zoominfo");
    assert_eq!(groups(&rows).len(), 3);
}

#[test]
fn joins_are_transitive() {
    let rows = [
        row("a", &[(Field::Email, "ada@example.com")]),
        row("b", &[(Field::Email, "ada@example.com"), (Field::LinkedinUrl, "linkedin.com/in/ada")]),
        row("c", &[(Field::LinkedinUrl, "linkedin.com/in/ada")]),
        row("d", &[(Field::Email, "bob@example.com")]),
    ];
    assert_eq!(groups(&rows), [vec!["a", "b", "c"], vec!["d"]]);
}

fn crowd(size: usize, names: usize) -> Vec<Row> {
    let lead = |number: usize| {
        let family = format!("Stone{}", number % names);
        row(
            &format!("{number:03}"),
            &[(Field::Email, "none@example.com"), (Field::GivenName, "Ada"), (Field::FamilyName, &family)],
        )
    };
    (0..size).map(lead).collect()
}

#[test]
fn a_key_that_too_many_names_share_joins_nothing() {
    let Bounds { leads_per_key, names_per_key } = Bounds::default();
    for (size, names, is_generic) in [
        (leads_per_key, 2, false),
        (leads_per_key + 1, 2, true),
        (leads_per_key + 1, 1, false),
        (names_per_key, names_per_key, false),
        (names_per_key + 1, names_per_key + 1, true),
    ] {
        let links = Exact::default().link(&leads(&crowd(size, names)));
        assert_eq!(links.generic_keys, usize::from(is_generic), "{size} leads, {names} names");
        assert_eq!(links.edges.len(), if is_generic { 0 } else { size - 1 });
    }
}

#[test]
fn a_directory_finds_the_one_person_and_nobody_where_it_could_be_two() {
    let desk =
        |id, given| row(id, &[(Field::Email, "info@example.com"), (Field::GivenName, given), (Field::FamilyName, "Stone")]);
    let rows = [
        row("a", &[(Field::Email, "ada@example.com"), (Field::ExternalId, "7"), (Field::Phone, "+33100000001")]),
        desk("b", "Bob"),
        desk("c", "Cy"),
        row("d", &[(Field::Email, "Ada+x@example.com"), (Field::Phone, "+33100000002")]),
    ];
    let (leads, resolved) = resolved(&rows, &Prior::default());
    let directory = Directory::new(&leads, &resolved.clusters, BTreeMap::from([("shop".to_owned(), "form".to_owned())]));
    assert_eq!(directory.by_email("ADA@example.com"), Some(0));
    assert_eq!(directory.by_email("info@example.com"), None);
    assert_eq!(directory.by_email("zoe@example.com"), None);
    assert_eq!(directory.by_phone("+33 1 00 00 00 02"), Some(0));
    assert_eq!(directory.by_external_id("shop", "7"), Some(0));
    assert_eq!(directory.by_external_id("other", "7"), None);
}

#[test]
fn a_resolver_that_names_strangers_is_refused() {
    let edge = Edge { left: 0, right: 2, method: Method::Exact, evidence: 0, score: 1.0 };
    let links = Links { edges: vec![edge], evidence: vec!["email".to_owned()], generic_keys: 0 };
    assert!(matches!(cluster(2, &links), Err(Error::ForeignEdge)));
    assert!(cluster(3, &links).is_ok());
    assert!(matches!(cluster(3, &Links { evidence: Vec::new(), ..links }), Err(Error::ForeignEdge)));
}

#[test]
fn the_strongest_edge_places_a_lead() {
    let edge = |left, right, evidence, score| Edge { left, right, method: Method::Exact, evidence, score };
    let evidence = vec!["email".to_owned(), "linkedin".to_owned()];
    let links = Links { edges: vec![edge(0, 1, 0, 0.8), edge(1, 2, 0, 0.9), edge(0, 2, 1, 0.95)], evidence, generic_keys: 0 };
    let clusters = cluster(3, &links).unwrap();
    assert_eq!(clusters.join(0), None);
    assert_eq!(clusters.join(2).map(|join| (join.to, join.edge)), Some((0, 2)));
    assert_eq!(clusters.join(1).map(|join| (join.to, join.edge)), Some((2, 1)));
}

#[test]
fn input_that_cannot_be_resolved_is_refused() {
    let rows = [row("a", &[]), row("a", &[])];
    assert!(matches!(Leads::new(&[batch(&rows)]), Err(Error::DuplicateLead)));
    let whole = batch(&rows[..1]);
    let without = |name: &str| {
        let kept: Vec<usize> = (0..whole.num_columns()).filter(|at| whole.schema().field(*at).name() != name).collect();
        Leads::new(&[whole.project(&kept).unwrap()])
    };
    assert!(matches!(without("source"), Err(Error::MissingColumn { column: "source" })));
    assert!(matches!(without("observed_at"), Err(Error::MissingColumn { column: "observed_at" })));
    assert!(without("email").is_ok());
}

#[test]
fn names_are_asked_for_where_an_id_is_shared_by_more_than_one_person_is_written() {
    let ids = |field: Field, times: usize| -> Vec<Row> {
        let cell = |number: usize| (field, format!("https://www.linkedin.com/in/p{}", number / times));
        (0..40).map(|number| Row { cells: vec![cell(number)], ..row(&format!("l{number:02}"), &[]) }).collect()
    };
    for field in [Field::ExternalId, Field::LinkedinUrl] {
        assert!(!Exact::default().needs_names(&leads(&ids(field, 2))));
        assert!(!Exact::default().needs_names(&leads(&ids(field, 10))));
        assert!(Exact::default().needs_names(&leads(&ids(field, 11))));
    }
    assert!(!Exact::default().needs_names(&leads(&[])));
    let bounds = Bounds { leads_per_key: 1_000, names_per_key: 1_000 };
    assert!(Exact { bounds, ..Exact::default() }.needs_names(&leads(&[])), "more than is counted");
}

proptest! {
    #[test]
    fn the_last_row_of_a_lead_is_what_it_says(
        rows in world(24), ids in proptest::collection::vec(0_usize..6, 24), live in proptest::collection::vec(any::<bool>(), 24), cut in 0_usize..24,
    ) {
        let rows: Vec<Row> = rows.into_iter().zip(&ids).map(|(row, id)| Row { id: format!("lead_{id}"), ..row }).collect();
        let cut = cut.min(rows.len());
        let live = &live[..rows.len()];
        let parts = |at: &[bool]| BooleanArray::from(at.to_vec());
        let leads = Leads::of_last(&[batch(&rows[..cut]), batch(&rows[cut..])], &[parts(&live[..cut]), parts(&live[cut..])]).unwrap();
        let last: BTreeMap<&str, (&Row, bool)> =
            rows.iter().zip(live).map(|(row, live)| (row.id.as_str(), (row, *live))).collect();
        let last: Vec<Row> = last.into_values().filter(|(_, live)| *live).map(|(row, _)| row.clone()).collect();
        let expected = Leads::new(&[batch(&last)]).unwrap();
        let said = |leads: &Leads| -> Vec<_> {
            leads.rows().map(|row| (Field::ALL.iter().map(|field| leads.text(*field, row).map(str::to_owned)).collect::<Vec<_>>(), leads.observed_at(row), leads.first_seen_at(row))).collect()
        };
        prop_assert_eq!(said(&leads), said(&expected));
    }

    #[test]
    fn order_and_cut_of_the_input_change_nothing((rows, other) in shuffled_world(24), cut in 0_usize..24) {
        let (_, expected) = resolved(&rows, &Prior::default());
        let (head, tail) = other.split_at(cut.min(other.len()));
        let leads = Leads::new(&[batch(head), batch(tail)]).unwrap();
        prop_assert_eq!(resolve(&leads, &Exact::default(), &Prior::default()).unwrap(), expected);
    }

    #[test]
    fn every_cluster_hangs_together_by_recorded_edges(rows in world(24)) {
        let (leads, resolved) = resolved(&rows, &Prior::default());
        let mut seen = 0;
        for members in resolved.clusters.iter() {
            seen += members.len();
            prop_assert_eq!(resolved.clusters.join(members[0]), None);
            for row in &members[1..] {
                let mut at = *row;
                // As many steps as members reach the first one, or the tree has a loop.
                for _ in 0..members.len() {
                    let Some(join) = resolved.clusters.join(at) else { break };
                    let edge = resolved.links.edges[join.edge as usize];
                    prop_assert!((edge.left, edge.right) == (at, join.to) || (edge.right, edge.left) == (at, join.to));
                    at = join.to;
                }
                prop_assert_eq!(at, members[0]);
            }
        }
        prop_assert_eq!(seen, leads.len());
    }

    #[test]
    fn no_edge_is_left_between_clusters(rows in world(24)) {
        let (leads, resolved) = resolved(&rows, &Prior::default());
        let mut cluster_of = vec![0; leads.len()];
        for (number, members) in resolved.clusters.iter().enumerate() {
            members.iter().for_each(|row| cluster_of[*row as usize] = number);
        }
        for edge in &resolved.links.edges {
            prop_assert_eq!(cluster_of[edge.left as usize], cluster_of[edge.right as usize]);
        }
    }

    #[test]
    fn equal_addresses_of_people_end_in_one_cluster(rows in world(20)) {
        let clusters = groups(&rows);
        let with_ada = |row: &&Row| row.cells.iter().any(|(field, value)| *field == Field::Email && value.to_lowercase().starts_with("ada"));
        let ids: Vec<&String> = rows.iter().filter(with_ada).map(|row| &row.id).collect();
        let holding = clusters.iter().filter(|members| ids.iter().any(|id| members.contains(id))).count();
        prop_assert_eq!(holding, usize::from(!ids.is_empty()));
    }
}
