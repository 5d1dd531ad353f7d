//! Tests of the rules: what is found in a file, and what is not.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::{Expect, expect};

use super::*;
use crate::dockerfile::parse;

/// A base image `base` that is here; no other is.
fn image(name: &str) -> Option<Base> {
    let env = vec!["PATH=/bin".to_owned(), "HOME=/root".to_owned()];
    (name == "base").then_some(Base { env, shell: false })
}

fn run(text: &str, args: &[(&str, &str)], ignore: &str, stages: Stages<'_>) -> Result<Findings, String> {
    let file = parse(text).map_err(|error| error.to_string())?;
    let args: BTreeMap<String, String> =
        args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let ignore = Ignore::parse(ignore).map_err(|error| error.to_string())?;
    let contexts = BTreeSet::new();
    check(&file, Around { args: &args, stages, contexts: &contexts, ignore: Some(&ignore), image: &image })
}

fn shown(found: Result<Findings, String>) -> String {
    match found {
        Ok(findings) => findings.found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        Err(why) => why,
    }
}

#[track_caller]
fn check_file(text: &str, found: Expect) {
    found.assert_eq(&shown(run(text, &[], "", Stages::All)));
}

#[test]
fn nothing_is_found_where_nothing_is_odd() {
    check_file(
        "# check=error=true\nARG V=1\nFROM base:$V AS b\nWORKDIR /x\nWORKDIR y\nENV A=1\nCOPY $A /\nFROM base\nARG W\nRUN x\nCOPY --from=b --chown=$W / $HOME\nEXPOSE 80/tcp :81\nCMD [\"x\"]",
        expect![""],
    );
}

