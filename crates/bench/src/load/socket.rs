//! A client's socket, plain or over TLS.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// Non-blocking once it stands.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// An address of this machine's loopback network for each terminal. Tens of thousands come and go: from one address, the
/// ports would run out.
pub(super) fn home_of(terminal: usize) -> Ipv4Addr {
    let [_, high, middle, low] = u32::try_from(terminal).unwrap_or(0).to_be_bytes();
    Ipv4Addr::new(127, 1 | high, middle, low)
}

impl Socket {
    /// Connects, from an address of one's own if one is given. Loopback answers at once.
    pub(super) fn connect(
        to: SocketAddr,
        from: Option<Ipv4Addr>,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Result<Socket> {
        let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        if let Some(from) = from {
            bind(&socket, &SocketAddr::new(IpAddr::V4(from), 0))?;
        }
        connect(&socket, &to).with_context(|| format!("cannot connect to {to}"))?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(match tls {
            None => Socket::Plain(stream),
            Some(config) => {
                let name = ServerName::try_from("localhost")?;
                let connection = ClientConnection::new(config.clone(), name)?;
                Socket::Tls(Box::new(StreamOwned::new(connection, stream)))
            }
        })
    }

    /// How many bytes came, none if nothing is there. The end of the stream is an error.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self {
            Socket::Plain(stream) => stream.read(buffer),
            Socket::Tls(stream) => stream.read(buffer),
        };
        match read {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            other => other,
        }
    }

    /// Whether more may be there although the last read did not fill the buffer: TLS reads record by record.
    pub(super) fn is_tls(&self) -> bool {
        matches!(self, Socket::Tls(_))
    }

    /// Whether it was written; all or nothing. Nothing is written while TLS is still shaking hands. All else that is
    /// written here is far smaller than a socket's buffer.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let written = match self {
            Socket::Plain(stream) => stream.write(bytes),
            Socket::Tls(stream) => stream.write(bytes),
        };
        match written {
            Ok(all) if all == bytes.len() => Ok(true),
            Ok(_) => Err(io::Error::other("the server does not read")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.is_tls() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Plain(stream) => stream.as_fd(),
            Socket::Tls(stream) => stream.sock.as_fd(),
        }
    }
}
