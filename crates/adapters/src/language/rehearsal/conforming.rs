//! Do the rows conform to the model, by the connector's own mapping?

use headwater_model::conform::{Conformer, Context, Keep};
use headwater_model::instant::DateStyle;
use headwater_model::mapping::Role;
use headwater_model::suppression::{Hasher, Screen};
use headwater_sdk::testkit::Row;
use headwater_sdk::{StreamSpec, TextRows};
use jiff::Timestamp;

/// How many refusals are shown.
const SHOWN: usize = 5;

/// Why rows would be refused.
pub(super) fn refusals(stream: &StreamSpec, rows: &[Row], now: Timestamp) -> Vec<String> {
    let rows: Vec<&Row> = rows.iter().filter(|row| !row.deleted).collect();
    if rows.is_empty() || stream.mapping.0.is_empty() {
        return Vec::new();
    }
    match refused(stream, &rows, now) {
        Ok(refused) => refused,
        Err(problem) => vec![problem],
    }
}

fn refused(stream: &StreamSpec, rows: &[&Row], now: Timestamp) -> Result<Vec<String>, String> {
    let fail = |error: &dyn std::error::Error| error.to_string();
    let mut text = TextRows::new(stream.fields.iter().map(String::as_str));
    for row in rows {
        let cells = stream.fields.iter().map(|field| row.fields.get(field).cloned());
        text.push(row.key.as_deref().unwrap_or_default(), row.raw.as_deref().unwrap_or_default(), cells);
    }
    let page = text.finish(stream.name.as_str()).map_err(|error| fail(&error))?;
    let context = Context {
        source: "test".to_owned(),
        stream: stream.name.clone(),
        run_id: "run_test".to_owned(),
        origin: stream.origin,
        dates: DateStyle::default(),
        country: None,
        currency: Some("EUR".to_owned()),
        lawful_basis: None,
        basis_obtained_at: None,
        notice_at: None,
    };
    let conformer = Conformer::new(stream.role, &stream.mapping, context).map_err(|error| fail(&error))?;
    let hashes = conformer.hashes(&page);
    let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let keep = Keep { rows: (0..count).collect(), hashes };
    let screen = Screen::new(Hasher::new(b"test"), std::iter::empty().collect());
    let now_us = now.as_microsecond();
    let refused = match stream.role {
        Role::Leads | Role::Touches => conformer.leads(&page, &keep, &screen, now_us).map_err(|error| fail(&error))?.refused,
        Role::Engagements | Role::Conversions | Role::Costs => {
            conformer.facts(&page, &keep, &screen, now_us).map_err(|error| fail(&error))?.refused
        }
    };
    let shown = refused.iter().take(SHOWN);
    Ok(shown.map(|row| format!("row {} would be refused: {} ({})", row.place, row.reason, row.code)).collect())
}
