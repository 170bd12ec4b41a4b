//! Ingest: a source, from its checkpoint, into the lake.
//!
//! Rows and the checkpoint that covers them commit together. Every row that a source yields ends in exactly one bucket; the sum
//! is checked when a stream ends, and a difference stops the run.

mod absence;
mod drift;
mod known;
mod offer;
mod outcome;
mod rules;
mod stage;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use headwater_model::checkpoint::Checkpoint;
use headwater_model::conform::{ConformError, Conformer, Context, Keep, RowHash};
use headwater_model::instant::{self, DateStyle};
use headwater_model::mapping::{FieldRule, Mapping, Origin, Role};
use headwater_model::page::Page;
use headwater_model::suppression::Screen;
use headwater_model::tables::SOURCE_RECORD;
use headwater_sdk::{Source, SourceEvent, StreamSpec};
use jiff::tz::TimeZone;
use tracing::{debug, info, warn};

pub(crate) use offer::{Offer, Offered};
pub use outcome::Buckets;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::intake;
use crate::project::{SourceEntry, nearest};
use crate::sync::SyncOptions;
use absence::Absence;
use known::{Known, Seen};
use rules::Rules;
use stage::{Conformed, Stage};

/// What the keys of this stage's cursors begin with.
pub(crate) const CURSOR_PREFIX: &str = "ingest";

/// Reads every stream of one source to its end, as many at once as the source lets, and counts in `total` what became of the rows.
/// Where one fails, those that were begun go on to their end, and no other is begun.
///
/// # Errors
/// When the source, its settings or the store stop it; what was committed stays, and is counted.
pub async fn source(
    engine: &Engine,
    entry: &SourceEntry,
    run_id: &str,
    options: &SyncOptions,
    total: &mut Buckets,
) -> Result<()> {
    let source = engine.source(entry)?;
    let fail = |error| Error::connection(&entry.name, None, error);
    let specs = engine.unless_told(source.streams()).await?.map_err(fail)?;
    let wanted = &entry.section.streams;
    check_streams(entry, &specs)?;
    let mut waiting = specs.iter().filter(|spec| wanted.is_empty() || wanted.contains(&spec.name));
    let mut running = FuturesUnordered::new();
    let mut failed = None;
    loop {
        while failed.is_none() && running.len() < source.streams_at_once().max(1) {
            let Some(spec) = waiting.next() else { break };
            running.push(stream(engine, entry, source.as_ref(), spec, (run_id, options)));
        }
        let Some((buckets, read)) = running.next().await else { break };
        *total += buckets;
        failed = failed.or(read.err());
    }
    if let Some(error) = failed {
        return Err(error);
    }
    if !options.dry_run {
        stage::whole_cost(engine, entry, run_id).await?;
    }
    Ok(())
}

/// Checks that the source has the streams that the project wants of it.
///
/// # Errors
/// For the first that there is not, with file and line.
pub fn check_streams(entry: &SourceEntry, specs: &[StreamSpec]) -> Result<()> {
    let names = || specs.iter().map(|spec| spec.name.as_str());
    for (index, wanted) in entry.section.streams.iter().enumerate() {
        if !names().any(|name| name == wanted) {
            let complaint = entry.error(&format!("streams[{index}]"), format!("the source has no stream `{wanted}`"));
            let help = match nearest(wanted, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its streams are: {}", names().collect::<Vec<_>>().join(", ")),
            };
            return Err(complaint.help(help).into());
        }
    }
    Ok(())
}

/// The role, mapping and context under which a stream of a source is conformed.
///
/// # Errors
/// When the project's rules for the source do not fit it, with file and line.
pub fn conformer(entry: &SourceEntry, spec: &StreamSpec, run_id: &str) -> Result<Conformer> {
    let (role, mapping) = mapping(entry, spec)?;
    conformer_of(entry, spec, (role, &mapping), run_id)
}

fn conformer_of(entry: &SourceEntry, spec: &StreamSpec, (role, mapping): (Role, &Mapping), run_id: &str) -> Result<Conformer> {
    let context = context(entry, spec, run_id)?;
    Conformer::new(role, mapping, context).map_err(|error| match error {
        ConformError::UnknownFormat { field, format, expected } => {
            let complaint = entry.error(&format!("map.{field}.format"), format!("`{format}` is not a format of `{field}`"));
            complaint.help(format!("write {expected}")).into()
        }
        other @ (ConformError::UnknownField { .. } | ConformError::Arrow(_)) => entry.error("map", other.to_string()).into(),
    })
}

