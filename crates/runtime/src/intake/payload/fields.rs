//! The fields of one submission, under the sender's names and under names that a mapping can expect.
//!
//! Every answer keeps the name its sender gave it. Beside it stand aliases where they help a mapping: what the sender *knows* the answer
//! to be (a question of type e-mail is `email` in any language), else our own name for what it is commonly called (`Vorname` is
//! `given_name`; the table is `model::aliases`), and the name in lower snake case (`First Name` is `first_name`). An alias never
//! displaces a field of that name.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use headwater_model::aliases;
use headwater_model::mapping::Role;

use super::Unreadable;
use super::json::Json;

/// Our fields that a common name does not decide: instants, which a form may ask for in any sense, and ids, which are mostly the
/// submission's.
const NOT_BY_NAME: [&str; 5] = ["created_at", "external_id", "is_test", "notice_at", "observed_at"];

/// Folded name → our field, and how telling the name is among those of that field.
static COMMON: LazyLock<HashMap<&'static str, (&'static str, usize)>> = LazyLock::new(|| {
    let pairs = aliases::of_role(Role::Leads).enumerate();
    let pairs = pairs.filter(|(_, (ours, name))| !NOT_BY_NAME.contains(ours) && !aliases::is_vague(name));
    // Of a name that stands twice the first place counts.
    pairs.collect::<Vec<_>>().into_iter().rev().map(|(rank, (ours, name))| (name, (ours, rank))).collect()
});

/// The most answers of one submission. The longest form we know of has about a hundred questions; without a bound, one body could
/// make a page of a hundred thousand columns.
pub(in crate::intake) const MAX_FIELDS: usize = 400;

/// The longest name of a field.
const MAX_NAME_BYTES: usize = 300;

/// One named value; `None` is absent or null.
pub(in crate::intake) type Field = (String, Option<String>);

/// The fields of a submission while it is read.
#[derive(Default)]
pub(in crate::intake) struct Fields {
    answers: Vec<Field>,
    labels: Vec<Field>,
    kinds: Vec<Field>,
    about: Vec<Field>,
    certain: Vec<Field>,
}

impl Fields {
    /// An answer under the sender's name for it.
    pub(in crate::intake) fn put(&mut self, name: &str, value: Option<String>) {
        self.answers.push((name.to_owned(), value));
    }

    /// What the sender's form calls the answer, where that is another name than the one it has.
    pub(in crate::intake) fn label(&mut self, label: &str, value: Option<String>) {
        self.labels.push((label.to_owned(), value));
    }

    /// What the sender knows an answer to be, such as `email`; the first of a kind counts.
    pub(in crate::intake) fn kind(&mut self, kind: &str, value: Option<String>) {
        self.kinds.push((kind.to_owned(), value));
    }

    /// Something about the submission, such as `form_id`; gives way to an answer of that name.
    pub(in crate::intake) fn about(&mut self, name: &str, value: Option<String>) {
        self.about.push((name.to_owned(), value));
    }

    /// What our own reader found out, under a name that begins with `intake.`; nothing of the sender's displaces it.
    pub(in crate::intake) fn certain(&mut self, name: &str, value: Option<String>) {
        self.certain.push((name.to_owned(), value));
    }

    /// The members of an object, and those of the objects in it as `outer.inner`.
    pub(in crate::intake) fn flattened(&mut self, object: Json<'_>) {
        for (name, value) in object.members().unwrap_or_default() {
            match value.is_object().then(|| value.members()).flatten() {
                Some(inner) => {
                    for (inner_name, inner_value) in inner {
                        self.put(&format!("{name}.{inner_name}"), inner_value.cell());
                    }
                }
                None => self.put(&name, value.cell()),
            }
        }
    }

    /// All fields with their aliases, each name once.
    pub(in crate::intake) fn finish(self) -> Result<Vec<Field>, Unreadable> {
        let Self { answers, labels, kinds, about, certain } = self;
        if answers.len() + labels.len() > 2 * MAX_FIELDS {
            return Err(Unreadable::new("too_many_fields", format!("a submission may have {MAX_FIELDS} fields")));
        }
        if answers.iter().chain(&labels).any(|(name, _)| name.len() > MAX_NAME_BYTES) {
            return Err(Unreadable::new("long_field_name", format!("a field's name may have {MAX_NAME_BYTES} bytes")));
        }
        let mut all = Unique::default();
        for (name, value) in &answers {
            // A name that comes twice is, as in every JSON parser, what it was last.
            all.set(name, value.clone());
        }
        for (name, value) in labels.iter().chain(&kinds) {
            all.offer(name, value.clone());
        }
        for (ours, value) in common(&kinds).chain(common(labels.iter().chain(&answers))) {
            all.offer(ours, Some(value));
        }
        for (name, value) in labels.iter().chain(&answers) {
            all.offer(&snake(name), value.clone());
        }
        for (name, value) in about {
            all.offer(&name, value);
        }
        for (name, value) in certain {
            all.set(&name, value);
        }
        Ok(all.fields)
    }
}

