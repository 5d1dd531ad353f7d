//! The same invented file that `measure.py` is tested on, and the corners around it.

use super::Source;

const LAMP: &str = r#"//! A lamp.

/// Lights a room.
pub struct Lamp<'a> {
    pub name: &'a str,
    #[cfg(test)]
    switched: u32,
}

impl<'a> Lamp<'a> {
    // Not counted: x.unwrap()
    pub fn on(&mut self, level: u8) -> Option<char> {
        let shade = "a { brace and an .unwrap()";
        let quote = '{';
        /* nor /* nested */ .unwrap() */
        std::env::args().next().unwrap();
        if level > 1 { for _ in 0..level { self.glow(shade, quote); } }
        None
    }
    fn glow(&self, shade: &str, colour: char, pairs: [(u8, u8); 2], f: fn(u8) -> u8) {}
}

#[cfg(test)]
mod tests {
    #[test]
    fn lights() { None::<u8>.unwrap(); }
}
"#;

#[test]
fn functions_are_measured_and_tests_are_left_out() {
    let lamp = Source::read("lamp/src/lib.rs", LAMP);
    let seen: Vec<_> =
        lamp.functions().iter().map(|f| (f.name, f.line + 1, f.code, f.depth, f.parameters)).collect();
    assert_eq!(seen, [("on", 12, 7, 2, 2), ("glow", 20, 1, 0, 5)]);
}

#[test]
fn a_field_behind_cfg_test_hides_only_itself() {
    let lamp = Source::read("lamp/src/lib.rs", LAMP);
    assert!(lamp.ships(4) && !lamp.ships(5) && !lamp.ships(6) && lamp.ships(7));
}

#[test]
fn a_module_behind_cfg_test_names_its_file() {
    let source = Source::read(
        "a.rs",
        "//! A.\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\npub(crate) mod fake;\nmod b;\n",
    );
    assert_eq!(source.test_modules, ["tests", "fake"]);
    assert!(source.ships(5));
}

#[test]
fn a_header_stands_before_all_code() {
    header("//! Holds.\nuse a;", true);
    header("// licence\n#![cfg_attr(docsrs, feature(x))]\n//! Holds.\nuse a;", true);
    header("use a;\n//! Late.", false);
    header("/// Of the item.\nstruct A;", false);
    header("", false);
}

#[track_caller]
fn header(text: &str, has: bool) {
    assert_eq!(Source::read("a.rs", text).has_header(), has, "{text}");
}
