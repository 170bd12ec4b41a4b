//! What became of mail to the people of a source.

use hashbrown::HashMap;
use headwater_analysis::quality::{Mail, survival::FollowUp};
use headwater_model::tables;
use headwater_store::Snapshot;

use crate::cells::each;
use crate::error::Result;
use crate::rows::load;

const DAY_US: i64 = 86_400_000_000;
/// A bounce, a complaint or a withdrawal counts for the first mail within so many days.
const HORIZON_US: i64 = 30 * DAY_US;
/// An answer or a click counts within so many days.
const ENGAGED_US: i64 = 14 * DAY_US;

/// What one event says of mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A mail was sent.
    Sent,
    /// It came back for good.
    Bounced,
    /// The address took it: somebody or a machine opened it, or more.
    Arrived,
    /// The person answered or clicked.
    Engaged,
    /// The person called it spam.
    Complained,
    /// The person wants no more.
    Unsubscribed,
}

impl Event {
    fn of(kind: &str, machine: &str) -> Option<Self> {
        let human = !matches!(machine, "machine" | "likely_machine");
        match kind {
            "sent" | "delivered" => Some(Self::Sent),
            "bounced_hard" => Some(Self::Bounced),
            "clicked" | "replied" if human => Some(Self::Engaged),
            "opened" | "opened_machine" | "clicked" | "clicked_machine" | "replied" | "auto_replied" => Some(Self::Arrived),
            "complained" => Some(Self::Complained),
            "unsubscribed" => Some(Self::Unsubscribed),
            _ => None,
        }
    }
}

/// The events of mail by person, in the order in which they happened.
#[derive(Debug, Default)]
pub(super) struct MailLog(HashMap<String, Vec<(i64, Event)>>);

impl MailLog {
    pub(super) fn load(snapshot: &Snapshot) -> Result<Self> {
        let mut owners: HashMap<String, String> = HashMap::new();
        for row in each(&load(snapshot, &tables::FACT_LINK, &["fact_id", "kind", "prospect_id"])?) {
            if row.text("kind")? == Some("engagement") {
                owners.insert(row.word("fact_id")?, row.word("prospect_id")?);
            }
        }
        let mut log: HashMap<String, Vec<(i64, Event)>> = HashMap::new();
        if owners.is_empty() {
            return Ok(Self(log));
        }
        for batch in snapshot.read(&tables::ENGAGEMENT, &["engagement_id", "kind", "machine", "occurred_at"], None)? {
            for row in each(&[batch?]) {
                let owner = row.text("engagement_id")?.and_then(|id| owners.get(id));
                let event = Event::of(row.text("kind")?.unwrap_or_default(), row.text("machine")?.unwrap_or_default());
                if let (Some(owner), Some(event), Some(at)) = (owner, event, row.micros("occurred_at")?) {
                    log.entry_ref(owner.as_str()).or_default().push((at, event));
                }
            }
        }
        for events in log.values_mut() {
            events.sort_unstable();
            events.dedup();
        }
        Ok(Self(log))
    }

