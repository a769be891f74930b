//! Rows of evidence: one probe's answer, one ledger write, one record read back.
//!
//! They stand in CSV files beside the journal, since a long drill has millions; blocks of them are bound into its chain by
//! digest. One line is one row, and this file alone knows the columns. All times are nanoseconds since the anchor.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::lookup::{NXDOMAIN, SERVFAIL};
use super::name::{Name, ProbeId, Region, Vantage};
use super::time::{At, Duration};

/// What one probe saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When it should have been sent: `s0 + i·period`, fixed at the start (I12).
    pub scheduled: At,
    pub sent: At,
    pub completed: At,
    pub seen: Seen,
    /// The address that was asked.
    pub address: Option<IpAddr>,
    /// The region whose range holds that address, or that the answer named.
    pub answered_by: Option<Region>,
    /// How long each stage took.
    pub stages: Stages,
}

/// The time that each stage of a probe took, in nanoseconds; zero where a stage did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stages {
    pub resolve: u64,
    pub connect: u64,
    pub tls: u64,
    pub first_byte: u64,
    pub body: u64,
}

/// What came of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The expected answer.
    Ok,
    /// No answer, or a wrong one.
    Failed(Failure),
    /// Not sent in time: the prober's own fault, so neither up nor down.
    Gap,
}

/// Why a probe or a write failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Failure {
    /// The name did not resolve.
    Resolve,
    /// The connection was refused.
    Refused,
    /// No route.
    Unreachable,
    /// No answer within the timeout.
    Timeout,
    /// The connection broke.
    Reset,
    /// Not HTTP, or cut off.
    Protocol,
    /// The TLS handshake failed.
    Tls,
    /// An answer with another status.
    Status(u16),
    /// The expected status with another body.
    Body,
    /// The expected status with other headers.
    Header,
    /// The right answer, behind a certificate that ends too soon.
    Certificate,
    /// An answer of DNS with this response code (RFC 6895): 3, `nxdomain`, is a name that does not exist.
    Rcode(u16),
    /// Records that are not the expected ones.
    Records,
    /// The expected records, with another time to live.
    Ttl,
    /// A gRPC service that says that it does not serve.
    NotServing,
    /// A gRPC answer with another status than 0.
    Grpc(u16),
    /// An answer without the data that it was asked for.
    NoData,
    /// A value that is not the expected one.
    Value,
}

impl Failure {
    fn write(self, row: &mut String) {
        let word = match self {
            Failure::Resolve => "resolve",
            Failure::Refused => "refused",
            Failure::Unreachable => "unreachable",
            Failure::Timeout => "timeout",
            Failure::Reset => "reset",
            Failure::Protocol => "protocol",
            Failure::Tls => "tls",
            Failure::Body => "body",
            Failure::Header => "header",
            Failure::Certificate => "certificate",
            Failure::Rcode(SERVFAIL) => "servfail",
            Failure::Rcode(NXDOMAIN) => "nxdomain",
            Failure::Records => "records",
            Failure::Ttl => "ttl",
            Failure::NotServing => "not-serving",
            Failure::NoData => "no-data",
            Failure::Value => "value",
            Failure::Status(code) => return number(row, STATUS, code),
            Failure::Rcode(code) => return number(row, RCODE, code),
            Failure::Grpc(code) => return number(row, GRPC, code),
        };
        row.push_str(word);
    }

    fn read(text: &str) -> Option<Failure> {
        Some(match text {
            "resolve" => Failure::Resolve,
            "refused" => Failure::Refused,
            "unreachable" => Failure::Unreachable,
            "timeout" => Failure::Timeout,
            "reset" => Failure::Reset,
            "protocol" => Failure::Protocol,
            "tls" => Failure::Tls,
            "body" => Failure::Body,
            "header" => Failure::Header,
            "certificate" => Failure::Certificate,
            "servfail" => Failure::Rcode(SERVFAIL),
            "nxdomain" => Failure::Rcode(NXDOMAIN),
            "records" => Failure::Records,
            "ttl" => Failure::Ttl,
            "not-serving" => Failure::NotServing,
            "no-data" => Failure::NoData,
            "value" => Failure::Value,
            other => {
                let of = |prefix| other.strip_prefix(prefix).and_then(|code| code.parse().ok());
                let status = of(STATUS).map(Failure::Status);
                status.or_else(|| of(RCODE).map(Failure::Rcode)).or_else(|| of(GRPC).map(Failure::Grpc))?
            }
        })
    }
}

const STATUS: &str = "status-";
const RCODE: &str = "rcode-";
const GRPC: &str = "grpc-";

fn number(row: &mut String, word: &str, code: u16) {
    let _ = write!(row, "{word}{code}");
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        f.write_str(&text)
    }
}

