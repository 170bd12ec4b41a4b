//! What people say the fields of a person are: above every source, and in every later run.

use hashbrown::HashSet;
use headwater_analysis::identity::SURVIVING;
use headwater_model::{country, email, phone, tables};
use headwater_store::{Edit, LedgerOp};
use serde::Serialize;

use super::VERSION;
use crate::cells::{each, matching};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::explain::find::find;
use crate::project::nearest;

/// The longest value that a field takes, in bytes.
const MAX_BYTES: usize = 4096;

/// What was said.
#[derive(Debug, Serialize)]
pub struct Edited {
    /// The version of this shape.
    pub version: u32,
    /// Of whom.
    pub prospect_id: String,
    /// Which fields.
    pub fields: Vec<String>,
}

/// Says what fields of a person are, and takes back what was said of others. Each of `set` is `FIELD=VALUE`; an empty value says that
/// there is none.
///
/// # Errors
/// [`Error::NotFound`] when there is no such person, [`Error::Usage`] when several are meant, or a field or value is none.
pub async fn edit(engine: &Engine, who: &str, set: &[String], forget: &[String]) -> Result<Edited> {
    let snapshot = engine.store.snapshot().await?;
    let found = find(engine, &snapshot, who).await?;
    if !found.also.is_empty() {
        let others = found.also.join(", ");
        return Err(Error::Usage(format!("several people are meant: {}, {others}; name one by its id", found.prospect_id)));
    }
    let ids = HashSet::from([found.prospect_id.clone()]);
    let links = matching(&snapshot, &tables::IDENTITY_LINK, &["lead_id", "prospect_id"], "prospect_id", &ids)?;
    let mut leads: Vec<String> = each(&links).map(|row| row.word("lead_id")).collect::<Result<_>>()?;
    leads.sort_unstable();
    let place = matching(&snapshot, &tables::PROSPECT, &["prospect_id", "country"], "prospect_id", &ids)?;
    let place = each(&place).next().map(|row| row.owned("country")).transpose()?.flatten();
    let Some(first) = leads.first() else {
        return Err(Error::NotFound {
            what: format!("`{}` has no leads", found.prospect_id),
            hint: "run `headwater sync` first".to_owned(),
        });
    };
    let now = engine.clock().now_us();
    let mut said: Vec<(String, Option<String>)> = Vec::new();
    for one in set {
        let (field, value) = one.split_once('=').ok_or_else(|| Error::Usage(format!("`{one}` is no FIELD=VALUE")))?;
        said.push((known(field)?, Some(normal(field, value.trim(), place.as_deref())?)));
    }
    for field in forget {
        said.push((known(field)?, None));
    }
    let mut commit = engine.store.commit("review", now);
    for (field, value) in &said {
        // What was said of the field through another lead of the person goes: one field, one word.
        for lead in &leads {
            let value = value.clone().filter(|_| lead == first);
            commit.ledger(LedgerOp::Edit(Edit { lead_id: lead.clone(), field: field.clone(), value, edited_at: now }));
        }
    }
    commit.execute().await?;
    Ok(Edited { version: VERSION, prospect_id: found.prospect_id, fields: said.into_iter().map(|(field, _)| field).collect() })
}

fn known(field: &str) -> Result<String> {
    let names = || SURVIVING.iter().map(|field| field.name());
    if names().any(|name| name == field) {
        return Ok(field.to_owned());
    }
    let hint =
        nearest(field, names()).map_or_else(|| names().collect::<Vec<_>>().join(", "), |near| format!("did you mean `{near}`?"));
    Err(Error::Usage(format!("a person has no field `{field}`: {hint}")))
}

/// The value as sources' values are kept.
fn normal(field: &str, value: &str, place: Option<&str>) -> Result<String> {
    if value.is_empty() {
        return Ok(String::new());
    }
    let (normal, wanted) = match field {
        "email" => (email::normalise(value).map(|value| value.into_owned()), "an address such as ann@example.com"),
        "phone" | "mobile" => (
            phone::normalise(value, place).map(|value| value.into_owned()),
            "a number with its country, such as +44 20 7946 0101",
        ),
        "country" => (country::code(value).map(str::to_owned), "a country, such as FR or France"),
        _ => (
            Some(value.to_owned()).filter(|value| value.len() <= MAX_BYTES && !value.contains(char::is_control)),
            "one line of text",
        ),
    };
    normal.ok_or_else(|| Error::Usage(format!("`{field}` takes {wanted}")))
}
