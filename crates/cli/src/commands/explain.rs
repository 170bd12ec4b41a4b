pub(crate) async fn run(_: &crate::args::Global, _: &str, _: &crate::console::Console) -> Result<crate::exit_code::Code, crate::failure::Failure> { Ok(crate::exit_code::Code::Done) }