/// The outcome of a ledger write: nobody knows is an outcome of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteSeen {
    /// Acknowledged, by the primary of this epoch.
    Ok { epoch: u64 },
    /// Refused: surely not stored.
    Failed(Failure),
    /// No answer: stored or not.
    Unknown(Failure),
}

/// One write of the ledger's client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// From 1, without gaps; a write that was not sent in time has a number too, and failed.
    pub number: u64,
    pub scheduled: At,
    pub sent: At,
    pub completed: At,
    pub seen: WriteSeen,
    pub address: Option<IpAddr>,
}

impl Write {
    /// As a probe of the write path, of which one is due each `period`: one that was not sent in time says nothing.
    pub fn as_sample(&self, period: Duration) -> Sample {
        let seen = match self.seen {
            _ if self.sent.since(self.scheduled).nanos() > period.nanos() / 2 => Seen::Gap,
            WriteSeen::Ok { .. } => Seen::Ok,
            WriteSeen::Failed(failure) | WriteSeen::Unknown(failure) => Seen::Failed(failure),
        };
        Sample {
            scheduled: self.scheduled,
            sent: self.sent,
            completed: self.completed,
            seen,
            address: self.address,
            answered_by: None,
            stages: Stages::default(),
        }
    }
}

/// One record as it was read back, in the order of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub number: u64,
    /// The epoch of the primary that took it.
    pub epoch: u64,
    /// Whether its payload still has the digest that it was written with.
    pub intact: bool,
}

/// A file of rows in the evidence folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowFile {
    /// `probes/<probe>.<vantage>.csv`
    Probe(ProbeId, Vantage),
    /// `ledger/<store>.writes.csv`
    Writes(Name),
    /// `ledger/<store>.read-<pass>.csv`: each reading of a store has its number, from 1.
    Read(Name, u32),
}

impl RowFile {
    /// The path within the evidence folder.
    pub fn path(&self) -> String {
        match self {
            RowFile::Probe(probe, vantage) => format!("probes/{probe}.{vantage}.csv"),
            RowFile::Writes(store) => format!("ledger/{store}.writes.csv"),
            RowFile::Read(store, pass) => format!("ledger/{store}.read-{pass}.csv"),
        }
    }

    /// The file that a path names.
    pub fn from_path(path: &str) -> Option<RowFile> {
        let (folder, name) = path.split_once('/')?;
        let name = name.strip_suffix(".csv")?;
        let (first, second) = name.rsplit_once('.')?;
        if first.is_empty() || second.is_empty() || name.contains('/') {
            return None;
        }
        match folder {
            "probes" => Some(RowFile::Probe(first.into(), second.into())),
            "ledger" if second == "writes" => Some(RowFile::Writes(first.into())),
            "ledger" => Some(RowFile::Read(first.into(), second.strip_prefix("read-")?.parse().ok()?)),
            _ => None,
        }
    }

    /// The first line of the file.
    pub fn header(&self) -> &'static str {
        match self {
            RowFile::Probe(..) => {
                "scheduled_ns,sent_ns,completed_ns,outcome,failure,address,answered_by,resolve_ns,connect_ns,tls_ns,first_byte_ns,body_ns"
            }
            RowFile::Writes(_) => "number,scheduled_ns,sent_ns,completed_ns,outcome,epoch,failure,address",
            RowFile::Read(..) => "number,epoch,intact",
        }
    }
}

/// A row of some file.
pub trait Row: Sized {
    /// Appends the line, without its end.
    fn write(&self, line: &mut String);
    /// Reads a line; `None` where it is not such a row.
    fn read(line: &str) -> Option<Self>;
}

fn shown<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

fn maybe<T: FromStr>(text: &str) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
}

impl Row for Sample {
    fn write(&self, line: &mut String) {
        let _ = write!(line, "{},{},{},", self.scheduled.0, self.sent.0, self.completed.0);
        match self.seen {
            Seen::Ok => line.push_str("ok,"),
            Seen::Gap => line.push_str("gap,"),
            Seen::Failed(failure) => {
                line.push_str("failed,");
                failure.write(line);
            }
        }
        line.push(',');
        if let Some(address) = &self.address {
            let _ = write!(line, "{address}");
        }
        line.push(',');
        if let Some(region) = &self.answered_by {
            line.push_str(region.as_str());
        }
        let s = &self.stages;
        let _ = write!(line, ",{},{},{},{},{}", s.resolve, s.connect, s.tls, s.first_byte, s.body);
    }

