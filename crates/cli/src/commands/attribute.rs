//! `attribute`: credit for the conversions in a file, without a project.

use headwater_runtime::Error;
use headwater_runtime::tools::attribute::{self, Input, Options};
use serde_json::json;

use crate::args::{AttributeArgs, Format};
use crate::console::Console;
use crate::exit_code::Code;
use crate::failure::Failure;

pub(crate) fn run(args: &AttributeArgs, console: &Console) -> Result<Code, Failure> {
    let input = match &args.conversions {
        Some(conversions) => Input::Journeys { touches: &args.file, conversions },
        None => Input::Paths(&args.file),
    };
    let options = Options { order: args.order, lookback_days: args.lookback_days, half_life_days: args.half_life_days };
    let answer = attribute::attribute(input, &args.model, options)?;
    let mut csv = Vec::new();
    attribute::write_csv(&answer, &mut csv).map_err(|error| Failure::output(&error))?;
    match &args.out {
        Some(path) => std::fs::write(path, &csv).map_err(|source| Error::File {
            path: path.display().to_string(),
            doing: "written",
            source,
        })?,
        None if console.format() == Format::Json => {
            let channels: Vec<_> = answer
                .channels
                .iter()
                .map(|credit| json!({ "channel": credit.channel, "conversions": credit.conversions, "value": credit.value }))
                .collect();
            let whole = json!({
                "version": 1, "model": answer.model, "model_version": answer.model_version, "channels": channels,
                "conversions": answer.conversions, "value": answer.value,
                "unattributed": answer.unattributed, "unattributed_value": answer.unattributed_value, "repeated": answer.repeated,
            });
            console.line(&whole.to_string())?;
        }
        None => console.write(&String::from_utf8_lossy(&csv))?,
    }
    if answer.repeated > 0 {
        console.note(&format!("{} repeated conversions were passed over: an earlier row has the same id", answer.repeated));
    }
    if answer.unattributed > 0.0 {
        let why = if answer.model == "counterfactual" {
            "would have come anyway, belong to no single channel, or have no touch in the window"
        } else {
            "have no touch in the window and belong to no channel"
        };
        console.note(&format!("{} of {} conversions {why}", answer.unattributed, answer.conversions));
    }
    Ok(Code::Done)
}
