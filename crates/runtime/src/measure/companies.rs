//! The companies that people are of, as the roll-up of a delivery finds them: for queries, reports and audiences.

use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch, StringBuilder, TimestampMicrosecondArray};
use headwater_analysis::company::Company;
use headwater_model::tables;
use headwater_store::{Snapshot, StagedFiles};

use crate::deliver::Voices;
use crate::engine::Engine;
use crate::error::Result;
use crate::resolve::SUPPRESSED;
use crate::rows::{at, load, text};

/// How many people are written at once; bounds the memory of a batch.
const PEOPLE_AT_ONCE: usize = 10_000;

/// What tells companies apart, and what is told of them. The city stands first.
const TOLD: [&str; 5] = ["city", "company_number", "company_name", "company_domain", "country"];

pub(super) fn write(engine: &Engine, snapshot: &Snapshot, now_us: i64) -> Result<StagedFiles> {
    let mut voices = Voices::default();
    let columns: Vec<&str> = ["prospect_id", "merged_into", "hold_reason"].into_iter().chain(TOLD).collect();
    for batch in load(snapshot, &tables::PROSPECT, &columns)? {
        let (merged, held) = (text(&batch, "merged_into")?, text(&batch, "hold_reason")?);
        // A city tells companies apart where a court gives them numbers, and nowhere else.
        let numbers = text(&batch, "company_number")?;
        let fields = TOLD.get(usize::from(numbers.null_count() == numbers.len())..).unwrap_or_default();
        voices.hear(&batch, fields, |row| Ok(at(merged, row).is_none() && at(held, row) != Some(SUPPRESSED)))?;
    }
    let (companies, employers) = voices.companies();
    let mut writer = engine.store.writer(&tables::COMPANY, None)?;
    let people: Vec<(&str, usize)> = employers.iter().collect();
    let mut sizes = vec![0; companies.len()];
    for (_, company) in &people {
        if let Some(size) = sizes.get_mut(*company) {
            *size += 1;
        }
    }
    for people in people.chunks(PEOPLE_AT_ONCE) {
        writer.write(&batch(people, &companies, &sizes, now_us)?)?;
    }
    Ok(writer.finish()?)
}

fn batch(people: &[(&str, usize)], companies: &[Company], sizes: &[i64], now_us: i64) -> Result<RecordBatch> {
    let mut texts: [StringBuilder; 6] = Default::default();
    let [person, id, name, domain, number, country] = &mut texts;
    let mut size = Vec::with_capacity(people.len());
    for (prospect_id, place) in people {
        let Some(company) = companies.get(*place) else { continue };
        person.append_value(prospect_id);
        id.append_value(&company.id);
        let fields = [(&mut *name, "company_name"), (domain, "company_domain"), (number, "company_number"), (country, "country")];
        for (column, field) in fields {
            column.append_option(company.fields.get(field));
        }
        size.push(sizes.get(*place).copied().unwrap_or_default());
    }
    let as_of = TimestampMicrosecondArray::from_value(now_us, size.len()).with_timezone("UTC");
    let texts = texts.map(|mut column| Arc::new(column.finish()) as _);
    let columns = texts.into_iter().chain([Arc::new(Int64Array::from(size)) as _, Arc::new(as_of) as _]).collect();
    Ok(RecordBatch::try_new(tables::COMPANY.schema(), columns)?)
}
