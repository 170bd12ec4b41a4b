//! `explain`: one person, and where everything about them came from.

use headwater_runtime::explain::{
    Candidate, Conversion, Delivery, Explanation, Field, FieldWeight, Lead, Standing, Waterfall, explain,
};

use super::report::minute;
use crate::args::Global;
use crate::console::{Console, Rows};
use crate::exit_code::Code;
use crate::failure::Failure;
use crate::wiring;

pub(crate) async fn run(global: &Global, who: &str, console: &Console) -> Result<Code, Failure> {
    let engine = wiring::quiet_engine(global).await?;
    let explanation = explain(&engine, who).await?;
    console.answer(&explanation, || human(&explanation))
}

fn human(explained: &Explanation) -> String {
    let sections = [
        ("Where every field came from", fields(&explained.fields)),
        ("Why these records are one person", leads(&explained.leads)),
        ("What spoke for it, in bits: each doubles the odds", weights(&explained.leads)),
        ("Through which channels they came", touches(explained)),
        ("What they did", engagements(explained)),
        ("What they bought, and who is credited", conversions(&explained.conversions)),
        ("How they came to where they are", transitions(explained)),
        ("On what basis they are held", consents(explained)),
        ("Their records elsewhere", links(explained)),
        ("What was pushed when", deliveries(&explained.deliveries)),
    ];
    let filled = sections.into_iter().filter(|(_, rows)| !rows.is_empty());
    let told = filled.map(|(title, rows)| format!("{title}\n\n{}", rows.render()));
    [standing(explained)].into_iter().chain(told).collect::<Vec<_>>().join("\n\n")
}

fn touches(explained: &Explanation) -> Rows {
    let mut rows = Rows::new(&["touch at", "channel", "by rule", "source", "campaign"]);
    for touch in &explained.touches {
        let campaign = touch.campaign.clone().unwrap_or_default();
        rows.row([minute(touch.occurred_at), touch.channel.clone(), touch.rule.clone(), touch.source.clone(), campaign]);
    }
    rows
}

fn engagements(explained: &Explanation) -> Rows {
    let mut rows = Rows::new(&["what they did", "times", "last"]).right([1]);
    for done in &explained.engagements {
        rows.row([done.kind.clone(), done.count.to_string(), minute(done.last_at)]);
    }
    rows
}

fn transitions(explained: &Explanation) -> Rows {
    let mut rows = Rows::new(&["at", "from", "to", "because of", "which was"]);
    for step in &explained.transitions {
        let from = step.from.as_deref().unwrap_or("–").replace('_', " ");
        let cause = step.cause.replace('_', " ");
        rows.row([minute(step.at), from, step.to.replace('_', " "), cause, step.cause_id.clone().unwrap_or_default()]);
    }
    rows
}

fn consents(explained: &Explanation) -> Rows {
    let mut rows = Rows::new(&["source", "basis", "consent", "obtained", "told"]);
    for consent in &explained.consents {
        let basis = consent.basis.replace('_', " ");
        rows.row([consent.source.clone(), basis, consent.status.clone(), minute(consent.obtained_at), minute(consent.notice_at)]);
    }
    rows
}

fn links(explained: &Explanation) -> Rows {
    let mut rows = Rows::new(&["sink", "record there", "pushed last"]);
    for link in &explained.links {
        rows.row([link.sink.clone(), link.remote_id.clone(), minute(link.pushed_at)]);
    }
    rows
}

fn standing(explained: &Explanation) -> String {
    let Explanation { prospect_id, found_by, merged_ids, also, standing, .. } = explained;
    let Standing { lifecycle, buying_stage, may_contact, hold_reason, lawful_basis, consent, .. } = standing;
    let mut lines = vec![format!("{prospect_id} (found by {})", found_by.replace('_', " "))];
    if !merged_ids.is_empty() {
        lines.push(format!("also known as: {}", merged_ids.join(", ")));
    }
    if !also.is_empty() {
        lines.push(format!("others that fit as well: {}", also.join(", ")));
    }
    lines.push(format!("stage: {lifecycle}; buying stage: {}", buying_stage.replace('_', " ")));
    let contact = match (may_contact, hold_reason) {
        (true, _) => "yes".to_owned(),
        (false, Some(reason)) => format!("no: {reason}"),
        (false, None) => "no".to_owned(),
    };
    lines.push(format!(
        "may be contacted: {contact}; lawful basis: {}; consent: {}",
        lawful_basis.as_deref().unwrap_or("none recorded").replace('_', " "),
        consent.as_deref().unwrap_or("nothing said")
    ));
    let known = |word: &Option<String>| word.clone().unwrap_or_else(|| "unknown".to_owned());
    lines.push(format!(
        "first: {} through {}; last through {}; seen from {} to {} UTC",
        known(&standing.first_source),
        known(&standing.first_channel),
        known(&standing.last_channel),
        minute(standing.first_seen_at),
        minute(standing.last_seen_at)
    ));
    if standing.conversion_count > 0 {
        let worth = standing
            .revenue
            .as_ref()
            .zip(standing.currency.as_ref())
            .map(|(revenue, currency)| format!(", worth {revenue} {currency}"));
        lines.push(format!("conversions: {}{}", standing.conversion_count, worth.unwrap_or_default()));
    }
    lines.join("\n")
}

