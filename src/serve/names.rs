//! A name server (RFC 1035, UDP) that answers with the simulated network's addresses, as one vantage's resolver or as the authority.
//!
//! Answers carry a TTL of zero: the simulated resolver has its own cache, and nobody in between may add one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::A;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::world::Net;

/// The largest question.
const LARGEST: usize = 4096;

/// Whom a question is for.
#[derive(Debug, Clone, Copy)]
pub enum Who {
    /// A resolver with a cache.
    Resolver,
    Authority,
}

/// Answers questions for a vantage.
pub async fn serve(socket: UdpSocket, net: Arc<dyn Net>, who: Who) {
    let socket = Arc::new(socket);
    let mut answers = JoinSet::new();
    let mut bytes = [0; LARGEST];
    loop {
        let (length, from) = match socket.recv_from(&mut bytes).await {
            Ok(got) => got,
            // A client that is gone makes an error of the next receive.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(_) => return,
        };
        if let Ok(question) = Message::from_vec(&bytes[..length]) {
            answers.spawn(answer(Arc::clone(&socket), Arc::clone(&net), who, question, from));
        }
        while answers.try_join_next().is_some() {}
    }
}

async fn answer(socket: Arc<UdpSocket>, net: Arc<dyn Net>, who: Who, question: Message, from: SocketAddr) {
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    answer.metadata.message_type = MessageType::Response;
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.metadata.recursion_available = matches!(who, Who::Resolver);
    answer.metadata.authoritative = matches!(who, Who::Authority);
    let Some(query) = question.queries.first() else { return };
    answer.add_query(query.clone());
    let host = query.name().to_ascii();
    let host = host.trim_end_matches('.');
    let found = match who {
        Who::Resolver => net.resolve(host).await,
        Who::Authority => net.resolve_authoritative(host).await,
    };
    match found {
        Ok(addresses) if query.query_type() == RecordType::A => {
            for address in addresses {
                let IpAddr::V4(address) = address else { continue };
                answer.add_answer(Record::from_rdata(query.name().clone(), 0, RData::A(A(address))));
            }
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        Err(_) => answer.metadata.response_code = ResponseCode::ServFail,
    }
    if let Ok(bytes) = answer.to_vec() {
        // Who asked may be gone.
        let _ = socket.send_to(&bytes, from).await;
    }
}
