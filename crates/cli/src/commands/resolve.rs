//! `resolve`: who is who in a table, without a project.

use std::num::NonZeroUsize;

use headwater_runtime::tools::resolve::{self, Answer, Measured, Request, Score};
use serde_json::{Value, json};

use crate::args::ResolveArgs;
use crate::console::Console;
use crate::exit_code::Code;
use crate::failure::Failure;

pub(crate) fn run(args: &ResolveArgs, console: &Console) -> Result<Code, Failure> {
    let all = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let request = Request {
        file: &args.file,
        config: args.config.as_deref(),
        out: args.out.as_deref(),
        pairs: args.pairs.as_deref(),
        truth: args.truth.as_deref(),
        threads: args.threads.unwrap_or_else(all),
    };
    let answer = resolve::resolve(&request)?;
    if !answer.ignored.is_empty() {
        let names = answer.ignored.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        console.note(&format!("never used as evidence: {names}; map them with `--config` if they are"));
    }
    if answer.empty > 0 {
        console.note(&format!("{} of {} records say nothing but their id; each stands alone", answer.empty, answer.records));
    }
    if let Some(warning) = &answer.warning {
        console.note(&format!("a project would not take this answer over: {warning}"));
    }
    console.answer(&whole(&answer), || told(&answer))
}

fn told(answer: &Answer) -> String {
    let mut text = format!(
        "{} records are {} prospects; the largest has {}. {} pairs are for review; {} were compared.\n",
        answer.records, answer.prospects, answer.largest, answer.review, answer.compared
    );
    if let Some(Measured { records, quality, compared }) = &answer.measured {
        let line = |score: &Score| format!("precision {:.4}, recall {:.4}, F1 {:.4}", score.precision, score.recall, score.f1);
        text.push_str(&format!(
            "Against the truth of {records} records:\n  pairs    {}\n  B-cubed  {}\n  largest person {}, truly {}; {:.2} % of the true pairs were compared\n",
            line(&quality.pairs),
            line(&quality.records),
            quality.largest,
            quality.largest_true,
            compared * 100.0
        ));
    }
    text
}

fn whole(answer: &Answer) -> Value {
    let columns: serde_json::Map<String, Value> =
        answer.columns.iter().map(|(attribute, column)| ((*attribute).to_owned(), json!(column))).collect();
    let blocks: Vec<Value> = answer
        .blocks
        .iter()
        .map(|block| json!({ "key": block.key, "records": block.records, "pairs": block.pairs, "left_out": block.is_left_out }))
        .collect();
    let score = |score: &Score| json!({ "precision": score.precision, "recall": score.recall, "f1": score.f1 });
    let measured = answer.measured.as_ref().map(|measured| {
        let quality = &measured.quality;
        json!({
            "records": measured.records, "pairs": score(&quality.pairs), "b_cubed": score(&quality.records),
            "largest": quality.largest, "largest_true": quality.largest_true, "true_pairs_compared": measured.compared,
        })
    });
    let [merge_at, review_at] = answer.thresholds.map(rounded);
    json!({
        "version": 1, "records": answer.records, "prospects": answer.prospects, "largest": answer.largest,
        "review": answer.review, "empty": answer.empty, "compared": answer.compared,
        "expected_precision": answer.expected_precision, "model": answer.model, "merge_at": merge_at, "review_at": review_at,
        "columns": columns, "ignored": answer.ignored, "blocks": blocks, "warning": answer.warning, "truth": measured,
    })
}

/// A chance with the decimals that it has, without those that its width makes up.
fn rounded(chance: f32) -> f64 {
    (f64::from(chance) * 1e6).round() / 1e6
}