    /// What became of mail to these people, each with the instant from which on they count, and how long their addresses lasted.
    ///
    /// Only people to whom a mail is known to be sent count. Where no tool tells of any, nobody can say who was written to and did not
    /// react, so there are no rates.
    pub(super) fn judge<'a>(&self, people: impl Iterator<Item = (&'a str, i64)>, now_us: i64) -> (Option<Mail>, Vec<FollowUp>) {
        let (mut mail, mut decay, mut told) = (Mail::default(), Vec::new(), false);
        for (person, from_us) in people {
            let Some(events) = self.0.get(person) else { continue };
            let own = events.get(events.partition_point(|(at, _)| *at < from_us)..).unwrap_or_default();
            let is_sent = |event: Event| matches!(event, Event::Sent | Event::Bounced);
            let Some((first_us, _)) = own.iter().find(|(_, event)| is_sent(*event)) else { continue };
            told |= own.iter().any(|(_, event)| *event == Event::Sent);
            let within = |wanted: Event, span_us: i64| {
                own.iter().any(|(at, event)| *event == wanted && *at >= *first_us && *at <= first_us.saturating_add(span_us))
            };
            let bounced = within(Event::Bounced, HORIZON_US);
            mail.sent += 1;
            mail.bounced += u64::from(bounced);
            mail.complained += u64::from(!bounced && within(Event::Complained, HORIZON_US));
            mail.unsubscribed += u64::from(!bounced && within(Event::Unsubscribed, HORIZON_US));
            mail.engaged += u64::from(!bounced && within(Event::Engaged, ENGAGED_US));
            mail.young += u64::from(now_us.saturating_sub(*first_us) < HORIZON_US);
            let gone = own.iter().find(|(_, event)| *event == Event::Bounced).map(|(at, _)| *at);
            let until = gone.or_else(|| own.last().map(|(at, _)| *at)).unwrap_or(*first_us);
            let days = u32::try_from((until - from_us).max(0) / DAY_US).unwrap_or(u32::MAX);
            decay.push(FollowUp { days, converted: gone.is_some() });
        }
        if told { (Some(mail), decay) } else { (None, Vec::new()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{DAY, World};

    async fn log(events: &[(&str, &str, &str, i64)]) -> MailLog {
        let world = World::of("").await;
        let cells: Vec<_> = events
            .iter()
            .enumerate()
            .map(|(at, (person, kind, machine, day))| (format!("eng_{at}"), *person, *kind, *machine, (day * DAY).to_string()))
            .collect();
        let engagements: Vec<[(&str, &str); 4]> = cells
            .iter()
            .map(|(id, _, kind, machine, at)| {
                [("engagement_id", id.as_str()), ("kind", *kind), ("machine", *machine), ("occurred_at", at.as_str())]
            })
            .collect();
        let links: Vec<[(&str, &str); 3]> = cells
            .iter()
            .map(|(id, person, ..)| [("fact_id", id.as_str()), ("kind", "engagement"), ("prospect_id", *person)])
            .collect();
        world.put(&tables::ENGAGEMENT, &engagements.iter().map(<[_; 4]>::as_slice).collect::<Vec<_>>()).await;
        world.put(&tables::FACT_LINK, &links.iter().map(<[_; 3]>::as_slice).collect::<Vec<_>>()).await;
        MailLog::load(&world.engine.store.snapshot().await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn first_mail_is_judged_within_its_days_and_machines_do_not_count() {
        let log = log(&[
            ("ada", "sent", "unknown", 10),
            ("ada", "clicked", "human", 12),
            ("bram", "sent", "unknown", 10),
            ("bram", "clicked_machine", "machine", 10),
            ("bram", "clicked", "likely_machine", 11),
            ("bram", "replied", "human", 25),
            ("bram", "unsubscribed", "unknown", 39),
            ("cleo", "bounced_hard", "unknown", 10),
            ("dora", "sent", "unknown", 10),
            ("dora", "complained", "unknown", 41),
            ("egon", "opened", "unknown", 10),
        ])
        .await;
        let people = ["ada", "bram", "cleo", "dora", "egon", "fritz"].map(|person| (person, 0));
        let (mail, decay) = log.judge(people.into_iter(), 100 * DAY);
        // Egon opened what nobody said was sent; Bram answered after a fortnight; Dora complained after a month.
        let expected = Mail { sent: 4, bounced: 1, complained: 0, unsubscribed: 1, engaged: 1, young: 0 };
        assert_eq!(mail, Some(expected));
        let of = |days, converted| FollowUp { days, converted };
        assert_eq!(decay, [of(12, false), of(39, false), of(10, true), of(41, false)]);
    }

    #[tokio::test]
    async fn mail_before_the_source_named_the_person_is_not_its_work() {
        let log =
            log(&[("ada", "sent", "unknown", 10), ("ada", "bounced_hard", "unknown", 11), ("ada", "sent", "unknown", 60)]).await;
        let (mail, decay) = log.judge([("ada", 50 * DAY)].into_iter(), 61 * DAY);
        assert_eq!(mail, Some(Mail { sent: 1, young: 1, ..Mail::default() }));
        assert_eq!(decay, [FollowUp { days: 10, converted: false }]);
    }

    #[tokio::test]
    async fn reactions_without_a_known_sending_give_no_rates() {
        let log = log(&[("ada", "bounced_hard", "unknown", 10), ("bram", "opened", "human", 10)]).await;
        assert_eq!(log.judge([("ada", 0), ("bram", 0)].into_iter(), 100 * DAY), (None, Vec::new()));
    }
}
