//! One slice of a stream, page by page.

use std::sync::Arc;

use async_stream::try_stream;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use headwater_sdk::{Error, ErrorKind, Result};

use super::anew::Round;
use super::expr::{Expr, Scope, Slice};
use super::plan::{Cursor, Inject, Lookup, Pages, Paginator, Paging, Partitions, Retriever, Selector, StreamPlan};
use super::request::{Call, Page, Shared};
use super::select::{Selected, select};
use super::value::Value;

/// How many pages one slice may have: a remote that never ends would keep us for ever.
const MAX_PAGES: u64 = 10_000_000;

/// A page of a slice.
#[derive(Debug)]
pub(super) struct SlicePage {
    pub(super) records: Vec<Value>,
    /// What the next page is asked for with; none after the last.
    pub(super) next: Option<Value>,
    /// The furthest position of its records.
    pub(super) high: Option<i64>,
    /// The furthest position as the record wrote it.
    pub(super) mark: Option<Value>,
    /// The remote's own word for where we are.
    pub(super) bookmark: Option<Value>,
}

/// The pages of a slice, from a token or the first one.
pub(super) fn pages(
    (shared, stream, lookups): (Arc<Shared>, Arc<StreamPlan>, Arc<Value>),
    slice: Slice,
    token: Option<Value>,
) -> BoxStream<'static, Result<SlicePage>> {
    let pages = try_stream! {
        let mut token = token;
        let mut slice = slice;
        let mut round = Round::default();
        let bookmark = stream.bookmark.as_ref().map(|bookmark| &bookmark.value);
        let mut work = super::job::Work::default();
        let more = [(Lookup::SEEN, &*lookups)];
        for turn in 0..MAX_PAGES {
            let fixed = injections(&stream, &slice);
            let (page, next) = match &stream.retriever {
                Retriever::Pages(plan) => one(&shared, plan, &slice, &fixed, (token.take(), &more), bookmark).await?,
                Retriever::Job(job) => work.step(&shared, (job, &lookups), &slice, &fixed, token.take()).await?,
            };
            let is_asked = page.is_anew;
            let mut page = observed(&stream, page, &slice, next)?;
            if let Some(rest) = round.after(&stream, &slice, &page, is_asked)? {
                slice = rest;
                page.next = Some(beginning(&stream));
            }
            token = page.next.clone();
            let more = token.is_some();
            yield page;
            if !more {
                return;
            }
            if turn + 1 == MAX_PAGES {
                Err(Error::new(ErrorKind::Protocol, "the remote's pages do not end").context("pages", MAX_PAGES.to_string()))?;
            }
        }
    };
    pages.boxed()
}

/// One page and the token of the next. `bookmark` is the expression of the remote's own word for where we are.
pub(super) async fn one(
    shared: &Shared,
    plan: &Pages,
    slice: &Slice,
    fixed: &[(Inject, Value)],
    (token, more): (Option<Value>, &[(&str, &Value)]),
    bookmark: Option<&Expr>,
) -> Result<(Selected, Option<Value>)> {
    let paginator = plan.paginator.as_ref();
    let token = token.or_else(|| paginator.and_then(first_token));
    let mut inject = fixed.to_vec();
    if let Some(paginator) = paginator {
        if let (Some(at), Some(token)) = (&paginator.token, &token) {
            inject.push((at.clone(), token.clone()));
        }
        if let Some((size, Some(at))) = &paginator.size {
            inject.push((
                at.clone(),
                size.value(&shared.scope(&Call { slice: Some(slice), next_page_token: None, inject: &[], more, once: false }))?,
            ));
        }
    }
    let seen = token.as_ref().map(|token| Value::Map([("next_page_token", token.clone())].into_iter().collect()));
    let call = Call { slice: Some(slice), next_page_token: seen.as_ref(), inject: &inject, more, once: false };
    let page = shared.call(&plan.requester, &call).await?;
    if page.reset {
        let first = paginator.and_then(first_token).unwrap_or_default();
        return Ok((Selected { is_anew: true, ..Selected::default() }, Some(first)));
    }
    let scope = shared.scope(&call);
    let paging = paginator.map(|paginator| &paginator.strategy);
    let (mut selected, next) = match paging {
        Some(Paging::Token { value, stop }) => by_token(&plan.selector, page, (value, stop.as_ref()), bookmark, &scope)?,
        _ => {
            let (selected, _) = after(&plan.selector, page, None, bookmark, &scope)?;
            let next = paginator.map(|paginator| counted(paginator, token.as_ref(), &selected, &scope)).transpose()?;
            (selected, next.flatten())
        }
    };
    selected.bookmark = selected.bookmark.filter(|bookmark| !bookmark.is_null());
    Ok((selected, next))
}

type TokenRules<'a> = (&'a Expr, Option<&'a Expr>);

/// A page whose answer says the token of the next.
fn by_token(
    selector: &Selector,
    page: Page,
    (value, stop): TokenRules<'_>,
    bookmark: Option<&Expr>,
    scope: &Scope<'_>,
) -> Result<(Selected, Option<Value>)> {
    // What looks at the records' end needs the answer as it was, so the records are copied out of it.
    let looks_back =
        ["last_record", "last_page_size"].iter().any(|name| value.uses(name) || stop.is_some_and(|stop| stop.uses(name)));
    if !page.taken || looks_back || bookmark.is_some() {
        return after(selector, page, Some((value, stop)), bookmark, scope);
    }
    let seen = Scope { response: Some(&page.body), headers: Some(&page.headers), status: Some(page.status), ..*scope };
    let next = next_token(value, stop, &seen)?;
    Ok((select(selector, page.body, scope, false)?, next))
}