/// What the records of a stream are, and which of their fields become which of ours: the connector's rules under the project's.
pub(crate) fn mapping(entry: &SourceEntry, spec: &StreamSpec) -> Result<(Role, Mapping)> {
    let role = entry.section.role.unwrap_or(spec.role);
    let user = Mapping(entry.section.map.iter().map(|(ours, rule)| (ours.clone(), rule.0.clone())).collect());
    check_map(entry, spec, role, &user)?;
    let known = headwater_model::conform::fields_of(role);
    let mut mapping = spec.mapping.clone();
    // One table of header names serves every role; what this role has no field for is not mapped.
    mapping.0.retain(|field, _| known.contains(&field.as_str()));
    Ok((role, mapping.overlaid(&user)))
}

fn check_map(entry: &SourceEntry, spec: &StreamSpec, role: Role, user: &Mapping) -> Result<()> {
    let known = headwater_model::conform::fields_of(role);
    for (ours, FieldRule { from, format: _, otherwise: _ }) in &user.0 {
        let place = format!("map.{ours}");
        if !known.contains(&ours.as_str()) {
            let complaint = entry.error(&place, format!("there is no field `{ours}` to map to"));
            let help = match nearest(ours, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the fields are: {}", known.join(", ")),
            };
            return Err(complaint.help(help).into());
        }
        if let Some(missing) = from.iter().find(|column| !spec.fields.is_empty() && !spec.fields.contains(column)) {
            let complaint = entry.error(&place, format!("the source has no column `{missing}`"));
            let help = match nearest(missing, spec.fields.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its columns are: {}", spec.fields.join(", ")),
            };
            return Err(complaint.help(help).into());
        }
    }
    Ok(())
}

fn context(entry: &SourceEntry, spec: &StreamSpec, run_id: &str) -> Result<Context> {
    let section = &entry.section;
    let zone = match section.dates.as_ref().and_then(|dates| dates.zone.as_deref()) {
        None => TimeZone::UTC,
        Some(name) => TimeZone::get(name).map_err(|_| {
            entry.error("dates.zone", format!("there is no time zone `{name}`")).help("write an IANA name such as Europe/Paris")
        })?,
    };
    let dates = DateStyle { format: section.dates.as_ref().and_then(|dates| dates.format.clone()), zone };
    let at = |key: &str, text: Option<&String>| -> Result<Option<i64>> {
        let style = DateStyle { format: None, zone: dates.zone.clone() };
        text.map(|text| {
            instant::parse(text, &style)
                .map_err(|_| entry.error(key, "not a day or instant").help("write it as 2026-10-03").into())
        })
        .transpose()
    };
    let basis = section.basis.as_ref();
    Ok(Context {
        source: entry.name.clone(),
        stream: spec.name.clone(),
        run_id: run_id.to_owned(),
        origin: origin(entry, spec),
        country: section.country.as_deref().and_then(headwater_model::country::code).map(str::to_owned),
        currency: section.currency.clone(),
        lawful_basis: basis.map(|basis| basis.lawful_basis.as_str().to_owned()),
        basis_obtained_at: at("basis.obtained_at", basis.and_then(|basis| basis.obtained_at.as_ref()))?,
        notice_at: at("basis.notice_at", basis.and_then(|basis| basis.notice_at.as_ref()))?,
        dates,
    })
}

/// By which way people come to be in a source: as the user says, as the channel implies, as the connector knows.
pub(crate) fn origin(entry: &SourceEntry, spec: &StreamSpec) -> Origin {
    let implied = entry.section.channel.as_ref().and_then(|channel| match channel.group.as_str() {
        "list" | "purchased_list" => Some(Origin::List),
        "event" | "offline" => Some(Origin::Offline),
        "email" => Some(Origin::EmailTool),
        _ => None,
    });
    entry.section.origin.or(implied).unwrap_or(spec.origin)
}

/// Reads a stream to its end. What became of its rows counts also where it fails.
async fn stream(
    engine: &Engine,
    entry: &SourceEntry,
    source: &dyn Source,
    spec: &StreamSpec,
    run: (&str, &SyncOptions),
) -> (Buckets, Result<()>) {
    let mut counted = Buckets::default();
    let read = follow(engine, entry, source, spec, run, &mut counted).await;
    (counted, read)
}

