//! A push without objects, for the scanner's proof: what is scanned then is the canaries.

use std::io::Write;

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
}
