//! Tests of which places for results are known.

use super::*;

fn read(kind: &str, attrs: &[(&str, &str)]) -> Result<Vec<Output>, String> {
    let attrs = attrs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Output::read(&[Exporter { kind: kind.into(), attrs }]).map_err(|status| status.message)
}

#[test]
fn places_are_read() {
    let names = vec!["a:1".parse().expect("a name"), "b".parse().expect("a name")];
    assert_eq!(read("moby", &[("name", "a:1,b")]), Ok(vec![Output::Store(names)]));
    assert_eq!(read("image", &[]), Ok(vec![Output::Store(Vec::new())]));
    assert_eq!(read("local", &[]), Ok(vec![Output::Folder(0)]));
    assert_eq!(read("tar", &[]), Ok(vec![Output::Archive(0)]));
    assert_eq!(read("", &[]), Ok(Vec::new()));
    assert_eq!(read("cacheonly", &[]), Ok(Vec::new()));
}

#[test]
fn others_are_refused() {
    assert_eq!(read("oci", &[]), Err("exporter \"oci\" could not be found".into()));
    assert_eq!(
        read("local", &[("mode", "delete")]),
        Err("the mode \"delete\" of the local exporter is not supported here".into())
    );
    assert!(read("moby", &[("name", "UPPER")]).is_err());
}
