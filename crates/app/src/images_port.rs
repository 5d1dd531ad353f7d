//! Images as the loops know them, behind the `Images` port.

use base::{Problem, Report};
use images::Images;
use plan::ports::{self, BoxFuture, ImageFacts};
use spec::PullPolicy;

/// The image store as a port.
pub(crate) struct ImagesPort(pub(crate) Images);

impl ports::Images for ImagesPort {
    fn resolve<'a>(
        &'a self,
        name: &'a str,
        _policy: PullPolicy,
    ) -> BoxFuture<'a, Result<ImageFacts, Report>> {
        let facts = self.0.find(name).map(|image| facts(&image)).map_err(|problem| {
            let mut report = Report::of(&problem);
            if problem.kind() == base::Kind::NotFound {
                report.hint = Some(format!(
                    "bring it here with `sea pull {name}` or `sea image load -i FILE`, or make it with `build:` and \
                     `sea up --build`"
                ));
            }
            report
        });
        Box::pin(std::future::ready(facts))
    }
}

fn facts(image: &images::Image) -> ImageFacts {
    let run = &image.config.config;
    let tcp = |port: &String| match port.split_once('/') {
        None => port.parse().ok(),
        Some((number, "tcp")) => number.parse().ok(),
        Some(_) => None,
    };
    ImageFacts {
        digest: image.id.to_string(),
        healthcheck: run.healthcheck.as_ref().and_then(containers::image_check),
        exposed: run.exposed_ports.keys().filter_map(tcp).collect(),
    }
}
