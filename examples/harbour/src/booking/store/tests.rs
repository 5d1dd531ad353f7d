//! The database, in a file of its own for each test.

use std::path::PathBuf;

use super::{MIGRATIONS, Refused, Store, Wish, migrate};

#[test]
fn a_database_is_brought_to_shape_once_and_only_then_opens() {
    let file = File::new("shape");
    assert!(Store::open(&file.path()).is_err());
    assert_eq!(migrate(&file.path()).unwrap(), (0, MIGRATIONS.len()));
    assert_eq!(migrate(&file.path()).unwrap(), (MIGRATIONS.len(), MIGRATIONS.len()));
    assert_eq!(Store::open(&file.path()).unwrap().taken().unwrap(), 3);
}

#[test]
fn a_berth_takes_one_ship_until_it_leaves() {
    let file = File::new("berth");
    migrate(&file.path()).unwrap();
    let store = Store::open(&file.path()).unwrap();
    let id = store.book(&wish("A1", 8)).unwrap().unwrap();
    assert_eq!(store.book(&wish("A1", 7)).unwrap(), Err(Refused::Taken("berth A1 is taken".into())));
    assert!(store.cancel(id).unwrap());
    assert!(!store.cancel(id).unwrap());
    assert!(store.book(&wish("A1", 7)).unwrap().is_ok());
}

#[test]
fn a_wish_that_cannot_be_is_refused_with_the_reason() {
    let file = File::new("wish");
    migrate(&file.path()).unwrap();
    let store = Store::open(&file.path()).unwrap();
    let refused = |wish: Wish| match store.book(&wish).unwrap() {
        Err(Refused::Invalid(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(wish("A1", 9)), "berth A1 takes ships of 1 to 8 metres");
    assert_eq!(refused(wish("Z9", 9)), "there is no berth Z9");
    assert_eq!(refused(Wish { ship: String::new(), ..wish("A1", 8) }), "a ship's name has 1 to 40 letters");
    assert_eq!(refused(Wish { nights: 31, ..wish("A1", 8) }), "a stay has 1 to 30 nights");
}

fn wish(berth: &str, length_m: u32) -> Wish {
    Wish { ship: "Argo".into(), length_m, berth: berth.into(), nights: 2, price_cents: 100 }
}

/// A file that goes with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("harbour-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn path(&self) -> String {
        self.0.join("harbour.db").display().to_string()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
