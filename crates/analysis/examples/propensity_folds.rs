//! What the scores of people left out are worth on a table with a column `y` (0 or 1) and a column `fold`; all others are features.
//!
//! `cargo run --release -p headwater-analysis --example propensity_folds -- TABLE.csv`
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measuring tool: it stops at the first thing that is wrong")]

use headwater_analysis::propensity::{
    Case, Cases, Settings,
    report::{Scored, report},
    train,
};

fn main() {
    let mut reader = csv::Reader::from_path(std::env::args().nth(1).unwrap()).unwrap();
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let mut cases = Vec::new();
    for (at, row) in reader.records().map(Result::unwrap).enumerate() {
        let (mut features, mut outcome, mut fold) = (Vec::new(), 0.0, 0.0);
        for (name, cell) in header.iter().zip(&row) {
            let number: f64 = cell.parse().unwrap();
            match name.as_str() {
                "y" => outcome = number,
                "fold" => fold = number,
                _ => features.push(number),
            }
        }
        cases.push((fold, Case { person: at.to_string(), source: "all".to_owned(), features, converted: outcome > 0.5 }));
    }
    let names: Vec<String> = header.into_iter().filter(|name| name != "y" && name != "fold").collect();
    let mut scored = Vec::new();
    for part in 0..5 {
        let part = f64::from(part);
        let rows = cases.iter().filter(|(fold, _)| *fold != part).map(|(_, case)| case.clone()).collect();
        let trained = train(&Cases { names: names.clone(), rows }, Settings::default()).unwrap();
        println!("fold {part}: {} with penalty {}", trained.model.method(), trained.ridge);
        for (_, case) in cases.iter().filter(|(fold, _)| *fold == part) {
            let probability = trained.model.probability(&case.features);
            scored.push(Scored { source: case.source.clone(), probability, converted: case.converted });
        }
    }
    let report = report(&scored);
    println!(
        "AUC {:.4}  log-loss {:.4}  Brier {:.4}  slope {:.3}  ECE {:.4}  lift at 10 % {:.2}",
        report.all.auc.unwrap(),
        report.all.log_loss,
        report.all.brier,
        report.calibration_slope.unwrap(),
        report.calibration_error,
        report.all.lift_at_10_percent.unwrap()
    );
}