/// What fields with common names are to us; where several are the same, the most telling name's, in the order of our table.
fn common<'a>(fields: impl IntoIterator<Item = &'a Field>) -> impl Iterator<Item = (&'static str, String)> {
    let mut best: BTreeMap<usize, (&'static str, String)> = BTreeMap::new();
    for (name, value) in fields {
        // A name of our own does not need another.
        let Some((ours, rank)) = COMMON.get(aliases::fold(strip(name)).as_str()).filter(|(ours, _)| ours != name) else {
            continue;
        };
        if let Some(value) = value.as_ref().filter(|value| !value.trim().is_empty()) {
            best.entry(*rank).or_insert_with(|| (*ours, value.clone()));
        }
    }
    best.into_values()
}

#[derive(Default)]
struct Unique {
    fields: Vec<Field>,
    places: HashMap<String, usize>,
}

impl Unique {
    fn set(&mut self, name: &str, value: Option<String>) {
        match self.places.get(name).and_then(|place| self.fields.get_mut(*place)) {
            Some(field) => field.1 = value,
            None => self.offer(name, value),
        }
    }

    /// Adds a field unless there is one of that name that holds something.
    fn offer(&mut self, name: &str, value: Option<String>) {
        if name.is_empty() {
            return;
        }
        match self.places.get(name).and_then(|place| self.fields.get_mut(*place)) {
            Some(field) if field.1.is_none() => field.1 = value,
            Some(_) => {}
            None => {
                self.places.insert(name.to_owned(), self.fields.len());
                self.fields.push((name.to_owned(), value));
            }
        }
    }
}

/// A name without the wrapping that page builders put around it.
fn strip(name: &str) -> &str {
    ["fields[", "form_fields["]
        .iter()
        .find_map(|wrapper| name.strip_prefix(wrapper)?.strip_suffix(']'))
        .unwrap_or_else(|| name.trim_end_matches("[]"))
}

/// `First Name`, `firstName`, `first-name` and `fields[first_name]` are `first_name`; `formID` is `form_id`.
pub(in crate::intake) fn snake(name: &str) -> String {
    let name = strip(name);
    let mut out = String::with_capacity(name.len() + 4);
    let mut before = None::<char>;
    let mut chars = name.chars().peekable();
    while let Some(char) = chars.next() {
        let starts_word = char.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_numeric()
                    || (before.is_uppercase() && chars.peek().is_some_and(|next| next.is_lowercase()))
            });
        if (!char.is_alphanumeric() || starts_word) && !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
        if char.is_alphanumeric() {
            out.extend(char.to_lowercase());
        }
        before = Some(char);
    }
    out.truncate(out.trim_end_matches('_').len());
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_become_lower_snake_case() {
        for (name, expected) in [
            ("First Name", "first_name"),
            ("firstName", "first_name"),
            ("E-mail *", "e_mail"),
            ("formID", "form_id"),
            ("HTMLPage", "html_page"),
            ("utm_source", "utm_source"),
            ("data.email", "data_email"),
            ("fields[email]", "email"),
            ("form_fields[first_name]", "first_name"),
            ("interests[]", "interests"),
            ("Société", "société"),
            ("What is your budget?", "what_is_your_budget"),
            ("???", ""),
        ] {
            assert_eq!(snake(name), expected, "{name}");
        }
    }

    #[test]
    fn an_alias_never_displaces_a_field() {
        let mut fields = Fields::default();
        fields.put("email", Some("typed".to_owned()));
        fields.put("Email", Some("other".to_owned()));
        fields.kind("email", Some("known".to_owned()));
        fields.about("email", Some("about".to_owned()));
        let all = fields.finish().unwrap();
        let expected = [("email", "typed"), ("Email", "other")];
        assert_eq!(all, expected.map(|(name, value)| (name.to_owned(), Some(value.to_owned()))));
    }

    #[test]
    fn what_the_sender_knows_goes_before_what_the_label_says() {
        let mut fields = Fields::default();
        fields.put("q1", Some("boss@example.com".to_owned()));
        fields.label("Email", Some("boss@example.com".to_owned()));
        fields.put("q2", Some("ada@example.com".to_owned()));
        fields.kind("email", Some("ada@example.com".to_owned()));
        let all = fields.finish().unwrap();
        let email = all.iter().find(|(name, _)| name == "email").unwrap();
        assert_eq!(email.1.as_deref(), Some("ada@example.com"));
    }

    #[test]
    fn a_body_of_thousands_of_fields_is_refused() {
        let mut fields = Fields::default();
        (0..=2 * MAX_FIELDS).for_each(|index| fields.put(&index.to_string(), None));
        assert_eq!(fields.finish().unwrap_err().code, "too_many_fields");
        let mut fields = Fields::default();
        fields.put(&"x".repeat(MAX_NAME_BYTES + 1), None);
        assert_eq!(fields.finish().unwrap_err().code, "long_field_name");
    }

    proptest! {
        #[test]
        fn snake_of_snake_is_itself(name in "[ -~À-ÿ]{0,30}") {
            let once = snake(&name);
            prop_assert_eq!(snake(&once), once);
        }
    }
}