async fn follow(
    engine: &Engine,
    entry: &SourceEntry,
    source: &dyn Source,
    spec: &StreamSpec,
    (run_id, options): (&str, &SyncOptions),
    total: &mut Buckets,
) -> Result<()> {
    let (role, mapping) = mapping(entry, spec)?;
    let drift = drift::of(engine, entry, spec, &mapping).await?;
    let conformer = conformer_of(entry, spec, (role, &mapping), run_id)?;
    let key = format!("{CURSOR_PREFIX}/{}/{}", entry.name, spec.name);
    let cursor = engine.store.cursor(&key).await?;
    let from: Option<Checkpoint> = match &cursor {
        Some(cursor) if !options.full_refresh => serde_json::from_value(cursor.value.clone()).ok(),
        _ => None,
    };
    let rules =
        Rules::load(&engine.store, (entry, spec), (role, &mapping), &engine.project.classifier, options.full_refresh).await?;
    if rules.differ() && !rules.again {
        warn!(
            connection = entry.name,
            stream = spec.name,
            "known rows were conformed under other rules; `headwater sync --full-refresh --only NAME` conforms them again"
        );
    }
    let moved = cursor.as_ref().filter(|_| from.is_some()).map(|cursor| cursor.sequence);
    let absence = Absence::of(engine, (entry, spec), role, (run_id, options.dry_run), moved).await?;
    let mut reader = Reader {
        drift,
        absence,
        engine,
        entry,
        spec,
        conformer,
        screen: engine.screen().await?,
        known: None,
        stage: Stage::new(engine, entry, spec, run_id),
        rules,
        buckets: Buckets::default(),
        committed: Buckets::default(),
        dry_run: options.dry_run,
        key,
        sequence: cursor.map(|cursor| cursor.sequence),
    };
    let read = reader.read(source, from).await;
    *total += reader.committed;
    read?;
    match reader.drift {
        Some(drift) if !options.dry_run => drift.remember(engine, run_id).await,
        Some(_) | None => Ok(()),
    }
}

struct Reader<'a> {
    /// What the columns hold, where they are known beforehand.
    drift: Option<drift::Drift>,
    /// Who was shown, where the source can tell who is gone.
    absence: Option<Absence<'a>>,
    engine: &'a Engine,
    entry: &'a SourceEntry,
    spec: &'a StreamSpec,
    conformer: Conformer,
    screen: Screen,
    /// What the lake already has of this stream; read when the first page arrives, so that a quiet source costs nothing.
    known: Option<Known>,
    stage: Stage<'a>,
    rules: Rules,
    buckets: Buckets,
    /// The part of them that nothing can take back any more.
    committed: Buckets,
    /// Whether everything is decided and nothing is written.
    dry_run: bool,
    key: String,
    sequence: Option<i64>,
}

