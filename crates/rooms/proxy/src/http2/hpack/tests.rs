//! Blocks to the letter of RFC 7541, and tables against a slow model of them.

use proptest::prelude::*;

use super::table::KNOWN;
use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let digit = |byte: u8| (byte as char).to_digit(16).expect("a digit") as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// Name and value.
type Pair = (Vec<u8>, Vec<u8>);

fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Pair>, BadBlock> {
    let mut all = Vec::new();
    decoder.decode(block, |line| all.push((line.name.to_vec(), line.value.to_vec())))?;
    Ok(all)
}

/// Reads blocks one after the other; gives each as lines.
#[track_caller]
fn check(blocks: &[(&str, &str)]) {
    let mut decoder = Decoder::new();
    for (block, want) in blocks {
        let fields = read(&mut decoder, &hex(block)).expect("a block");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let lines: Vec<_> =
            fields.iter().map(|(name, value)| format!("{}: {}", text(name), text(value))).collect();
        assert_eq!(lines.join("\n"), *want);
    }
}

#[test]
fn single_fields_are_read_as_the_rfc_writes_them() {
    check(&[(
        "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
        "custom-key: custom-header",
    )]);
    check(&[("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path")]);
    check(&[("1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret")]);
    check(&[("82", ":method: GET")]);
}

const FIRST: &str = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com";
const SECOND: &str =
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache";
const THIRD: &str =
    ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value";

#[test]
fn requests_are_read_as_the_rfc_writes_them() {
    check(&[
        ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", FIRST),
        ("8286 84be 5808 6e6f 2d63 6163 6865", SECOND),
        ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", THIRD),
    ]);
    check(&[
        ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", FIRST),
        ("8286 84be 5886 a8eb 1064 9cbf", SECOND),
        ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", THIRD),
    ]);
}

/// The answers of the RFC's last examples, which a table of 256 bytes cannot hold.
const ANSWERS: [&str; 3] = [
    ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
    ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
    ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\n\
     content-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
];

#[test]
fn what_a_small_table_cannot_hold_is_forgotten_as_the_rfc_writes_it() {
    check(&[
        (
            "3fe1 01 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 \
             3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            ANSWERS[0],
        ),
        ("4803 3330 37c1 c0bf", ANSWERS[1]),
        (
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 \
             7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 \
             6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
            ANSWERS[2],
        ),
    ]);
    check(&[
        (
            "3fe1 01 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d \
             29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            ANSWERS[0],
        ),
        ("4883 640e ffc1 c0bf", ANSWERS[1]),
        (
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 \
             b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
            ANSWERS[2],
        ),
    ]);
}

#[test]
fn what_is_against_the_rules_is_no_block() {
    for (name, block) in [
        ("number 0", "80"),
        ("a number of no entry", "be"),
        ("the name of no entry", "7e 00"),
        ("a number that does not end", "ff ff"),
        ("a number without a bound", "ff ffff ffff ffff ff00"),
        ("a number of nothing but continuations", "ff 8080 8080 8000"),
        ("a text that is cut", "00 09 61"),
        ("a field without a value", "00 01 61"),
        ("a table beyond ours", "3f e21f"),
        ("a new size behind a field", "82 20"),
        ("padding of zeros", "00 81 18 0161"),
        ("padding of a whole byte", "00 82 1fff 0161"),
        ("the end's code", "00 84 ffffffff 0161"),
    ] {
        assert_eq!(read(&mut Decoder::new(), &hex(block)), Err(BadBlock), "{name}");
    }
    check(&[("3f e11f 20 82", ":method: GET")]);
}

#[test]
fn a_field_that_no_table_can_hold_empties_it() {
    let mut decoder = Decoder::new();
    let mut block = hex("4001 6101 62");
    assert_eq!(read(&mut decoder, &block).expect("a block").len(), 1);
    assert_eq!(read(&mut decoder, &[0xbe]).expect("a block"), [(b"a".to_vec(), b"b".to_vec())]);
    block = hex("4001 617f e11e");
    block.extend([b'x'; 4064]);
    assert_eq!(read(&mut decoder, &block).expect("a block")[0].1.len(), 4064);
    assert_eq!(read(&mut decoder, &[0xbe]), Err(BadBlock));
}

#[test]
fn names_and_values_are_judged() {
    let mut kinds = Vec::new();
    let mut block = Vec::new();
    for name in [":path", "host", "te", "x-a", "X-A", "x a", "", ":x", "upgrade", "sec-websocket-key"] {
        block.extend([0, name.len() as u8]);
        block.extend(name.as_bytes());
        block.extend([1, b'v']);
    }
    Decoder::new().decode(&block, |line| kinds.push(line.kind)).expect("a block");
    use Kind::*;
    assert_eq!(kinds, [Path, Host, Te, Plain, Odd, Odd, Odd, Odd, OneHop, Key]);
    for (value, sound) in [
        ("", true),
        ("a b", true),
        ("a\tb", true),
        (" a", false),
        ("a ", false),
        ("a\r", false),
        ("\0", false),
    ] {
        assert_eq!(is_sound(value.as_bytes()), sound, "{value:?}");
    }
}

