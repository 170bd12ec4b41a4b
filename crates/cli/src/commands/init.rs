//! `init`: a project that runs at once.

use std::path::Path;

use headwater_runtime::demo::{self, Template};
use serde_json::json;

use crate::args::TemplateName;
use crate::console::Console;
use crate::exit_code::Code;
use crate::failure::Failure;

pub(crate) fn init(dir: &Path, template: TemplateName, console: &Console) -> Result<Code, Failure> {
    let template = match template {
        TemplateName::Demo => Template::Demo,
        TemplateName::Blank => Template::Blank,
    };
    let created = demo::init(dir, template)?;
    let next = if dir == Path::new(".") { String::new() } else { format!(" -C {}", dir.display()) };
    let answer = json!({ "version": 1, "dir": created.dir, "files": created.files });
    console.answer(&answer, || {
        let files: Vec<String> = created.files.iter().map(|file| format!("  {}", file.display())).collect();
        format!("made {}\n{}\n\nnext: headwater{next} check, headwater{next} sync", created.dir.display(), files.join("\n"))
    })
}
