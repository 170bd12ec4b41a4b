//! What attribution costs: reads counted paths, or touches and conversions, and prints what each model took.
//!
//! `cargo run --release -p headwater-analysis --example attribution_speed -- PATHS.csv MODEL...`
//! `cargo run --release -p headwater-analysis --example attribution_speed -- TOUCHES.csv JOURNEYS.csv MODEL...`
//!
//! The files are those of `benches/measures.py`, which also takes the time: the process as a whole, with the read.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measuring tool: it stops at the first thing that is wrong")]

use std::env::args;

use csv::{ByteRecord, Reader};
use headwater_analysis::attribution::{
    Lookback, Model, Totals,
    journeys::{ConversionRow, Journeys, TouchRow},
    paths::PathTable,
};

fn main() {
    let (files, models): (Vec<String>, Vec<String>) = args().skip(1).partition(|arg| arg.ends_with(".csv"));
    let models: Vec<Model> = models.iter().map(|name| name.parse().unwrap()).collect();
    match files.as_slice() {
        [paths] => {
            let table = read_paths(paths);
            models.iter().for_each(|model| show(*model, &table.credit(*model).unwrap()));
        }
        [touches, conversions] => from_journeys(touches, conversions, &models),
        _ => println!("give one file of paths, or one of touches and one of journeys"),
    }
}

fn show(model: Model, totals: &Totals) {
    let best = totals.channels.iter().max_by(|a, b| a.conversions.total_cmp(&b.conversions)).unwrap();
    println!("{model}: {} with {:.3} conversions", best.channel, best.conversions);
}

fn text(row: &ByteRecord, column: usize) -> &str {
    std::str::from_utf8(row.get(column).unwrap()).unwrap()
}

fn number(row: &ByteRecord, column: usize) -> f64 {
    text(row, column).parse().unwrap()
}

fn read_paths(file: &str) -> PathTable {
    let mut table = PathTable::default();
    let mut reader = Reader::from_path(file).unwrap();
    let mut row = ByteRecord::new();
    while reader.read_byte_record(&mut row).unwrap() {
        table.push(text(&row, 0), number(&row, 1), number(&row, 2), number(&row, 3)).unwrap();
    }
    table
}

fn from_journeys(touches: &str, conversions: &str, models: &[Model]) {
    let (mut people, mut channels) = (Texts::default(), Texts::default());
    let mut read = Vec::new();
    let mut reader = Reader::from_path(touches).unwrap();
    let mut row = ByteRecord::new();
    while reader.read_byte_record(&mut row).unwrap() {
        let seq: i64 = text(&row, 1).parse().unwrap();
        let at: i64 = text(&row, 2).parse().unwrap();
        read.push((people.add(text(&row, 0)), channels.add(text(&row, 3)), seq, at * 1_000_000));
    }
    let mut converted = Vec::new();
    let mut reader = Reader::from_path(conversions).unwrap();
    while reader.read_byte_record(&mut row).unwrap() {
        if text(&row, 3) == "1" {
            let at: i64 = text(&row, 4).trim_end_matches(".0").parse().unwrap();
            converted.push((people.add(text(&row, 0)), at * 1_000_000, number(&row, 5)));
        }
    }
    let touches: Vec<TouchRow<'_>> = read
        .iter()
        .map(|(person, channel, seq, at_us)| TouchRow {
            person: people.get(*person),
            channel: channels.get(*channel),
            at_us: *at_us,
            seq: *seq,
            id: "",
        })
        .collect();
    let conversions: Vec<ConversionRow<'_>> = converted
        .iter()
        .map(|(person, at_us, value)| ConversionRow { person: people.get(*person), at_us: *at_us, value: *value })
        .collect();
    let journeys = Journeys::new(&touches).unwrap();
    for model in models {
        show(*model, &journeys.totals(*model, Lookback::UNLIMITED, &conversions).unwrap());
    }
}

/// Texts end to end; one that equals the one before is kept once.
#[derive(Default)]
struct Texts {
    all: String,
    last: (usize, usize),
}

impl Texts {
    fn add(&mut self, text: &str) -> (usize, usize) {
        if self.get(self.last) != text {
            self.last = (self.all.len(), self.all.len() + text.len());
            self.all.push_str(text);
        }
        self.last
    }

    fn get(&self, (start, end): (usize, usize)) -> &str {
        self.all.get(start..end).unwrap()
    }
}