#[test]
fn words_are_looked_at_as_they_are_written() {
    check_file(
        "arg X=1\nFROM a AS Up\nfrom b as up\nrun x \\\n\n  y\nRun x\nFROM c as d\nFrom c AS e\nFROM f AS scratch\nMAINTAINER me",
        expect![[r#"
            StageNameCasing: Stage name 'Up' should be lowercase (line 2)
            ConsistentInstructionCasing: Command 'from' should match the case of the command majority (uppercase) (line 3)
            DuplicateStageName: Duplicate stage name "up", stage names should be unique (line 3)
            ConsistentInstructionCasing: Command 'run' should match the case of the command majority (uppercase) (line 4)
            NoEmptyContinuation: Empty continuation line (line 6)
            ConsistentInstructionCasing: Command 'Run' should match the case of the command majority (uppercase) (line 7)
            FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 8)
            ConsistentInstructionCasing: Command 'From' should match the case of the command majority (uppercase) (line 9)
            ReservedStageName: Stage name should not use the same name as reserved stage "scratch" (line 10)
            MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label (line 11)"#]],
    );
    check_file(
        "from a\nrun x\nRUN y",
        expect![
            "ConsistentInstructionCasing: Command 'RUN' should match the case of the command majority (lowercase) (line 3)"
        ],
    );
}

#[test]
fn bases_are_looked_at_with_what_is_declared_before() {
    check_file(
        "ARG VERSION\nARG EMPTY\nFROM a:$VERSION\nFROM a:$VERSIN\nFROM $NOWHERE:1",
        expect![[r#"
            InvalidDefaultArgInFrom: Default value for ARG a:$VERSION results in empty or invalid base image name (line 3)
            InvalidDefaultArgInFrom: Default value for ARG a:$VERSIN results in empty or invalid base image name (line 4)
            UndefinedArgInFrom: FROM argument 'VERSIN' is not declared (did you mean VERSION?) (line 4)
            InvalidDefaultArgInFrom: Default value for ARG $NOWHERE:1 results in empty or invalid base image name (line 5)
            UndefinedArgInFrom: FROM argument 'NOWHERE' is not declared (line 5)"#]],
    );
    check_file(
        "FROM --platform=linux/arm64 a\nFROM --platform=linux/arm64 a AS for-arm64\nFROM --platform=$TARGETPLATFORM a\nFROM --platform=$BUILDPLATFORM a",
        expect![[r#"
            FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "linux/arm64" (line 1)
            RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior (line 3)"#]],
    );
}

#[test]
fn a_stage_is_looked_at_in_order() {
    check_file(
        "FROM scratch\nWORKDIR x\nENV DB_PASSWORD hunter\nARG API_TOKEN\nARG PUBLIC_KEY PASSWORD_FILE MONKEY\nCMD a\nCMD b\nEXPOSE 80/TCP 1:2\nLABEL a b\nhealthcheck NONE\nHEALTHCHECK NONE\nSHELL [\"/x\"]\nENTRYPOINT c",
        expect![[r#"
            WorkdirRelativePath: Relative workdir "x" can have unexpected results if the base image changes (line 2)
            LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format (line 3)
            SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "DB_PASSWORD") (line 3)
            SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "API_TOKEN") (line 4)
            JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 6)
            MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used (line 6)
            JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 7)
            ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '1:2' (line 8)
            ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase (line 8)
            LegacyKeyValueFormat: "LABEL key=value" should be used instead of legacy "LABEL key value" format (line 9)
            ConsistentInstructionCasing: Command 'healthcheck' should match the case of the command majority (uppercase) (line 10)
            MultipleInstructionsDisallowed: Multiple HEALTHCHECK instructions should not be used in the same stage because only the last one will be used (line 10)"#]],
    );
    check_file(
        "FROM a AS b\nWORKDIR /x\nCMD [\"a\"]\nFROM b\nWORKDIR y\nCMD [\"b\"]\nFROM b\nWORKDIR $UNKNOWN/y",
        expect![""],
    );
}

#[test]
fn a_variable_is_set_before_it_is_used() {
    check_file(
        "FROM base AS one\nARG FOO=1\nARG BAR\nCOPY $FO $BAR /$HOME\nENV A=$A$FOO\nENV A=$A\nUSER ${WHO:-me}\nRUN --mount=target=/x,source=$SRC echo $SHELL_ONLY\nCOPY <<E /x\n$TEXT\nE\nFROM one\nVOLUME $FOO$NEW\nFROM unknown\nUSER $ANY\nFROM scratch\nENV PATH=$PATH:/x",
        expect![[r#"
            UndefinedVar: Usage of undefined variable '$FO' (did you mean $FOO?) (line 4)
            UndefinedVar: Usage of undefined variable '$A' (line 5)
            UndefinedVar: Usage of undefined variable '$WHO' (did you mean $FOO?) (line 7)
            UndefinedVar: Usage of undefined variable '$SRC' (line 8)
            UndefinedVar: Usage of undefined variable '$TEXT' (line 9)
            UndefinedVar: Usage of undefined variable '$NEW' (line 13)"#]],
    );
}

#[test]
fn a_file_that_stays_out_is_not_copied() {
    let text = "FROM base AS b\nCOPY a b/c ./d/ /\nADD a https://x/a /\nCOPY --from=c a /\nCOPY . /";
    let found = |ignore| shown(run(text, &[], ignore, Stages::All));
    expect![[r#"
        CopyIgnoredFile: Attempting to Copy file "a" that is excluded by .dockerignore (line 2)
        CopyIgnoredFile: Attempting to Copy file "b/c" that is excluded by .dockerignore (line 2)
        CopyIgnoredFile: Attempting to Add file "a" that is excluded by .dockerignore (line 3)"#]]
    .assert_eq(&found("a\nb"));
    expect![""].assert_eq(&found("a\nb\n!b/x"));
    assert!(found("*").contains("Copy file \".\""), "{}", found("*"));
}

#[test]
fn comments_leave_rules_out_or_ask_for_them() {
    check_file(
        "# check=skip=JSONArgsRecommended,WorkdirRelativePath;error=true\nFROM a\nWORKDIR x\nCMD x",
        expect![""],
    );
    check_file("# check=skip=all\nFROM a\nWORKDIR x\nCMD x", expect![""]);
    check_file(
        "FROM a\n# why\n# check=skip=WorkdirRelativePath for now\nWORKDIR x\nCMD x",
        expect![
            "JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 5)"
        ],
    );
    let described = "# check=experimental=all\n# V is it\nARG V\n# what\nARG A\n# what\n#\nARG B\n# b: x\nFROM a AS b\n# what\nARG C D";
    check_file(
        described,
        expect![[r#"
            InvalidDefinitionDescription: Comment for ARG should follow the format: `# A <description>` (line 5)
            InvalidDefinitionDescription: Comment for FROM should follow the format: `# b <description>` (line 10)
            InvalidDefinitionDescription: Comment for ARG should follow the format: `# <arg_key> <description>` (line 12)"#]],
    );
    check_file("# check=never\nFROM a", expect![[r#"invalid check option "never""#]]);
}

#[test]
fn a_build_argument_speaks_for_the_whole_file_and_a_target_for_what_it_needs() {
    let text = "# check=error=true\nFROM a AS one\nCMD x\nFROM a AS two\nWORKDIR x";
    let found = |args: &[(&str, &str)], stages| run(text, args, "", stages).expect("it makes sense");
    let all = found(&[], Stages::All);
    let refusal = "lint violation found for rules: JSONArgsRecommended, WorkdirRelativePath";
    assert_eq!(all.refusal().as_deref(), Some(refusal));
    let last = found(&[], Stages::For(None));
    assert_eq!(last.found.iter().map(|one| one.rule).collect::<Vec<_>>(), ["WorkdirRelativePath"]);
    let args = [("BUILDKIT_DOCKERFILE_CHECK", "skip=WorkdirRelativePath")];
    let asked = found(&args, Stages::For(Some("one")));
    assert_eq!((asked.found.len(), asked.refusal()), (1, None));
}

#[test]
fn every_rule_says_what_it_asks_for() {
    assert!(RULES.is_sorted());
    assert!(RULES.iter().all(|(rule, text)| description(rule) == *text && !text.is_empty()));
}
