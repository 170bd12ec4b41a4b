//! What holds for any cells at all.

use proptest::prelude::*;

use super::*;

fn cell() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        2 => Just(None),
        1 => Just(Some(String::new())),
        2 => "[ \\t\\u{a0}]{1,2}".prop_map(Some),
        4 => "\\PC{0,12}".prop_map(Some),
        1 => "[\\x00-\\x1f\"\\\\\u{feff}\u{200b}\u{202e}]{0,4}".prop_map(Some),
        2 => "[ ]?[a-cA-C]@[xX]\\.example".prop_map(Some),
        2 => "\\+49 ?30 ?[0-9]{7}".prop_map(Some),
        2 => "20[0-9]{2}-[01][0-9]-[0-3][0-9]".prop_map(Some),
        1 => "[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}".prop_map(Some),
        2 => "-?[0-9]{0,4}[.,]?[0-9]{0,3}".prop_map(Some),
        1 => "EUR|USD|€".prop_map(Some),
    ]
}

fn rows(columns: usize) -> impl Strategy<Value = Vec<Vec<Option<String>>>> {
    prop::collection::vec(prop::collection::vec(cell(), columns), 0..12)
}

fn screen() -> Screen {
    without(&[(Kind::Email, "a@x.example"), (Kind::Phone, "+49301234567")])
}

proptest! {
    // Fifty columns a row: fewer cases find as much.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_row_of_people_ends_somewhere(
        rows in rows(fields_of(Role::Leads).len()),
        deleted in prop::option::of(any::<u16>()),
    ) {
        let mut page = page(fields_of(Role::Leads), &rows);
        page.deleted = deleted.map(|bits| (0..rows.len()).map(|row| bits >> row & 1 == 1).collect());
        let leads = leads(&conformer(Role::Leads, fields_of(Role::Leads)), &page, &screen());
        let accepted = leads.lead.num_rows();
        prop_assert_eq!(accepted + leads.refused.len() + usize::try_from(leads.suppressed).unwrap(), rows.len());
        prop_assert_eq!(leads.record.num_rows(), accepted);
        prop_assert_eq!(leads.touch.utm_source.len(), accepted);
        prop_assert_eq!(column(&leads.lead, "record_id"), column(&leads.record, "record_id"));
        for email in column(&leads.lead, "email").iter().flatten() {
            prop_assert_ne!(email, "a@x.example");
        }
        for refused in &leads.refused {
            let raw: serde_json::Value = serde_json::from_str(&refused.raw).unwrap();
            prop_assert!(raw.is_object());
        }
    }

    #[test]
    fn every_row_of_facts_ends_somewhere(
        orders in rows(fields_of(Role::Conversions).len()),
        clicks in rows(fields_of(Role::Engagements).len()),
        costs in rows(fields_of(Role::Costs).len()),
    ) {
        for (role, rows) in [(Role::Conversions, orders), (Role::Engagements, clicks), (Role::Costs, costs)] {
            let columns = fields_of(role);
            let facts = facts(&conformer(role, columns), &page(columns, &rows), &screen());
            prop_assert_eq!(facts.rows.num_rows() + facts.refused.len() + usize::try_from(facts.suppressed).unwrap(), rows.len());
            prop_assert_eq!(facts.record.num_rows(), facts.rows.num_rows());
        }
    }

}

proptest! {
    #[test]
    fn the_raw_record_reads_back_as_the_cells(rows in rows(4)) {
        let columns = ["external_id", "email \"quoted\"", "\\", "\u{1f600}\n"];
        let conformer = Conformer::new(Role::Leads, &Mapping::of([("external_id", "external_id")]), context()).unwrap();
        let rows: Vec<_> = rows.into_iter().map(|mut row| { row[0] = Some("id".to_owned()); row }).collect();
        let leads = leads(&conformer, &page(&columns, &rows), &nobody());
        for (raw, row) in column(&leads.record, "raw").iter().zip(&rows) {
            let raw: serde_json::Map<String, serde_json::Value> = serde_json::from_str(raw.as_deref().unwrap()).unwrap();
            let cells = columns.iter().zip(row).filter_map(|(name, cell)| Some(((*name).to_owned(), cell.clone()?.into())));
            let expected: serde_json::Map<String, serde_json::Value> = cells.collect();
            prop_assert_eq!(raw, expected);
        }
    }

    #[test]
    fn rows_that_differ_are_different_records(one in prop::collection::vec(cell(), 3), other in prop::collection::vec(cell(), 3)) {
        let columns = ["a", "b", "c"];
        let hashes = conformer(Role::Leads, &[]).hashes(&page(&columns, &[one.clone(), other.clone()]));
        prop_assert_eq!(hashes[0] == hashes[1], one == other);
        prop_assert_eq!(hashes[0].identity == hashes[1].identity, one == other);
    }

    #[test]
    fn shared_columns_say_what_copied_ones_say(cells in prop::collection::vec(cell(), 0..12), cut in 0..4_usize) {
        let rows: Vec<Vec<Option<String>>> = cells.iter().map(|cell| vec![cell.clone()]).collect();
        let batch = page(&["city"], &rows).fields;
        let batch = batch.slice(cut.min(rows.len()), rows.len() - cut.min(rows.len()));
        let rule = FieldRule::from_field("city");
        // A second column that is not there changes nothing but the way taken.
        let copied = FieldRule { from: vec!["city".to_owned(), "nowhere".to_owned()], ..rule.clone() };
        let reader = columns::Reader::new(&batch, Some(&rule));
        let text = reader.text();
        let slow: StringArray = (0..batch.num_rows()).map(|row| reader.get(row)).collect();
        prop_assert_eq!(&text, &slow);
        prop_assert_eq!(&columns::Reader::new(&batch, Some(&copied)).text(), &slow);
        for cell in text.iter().flatten() {
            prop_assert!(!cell.is_empty() && cell.trim() == cell);
        }
    }

    #[test]
    fn kept_rows_conform_as_they_would_alone(rows in rows(5), picked in any::<u16>()) {
        let columns = ["email", "phone", "family_name", "company_name", "created_at"];
        let (conformer, page) = (conformer(Role::Leads, &columns), page(&columns, &rows));
        let hashes = conformer.hashes(&page);
        let picked: Vec<u32> = (0..u32::try_from(rows.len()).unwrap()).filter(|row| picked >> row & 1 == 1).collect();
        let keep = Keep { hashes: picked.iter().map(|row| hashes[*row as usize]).collect(), rows: picked.clone() };
        let together = conformer.leads(&page, &keep, &screen(), NOW).unwrap();
        let mut ids = Vec::new();
        let mut places = Vec::new();
        for row in picked {
            let keep = Keep { rows: vec![row], hashes: vec![hashes[row as usize]] };
            let alone = conformer.leads(&page, &keep, &screen(), NOW).unwrap();
            ids.extend(column(&alone.lead, "record_id"));
            places.extend(alone.refused.into_iter().map(|refused| refused.place));
        }
        let mut refused: Vec<String> = together.refused.into_iter().map(|refused| refused.place).collect();
        refused.sort();
        places.sort();
        prop_assert_eq!(column(&together.lead, "record_id"), ids);
        prop_assert_eq!(refused, places);
    }
}
