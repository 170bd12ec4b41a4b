//! Python's operators.

use jiff::Span;
use jiff::civil::Date;

use super::eval::{Eval, Fail};
use super::py::Py;
use super::time::Moment;
use super::tree::Op;

/// The longest text or list that a multiplication may make.
const MAX_REPEATED: usize = 1024 * 1024;

pub(super) fn binary<'a>(op: Op, left: &Py<'a>, right: &Py<'a>) -> Eval<'a> {
    if matches!(left, Py::Undefined) || matches!(right, Py::Undefined) {
        return Err(Fail::Undefined);
    }
    if let (Op::Mod, Py::Str(format)) = (op, left) {
        return percent(format, right).map(Py::from);
    }
    if let (Some(a), Some(b)) = (left.as_int(), right.as_int()) {
        return integers(op, a, b);
    }
    if let (Some(a), Some(b)) = (left.as_float(), right.as_float()) {
        return floats(op, a, b);
    }
    match op {
        Op::Add => add(left, right),
        Op::Sub => subtract(left, right),
        Op::Mul => multiply(left, right),
        Op::Div | Op::FloorDiv | Op::Mod | Op::Pow => None,
    }
    .ok_or(Fail::Kind)
}

#[expect(clippy::cast_precision_loss, reason = "Python's division of integers gives a float")]
fn integers<'a>(op: Op, a: i128, b: i128) -> Eval<'a> {
    let far = || Fail::new("a number is too large");
    let zero = || Fail::new("a division by zero");
    Ok(match op {
        Op::Add => Py::Int(a.checked_add(b).ok_or_else(far)?),
        Op::Sub => Py::Int(a.checked_sub(b).ok_or_else(far)?),
        Op::Mul => Py::Int(a.checked_mul(b).ok_or_else(far)?),
        Op::Div if b == 0 => return Err(zero()),
        Op::Div => Py::Float(a as f64 / b as f64),
        Op::FloorDiv | Op::Mod => {
            let (quotient, rest) = (a.checked_div(b).ok_or_else(zero)?, a.checked_rem(b).ok_or_else(zero)?);
            let below = rest != 0 && (rest < 0) != (b < 0);
            Py::Int(match op {
                Op::FloorDiv => quotient - i128::from(below),
                _ => rest + if below { b } else { 0 },
            })
        }
        Op::Pow if b < 0 => Py::Float((a as f64).powf(b as f64)),
        Op::Pow => Py::Int(u32::try_from(b).ok().and_then(|b| a.checked_pow(b)).ok_or_else(far)?),
    })
}

fn floats<'a>(op: Op, a: f64, b: f64) -> Eval<'a> {
    if b == 0.0 && matches!(op, Op::Div | Op::FloorDiv | Op::Mod) {
        return Err(Fail::new("a division by zero"));
    }
    Ok(Py::Float(match op {
        Op::Add => a + b,
        Op::Sub => a - b,
        Op::Mul => a * b,
        Op::Div => a / b,
        Op::FloorDiv => (a / b).floor(),
        Op::Mod => a - b * (a / b).floor(),
        Op::Pow => a.powf(b),
    }))
}

fn add<'a>(left: &Py<'a>, right: &Py<'a>) -> Option<Py<'a>> {
    match (left, right) {
        (Py::Str(a), Py::Str(b)) => Some(Py::from(format!("{a}{b}"))),
        (Py::Tuple(a), Py::Tuple(b)) => Some(Py::tuple(a.iter().chain(b.iter()).cloned().collect())),
        (Py::Delta(a), Py::Delta(b)) => a.checked_add(*b).map(Py::Delta),
        (Py::Moment(at), span) | (span, Py::Moment(at)) => shift(at, span, false),
        (Py::Date(day), span) | (span, Py::Date(day)) => shift_day(*day, span, false),
        _ if left.is_sequence() && right.is_sequence() => {
            let mut items = left.items()?;
            items.extend(right.items()?);
            Some(Py::list(items))
        }
        _ => None,
    }
}

fn subtract<'a>(left: &Py<'a>, right: &Py<'a>) -> Option<Py<'a>> {
    match (left, right) {
        (Py::Delta(a), Py::Delta(b)) => a.checked_sub(*b).map(Py::Delta),
        (Py::Moment(a), Py::Moment(b)) if a.offset_secs.is_some() == b.offset_secs.is_some() => {
            a.micros().checked_sub(b.micros()).map(Py::Delta)
        }
        (Py::Date(a), Py::Date(b)) => Some(Py::Delta(i64::try_from(a.duration_since(*b).as_micros()).ok()?)),
        (Py::Moment(at), span) => shift(at, span, true),
        (Py::Date(day), span) => shift_day(*day, span, true),
        _ => None,
    }
}

