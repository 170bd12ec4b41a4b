//! `hw_decision`, `hw_identity_model`, `hw_review`, `hw_merge`, `hw_sample`, `hw_sample_draw`: what people said of who is who, and what resolve needs to go on.
//!
//! They hold ids of leads and numbers, and in the model hashes of values; nothing that a person said of themselves.

use serde_json::Value;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::error::placed;
use crate::ledger::{json, word};
use crate::words::words;
use crate::{Result, Store};

words! {
    /// What somebody said of two leads.
    Verdict {
        /// They are one person.
        Same = "same",
        /// They are two.
        Different = "different",
    }
}

/// What somebody said a field of a person is. It stands with a lead, and goes where that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The lead.
    pub lead_id: String,
    /// The column of `prospect`.
    pub field: String,
    /// The value, empty for none; nothing when what was said is taken back.
    pub value: Option<String>,
    /// When it was said, in microseconds since 1970.
    pub edited_at: i64,
}

/// What somebody said of two leads. The order of the two does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// One lead.
    pub one: String,
    /// The other.
    pub two: String,
    /// What they are.
    pub verdict: Verdict,
}

/// A pair of leads that a person should look at.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviewPair {
    /// The same in every run.
    pub review_id: String,
    /// One lead.
    pub one: String,
    /// The other.
    pub two: String,
    /// How likely they are one person, from 0 to 1.
    pub chance: f64,
    /// What the answer is worth: how many pairs of leads it is expected to set right.
    pub worth: f64,
}

/// The prospect of a lead until it was merged away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerProspect {
    /// The lead.
    pub lead_id: String,
    /// The prospect that was merged into another.
    pub prospect_id: String,
}

/// A joined pair of leads that a person checks, drawn by chance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampledPair {
    /// The same in every run.
    pub review_id: String,
    /// One lead.
    pub one: String,
    /// The other, of the greater id.
    pub two: String,
    /// Out of which layer it was drawn.
    pub layer: u32,
    /// What was said of it.
    pub verdict: Option<Verdict>,
}

/// Joined pairs that were drawn by chance, to tell how many of all are right.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// What the draw began with.
    pub seed: i64,
    /// When it was drawn, in microseconds since 1970.
    pub drawn_at: i64,
    /// By which model the pairs were joined.
    pub model_version: String,
    /// From which chance on.
    pub merge_at: f64,
    /// How many pairs each layer has, drawn or not.
    pub layers: Vec<u64>,
    /// The drawn pairs, in the order of their ids.
    pub pairs: Vec<SampledPair>,
}

