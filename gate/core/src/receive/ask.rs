//! What the client asks for, read up to the first byte of its pack.

use proto::ObjectFormat;
use proto::receive_pack::{Event, Limits, PushRequest, ReceivePack};

use super::Context;
use crate::{Client, Error};

/// Reads commands and push options; with them come the bytes that followed. `None` if the client wants nothing.
pub(super) async fn read(
    client: &mut Client,
    context: &Context,
    format: ObjectFormat,
) -> Result<Option<(PushRequest, Vec<u8>)>, Error> {
    let own = &context.config.limits;
    let limits = Limits {
        commands: own.commands,
        push_options: usize::try_from(own.push_options.bytes()).unwrap_or(usize::MAX),
        ..Limits::default()
    };
    let mut machine = ReceivePack::new(format, limits);
    loop {
        match machine.poll_event() {
            Ok(Some(Event::Request(request))) => {
                return Ok(Some((request, machine.take_rest())));
            }
            Ok(Some(Event::Nothing)) => return Ok(None),
            Ok(None) => {}
            Err(error) => return Err(Error::client(error.to_string())),
        }
        match client.recv().await? {
            Some(bytes) => machine.handle_input(&bytes),
            // `git push` with nothing to push leaves after the advertisement
            None if machine.is_untouched() => return Ok(None),
            None => return Err(Error::client("the client hung up within its commands")),
        }
    }
}