fn shift<'a>(at: &Moment, by: &Py<'_>, back: bool) -> Option<Py<'a>> {
    at.moved(span(by, back)?).map(Py::Moment)
}

fn shift_day<'a>(day: Date, by: &Py<'_>, back: bool) -> Option<Py<'a>> {
    // Of a shorter time than a day a date knows nothing.
    let by = match by {
        Py::Delta(micros) => Span::new().try_days((if back { -micros } else { *micros }).div_euclid(86_400_000_000)).ok()?,
        other => span(other, back)?,
    };
    day.checked_add(by).ok().map(Py::Date)
}

fn span(by: &Py<'_>, back: bool) -> Option<Span> {
    let span = match by {
        Py::Delta(micros) => Span::new().try_microseconds(*micros).ok()?,
        Py::Calendar(span) => *span,
        _ => return None,
    };
    Some(if back { span.negate() } else { span })
}

fn multiply<'a>(left: &Py<'a>, right: &Py<'a>) -> Option<Py<'a>> {
    let (value, times) = match (left.as_int(), right.as_int()) {
        (_, Some(times)) => (left, times),
        (Some(times), _) => (right, times),
        _ => return None,
    };
    if let Py::Delta(micros) = value {
        return micros.checked_mul(i64::try_from(times).ok()?).map(Py::Delta);
    }
    let length = value.len()?;
    // Nothing stays nothing, however often.
    let times = if length == 0 { 0 } else { usize::try_from(times.max(0)).ok()? };
    (length.checked_mul(times)? <= MAX_REPEATED).then_some(())?;
    match value {
        Py::Str(text) => Some(Py::from(text.repeat(times))),
        _ if value.is_sequence() => {
            let items = value.items()?;
            Some(Py::list(std::iter::repeat_n(items, times).flatten().collect()))
        }
        _ => None,
    }
}

/// `'%s-%d' % values`.
pub(super) fn percent(format: &str, values: &Py<'_>) -> Result<String, Fail> {
    let mut rest = match values {
        Py::Tuple(items) => items.to_vec(),
        other => vec![other.clone()],
    }
    .into_iter();
    let mut out = String::new();
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let mut spec = String::new();
        while let Some(next) = letters.next_if(|next| next.is_ascii_digit() || matches!(next, '-' | '+' | ' ' | '.' | '0' | '#'))
        {
            spec.push(next);
        }
        let code = letters.next().ok_or_else(|| Fail::new("a format ends in the middle"))?;
        if code == '%' {
            out.push('%');
            continue;
        }
        let value = if code == '(' {
            let name: String = letters.by_ref().take_while(|next| *next != ')').collect();
            letters.next();
            values.item(&Py::from(name))
        } else {
            rest.next()
        };
        let value = value.ok_or(Fail::Kind)?;
        out.push_str(&padded(&value, &spec, code)?);
    }
    Ok(out)
}

/// One value in the form that a format asks for.
pub(super) fn padded(value: &Py<'_>, spec: &str, code: char) -> Result<String, Fail> {
    let number = || Fail::Kind;
    let (width, precision) = spec.trim_start_matches(['-', '+', ' ', '#', '<', '>']).split_once('.').map_or_else(
        || (spec.trim_start_matches(['-', '+', ' ', '#', '<', '>']), None),
        |(width, precision)| (width, precision.parse::<usize>().ok()),
    );
    let text = match code {
        'd' | 'i' | 'u' => match value {
            #[expect(clippy::cast_possible_truncation, reason = "Python cuts a float here too")]
            Py::Float(number) => (number.trunc() as i128).to_string(),
            other => other.as_int().ok_or_else(number)?.to_string(),
        },
        'f' | 'F' => format!("{:.*}", precision.unwrap_or(6).min(100), value.as_float().ok_or_else(number)?),
        'x' => format!("{:x}", value.as_int().ok_or_else(number)?),
        'r' => {
            let mut out = String::new();
            value.write_repr(&mut out);
            out
        }
        _ => value.to_text(),
    };
    let least = width.trim_start_matches('0').parse::<usize>().unwrap_or(0).min(1_000);
    Ok(match (spec.starts_with('-') || spec.starts_with('<'), width.starts_with('0')) {
        (true, _) => format!("{text:<least$}"),
        (false, true) => format!("{text:0>least$}"),
        (false, false) => format!("{text:>least$}"),
    })
}
