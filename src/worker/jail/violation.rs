//! What becomes of a system call that is on no list: the kernel delivers `SIGSYS` instead of carrying it out.
//!
//! The handler runs in the middle of anything, so it takes no lock and no memory. The call has been refused by then,
//! whatever the handler does.

use std::sync::atomic::{AtomicU32, Ordering};

use super::calls::{Call, DEADLY, HOSTILE, HOSTILE_OLD, KNOWN};

const MOST: usize = 512;

/// How often each unknown call was answered with `ENOSYS`.
static REFUSED: [AtomicU32; MOST] = [const { AtomicU32::new(0) }; MOST];

/// Calls that were refused since this was last asked, and how often.
#[must_use]
pub fn refused() -> Vec<(String, u32)> {
    let counted = REFUSED.iter().enumerate().filter_map(|(number, count)| {
        let count = count.swap(0, Ordering::Relaxed);
        let number = i64::try_from(number).ok()?;
        (count > 0).then(|| {
            (
                name(number).map_or_else(|| format!("call {number}"), str::to_owned),
                count,
            )
        })
    });
    counted.collect()
}

fn named(list: &'static [Call], number: i64) -> Option<&'static str> {
    let call = list.iter().find(|call| call.number == number)?;
    Some(call.name.strip_prefix("SYS_").unwrap_or(call.name))
}

fn name(number: i64) -> Option<&'static str> {
    [KNOWN, HOSTILE, HOSTILE_OLD]
        .into_iter()
        .find_map(|list| named(list, number))
}

/// Handles the signal from now on.
pub(super) fn listen() -> Result<(), String> {
    // SAFETY: all zeroes is a valid value of this structure of numbers.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handle as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER | libc::SA_ONSTACK;
    // SAFETY: the handler keeps to what may be done in one: see there.
    let set = unsafe { libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()) };
    if set == -1 {
        let error = std::io::Error::last_os_error();
        return Err(format!("refused calls cannot be handled: {error}"));
    }
    Ok(())
}

/// What the kernel tells of a refused call, at its place behind the signal's number, errno and code.
#[repr(C)]
struct Told {
    number: i32,
    errno: i32,
    code: i32,
    _pad: i32,
    address: *mut libc::c_void,
    call: i32,
    processor: u32,
}

/// Only plain loads, atomic counters and system calls happen here.
extern "C" fn handle(signal: i32, told: *const libc::siginfo_t, context: *mut libc::c_void) {
    const BY_FILTER: i32 = 1;
    // SAFETY: the kernel passes a structure that is at least as long and laid out like this for this signal.
    let told = unsafe { &*told.cast::<Told>() };
    // Somebody sent it by hand.
    if signal != libc::SIGSYS || told.code != BY_FILTER {
        return;
    }
    let number = i64::from(told.call);
    let hostile = named(HOSTILE, number).or_else(|| named(HOSTILE_OLD, number));
    let Some(hostile) = hostile else {
        if let Some(count) = usize::try_from(number).ok().and_then(|at| REFUSED.get(at)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        answer_not_there(context);
        return;
    };
    for words in ["the jail forbids ", hostile, "\n"] {
        // SAFETY: the text lives for ever; a failed write changes nothing.
        unsafe { libc::write(2, words.as_ptr().cast(), words.len()) };
    }
    die();
}

/// Asks for the one call that the filter answers with death by this signal. The signal's usual action, which is the
/// same, was taken away and may not be given back.
fn die() -> ! {
    loop {
        // SAFETY: the kernel never carries it out.
        unsafe { libc::syscall(DEADLY, 0) };
    }
}

#[cfg(target_arch = "x86_64")]
fn answer_not_there(context: *mut libc::c_void) {
    // SAFETY: the kernel passes the registers that it will go on with; the call's answer is read from this one.
    unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        context.uc_mcontext.gregs[libc::REG_RAX as usize] = -i64::from(libc::ENOSYS);
    }
}

#[cfg(target_arch = "aarch64")]
fn answer_not_there(context: *mut libc::c_void) {
    // SAFETY: as on other processors.
    unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        context.uc_mcontext.regs[0] = (-i64::from(libc::ENOSYS)).cast_unsigned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_the_names_of_their_manual_pages() {
        assert_eq!(name(libc::SYS_execve), Some("execve"));
        assert_eq!(name(libc::SYS_truncate), Some("truncate"));
        assert_eq!(name(100_000), None);
    }
}
