//! `review`: which two prospects may be one person, and what people say of it.
//!
//! An answer is a fact in the ledger about two leads. It stands above every chance and every id, survives every run, and changes
//! nothing until the next resolve.

mod edit;
mod sample;

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};
use headwater_model::tables;
pub use headwater_store::Verdict;
use headwater_store::{Decision, LedgerOp, ReviewPair, Snapshot};
use serde::Serialize;

use crate::cells::{Row, each, matching};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::rows::latest;

pub use edit::{Edited, edit};
pub(crate) use sample::Checked;
pub use sample::{EstimateView, SampleReport, draw, sample};

/// The version of the answers' shapes.
const VERSION: u32 = 1;
/// What of a lead helps to tell people apart.
const SHOWN: [&str; 10] =
    ["given_name", "family_name", "full_name", "email", "phone", "mobile", "job_title", "company_name", "city", "country"];

/// What waits for an answer.
#[derive(Debug, Serialize)]
pub struct ReviewReport {
    /// The version of this shape.
    pub version: u32,
    /// How many pairs wait.
    pub waiting: u64,
    /// How many pairs of leads were decided, by what was said.
    pub decided: BTreeMap<&'static str, u64>,
    /// The pairs, the most worth first.
    pub pairs: Vec<Pair>,
}

/// Two prospects that may be one person, by the two leads that are most in doubt.
#[derive(Debug, Serialize)]
pub struct Pair {
    /// Its id; the same in every run.
    pub review_id: String,
    /// How likely they are one person, from 0 to 1; not told of pairs that were drawn to be checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    /// How many pairs of leads the answer is expected to set right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worth: Option<f64>,
    /// One side.
    pub one: Side,
    /// The other.
    pub two: Side,
}

/// One side of a pair.
#[derive(Debug, Default, Serialize)]
pub struct Side {
    /// The lead.
    pub lead_id: String,
    /// Whose it is now.
    pub prospect_id: String,
    /// Its source.
    pub source: String,
    /// What it says, by field.
    pub says: BTreeMap<&'static str, String>,
}

/// What was decided.
#[derive(Debug, Serialize)]
pub struct Decided {
    /// The version of this shape.
    pub version: u32,
    /// `same` or `different`.
    pub verdict: Verdict,
    /// How many pairs of leads it was said of.
    pub pairs: u64,
    /// How many questions still wait.
    pub waiting: u64,
}

/// The pairs that wait, and how many were decided.
///
/// # Errors
/// When the store cannot be read.
pub async fn list(engine: &Engine, limit: usize) -> Result<ReviewReport> {
    let snapshot = engine.store.snapshot().await?;
    let waiting = engine.store.reviews().await?;
    let mut decided = BTreeMap::from([(Verdict::Same.as_str(), 0), (Verdict::Different.as_str(), 0)]);
    for decision in engine.store.decisions().await? {
        *decided.entry(decision.verdict.as_str()).or_default() += 1;
    }
    let shown: Vec<&ReviewPair> = waiting.iter().take(limit).collect();
    let sides = Sides::of(&snapshot, shown.iter().flat_map(|pair| [pair.one.as_str(), pair.two.as_str()]))?;
    let pairs = shown.into_iter().map(|pair| Pair {
        review_id: pair.review_id.clone(),
        chance: Some(pair.chance),
        worth: Some(pair.worth),
        one: sides.side(&pair.one),
        two: sides.side(&pair.two),
    });
    Ok(ReviewReport { version: VERSION, waiting: waiting.len() as u64, decided, pairs: pairs.collect() })
}

/// Says of pairs that wait for a review, or were drawn to be checked, that they are one person, or two.
///
/// # Errors
/// [`Error::NotFound`] when no such pair waits, [`Error::Usage`] when it contradicts what was said before; then nothing is decided.
pub async fn decide(engine: &Engine, review_ids: &[String], verdict: Verdict) -> Result<Decided> {
    let reviews = engine.store.reviews().await?;
    let mut waiting: HashMap<String, (String, String)> =
        reviews.into_iter().map(|pair| (pair.review_id, (pair.one, pair.two))).collect();
    let drawn = engine.store.sample().await?.map(|sample| sample.pairs).unwrap_or_default();
    waiting.extend(drawn.into_iter().map(|pair| (pair.review_id, (pair.one, pair.two))));
    let mut said = Vec::new();
    for id in review_ids {
        let (one, two) = waiting.get(id).cloned().ok_or_else(|| Error::NotFound {
            what: format!("no pair `{id}` waits for a review"),
            hint: "`headwater review list` and `headwater review sample` show those that do".to_owned(),
        })?;
        said.push(Decision { one, two, verdict });
    }
    keep(engine, said, verdict).await
}

