//! Does every name exist where it stands, and is every function given what it can take?

use headwater_sdk::document::nearest;

use super::parser::{Kind, Parsed};
use super::{Comparison, ExprError, Step, Variable};
use crate::engine::Value;

/// What is known of a value when the file is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Nothing: it comes from a remote.
    Any,
    /// True or false.
    Bool,
    /// A number.
    Number,
    /// Text; a time is text too.
    Text,
    /// A list.
    List,
    /// Keys and values.
    Map,
}

impl Type {
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Any,
            Value::Bool(_) => Self::Bool,
            Value::Int(_) | Value::Number(_) => Self::Number,
            Value::Text(_) => Self::Text,
            Value::List(_) => Self::List,
            Value::Map(_) => Self::Map,
        }
    }

    /// Whether a value of this kind may be of that one.
    pub(crate) fn fits(self, wanted: Self) -> bool {
        self == wanted || self == Self::Any || wanted == Self::Any
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "text",
            Self::List => "a list",
            Self::Map => "keys and values",
        }
    }
}

/// What is known of one variable in a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It may have any keys: a remote decides.
    Anything,
    /// It has these keys and no others.
    Keys(Vec<(String, Type)>),
}

/// The variables of one place, and what the place is called in messages.
#[derive(Debug, Clone)]
pub struct Names {
    place: &'static str,
    known: Vec<(Variable, Known)>,
}

impl Names {
    /// A place without variables; `place` completes "… does not exist in".
    #[must_use]
    pub fn new(place: &'static str) -> Self {
        Self { place, known: Vec::new() }
    }

    /// With one variable more.
    #[must_use]
    pub fn with(mut self, variable: Variable, known: Known) -> Self {
        self.known.retain(|(own, _)| *own != variable);
        self.known.push((variable, known));
        self
    }

    /// The same variables, under another name of the place.
    #[must_use]
    pub fn at(mut self, place: &'static str) -> Self {
        self.place = place;
        self
    }

    fn find(&self, at: usize, variable: Variable) -> Result<&Known, ExprError> {
        let found = self.known.iter().find(|(own, _)| *own == variable);
        found.map(|(_, known)| known).ok_or_else(|| {
            let there: Vec<&str> = self.known.iter().map(|(own, _)| own.name()).collect();
            let error = ExprError::new(at, format!("`{}` does not exist in {}", variable.name(), self.place));
            error.help(if there.is_empty() { "no variable does".to_owned() } else { format!("there are: {}", there.join(", ")) })
        })
    }
}

/// The kind of value that the expression gives.
pub(super) fn check(parsed: &Parsed, names: &Names) -> Result<Type, ExprError> {
    let at = parsed.at;
    match &parsed.kind {
        Kind::Literal(value) => Ok(Type::of(value)),
        Kind::Text(parts) => {
            for part in parts {
                expect(part, names, &[Type::Text, Type::Number, Type::Bool], "text with `${…}` in it")?;
            }
            Ok(Type::Text)
        }
        Kind::Variable(variable, steps) => variable_type(at, *variable, steps, names),
        Kind::Steps(inner, steps) => {
            expect(inner, names, &[Type::List, Type::Map], "a key or place in it")?;
            Ok(if steps.contains(&Step::Each) { Type::List } else { Type::Any })
        }
        Kind::Call(function, arguments) => {
            for (argument, wanted) in arguments.iter().zip(function.parameters()) {
                let found = check(argument, names)?;
                if !wanted.iter().any(|wanted| found.fits(*wanted)) {
                    let wanted: Vec<&str> = wanted.iter().map(|ty| ty.name()).collect();
                    let message = format!("`{}` takes {}, not {}", function.name(), wanted.join(" or "), found.name());
                    return Err(ExprError::new(argument.at, message));
                }
            }
            Ok(function.gives())
        }
        Kind::List(items) => {
            for item in items {
                check(item, names)?;
            }
            Ok(Type::List)
        }
        Kind::Not(inner) => expect(inner, names, &[Type::Bool], "`not`").map(|_| Type::Bool),
        Kind::And(a, b) | Kind::Or(a, b) => {
            expect(a, names, &[Type::Bool], "`and` and `or`")?;
            expect(b, names, &[Type::Bool], "`and` and `or`").map(|_| Type::Bool)
        }
        Kind::Compare(comparison, a, b) => compared(*comparison, a, b, names),
        Kind::Default(a, b) => Ok(either(check(a, names)?, check(b, names)?)),
        Kind::If(condition, a, b) => {
            expect(condition, names, &[Type::Bool], "`if`")?;
            Ok(either(check(a, names)?, check(b, names)?))
        }
    }
}

