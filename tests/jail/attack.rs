//! What a hostile worker does, written down as data, and how it does it from inside the jail.
//!
//! The tests put an attack into the "medium"; whoever took a decoder over would have the same means: every system call,
//! with any arguments, from within the process.

use std::ffi::CString;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use reelmill::job::{ErrorKind, Failure};
use reelmill::worker::child;
use reelmill::worker::frame;
use reelmill::worker::jail;
use reelmill::worker::protocol::{CONTROL_FD, FromWorker};
use serde::{Deserialize, Serialize};

use crate::{greed, lies};

/// How a medium begins that carries an attack.
pub const MARK: &[u8] = b"HOSTILE ";

/// An argument of a system call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Arg {
    /// A text that ends with a zero, by its address.
    Text(String),
    /// Bytes, by their address.
    Bytes(Vec<u8>),
    /// A number.
    Number(i64),
    /// What the call before answered.
    Last,
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Arg {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<Vec<u8>> for Arg {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Arg {
    fn from(number: u32) -> Self {
        Self::Number(i64::from(number))
    }
}

impl From<i32> for Arg {
    fn from(number: i32) -> Self {
        Self::Number(i64::from(number))
    }
}

/// What is tried.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Attack {
    /// System calls, one after another.
    Calls(Vec<(i64, Vec<Arg>)>),
    /// A system call in the manner of 32-bit programs.
    OldProcessor,
    /// Passes a descriptor over the control socket.
    PassDescriptor,
    /// Stops SIGSYS from coming, then calls `execve`.
    BlockTheSignal,
    /// Takes more than its share.
    Greed(greed::Greed),
    /// Says what is not so.
    Lie(lies::Lie),
}

/// The worker's part: into the jail like any other, and then what the medium says.
pub fn worker() -> ExitCode {
    let mut ready = match child::prepare() {
        Ok(Some(ready)) => ready,
        Ok(None) => return ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            return ExitCode::FAILURE;
        }
    };
    let mut head = vec![0; 2 << 20];
    let count = ready
        .input()
        .map_or(0, |input| input.fill(0, &mut head).unwrap_or_default());
    let Some(text) = head[..count].strip_prefix(MARK) else {
        return match ready.serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => {
                eprintln!("{reason}");
                ExitCode::FAILURE
            }
        };
    };
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let attack: Attack = serde_json::from_slice(line).expect("an attack");
    let told = match attack {
        Attack::Calls(calls) => carry_out(&calls),
        Attack::OldProcessor => old_processor(),
        Attack::PassDescriptor => pass_descriptor(),
        Attack::BlockTheSignal => block_the_signal(),
        Attack::Greed(greed) => greed::take(greed),
        Attack::Lie(lie) => lies::tell(lie),
    };
    report(&told);
    // The daemon ends what it has heard enough of.
    std::thread::sleep(std::time::Duration::from_mins(1));
    ExitCode::SUCCESS
}

/// The control socket, left open when the value goes.
pub fn control() -> ManuallyDrop<UnixStream> {
    // SAFETY: the descriptor stays open as long as the process lives, and is never closed through this value.
    ManuallyDrop::new(unsafe { UnixStream::from_raw_fd(CONTROL_FD) })
}

/// Says a message, as far as anybody listens.
pub fn say(message: &FromWorker) -> bool {
    frame::write(&mut *control(), message).is_ok()
}

fn report(told: &str) {
    let calls = jail::refused();
    if !calls.is_empty() {
        say(&FromWorker::Refused { calls });
    }
    let failure = Failure::new(ErrorKind::Internal, format!("tried: {told}"));
    say(&FromWorker::Failed { failure });
    let _ = std::io::stdout().flush();
}

/// One system call; its answer or its error.
pub fn call(number: i64, arguments: &[i64]) -> Result<i64, i32> {
    let a = |at: usize| arguments.get(at).copied().unwrap_or(0);
    // SAFETY: the whole point is to ask for what is not safe; pointers among the arguments are to memory that lives.
    let answer = unsafe { libc::syscall(number, a(0), a(1), a(2), a(3), a(4), a(5)) };
    if answer == -1 {
        Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        Ok(answer)
    }
}

