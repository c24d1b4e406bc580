//! What a module without the standard library brings along: memory, what lives as long as the VM, the environment, and the end
//! after a panic.
//!
//! The standard library would be a tenth of the module, most of it texts for panics and what puts them together.
#![allow(unsafe_code)]

use crate::host::{self, Level};
use alloc::vec::Vec;
use core::cell::{RefCell, RefMut};
use core::panic::PanicInfo;
use talc::wasm::{WasmDynamicTalc, new_wasm_dynamic_allocator};

#[global_allocator]
static MEMORY: WasmDynamicTalc = new_wasm_dynamic_allocator();

/// Ends the VM. The proxy logs which functions were under way, by number; the messages and places of panics would be 12 kB.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    host::log(
        Level::Critical,
        "portcullis: panicked, please report this; portcullis.symbols of the build names the functions that follow",
    );
    core::arch::wasm32::unreachable()
}

/// What there is one of in the VM, made when it is first asked for.
pub(crate) struct Own<T>(RefCell<Option<T>>);

// SAFETY: a VM of the proxy has one thread, and so has every module that is built for it without the feature `atomics`.
#[cfg(not(target_feature = "atomics"))]
unsafe impl<T> Sync for Own<T> {}

impl<T: Default> Own<T> {
    pub(crate) const fn new() -> Own<T> {
        Own(RefCell::new(None))
    }

    #[inline(never)]
    fn borrow(&self) -> Option<RefMut<'_, T>> {
        let mut own = self.0.try_borrow_mut().ok()?;
        if own.is_none() {
            // What was there is nothing; the code to drop a worker would be a hundredth of the module.
            core::mem::forget(own.replace(T::default()));
        }
        RefMut::filter_map(own, Option::as_mut).ok()
    }

    /// Gives it to `use_it`. `None` if it is in use further up the stack.
    pub(crate) fn with<R>(&self, use_it: impl FnOnce(&mut T) -> R) -> Option<R> {
        Some(use_it(&mut *self.borrow()?))
    }
}

/// Eight random bytes; `None` when the host has none.
pub(crate) fn entropy() -> Option<u64> {
    let mut bytes = [0u8; 8];
    // SAFETY: the pointer and length are of one live array.
    let status = unsafe { wasi::random_get(bytes.as_mut_ptr(), bytes.len()) };
    (status == 0).then_some(u64::from_ne_bytes(bytes))
}

/// The value of an environment variable that the proxy shares with the VM.
pub(crate) fn environment(name: &str) -> Option<Vec<u8>> {
    let (mut count, mut size) = (0, 0);
    // SAFETY: both pointers are to live numbers.
    if unsafe { wasi::environ_sizes_get(&mut count, &mut size) } != 0 {
        return None;
    }
    let (mut places, mut text): (Vec<*mut u8>, Vec<u8>) = (vec![core::ptr::null_mut(); count], vec![0; size]);
    // SAFETY: there is as much room at both places as the host has just said that it needs.
    if unsafe { wasi::environ_get(places.as_mut_ptr(), text.as_mut_ptr()) } != 0 {
        return None;
    }
    let mut variables = text.split(|byte| *byte == 0);
    let value = variables.find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(value.to_vec())
}

mod wasi {
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub(super) fn random_get(data: *mut u8, size: usize) -> u16;
        pub(super) fn environ_sizes_get(count: *mut usize, size: *mut usize) -> u16;
        pub(super) fn environ_get(places: *mut *mut u8, text: *mut u8) -> u16;
    }
}

// Comparing bytes, which the compiler takes from the C library of the target.
#[link(name = "c")]
unsafe extern "C" {}
