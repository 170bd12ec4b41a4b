//! One page with every report: charts as SVG in the page itself, beside each the table it was drawn from.
//!
//! The page asks nothing of a network and runs no script. It is read by a screen reader (each chart has a title and a description, each
//! table a caption and headers) and on paper (charts and rows are not cut in two, colours are told apart by place and label as well).

mod charts;
mod sections;
#[cfg(test)]
mod tests;

use super::{
    ChannelsReport, CustomersReport, FunnelReport, Measured, PropensityReport, SourcesReport, SpendReport, channels, customers,
    funnel, propensity, sources, spend,
};
use crate::engine::Engine;
use crate::error::Result;

/// Everything that stands on the page.
#[derive(Debug)]
pub(crate) struct Reports {
    pub(crate) sources: SourcesReport,
    /// One for each model that was computed.
    pub(crate) channels: Vec<ChannelsReport>,
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
        of_models.push(channels(engine, model).await?);
    }
    let reports = Reports {
        sources: sources(engine).await?,
        channels: of_models,
        funnel: funnel(engine).await?,
        spend: spend(engine, model).await?,
        propensity: propensity(engine).await?,
        customers: customers(engine).await?,
    };
    Ok(page(&reports))
}

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5b6570;--line:#d5dae0;--paper:#fff;--a:#2457a6;--b:#b4540a;--c:#1e7b57;--d:#7a3f98;--e:#8a6d00;--f:#a3244b}\
@media (prefers-color-scheme:dark){:root{--ink:#e8ebee;--soft:#a3adb8;--line:#3a424b;--paper:#14181d;--a:#7fb0ff;--b:#ffab66;--c:#62cfa2;--d:#cf9df0;--e:#e0c250;--f:#ff8fae}}\
*{box-sizing:border-box}body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:64rem;margin:0 auto;padding:1.5rem}\
h1{font-size:1.6rem;margin:0 0 .25rem}h2{font-size:1.2rem;margin:2.2rem 0 .4rem;border-bottom:1px solid var(--line)}p{margin:.4rem 0}.soft{color:var(--soft)}\
ul.answers{padding-left:1.2rem}ul.answers li{margin:.4rem 0}.wide{overflow-x:auto}\
svg{display:block;width:100%;height:auto;margin:.6rem 0}svg text{fill:var(--ink);font:12px system-ui,sans-serif}svg .soft{fill:var(--soft)}svg .axis{stroke:var(--line)}\
svg .range{stroke:var(--ink);stroke-width:1.5}\
.s0{fill:var(--a)}.s1{fill:var(--b)}.s2{fill:var(--c)}.s3{fill:var(--d)}.s4{fill:var(--e)}.s5{fill:var(--f)}\
.l0{stroke:var(--a)}.l1{stroke:var(--b)}.l2{stroke:var(--c)}.l3{stroke:var(--d)}.l4{stroke:var(--e)}.l5{stroke:var(--f)}\
table{border-collapse:collapse;font-size:.9rem;margin:.6rem 0}caption{text-align:left;color:var(--soft);padding:.2rem 0}\
th,td{padding:.2rem .7rem .2rem 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
@media print{:root{color-scheme:light;--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--a:#2457a6;--b:#b4540a;--c:#1e7b57;--d:#7a3f98;--e:#8a6d00;--f:#a3244b}\
body{max-width:none;padding:0;font-size:10.5pt}svg,tr,li{break-inside:avoid}h2{break-after:avoid}svg{max-height:18cm}.wide{overflow:visible}}";

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
    out.push_str(&sections::channels(&reports.channels));
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
