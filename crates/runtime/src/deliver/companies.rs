//! The companies of an audience, as rows that a delivery can plan like people.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use headwater_analysis::company::{self, Company, Employee};

use super::values::cell;
use crate::error::Result;
use crate::rows::text;

/// The companies of the people that `counts` lets count, by id.
pub(super) fn of(people: &[RecordBatch], counts: impl Fn(&RecordBatch, usize) -> Result<bool>) -> Result<Vec<Company>> {
    let mut employees = Vec::new();
    for batch in people {
        let ids = text(batch, "prospect_id")?;
        for row in 0..batch.num_rows() {
            if !counts(batch, row)? {
                continue;
            }
            let mut fields = BTreeMap::new();
            for field in company::FIELDS {
                fields.extend(cell(batch, field, row)?.map(|value| (field, value)));
            }
            employees.push(Employee { prospect_id: ids.value(row).to_owned(), fields });
        }
    }
    Ok(company::roll_up(&employees))
}

/// The companies as rows with the columns of people, of which they have some.
pub(super) fn batch(companies: &[Company]) -> Result<RecordBatch> {
    let column = |value: &dyn Fn(&Company) -> Option<String>| -> ArrayRef {
        Arc::new(companies.iter().map(value).collect::<StringArray>())
    };
    let ids = [("prospect_id", column(&|company| Some(company.id.clone())))];
    let fields = company::FIELDS.map(|field| (field, column(&|company| company.fields.get(field).cloned())));
    Ok(RecordBatch::try_from_iter_with_nullable(ids.into_iter().chain(fields).map(|(name, column)| (name, column, true)))?)
}

/// Ids that companies had while less was known, by the id they have now.
pub(super) fn aliases(companies: &[Company]) -> HashMap<String, Vec<String>> {
    companies.iter().map(|company| (company.id.clone(), company.aliases.clone())).collect()
}

/// The company of each person.
pub(super) fn employers(companies: &[Company]) -> HashMap<String, String> {
    let each = |company: &Company| company.people.iter().map(|person| (person.clone(), company.id.clone())).collect::<Vec<_>>();
    companies.iter().flat_map(each).collect()
}
