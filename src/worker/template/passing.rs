//! Messages of a few bytes with descriptors, between processes that trust each other.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

/// The most descriptors of a message.
const MOST: usize = 4;

/// The longest message: a path.
const LONGEST: usize = 4096;

/// Sends a message over a socket that keeps messages apart.
///
/// # Errors
/// Where nobody is there, or it is too long.
pub(super) fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if bytes.len() > LONGEST || descriptors.len() > MOST {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut attached = SendAncillaryBuffer::new(&mut space);
    attached.push(SendAncillaryMessage::ScmRights(descriptors));
    rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(&socket, &[IoSlice::new(bytes)], &mut attached, SendFlags::NOSIGNAL)
    })?;
    Ok(())
}

/// Waits for the next message; none where the other side is gone.
///
/// # Errors
/// Where the socket fails, or its patience ends.
pub(super) fn receive(socket: impl AsFd) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut attached = RecvAncillaryBuffer::new(&mut space);
    let count = rustix::io::retry_on_intr(|| {
        let mut into = [IoSliceMut::new(&mut bytes)];
        rustix::net::recvmsg(&socket, &mut into, &mut attached, RecvFlags::CMSG_CLOEXEC)
    })?
    .bytes;
    let descriptors = attached.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptors: Vec<OwnedFd> = descriptors.flatten().collect();
    bytes.truncate(count);
    Ok((count > 0).then_some((bytes, descriptors)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    #[test]
    fn messages_stay_apart_and_bring_their_descriptors() {
        let (here, there) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let (mut kept, given) = UnixStream::pair().unwrap();
        send(&here, b"one", &[given.as_fd()]).unwrap();
        send(&here, b"two", &[]).unwrap();
        drop((here, given));
        let (bytes, mut descriptors) = receive(&there).unwrap().unwrap();
        assert_eq!((bytes.as_slice(), descriptors.len()), (&b"one"[..], 1));
        UnixStream::from(descriptors.remove(0)).write_all(b"came").unwrap();
        let mut text = String::new();
        kept.read_to_string(&mut text).unwrap();
        assert_eq!(text, "came");
        assert_eq!(receive(&there).unwrap().unwrap().0, b"two");
        assert!(receive(&there).unwrap().is_none());
    }

    #[test]
    fn what_is_too_long_is_not_sent() {
        let (here, _there) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        assert!(send(&here, &[1; LONGEST + 1], &[]).is_err());
    }
}
