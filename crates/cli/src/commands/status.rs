pub(crate) async fn run(_: &crate::args::Global, _: &crate::console::Console) -> Result<crate::exit_code::Code, crate::failure::Failure> { Ok(crate::exit_code::Code::Done) }
pub(crate) async fn runs(_: &crate::args::Global, _: Option<&crate::args::RunsCommand>, _: u32, _: &crate::console::Console) -> Result<crate::exit_code::Code, crate::failure::Failure> { Ok(crate::exit_code::Code::Done) }
