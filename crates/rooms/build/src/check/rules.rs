//! The rules, by the names that BuildKit gives them.

/// What a rule asks for, in one line.
pub fn description(rule: &str) -> &'static str {
    RULES.iter().find(|(name, _)| *name == rule).map_or("", |(_, text)| *text)
}

/// Whether a rule holds only where somebody asks for it.
pub(super) fn is_experimental(rule: &str) -> bool {
    rule == "InvalidDefinitionDescription"
}

/// All rules, with what each asks for.
pub const RULES: &[(&str, &str)] = &[
    ("ConsistentInstructionCasing", "Words of instructions are all in capitals, or all in small letters"),
    ("CopyIgnoredFile", "COPY and ADD take what .dockerignore leaves in the context"),
    ("DuplicateStageName", "Each stage has a name of its own"),
    ("ExposeInvalidFormat", "EXPOSE names ports of the container, without addresses or ports of the host"),
    ("ExposeProtoCasing", "The protocol of EXPOSE is in small letters"),
    ("FromAsCasing", "FROM and AS are both in capitals, or both in small letters"),
    ("FromPlatformFlagConstDisallowed", "FROM --platform binds the Dockerfile to no one kind of machine"),
    ("InvalidDefaultArgInFrom", "Images of FROM have valid names also without build arguments"),
    (
        "InvalidDefinitionDescription",
        "A comment above ARG or FROM begins with the name that it describes, or has an empty comment below it",
    ),
    ("JSONArgsRecommended", "CMD and ENTRYPOINT are JSON lists, since a shell does not hand signals on"),
    ("LegacyKeyValueFormat", "ENV and LABEL are written with an equals sign"),
    ("MaintainerDeprecated", "The author is a label, as MAINTAINER is out of use"),
    (
        "MultipleInstructionsDisallowed",
        "CMD, ENTRYPOINT and HEALTHCHECK stand once in a stage, as only the last counts",
    ),
    ("NoEmptyContinuation", "No line within an instruction is empty, as that will be an error one day"),
    ("RedundantTargetPlatform", "FROM --platform does not say what is so anyway"),
    ("ReservedStageName", "No stage has the name of something else"),
    ("SecretsUsedInArgOrEnv", "Secrets are mounted, as ARG and ENV stay in the image"),
    ("StageNameCasing", "Names of stages are in small letters"),
    ("UndefinedArgInFrom", "Variables of FROM are declared by an ARG before it"),
    ("UndefinedVar", "Variables are set before they are used"),
    ("WorkdirRelativePath", "The first WORKDIR of a stage is an absolute path"),
];
