//! Whom a question is about.

use hashbrown::{HashMap, HashSet};
use headwater_model::{email, tables};
use headwater_store::Snapshot;

use super::Link;
use crate::cells::{each, instant, matching};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::privacy;
use crate::rows::load;

/// The person a question is about.
pub(crate) struct Found {
    pub(crate) prospect_id: String,
    /// By what it was found.
    pub(crate) by: String,
    /// Ids that are this person too.
    pub(crate) merged_ids: Vec<String>,
    /// Others it could be about.
    pub(crate) also: Vec<String>,
}

pub(crate) async fn find(engine: &Engine, snapshot: &Snapshot, who: &str) -> Result<Found> {
    let people = People::load(snapshot)?;
    if people.live.is_empty() {
        return Err(Error::NotFound { what: "nobody is known yet".to_owned(), hint: "run `headwater sync` first".to_owned() });
    }
    let (ids, by) = if who.starts_with("prs_") {
        (vec![who.to_owned()], "prospect_id".to_owned())
    } else if who.starts_with("led_") {
        (of_leads(snapshot, &HashSet::from([who.to_owned()]))?, "lead_id".to_owned())
    } else if let Some(address) = email::normalise(who) {
        (of_leads(snapshot, &leads_with(snapshot, &address)?)?, "email".to_owned())
    } else {
        of_remote(engine, who).await?
    };
    let mut ids: Vec<String> = ids.iter().filter_map(|id| people.live(id)).map(str::to_owned).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Err(unknown(engine, who, &by).await?);
    }
    let prospect_id = ids.remove(0);
    let merged_ids = people.merged_into(&prospect_id);
    Ok(Found { prospect_id, by, merged_ids, also: ids })
}

/// The prospects there are, and where those went that were merged away.
struct People {
    live: HashSet<String>,
    merged: HashMap<String, String>,
}

impl People {
    fn load(snapshot: &Snapshot) -> Result<Self> {
        let mut people = Self { live: HashSet::new(), merged: HashMap::new() };
        for row in each(&load(snapshot, &tables::PROSPECT, &["prospect_id", "merged_into"])?) {
            match row.owned("merged_into")? {
                Some(into) => drop(people.merged.insert(row.word("prospect_id")?, into)),
                None => drop(people.live.insert(row.word("prospect_id")?)),
            }
        }
        Ok(people)
    }

    /// The live prospect that an id stands for now.
    fn live<'a>(&'a self, id: &'a str) -> Option<&'a str> {
        let mut id = id;
        // No chain is longer than the number of ids in it; a circle would be.
        for _ in 0..=self.merged.len() {
            match self.merged.get(id) {
                Some(into) => id = into,
                None => return self.live.get(id).map(String::as_str),
            }
        }
        None
    }

    fn merged_into(&self, prospect_id: &str) -> Vec<String> {
        let mut ids: Vec<String> = self.merged.keys().filter(|id| self.live(id) == Some(prospect_id)).cloned().collect();
        ids.sort_unstable();
        ids
    }
}

/// The leads that have this address, in any version of theirs.
fn leads_with(snapshot: &Snapshot, address: &str) -> Result<HashSet<String>> {
    let found = matching(snapshot, &tables::LEAD, &["lead_id", "email"], "email", &HashSet::from([address]))?;
    each(&found).map(|row| row.word("lead_id")).collect()
}

fn of_leads(snapshot: &Snapshot, leads: &HashSet<String>) -> Result<Vec<String>> {
    let found = matching(snapshot, &tables::IDENTITY_LINK, &["lead_id", "prospect_id"], "lead_id", leads)?;
    each(&found).map(|row| row.word("prospect_id")).collect()
}

async fn of_remote(engine: &Engine, remote_id: &str) -> Result<(Vec<String>, String)> {
    for sink in engine.project.parts().filter(|part| part.companion.is_none()) {
        let links = engine.store.links_by_remote(&sink.name, remote_id).await?;
        if !links.is_empty() {
            let ids = links.into_iter().map(|link| link.prospect_id).collect();
            return Ok((ids, format!("remote_id in {}", sink.name)));
        }
    }
    Ok((Vec::new(), "remote_id".to_owned()))
}

/// The person's records in the project's sinks.
pub(super) async fn links(engine: &Engine, ids: &HashSet<String>) -> Result<Vec<Link>> {
    let mut found = Vec::new();
    for sink in engine.project.parts() {
        let mut links = engine.store.links(&sink.name).await?;
        found.extend(ids.iter().filter_map(|id| links.remove(id)));
    }
    found.sort_by(|one, two| (&one.sink, one.pushed_at).cmp(&(&two.sink, two.pushed_at)));
    let link =
        |link: headwater_store::CrmLink| Link { sink: link.sink, remote_id: link.remote_id, pushed_at: instant(link.pushed_at) };
    Ok(found.into_iter().map(link).collect())
}

/// Why nobody was found. The message does not repeat what was asked: it may be a person's address.
async fn unknown(engine: &Engine, who: &str, by: &str) -> Result<Error> {
    if by != "prospect_id" && by != "lead_id" && privacy::is_suppressed(engine, who).await? {
        return Ok(Error::NotFound {
            what: "this person is suppressed: nothing is held of them but a keyed hash".to_owned(),
            hint: "whoever comes with this address or number is stopped at ingest and before every push".to_owned(),
        });
    }
    let (what, hint) = match by {
        "email" => (
            "nobody is known by this address",
            "was the record refused? `headwater quarantine list` shows why; new records are known after `headwater sync`",
        ),
        "remote_id" => (
            "this is neither an e-mail address nor an id that a prospect, a lead or a record in a sink has",
            "give an e-mail address, a prospect id (prs_…), a lead id (led_…), or the id that a sink's record has there",
        ),
        _ => (
            "nobody is known by this id",
            "`headwater query \"SELECT prospect_id, full_name FROM prospect LIMIT 20\"` shows some who are",
        ),
    };
    Ok(Error::NotFound { what: what.to_owned(), hint: hint.to_owned() })
}