fn either(a: Type, b: Type) -> Type {
    if a == b { a } else { Type::Any }
}

fn expect(parsed: &Parsed, names: &Names, wanted: &[Type], by: &str) -> Result<Type, ExprError> {
    let found = check(parsed, names)?;
    if wanted.iter().any(|wanted| found.fits(*wanted)) {
        return Ok(found);
    }
    let wanted: Vec<&str> = wanted.iter().map(|ty| ty.name()).collect();
    Err(ExprError::new(parsed.at, format!("{by} needs {}, not {}", wanted.join(" or "), found.name())))
}

fn compared(comparison: Comparison, a: &Parsed, b: &Parsed, names: &Names) -> Result<Type, ExprError> {
    let (left, right) = (check(a, names)?, check(b, names)?);
    match comparison {
        Comparison::Equal | Comparison::Unequal => {
            if !left.fits(right) {
                let message = format!("{} is never equal to {}", left.name(), right.name());
                return Err(ExprError::new(a.at, message).help("make them the same kind, by `text(…)` for example"));
            }
        }
        Comparison::In => {
            if !right.fits(Type::List) {
                return Err(ExprError::new(b.at, format!("`in` needs a list, not {}", right.name())));
            }
        }
        Comparison::Less | Comparison::LessOrEqual | Comparison::Greater | Comparison::GreaterOrEqual => {
            let ordered = |ty: Type| ty.fits(Type::Number) || ty.fits(Type::Text);
            if !left.fits(right) || !ordered(left) || !ordered(right) {
                return Err(ExprError::new(a.at, format!("{} and {} have no order", left.name(), right.name())));
            }
        }
    }
    Ok(Type::Bool)
}

fn variable_type(at: usize, variable: Variable, steps: &[(usize, Step)], names: &Names) -> Result<Type, ExprError> {
    let known = match names.find(at, variable)? {
        Known::Anything => {
            let each = steps.iter().any(|(_, step)| *step == Step::Each);
            return Ok(if each || steps.is_empty() && variable == Variable::Rows {
                Type::List
            } else if steps.is_empty() {
                Type::Map
            } else {
                Type::Any
            });
        }
        Known::Keys(keys) => keys,
    };
    let Some(((at, first), rest)) = steps.split_first() else { return Ok(Type::Map) };
    let Step::Key(key) = first else {
        return Err(ExprError::new(*at, format!("`{}` has keys, not places", variable.name())));
    };
    let Some((_, ty)) = known.iter().find(|(own, _)| own == key) else {
        let error = ExprError::new(*at, format!("`{}` has no `{key}`", variable.name()));
        return Err(match nearest(key, known.iter().map(|(own, _)| own.as_str())) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None if known.is_empty() => error.help("it has no keys here"),
            None => {
                let keys: Vec<&str> = known.iter().map(|(own, _)| own.as_str()).collect();
                error.help(format!("it has: {}", keys.join(", ")))
            }
        });
    };
    let Some((at, _)) = rest.first() else { return Ok(*ty) };
    match ty {
        Type::Any | Type::List | Type::Map => {
            Ok(if rest.iter().any(|(_, step)| *step == Step::Each) { Type::List } else { Type::Any })
        }
        Type::Bool | Type::Number | Type::Text => {
            Err(ExprError::new(*at, format!("`{}.{key}` is {}, which has no keys", variable.name(), ty.name())))
        }
    }
}