    fn read(line: &str) -> Option<Self> {
        let mut cells = line.split(',');
        let mut next = || cells.next();
        let (scheduled, sent, completed) = (next()?, next()?, next()?);
        let (outcome, failure, address, answered_by) = (next()?, next()?, next()?, next()?);
        let seen = match outcome {
            "ok" => Seen::Ok,
            "gap" => Seen::Gap,
            "failed" => Seen::Failed(Failure::read(failure)?),
            _ => return None,
        };
        let stages = Stages {
            resolve: next()?.parse().ok()?,
            connect: next()?.parse().ok()?,
            tls: next()?.parse().ok()?,
            first_byte: next()?.parse().ok()?,
            body: next()?.parse().ok()?,
        };
        if next().is_some() {
            return None;
        }
        Some(Sample {
            scheduled: At(scheduled.parse().ok()?),
            sent: At(sent.parse().ok()?),
            completed: At(completed.parse().ok()?),
            seen,
            address: maybe(address)?,
            answered_by: (!answered_by.is_empty()).then(|| answered_by.into()),
            stages,
        })
    }
}

impl Row for Write {
    fn write(&self, line: &mut String) {
        let (outcome, epoch, failure) = match self.seen {
            WriteSeen::Ok { epoch } => ("ok", Some(epoch), None),
            WriteSeen::Failed(failure) => ("failed", None, Some(failure)),
            WriteSeen::Unknown(failure) => ("unknown", None, Some(failure)),
        };
        let _ = write!(
            line,
            "{},{},{},{},{outcome},{},{},{}",
            self.number,
            self.scheduled.0,
            self.sent.0,
            self.completed.0,
            shown(epoch.as_ref()),
            shown(failure.as_ref()),
            shown(self.address.as_ref()),
        );
    }

    fn read(line: &str) -> Option<Self> {
        let cells: Vec<&str> = line.split(',').collect();
        let [number, scheduled, sent, completed, outcome, epoch, failure, address] = cells.as_slice() else {
            return None;
        };
        let seen = match *outcome {
            "ok" => WriteSeen::Ok { epoch: epoch.parse().ok()? },
            "failed" => WriteSeen::Failed(Failure::read(failure)?),
            "unknown" => WriteSeen::Unknown(Failure::read(failure)?),
            _ => return None,
        };
        Some(Write {
            number: number.parse().ok()?,
            scheduled: At(scheduled.parse().ok()?),
            sent: At(sent.parse().ok()?),
            completed: At(completed.parse().ok()?),
            seen,
            address: maybe(address)?,
        })
    }
}

impl Row for Found {
    fn write(&self, line: &mut String) {
        let _ = write!(line, "{},{},{}", self.number, self.epoch, self.intact);
    }

    fn read(line: &str) -> Option<Self> {
        let mut cells = line.split(',');
        let found = Found {
            number: cells.next()?.parse().ok()?,
            epoch: cells.next()?.parse().ok()?,
            intact: cells.next()?.parse().ok()?,
        };
        cells.next().is_none().then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_of_failure_has_a_word_of_its_own() {
        for (failure, word) in [
            (Failure::Resolve, "resolve"),
            (Failure::Status(503), "status-503"),
            (Failure::Body, "body"),
            (Failure::Header, "header"),
            (Failure::Certificate, "certificate"),
            (Failure::Rcode(2), "servfail"),
            (Failure::Rcode(3), "nxdomain"),
            (Failure::Rcode(5), "rcode-5"),
            (Failure::Records, "records"),
            (Failure::Ttl, "ttl"),
            (Failure::NotServing, "not-serving"),
            (Failure::Grpc(14), "grpc-14"),
            (Failure::NoData, "no-data"),
            (Failure::Value, "value"),
        ] {
            assert_eq!((failure.to_string().as_str(), Failure::read(word)), (word, Some(failure)));
        }
        assert_eq!(Failure::read("phase-of-the-moon"), None);
    }

    #[test]
    fn every_row_reads_back_as_it_was_written() {
        let sample = Sample {
            scheduled: At(-5),
            sent: At(1),
            completed: At(2),
            seen: Seen::Failed(Failure::Status(503)),
            address: Some("10.0.0.1".parse().unwrap()),
            answered_by: Some("east".into()),
            stages: Stages { resolve: 1, connect: 2, tls: 3, first_byte: 4, body: 5 },
        };
        let mut line = String::new();
        sample.write(&mut line);
        assert_eq!(Sample::read(&line), Some(sample));
        for seen in [
            WriteSeen::Ok { epoch: 3 },
            WriteSeen::Failed(Failure::Refused),
            WriteSeen::Unknown(Failure::Timeout),
        ] {
            let write =
                Write { number: 7, scheduled: At(0), sent: At(1), completed: At(2), seen, address: None };
            let mut line = String::new();
            write.write(&mut line);
            assert_eq!(Write::read(&line), Some(write));
        }
        for file in [
            RowFile::Probe("checkout".into(), "outside".into()),
            RowFile::Writes("orders".into()),
            RowFile::Read("orders".into(), 2),
        ] {
            assert_eq!(RowFile::from_path(&file.path()), Some(file));
        }
        assert_eq!(RowFile::from_path("probes/../x.csv"), None);
    }
}
