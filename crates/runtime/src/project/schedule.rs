//! When `serve` runs a sync.

use std::time::Duration;

use cronexpr::{Crontab, FallbackTimezoneOption, ParseOptions, parse_crontab_with};
use jiff::Timestamp;

use super::Project;
use super::error::ProjectError;
use super::file::ScheduleSection;

/// A schedule that has a next time.
#[derive(Debug, Clone)]
pub enum Schedule {
    /// At once, and so long after the end of each run.
    Every(Duration),
    /// At the times of a crontab; those that pass during a run are left out.
    Cron(Box<Crontab>),
}

impl Schedule {
    /// The schedule of a project; nothing where it has none.
    ///
    /// # Errors
    /// When it is none, both, no time span, no crontab, or never comes.
    pub fn of(project: &Project) -> Result<Option<Self>, ProjectError> {
        let Some(ScheduleSection { every, cron, time_zone }) = &project.file.schedule else { return Ok(None) };
        match (every, cron) {
            (Some(every), None) => {
                if time_zone.is_some() {
                    let complaint = project.error("schedule.time_zone", "a time span has no time zone");
                    return Err(complaint.help("write `cron: \"0 6 * * *\"` for a time of day, or leave the time zone out"));
                }
                let span = parse_every(every).ok_or_else(|| {
                    let complaint = project.error("schedule.every", format!("`{every}` is not a time span"));
                    complaint.help("write a number and a unit: 30s, 15m, 2h, 1d; times of day go to `cron`")
                })?;
                Ok(Some(Self::Every(span)))
            }
            (None, Some(cron)) => Ok(Some(Self::Cron(Box::new(crontab(project, cron, time_zone.as_deref())?)))),
            (Some(_), Some(_)) => Err(project
                .error("schedule.cron", "a schedule is either a time span or a crontab")
                .help("leave `every` or `cron` out")),
            (None, None) => {
                Err(project.error("schedule", "it says not when").help("write `every: 15m` or `cron: \"0 6 * * MON-FRI\"`"))
            }
        }
    }

    /// How long to wait for the first run.
    #[must_use]
    pub fn before_first(&self, now: Timestamp) -> Duration {
        match self {
            Self::Every(_) => Duration::ZERO,
            Self::Cron(_) => self.before_next(now),
        }
    }

    /// How long to wait for the next run after one that ended now.
    #[must_use]
    pub fn before_next(&self, now: Timestamp) -> Duration {
        match self {
            Self::Every(span) => *span,
            // It has a next time, since it had one when it was read.
            Self::Cron(cron) => cron
                .find_next(now)
                .ok()
                .and_then(|next| Duration::try_from(now.duration_until(next.timestamp())).ok())
                .unwrap_or(Duration::from_hours(24)),
        }
    }
}

fn crontab(project: &Project, text: &str, time_zone: Option<&str>) -> Result<Crontab, ProjectError> {
    const HELP: &str =
        "write minute, hour, day of the month, month and day of the week: `0 6 * * MON-FRI` is six o'clock on working days";
    let wrong = |what: String| project.error("schedule.cron", what).help(HELP);
    if text.split_whitespace().count() != 5 {
        return Err(wrong(format!("`{text}` has not five fields")));
    }
    let zone = time_zone.unwrap_or("UTC");
    if jiff::tz::TimeZone::get(zone).is_err() {
        let complaint = project.error("schedule.time_zone", format!("`{zone}` is no time zone that this machine knows"));
        return Err(complaint.help("write it as `Europe/Paris`; in a small container, install `tzdata`"));
    }
    let mut options = ParseOptions::default();
    options.fallback_timezone_option = FallbackTimezoneOption::None;
    let cron = parse_crontab_with(&format!("{text} {zone}"), options).map_err(|error| {
        // It draws a pointer below the text; what is wrong stands last.
        let said = error.to_string();
        let what = said.lines().last().unwrap_or_default().trim_start_matches(['^', ' ']);
        wrong(format!("`{text}` is no crontab: {what}"))
    })?;
    // Such as the thirtieth of February.
    cron.find_next(Timestamp::UNIX_EPOCH).map_err(|_| wrong(format!("`{text}` never comes")))?;
    Ok(cron)
}

/// The time span of a schedule: a number and a unit, `30s`, `15m`, `2h` or `1d`; at least a second.
fn parse_every(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let span = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    (span > 0).then(|| Duration::from_secs(span))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    async fn schedule(section: &str) -> Schedule {
        let world = World::of(&format!("schedule: {section}")).await;
        Schedule::of(&world.engine.project).unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_span_begins_at_once_and_a_crontab_waits_for_its_time() {
        let friday: Timestamp = "2026-11-20T05:30:00Z".parse().unwrap();
        let span = schedule("{ every: 15m }").await;
        assert_eq!((span.before_first(friday), span.before_next(friday)), (Duration::ZERO, Duration::from_mins(15)));
        let utc = schedule("{ cron: '0 6 * * MON-FRI' }").await;
        assert_eq!(utc.before_first(friday), Duration::from_mins(30));
        // Six o'clock in Paris is five in winter: the next working day is Monday.
        let paris = schedule("{ cron: '0 6 * * MON-FRI', time_zone: Europe/Paris }").await;
        assert_eq!(paris.before_next(friday), Duration::from_hours(72) - Duration::from_mins(30));
    }

    #[tokio::test]
    async fn a_time_that_clocks_repeat_comes_twice_and_one_they_skip_does_not_come() {
        let daily = schedule("{ cron: '30 2 * * *', time_zone: Europe/Paris }").await;
        for (noon_before, times_within_a_day) in
            [("2026-03-28T12:00:00Z", 0), ("2026-10-24T12:00:00Z", 2), ("2026-11-20T12:00:00Z", 1)]
        {
            let mut now: Timestamp = noon_before.parse().unwrap();
            let end = now + jiff::SignedDuration::from_hours(24);
            let mut times = 0;
            loop {
                now = now + daily.before_next(now);
                if now > end {
                    break;
                }
                times += 1;
            }
            assert_eq!(times, times_within_a_day, "{noon_before}");
        }
    }
}