impl Store {
    /// The sample of joined pairs that was drawn last.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn sample(&self) -> Result<Option<Sample>> {
        placed("reading the sample", self.ledger(), async {
            let draw = sqlx::query("SELECT seed, drawn_at, model_version, merge_at, layers FROM hw_sample_draw");
            let Some(draw) = draw.fetch_optional(self.pool()).await? else { return Ok(None) };
            let rows = sqlx::query("SELECT review_id, one, two, layer, verdict FROM hw_sample ORDER BY review_id");
            let rows = rows.fetch_all(self.pool()).await?;
            let layers = json(&draw, "layers")?.as_array().map(|layers| layers.iter().filter_map(Value::as_u64).collect());
            Ok(Some(Sample {
                seed: draw.try_get("seed")?,
                drawn_at: draw.try_get("drawn_at")?,
                model_version: draw.try_get("model_version")?,
                merge_at: draw.try_get("merge_at")?,
                layers: layers.unwrap_or_default(),
                pairs: rows.iter().map(sampled).collect::<Result<_>>()?,
            }))
        })
        .await
    }

    /// Everything that was decided, in the order of the leads' ids.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn decisions(&self) -> Result<Vec<Decision>> {
        placed("reading the decisions", self.ledger(), async {
            let rows = sqlx::query("SELECT one, two, verdict FROM hw_decision ORDER BY one, two").fetch_all(self.pool()).await?;
            rows.iter().map(decision_of).collect()
        })
        .await
    }

    /// Everything that people said fields are, in the order of the leads' ids.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn edits(&self) -> Result<Vec<Edit>> {
        placed("reading the edits", self.ledger(), async {
            let rows = sqlx::query("SELECT lead_id, field, value, edited_at FROM hw_edit ORDER BY lead_id, field");
            rows.fetch_all(self.pool()).await?.iter().map(edit_of).collect()
        })
        .await
    }

    /// The pairs in doubt, the most worth first.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn reviews(&self) -> Result<Vec<ReviewPair>> {
        placed("reading the pairs in doubt", self.ledger(), async {
            let rows = sqlx::query("SELECT review_id, one, two, chance, worth FROM hw_review ORDER BY worth DESC, review_id")
                .fetch_all(self.pool())
                .await?;
            rows.iter()
                .map(|row| {
                    Ok(ReviewPair {
                        review_id: row.try_get(0)?,
                        one: row.try_get(1)?,
                        two: row.try_get(2)?,
                        chance: row.try_get(3)?,
                        worth: row.try_get(4)?,
                    })
                })
                .collect()
        })
        .await
    }

    /// The bytes of the identity model of this version.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn identity_model(&self, version: &str) -> Result<Option<Vec<u8>>> {
        placed("reading the identity model", self.ledger(), async {
            let bytes = sqlx::query_scalar("SELECT bytes FROM hw_identity_model WHERE version = ?").bind(version);
            Ok(bytes.fetch_optional(self.pool()).await?)
        })
        .await
    }

    /// Which leads belonged to which prospect when it was merged away, the latest merge first.
    ///
    /// # Errors
    ///
    /// [`crate::StoreError::Database`] if the ledger cannot be read.
    pub async fn former_prospects(&self) -> Result<Vec<FormerProspect>> {
        placed("reading the merges", self.ledger(), async {
            let rows = sqlx::query("SELECT lead_id, prospect_id FROM hw_merge ORDER BY at DESC, lead_id, prospect_id")
                .fetch_all(self.pool())
                .await?;
            rows.iter().map(former_of).collect()
        })
        .await
    }
}

/// Keeps what somebody said a field of a lead's person is; nothing takes back what was said.
pub(crate) async fn edit(connection: &mut SqliteConnection, edit: &Edit) -> Result<()> {
    let Edit { lead_id, field, value, edited_at } = edit;
    sqlx::query("DELETE FROM hw_edit WHERE lead_id = ? AND field = ?")
        .bind(lead_id)
        .bind(field)
        .execute(&mut *connection)
        .await?;
    if let Some(value) = value {
        let insert = sqlx::query("INSERT INTO hw_edit(lead_id, field, value, edited_at) VALUES (?, ?, ?, ?)");
        insert.bind(lead_id).bind(field).bind(value).bind(edited_at).execute(connection).await?;
    }
    Ok(())
}

pub(crate) fn edit_of(row: &SqliteRow) -> Result<Edit> {
    Ok(Edit {
        lead_id: row.try_get("lead_id")?,
        field: row.try_get("field")?,
        value: Some(row.try_get("value")?),
        edited_at: row.try_get("edited_at")?,
    })
}

/// A later decision replaces an earlier one, and answers the question, and that of a sample.
pub(crate) async fn decide(connection: &mut SqliteConnection, decision: &Decision, run_id: &str, now: i64) -> Result<()> {
    let Decision { one, two, verdict } = decision;
    let (one, two) = (one.min(two), one.max(two));
    sqlx::query(
        "INSERT INTO hw_decision VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT(one, two) DO UPDATE SET verdict = excluded.verdict, at = excluded.at, run_id = excluded.run_id",
    )
    .bind(one)
    .bind(two)
    .bind(verdict.as_str())
    .bind(now)
    .bind(run_id)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM hw_review WHERE (one = ?1 AND two = ?2) OR (one = ?2 AND two = ?1)")
        .bind(one)
        .bind(two)
        .execute(&mut *connection)
        .await?;
    sqlx::query("UPDATE hw_sample SET verdict = ?3, answered_at = ?4 WHERE one = ?1 AND two = ?2")
        .bind(one)
        .bind(two)
        .bind(verdict.as_str())
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}

