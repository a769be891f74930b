//! One question to one resolver (RFC 1035), over UDP and, where the answer was cut short, over TCP (RFC 7766).
//!
//! Why beside `names`: a resolver's library asks again, asks others, and hides codes and times to live, which are what a DNS probe is about.
//! A question is sent once: a packet that is lost is the probe's timeout.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_resolver::proto::op::{self, Message, MessageType};
use hickory_resolver::proto::rr::{self, Name, RData};
use hickory_resolver::system_conf::read_system_conf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::model::lookup::{Answers, Query, RecordType};
use crate::model::time::Duration;
use crate::model::url::bare;
use crate::world::Stream;

/// The largest answer over UDP that is taken; without EDNS a resolver sends at most 512 bytes.
const LARGEST: usize = 4096;

/// The first resolver that this machine names.
pub fn of_the_system() -> Option<SocketAddr> {
    let (config, _) = read_system_conf().ok()?;
    let server = config.name_servers().first()?;
    let port = server.connections.first().map_or(53, |connection| connection.port);
    Some(SocketAddr::new(server.ip, port))
}

/// Asks a resolver.
///
/// # Errors
/// Where it cannot be reached, or its answer is none.
pub async fn ask(resolver: SocketAddr, question: &Query) -> io::Result<Answers> {
    let asked = message(question)?;
    let from = match resolver {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(from).await?;
    // Connected, so that nobody else can answer, and a closed port is told.
    socket.connect(resolver).await?;
    socket.send(&asked.to_vec().map_err(invalid)?).await?;
    let mut bytes = [0; LARGEST];
    loop {
        let length = socket.recv(&mut bytes).await?;
        match Message::from_vec(&bytes[..length]) {
            // Cut short, or somebody who guesses.
            Ok(answer) if !answers(&answer, &asked) => {}
            Ok(answer) if answer.metadata.truncation => break,
            Ok(answer) => return Ok(read(&answer, question)),
            Err(error) => return Err(invalid(error)),
        }
    }
    let stream = TcpStream::connect(resolver).await?;
    over(Box::new(stream), question).await
}

/// Asks a resolver over a connection to it.
///
/// # Errors
/// Where the connection breaks, or its answer is none.
pub async fn over(mut stream: Stream, question: &Query) -> io::Result<Answers> {
    let asked = message(question)?;
    let bytes = asked.to_vec().map_err(invalid)?;
    stream.write_u16(u16::try_from(bytes.len()).map_err(invalid)?).await?;
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    let mut bytes = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut bytes).await?;
    let answer = Message::from_vec(&bytes).map_err(invalid)?;
    if !answers(&answer, &asked) {
        return Err(invalid("an answer to another question"));
    }
    Ok(read(&answer, question))
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn message(question: &Query) -> io::Result<Message> {
    let mut name = Name::from_ascii(&question.name).map_err(invalid)?;
    // No search list is tried.
    name.set_fqdn(true);
    let of = match question.of {
        RecordType::A => rr::RecordType::A,
        RecordType::Aaaa => rr::RecordType::AAAA,
        RecordType::Cname => rr::RecordType::CNAME,
        RecordType::Txt => rr::RecordType::TXT,
    };
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(op::Query::query(name, of));
    Ok(message)
}

/// Whether it is the answer to what was asked (RFC 5452, section 9.1).
fn answers(answer: &Message, asked: &Message) -> bool {
    answer.metadata.id == asked.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && answer.queries == asked.queries
}

fn read(answer: &Message, question: &Query) -> Answers {
    let record = |data: &RData| match (data, question.of) {
        (RData::A(address), RecordType::A) => Some(address.0.to_string()),
        (RData::AAAA(address), RecordType::Aaaa) => Some(address.0.to_string()),
        (RData::CNAME(name), RecordType::Cname) => Some(bare(&name.0.to_ascii())),
        (RData::TXT(text), RecordType::Txt) => {
            Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned())
        }
        _ => None,
    };
    let ttl = answer.answers.iter().map(|record| record.ttl).min().unwrap_or(0);
    Answers {
        code: u16::from(answer.metadata.response_code),
        records: answer.answers.iter().filter_map(|each| record(&each.data)).collect(),
        ttl: Duration::from_secs(ttl.into()),
    }
}
