//! What a client asks of the Dockerfile frontend: options by name, as BuildKit knows them, to one order.
//!
//! Pure. Every option is read, refused, or known to be without a meaning here; an unknown one is refused, as it could be
//! one that changes what is built.

mod lists;

use std::collections::{BTreeMap, HashMap};

use build::git::Repository;
use build::{NoCache, RunNetwork, Ulimit};
use oci::Platform;

use crate::grpc::{Code, Status};
use crate::proto::ops::{Definition, Op};

use lists::{hosts, ulimits};

/// What to build, as far as the options say it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Options {
    /// The Dockerfile's path in its folder.
    pub filename: String,
    /// The folder that has the Dockerfile, by the name under which the client offers it.
    pub dockerfile_dir: String,
    /// The Dockerfile is in that folder even where the context is an archive.
    pub dockerfile_apart: bool,
    /// Where the context is.
    pub context: ContextSource,
    /// Only this folder of it.
    pub subfolder: Option<String>,
    /// `--build-arg`.
    pub args: BTreeMap<String, String>,
    /// `--target`.
    pub target: Option<String>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--no-cache`.
    pub no_cache: NoCache,
    /// `--pull`.
    pub pull: bool,
    /// `--network`.
    pub network: RunNetwork,
    /// `--add-host`.
    pub hosts: Vec<(String, String)>,
    /// `--shm-size`, in bytes.
    pub shm_size: Option<u64>,
    /// `--ulimit`.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// `--build-context`.
    pub contexts: BTreeMap<String, NamedContext>,
    /// What is asked instead of a build: `outline`, `targets`, `lint` …
    pub request: Option<String>,
    /// Where cached results could come from.
    pub cache_imports: Vec<String>,
    /// The platforms asked for.
    pub platforms: Vec<String>,
    /// Sessions that have a folder which the build's own has not.
    pub sessions: BTreeMap<String, String>,
}

/// Where the files of a build are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContextSource {
    /// A folder that the client offers under this name.
    Local(String),
    /// An archive that the client uploads through its session.
    Upload(String),
    /// An archive that comes with a request.
    Request(String),
    /// An archive, or a Dockerfile alone, behind a URL.
    Url(String),
    /// A git repository by its address.
    Git(String),
}

impl Default for ContextSource {
    fn default() -> Self {
        Self::Local("context".into())
    }
}

/// What `--build-context` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamedContext {
    /// A folder that the client offers under this name.
    Local(String),
    /// An archive behind a URL, or a git repository.
    Far(String),
    /// An image by name or by digest.
    Image(String),
    /// The result of another build that is under way, by its id.
    Result(String),
}

/// In front of the id of a result in the graph that stands for it: a client hands the graph to another build as a named
/// context. No image has such a name, as the last part of a host is no word of the names of hosts.
pub(crate) const RESULT: &str = "docker-image://result.invalid/";

/// In front of the name of a context that comes with a request; only this program says it.
pub(crate) const REQUEST: &str = "request:";

impl Options {
    /// Reads options. `inputs` are the graphs that named contexts may point at.
    pub(crate) fn read(
        options: &HashMap<String, String>,
        inputs: &HashMap<String, Definition>,
    ) -> Result<Self, Status> {
        let mut read =
            Self { filename: "Dockerfile".into(), dockerfile_dir: "dockerfile".into(), ..Self::default() };
        let sorted: BTreeMap<&String, &String> = options.iter().collect();
        for (name, value) in sorted {
            read.one(name, value, options, inputs)?;
        }
        if read.contexts.contains_key("dockerfile.v0") {
            return Err(unsupported("another frontend by `--build-context dockerfile.v0=…`"));
        }
        Ok(read)
    }

    fn one(
        &mut self,
        name: &str,
        value: &str,
        options: &HashMap<String, String>,
        inputs: &HashMap<String, Definition>,
    ) -> Result<(), Status> {
        if let Some((kind, rest)) = name.split_once(':') {
            return self.prefixed(kind, rest, value, inputs);
        }
        let text = || Some(value.to_owned()).filter(|value| !value.is_empty());
        match name {
            "filename" => self.filename = text().unwrap_or_else(|| "Dockerfile".into()),
            "target" => self.target = text(),
            "no-cache" => self.no_cache = no_cache(value),
            "platform" => self.platforms = lists::comma(value),
            "force-network-mode" => self.network = network(value)?,
            "add-hosts" => self.hosts = hosts(value)?,
            "shm-size" => self.shm_size = text().map(|text| number(name, &text)).transpose()?,
            "ulimit" => self.ulimits = ulimits(value)?,
            "image-resolve-mode" => self.pull = resolve_mode(value)?,
            "multi-platform" => multi_platform(value)?,
            "requestid" => self.request = text(),
            "frontend.caps" => caps(value)?,
            "dockerfilekey" => (self.dockerfile_dir, self.dockerfile_apart) = (value.to_owned(), true),
            "contextkey" => {
                if let Some(place) = options.get(value) {
                    self.context = context(place)?;
                }
            }
            "context" if !options.contains_key("contextkey") => self.context = context(value)?,
            "contextsubdir" => self.subfolder = text(),
            "cache-imports" => self.cache_imports.extend(lists::cache_imports(value)?),
            "cache-from" => self.cache_imports.extend(lists::comma(value)),
            "source" | "cmdline" => frontend_image(value)?,
            // Whoever conducts the build said these for itself.
            "context" | "frontend" => {}
            _ if options.get("contextkey").is_some_and(|key| key == name) => {}
            "hostname" | "cgroup-parent" if value.is_empty() => {}
            // Bounds of single steps, and places for them: a build is bounded as a whole here.
            "hostname" | "cgroup-parent" | "memory" | "memswap" | "cpushares" | "cpuperiod" | "cpuquota"
            | "cpusetcpus" | "cpusetmems" => {
                return Err(unsupported(&format!("the option `{name}`")));
            }
            _ => return Err(unsupported(&format!("the option `{name}` of the frontend"))),
        }
        Ok(())
    }

    fn prefixed(
        &mut self,
        kind: &str,
        name: &str,
        value: &str,
        inputs: &HashMap<String, Definition>,
    ) -> Result<(), Status> {
        let owned = (name.to_owned(), value.to_owned());
        match kind {
            "build-arg" => {
                if name == "BUILDKIT_SANDBOX_HOSTNAME" && !value.is_empty() {
                    return Err(unsupported("a name of one's own for the machine that commands see"));
                }
                if name == "BUILDKIT_MULTI_PLATFORM" {
                    multi_platform(value)?;
                }
                self.args.insert(owned.0, owned.1);
            }
            "label" => drop(self.labels.insert(owned.0, owned.1)),
            "local-sessionid" => drop(self.sessions.insert(owned.0, owned.1)),
            "context" => drop(self.contexts.insert(context_name(name), named_context(name, value, inputs)?)),
            "attest" => return Err(unsupported(&format!("the attestation `{name}`"))),
            // Notes for other ends: of the graphs behind named contexts, of git, of folders' keys.
            "input-metadata" | "input" | "vcs" | "sharedkey" | "localdir" => {}
            _ => return Err(unsupported(&format!("the option `{kind}:{name}` of the frontend"))),
        }
        Ok(())
    }

    /// Whether `.git` of a repository stays in a context.
    pub(crate) fn keeps_git(&self) -> bool {
        self.args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR").is_some_and(|value| value == "1" || value == "true")
    }

    /// The platforms must be the one that is built for.
    pub(crate) fn check_platforms(&self, ours: &Platform) -> Result<(), Status> {
        for text in &self.platforms {
            let wrong =
                |error: String| Status::failed(format!("failed to parse target platform {text}: {error}"));
            let wanted: Platform = platform(text).ok_or_else(|| wrong("it is not os/architecture".into()))?;
            if ours.fit(&wanted).is_none() {
                return Err(Status::failed(format!(
                    "this machine builds for {ours} only, and {text} was asked for; leave `--platform` out or name \
                     {ours}"
                )));
            }
        }
        Ok(())
    }
}

/// `os/architecture`, `os/architecture/variant`, or one of the two alone.
fn platform(text: &str) -> Option<Platform> {
    // Fields in parentheses are a version of the system, which Linux does not have.
    let parts: Vec<&str> = text.split('/').map(|part| part.split('(').next().unwrap_or(part)).collect();
    if parts.iter().any(|part| part.is_empty()) {
        return None;
    }
    let ours = Platform::ours();
    let (os, architecture, variant) = match parts.as_slice() {
        ["local"] => (ours.os.clone(), ours.architecture.clone(), ours.variant.clone()),
        ["linux"] => ("linux".into(), ours.architecture.clone(), ours.variant.clone()),
        [architecture] => ("linux".into(), (*architecture).to_owned(), None),
        [os, architecture] => ((*os).to_owned(), (*architecture).to_owned(), None),
        [os, architecture, variant] => {
            ((*os).to_owned(), (*architecture).to_owned(), Some((*variant).to_owned()))
        }
        _ => return None,
    };
    let architecture = match architecture.as_str() {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut platform = Platform::new(&os, architecture);
    platform.variant = variant.filter(|variant| !(architecture == "arm64" && variant == "v8"));
    Some(platform)
}

fn no_cache(value: &str) -> NoCache {
    match lists::comma(value) {
        stages if stages.is_empty() => NoCache::Always,
        stages => NoCache::Stages(stages),
    }
}

fn network(value: &str) -> Result<RunNetwork, Status> {
    match value {
        "" | "default" | "sandbox" => Ok(RunNetwork::Default),
        "none" => Ok(RunNetwork::None),
        "host" => Ok(RunNetwork::Host),
        other => Err(Status::failed(format!("invalid netmode {other}"))),
    }
}

fn resolve_mode(value: &str) -> Result<bool, Status> {
    match value {
        "" | "default" | "local" => Ok(false),
        "pull" => Ok(true),
        other => Err(Status::failed(format!("invalid image-resolve-mode: {other}"))),
    }
}

/// A list of one platform is asked for by some; this store keeps images, not lists.
fn multi_platform(value: &str) -> Result<(), Status> {
    match value {
        "" | "0" | "false" => Ok(()),
        "1" | "true" => Err(unsupported("an image of several platforms")),
        other => Err(Status::failed(format!("invalid boolean value for multi-platform: {other}"))),
    }
}

/// What a client needs of the frontend.
fn caps(value: &str) -> Result<(), Status> {
    const KNOWN: &[&str] = &[
        "moby.buildkit.frontend.inputs",
        "moby.buildkit.frontend.subrequests",
        "moby.buildkit.frontend.contexts",
    ];
    let unknown = lists::comma(value)
        .into_iter()
        .find(|cap| !KNOWN.contains(&cap.strip_suffix("+forward").unwrap_or(cap)));
    match unknown {
        Some(cap) => Err(Status::new(Code::Unimplemented, format!("unsupported frontend capability {cap}"))),
        None => Ok(()),
    }
}

/// `# syntax=` and `BUILDKIT_SYNTAX` name an image that reads the Dockerfile; ours reads what docker's own reads.
pub(crate) fn frontend_image(value: &str) -> Result<(), Status> {
    let image = value.split_whitespace().next().unwrap_or_default();
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    let name = image.split(['@', ':']).next().unwrap_or_default();
    match name {
        ""
        | "docker/dockerfile"
        | "docker/dockerfile-upstream"
        | "dockerfile.v0"
        | "docker/dockerfile-experimental" => Ok(()),
        _ => Err(Status::failed(format!(
            "the frontend image `{image}` is not supported here: Dockerfiles are read by the builder itself"
        ))),
    }
}

