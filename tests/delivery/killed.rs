//! kill -9 while a CRM is written to that loses answers: nobody is there twice, nobody is missing, the counts are right.

use std::time::Duration;
use std::{env, thread};

use super::crm::Crm;
use super::{Fact, command, expect_each_once, list, project, run};

/// The most passes of a step that are tried.
const MOST_PASSES: u32 = 40;
/// How many runs are killed by the clock, unless `HEADWATER_KILLS` says otherwise.
const KILLS: u32 = 20;
/// The seed of the moments; printed when a test fails, and set by `HEADWATER_KILL_SEED`.
const SEED: u64 = 20_261_122;
/// People who come in between two kills.
const NEW_EACH: u32 = 6;

steps! {
    death_before_a_receipt_has_its_name_makes_nobody_twice: "after-file-before-rename";
    death_before_the_receipts_are_committed_makes_nobody_twice: "after-files-before-commit";
    death_inside_a_commit_makes_nobody_twice: "inside-commit-before-commit";
    death_after_a_commit_makes_nobody_twice: "after-commit";
    death_before_the_crm_is_called_makes_nobody_twice: "after-sent-before-settle";
}

/// Kills a delivery at each pass of a step, while every fourth answer of the CRM is lost.
fn kill_at(point: &str) -> Fact {
    const PEOPLE: u32 = 9;
    for pass in 1..=MOST_PASSES {
        let crm = Crm::start()?;
        crm.lose_every(4);
        let project = project(&crm)?;
        project.write("list.csv", &list(PEOPLE, |_| String::new()))?;
        run(&project, &["sync", "--stage", "ingest", "--stage", "resolve"])?.done()?;
        let died = run(&project, &["sync", "--stage", "deliver", "--fault", &format!("{point}:{pass}")])?;
        assert!(pass > 1 || died.code.is_none(), "a delivery never passes {point}: {died}");
        crm.lose_every(0);
        let healed = run(&project, &["sync", "--stage", "deliver"])?.done()?;
        expect_each_once(&project, &crm, PEOPLE).map_err(|error| format!("{point}, pass {pass}: {error}\n{healed}"))?;
        if died.code.is_some() {
            return Ok(());
        }
    }
    Err(format!("{point} is passed without end").into())
}

#[test]
fn death_at_any_moment_makes_nobody_twice() -> Fact {
    let kills = number("HEADWATER_KILLS").map_or(KILLS, |kills| u32::try_from(kills).unwrap_or(KILLS));
    let mut random = number("HEADWATER_KILL_SEED").unwrap_or(SEED);
    println!("seed {random}");
    let crm = Crm::start()?;
    let project = project(&crm)?;
    let (mut people, mut killed) = (0, 0);
    // Grows and shrinks with how long a run takes here, so that about half of the runs are hit while they write.
    let mut longest = 400;
    for _ in 0..kills {
        people += NEW_EACH;
        project.write("list.csv", &list(people, |_| String::new()))?;
        crm.lose_every(5);
        let running = project.begin(&mut command(&project, &["sync"]))?;
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        thread::sleep(Duration::from_millis((random >> 33) % longest));
        // A run that has ended already was quicker than the clock.
        if running.signal("KILL").is_ok() && running.wait()?.code.is_none() {
            killed += 1;
            longest += 50;
        } else {
            longest = (longest * 2 / 3).max(50);
        }
    }
    crm.lose_every(0);
    assert!(killed > kills / 4, "only {killed} of {kills} runs were killed");
    run(&project, &["sync"])?.done()?;
    expect_each_once(&project, &crm, people)?;
    let writes = crm.writes();
    run(&project, &["sync"])?.done()?;
    assert_eq!(crm.writes(), writes, "a sync without news writes nothing");
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the environment is how a long run is asked for")]
pub(super) fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}
