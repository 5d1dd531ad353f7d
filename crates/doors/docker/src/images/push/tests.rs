//! A push in docker's words.

use images::{PushState, PushStep};
use oci::Digest;

use super::words;

#[test]
fn steps_are_told_as_docker_tells_them() {
    let layer = Digest::sha256(b"layer");
    for (state, status) in [
        (PushState::Waiting, "Preparing"),
        (PushState::Sending { bytes: 1, size: 2 }, "Pushing"),
        (PushState::Known, "Layer already exists"),
        (PushState::Mounted { from: "team/web".into() }, "Mounted from team/web"),
        (PushState::Done, "Pushed"),
    ] {
        let said = words(&PushStep { layer: layer.clone(), state });
        assert_eq!(said["status"], status);
        assert_eq!(said["id"], layer.short());
    }
}
