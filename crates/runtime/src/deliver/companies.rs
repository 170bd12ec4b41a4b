//! The companies of an audience, as rows that a delivery can plan like people.
//!
//! People who say the same of their company are kept as one, so that what is held grows with the companies, and with the people by
//! no more than their ids.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, StringBuilder};
use headwater_analysis::company::{self, Company, Voice};
use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Error, Result};
use crate::rows::{at, text};

/// What people say of their companies.
#[derive(Debug, Default)]
pub(crate) struct Voices {
    /// The place of each voice among all, by a digest of what it says.
    places: HashMap<u128, u32>,
    voices: Vec<Voice>,
    /// The people in the order in which they were heard.
    people: StringBuilder,
    /// The voice of each person.
    voice_of: Vec<u32>,
}

impl Voices {
    /// Hears what the people of a batch whom `counts` lets count say in these of [`company::FIELDS`]. Batches come in the order of ids,
    /// if anybody is to be looked for.
    pub(crate) fn hear(
        &mut self,
        people: &RecordBatch,
        fields: &[&'static str],
        counts: impl Fn(usize) -> Result<bool>,
    ) -> Result<()> {
        let ids = text(people, "prospect_id")?;
        let columns = fields.iter().map(|field| Ok((*field, text(people, field)?))).collect::<Result<Vec<_>>>()?;
        let mut said = Vec::new();
        for row in 0..people.num_rows() {
            if !counts(row)? {
                continue;
            }
            said.clear();
            for (_, column) in &columns {
                let value = at(column, row);
                said.extend_from_slice(&value.map_or(u64::MAX, |value| value.len() as u64).to_le_bytes());
                said.extend_from_slice(value.unwrap_or_default().as_bytes());
            }
            let next = u32::try_from(self.voices.len()).map_err(|error| Error::Internal(error.to_string()))?;
            let place = *self.places.entry(xxh3_128(&said)).or_insert(next);
            if place == next {
                let fields = columns.iter().filter_map(|(field, column)| Some((*field, at(column, row)?.to_owned())));
                self.voices.push(Voice { fields: fields.collect(), people: 0 });
            }
            if let Some(voice) = self.voices.get_mut(place as usize) {
                voice.people += 1;
            }
            self.people.append_value(ids.value(row));
            self.voice_of.push(place);
        }
        Ok(())
    }

    /// The companies, in the order of their ids, and who is of which.
    pub(crate) fn companies(mut self) -> (Vec<Company>, Employers) {
        let voices = self.voices;
        let mut companies = company::roll_up(&voices);
        companies.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        let mut company_of: Vec<Option<u32>> = vec![None; voices.len()];
        for (place, company) in (0_u32..).zip(&companies) {
            for voice in &company.voices {
                if let Some(of) = company_of.get_mut(*voice) {
                    *of = Some(place);
                }
            }
        }
        let company_of = self.voice_of.iter().map(|voice| company_of.get(*voice as usize).copied().flatten()).collect();
        let ids = companies.iter().map(|company| company.id.clone()).collect();
        let employers = Employers { people: self.people.finish(), company_of, companies: ids };
        (companies, employers)
    }
}

/// The company of each person.
#[derive(Debug)]
pub(crate) struct Employers {
    /// The people in the order in which they were heard.
    people: StringArray,
    company_of: Vec<Option<u32>>,
    companies: Vec<String>,
}

impl Employers {
    /// Everybody who is of a company, with its place among the companies.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        let people = self.people.iter().zip(&self.company_of);
        people.filter_map(|(person, company)| Some((person?, (*company)? as usize)))
    }

    /// Our id of the company that a person is of, where the people were heard in the order of their ids.
    pub(super) fn of(&self, person: &str) -> Option<&str> {
        let (mut low, mut high) = (0, self.people.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.people.value(middle).cmp(person) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => {
                    let company = self.company_of.get(middle).copied().flatten()?;
                    return self.companies.get(company as usize).map(String::as_str);
                }
            }
        }
        None
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_of_the_company_that_they_say_and_nobody_else_is() {
        let people: Vec<String> = (0..9).map(|n| format!("prs_{n}")).collect();
        let names: Vec<Option<&str>> = (0..9).map(|n| ["Alder", "Elm", "ALDER GmbH"].get(n % 4).copied()).collect();
        let columns: Vec<(&str, ArrayRef, bool)> =
            std::iter::once(("prospect_id", Arc::new(StringArray::from(people.clone())) as ArrayRef, true))
                .chain(company::FIELDS.map(|field| {
                    let values: StringArray = names.iter().map(|name| name.filter(|_| field == "company_name")).collect();
                    (field, Arc::new(values) as ArrayRef, true)
                }))
                .collect();
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let mut voices = Voices::default();
        voices.hear(&batch.slice(0, 5), &company::FIELDS, |row| Ok(row != 4)).unwrap();
        voices.hear(&batch.slice(5, 4), &company::FIELDS, |_| Ok(true)).unwrap();
        assert_eq!(voices.voices.len(), 4, "who says the same is heard as one");
        let (companies, employers) = voices.companies();
        let name_of =
            |id: &str| companies.iter().find(|company| company.id == id).map(|company| company.fields["company_name"].as_str());
        let of: Vec<Option<&str>> = people.iter().map(|person| employers.of(person).and_then(name_of)).collect();
        let (alder, elm) = (Some("ALDER GmbH"), Some("Elm"));
        assert_eq!(of, [alder, elm, alder, None, None, elm, alder, None, alder]);
        assert_eq!((companies.len(), employers.of("prs_"), employers.of("prs_99")), (2, None, None));
    }
}