fn fields(fields: &[Field]) -> Rows {
    let mut rows = Rows::new(&["field", "value", "", "from", "said at", "by rule"]);
    let mut push = |field: &str, verdict: &str, candidate: &Candidate| {
        let value = if candidate.value.is_empty() { "(emptied)".to_owned() } else { candidate.value.clone() };
        let rule = candidate.rule.replace('_', " ");
        rows.row([field.to_owned(), value, verdict.to_owned(), candidate.source.clone(), minute(candidate.observed_at), rule]);
    };
    for field in fields {
        if let Some(winner) = &field.winner {
            push(&field.field, "", winner);
        }
        for loser in &field.losers {
            push(if field.winner.is_none() { &field.field } else { "" }, "lost", loser);
        }
    }
    rows
}

fn leads(leads: &[Lead]) -> Rows {
    let mut rows = Rows::new(&["lead", "source", "where it stood", "arrived", "joined to", "on evidence"]);
    for lead in leads {
        let evidence = match (&lead.joined_to, &lead.evidence) {
            (None, _) if leads.len() == 1 => "the only record".to_owned(),
            (None, _) => "the others were joined to it".to_owned(),
            (Some(_), evidence) => {
                format!("{} ({}, {:.2})", evidence.as_deref().unwrap_or("none named"), lead.method, lead.score)
            }
        };
        let joined = lead.joined_to.clone().unwrap_or_else(|| "–".to_owned());
        rows.row([
            lead.lead_id.clone(),
            lead.source.clone(),
            lead.place.clone().unwrap_or_default(),
            minute(lead.received_at),
            joined,
            evidence,
        ]);
    }
    rows
}

/// A waterfall for each joined lead: where it starts, what each field adds, where it ends.
fn weights(leads: &[Lead]) -> Rows {
    let mut rows = Rows::new(&["lead", "joined to", "field", "what was seen", "bits", "sum"]).right([4, 5]);
    for lead in leads {
        let Some(Waterfall { prior_bits, fields, kin_bits, namesakes_bits, chance }) = &lead.weights else { continue };
        let mut sum = *prior_bits;
        let joined = lead.joined_to.clone().unwrap_or_default();
        let bits = |bits: f64| format!("{bits:+.1}");
        let row = |field: &str, seen: &str, weight: f64, sum: f64| [field.to_owned(), seen.to_owned(), bits(weight), bits(sum)];
        rows.row([lead.lead_id.clone(), joined].into_iter().chain(row("", "any two leads", sum, sum)));
        for FieldWeight { field, seen, bits } in fields {
            sum += bits;
            rows.row([String::new(), String::new()].into_iter().chain(row(field, seen, *bits, sum)));
        }
        let rivals = format!("chance {chance:.3}; kin {kin_bits:+.1}, namesakes {namesakes_bits:+.1}");
        rows.row([String::new(), String::new(), "against all".to_owned(), rivals, String::new(), String::new()]);
    }
    rows
}

fn conversions(conversions: &[Conversion]) -> Rows {
    let mut rows = Rows::new(&["conversion", "at", "worth", "found by", "model", "credited to"]).right([2]);
    for conversion in conversions {
        let worth = match (&conversion.value, &conversion.currency) {
            (Some(value), Some(currency)) => format!("{value} {currency}"),
            (Some(value), None) => value.clone(),
            (None, _) => "–".to_owned(),
        };
        let mut head =
            Some([conversion.kind.clone(), minute(conversion.occurred_at), worth, conversion.matched_on.replace('_', " ")]);
        for (model, credits) in &conversion.credits {
            let shares: Vec<String> =
                credits.iter().map(|credit| format!("{} {:.0} %", credit.channel, credit.share * 100.0)).collect();
            rows.row(head.take().unwrap_or_default().into_iter().chain([model.clone(), shares.join(", ")]));
        }
        if let Some(head) = head {
            rows.row(head.into_iter().chain([String::new(), "not measured yet".to_owned()]));
        }
    }
    rows
}

fn deliveries(deliveries: &[Delivery]) -> Rows {
    let mut rows = Rows::new(&["at", "sink", "outcome", "field", "before", "after"]);
    for delivery in deliveries {
        let reason = delivery.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let mut head = Some([minute(delivery.at), delivery.sink.clone(), format!("{}{reason}", delivery.outcome)]);
        for pushed in &delivery.fields {
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "–".to_owned());
            rows.row(head.take().unwrap_or_default().into_iter().chain([
                pushed.field.clone(),
                text(&pushed.before),
                text(&pushed.after),
            ]));
        }
        if let Some(head) = head {
            rows.row(head.into_iter().chain([String::new(), String::new(), String::new()]));
        }
    }
    rows
}
