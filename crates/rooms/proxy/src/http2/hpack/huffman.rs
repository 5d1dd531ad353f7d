//! The Huffman code of HPACK (RFC 7541, appendix B).
//!
//! It is canonical: codes go up with their length, and among those of one length with the symbol. So the lengths are all
//! that is written here, and everything else is made of them while the program is built.

/// The text that a code stands for is not whole, or its padding is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadCode;

/// How many bits the code of each symbol has; the last is the end of a text, which never stands in one.
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];
const SYMBOLS: usize = 257;
const END: u16 = 256;
/// The longest code.
const LONGEST: usize = 30;
/// Codes of so many bits and fewer are found in one step.
const QUICK_BITS: u32 = 10;

/// The symbols in the order of their codes.
static ORDER: [u16; SYMBOLS] = order();
/// Behind the last code of each length, with the bits at the upper end of the word.
static LIMITS: [u64; LONGEST + 1] = limits();
/// The place in [`ORDER`] of the first code of each length, less that code.
static BEGINS: [i64; LONGEST + 1] = begins();
/// Length and symbol by the first bits, or 0 for a longer code.
static QUICK: [u16; 1 << QUICK_BITS] = quick();

const fn order() -> [u16; SYMBOLS] {
    let mut order = [0; SYMBOLS];
    let (mut at, mut length) = (0, 1);
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                order[at] = symbol as u16;
                at += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    order
}

/// The number of codes of each length.
const fn counts() -> [u64; LONGEST + 1] {
    let mut counts = [0; LONGEST + 1];
    let mut symbol = 0;
    while symbol < SYMBOLS {
        counts[LENGTHS[symbol] as usize] += 1;
        symbol += 1;
    }
    counts
}

const fn limits() -> [u64; LONGEST + 1] {
    let (counts, mut limits) = (counts(), [0; LONGEST + 1]);
    let (mut code, mut length) = (0u64, 1);
    while length <= LONGEST {
        code = (code << 1) + counts[length];
        limits[length] = code << (64 - length);
        length += 1;
    }
    // All ones and nothing behind: the codes fill the whole room, which no word can say.
    limits[LONGEST] = u64::MAX;
    limits
}

const fn begins() -> [i64; LONGEST + 1] {
    let (counts, mut begins) = (counts(), [0; LONGEST + 1]);
    let (mut code, mut place, mut length) = (0i64, 0i64, 1);
    while length <= LONGEST {
        code <<= 1;
        begins[length] = place - code;
        code += counts[length] as i64;
        place += counts[length] as i64;
        length += 1;
    }
    begins
}

const fn quick() -> [u16; 1 << QUICK_BITS] {
    let (order, mut quick) = (order(), [0; 1 << QUICK_BITS]);
    let (mut at, mut next) = (0, 0);
    while at < SYMBOLS {
        let length = LENGTHS[order[at] as usize] as u32;
        if length > QUICK_BITS {
            return quick;
        }
        let mut of_code = 0;
        while of_code < 1 << (QUICK_BITS - length) {
            quick[next] = (length as u16) << 8 | order[at];
            next += 1;
            of_code += 1;
        }
        at += 1;
    }
    quick
}

/// Appends the text of these codes.
pub(super) fn decode(codes: &[u8], out: &mut Vec<u8>) -> Result<(), BadCode> {
    out.reserve(codes.len() * 8 / 5 + 1);
    // The bits stand at the upper end.
    let (mut bits, mut count) = (0u64, 0u32);
    let mut rest = codes.iter();
    loop {
        while count <= 56
            && let Some(byte) = rest.next()
        {
            bits |= u64::from(*byte) << (56 - count);
            count += 8;
        }
        let (symbol, length) = front(bits);
        if length > count {
            break;
        }
        if symbol == END {
            return Err(BadCode);
        }
        out.push(symbol as u8);
        bits <<= length;
        count -= length;
    }
    // What is left is the beginning of the end's code, and less than a byte.
    let padding = !0u64 << (64 - count.max(1));
    if count < 8 && (count == 0 || bits == padding) { Ok(()) } else { Err(BadCode) }
}

/// The symbol in front, and the length of its code.
fn front(bits: u64) -> (u16, u32) {
    let hit = QUICK[(bits >> (64 - QUICK_BITS)) as usize];
    if hit != 0 {
        return (hit & 0xff, u32::from(hit >> 8));
    }
    let mut length = QUICK_BITS as usize + 1;
    while length < LONGEST && bits >= LIMITS[length] {
        length += 1;
    }
    let code = (bits >> (64 - length)) as i64;
    (ORDER[(code + BEGINS[length]) as usize], length as u32)
}

/// Appends the codes of a text; what stands here for tests alone, as answers are sent as they are.
#[cfg(test)]
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut count) = (0u64, 0);
    for symbol in text {
        let length = usize::from(LENGTHS[usize::from(*symbol)]);
        let place = ORDER.iter().position(|other| *other == u16::from(*symbol)).expect("it is in the order");
        bits = bits << length | (place as i64 - BEGINS[length]) as u64;
        count += length;
        while count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    if count > 0 {
        out.push((bits << (8 - count)) as u8 | (0xff >> count));
    }
}
