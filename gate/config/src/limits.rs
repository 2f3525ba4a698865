//! Every wait, size and count, with its name and its default.

use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::{ByteSize, Period};

/// What the gate waits for and how much it takes. A limit that is met is named in the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Until a connection to the origin stands, name look-up, TLS and ssh's key exchange included; and how long a question
    /// to it may go unanswered before it is asked once more.
    pub connect: Period,
    /// Until the origin has listed its refs and sent what is new; a request that waits longer fails.
    pub refresh: Period,
    /// The same for a repository that has no mirror yet.
    pub first_mirror: Period,
    /// How long the origin may go on sending what is new, behind those who waited for it.
    pub fetch: Period,
    /// Until a client has said what it wants: the request line, the HTTP headers.
    pub request: Period,
    /// How long a client may neither send nor take a byte.
    pub client_idle: Period,
    /// How long a session waits for its place when all are taken.
    pub session_queue: Period,
    /// One run of the scanner.
    pub scan: Period,
    /// How long a push waits for a free scanner.
    pub scan_queue: Period,
    /// How long a scanner that was started for the push likely to come next waits for it.
    pub scanner_idle: Period,
    /// From the first byte of a forwarded push to the origin's report.
    pub forward: Period,
    /// The longest silence before a client is sent a keepalive, where the protocol has a sideband.
    pub keepalive: Period,
    /// How long no connection is accepted after the system refused one, such as for want of file descriptors.
    pub accept_pause: Period,
    /// How long a mirror that nobody asks for stays open (on disk it stays), and a connection to an ssh origin that nobody
    /// uses.
    pub mirror_idle: Period,
    /// How long sessions may go on after the gate was told to stop.
    pub drain: Period,

    /// Sessions at once, over all doors.
    #[serde(deserialize_with = "above_zero")]
    pub sessions: usize,
    /// Sessions at once on one repository.
    #[serde(deserialize_with = "above_zero")]
    pub sessions_per_repo: usize,
    /// Sessions at once on one connection: channels of ssh, streams of HTTP/2.
    #[serde(deserialize_with = "above_zero")]
    pub sessions_per_connection: usize,
    /// Mirrors made for patterned repositories.
    #[serde(deserialize_with = "above_zero")]
    pub mirrors: usize,
    /// Ref commands in one push.
    #[serde(deserialize_with = "above_zero")]
    pub commands: usize,
    /// Wants in one fetch.
    #[serde(deserialize_with = "above_zero")]
    pub wants: usize,
    /// Haves in one fetch.
    #[serde(deserialize_with = "above_zero")]
    pub haves: usize,

    /// Generated packs kept to answer again, of one repository.
    pub kept_packs: ByteSize,
    /// All push options of one push, in bytes on the wire.
    pub push_options: ByteSize,
    /// A pushed pack, in bytes on the wire.
    pub pack: ByteSize,
    /// One pushed object, in bytes as git counts them.
    pub object: ByteSize,
    /// Deltas upon deltas in a pushed pack.
    #[serde(deserialize_with = "above_zero")]
    pub delta_depth: usize,
    /// Archives within each other that are opened to be scanned.
    #[serde(deserialize_with = "above_zero")]
    pub archive_depth: usize,
    /// Files within one archive.
    #[serde(deserialize_with = "above_zero")]
    pub archive_files: usize,
    /// What the archives of one push may hold, unpacked.
    pub archive_bytes: ByteSize,
    /// Bytes that one received byte may become, over a whole pack, a whole compressed request or an archive.
    #[serde(deserialize_with = "above_zero")]
    pub inflate_ratio: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Period::from_secs(10),
            refresh: Period::from_secs(30),
            first_mirror: Period::from_secs(30 * 60),
            fetch: Period::from_secs(6 * 60 * 60),
            request: Period::from_secs(10),
            client_idle: Period::from_secs(60),
            session_queue: Period::from_secs(30),
            scan: Period::from_secs(120),
            scan_queue: Period::from_secs(60),
            scanner_idle: Period::from_secs(30),
            forward: Period::from_secs(120),
            keepalive: Period::from_secs(5),
            accept_pause: Period::from_millis(100),
            mirror_idle: Period::from_secs(10 * 60),
            drain: Period::from_secs(30),
            sessions: 512,
            sessions_per_repo: 128,
            sessions_per_connection: 32,
            mirrors: 10_000,
            commands: 10_000,
            wants: 100_000,
            haves: 100_000,
            kept_packs: ByteSize::gib(2),
            push_options: ByteSize::kib(64),
            pack: ByteSize::gib(2),
            object: ByteSize::mib(256),
            delta_depth: 4095,
            archive_depth: 4,
            archive_files: 100_000,
            archive_bytes: ByteSize::gib(1),
            inflate_ratio: 200,
        }
    }
}

fn above_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    match usize::deserialize(deserializer)? {
        0 => Err(D::Error::custom(
            "a limit of 0 lets nothing through; leave the key out for its default",
        )),
        count => Ok(count),
    }
}
