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
    pub(super) ours: &'a str,
    pub(super) remote: Option<&'a str>,
    pub(super) pushed: Option<&'a str>,
}

/// What to do with a field of a record that is there already.
pub(super) fn on_update(policy: FieldPolicy, standing: Standing<'_>) -> Verdict {
    let Standing { ours, remote, pushed } = standing;
    let remote = remote.map(str::trim).filter(|value| !value.is_empty());
    if remote == Some(ours.trim()) {
        return Verdict::Same;
    }
    match policy {
        FieldPolicy::Never => Verdict::Keep("the policy says never"),
        FieldPolicy::CreateOnly => Verdict::Keep("the policy says only when the record is made"),
        FieldPolicy::Overwrite => Verdict::Set,
        FieldPolicy::FillBlank => match remote {
            None => Verdict::Set,
            Some(_) => Verdict::Keep("the remote has a value"),
        },
        FieldPolicy::KeepInStep => match remote {
            None => Verdict::Set,
            Some(remote) if pushed.map(str::trim) == Some(remote) => Verdict::Set,
            Some(_) => Verdict::Keep("somebody else changed it in the remote"),
        },
        FieldPolicy::ForwardOnly => match (remote, remote.and_then(stage_rank), stage_rank(ours)) {
            (None, _, _) => Verdict::Set,
            (Some(_), Some(theirs), Some(ours)) if ours > theirs => Verdict::Set,
            (Some(_), Some(_), Some(_)) => Verdict::Keep("the remote is as far or further"),
            (Some(_), _, _) => Verdict::Keep("one of the stages is not a known one"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: FieldPolicy, ours: &str, remote: Option<&str>, pushed: Option<&str>, sets: bool) {
        let verdict = on_update(policy, Standing { ours, remote, pushed });
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
        assert_eq!(on_update(FieldPolicy::Overwrite, Standing { ours: "VP", remote: Some("VP "), pushed: None }), Verdict::Same);
    }
}
