//! A push without objects, for the scanner's proof: what is scanned then is the canaries.

use std::io::Write;
use std::ops::ControlFlow;

use bstr::BStr;
use gate_store::Interrupt;
use proto::ObjectId;

use super::item::{Item, NewObjects, Stop};

#[derive(Debug)]
pub(super) struct Nothing;

impl NewObjects for Nothing {
    fn bytes(&self) -> u64 {
        0
    }

    fn each(
        &self,
        _: &Interrupt,
        _: &mut dyn FnMut(Item<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        Ok(())
    }

    fn size(&self, _: &ObjectId) -> Result<u64, Stop> {
        Ok(0)
    }

    fn write(&self, _: &ObjectId, _: &mut dyn Write) -> Result<(), Stop> {
        Ok(())
    }

    fn origin_has_path(&self, _: &BStr) -> Result<bool, Stop> {
        Ok(false)
    }

    fn origin_blobs(
        &self,
        _: Option<&BStr>,
        _: &Interrupt,
        _: &mut dyn FnMut(&BStr, &ObjectId) -> ControlFlow<()>,
    ) -> Result<(), Stop> {
        Ok(())
    }

    fn origin_commits(
        &self,
        _: &Interrupt,
        _: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), Stop> {
        Ok(())
    }
}
