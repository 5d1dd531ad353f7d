//! How much memory is held for what has come in part.

use super::*;

/// An input that holds so many bytes of a block, behind some that were used.
fn holding(bytes: usize, buffers: &Buffers) -> Input {
    let mut block = buffers.block();
    (0..bytes).for_each(|at| block[7 + at] = at as u8);
    Input { block, from: 7, to: 7 + bytes }
}

#[test]
fn the_rest_of_something_short_is_waited_for_with_little_memory() {
    for (bytes, memory) in [
        (0, BUFFER_BYTES),
        (1, 1024),
        (512, 1024),
        (513, 2048),
        (3000, 8192),
        (5000, BUFFER_BYTES),
        (30_000, BUFFER_BYTES),
    ] {
        let buffers = Buffers::default();
        let mut input = holding(bytes, &buffers);
        let before = input.filled().to_vec();
        input.shrink(&buffers);
        assert_eq!((input.block.len(), input.filled()), (memory, &before[..]), "{bytes} bytes");
        let spare = usize::from(memory < BUFFER_BYTES);
        assert_eq!(buffers.blocks.borrow().len(), spare, "the block is there for others: {bytes} bytes");
    }
}

#[test]
fn more_of_it_is_read_into_a_whole_block() {
    let buffers = Buffers::default();
    let mut input = holding(600, &buffers);
    let before = input.filled().to_vec();
    input.shrink(&buffers);
    input.make_room(&buffers, BUFFER_BYTES);
    assert_eq!(input.block.len(), 2048, "there is room for more");
    let whole = [&before[..], &[0; 1448]].concat();
    input.to = 2048;
    input.make_room(&buffers, BUFFER_BYTES);
    assert_eq!((input.block.len(), input.filled()), (BUFFER_BYTES, &whole[..]));
    let mut used = holding(600, &buffers);
    used.shrink(&buffers);
    used.consume(600);
    used.make_room(&buffers, BUFFER_BYTES);
    assert_eq!(
        (used.block.len(), used.len()),
        (BUFFER_BYTES, 0),
        "what is used up leaves nothing small behind"
    );
}
