//! One page with every report: charts as SVG in the page itself, beside each the table it was drawn from.
//!
//! The page asks nothing of a network and runs no script. It is read by a screen reader (each chart has a title and a description, each
//! table a caption and headers) and on paper (charts and rows are not cut in two, colours are told apart by place and label as well).

mod charts;
mod sections;
#[cfg(test)]
mod tests;

use super::{
    ChangesReport, ChannelsReport, CohortsReport, CustomersReport, FunnelReport, Level, Measured, PropensityReport,
    SourcesReport, SpendReport, changes, channels, cohorts, customers, funnel, propensity, sources, spend,
};
use crate::engine::Engine;
use crate::error::Result;

/// Everything that stands on the page.
#[derive(Debug)]
pub(crate) struct Reports {
    pub(crate) sources: SourcesReport,
    pub(crate) cohorts: CohortsReport,
    /// One for each model that was computed.
    pub(crate) channels: Vec<ChannelsReport>,
    pub(crate) changes: ChangesReport,
    pub(crate) funnel: FunnelReport,
    pub(crate) spend: SpendReport,
    pub(crate) propensity: PropensityReport,
    pub(crate) customers: CustomersReport,
}

/// The page with all reports; `model` is the one by which spend is credited.
///
/// # Errors
/// [`crate::Error::NotFound`] when nothing was measured yet, or that model was not.
pub async fn html(engine: &Engine, model: &str) -> Result<String> {
    let measured = Measured::load(engine).await?;
    let mut of_models = Vec::new();
    for model in &measured.models {
        of_models.push(channels(engine, model, Level::Channel).await?);
    }
    let reports = Reports {
        sources: sources(engine).await?,
        cohorts: cohorts(engine).await?,
        channels: of_models,
        changes: changes(engine, None).await?,
        funnel: funnel(engine).await?,
        spend: spend(engine, model).await?,
        propensity: propensity(engine).await?,
        customers: customers(engine).await?,
    };
    Ok(page(&reports))
}

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5b6570;--line:#d5dae0;--paper:#fff;--a:#2457a6;--b:#b4540a;--c:#1e7b57;--d:#7a3f98;--e:#8a6d00;--f:#a3244b;--g:#0f7480;--h:#6b6f76;--i:#5a4fcf;--j:#8c4a2f}\
@media (prefers-color-scheme:dark){:root{--ink:#e8ebee;--soft:#a3adb8;--line:#3a424b;--paper:#14181d;--a:#7fb0ff;--b:#ffab66;--c:#62cfa2;--d:#cf9df0;--e:#e0c250;--f:#ff8fae;--g:#5fd0dd;--h:#b7bcc4;--i:#aea6ff;--j:#e0a184}}\
*{box-sizing:border-box}body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:64rem;margin:0 auto;padding:1.5rem}\
h1{font-size:1.6rem;margin:0 0 .25rem}h2{font-size:1.2rem;margin:2.2rem 0 .4rem;border-bottom:1px solid var(--line)}p{margin:.4rem 0}.soft{color:var(--soft)}\
.answers{display:grid;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr));gap:1rem;margin:1rem 0}.answer{border:1px solid var(--line);border-radius:.5rem;padding:.8rem 1rem}\
.answer h2{font-size:1rem;margin:0;border:0}.answer .figure{font-size:1.7rem;font-weight:600;line-height:1.2;color:var(--a);overflow-wrap:anywhere}.answer p{font-size:.9rem}a{color:var(--a)}\
.wide{overflow-x:auto}.wide svg[role=img]{min-width:40rem}\
svg{display:block;width:100%;height:auto;margin:.6rem 0}svg text{fill:var(--ink);font:12px system-ui,sans-serif}svg .soft{fill:var(--soft)}svg .axis{stroke:var(--line)}\
svg .range{stroke:var(--ink);stroke-width:1.5}\
.s0{fill:var(--a)}.s1{fill:var(--b)}.s2{fill:var(--c)}.s3{fill:var(--d)}.s4{fill:var(--e)}.s5{fill:var(--f)}.s6{fill:var(--g)}.s7{fill:var(--h)}.s8{fill:var(--i)}.s9{fill:var(--j)}\
.l0{stroke:var(--a)}.l1{stroke:var(--b)}.l2{stroke:var(--c)}.l3{stroke:var(--d)}.l4{stroke:var(--e)}.l5{stroke:var(--f)}.l6{stroke:var(--g)}.l7{stroke:var(--h)}.l8{stroke:var(--i)}.l9{stroke:var(--j)}\
table{border-collapse:collapse;font-size:.9rem;margin:.6rem 0}caption{text-align:left;color:var(--soft);padding:.2rem 0}\
th,td{padding:.2rem .7rem .2rem 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
@media print{:root{color-scheme:light;--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--a:#2457a6;--b:#b4540a;--c:#1e7b57;--d:#7a3f98;--e:#8a6d00;--f:#a3244b;--g:#0f7480;--h:#6b6f76;--i:#5a4fcf;--j:#8c4a2f}\
body{max-width:none;padding:0;font-size:10.5pt}svg,tr,.answer{break-inside:avoid}h2{break-after:avoid}svg{max-height:18cm}.wide{overflow:visible}.wide svg[role=img]{min-width:0}}";

pub(crate) fn page(reports: &Reports) -> String {
    let mut out = String::new();
    let at = super::minute(reports.sources.as_of);
    out += &format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>Sources, channels and prospects, {at} UTC</title><style>{STYLE}</style>\
         </head><body><main><h1>Where good prospects come from</h1><p class=\"soft\">Measured {at} UTC. Intervals are of 95 %.</p>"
    );
    out.push_str(&sections::answers(reports));
    out.push_str(&sections::sources(&reports.sources));
    out.push_str(&sections::cohorts(&reports.cohorts));
    out.push_str(&sections::channels(&reports.channels));
    out.push_str(&sections::changes(&reports.changes));
    out.push_str(&sections::funnel(&reports.funnel));
    out.push_str(&sections::time_to_convert(&reports.sources));
    out.push_str(&sections::spend(&reports.spend));
    out.push_str(&sections::propensity(&reports.propensity));
    out.push_str(&sections::customers(&reports.customers));
    out.push_str("</main></body></html>\n");
    out
}

/// Text that cannot be taken for markup.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
