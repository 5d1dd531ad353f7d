//! Buffers that are lent to connections at work and taken back when they rest.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll};

use crate::limits::{BUFFER_BYTES, BUFFERS_KEPT};
use crate::stream::Stream;

/// The least that is held of what has come in part.
const SHORT_BYTES: usize = 1024;

/// A thread's spare buffers.
#[derive(Default)]
pub(crate) struct Buffers {
    /// For reading: each is filled with initialised bytes to its length.
    blocks: RefCell<Vec<Vec<u8>>>,
    /// For writing: empty, with some capacity.
    pages: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty buffer for writing.
    pub(crate) fn page(&self) -> Vec<u8> {
        self.pages.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a buffer for writing back.
    pub(crate) fn give_page(&self, mut page: Vec<u8>) {
        let mut pages = self.pages.borrow_mut();
        if page.capacity() > 0 && page.capacity() <= 2 * BUFFER_BYTES && pages.len() < BUFFERS_KEPT {
            page.clear();
            pages.push(page);
        }
    }

    fn block(&self) -> Vec<u8> {
        self.blocks.borrow_mut().pop().unwrap_or_else(|| vec![0; BUFFER_BYTES])
    }

    fn give_block(&self, block: Vec<u8>) {
        let mut blocks = self.blocks.borrow_mut();
        if block.len() == BUFFER_BYTES && blocks.len() < BUFFERS_KEPT {
            blocks.push(block);
        }
    }
}

/// What was read and not yet used. Holds no memory until it is filled.
#[derive(Default)]
pub(crate) struct Input {
    block: Vec<u8>,
    from: usize,
    to: usize,
}

impl Input {
    /// What is there.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.block[self.from..self.to]
    }

    pub(crate) fn len(&self) -> usize {
        self.to - self.from
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Whether nothing more can be read without going beyond `most`.
    pub(crate) fn is_full(&self, most: usize) -> bool {
        self.len() >= most
    }

    /// Drops the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.from += count;
        debug_assert!(self.from <= self.to, "more was consumed than there is");
        if self.from == self.to {
            self.from = 0;
            self.to = 0;
        }
    }

    /// Gives the memory back if nothing is in it.
    pub(crate) fn rest(&mut self, buffers: &Buffers) {
        if self.is_empty() && !self.block.is_empty() {
            buffers.give_block(std::mem::take(&mut self.block));
        }
    }

    /// Gives most of the memory back while the rest of something short is waited for: a client that sends a byte a second
    /// holds little more than these bytes.
    pub(crate) fn shrink(&mut self, buffers: &Buffers) {
        let short = (2 * self.len()).next_power_of_two().max(SHORT_BYTES);
        if self.is_empty() || short > self.block.len() / 4 {
            return;
        }
        let mut block = vec![0; short];
        block[..self.len()].copy_from_slice(self.filled());
        (self.from, self.to) = (0, self.len());
        buffers.give_block(std::mem::replace(&mut self.block, block));
    }

    /// Reads once from the socket; 0 is its end. `most` bounds what may be held at once.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        buffers: &Buffers,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        self.make_room(buffers, most);
        match stream.poll_fill(cx, &mut self.block[self.to..]) {
            Poll::Ready(Ok(count)) => {
                self.to += count;
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                // Who waits for an answer holds no buffer either: thousands may wait at once.
                self.rest(buffers);
                Poll::Pending
            }
        }
    }

    fn make_room(&mut self, buffers: &Buffers, most: usize) {
        if self.block.is_empty() {
            self.block = buffers.block();
            return;
        }
        let is_short = self.block.len() < BUFFER_BYTES;
        if is_short && (self.is_empty() || self.to == self.block.len()) {
            let mut block = buffers.block();
            block[..self.len()].copy_from_slice(self.filled());
            (self.from, self.to) = (0, self.len());
            self.block = block;
        }
        if self.to < self.block.len() {
            return;
        }
        if self.from > 0 {
            self.block.copy_within(self.from..self.to, 0);
            self.to -= self.from;
            self.from = 0;
        } else if self.block.len() < most {
            self.block.resize((self.block.len() * 2).min(most), 0);
        }
    }
}

/// Bytes on their way out: everything from `at` is still to be written.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) bytes: Vec<u8>,
    pub(crate) at: usize,
}

impl Output {
    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    pub(crate) fn is_flushed(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Notes that `count` more bytes went out, and forgets all when all are out.
    pub(crate) fn wrote(&mut self, count: usize) {
        self.at += count;
        if self.is_flushed() {
            self.clear();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.at = 0;
    }
}

#[cfg(test)]
mod tests;
