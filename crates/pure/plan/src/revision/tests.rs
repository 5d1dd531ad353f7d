//! What changes a revision, and what does not.

use expect_test::expect;
use spec::{Blob, FileMount, FileSource};

use super::*;
use crate::fixtures::{app, name, route, service};

fn of(app: &App, image: &str) -> Revision {
    let service = &app.services[&name("web")];
    revision(app, service, &Ingredients { image, generation: 0, run: None, follows: &[] })
}

fn plain() -> App {
    let mut web = service("web:1", 2);
    web.environment.insert("A".into(), "1".into());
    web.environment.insert("B".into(), "2".into());
    web.secrets.push(FileMount { source: "key".into(), target: "/key".into(), uid: 0, gid: 0, mode: 0o444 });
    let mut app = app([("web", web)]);
    let content = Some(Blob(b"hush".to_vec()));
    app.secrets
        .insert("key".into(), FileSource { name: "shop_key".into(), content, labels: Default::default() });
    app
}

#[track_caller]
fn check(changes: bool, change: impl FnOnce(&mut App)) {
    let mut app = plain();
    let before = of(&app, "sha256:1");
    change(&mut app);
    assert_eq!(of(&app, "sha256:1") != before, changes);
}

fn web(app: &mut App) -> &mut Service {
    app.services.get_mut(&name("web")).expect("web")
}

#[test]
fn a_revision_is_the_same_in_every_version_of_this_program() {
    expect!["867add98"].assert_eq(&of(&plain(), "sha256:1").as_str()[..8]);
}

#[test]
fn what_an_instance_is_made_of_changes_its_revision() {
    check(true, |app| web(app).command = Some(vec!["run".into()]));
    check(true, |app| drop(web(app).environment.insert("C".into(), "3".into())));
    check(true, |app| app.secrets["key"].content = Some(Blob(b"other".to_vec())));
    check(true, |app| web(app).read_only = true);
    assert_ne!(of(&plain(), "sha256:1"), of(&plain(), "sha256:2"));
}

#[test]
fn what_an_instance_does_not_see_changes_nothing() {
    check(false, |app| web(app).replicas = 9);
    check(false, |app| route(web(app), 80));
    check(false, |app| web(app).image = "web:latest".into());
    check(false, |app| web(app).restart = spec::Restart::Always);
    check(false, |app| web(app).update.parallelism = 7);
    check(false, |app| web(app).environment.reverse());
}
