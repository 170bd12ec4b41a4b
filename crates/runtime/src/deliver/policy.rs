//! What may be done to a field that somebody may already have filled.

use crate::project::FieldPolicy;

/// Lifecycle stages in order, ours and those that CRMs commonly use; a field under `forward_only` never moves back along it.
const STAGES: &[&[&str]] = &[
    &["subscriber", "suspect"],
    &["lead", "prospect"],
    &["marketingqualifiedlead", "mql"],
    &["salesqualifiedlead", "sql"],
    &["opportunity"],
    &["customer"],
    &["evangelist"],
];

/// How far along a stage is; nothing for a word that is no known stage.
#[must_use]
pub fn stage_rank(stage: &str) -> Option<usize> {
    let plain: String = stage.chars().filter(|character| character.is_alphanumeric()).collect::<String>().to_lowercase();
    STAGES.iter().position(|names| names.contains(&plain.as_str()))
}

/// What a policy says about one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Set it.
    Set,
    /// The remote has this value already.
    Same,
    /// Leave it, for this reason.
    Keep(&'static str),
}

/// What a field stands at: what we want, what the remote has, what we wrote last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing<'a> {
    /// Nothing: the field is to be cleared.
    pub(super) ours: Option<&'a str>,
    pub(super) remote: Option<&'a str>,
    pub(super) pushed: Option<&'a str>,
}

/// When the two sides got what they have.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times<'a> {
    /// When a source last said ours, in microseconds of UTC.
    pub(super) ours: Option<i64>,
    /// When somebody last changed the remote's record, as the remote tells it.
    pub(super) remote: Option<&'a str>,
}

/// What to do with a field of a record that is there already.
pub(super) fn on_update(policy: FieldPolicy, standing: Standing<'_>, times: Times<'_>) -> Verdict {
    let Standing { ours, remote, pushed } = standing;
    let remote = remote.map(str::trim).filter(|value| !value.is_empty());
    if same(ours, remote) {
        return Verdict::Same;
    }
    let is_ours = pushed.is_some() && same(pushed, remote);
    let Some(ours) = ours else {
        // A value is taken away only where we may write over what is there.
        return match policy {
            FieldPolicy::Overwrite => Verdict::Set,
            FieldPolicy::KeepInStep | FieldPolicy::NewestWins if is_ours => Verdict::Set,
            _ => Verdict::Keep("we have no value, and did not write this one"),
        };
    };
    match policy {
        FieldPolicy::Never => Verdict::Keep("the policy says never"),
        FieldPolicy::CreateOnly => Verdict::Keep("the policy says only when the record is made"),
        FieldPolicy::CrmOwned => Verdict::Keep("it belongs to the remote once the record is made"),
        FieldPolicy::Overwrite => Verdict::Set,
        FieldPolicy::FillBlank => match remote {
            None => Verdict::Set,
            Some(_) => Verdict::Keep("the remote has a value"),
        },
        FieldPolicy::KeepInStep => match remote {
            None => Verdict::Set,
            Some(_) if is_ours => Verdict::Set,
            Some(_) if pushed.is_none() => Verdict::Keep("the remote has a value that we did not write"),
            Some(_) => Verdict::Keep("somebody else changed it in the remote"),
        },
        FieldPolicy::NewestWins => match (remote, times.ours, times.remote.and_then(micros)) {
            (None, _, _) => Verdict::Set,
            (Some(_), _, _) if is_ours => Verdict::Set,
            (Some(_), Some(ours), Some(theirs)) if ours > theirs => Verdict::Set,
            (Some(_), Some(_), Some(_)) => Verdict::Keep("the remote was changed later"),
            (Some(_), _, _) => Verdict::Keep("nobody knows which side is newer"),
        },
        FieldPolicy::ForwardOnly => match (remote, remote.and_then(stage_rank), stage_rank(ours)) {
            (None, _, _) => Verdict::Set,
            (Some(_), Some(theirs), Some(ours)) if ours > theirs => Verdict::Set,
            (Some(_), Some(_), Some(_)) => Verdict::Keep("the remote is as far or further"),
            (Some(_), _, _) => Verdict::Keep("one of the stages is not a known one"),
        },
    }
}

