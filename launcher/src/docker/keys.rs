//! Finds ctrl-p ctrl-q among what a person types. Everything else passes as it is.

/// Keeps the first key back until the second one is known.
#[derive(Debug, Default)]
pub(super) struct Keys {
    held: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detach {
    Yes,
    No,
}

const CTRL_P: u8 = 0x10;
const CTRL_Q: u8 = 0x11;

impl Keys {
    /// Gives the bytes to pass on, and whether the person wants to leave.
    pub(super) fn pass(&mut self, typed: &[u8]) -> (Vec<u8>, Detach) {
        let mut passed = Vec::with_capacity(typed.len() + 1);
        for &byte in typed {
            if self.held {
                self.held = false;
                if byte == CTRL_Q {
                    return (passed, Detach::Yes);
                }
                passed.push(CTRL_P);
            }
            if byte == CTRL_P {
                self.held = true;
            } else {
                passed.push(byte);
            }
        }
        (passed, Detach::No)
    }

    pub(super) fn holds(&self) -> bool {
        self.held
    }

    /// The second key did not come.
    pub(super) fn release(&mut self) -> Vec<u8> {
        if std::mem::take(&mut self.held) { vec![CTRL_P] } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_passes_but_the_two_keys() {
        let all: Vec<u8> = (0..=255).collect();
        let mut keys = Keys::default();
        // 0x10 0x11 stand side by side here: take them apart.
        let (mut passed, detach) = keys.pass(&all[..=0x10]);
        assert_eq!(detach, Detach::No);
        passed.extend(keys.release());
        passed.extend(keys.pass(&all[0x11..]).0);
        assert_eq!(passed, all);
    }

    #[test]
    fn the_keys_are_found_wherever_they_are_cut() {
        let typed = b"ab\x10\x10\x11cd";
        for cut in 0..=typed.len() {
            let mut keys = Keys::default();
            let (mut passed, mut detach) = keys.pass(&typed[..cut]);
            if detach == Detach::No {
                let (more, then) = keys.pass(&typed[cut..]);
                passed.extend(more);
                detach = then;
            }
            assert_eq!((passed.as_slice(), detach), (&b"ab\x10"[..], Detach::Yes), "{cut}");
        }
    }
}
