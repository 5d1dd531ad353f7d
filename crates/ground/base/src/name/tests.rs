//! Names that are taken, and names that are refused.

use super::*;

#[test]
fn names_are_what_docker_and_compose_allow() {
    assert!(AppName::new("shop-1_a").is_ok());
    assert!(AppName::new("Shop").is_err());
    assert!(AppName::new("-shop").is_err());
    assert!(ServiceName::new("Web.v2").is_ok());
    assert!(ServiceName::new("").is_err());
    assert!(ContainerName::new("a").is_err());
    assert!(ContainerName::new("shop-web-1").is_ok());
    assert!(VolumeName::new("../etc").is_err());
}

#[test]
fn an_id_is_64_digits_and_shows_12() {
    let id = ContainerId::from_bytes([0xab; 32]);
    assert_eq!(id.short(), "abababababab");
    assert_eq!(ContainerId::new(id.as_str()), Ok(id));
    assert!(ContainerId::new("ab").is_err());
}
