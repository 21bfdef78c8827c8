//! One terminal on its link, as `docs/terminal-link.md` has it, without a journal: it is benchmarked, not trusted.

use std::io::Write as _;

use anyhow::{Context as _, Result, bail, ensure};
use memchr::memmem;

use super::socket::{Socket, home_of};
use super::{Dialect, Target};
use crate::messages::{Template, poi_id};
use crate::wire;

pub(super) struct Link {
    pub(super) socket: Socket,
    number: usize,
    stage: Stage,
    /// What came in pieces.
    partial: Vec<u8>,
}

enum Stage {
    /// Not yet written: TLS is shaking hands.
    Connecting {
        upgrade: Vec<u8>,
        attempt: u128,
    },
    Upgrading {
        attempt: u128,
    },
    /// Waits for `welcome`.
    Opening,
    Linked,
}

/// What reading changed.
pub(super) enum Read {
    Same,
    /// The terminal is present from now on.
    Linked,
}

/// A result that a terminal is to send.
#[derive(Debug)]
pub(super) struct Owed {
    /// Of which link.
    pub(super) link: usize,
    delivery: Option<Vec<u8>>,
    service_id: Vec<u8>,
}

impl Link {
    /// Connects and asks for the upgrade.
    pub(super) fn open(target: &Target, number: usize, attempt: u128) -> Result<Link> {
        let socket = Socket::connect(target.address, Some(home_of(number)), target.tls.as_ref())?;
        let (path, more) = match &*target.dialect {
            Dialect::Bare => (format!("/link/{}", poi_id(number)), String::new()),
            Dialect::Tillgate { boarded, .. } => {
                let token = &boarded.get(number).context("a terminal that is not boarded")?.token;
                let more =
                    format!("Sec-WebSocket-Protocol: tillgate.link.v1\r\nAuthorization: Bearer {token}\r\n");
                ("/terminal/v1/link".to_owned(), more)
            }
        };
        let upgrade = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        );
        let stage = Stage::Connecting { upgrade: upgrade.into_bytes(), attempt };
        let mut link = Link { socket, number, stage, partial: Vec::new() };
        link.ask_for_upgrade()?;
        Ok(link)
    }

    fn ask_for_upgrade(&mut self) -> Result<()> {
        if let Stage::Connecting { upgrade, attempt } = &self.stage
            && self.socket.write(upgrade)?
        {
            self.stage = Stage::Upgrading { attempt: *attempt };
        }
        Ok(())
    }

    /// Reads what is there, and answers what can be answered at once. Results are put into `owed`: a terminal takes its
    /// time between `received` and `result`, so that they do not travel together.
    pub(super) fn read(
        &mut self,
        index: usize,
        target: &Target,
        scratch: &mut [u8],
        out: &mut Vec<u8>,
        owed: &mut Vec<Owed>,
    ) -> Result<Read> {
        self.ask_for_upgrade()?;
        let mut changed = Read::Same;
        loop {
            let kept = self.partial.len();
            scratch[..kept].copy_from_slice(&self.partial);
            let read = self.socket.read(&mut scratch[kept..])?;
            if read == 0 {
                return Ok(changed);
            }
            self.partial.clear();
            let bytes = &mut scratch[..kept + read];
            let mut from = 0;
            if let Stage::Upgrading { attempt } = self.stage
                && let Some(message) = wire::http_message(bytes)?
            {
                from = message.body.end;
                let told = &bytes[..from];
                ensure!(
                    told.starts_with(b"HTTP/1.1 101 "),
                    "the link was refused: {}",
                    String::from_utf8_lossy(told)
                );
                changed = self.upgraded(target, attempt, out)?;
            }
            if !matches!(self.stage, Stage::Upgrading { .. }) {
                while let Some(frame) = wire::next_frame(bytes, from)? {
                    from = frame.payload.end;
                    match frame.opcode {
                        wire::TEXT => {
                            if let Read::Linked =
                                self.text(index, target, &bytes[frame.payload], out, owed)?
                            {
                                changed = Read::Linked;
                            }
                        }
                        wire::PING => self.write(wire::PONG, &bytes[frame.payload], out)?,
                        wire::PONG => {}
                        wire::CLOSE => {
                            bail!(
                                "closed: {}",
                                String::from_utf8_lossy(
                                    bytes.get(frame.payload.start + 2..from).unwrap_or_default()
                                )
                            )
                        }
                        other => bail!("a frame with opcode {other}"),
                    }
                }
            }
            self.partial.extend_from_slice(&bytes[from..]);
            if !self.socket.is_tls() {
                return Ok(changed);
            }
        }
    }

    fn upgraded(&mut self, target: &Target, attempt: u128, out: &mut Vec<u8>) -> Result<Read> {
        match &*target.dialect {
            Dialect::Bare => {
                self.stage = Stage::Linked;
                Ok(Read::Linked)
            }
            Dialect::Tillgate { boarded, .. } => {
                let journal = &boarded.get(self.number).context("a terminal that is not boarded")?.journal;
                let hello = format!(
                    r#"{{"action":"hello","linkVersion":1,"journalId":"{journal}","attempt":{attempt},"processId":"p_bench","firmwareVersion":"bench 1","platform":"android","resume":[],"device":{{"batteryLevel":87,"printerStatus":"OK","wifiIp":"192.0.2.40","dhcpEnabled":true}}}}"#
                );
                self.stage = Stage::Opening;
                self.write(wire::TEXT, hello.as_bytes(), out)?;
                Ok(Read::Same)
            }
        }
    }

    fn text(
        &mut self,
        index: usize,
        target: &Target,
        text: &[u8],
        out: &mut Vec<u8>,
        owed: &mut Vec<Owed>,
    ) -> Result<Read> {
        if let Stage::Opening = self.stage {
            ensure!(
                memmem::find(text, br#""action":"welcome""#).is_some(),
                "instead of welcome: {}",
                String::from_utf8_lossy(text)
            );
            self.stage = Stage::Linked;
            return Ok(Read::Linked);
        }
        let delivery = match &*target.dialect {
            Dialect::Bare => None,
            // Only `recorded` comes besides, and asks for nothing.
            Dialect::Tillgate { .. } if memmem::find(text, br#""action":"deliver""#).is_none() => {
                return Ok(Read::Same);
            }
            Dialect::Tillgate { .. } => {
                let delivery = wire::quoted_after(text, br#""deliveryId":""#).context("no deliveryId")?;
                let mut received = br#"{"action":"received","deliveryId":""#.to_vec();
                received.extend_from_slice(delivery);
                received.extend_from_slice(br#""}"#);
                self.write(wire::TEXT, &received, out)?;
                Some(delivery.to_vec())
            }
        };
        let service_id = wire::quoted_after(text, br#""ServiceID":""#).context("no ServiceID")?.to_vec();
        owed.push(Owed { link: index, delivery, service_id });
        Ok(Read::Same)
    }

    /// Sends a result.
    pub(super) fn answer(&mut self, owed: &Owed, answer: &mut Template, out: &mut Vec<u8>) -> Result<()> {
        let poi = poi_id(self.number);
        let message = answer.with(&owed.service_id, poi.as_bytes());
        match &owed.delivery {
            None => self.write(wire::TEXT, message, out),
            Some(delivery) => {
                let mut result = Vec::with_capacity(message.len() + 128);
                result.extend_from_slice(br#"{"action":"result","deliveryId":""#);
                result.extend_from_slice(delivery);
                result.extend_from_slice(br#"","message":"#);
                result.write_all(message)?;
                result.push(b'}');
                self.write(wire::TEXT, &result, out)
            }
        }
    }

    fn write(&mut self, opcode: u8, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        wire::push_client_frame(out, opcode, payload);
        ensure!(self.socket.write(out)?, "the server does not read");
        Ok(())
    }
}