/// What became of each call: `ok` or the error's name.
pub fn carry_out(calls: &[(i64, Vec<Arg>)]) -> String {
    let mut last = 0;
    let mut told = Vec::new();
    // Texts and bytes live until the end: a later call may have been told where they are.
    let mut texts = Vec::new();
    let mut bytes = Vec::new();
    for (number, arguments) in calls {
        let mut values = Vec::new();
        for argument in arguments {
            values.push(match argument {
                Arg::Text(text) => {
                    let text = CString::new(text.as_str()).expect("no zero inside");
                    let place = text.as_ptr() as i64;
                    texts.push(text);
                    place
                }
                Arg::Bytes(content) => {
                    let content = content.clone();
                    let place = content.as_ptr() as i64;
                    bytes.push(content);
                    place
                }
                Arg::Number(number) => *number,
                Arg::Last => last,
            });
        }
        match call(*number, &values) {
            Ok(answer) => {
                last = answer;
                told.push("ok".to_owned());
            }
            Err(error) => told.push(name(error)),
        }
    }
    told.join(" ")
}

fn name(error: i32) -> String {
    let known = match error {
        libc::EACCES => "EACCES",
        libc::EPERM => "EPERM",
        libc::ENOSYS => "ENOSYS",
        libc::ENOTTY => "ENOTTY",
        libc::ENOENT => "ENOENT",
        libc::EXDEV => "EXDEV",
        libc::EISCONN => "EISCONN",
        libc::EBADF => "EBADF",
        libc::EINVAL => "EINVAL",
        libc::EFBIG => "EFBIG",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::ENOTSOCK => "ENOTSOCK",
        libc::ECONNREFUSED => "ECONNREFUSED",
        libc::EAFNOSUPPORT => "EAFNOSUPPORT",
        other => return format!("errno {other}"),
    };
    known.to_owned()
}

#[cfg(target_arch = "x86_64")]
fn old_processor() -> String {
    let answer: i64;
    // SAFETY: getpid in the list of 32-bit programs, which takes nothing and changes nothing.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") 20_i64 => answer, lateout("r8") _, lateout("r9") _,
            lateout("r10") _, lateout("r11") _);
    }
    format!("answered {answer}")
}

#[cfg(not(target_arch = "x86_64"))]
fn old_processor() -> String {
    call(libc::SYS_execve, &[]).map_or_else(name, |_| "ok".to_owned())
}

/// A file of its own travels over the control socket; it must end nowhere.
fn pass_descriptor() -> String {
    use std::os::fd::AsRawFd;
    let file = std::fs::File::create("passed-over").expect("a file in scratch");
    // An empty frame, which is no JSON, goes along: there must be something to send.
    let head = 0_u32.to_be_bytes();
    let mut part = libc::iovec {
        iov_base: head.as_ptr().cast_mut().cast(),
        iov_len: 4,
    };
    let mut space = [0_u64; 8];
    // SAFETY: a structure of plain numbers and pointers.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = space.as_mut_ptr().cast();
    // SAFETY: computes sizes and places within `space`, which is longer than one descriptor needs.
    unsafe {
        message.msg_controllen = libc::CMSG_SPACE(4) as usize;
        let about = libc::CMSG_FIRSTHDR(&raw const message);
        (*about).cmsg_level = libc::SOL_SOCKET;
        (*about).cmsg_type = libc::SCM_RIGHTS;
        (*about).cmsg_len = libc::CMSG_LEN(4) as usize;
        libc::CMSG_DATA(about).cast::<i32>().write_unaligned(file.as_raw_fd());
    }
    // SAFETY: everything that the message points to lives in this function.
    let sent = unsafe { libc::sendmsg(CONTROL_FD, &raw const message, 0) };
    format!("sent {sent}")
}

fn block_the_signal() -> String {
    let set = 1_u64 << (libc::SIGSYS - 1);
    let blocked = call(libc::SYS_rt_sigprocmask, &[0, &raw const set as i64, 0, 8]);
    let _ = call(libc::SYS_execve, &[0, 0, 0]);
    format!("blocked {blocked:?} and lived")
}
