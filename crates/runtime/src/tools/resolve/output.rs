//! What a run writes: who each record is, and the pairs that were scored with what speaks for and against them.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use headwater_analysis::identity::engine::{Explainer, Explanation, Model, Resolution, Roster, Weight};
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// A file that will be written. It comes to stand there whole, or not at all.
#[derive(Debug)]
pub(super) struct Outlet {
    path: PathBuf,
}

impl Outlet {
    /// Makes sure, before any work, that the file can be written and is none of those that are read.
    pub(super) fn new(path: &Path, inputs: &[&Path]) -> Result<Self> {
        let outlet = Self { path: path.to_owned() };
        let same = |input: &&&Path| path.canonicalize().is_ok_and(|known| input.canonicalize().is_ok_and(|input| input == known));
        if let Some(input) = inputs.iter().find(same) {
            return Err(Error::Usage(format!("{} would be written over {}", path.display(), input.display())));
        }
        if path.is_dir() {
            return Err(Error::Usage(format!("{} is a folder; name a file", path.display())));
        }
        if outlet.is_plain() {
            drop(outlet.draft()?);
        }
        Ok(outlet)
    }

    /// Writes it.
    pub(super) fn write(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        let fail = |source| self.unwritable(source);
        if !self.is_plain() {
            // A pipe or a device takes what comes.
            let mut out = BufWriter::new(File::create(&self.path).map_err(fail)?);
            return write(&mut out).and_then(|()| out.flush()).map_err(fail);
        }
        let mut draft = BufWriter::new(self.draft()?);
        write(&mut draft).map_err(fail)?;
        let draft = draft.into_inner().map_err(|error| fail(error.into_error()))?;
        draft.persist(&self.path).map_err(|error| fail(error.error))?;
        Ok(())
    }

    fn is_plain(&self) -> bool {
        std::fs::metadata(&self.path).map_or(true, |found| found.is_file())
    }

    fn draft(&self) -> Result<tempfile::NamedTempFile> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".headwater-");
        // As any new file: what the user's mask allows.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        builder.tempfile_in(folder).map_err(|source| self.unwritable(source))
    }

    fn unwritable(&self, source: io::Error) -> Error {
        Error::File { path: self.path.display().to_string(), doing: "written", source }
    }
}

/// For each record the record that its person is called by: the one with the least id, so that the order of the input is no matter.
pub(super) fn names(roster: &Roster, person: &[u32]) -> Vec<u32> {
    let mut least: Vec<u32> = person.to_vec();
    for (row, person) in (0_u32..).zip(person) {
        if let Some(least) = least.get_mut(*person as usize)
            && roster.id(row) < roster.id(*least)
        {
            *least = row;
        }
    }
    person.iter().map(|person| least.get(*person as usize).copied().unwrap_or(*person)).collect()
}

/// Writes `id,prospect_id,confidence`, a row per record in the order they came.
pub(super) fn persons(roster: &Roster, resolution: &Resolution, out: &mut dyn Write) -> io::Result<()> {
    let mut out = csv::Writer::from_writer(out);
    out.write_record(["id", "prospect_id", "confidence"])?;
    let names = names(roster, &resolution.person);
    for ((row, name), confidence) in (0..).zip(names).zip(resolution.confidence()) {
        out.write_record([roster.id(row), roster.id(name), &format!("{confidence:.4}")])?;
    }
    out.flush()
}

/// Every pair that was not found hopeless.
pub(super) struct Pairs<'a> {
    pub(super) roster: &'a Roster,
    pub(super) resolution: &'a Resolution,
    pub(super) model: &'a Model,
    /// From which chance on a pair of two persons is for a person to look at.
    pub(super) review_at: f32,
}

impl Pairs<'_> {
    /// Writes the pairs: as lines of JSON, or as CSV with the evidence in one cell.
    pub(super) fn write(&self, is_json: bool, out: &mut dyn Write) -> io::Result<()> {
        if is_json {
            return self.each(|pair| writeln!(out, "{}", pair.json()));
        }
        let mut out = csv::Writer::from_writer(out);
        out.write_record(["id_1", "id_2", "probability", "verdict", "bits", "evidence"])?;
        self.each(|pair| Ok(out.write_record(pair.cells())?))?;
        out.flush()
    }

    fn each(&self, mut take: impl FnMut(&Scored<'_>) -> io::Result<()>) -> io::Result<()> {
        let explainer = Explainer::new(self.roster, self.model);
        let person = |row: u32| self.resolution.person.get(row as usize);
        for pair in self.resolution.scored() {
            let Some(evidence) = explainer.explain(pair.one, pair.two) else { continue };
            let verdict = match pair.chance {
                _ if person(pair.one) == person(pair.two) => "joined",
                chance if chance >= self.review_at => "review",
                _ => "apart",
            };
            let ids = [self.roster.id(pair.one), self.roster.id(pair.two)];
            take(&Scored { ids, chance: pair.chance, verdict, evidence })?;
        }
        Ok(())
    }
}

struct Scored<'a> {
    ids: [&'a str; 2],
    chance: f32,
    verdict: &'static str,
    evidence: Explanation,
}

impl Scored<'_> {
    /// All that speaks for one person, in bits, with where any two records start.
    fn bits(&self) -> f64 {
        self.evidence.prior_bits + self.evidence.weights.iter().map(|weight| weight.bits).sum::<f64>()
    }

    fn cells(&self) -> [String; 6] {
        let start = format!("start {:+.1}", self.evidence.prior_bits);
        let weights = self.evidence.weights.iter().map(|weight| format!("{}: {} {:+.1}", weight.field, weight.seen, weight.bits));
        let waterfall = std::iter::once(start).chain(weights).collect::<Vec<_>>().join("; ");
        let [one, two] = self.ids.map(str::to_owned);
        [one, two, format!("{:.4}", self.chance), self.verdict.to_owned(), format!("{:.2}", self.bits()), waterfall]
    }

    fn json(&self) -> String {
        let weight = |weight: &Weight| json!({ "field": weight.field, "seen": weight.seen, "bits": weight.bits });
        let weights: Vec<Value> = self.evidence.weights.iter().map(weight).collect();
        let [(kin, kin_bits), (namesakes, namesakes_bits)] = self.evidence.rivals;
        let [one, two] = self.ids;
        json!({
            "id_1": one, "id_2": two, "probability": (f64::from(self.chance) * 1e6).round() / 1e6, "verdict": self.verdict, "bits": self.bits(),
            "start_bits": self.evidence.prior_bits, "weights": weights, "rivals": { kin: kin_bits, namesakes: namesakes_bits },
        })
        .to_string()
    }
}