/// Parts a prospect: these leads of it are somebody else. Without leads, those that came by the merge of the id that is named.
///
/// # Errors
/// [`Error::NotFound`] when there is no such prospect, [`Error::Usage`] when the leads are not a part of it.
pub async fn split(engine: &Engine, prospect: &str, leads: &[String]) -> Result<Decided> {
    let snapshot = engine.store.snapshot().await?;
    let (owner, parting) = if leads.is_empty() {
        merged_away(engine, &snapshot, prospect).await?
    } else {
        (prospect.to_owned(), leads.iter().cloned().collect())
    };
    let members =
        matching(&snapshot, &tables::IDENTITY_LINK, &["lead_id", "prospect_id"], "prospect_id", &HashSet::from([&owner]))?;
    let members: Vec<String> = each(&members).map(|row| row.word("lead_id")).collect::<Result<_>>()?;
    if members.is_empty() {
        return Err(Error::NotFound {
            what: format!("there is no prospect `{owner}` that has leads"),
            hint: "`headwater explain` shows a person's prospect id and leads".to_owned(),
        });
    }
    let (going, staying): (Vec<String>, Vec<String>) = members.into_iter().partition(|lead| parting.contains(lead));
    if going.len() < parting.len() && !leads.is_empty() {
        return Err(Error::Usage(format!(
            "not all of these leads belong to `{owner}`; `headwater explain {owner}` shows its leads"
        )));
    }
    if going.is_empty() || staying.is_empty() {
        return Err(Error::Usage("a split needs leads on both sides: name some of the prospect's leads, not all".to_owned()));
    }
    let verdict = Verdict::Different;
    let said = going
        .iter()
        .flat_map(|one| staying.iter().map(move |two| Decision { one: one.clone(), two: two.clone(), verdict }))
        .collect();
    keep(engine, said, verdict).await
}

/// Who has the leads now that this prospect had when it was merged away, and which they are.
async fn merged_away(engine: &Engine, snapshot: &Snapshot, prospect: &str) -> Result<(String, HashSet<String>)> {
    let former = engine.store.former_prospects().await?;
    let leads: HashSet<String> =
        former.into_iter().filter(|former| former.prospect_id == prospect).map(|former| former.lead_id).collect();
    let rows = matching(snapshot, &tables::PROSPECT, &["prospect_id", "merged_into"], "prospect_id", &HashSet::from([prospect]))?;
    let owner = each(&rows).next().map(|row| row.owned("merged_into")).transpose()?.flatten();
    match owner {
        Some(owner) if !leads.is_empty() => Ok((owner, leads)),
        _ => Err(Error::Usage(
            "name the leads that are somebody else; only a prospect that was merged into another is parted by its id alone"
                .to_owned(),
        )),
    }
}

/// Keeps decisions if, with everything that was said before and still stands, they contradict nothing.
async fn keep(engine: &Engine, said: Vec<Decision>, verdict: Verdict) -> Result<Decided> {
    let ordered = |decision: &Decision| {
        let Decision { one, two, .. } = decision;
        (one.min(two).clone(), one.max(two).clone())
    };
    let before = engine.store.decisions().await?;
    let all: BTreeMap<(String, String), Verdict> =
        before.iter().chain(&said).map(|decision| (ordered(decision), decision.verdict)).collect();
    if let Some((one, two)) = contradiction(&all) {
        return Err(Error::Usage(format!(
            "it contradicts earlier decisions: {one} and {two} would be one person and two; nothing was decided. Part them with \
             `headwater review split` first"
        )));
    }
    let mut commit = engine.store.commit("review", engine.clock().now_us());
    let pairs = said.len() as u64;
    for decision in said {
        commit.ledger(LedgerOp::Decide(decision));
    }
    commit.execute().await?;
    Ok(Decided { version: VERSION, verdict, pairs, waiting: engine.store.reviews().await?.len() as u64 })
}

