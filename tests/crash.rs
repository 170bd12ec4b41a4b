//! kill -9 at every durable step: the run after it leaves what an unharmed run would have left.
//!
//! `--fault POINT:NTH` is a hidden flag that makes the program abort when it passes that point for the nth time.

use std::error::Error;
use std::fs;

use headwater_tests::project::{Project, TABLES};
use headwater_tests::tree;

/// Steps that a sync of the demo passes.
const OF_SYNC: [&str; 6] = [
    "after-file-before-rename",
    "after-files-before-commit",
    "inside-commit-before-commit",
    "after-commit",
    "after-sent-before-settle",
    "inside-settle-before-commit",
];

/// Steps of other work: their tests stand beside them.
const OF_OTHERS: [&str; 3] =
    ["inside-intake-before-commit", "after-intake-before-reply", "after-expire-before-delete"];

/// How often a step is tried: at its first passes, and further and further on.
const PASSES: [u32; 5] = [1, 2, 3, 5, 9];

/// What differs between two equal runs.
const PASSING: [&str; 10] = [
    "run_id",
    "ingested_at",
    "read_at",
    "resolved_at",
    "computed_at",
    "updated_at",
    "created_at",
    "delivered_at",
    "at",
    "first_seen_run",
];

#[test]
fn every_fault_point_of_the_store_is_in_the_matrix() -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(tree::root().join("crates/store/src/fault.rs"))?;
    let mut points: Vec<_> = text
        .lines()
        .filter_map(|line| {
            line.trim().strip_suffix("\",")?.split_once(" = \"").map(|(_, name)| name)
        })
        .collect();
    let mut known: Vec<_> = OF_SYNC.into_iter().chain(OF_OTHERS).collect();
    points.sort_unstable();
    known.sort_unstable();
    assert_eq!(points, known);
    Ok(())
}

macro_rules! matrix {
    ($($name:ident: $point:expr;)*) => {
        $(
            #[test]
            fn $name() -> Result<(), Box<dyn Error>> {
                kill_at($point)
            }
        )*

        #[test]
        fn every_step_of_a_sync_has_its_test() {
            assert_eq!([$($point),*], OF_SYNC);
        }
    };
}

matrix! {
    death_before_a_file_has_its_name_loses_nothing: "after-file-before-rename";
    death_between_files_and_commit_loses_nothing: "after-files-before-commit";
    death_inside_a_commit_loses_nothing: "inside-commit-before-commit";
    death_after_a_commit_loses_nothing: "after-commit";
    death_before_the_remote_is_called_loses_nothing: "after-sent-before-settle";
    death_before_the_answers_are_settled_loses_nothing: "inside-settle-before-commit";
}

fn kill_at(point: &str) -> Result<(), Box<dyn Error>> {
    let fresh = Project::demo()?;
    let unharmed = fresh.copy()?;
    unharmed.run(&["sync"])?;
    let expected = dump(&unharmed)?;
    let mut deaths = 0;
    for pass in PASSES {
        let project = fresh.copy()?;
        let run = project.run(&["sync", "--fault", &format!("{point}:{pass}")])?;
        if run.code.is_some() {
            // The run ended before it came this way so often.
            break;
        }
        deaths += 1;
        project.run(&["sync"])?;
        assert_eq!(dump(&project)?, expected, "after a death at {point}, pass {pass}");
    }
    assert!(deaths > 0, "a sync of the demo never passes {point}");
    Ok(())
}

/// All that is stored but for [`PASSING`], and all that was delivered.
fn dump(project: &Project) -> Result<Vec<String>, Box<dyn Error>> {
    let mut state = Vec::new();
    for table in TABLES {
        let rows = project.rows(&format!("SELECT * FROM {table}"), &PASSING)?;
        state.extend(rows.into_iter().map(|row| format!("{table} {row}")));
    }
    Ok(state)
}