#[test]
fn answers_are_packed_so_that_they_are_read_alike() {
    let long = "v".repeat(5000);
    let fields = [("Content-Type", "text/plain"), ("X-Odd", ""), ("SERVER", "a"), ("x-long", &long)];
    let mut block = Vec::new();
    push_table_size(&mut block);
    for status in [200, 204, 206, 304, 400, 404, 500, 201, 599] {
        push_status(&mut block, status);
    }
    for (name, value) in fields {
        push_field(&mut block, name.as_bytes(), value.as_bytes());
    }
    let have = read(&mut Decoder::new(), &block).expect("a block");
    let statuses: Vec<_> = have[..9].iter().map(|(_, value)| String::from_utf8_lossy(value)).collect();
    assert_eq!(statuses, ["200", "204", "206", "304", "400", "404", "500", "201", "599"]);
    for ((name, value), have) in fields.iter().zip(&have[9..]) {
        assert_eq!((name.to_ascii_lowercase().as_bytes(), value.as_bytes()), (&have.0[..], &have.1[..]));
    }
}

/// What a client does with a block, for the model below.
#[derive(Debug, Clone)]
enum Says {
    /// A field that stays in the table, or does not.
    Field { name: String, value: String, kept: bool, coded: bool },
    /// The entry at this place of both tables, as far as there are so many.
    Again(usize),
    /// Such a size for the table.
    Size(usize),
}

fn says() -> impl Strategy<Value = Says> {
    prop_oneof![
        ("[a-z-]{1,12}", "\\PC{0,40}", any::<bool>(), any::<bool>())
            .prop_map(|(name, value, kept, coded)| Says::Field { name, value, kept, coded }),
        (0usize..100).prop_map(Says::Again),
        (0usize..=4096).prop_map(Says::Size),
    ]
}

/// The table as the RFC describes it.
struct Model {
    entries: Vec<Pair>,
    most: usize,
}

impl Model {
    fn trim(&mut self) {
        while self.entries.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>()
            > self.most
        {
            self.entries.pop();
        }
    }

    /// Writes one block of it; gives what is to be read.
    fn write(&mut self, says: &Says, block: &mut Vec<u8>) -> Option<Pair> {
        match says {
            Says::Size(size) => {
                self.most = *size;
                self.trim();
                push(block, 0x20, 5, *size);
                None
            }
            Says::Again(place) => {
                let place = place % (KNOWN.len() + self.entries.len());
                push(block, 0x80, 7, place + 1);
                let known = KNOWN.get(place).map(|(name, value)| (name.to_vec(), value.to_vec()));
                known.or_else(|| self.entries.get(place - KNOWN.len()).cloned())
            }
            Says::Field { name, value, kept, coded } => {
                block.push(if *kept { 0x40 } else { 0x10 });
                for text in [name, value] {
                    let mut codes = text.as_bytes().to_vec();
                    if *coded {
                        codes.clear();
                        huffman::encode(text.as_bytes(), &mut codes);
                    }
                    push(block, if *coded { 0x80 } else { 0 }, 7, codes.len());
                    block.extend(codes);
                }
                let field = (name.clone().into_bytes(), value.clone().into_bytes());
                if *kept {
                    self.entries.insert(0, field.clone());
                    self.trim();
                }
                Some(field)
            }
        }
    }
}

fn push(out: &mut Vec<u8>, kind: u8, bits: u32, number: usize) {
    let most = (1 << bits) - 1;
    if number < most {
        return out.push(kind | number as u8);
    }
    out.push(kind | most as u8);
    let mut rest = number - most;
    while rest >= 128 {
        out.push(rest as u8 | 128);
        rest /= 128;
    }
    out.push(rest as u8);
}

proptest! {
    #[test]
    fn tables_are_what_the_rfc_describes(all in proptest::collection::vec(says(), 0..200)) {
        let mut model = Model { entries: Vec::new(), most: 4096 };
        let mut decoder = Decoder::new();
        for says in &all {
            let mut block = Vec::new();
            let want = model.write(says, &mut block);
            prop_assert_eq!(read(&mut decoder, &block), Ok(want.into_iter().collect::<Vec<_>>()));
        }
    }

    #[test]
    fn codes_are_read_as_they_were_written(text: Vec<u8>) {
        let (mut codes, mut have) = (Vec::new(), Vec::new());
        huffman::encode(&text, &mut codes);
        prop_assert_eq!(huffman::decode(&codes, &mut have), Ok(()));
        prop_assert_eq!(have, text);
    }

    #[test]
    fn any_bytes_are_read_without_a_fall(blocks: Vec<Vec<u8>>) {
        let mut decoder = Decoder::new();
        for block in &blocks {
            let _ = read(&mut decoder, block);
        }
    }
}
