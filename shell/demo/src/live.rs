//! stub
use crate::cli::{DemoArgs, DemoError};
pub(crate) fn run(args: &DemoArgs) -> Result<usize, DemoError> {
    let _ = crate::scene::Scene::new(args, 120.0)?;
    Ok(0)
}
