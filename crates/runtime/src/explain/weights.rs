//! Why two leads were joined: the weight of every field, by the model that joined them.

use hashbrown::HashSet;
use headwater_analysis::identity::engine::{Explainer, Model};
use headwater_analysis::identity::{Leads, Method, Probabilistic};
use headwater_model::tables;
use headwater_store::Snapshot;
use serde::Serialize;

use super::Lead;
use crate::cells::matching;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::rows::latest;

/// What every field said of two leads, as a sum in bits. Each bit doubles the odds that they are one person.
#[derive(Debug, Serialize)]
pub struct Waterfall {
    /// Where any two leads start: how rare it is that two are one person.
    pub prior_bits: f64,
    /// The fields that say something.
    pub fields: Vec<FieldWeight>,
    /// What else the two may be, in bits against strangers: relatives or colleagues of one surname, and namesakes.
    pub kin_bits: f64,
    /// See `kin_bits`.
    pub namesakes_bits: f64,
    /// The chance that they are one person, against all three.
    pub chance: f64,
}

/// What one field said.
#[derive(Debug, Serialize)]
pub struct FieldWeight {
    /// The field.
    pub field: String,
    /// What was seen.
    pub seen: String,
    /// How much it speaks for one person; against it when negative.
    pub bits: f64,
}

/// Adds the weights to every lead that was joined by them, as far as the model that did it is still kept.
pub(super) async fn add(engine: &Engine, snapshot: &Snapshot, leads: &mut [Lead]) -> Result<()> {
    let by_weights = |lead: &&Lead| lead.method == Method::Probabilistic.as_str();
    let Some(version) = leads.iter().find(by_weights).map(|lead| lead.model_version.clone()) else { return Ok(()) };
    let bytes = engine.store.identity_model(&version).await?;
    let Some(model) = bytes.and_then(|bytes| Model::from_bytes(&bytes).ok()) else { return Ok(()) };
    let ids: HashSet<String> = leads.iter().map(|lead| lead.lead_id.clone()).collect();
    let columns: Vec<&str> = Leads::columns().collect();
    let current = latest(matching(snapshot, &tables::LEAD, &columns, "lead_id", &ids)?, "lead_id")?;
    let view = Leads::new(&current).map_err(|error| Error::Internal(error.to_string()))?;
    let roster = Probabilistic::roster(&view).map_err(|problem| Error::Internal(problem.to_string()))?;
    let explainer = Explainer::new(&roster, &model);
    for lead in leads.iter_mut().filter(|lead| lead.method == Method::Probabilistic.as_str()) {
        let rows = roster.find(&lead.lead_id).zip(lead.joined_to.as_ref().and_then(|other| roster.find(other)));
        let Some(found) = rows.and_then(|(one, two)| explainer.explain(one, two)) else { continue };
        let [(_, kin_bits), (_, namesakes_bits)] = found.rivals;
        let fields = found.weights.into_iter().map(|weight| FieldWeight {
            field: weight.field.to_owned(),
            seen: weight.seen.to_owned(),
            bits: weight.bits,
        });
        lead.weights = Some(Waterfall {
            prior_bits: found.prior_bits,
            fields: fields.collect(),
            kin_bits,
            namesakes_bits,
            chance: f64::from(found.chance),
        });
    }
    Ok(())
}