/// A page's records first, then what follows from the answer and them. The answer is copied only if something looks at it.
fn after(
    selector: &Selector,
    page: Page,
    rules: Option<TokenRules<'_>>,
    bookmark: Option<&Expr>,
    scope: &Scope<'_>,
) -> Result<(Selected, Option<Value>)> {
    let Page { body, headers, status, taken, .. } = page;
    let looked_at = rules.is_some() || bookmark.is_some();
    let kept = looked_at.then(|| body.clone());
    let mut selected = if taken { select(selector, body, scope, looked_at)? } else { Selected::default() };
    let scope = Scope {
        response: kept.as_ref(),
        headers: Some(&headers),
        status: Some(status),
        last_record: selected.last.as_ref(),
        last_page_size: Some(selected.given),
        ..*scope
    };
    let next = rules.map(|(value, stop)| next_token(value, stop, &scope)).transpose()?.flatten();
    let bookmark = bookmark.map(|bookmark| bookmark.value(&scope)).transpose()?;
    selected.bookmark = bookmark;
    Ok((selected, next))
}

/// The next page by counting: there is one where this one is full.
fn counted(paginator: &Paginator, token: Option<&Value>, selected: &Selected, scope: &Scope<'_>) -> Result<Option<Value>> {
    let size = paginator.size.as_ref().map(|(size, _)| size.value(scope)).transpose()?;
    let size = size.as_ref().and_then(|size| size.as_f64().or_else(|| size.as_str()?.trim().parse().ok()));
    #[expect(clippy::cast_precision_loss, reason = "a page has few records")]
    let full = selected.given > 0 && size.is_none_or(|size| selected.given as f64 >= size);
    let before = token.and_then(Value::as_int);
    let next = match paginator.strategy {
        Paging::Offset { .. } => before.unwrap_or(0).checked_add(i64::try_from(selected.given).unwrap_or(i64::MAX)),
        Paging::Number { start, .. } => before.unwrap_or(start).checked_add(1),
        Paging::Token { .. } => None,
    };
    Ok(next.filter(|_| full).map(Value::Int))
}

/// What the first page of a slice is asked for with.
fn beginning(stream: &StreamPlan) -> Value {
    let Retriever::Pages(plan) = &stream.retriever else { return Value::Null };
    plan.paginator.as_ref().and_then(first_token).unwrap_or_default()
}

fn first_token(paginator: &Paginator) -> Option<Value> {
    match paginator.strategy {
        Paging::Offset { first: true } => Some(Value::Int(0)),
        Paging::Number { start, first: true } => Some(Value::Int(start)),
        Paging::Offset { .. } | Paging::Number { .. } | Paging::Token { .. } => None,
    }
}

fn next_token(value: &Expr, stop: Option<&Expr>, scope: &Scope<'_>) -> Result<Option<Value>> {
    if stop.map(|stop| stop.test(scope)).transpose()? == Some(true) {
        return Ok(None);
    }
    Ok(Some(value.value(scope)?).filter(Value::truthy))
}

/// The positions of a page's records; records outside of the slice go where the cursor says so.
fn observed(stream: &StreamPlan, page: Selected, slice: &Slice, next: Option<Value>) -> Result<SlicePage> {
    let mut out = SlicePage { records: page.records, next, high: None, mark: None, bookmark: page.bookmark };
    let Some(cursor) = &stream.cursor else { return Ok(out) };
    let mut older = false;
    let low = slice.range.map(|(low, _)| low);
    let mut failed = None;
    out.records.retain(|record| {
        let position = match record.at(&cursor.field).map(|value| (value, cursor.positions.read(value))) {
            None => return true,
            Some((_, Err(error))) => {
                failed.get_or_insert(error);
                return true;
            }
            Some((_, Ok(None))) => return true,
            Some((value, Ok(Some(position)))) => (value, position),
        };
        let (value, position) = position;
        let before = low.is_some_and(|low| position < low);
        older |= before;
        if cursor.filter && (before || slice.range.is_some_and(|(_, end)| position > end)) {
            return false;
        }
        if out.high.is_none_or(|high| position > high) {
            out.high = Some(position);
            out.mark = Some(value.clone());
        }
        true
    });
    if let Some(error) = failed {
        return Err(error.context("stream", stream.name.clone()).context("field", cursor.field.join(".")));
    }
    if cursor.newest_first && older {
        out.next = None;
    }
    Ok(out)
}

/// What every request of a slice says of it.
pub(super) fn injections(stream: &StreamPlan, slice: &Slice) -> Vec<(Inject, Value)> {
    let mut out = Vec::new();
    of_partitions(&stream.partitions, slice, &mut out);
    if let Some(Cursor { names, inject_start, inject_end, .. }) = &stream.cursor {
        for (inject, name) in [(inject_start, &names.0), (inject_end, &names.1)] {
            if let (Some(inject), Some(value)) = (inject, slice.interval.get(name)) {
                out.push((inject.clone(), value.clone()));
            }
        }
    }
    out
}

fn of_partitions(partitions: &Partitions, slice: &Slice, out: &mut Vec<(Inject, Value)>) {
    let mut say = |inject: &Option<Inject>, name: &str| {
        if let (Some(inject), Some(value)) = (inject, slice.partition.get(name)) {
            out.push((inject.clone(), value.clone()));
        }
    };
    match partitions {
        Partitions::One => {}
        Partitions::List { name, inject, .. } => say(inject, name),
        Partitions::Parents(parents) => parents.iter().for_each(|parent| say(&parent.inject, &parent.name)),
        Partitions::Product(parts) => parts.iter().for_each(|part| of_partitions(part, slice, out)),
        Partitions::Groups { of, .. } => of_partitions(of, slice, out),
    }
}
