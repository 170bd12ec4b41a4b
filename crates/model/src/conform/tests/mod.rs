//! What becomes of rows, over whole pages.

mod any_cells;
mod facts;
mod people;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use hashbrown::HashSet;

use super::*;
use crate::page::Places;
use crate::suppression::{Hasher, Kind};

/// 2026-11-02T09:00:00Z.
const NOW: i64 = 1_793_610_000_000_000;

fn context() -> Context {
    Context {
        source: "list".to_owned(),
        stream: "people".to_owned(),
        run_id: "run_1".to_owned(),
        origin: Origin::List,
        dates: DateStyle::default(),
        country: None,
        currency: None,
        lawful_basis: None,
        basis_obtained_at: None,
        notice_at: None,
    }
}

fn page<T: AsRef<str>>(columns: &[&str], rows: &[Vec<Option<T>>]) -> Page {
    let fields: Vec<Field> = columns.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let column = |index: usize| rows.iter().map(|row| row[index].as_ref().map(T::as_ref)).collect::<StringArray>();
    let cells: Vec<ArrayRef> = (0..columns.len()).map(|index| Arc::new(column(index)) as ArrayRef).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), cells, &options).unwrap();
    let lines = (0..rows.len() as u64).map(|row| row + 2).collect();
    Page::new(batch, Places::Lines { file: "list.csv".to_owned(), lines }).unwrap()
}

/// A page of cells where the empty text stands for no cell at all.
fn plain(columns: &[&str], rows: &[&[&str]]) -> Page {
    let rows: Vec<Vec<Option<&str>>> =
        rows.iter().map(|row| row.iter().map(|cell| Some(*cell).filter(|cell| !cell.is_empty())).collect()).collect();
    page(columns, &rows)
}

/// Every column mapped to the field of its own name.
fn same_names(columns: &[&str]) -> Mapping {
    Mapping::of(columns.iter().map(|name| (*name, *name)))
}

fn conformer(role: Role, columns: &[&str]) -> Conformer {
    Conformer::new(role, &same_names(columns), context()).unwrap()
}

fn all(conformer: &Conformer, page: &Page) -> Keep {
    let rows = (0..page.rows()).map(|row| u32::try_from(row).unwrap()).collect();
    Keep { rows, hashes: conformer.hashes(page) }
}

fn nobody() -> Screen {
    Screen::new(Hasher::new(b"key"), HashSet::new())
}

fn without(people: &[(Kind, &str)]) -> Screen {
    let hasher = Hasher::new(b"key");
    let hashes = people.iter().map(|(kind, value)| hasher.hash(*kind, value)).collect();
    Screen::new(hasher, hashes)
}

fn leads(conformer: &Conformer, page: &Page, screen: &Screen) -> Leads {
    conformer.leads(page, &all(conformer, page), screen, NOW).unwrap()
}

fn facts(conformer: &Conformer, page: &Page, screen: &Screen) -> Facts {
    conformer.facts(page, &all(conformer, page), screen, NOW).unwrap()
}

/// A text column, null as `None`.
fn column(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let column: &StringArray = batch.column_by_name(name).unwrap().as_any().downcast_ref().unwrap();
    column.iter().map(|cell| cell.map(str::to_owned)).collect()
}

fn codes(refused: &[Refused]) -> Vec<(&'static str, Option<&str>, &str)> {
    refused.iter().map(|row| (row.code, row.field.as_deref(), row.place.as_str())).collect()
}
