//! A till: one kept HTTP connection, one request at a time.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use memchr::memmem;

use super::socket::Socket;
use super::{Dialect, Target};
use crate::wire;

pub(super) struct Till {
    pub(super) socket: Socket,
    asked: Option<Asked>,
    partial: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Asked {
    /// When it was to be sent.
    due: Instant,
    /// That the answer must name; none if it is no exchange.
    service_id: Option<[u8; 10]>,
}

/// A request that was answered.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) till: usize,
    /// Whether it was the right answer.
    pub(super) is_ok: bool,
    /// From the moment at which it was to be sent.
    pub(super) took: Duration,
    /// Kept where it is wanted: of a wrong answer, and of what is no exchange.
    pub(super) body: Vec<u8>,
}

impl Till {
    pub(super) fn open(target: &Target) -> Result<Till> {
        let socket = Socket::connect(target.address, None, target.tls.as_ref())?;
        Ok(Till { socket, asked: None, partial: Vec::new() })
    }

    /// Sends an exchange's request.
    pub(super) fn ask(
        &mut self,
        target: &Target,
        body: &[u8],
        service_id: [u8; 10],
        due: Instant,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.send(target, "/sync", body, out)?;
        self.asked = Some(Asked { due, service_id: Some(service_id) });
        Ok(())
    }

    /// Sends any other request.
    pub(super) fn post(&mut self, target: &Target, path: &str, body: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.send(target, path, body, out)?;
        self.asked = Some(Asked { due: Instant::now(), service_id: None });
        Ok(())
    }

    fn send(&mut self, target: &Target, path: &str, body: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        write!(out, "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")?;
        if let Dialect::Tillgate { api_key, .. } = &*target.dialect {
            write!(out, "x-api-key: {api_key}\r\n")?;
        }
        write!(out, "Content-Length: {}\r\n\r\n", body.len())?;
        out.extend_from_slice(body);
        ensure!(self.socket.write(out)?, "the server does not read");
        Ok(())
    }

    /// Reads what is there.
    pub(super) fn read(&mut self, index: usize, scratch: &mut [u8], done: &mut Vec<Done>) -> Result<()> {
        let kept = self.partial.len();
        scratch[..kept].copy_from_slice(&self.partial);
        let read = self.socket.read(&mut scratch[kept..])?;
        let bytes = &scratch[..kept + read];
        self.partial.clear();
        let Some(message) = wire::http_message(bytes)? else {
            self.partial.extend_from_slice(bytes);
            return Ok(());
        };
        ensure!(message.body.end == bytes.len(), "more than one answer to one request");
        let Some(asked) = self.asked.take() else { anyhow::bail!("an answer to no request") };
        let (body, took) = (&bytes[message.body], asked.due.elapsed());
        let is_ok = bytes.starts_with(b"HTTP/1.1 200 ");
        let answered = match asked.service_id {
            None => Done { till: index, is_ok, took, body: body.to_vec() },
            Some(id) => {
                let is_ok = is_ok
                    && memmem::find(body, &id).is_some()
                    && memmem::find(body, br#""Result":"Success""#).is_some();
                Done { till: index, is_ok, took, body: if is_ok { Vec::new() } else { body.to_vec() } }
            }
        };
        done.push(answered);
        Ok(())
    }
}
