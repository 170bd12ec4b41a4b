//! Made-up rows under each vendor's header, and what becomes of them.

use std::fmt::Write as _;

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use headwater_model::conform::{Conformer, Context, Keep};
use headwater_model::instant::DateStyle;
use headwater_model::suppression::{Hasher, Screen};
use headwater_sdk::testkit::check_source_contract;
use serde_json::{Map, Value, json};

use super::{fixtures, pages, source, spec};

/// The fixture, the preset that is declared, the preset that is meant.
const VENDORS: &[(&str, &str, &str)] = &[
    ("apollo", "auto", "apollo"),
    ("cognism", "cognism", "cognism"),
    ("companies_house", "auto", "companies_house"),
    ("crunchbase", "auto", "crunchbase"),
    ("crunchbase_organizations", "auto", "crunchbase"),
    ("dropcontact", "auto", "dropcontact"),
    ("kaspr", "kaspr", "kaspr"),
    ("lusha", "auto", "lusha"),
    ("sales_navigator", "auto", "sales_navigator"),
    ("sirene", "auto", "sirene"),
    ("zoominfo", "auto", "zoominfo"),
];

/// The conformed rows of a file as JSON lines, and then the refused ones.
async fn conformed(config: Value) -> String {
    let spec = spec(fixtures(), config.clone()).await.unwrap();
    let context = Context {
        source: "list".to_owned(),
        stream: spec.name.clone(),
        run_id: "run".to_owned(),
        origin: spec.origin,
        country: None,
        currency: None,
        lawful_basis: None,
        basis_obtained_at: None,
        notice_at: None,
        dates: DateStyle::default(),
    };
    let mut mapping = spec.mapping.clone();
    mapping.0.retain(|field, _| headwater_model::conform::fields_of(spec.role).contains(&field.as_str()));
    let conformer = Conformer::new(spec.role, &mapping, context).unwrap();
    let screen = Screen::new(Hasher::new(b"key"), Default::default());
    let mut out = String::new();
    for page in pages(fixtures(), config).await.unwrap() {
        let hashes = conformer.hashes(&page);
        let keep = Keep { rows: (0..).take(hashes.len()).collect(), hashes };
        let leads = conformer.leads(&page, &keep, &screen, READ_AT_US).unwrap();
        let schema = leads.lead.schema();
        for row in 0..leads.lead.num_rows() {
            let cells = schema.fields().iter().zip(leads.lead.columns()).filter_map(|(field, column)| {
                let said = column.is_valid(row)
                    && !["lead_id", "record_id", "source", "stream", "run_id", "op"].contains(&field.name().as_str());
                let text = said && *field.data_type() == DataType::Utf8;
                text.then(|| (field.name().clone(), json!(column.as_string::<i32>().value(row))))
            });
            writeln!(out, "{}", Value::Object(cells.collect::<Map<_, _>>())).unwrap();
        }
        for refused in page.refused.iter().chain(&leads.refused) {
            writeln!(out, "{}", json!({ "refused": refused.code, "place": refused.place })).unwrap();
        }
    }
    out
}

/// When everything in the fixtures had happened: 2026-11-20.
const READ_AT_US: i64 = 1_795_132_800_000_000;

#[tokio::test]
async fn the_rows_of_every_vendor_conform_as_expected() {
    let mut wrong = Vec::new();
    for (file, declared, preset) in VENDORS {
        let config = json!({ "path": format!("presets/{file}.csv"), "preset": declared });
        let notes = spec(fixtures(), config.clone()).await.unwrap().notes.unwrap();
        assert!(notes.contains(&format!("preset {preset} (")), "{file}: {notes}");
        let path = fixtures().with_file_name("expected").join(format!("{file}.jsonl"));
        let got = conformed(config).await;
        if std::fs::read_to_string(&path).unwrap_or_default() != got {
            wrong.push(format!("{}:\n{got}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "not as expected, in:\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_vendors_file_keeps_the_contract() {
    for (file, declared, _) in VENDORS {
        let config = json!({ "path": format!("presets/{file}.csv"), "preset": declared, "checkpoint_rows": 1 });
        check_source_contract(source(fixtures(), config).unwrap().as_ref(), "records", 0).await.unwrap();
    }
}

#[tokio::test]
async fn a_personal_address_is_never_an_address_to_write_to() {
    for (file, declared, _) in VENDORS {
        let rows = conformed(json!({ "path": format!("presets/{file}.csv"), "preset": declared })).await;
        assert!(!rows.contains("@example.com"), "{file}");
    }
}
