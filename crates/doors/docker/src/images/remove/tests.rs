//! What a removal takes, and what is in its way.

use std::sync::Arc;

use images::{Image, ImageId};
use oci::{Digest, ImageConfig};

use super::{Around, plan};

fn image(names: &[&str]) -> Image {
    Image {
        id: ImageId(Digest::sha256(b"one")),
        names: names.iter().map(|name| name.parse().expect("a name")).collect(),
        intermediate: false,
        config: Arc::new(ImageConfig::scratch()),
        chain: Vec::new(),
        lower: Vec::new(),
        size: 0,
        layer_sizes: Vec::new(),
        created: None,
        tagged: None,
        parent: None,
        digests: Vec::new(),
        pulled: None,
    }
}

/// The names that go, with `!` when the image goes too; or the conflict behind its first words.
fn check(names: &[&str], text: &str, around: &Around, force: bool) -> String {
    let image = image(names);
    let text = if text == "ID" { image.id.0.hex().to_owned() } else { text.to_owned() };
    match plan(&image, &text, around, force) {
        Ok(plan) => {
            let names: Vec<String> = plan.names.iter().map(oci::Reference::familiar).collect();
            format!("{}{}", names.join(" "), if plan.image { "!" } else { "" })
        }
        Err(refusal) => {
            assert_eq!(refusal.status.as_u16(), 409);
            refusal.message.replace(image.id.short(), "IMAGE")
        }
    }
}

fn nobody() -> Around {
    Around::default()
}

fn stopped() -> Around {
    Around { stopped: Some("f25e6150609e".into()), ..Around::default() }
}

fn running() -> Around {
    Around { running: Some("f25e6150609e".into()), ..Around::default() }
}

#[test]
fn a_name_goes_and_the_last_takes_the_image_along() {
    assert_eq!(check(&["a:1", "b:1"], "a:1", &nobody(), false), "a:1");
    assert_eq!(check(&["a:1"], "a:1", &nobody(), false), "a:1!");
    assert_eq!(check(&["a:1", "b:1"], "a:1", &running(), false), "a:1");
    assert_eq!(check(&["a:1"], "ID", &nobody(), false), "a:1!");
    assert_eq!(check(&[], "ID", &nobody(), false), "!");
    assert_eq!(check(&["a:1", "b:1"], "ID", &nobody(), true), "a:1 b:1!");
}

#[test]
fn a_container_is_in_the_way_of_the_last_name() {
    assert_eq!(
        check(&["a:1"], "a:1", &stopped(), false),
        "conflict: unable to remove repository reference \"a:1\" (must force) - container f25e6150609e is using its referenced image IMAGE"
    );
    assert_eq!(check(&["a:1"], "a:1", &running(), true), "a:1");
}

#[test]
fn by_id_conflicts_are_said_as_docker_says_them() {
    assert_eq!(
        check(&["a:1", "b:1"], "ID", &nobody(), false),
        "conflict: unable to delete IMAGE (must be forced) - image is referenced in multiple repositories"
    );
    assert_eq!(
        check(&["a:1"], "ID", &stopped(), false),
        "conflict: unable to delete IMAGE (must be forced) - image is being used by stopped container f25e6150609e"
    );
    assert_eq!(check(&["a:1"], "ID", &stopped(), true), "a:1");
    assert_eq!(
        check(&["a:1"], "ID", &running(), true),
        "conflict: unable to delete IMAGE (cannot be forced) - image is being used by running container f25e6150609e"
    );
    let children = Around { children: true, ..Around::default() };
    assert_eq!(
        check(&[], "ID", &children, true),
        "conflict: unable to delete IMAGE (cannot be forced) - image has dependent child images"
    );
}

#[test]
fn a_kept_release_keeps_its_image() {
    let kept = || Around { kept: true, ..Around::default() };
    assert!(check(&["a:1"], "a:1", &kept(), false).contains("a release that is kept needs"));
    assert_eq!(check(&["a:1"], "a:1", &kept(), true), "a:1");
    assert_eq!(check(&["a:1"], "ID", &kept(), true), "a:1");
}

#[test]
fn digests_go_with_the_last_tag_of_their_repository() {
    let digest = format!("a@sha256:{}", "ab".repeat(32));
    assert_eq!(check(&["a:1", &digest], "a:1", &nobody(), false), format!("a:1 {digest}!"));
    assert_eq!(check(&["a:1", "a:2", &digest], "a:1", &nobody(), false), "a:1");
    assert_eq!(check(&["a:1", &digest], "ID", &nobody(), false), format!("a:1 {digest}!"));
}