impl Reader<'_> {
    /// Follows the stream to its end.
    async fn read(&mut self, source: &dyn Source, from: Option<Checkpoint>) -> Result<()> {
        let (engine, entry, spec) = (self.engine, self.entry, self.spec);
        let fail = |error| Error::connection(&entry.name, Some(&spec.name), error);
        let mut events = engine.unless_told(source.read(spec, from)).await?.map_err(fail)?;
        while let Some(event) = engine.unless_told(events.next()).await? {
            match event.map_err(fail)? {
                SourceEvent::Page(page) => self.page(&page).await?,
                SourceEvent::Whole { resumed, shifting } => self.whole(resumed, shifting).await?,
                SourceEvent::Checkpoint(checkpoint) => {
                    self.commit(Some(&checkpoint)).await?;
                    if !self.dry_run {
                        source.acknowledge(spec, &checkpoint).await.map_err(fail)?;
                    }
                }
            }
        }
        self.commit(None).await?;
        if let Some(absence) = self.absence.as_mut().filter(|_| !self.dry_run) {
            absence.end(engine, &self.stage.run_id, self.sequence.unwrap_or_default()).await?;
        }
        self.note_rules().await?;
        let Buckets { read, accepted, .. } = self.buckets;
        self.buckets.check(&entry.name)?;
        info!(connection = entry.name, stream = spec.name, read, accepted, "stream read to its end");
        Ok(())
    }

    async fn page(&mut self, page: &Page) -> Result<()> {
        page.validate().map_err(|error| Error::Internal(format!("source {}: {error}", self.entry.name)))?;
        if let Some(drift) = &mut self.drift {
            drift.look(self.entry, self.spec, page)?;
        }
        if let Some((done, of)) = page.progress {
            self.engine.progress.tell(&self.entry.name, done, Some(of));
        }
        let refused = u64::try_from(page.refused.len()).unwrap_or(u64::MAX);
        self.buckets.read += u64::try_from(page.rows()).unwrap_or(u64::MAX) + refused;
        self.buckets.quarantined += refused;
        self.stage.refuse(&page.refused)?;
        let hashes = self.conformer.hashes(page);
        if let Some(absence) = &mut self.absence {
            absence.see(&hashes, refused > 0)?;
        }
        self.take(page, &hashes, self.rules.again).await
    }

    /// Takes what a page says that is new.
    async fn take(&mut self, page: &Page, hashes: &[RowHash], again: bool) -> Result<()> {
        let known = match &mut self.known {
            Some(known) => known,
            empty @ None => {
                let store = &self.engine.store;
                empty.insert(Known::load(store, &store.snapshot().await?, &self.entry.name)?)
            }
        };
        let sorted = sort(hashes, known, again, &mut self.buckets)?;
        if sorted.keep.rows.is_empty() {
            return Ok(());
        }
        let Conformed { refused: _, left } =
            self.stage.conform(&self.conformer, page, &sorted, &self.screen, &mut self.buckets)?;
        known.leave(left.into_iter())
    }

    /// Takes over who is gone, now that everything was shown.
    async fn whole(&mut self, resumed: bool, shifting: bool) -> Result<()> {
        let Some(absence) = &mut self.absence else { return Ok(()) };
        let snapshot = self.engine.store.snapshot().await?;
        let Some(mut gone) = absence.find(&snapshot, (resumed, shifting))? else { return Ok(()) };
        let keyless = gone.keyless(&snapshot, self.entry)?;
        let columns = ["identity_hash", "stream", "source_pk"];
        for batch in snapshot.read(&SOURCE_RECORD, &columns, Some(&self.entry.name))? {
            let Some((page, identities)) = gone.page(&batch?, self.spec, &self.entry.name, &keyless)? else { continue };
            let hashes = self.conformer.hashes(&page);
            let hashes: Vec<RowHash> =
                hashes.iter().zip(identities).map(|(hash, identity)| RowHash { identity, content: hash.content }).collect();
            self.buckets.read += u64::try_from(page.rows()).unwrap_or(u64::MAX);
            self.take(&page, &hashes, false).await?;
        }
        Ok(())
    }

    /// Notes that the stream was read from its beginning under the present rules.
    async fn note_rules(&mut self) -> Result<()> {
        if self.dry_run || !self.rules.again {
            return Ok(());
        }
        let mut commit = self.engine.store.commit(&self.stage.run_id, self.engine.clock().now_us());
        self.rules.end(&mut commit);
        commit.execute().await?;
        Ok(())
    }

    /// Commits what is staged, with the checkpoint that covers it. Nothing staged and nowhere to go is nothing to do.
    async fn commit(&mut self, checkpoint: Option<&Checkpoint>) -> Result<()> {
        if self.dry_run {
            self.stage.discard();
            self.committed = self.buckets;
            return Ok(());
        }
        let mut commit = self.engine.store.commit(&self.stage.run_id, self.engine.clock().now_us());
        let staged = self.stage.drain(&mut commit)?;
        if let Some(checkpoint) = checkpoint {
            let value = serde_json::to_value(checkpoint).map_err(|error| Error::Internal(error.to_string()))?;
            commit.advance(&self.key, self.sequence, &value);
            self.sequence = Some(self.sequence.map_or(1, |sequence| sequence + 1));
            if let Some(absence) = &mut self.absence {
                absence.note(&mut commit, self.sequence.unwrap_or_default())?;
            }
            if self.entry.section.connector == intake::NAME
                && let Some(op) = intake::taken_over(&self.entry.name, checkpoint)
            {
                commit.ledger(op);
            }
        } else if !staged {
            // What is counted since the last commit is rows that say nothing new.
            self.committed = self.buckets;
            return Ok(());
        }
        if self.buckets.accepted > self.committed.accepted {
            self.rules.note(&mut commit);
        }
        commit.execute().await?;
        self.committed = self.buckets;
        if let Some(known) = &mut self.known {
            known.settle()?;
        }
        debug!(connection = self.entry.name, stream = self.spec.name, rows = self.buckets.read, "committed");
        Ok(())
    }
}

/// The rows of a page that go on.
struct Sorted {
    keep: Keep,
    /// What is known of each of them.
    seen: Vec<Seen>,
}

/// Sorts a page's rows into those that say something new and those that do not. `again`: known rows go on too.
fn sort(hashes: &[RowHash], known: &mut Known, again: bool, buckets: &mut Buckets) -> Result<Sorted> {
    let keep = Keep { rows: Vec::with_capacity(hashes.len()), hashes: Vec::with_capacity(hashes.len()) };
    let mut sorted = Sorted { keep, seen: Vec::with_capacity(hashes.len()) };
    for (row, hash) in (0_u32..).zip(hashes) {
        match known.see(hash)? {
            Seen::Unchanged { taken } if !(again && taken) => buckets.unchanged += 1,
            Seen::Repeated => buckets.merged += 1,
            seen @ (Seen::New | Seen::Changed | Seen::Unchanged { .. }) => {
                if let Seen::Unchanged { .. } = seen {
                    known.say_again(hash)?;
                }
                sorted.keep.rows.push(row);
                sorted.keep.hashes.push(*hash);
                sorted.seen.push(seen);
            }
        }
    }
    Ok(sorted)
}