/// What a context's text means.
pub(crate) fn context(value: &str) -> Result<ContextSource, Status> {
    let upload = "http://buildkit-session/";
    if let Some(path) = value.strip_prefix(upload) {
        return Ok(ContextSource::Upload(format!("/{path}")));
    }
    if let Some(name) = value.strip_prefix(REQUEST) {
        return Ok(ContextSource::Request(name.to_owned()));
    }
    if Repository::parse_context(value).is_some() {
        return Ok(ContextSource::Git(value.to_owned()));
    }
    let is_web = value.starts_with("http://") || value.starts_with("https://");
    match value.strip_prefix("local:") {
        Some(name) => Ok(ContextSource::Local(name.to_owned())),
        None if value.is_empty() => Ok(ContextSource::default()),
        None if is_web => Ok(ContextSource::Url(value.to_owned())),
        None => Err(Status::failed(format!(
            "the context `{value}` is of no kind that is known here: name a folder, an archive or a git repository"
        ))),
    }
}

/// Names of contexts are those of images and stages: in lower case, `:latest` may be left out.
fn context_name(name: &str) -> String {
    let name = name.split("::").next().unwrap_or(name).to_lowercase();
    let name = name.strip_prefix("docker.io/library/").unwrap_or(&name);
    name.strip_suffix(":latest").unwrap_or(name).to_owned()
}