/// The same for the same two leads in every run, the lesser id first.
pub(crate) fn review_id(one: &str, two: &str) -> String {
    let digest = blake3::hash(format!("{one}\n{two}").as_bytes()).to_hex();
    format!("rev_{}", digest.chars().take(12).collect::<String>())
}

/// Two leads that are one person by what was said, and two.
fn contradiction(said: &BTreeMap<(String, String), Verdict>) -> Option<(&str, &str)> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    for (one, two) in said.keys() {
        for lead in [one, two] {
            let next = numbers.len();
            numbers.entry(lead).or_insert(next);
        }
    }
    let mut above: Vec<usize> = (0..numbers.len()).collect();
    let root = |above: &[usize], mut at: usize| {
        while let Some(next) = above.get(at).copied().filter(|next| *next != at) {
            at = next;
        }
        at
    };
    let number = |lead: &String| numbers.get(lead.as_str()).copied().unwrap_or_default();
    for ((one, two), verdict) in said {
        if *verdict == Verdict::Same {
            let (one, two) = (root(&above, number(one)), root(&above, number(two)));
            if let Some(slot) = above.get_mut(one.max(two)) {
                *slot = one.min(two);
            }
        }
    }
    said.iter()
        .find(|((one, two), verdict)| **verdict == Verdict::Different && root(&above, number(one)) == root(&above, number(two)))
        .map(|((one, two), _)| (one.as_str(), two.as_str()))
}

/// What the leads of the shown pairs say.
struct Sides(HashMap<String, Side>);

impl Sides {
    fn of<'a>(snapshot: &Snapshot, leads: impl Iterator<Item = &'a str>) -> Result<Self> {
        let leads: HashSet<&str> = leads.collect();
        let mut sides: HashMap<String, Side> = HashMap::new();
        let columns: Vec<&str> = ["lead_id", "source"].into_iter().chain(SHOWN).collect();
        for row in each(&latest(matching(snapshot, &tables::LEAD, &columns, "lead_id", &leads)?, "lead_id")?) {
            let side = Side { lead_id: row.word("lead_id")?, source: row.word("source")?, says: says(row)?, ..Side::default() };
            sides.insert(side.lead_id.clone(), side);
        }
        for row in each(&matching(snapshot, &tables::IDENTITY_LINK, &["lead_id", "prospect_id"], "lead_id", &leads)?) {
            if let Some(side) = sides.get_mut(row.text("lead_id")?.unwrap_or_default()) {
                side.prospect_id = row.word("prospect_id")?;
            }
        }
        Ok(Self(sides))
    }

    /// A lead that has two pairs to show is on the first's side too, so it is copied.
    fn side(&self, lead: &str) -> Side {
        match self.0.get(lead) {
            Some(Side { lead_id, prospect_id, source, says }) => {
                Side { lead_id: lead_id.clone(), prospect_id: prospect_id.clone(), source: source.clone(), says: says.clone() }
            }
            None => Side { lead_id: lead.to_owned(), ..Side::default() },
        }
    }
}

fn says(row: Row<'_>) -> Result<BTreeMap<&'static str, String>> {
    let cells = SHOWN.into_iter().map(|column| Ok(row.owned(column)?.filter(|text| !text.is_empty()).map(|text| (column, text))));
    cells.filter_map(Result::transpose).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pairs: &[(&str, &str, Verdict)]) -> BTreeMap<(String, String), Verdict> {
        pairs.iter().map(|(one, two, verdict)| (((*one).to_owned(), (*two).to_owned()), *verdict)).collect()
    }

    #[test]
    fn a_chain_of_sames_around_a_different_is_a_contradiction() {
        let chain = [("a", "b", Verdict::Same), ("b", "c", Verdict::Same)];
        assert_eq!(contradiction(&said(&chain)), None);
        let all = [chain[0], chain[1], ("a", "c", Verdict::Different)];
        assert_eq!(contradiction(&said(&all)), Some(("a", "c")));
        let other = [chain[0], ("b", "c", Verdict::Different), ("a", "c", Verdict::Different)];
        assert_eq!(contradiction(&said(&other)), None);
    }
}
