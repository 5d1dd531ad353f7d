//! How problems become reports.

use super::*;

#[derive(Debug, thiserror::Error)]
#[error("could not start `web`")]
struct Outer {
    source: Report,
}

impl Problem for Outer {
    fn kind(&self) -> Kind {
        self.source.kind
    }

    fn hint(&self) -> Option<String> {
        None
    }
}

#[test]
fn a_report_behind_a_problem_is_told_once_with_its_causes_and_its_hint() {
    let source = Report::new(Kind::NotFound, "no image `web:v2`").because("nobody made it").hint("build it");
    let report = Report::of(&Outer { source });
    assert_eq!(
        report.to_string(),
        "could not start `web`\n  because: no image `web:v2`\n  because: nobody made it\n  hint: build it"
    );
}
