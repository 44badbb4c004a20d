//! mimalloc as the global allocator. The crate `mimalloc` asks for an alignment with each allocation, even where every block
//! has it; a third of those calls then take mimalloc's slow way and get a larger block than they need. A request makes about
//! a hundred allocations.

#![no_std]

use core::{
    alloc::{GlobalAlloc, Layout},
    ffi::c_void,
};
use libmimalloc_sys::{
    mi_collect, mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc,
    mi_zalloc_aligned,
};

/// mimalloc. A static of it with `#[global_allocator]` makes it that of the program.
#[derive(Debug, Default, Clone, Copy)]
pub struct Mimalloc;

/// Gives memory that is free back to the system. mimalloc does so by itself, but only while something is freed: what a large
/// change of the configuration took stays otherwise until the next one.
pub fn give_back() {
    // SAFETY: it may be called at any time, from any thread.
    unsafe { mi_collect(true) }
}

/// Whether each block that is large enough is aligned enough. mimalloc aligns blocks of more than 8 bytes to 16
/// (`MI_MAX_ALIGN_SIZE`), smaller ones to 8.
const fn comes_aligned(size: usize, align: usize) -> bool {
    align <= 8 || (align <= 16 && size > 8)
}

// SAFETY: each method hands mimalloc a size and, unless every block of that size has it, an alignment, and gives back the
// block that mimalloc returned for them, or null. None panics. Blocks come from and go to mimalloc only: one
// `mi_free` frees blocks of all its functions.
unsafe impl GlobalAlloc for Mimalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        if comes_aligned(size, align) {
            // SAFETY: any size may be asked for.
            unsafe { mi_malloc(size).cast() }
        } else {
            // SAFETY: a layout's alignment is a power of two.
            unsafe { mi_malloc_aligned(size, align).cast() }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        if comes_aligned(size, align) {
            // SAFETY: as in `alloc`.
            unsafe { mi_zalloc(size).cast() }
        } else {
            // SAFETY: as in `alloc`.
            unsafe { mi_zalloc_aligned(size, align).cast() }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the caller vouches that the block came from this allocator and is not used any more.
        unsafe { mi_free(block.cast::<c_void>()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let align = layout.align();
        if comes_aligned(size, align) {
            // SAFETY: the caller vouches for the block. Where mimalloc leaves it in its place, it is as aligned as it was.
            unsafe { mi_realloc(block.cast(), size).cast() }
        } else {
            // SAFETY: as above; a layout's alignment is a power of two.
            unsafe { mi_realloc_aligned(block.cast(), size, align).cast() }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{vec, vec::Vec};

    fn aligned(block: *mut u8, align: usize) -> bool {
        !block.is_null() && (block as usize).is_multiple_of(align)
    }

    #[test]
    fn every_block_is_as_aligned_as_it_was_asked_to_be() {
        for align in [1, 2, 4, 8, 16, 32, 64, 128, 4096] {
            let mut held = Vec::new();
            for size in (1..300).chain([1000, 1024, 4000, 8192, 70_000, 3 << 20]) {
                let Ok(layout) = Layout::from_size_align(size, align) else {
                    continue;
                };
                // SAFETY: the layout has a size; each block is freed once, below, under the layout that it has then.
                unsafe {
                    let block = Mimalloc.alloc(layout);
                    assert!(aligned(block, align), "{size} {align}");
                    block.write_bytes(7, size);
                    let zeroed = Mimalloc.alloc_zeroed(layout);
                    assert!(aligned(zeroed, align), "{size} {align}");
                    assert_eq!(
                        core::slice::from_raw_parts(zeroed, size),
                        vec![0; size].as_slice()
                    );
                    let grown = Mimalloc.realloc(block, layout, size * 2 + 1);
                    assert!(aligned(grown, align), "{size} {align}");
                    assert_eq!(
                        core::slice::from_raw_parts(grown, size),
                        vec![7; size].as_slice()
                    );
                    held.push((zeroed, layout));
                    if let Ok(layout) = Layout::from_size_align(size * 2 + 1, align) {
                        held.push((grown, layout));
                    }
                }
            }
            for (block, layout) in held {
                // SAFETY: of the blocks above, each once.
                unsafe { Mimalloc.dealloc(block, layout) };
            }
        }
    }

    #[test]
    fn a_block_that_shrinks_stays_aligned() {
        for align in [8, 16, 64] {
            for (from, to) in [(4096, 9), (64, 8), (100, 17)] {
                let Ok(layout) = Layout::from_size_align(from, align) else {
                    continue;
                };
                // SAFETY: the block is freed once, under the layout that it has then.
                unsafe {
                    let block = Mimalloc.realloc(Mimalloc.alloc(layout), layout, to);
                    assert!(aligned(block, align), "{from} {to} {align}");
                    if let Ok(layout) = Layout::from_size_align(to, align) {
                        Mimalloc.dealloc(block, layout);
                    }
                }
            }
        }
    }
}
