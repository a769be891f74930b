//! A stream as lines of JSON.

use std::io;

use futures::{SinkExt, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{ReadHalf, WriteHalf};
use tokio_util::codec::{FramedRead, FramedWrite, LinesCodec, LinesCodecError};

use super::LONGEST_LINE;
use crate::world::Stream;

/// What the other side says.
pub struct Reader(FramedRead<ReadHalf<Stream>, LinesCodec>);

/// What this side says.
pub struct Writer(FramedWrite<WriteHalf<Stream>, LinesCodec>);

/// Both directions of a stream.
pub fn lines(stream: Stream) -> (Reader, Writer) {
    let (read, write) = tokio::io::split(stream);
    let reader = FramedRead::new(read, LinesCodec::new_with_max_length(LONGEST_LINE));
    (Reader(reader), Writer(FramedWrite::new(write, LinesCodec::new())))
}

impl Reader {
    /// The next line; `None` where the other side has ended. May be dropped while it waits.
    ///
    /// # Errors
    /// Where the stream breaks, or the line is not such a thing.
    pub async fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(line) = self.0.next().await else { return Ok(None) };
        serde_json::from_str(&line.map_err(broken)?).map(Some).map_err(io::Error::from)
    }
}

impl Writer {
    /// Writes a line, once [`flush`](Writer::flush) is called or there are many.
    ///
    /// # Errors
    /// Where the stream breaks.
    pub async fn feed(&mut self, what: &impl Serialize) -> io::Result<()> {
        self.0.feed(serde_json::to_string(what)?).await.map_err(broken)
    }

    /// Has everything that was written sent.
    ///
    /// # Errors
    /// Where the stream breaks.
    pub async fn flush(&mut self) -> io::Result<()> {
        SinkExt::<String>::flush(&mut self.0).await.map_err(broken)
    }

    /// Writes a line, and sends it.
    ///
    /// # Errors
    /// Where the stream breaks.
    pub async fn say(&mut self, what: &impl Serialize) -> io::Result<()> {
        self.feed(what).await?;
        self.flush().await
    }
}

/// A line that is too long is none.
fn broken(error: LinesCodecError) -> io::Error {
    match error {
        LinesCodecError::Io(error) => error,
        LinesCodecError::MaxLineLengthExceeded => {
            io::Error::new(io::ErrorKind::InvalidData, "a line without an end")
        }
    }
}
