//! `resolve`: which records of a table are one person.
//!
//! The table is read once, row by row; what is kept of it is every distinct value once. A row that cannot be read stops the work
//! with its file and line: who is who among some of the records is not who is who among all. Columns that are neither attributes
//! by name nor said to be by the configuration are never evidence, and the answer names them.

mod config;
mod input;
mod output;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::path::Path;

pub use config::Config;
use headwater_analysis::identity::engine::{Block, Decisions, Gates, Wanted, resolve_roster};
pub use headwater_analysis::identity::engine::{Quality, Score};

use crate::error::{Error, Result};
use config::Understood;
use input::Taken;
use output::{Outlet, Pairs};

/// More threads than any machine that this runs on has.
const MAX_THREADS: usize = 1024;

/// What to resolve, and what to write.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The table: CSV or Parquet.
    pub file: &'a Path,
    /// What its columns mean, and the thresholds; see [`Config`].
    pub config: Option<&'a Path>,
    /// Gets `id,prospect_id,confidence`.
    pub out: Option<&'a Path>,
    /// Gets every scored pair with its evidence: JSON lines if its name ends in `.jsonl`, else CSV.
    pub pairs: Option<&'a Path>,
    /// The column that tells who a record truly is.
    pub truth: Option<&'a str>,
    /// How many threads may work. The answer does not depend on it.
    pub threads: NonZeroUsize,
}

/// A block of records that share a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// What the key is made of.
    pub key: &'static str,
    /// How many records share it.
    pub records: usize,
    /// How many pairs it would bring.
    pub pairs: u64,
    /// Whether it was too large to use.
    pub is_left_out: bool,
}

/// How right the answer is, by a column that knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// How many records have a known person; the others are left out.
    pub records: usize,
    /// Precision and recall.
    pub quality: Quality,
    /// The share of the true pairs that were compared at all.
    pub compared: f64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// How many records there are.
    pub records: usize,
    /// How many persons.
    pub prospects: usize,
    /// The most records of one person.
    pub largest: usize,
    /// How many pairs of two persons are for a person to look at.
    pub review: usize,
    /// How many records say nothing but their id.
    pub empty: usize,
    /// How many pairs were compared.
    pub compared: u64,
    /// The share of joins that are right if the chances are.
    pub expected_precision: f64,
    /// The version of the model that was learned.
    pub model: String,
    /// From which mean chance on records were joined, and from which chance on a pair is for review.
    pub thresholds: [f32; 2],
    /// Each attribute, and the column it was read from.
    pub columns: Vec<(&'static str, String)>,
    /// Columns that are no evidence.
    pub ignored: Vec<String>,
    /// The largest blocks.
    pub blocks: Vec<Shared>,
    /// Why a project would refuse this answer.
    pub warning: Option<String>,
    /// How right it is.
    pub measured: Option<Measured>,
}

/// Resolves a table.
///
/// # Errors
/// The configuration, the table or a row of it is wrong, or what was asked for cannot be written.
pub fn resolve(request: &Request<'_>) -> Result<Answer> {
    let Understood { id, map, mut options } = request.config.map(config::read).transpose()?.unwrap_or_default();
    options.threads = request.threads.get().min(MAX_THREADS);
    let (out, pairs) = outlets(request)?;
    let wanted = Wanted { id, truth: request.truth.map(str::to_owned), map };
    let Taken { names, columns, sheet } = input::read(request.file, &wanted)?;
    let empty = sheet.silent();
    let (roster, truth) = sheet.finish();
    let (resolution, model) =
        resolve_roster(&roster, &Decisions::default(), &options).map_err(|problem| Error::Internal(problem.to_string()))?;
    if let Some(out) = out {
        out.write(|out| output::persons(&roster, &resolution, out))?;
    }
    if let Some(outlet) = pairs {
        let is_json = request.pairs.and_then(Path::extension).is_some_and(|end| end.eq_ignore_ascii_case("jsonl"));
        let pairs = Pairs { roster: &roster, resolution: &resolution, model: &model, review_at: options.review_at };
        outlet.write(|out| pairs.write(is_json, out))?;
    }
    let name = |at: usize| names.get(at).cloned().unwrap_or_default();
    let sizes = resolution.sizes();
    Ok(Answer {
        records: roster.len(),
        prospects: sizes.iter().filter(|size| **size > 0).count(),
        largest: sizes.iter().copied().max().unwrap_or(0),
        review: resolution.doubtful,
        empty,
        compared: resolution.compared,
        expected_precision: resolution.expected_precision(),
        model: model.version(),
        thresholds: [options.merge_at, options.review_at],
        columns: columns.evidence.iter().map(|(at, attribute)| (attribute.name(), name(*at))).collect(),
        ignored: columns.ignored.iter().map(|at| name(*at)).collect(),
        blocks: resolution.largest_blocks.iter().map(shared).collect(),
        warning: resolution.check(&Gates::default()).err().map(|wild| wild.to_string()),
        measured: truth.map(|truth| Measured {
            records: truth.known(),
            quality: truth.quality(&resolution.person),
            compared: truth.blocking_recall(&roster),
        }),
    })
}

/// What will be written, checked before any work.
fn outlets(request: &Request<'_>) -> Result<(Option<Outlet>, Option<Outlet>)> {
    if let (Some(out), Some(pairs)) = (request.out, request.pairs)
        && out == pairs
    {
        return Err(Error::Usage(format!("{} cannot take both the records and the pairs", out.display())));
    }
    let inputs: Vec<&Path> = std::iter::once(request.file).chain(request.config).collect();
    let outlet = |path: Option<&Path>| path.map(|path| Outlet::new(path, &inputs)).transpose();
    Ok((outlet(request.out)?, outlet(request.pairs)?))
}

fn shared(block: &Block) -> Shared {
    Shared { key: block.rule.as_str(), records: block.records, pairs: block.pairs, is_left_out: block.is_left_out }
}