fn sampled(row: &SqliteRow) -> Result<SampledPair> {
    let verdict = row.try_get::<Option<&str>, _>("verdict")?.map(str::parse).transpose()?;
    Ok(SampledPair {
        review_id: row.try_get("review_id")?,
        one: row.try_get("one")?,
        two: row.try_get("two")?,
        layer: row.try_get("layer")?,
        verdict,
    })
}

/// Puts a sample in the place of the one before. Of pairs that were decided earlier it knows what was said.
pub(crate) async fn draw(connection: &mut SqliteConnection, sample: &Sample) -> Result<()> {
    let Sample { seed, drawn_at, model_version, merge_at, layers, pairs } = sample;
    sqlx::raw_sql("DELETE FROM hw_sample_draw; DELETE FROM hw_sample").execute(&mut *connection).await?;
    sqlx::query("INSERT INTO hw_sample_draw VALUES (1, ?, ?, ?, ?, ?)")
        .bind(seed)
        .bind(drawn_at)
        .bind(model_version)
        .bind(merge_at)
        .bind(Value::from(layers.clone()).to_string())
        .execute(&mut *connection)
        .await?;
    for SampledPair { review_id, one, two, layer, verdict: _ } in pairs {
        let (one, two) = (one.min(two), one.max(two));
        sqlx::query(
            "INSERT INTO hw_sample VALUES (?1, ?2, ?3, ?4, \
             (SELECT verdict FROM hw_decision WHERE one = ?2 AND two = ?3), \
             (SELECT at FROM hw_decision WHERE one = ?2 AND two = ?3))",
        )
        .bind(review_id)
        .bind(one)
        .bind(two)
        .bind(layer)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Replaces the pairs in doubt.
pub(crate) async fn review(connection: &mut SqliteConnection, pairs: &[ReviewPair]) -> Result<()> {
    sqlx::query("DELETE FROM hw_review").execute(&mut *connection).await?;
    for ReviewPair { review_id, one, two, chance, worth } in pairs {
        sqlx::query("INSERT INTO hw_review VALUES (?, ?, ?, ?, ?) ON CONFLICT(review_id) DO NOTHING")
            .bind(review_id)
            .bind(one)
            .bind(two)
            .bind(chance)
            .bind(worth)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Keeps this model and no other: every decision of the lake is by the last one.
pub(crate) async fn keep_model(
    connection: &mut SqliteConnection,
    (version, bytes): (&str, &[u8]),
    run_id: &str,
    now: i64,
) -> Result<()> {
    sqlx::query("DELETE FROM hw_identity_model").execute(&mut *connection).await?;
    sqlx::query("INSERT INTO hw_identity_model VALUES (?, ?, ?, ?)")
        .bind(version)
        .bind(bytes)
        .bind(now)
        .bind(run_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Remembers whose a lead was until now.
pub(crate) async fn merged(connection: &mut SqliteConnection, former: &FormerProspect, run_id: &str, now: i64) -> Result<()> {
    sqlx::query("INSERT INTO hw_merge VALUES (?, ?, ?, ?) ON CONFLICT(lead_id, prospect_id) DO UPDATE SET at = excluded.at")
        .bind(&former.lead_id)
        .bind(&former.prospect_id)
        .bind(now)
        .bind(run_id)
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) fn decision_of(row: &SqliteRow) -> Result<Decision> {
    Ok(Decision { one: row.try_get("one")?, two: row.try_get("two")?, verdict: word(row, "verdict")? })
}

pub(crate) fn former_of(row: &SqliteRow) -> Result<FormerProspect> {
    Ok(FormerProspect { lead_id: row.try_get("lead_id")?, prospect_id: row.try_get("prospect_id")? })
}
