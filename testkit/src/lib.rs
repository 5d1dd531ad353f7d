//! Fakes and fixtures that the tests of many crates share.

mod archive;
mod authority;
mod machine;
mod tar;

pub use archive::{TestImage, docker_save, gzip_stored, oci_layout};
pub use authority::{Authority, Manners};
pub use machine::{real_images, require_root};
pub use tar::{Entry, tar};
