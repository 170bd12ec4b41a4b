//! Resolves a CSV file without the rest of the program, to measure the engine alone: `resolve_file FILE [--out OUT] [--id COLUMN]
//! [--truth COLUMN] [--threads N] [--merge-at CHANCE] [--map COLUMN=ATTRIBUTE]…`. Everybody else uses `headwater resolve`.
//!
//! With `--errors N`, the first N wrong pairs of each kind are explained. With `--recall`, the share of true pairs that are compared
//! is printed too. With `--teach N`, the N most doubtful pairs are answered by the truth, and the model learns anew from the answers,
//! which decide nothing else. OUT gets `id,prospect_id,confidence`. With `--truth`, the quality against that column is printed. `--keep INDEX`
//! leaves an index and its model in files; `--onto INDEX` adds the records of FILE, which needs the same columns, to the records of
//! an index that was kept, and prints what each step cost.

#![expect(clippy::print_stdout, reason = "an example program speaks to its caller")]

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write as _};

use headwater_analysis::identity::engine::{
    Attribute, Columns, Decisions, Doubt, Explainer, Index, Model, Options, Resolution, Roster, Sheet, Truth, Wanted,
    resolve_roster, resolve_taught,
};

type Fact<T> = Result<T, Box<dyn Error>>;

struct Arguments {
    file: String,
    out: Option<String>,
    keep: Option<String>,
    onto: Option<String>,
    recall: bool,
    errors: usize,
    teach: usize,
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
        keep: None,
        onto: None,
        recall: false,
        errors: 0,
        teach: 0,
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
            "--errors" => out.errors = value.parse()?,
            "--teach" => out.teach = value.parse()?,
            "--out" => out.out = Some(value),
            "--id" => out.wanted.id = Some(value),
            "--truth" => out.wanted.truth = Some(value),
            "--keep" => out.keep = Some(value),
            "--onto" => out.onto = Some(value),
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
    if let Some(index) = &arguments.onto {
        return add(reader, &columns, index, &arguments.options);
    }
    let mut sheet = Sheet::new(columns.clone());
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record)? {
        sheet.push(|at| record.get(at).unwrap_or_default())?;
    }
    let (roster, truth) = sheet.finish();
    let taken_in = cpu_seconds();
    let (resolution, model) = resolve_roster(&roster, &Decisions::default(), &arguments.options)?;
    println!("CPU-seconds of the main thread: {taken_in:.3} to take in, {:.3} to resolve", cpu_seconds() - taken_in);
    if let Some(out) = arguments.out {
        let mut writer = BufWriter::new(File::create(out)?);
        writeln!(writer, "id,prospect_id,confidence")?;
        for ((row, person), confidence) in (0..).zip(&resolution.person).zip(resolution.confidence()) {
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
        print_errors(&roster, &truth, &resolution, &model, arguments.errors);
        if arguments.teach > 0 {
            let mut labels = Decisions::default();
            for Doubt { one, two, .. } in resolution.doubts.iter().take(arguments.teach) {
                let is_one = truth.of(*one).is_some() && truth.of(*one) == truth.of(*two);
                if is_one { &mut labels.same } else { &mut labels.different }.push((*one, *two));
            }
            let (taught, _) = resolve_taught(&roster, &Decisions::default(), &labels, &arguments.options)?;
            println!("taught that {} pairs are one person and {} are two:", labels.same.len(), labels.different.len());
            print_quality(&truth, &taught.person);
        }
        if arguments.recall {
            println!("blocking recall {:.4}", truth.blocking_recall(&roster));
        }
    }
    if let Some(path) = arguments.keep {
        std::fs::write(format!("{path}.model"), model.to_bytes())?;
        let marks = vec![0; roster.len()];
        let index = Index::of(roster, marks, resolution, model, Decisions::default(), &arguments.options);
        index.write(&mut File::create(path)?)?;
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

/// Explains pairs that are in one person and should not be, and the other way round.
fn print_errors(roster: &Roster, truth: &Truth, resolution: &Resolution, model: &Model, most: usize) {
    let explainer = Explainer::new(roster, model);
    for (title, is_joined) in [("WRONG", true), ("MISSED", false)] {
        let person = |row: u32| resolution.person.get(row as usize);
        let is_one = |one, two| truth.of(one).is_some() && truth.of(one) == truth.of(two);
        let rows = || 0..u32::try_from(roster.len()).unwrap_or(u32::MAX);
        let pairs = rows().flat_map(|one| (one + 1..).take_while(move |two| rows().contains(two)).map(move |two| (one, two)));
        let wrong = pairs.filter(|(one, two)| (person(*one) == person(*two)) == is_joined && is_one(*one, *two) != is_joined);
        for (one, two) in wrong.take(most) {
            let Some(found) = explainer.explain(one, two) else { continue };
            let weights: Vec<String> =
                found.weights.iter().map(|weight| format!("{} {} {:+.1}", weight.field, weight.seen, weight.bits)).collect();
            let rivals = found.rivals.map(|(name, bits)| format!("{name} {bits:.1}"));
            let (one, two) = (roster.id(one), roster.id(two));
            println!(
                "{title} {one} {two} {:.3}: start {:.1}; {}; {rivals:?}",
                found.chance,
                found.prior_bits,
                weights.join("; ")
            );
        }
    }
}

/// Adds the records of a file to an index that was kept.
fn add(mut reader: csv::Reader<impl Read>, columns: &Columns, path: &str, options: &Options) -> Fact<()> {
    let model = Model::from_bytes(&std::fs::read(format!("{path}.model"))?)?;
    let mut stored = File::open(path)?;
    let bytes = stored.metadata()?.len();
    let mut index = Index::read(&mut stored, bytes, model, options).ok_or("the index cannot be read")?;
    if !index.roster().columns().iter().eq(columns.evidence.iter().map(|(_, attribute)| attribute)) {
        return Err("the file has other columns than the records of the index".into());
    }
    let known = index.roster().len();
    let read = cpu_seconds();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record)? {
        let id = format!("new-{}", record.get(columns.id).unwrap_or_default());
        index.put(&id, 0, columns.evidence.iter().map(|(at, _)| record.get(*at).unwrap_or_default()))?;
    }
    let taken_in = cpu_seconds();
    index.settle(Decisions::default())?;
    let added = cpu_seconds();
    let rows: Vec<u32> = (0..u32::try_from(index.roster().len())?).collect();
    let (resolution, _) = index.answer(&rows, options.review_at);
    let told = cpu_seconds();
    let found = (known..).zip(resolution.person.iter().skip(known)).filter(|(_, person)| (**person as usize) < known).count();
    println!(
        "added {} to {known}; {found} joined a known person. CPU-seconds: {read:.3} to read {} MiB, {:.3} to take them in, {:.3} to \
         match, {:.3} to tell who is who",
        index.changes(),
        bytes >> 20,
        taken_in - read,
        added - taken_in,
        told - added
    );
    Ok(())
}

/// The processor time of the main thread so far, on Linux; 0 elsewhere.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}
