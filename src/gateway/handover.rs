//! What a gateway and the one that takes its place say to each other, over a pair of sockets that only they have. The new one has
//! its end as its standard input.
//!
//! The old one sends its listening sockets and `begin`. The new one asks for the `store`, is given it, and says that it is `serving`,
//! or why it `failed`. An end that closes without a word has ended.

use super::{Failure, sockets::Named};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    sockopt::{Timeout, set_socket_timeout},
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

/// The other one has so long for its next word: more than a first configuration may take.
const PATIENCE: Duration = Duration::from_secs(150);
/// Bytes of one message. Longer ones are cut off; only the reason of a failure can be so long.
const LONGEST: usize = 4096;

/// One end.
pub(super) struct Channel(OwnedFd);

/// What one end says.
#[derive(Debug)]
pub(super) enum Word {
    /// A listening socket.
    Socket(Named),
    /// These were all.
    Begin,
    /// By the new one: may I have it? By the old one: it is yours.
    Store,
    /// The new one takes requests.
    Serving,
    /// Why there will be no change of places.
    Failed(String),
}

/// Both ends.
pub(super) fn pair() -> io::Result<(Channel, OwnedFd)> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    Ok((Channel::new(ours)?, theirs))
}

impl Channel {
    fn new(socket: OwnedFd) -> io::Result<Self> {
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
        Ok(Self(socket))
    }

    /// Says a word. Blocks.
    pub(super) fn say(&self, word: &Word) -> io::Result<()> {
        let (text, socket) = match word {
            Word::Socket((name, socket)) => (format!("socket {name}"), Some(socket)),
            Word::Begin => ("begin".to_owned(), None),
            Word::Store => ("store".to_owned(), None),
            Word::Serving => ("serving".to_owned(), None),
            Word::Failed(why) => (format!("failed {why}"), None),
        };
        let bytes = text.as_bytes();
        let bytes = bytes.get(..LONGEST).unwrap_or(bytes);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let sockets = socket.map(|socket| [socket.as_fd()]);
        if let Some(sockets) = &sockets
            && !control.push(SendAncillaryMessage::ScmRights(sockets))
        {
            return Err(io::Error::other("no room for a socket"));
        }
        let whole = [IoSlice::new(bytes)];
        sendmsg(&self.0, &whole, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// The next word of the other end; `None` when it has ended. Blocks.
    pub(super) fn hear(&self) -> io::Result<Option<Word>> {
        let mut bytes = [0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut whole = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = loop {
            match recvmsg(&self.0, &mut whole, &mut control, flags) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::CONNRESET) => return Ok(None),
                Err(rustix::io::Errno::AGAIN) => {
                    let late = format!("no word for {} seconds", PATIENCE.as_secs());
                    return Err(io::Error::new(io::ErrorKind::TimedOut, late));
                }
                received => break received?,
            }
        };
        let socket = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
            _ => None,
        });
        let text = bytes.get(..received.bytes).unwrap_or_default();
        let text = String::from_utf8_lossy(text);
        let (word, rest) = text.split_once(' ').unwrap_or((&text, ""));
        Ok(Some(match (word, socket) {
            ("", None) => return Ok(None),
            ("socket", Some(socket)) => Word::Socket((rest.to_owned(), socket)),
            ("begin", None) => Word::Begin,
            ("store", None) => Word::Store,
            ("serving", None) => Word::Serving,
            ("failed", None) => Word::Failed(rest.to_owned()),
            _ => {
                return Err(io::Error::other(
                    "the other gateway speaks another language",
                ));
            }
        }))
    }
}

/// The gateway whose place this one takes.
pub(super) struct Predecessor(Channel);

impl Predecessor {
    /// The one at the other end of the standard input, and its listening sockets.
    pub(super) fn meet() -> Result<(Self, Vec<Named>), Failure> {
        let stranger = |error: io::Error| {
            Failure(format!(
                "there is no gateway to take over from on the standard input: {error}"
            ))
        };
        let socket = io::stdin().as_fd().try_clone_to_owned().map_err(stranger)?;
        let channel = Channel::new(socket).map_err(stranger)?;
        let mut sockets = Vec::new();
        loop {
            match channel.hear().map_err(stranger)? {
                Some(Word::Socket(named)) => sockets.push(named),
                Some(Word::Begin) => return Ok((Self(channel), sockets)),
                _ => return Err(stranger(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }

    /// Waits until it has let go of the store.
    pub(super) fn ask_for_store(&self) -> Result<(), Failure> {
        let gone =
            |error: io::Error| Failure(format!("the gateway that is to be replaced: {error}"));
        self.0.say(&Word::Store).map_err(gone)?;
        match self.0.hear().map_err(gone)? {
            // Gone, it holds nothing any more.
            Some(Word::Store) | None => Ok(()),
            Some(Word::Failed(why)) => Err(Failure(format!(
                "the gateway that is to be replaced keeps its store: {why}"
            ))),
            Some(_) => Err(gone(io::Error::other("it says something unexpected"))),
        }
    }

    /// Tells it that it may leave. When it is gone already, all the better.
    pub(super) fn serving(&self) {
        drop(self.0.say(&Word::Serving));
    }

    /// Tells it why it has to stay.
    pub(super) fn failed(&self, failure: &Failure) {
        drop(self.0.say(&Word::Failed(failure.to_string())));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn words_and_sockets_arrive_and_the_end_is_heard() {
        let (ours, theirs) = pair().unwrap();
        let theirs = Channel::new(theirs).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let named = ("tcp:here".to_owned(), listener.into());
        ours.say(&Word::Socket(named)).unwrap();
        ours.say(&Word::Begin).unwrap();
        ours.say(&Word::Failed("x ".repeat(LONGEST))).unwrap();
        let Some(Word::Socket((name, socket))) = theirs.hear().unwrap() else {
            panic!("a socket was sent");
        };
        assert_eq!(name, "tcp:here");
        assert_eq!(TcpListener::from(socket).local_addr().unwrap(), address);
        assert!(matches!(theirs.hear().unwrap(), Some(Word::Begin)));
        assert!(
            matches!(theirs.hear().unwrap(), Some(Word::Failed(why)) if why.starts_with("x x"))
        );
        drop(ours);
        assert!(theirs.hear().unwrap().is_none());
        assert!(theirs.say(&Word::Serving).is_err());
    }
}