fn named_context(
    name: &str,
    value: &str,
    inputs: &HashMap<String, Definition>,
) -> Result<NamedContext, Status> {
    if let Some(image) = value.strip_prefix("docker-image://") {
        return Ok(NamedContext::Image(image.to_owned()));
    }
    if let Some(local) = value.strip_prefix("local:") {
        return Ok(NamedContext::Local(local.to_owned()));
    }
    if let Some(input) = value.strip_prefix("input:") {
        let definition = inputs.get(input).ok_or_else(|| {
            Status::failed(format!("the context `{name}` is the input `{input}`, which did not come along"))
        })?;
        return behind(definition)
            .ok_or_else(|| unsupported(&format!("the graph behind the context `{name}`")));
    }
    if matches!(context(value), Ok(ContextSource::Git(_) | ContextSource::Url(_))) {
        return Ok(NamedContext::Far(value.to_owned()));
    }
    let what = value.split(':').next().unwrap_or(value);
    Err(unsupported(&format!("the context `{name}` of the kind `{what}`")))
}

/// What a graph stands for: a result that this builder gave, or an image.
fn behind(definition: &Definition) -> Option<NamedContext> {
    let sources = definition.def.iter().filter_map(|bytes| {
        let op: Op = prost::Message::decode(bytes.clone()).ok()?;
        Some(op.source?.identifier)
    });
    let [source] = sources.collect::<Vec<_>>().try_into().ok()?;
    let source: String = source;
    match source.strip_prefix(RESULT) {
        Some(id) => Some(NamedContext::Result(id.to_owned())),
        None => source.strip_prefix("docker-image://").map(|image| NamedContext::Image(image.to_owned())),
    }
}

fn number(name: &str, text: &str) -> Result<u64, Status> {
    text.parse().map_err(|_| Status::failed(format!("`{text}` is no number for `{name}`")))
}

fn unsupported(what: &str) -> Status {
    // Commands put the code's name in front of all but this code.
    Status::failed(format!("{what} is not supported here"))
}

#[cfg(test)]
mod tests;
