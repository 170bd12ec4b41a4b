//! Writes who is who and what is believed of them: the tables of people, as a whole or for those who changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringBuilder};
use hashbrown::HashSet;
use headwater_analysis::identity::{self, Edit, Golden, Leads, Policy, ProspectId, Resolved, Stamp, Survivorship};
use headwater_model::suppression::Screen;
use headwater_model::tables::{self, Table};
use headwater_store::{Commit, Snapshot, StagedFiles, TableWriter};

use super::person::{self, People};
use super::timeline::{Facts, Timeline};
use super::touched::Touched;
use super::{internal, leads};
use crate::cells::matching;
use crate::engine::Engine;
use crate::error::Result;
use crate::rows::load;

/// How many prospects are worked on at once; bounds the memory of the batches written.
const PROSPECTS_AT_ONCE: usize = 10_000;

/// What a run found and was told.
pub(super) struct Said<'a> {
    pub(super) resolved: &'a Resolved,
    pub(super) facts: &'a Facts,
    pub(super) screen: &'a Screen,
    pub(super) edits: &'a [Edit],
    pub(super) stamp: Stamp<'a>,
}

impl Said<'_> {
    /// Writes everybody, or those who are touched, into a commit. Of the leads all must be known where everybody is written, and ids
    /// where not.
    pub(super) fn write(
        &self,
        (engine, snapshot): (&Engine, &Snapshot),
        leads: &Leads,
        touched: Option<&Touched>,
        commit: &mut Commit,
    ) -> Result<()> {
        let Self { resolved, facts, stamp, .. } = *self;
        let writer = |table: &'static Table| -> Result<TableWriter> { Ok(engine.store.writer(table, None)?) };
        if let Some(touched) = touched {
            let part = resolved.part(&touched.clusters);
            let ids: HashSet<&str> = resolved.leads_of(&touched.clusters).into_iter().map(|row| leads.id(row)).collect();
            let leads = leads::these(snapshot, &ids)?;
            let touches = matching(snapshot, &tables::TOUCH, &Timeline::TOUCH_COLUMNS, "lead_id", &ids)?;
            let here = |cluster: u32| u32::try_from(touched.clusters.binary_search(&(cluster as usize)).ok()?).ok();
            let timeline = Timeline::new(touches, &leads, &part.clusters, (facts, here))?;
            let work = Work { engine, leads: &leads, resolved: &part, timeline: &timeline, said: self };
            for (table, staged) in work.write()? {
                commit.amend(snapshot, table, touched.stale_rows(snapshot, table)?, vec![staged])?;
            }
        } else {
            let touches = load(snapshot, &tables::TOUCH, &Timeline::TOUCH_COLUMNS)?;
            let timeline = Timeline::new(touches, leads, &resolved.clusters, (facts, Some))?;
            let work = Work { engine, leads, resolved, timeline: &timeline, said: self };
            for (table, staged) in work.write()? {
                commit.replace(snapshot, table, vec![staged]);
            }
        }
        if touched.is_none_or(|touched| touched.are_facts_moved) {
            let mut links = writer(&tables::FACT_LINK)?;
            links.write(&fact_links(facts, &resolved.assignment.prospects)?)?;
            commit.replace(snapshot, &tables::FACT_LINK, vec![links.finish()?]);
        }
        let mut events = writer(&tables::IDENTITY_EVENT)?;
        events.write(&identity::identity_events(&resolved.assignment, stamp).map_err(internal)?)?;
        commit.append(events.finish()?);
        Ok(())
    }
}

/// Some people and all that is said of them.
struct Work<'a> {
    engine: &'a Engine,
    leads: &'a Leads,
    resolved: &'a Resolved,
    timeline: &'a Timeline<'a>,
    said: &'a Said<'a>,
}

impl Work<'_> {
    /// The rows of the tables of people.
    fn write(&self) -> Result<Vec<(&'static Table, StagedFiles)>> {
        let Said { edits, stamp, .. } = *self.said;
        let Resolved { links, clusters, assignment } = self.resolved;
        let policy = Policy { trust: self.trust() };
        let survivorship = Survivorship::new(self.leads, clusters, assignment, &policy).edited(edits);
        let writer = |table: &'static Table| -> Result<TableWriter> { Ok(self.engine.store.writer(table, None)?) };
        let (mut prospects, mut fields) = (writer(&tables::PROSPECT)?, writer(&tables::PROSPECT_FIELD)?);
        let (mut identity, mut transitions) = (writer(&tables::IDENTITY_LINK)?, writer(&tables::LIFECYCLE_TRANSITION)?);
        let mut start = 0;
        while start < clusters.len() {
            let range = start..(start + PROSPECTS_AT_ONCE).min(clusters.len());
            let survived = survivorship.survive(range.clone()).map_err(internal)?;
            let mut people = People::default();
            for cluster in range.clone() {
                people.push(self.person(cluster));
            }
            transitions.write(&people.transitions(&survived.golden.prospects)?)?;
            prospects.write(&people.batch(&survived.golden)?)?;
            fields.write(&survived.fields)?;
            identity.write(
                &identity::identity_links(self.leads, links, clusters, assignment, stamp, range.clone()).map_err(internal)?,
            )?;
            self.engine.progress.tell("resolve", range.end as u64, Some(clusters.len() as u64));
            self.engine.stop_if_told()?;
            start = range.end;
        }
        let merged = Golden::merged(self.leads, clusters, assignment);
        if !merged.is_empty() {
            prospects.write(&People::gone(merged.len()).batch(&merged)?)?;
        }
        Ok(vec![
            (&tables::PROSPECT, prospects.finish()?),
            (&tables::PROSPECT_FIELD, fields.finish()?),
            (&tables::IDENTITY_LINK, identity.finish()?),
            (&tables::LIFECYCLE_TRANSITION, transitions.finish()?),
        ])
    }

    fn trust(&self) -> BTreeMap<String, i64> {
        self.engine.project.sources.iter().map(|source| (source.name.clone(), i64::from(source.section.trust))).collect()
    }

    fn person(&self, cluster: usize) -> person::Person<'_> {
        person::derive(self.leads, self.resolved.clusters.members(cluster), self.timeline.of(cluster), self.said.screen)
    }
}

/// Whose every fact is.
fn fact_links(facts: &Facts, prospects: &[ProspectId]) -> Result<RecordBatch> {
    let mut columns: [StringBuilder; 4] = Default::default();
    let [id, kind, prospect, matched] = &mut columns;
    for link in facts.links() {
        let Some(owner) = prospects.get(link.cluster) else { continue };
        id.append_value(link.fact_id);
        kind.append_value(link.kind);
        prospect.append_value(owner.to_string());
        matched.append_value(link.matched_on);
    }
    let columns = columns.map(|mut column| Arc::new(column.finish()) as _).to_vec();
    Ok(RecordBatch::try_new(tables::FACT_LINK.schema(), columns)?)
}
