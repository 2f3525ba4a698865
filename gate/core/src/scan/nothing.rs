//! A push without objects, for the scanner's proof.

use std::ops::ControlFlow;

use bstr::BStr;
use proto::ObjectId;

use super::item::{Item, NewObjects, Stop};

/// A push with nothing in it: what is scanned then is the canaries.
#[derive(Debug)]
pub(super) struct Nothing;

impl NewObjects for Nothing {
    fn bytes(&self) -> u64 {
        0
    }

    fn each(&self, _: &mut dyn FnMut(Item<'_>) -> Result<(), Stop>) -> Result<(), Stop> {
        Ok(())
    }

    fn read(&self, _: &ObjectId, _: &mut Vec<u8>) -> Result<(), Stop> {
        Ok(())
    }

    fn origin_has_path(&self, _: &BStr) -> Result<bool, Stop> {
        Ok(false)
    }

    fn origin_blobs(
        &self,
        _: Option<&BStr>,
        _: &mut dyn FnMut(&BStr, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Stop> {
        Ok(())
    }

    fn origin_commits(&self, _: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Stop> {
        Ok(())
    }
}
