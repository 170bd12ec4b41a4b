//! Resolves a CSV file without the rest of the program, to measure the engine alone: `resolve_file FILE [--out OUT] [--id COLUMN]
//! [--truth COLUMN] [--threads N] [--merge-at CHANCE] [--map COLUMN=ATTRIBUTE]…`. Everybody else uses `headwater resolve`.
//!
//! With `--recall`, the share of true pairs that are compared is printed too. OUT gets `id,prospect_id,confidence`. With `--truth`,
//! the quality against that column is printed. `--add MORE` then adds the records of another file of the same columns to an index
//! of the first, and prints what each step cost.

#![expect(clippy::print_stdout, reason = "an example program speaks to its caller")]

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};

use headwater_analysis::identity::engine::{Attribute, Columns, Decisions, Index, Options, Sheet, Truth, Wanted, resolve_roster};

type Fact<T> = Result<T, Box<dyn Error>>;

struct Arguments {
    file: String,
    out: Option<String>,
    add: Option<String>,
    recall: bool,
    wanted: Wanted,
    options: Options,
}

fn arguments() -> Fact<Arguments> {
    let mut given = std::env::args().skip(1);
    let mut out = Arguments {
        file: given
            .next()
            .ok_or("usage: resolve_file FILE [--out OUT] [--truth COLUMN] [--threads N] [--map COLUMN=ATTRIBUTE]")?,
        out: None,
        add: None,
        recall: false,
        wanted: Wanted::default(),
        options: Options::default(),
    };
    while let Some(flag) = given.next() {
        if flag == "--recall" {
            out.recall = true;
            continue;
        }
        let value = given.next().ok_or("a flag lacks its value")?;
        match flag.as_str() {
            "--out" => out.out = Some(value),
            "--id" => out.wanted.id = Some(value),
            "--truth" => out.wanted.truth = Some(value),
            "--add" => out.add = Some(value),
            "--threads" => out.options.threads = value.parse()?,
            "--merge-at" => out.options.merge_at = value.parse()?,
            "--map" => {
                let (column, attribute) = value.split_once('=').ok_or("--map wants COLUMN=ATTRIBUTE")?;
                let attribute = Attribute::named(attribute).ok_or("--map names no attribute")?;
                out.wanted.map.push((attribute, column.to_owned()));
            }
            _ => return Err("unknown flag".into()),
        }
    }
    Ok(out)
}

fn main() -> Fact<()> {
    let arguments = arguments()?;
    let mut reader = csv::ReaderBuilder::new().from_reader(BufReader::with_capacity(1 << 20, File::open(&arguments.file)?));
    let columns = Columns::of(reader.headers()?, &arguments.wanted)?;
    let mut sheet = Sheet::new(columns.clone());
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record)? {
        sheet.push(|at| record.get(at).unwrap_or_default())?;
    }
    let (roster, truth) = sheet.finish();
    let (resolution, model) = resolve_roster(&roster, &Decisions::default(), &arguments.options)?;
    if let Some(out) = arguments.out {
        let mut writer = BufWriter::new(File::create(out)?);
        writeln!(writer, "id,prospect_id,confidence")?;
        for ((row, person), confidence) in (0..).zip(&resolution.person).zip(&resolution.confidence) {
            writeln!(writer, "{},{},{confidence:.4}", roster.id(row), roster.id(*person))?;
        }
        writer.flush()?;
    }
    println!("records {} compared {}", roster.len(), resolution.compared);
    for block in &resolution.largest_blocks {
        println!(
            "  block {} records {} pairs {}{}",
            block.rule.as_str(),
            block.records,
            block.pairs,
            if block.is_left_out { " left out" } else { "" }
        );
    }
    if let Some(truth) = truth {
        print_quality(&truth, &resolution.person);
        if arguments.recall {
            println!("blocking recall {:.4}", truth.blocking_recall(&roster));
        }
    }
    if let Some(more) = arguments.add {
        add(&more, &columns, Index::new(roster, model, arguments.options)?)?;
    }
    Ok(())
}

fn print_quality(truth: &Truth, person: &[u32]) {
    let measured = truth.quality(person);
    let (pairs, records) = (measured.pairs, measured.records);
    println!(
        "pairs P {:.4} R {:.4} F1 {:.4}  B-cubed P {:.4} R {:.4} F1 {:.4}  largest {} (true {})",
        pairs.precision,
        pairs.recall,
        pairs.f1,
        records.precision,
        records.recall,
        records.f1,
        measured.largest,
        measured.largest_true
    );
}

/// Adds the records of another file to an index.
fn add(file: &str, columns: &Columns, mut index: Index) -> Fact<()> {
    let known = index.roster().len();
    let mut reader = csv::ReaderBuilder::new().from_reader(BufReader::new(File::open(file)?));
    let records: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>()?;
    let before = cpu_seconds();
    let ids: Vec<String> = records.iter().map(|record| format!("new-{}", record.get(columns.id).unwrap_or_default())).collect();
    let cells = records.iter().map(|record| columns.evidence.iter().map(|(at, _)| record.get(*at).unwrap_or_default()));
    index.add(ids.iter().map(String::as_str).zip(cells))?;
    let spent = cpu_seconds() - before;
    let found = (known..).zip(index.person().iter().skip(known)).filter(|(_, person)| (**person as usize) < known).count();
    println!("added {} to {known}: {spent:.3} CPU-seconds after {before:.3}; {found} joined a known person", records.len());
    Ok(())
}

/// The processor time of the main thread so far, on Linux; 0 elsewhere.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}