/// Whether two values are one, although remotes write some in a form of their own: `12.5` as `12.50`, `true` as `True`.
pub(super) fn same(one: Option<&str>, other: Option<&str>) -> bool {
    fn plain(value: Option<&str>) -> Option<&str> {
        value.map(str::trim).filter(|value| !value.is_empty())
    }
    /// A number with a fraction; whole ones may be codes, in which a zero counts.
    fn number(value: &str) -> Option<&str> {
        let (whole, fraction) = value.split_once('.')?;
        let digits = whole.strip_prefix('-').unwrap_or(whole);
        let plain = !digits.is_empty() && digits.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
        plain.then(|| value.trim_end_matches('0').trim_end_matches('.'))
    }
    match (plain(one), plain(other)) {
        (None, None) => true,
        (Some(one), Some(other)) if one == other => true,
        (Some(one), Some(other)) => {
            let flags = |value: &str| value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false");
            match (number(one), number(other)) {
                (None, None) => flags(one) && one.eq_ignore_ascii_case(other),
                (left, right) => left.unwrap_or(one) == right.unwrap_or(other),
            }
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn micros(text: &str) -> Option<i64> {
    text.trim().parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: FieldPolicy, ours: &str, remote: Option<&str>, pushed: Option<&str>, sets: bool) {
        let verdict = on_update(policy, Standing { ours: Some(ours), remote, pushed }, Times::default());
        assert_eq!(verdict == Verdict::Set, sets, "{policy:?} {ours} {remote:?} {pushed:?}: {verdict:?}");
    }

    #[test]
    fn a_value_somebody_wrote_is_not_overwritten_unless_the_policy_says_so() {
        check(FieldPolicy::FillBlank, "VP", None, None, true);
        check(FieldPolicy::FillBlank, "VP", Some(" "), None, true);
        check(FieldPolicy::FillBlank, "VP", Some("Director"), Some("Director"), false);
        check(FieldPolicy::Overwrite, "VP", Some("Director"), None, true);
        check(FieldPolicy::KeepInStep, "VP", Some("Director"), Some("Director"), true);
        check(FieldPolicy::KeepInStep, "VP", Some("Chief"), Some("Director"), false);
        check(FieldPolicy::Never, "VP", None, None, false);
        check(FieldPolicy::CreateOnly, "VP", None, None, false);
    }

    #[test]
    fn a_stage_moves_forward_only() {
        check(FieldPolicy::ForwardOnly, "customer", Some("lead"), None, true);
        check(FieldPolicy::ForwardOnly, "prospect", Some("Customer"), None, false);
        check(FieldPolicy::ForwardOnly, "customer", Some("Sales Qualified Lead"), None, true);
        check(FieldPolicy::ForwardOnly, "customer", Some("our own word"), None, false);
    }

    #[test]
    fn what_the_remote_has_already_is_no_change() {
        let standing = Standing { ours: Some("VP"), remote: Some("VP "), pushed: None };
        assert_eq!(on_update(FieldPolicy::Overwrite, standing, Times::default()), Verdict::Same);
        let standing = Standing { ours: None, remote: Some(" "), pushed: None };
        assert_eq!(on_update(FieldPolicy::Overwrite, standing, Times::default()), Verdict::Same);
    }

    #[test]
    fn a_value_is_one_in_any_of_its_forms_but_a_code_is_no_number() {
        for (one, other, expected) in [
            ("12.5", "12.50", true),
            ("12", "12.00", true),
            ("-3.10", "-3.1", true),
            ("true", "True", true),
            ("01234", "1234", false),
            ("1.2.3", "1.2.30", false),
            ("a", "A", false),
            ("100", "1", false),
        ] {
            assert_eq!(same(Some(one), Some(other)), expected, "{one} {other}");
            assert_eq!(same(Some(other), Some(one)), expected, "{other} {one}");
        }
        assert!(same(None, Some("  ")) && !same(None, Some("x")));
    }

    #[test]
    fn the_newer_side_wins_and_the_remote_where_nobody_knows() {
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_microsecond();
        let check = |ours: Option<&str>, remote: Option<&str>, pushed: Option<&str>, sets: bool| {
            let standing = Standing { ours: Some("VP"), remote: Some("Chief"), pushed };
            let verdict = on_update(FieldPolicy::NewestWins, standing, Times { ours: ours.map(at), remote });
            assert_eq!(verdict == Verdict::Set, sets, "{ours:?} {remote:?} {pushed:?}: {verdict:?}");
        };
        check(Some("2026-11-02T10:00:00Z"), Some("2026-11-02T09:00:00+00:00"), None, true);
        check(Some("2026-11-02T10:00:00Z"), Some("2026-11-02T10:00:00Z"), None, false);
        check(Some("2026-11-02T10:00:00Z"), Some("2026-11-02 11:30:00+00"), None, false);
        check(Some("2026-11-02T10:00:00Z"), Some("yesterday"), None, false);
        check(None, Some("2026-11-02T09:00:00Z"), None, false);
        check(None, None, Some("Chief"), true);
    }

    #[test]
    fn a_missing_value_clears_only_what_we_may_write_over() {
        let check = |policy, pushed: Option<&str>, sets: bool| {
            let verdict = on_update(policy, Standing { ours: None, remote: Some("VP"), pushed }, Times::default());
            assert_eq!(verdict == Verdict::Set, sets, "{policy:?} {pushed:?}: {verdict:?}");
        };
        check(FieldPolicy::Overwrite, None, true);
        check(FieldPolicy::KeepInStep, Some("VP"), true);
        check(FieldPolicy::KeepInStep, Some("CTO"), false);
        check(FieldPolicy::FillBlank, Some("VP"), false);
        check(FieldPolicy::ForwardOnly, Some("VP"), false);
        check(FieldPolicy::CrmOwned, Some("VP"), false);
        check(FieldPolicy::Never, Some("VP"), false);
    }
}
