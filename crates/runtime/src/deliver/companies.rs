//! The companies of an audience, as rows that a delivery can plan like people.
//!
//! People who say the same of their company are kept as one, so that what is held grows with the companies, and with the people by
//! no more than their ids.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, StringBuilder};
use headwater_analysis::company::{self, Company, Voice};

use super::values::cell;
use crate::error::{Error, Result};
use crate::rows::text;

/// What people say of their companies.
#[derive(Debug, Default)]
pub(crate) struct Voices {
    /// The place of each voice among all.
    places: HashMap<BTreeMap<&'static str, String>, u32>,
    /// How many people have each voice.
    counts: Vec<usize>,
    /// The people in the order of their ids.
    people: StringBuilder,
    /// The voice of each person.
    voice_of: Vec<u32>,
}

impl Voices {
    /// Hears the people of a batch whom `counts` lets count. Batches come in the order of ids, if anybody is to be looked for.
    pub(crate) fn hear(&mut self, people: &RecordBatch, counts: impl Fn(usize) -> Result<bool>) -> Result<()> {
        let ids = text(people, "prospect_id")?;
        for row in 0..people.num_rows() {
            if !counts(row)? {
                continue;
            }
            let mut fields = BTreeMap::new();
            for field in company::FIELDS {
                fields.extend(cell(people, field, row)?.map(|value| (field, value)));
            }
            let next = u32::try_from(self.counts.len()).map_err(|error| Error::Internal(error.to_string()))?;
            let place = *self.places.entry(fields).or_insert(next);
            if place == next {
                self.counts.push(0);
            }
            if let Some(count) = self.counts.get_mut(place as usize) {
                *count += 1;
            }
            self.people.append_value(ids.value(row));
            self.voice_of.push(place);
        }
        Ok(())
    }

    /// The companies, in the order of their ids, and who is of which.
    pub(crate) fn companies(mut self) -> (Vec<Company>, Employers) {
        let mut voices: Vec<Voice> =
            self.counts.iter().map(|people| Voice { fields: BTreeMap::new(), people: *people }).collect();
        for (fields, place) in self.places {
            if let Some(voice) = voices.get_mut(place as usize) {
                voice.fields = fields;
            }
        }
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
        voices.hear(&batch.slice(0, 5), |row| Ok(row != 4)).unwrap();
        voices.hear(&batch.slice(5, 4), |_| Ok(true)).unwrap();
        assert_eq!(voices.counts.len(), 4, "who says the same is heard as one");
        let (companies, employers) = voices.companies();
        let name_of =
            |id: &str| companies.iter().find(|company| company.id == id).map(|company| company.fields["company_name"].as_str());
        let of: Vec<Option<&str>> = people.iter().map(|person| employers.of(person).and_then(name_of)).collect();
        let (alder, elm) = (Some("ALDER GmbH"), Some("Elm"));
        assert_eq!(of, [alder, elm, alder, None, None, elm, alder, None, alder]);
        assert_eq!((companies.len(), employers.of("prs_"), employers.of("prs_99")), (2, None, None));
    }
}
