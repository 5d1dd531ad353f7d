//! What the flags of builds mean.

use super::*;

#[test]
fn secrets_come_from_files_and_variables() {
    let dir = std::env::temp_dir().join(format!("sea-secret-{}", std::process::id()));
    std::fs::write(&dir, "bytes").expect("a file for the test");
    let path = dir.display();
    let read =
        |text: &str| secret(text).map(|(id, bytes)| (id, String::from_utf8_lossy(&bytes.0).into_owned()));
    let is = |text: &str, id: &str, bytes: &str| {
        assert_eq!(read(text), Ok((id.to_owned(), bytes.to_owned())), "`{text}`");
    };
    is(&format!("id=x,src={path}"), "x", "bytes");
    is(&format!("type=file,id=x,source={path}"), "x", "bytes");
    is(&format!("id={path}"), &path.to_string(), "bytes");
    let home = std::env::var("PATH").expect("every process has one");
    is("id=x,env=PATH", "x", &home);
    is("id=PATH", "PATH", &home);
    is("id=x,type=env,src=PATH", "x", &home);
    std::fs::remove_file(&dir).expect("it is ours");
    for text in ["", "x", "src=/etc/hostname", "id=x,what=y", "id=,src=x", "id=x,type=vault"] {
        assert_eq!(secret(text).err().map(|error| error.kind), Some(Kind::Invalid), "`{text}`");
    }
    assert_eq!(secret("id=x,env=NOT_SET_AT_ALL").err().map(|error| error.kind), Some(Kind::NotFound));
    assert_eq!(secret("id=x,src=/no/such").err().map(|error| error.kind), Some(Kind::NotFound));
}

#[test]
fn arguments_without_a_value_have_that_of_the_environment_or_are_not_given() {
    let texts = ["A=1", "B=", "C=x=y", "PATH", "NOT_SET_AT_ALL"].map(str::to_owned);
    let path = std::env::var("PATH").expect("every process has one");
    let wanted = [("A", "1"), ("B", ""), ("C", "x=y"), ("PATH", path.as_str())];
    let given = arguments(&texts);
    let given: Vec<(&str, &str)> =
        given.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(given, wanted);
}

#[test]
fn named_contexts_are_folders_urls_and_images() {
    let mut archives = Vec::new();
    let mut read = |text: &str| named(text, &mut archives);
    let image = BuildContext::Image("alpine:3".into());
    assert_eq!(read("base=docker-image://alpine:3"), Ok(("base".into(), image)));
    assert_eq!(read("d=/"), Ok(("d".into(), BuildContext::Archive)));
    assert_eq!(read("u=https://h/x.tar"), Ok(("u".into(), BuildContext::Url("https://h/x.tar".into()))));
    for (text, kind) in [
        ("x", Kind::Invalid),
        ("=x", Kind::Invalid),
        ("x=/no/such", Kind::NotFound),
        ("x=oci-layout:///x", Kind::Unsupported),
    ] {
        assert_eq!(read(text).err().map(|error| error.kind), Some(kind), "`{text}`");
    }
    assert_eq!(archives.len(), 1);
}
