//! Asynchronous retrievers of a manifest into jobs of a plan.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Problem;
use super::compile::Compiler;
use super::document::Node;
use super::exprs::{Extracted, shared};
use super::jinja::Kinds;
use crate::engine::plan::{Anew, Job, JobStatus, Pages, Requester, Transformation};
use crate::engine::{Expr, Value};

/// How long a job may take unless the manifest says.
const TIMEOUT: Duration = Duration::from_mins(60);
/// How long to wait between two looks at a job.
const POLL_EVERY: Duration = Duration::from_secs(10);

pub(super) fn job(
    compiler: &Compiler<'_>,
    node: &Node<'_>,
    transforms: Vec<Transformation>,
    schema: Option<Value>,
) -> Result<Job, Problem> {
    if let Some(extractor) = node.get("download_extractor")
        && extractor.get("type").and_then(Value::as_str) != Some("ResponseToFileExtractor")
    {
        return Err(node.problem("download_extractor", "this is not supported"));
    }
    if node.get("download_target_requester").is_some() {
        return Err(node.problem("download_target_requester", "this is not supported"));
    }
    let decoded = |name: &str| -> Result<Requester, Problem> {
        let mut requester = compiler.requester(&node.need_child(name)?)?;
        requester.decoder = compiler.decoder(node, "decoder")?;
        Ok(requester)
    };
    let optional = |name: &str| node.child(name)?.map(|requester| compiler.requester(&requester)).transpose();
    let extracted = |name: &str| -> Result<Option<Expr>, Problem> {
        let Some(node) = node.child(name)? else { return Ok(None) };
        let mut steps = Vec::new();
        for step in node.texts("field_path")? {
            steps.push(compiler.template_of(&Value::text(step), &node, &node.path)?.kinds(Kinds::Text));
        }
        Ok(Some(shared(Extracted(steps))))
    };
    let map = node.need_child("status_mapping")?;
    let mut statuses = BTreeMap::new();
    for (name, status) in [
        ("running", JobStatus::Running),
        ("completed", JobStatus::Completed),
        ("failed", JobStatus::Failed),
        ("timeout", JobStatus::TimedOut),
        ("skipped", JobStatus::Skipped),
    ] {
        statuses.extend(map.texts(name)?.into_iter().map(|word| (word, status)));
    }
    let mut requester = compiler.requester(&node.need_child("download_requester")?)?;
    requester.decoder = compiler.decoder(node, "download_decoder")?;
    let paginator = node.child("download_paginator")?.map(|paginator| compiler.paginator(&paginator)).transpose()?.flatten();
    let selector = compiler.selector(&node.need_child("record_selector")?, transforms, schema, false)?;
    let minutes = compiler.settled_int(node, "polling_job_timeout")?.and_then(|minutes| u64::try_from(minutes).ok());
    Ok(Job {
        create: decoded("creation_requester")?,
        keep: None,
        poll: decoded("polling_requester")?,
        status: extracted("status_extractor")?.ok_or_else(|| node.problem("status_extractor", "is missing"))?,
        statuses,
        targets: extracted("download_target_extractor")?,
        download: Pages { requester, paginator, selector, anew: Anew::default() },
        delete: optional("delete_requester")?,
        abort: optional("abort_requester")?,
        timeout: minutes.map_or(TIMEOUT, |minutes| Duration::from_secs(minutes * 60)),
        poll_every: POLL_EVERY,
    })
}
