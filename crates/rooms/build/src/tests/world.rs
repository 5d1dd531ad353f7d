//! What the tests of whole builds stand on: a store with a small base image, and a runner of commands.
//!
//! The base image holds the shell and a few programs of the machine that runs the test, with the libraries that they
//! need, so nothing is fetched. The runner mounts the overlay in a mount namespace of its own; it needs root.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use base::{Clock, Kind, Problem, Report, SystemClock};
use images::{Image, Images, LayerSource, PackOptions};
use oci::{ImageConfig, Reference};

use crate::{
    BuildError, BuildRequest, Builder, Built, Cancel, Context, DockerfileSource, NoCache, Progress,
    RunMountKind, RunOrder, Runner, Stream,
};

/// The name of the base image.
pub(crate) const BASE: &str = "base:1";
const PROGRAMS: &[&str] = &[
    "sh", "cat", "ls", "mkdir", "rm", "ln", "id", "chmod", "stat", "env", "touch", "mv", "chroot", "readlink",
];

/// A store, a builder and a context.
pub(crate) struct World {
    pub dir: tempfile::TempDir,
    pub images: Images,
    pub builder: Builder,
    pub request: RefCell<Wish>,
}

/// What the next builds ask for.
#[derive(Default)]
pub(crate) struct Wish {
    pub args: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub target: Option<String>,
    pub no_cache: bool,
    pub epoch: Option<i64>,
    pub cancel: Cancel,
}

/// A build's end and what it told.
pub(crate) struct Outcome {
    pub built: Result<Built, BuildError>,
    pub progress: Vec<Progress>,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let images = Images::open(dir.path().join("images")).expect("an empty store opens");
        add_base(dir.path(), &images);
        fs::create_dir(dir.path().join("context")).expect("a folder for the context");
        let builder = open(dir.path(), &images);
        Self { dir, images, builder, request: RefCell::default() }
    }

    /// The same store in a new process, as far as the builder can tell.
    pub(crate) fn reopen(&mut self) {
        self.builder = open(self.dir.path(), &self.images);
    }

    pub(crate) fn context(&self) -> PathBuf {
        self.dir.path().join("context")
    }

    /// Puts files into the context; a name that ends in a slash is a folder, `a -> b` is a link.
    pub(crate) fn put(&self, files: &[(&str, &str)]) {
        for (name, text) in files {
            let (name, target) = name.split_once(" -> ").map_or((*name, None), |(name, to)| (name, Some(to)));
            let path = self.context().join(name);
            fs::create_dir_all(path.parent().expect("it is in the context"))
                .expect("a folder in the context");
            match target {
                Some(target) => symlink(target, &path).expect("a link in the context"),
                None if name.ends_with('/') => fs::create_dir_all(&path).expect("a folder in the context"),
                None => fs::write(&path, text).expect("a file in the context"),
            }
        }
    }

    pub(crate) fn build(&self, dockerfile: &str) -> Outcome {
        let wish = self.request.borrow();
        let text = DockerfileSource::Text(dockerfile.to_owned());
        let request = BuildRequest {
            args: wish.args.clone(),
            target: wish.target.clone(),
            tags: vec!["built:1".parse::<Reference>().expect("a name")],
            labels: wish.labels.clone(),
            no_cache: if wish.no_cache { NoCache::Always } else { NoCache::Never },
            epoch: wish.epoch,
            cancel: wish.cancel.clone(),
            ..BuildRequest::new(Context::Folder(self.context()), text)
        };
        self.request(request)
    }

    /// A request for this Dockerfile over the context.
    pub(crate) fn wish(&self, dockerfile: &str) -> BuildRequest {
        let text = DockerfileSource::Text(dockerfile.to_owned());
        BuildRequest::new(Context::Folder(self.context()), text)
    }

    /// The build that this request asks for.
    pub(crate) fn request(&self, request: BuildRequest) -> Outcome {
        self.request_with(request, &Chroot)
    }

    pub(crate) fn request_with(&self, request: BuildRequest, runner: &dyn Runner) -> Outcome {
        let progress = Mutex::new(Vec::new());
        let told = |event| progress.lock().expect("nobody panics while telling").push(event);
        let built = self.builder.build(request, runner, &told);
        Outcome { built, progress: progress.into_inner().expect("nobody panics while telling") }
    }

    /// The files that the build put above the base image, and nothing else of the outcome.
    #[track_caller]
    pub(crate) fn files(&self, dockerfile: &str) -> String {
        match self.build(dockerfile).built {
            Ok(built) => show(&self.image(&built)),
            Err(error) => describe(&error),
        }
    }

    #[track_caller]
    pub(crate) fn image(&self, built: &Built) -> Image {
        self.images.find(&built.image.to_string()).expect("what was built is there")
    }

    /// What must not be there once a build is over, however it ended.
    #[track_caller]
    pub(crate) fn is_clean(&self) {
        let scratch = self.dir.path().join("build/scratch");
        let left: Vec<_> = fs::read_dir(&scratch).expect("the builder made it").collect();
        assert!(left.is_empty(), "scratch is empty: {left:?}");
        assert_eq!(self.images.snapshots(), Vec::new(), "no snapshot is left");
        assert!(!self.builder.memory().is_some_and(Path::exists), "nothing is left in memory");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("proc is mounted");
        let root = self.dir.path().to_string_lossy();
        assert!(!mounts.contains(&*root), "no mount is left");
    }
}

impl Outcome {
    /// The build must have gone well.
    #[track_caller]
    pub(crate) fn good(self) -> Built {
        match self.built {
            Ok(built) => built,
            Err(error) => panic!("{}", describe(&error)),
        }
    }

    /// The output of all commands.
    pub(crate) fn output(&self) -> String {
        let pieces = self.progress.iter().filter_map(|event| match event {
            Progress::Output { bytes, .. } => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        });
        pieces.collect()
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        let warnings = self.progress.iter().filter_map(|event| match event {
            Progress::Warning { line, message, .. } => Some(format!("{line}: {message}")),
            _ => None,
        });
        warnings.collect()
    }
}

/// The error as people see it.
pub(crate) fn describe(error: &BuildError) -> String {
    format!("error: {}", Report::of(error))
}

fn open(dir: &Path, images: &Images) -> Builder {
    let clock: Arc<dyn Clock> = SystemClock::shared();
    Builder::open(dir.join("build"), images.clone(), clock).expect("an empty folder opens")
}

/// Makes the base image of this machine's own programs.
fn add_base(dir: &Path, images: &Images) {
    let root = dir.join("base");
    for folder in ["bin", "etc", "tmp"] {
        fs::create_dir_all(root.join(folder)).expect("a folder of the base image");
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:1000:1001::/:/bin/sh\n")
        .expect("passwd");
    fs::write(root.join("etc/group"), "root:x:0:\napp:x:1001:\nstaff:x:50:app\n").expect("group");
    let mut needed = BTreeSet::new();
    for program in PROGRAMS {
        let path = ["/bin", "/usr/bin", "/usr/sbin"].iter().map(|bin| Path::new(bin).join(program));
        let path = path.into_iter().find(|path| path.exists()).expect("a program of this machine");
        let listed = Command::new("ldd").arg(&path).output().expect("ldd is a part of libc-bin");
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        needed.extend(listed.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned));
        fs::copy(&path, root.join("bin").join(program)).expect("a copy of the program");
    }
    for library in needed {
        let to = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(to.parent().expect("it is below the root")).expect("a folder for libraries");
        fs::copy(&library, to).expect("a copy of the library");
    }
    let mut config = ImageConfig::scratch();
    config.config.env = vec!["PATH=/bin".into(), "BASE=yes".into()];
    config.config.cmd = Some(vec!["sh".into()]);
    let hold = &mut images.hold();
    let id = images
        .commit(hold, None, LayerSource::Dir(&root, PackOptions { latest_mtime: Some(1) }), config)
        .expect("the base image is sound");
    images.tag(&id.to_string(), &BASE.parse().expect("a name")).expect("the name is free");
    fs::remove_dir_all(&root).expect("it is in the store now");
}

/// Runs commands in an overlay that only the command's own mount namespace sees.
pub(crate) struct Chroot;

impl Runner for Chroot {
    fn run(&self, order: &RunOrder<'_>, output: &mut dyn FnMut(Stream, &[u8])) -> Result<i32, Report> {
        let root = order.rootfs.upper.with_file_name("root");
        fs::create_dir_all(&root).expect("a place for the overlay");
        let lower: Vec<String> = order.rootfs.lower.iter().map(|path| path.display().to_string()).collect();
        let mut script = format!(
            "set -e\nmount -t overlay overlay -o lowerdir={},upperdir={},workdir={} {root}\n",
            lower.join(":"),
            order.rootfs.upper.display(),
            order.rootfs.work.display(),
            root = root.display(),
        );
        for mount in &order.mounts {
            let target = format!("{}{}", root.display(), mount.target);
            match &mount.kind {
                RunMountKind::Tmpfs(_) => {
                    script.push_str(&format!("mkdir -p {target}\nmount -t tmpfs tmpfs {target}\n"));
                }
                RunMountKind::Bind(path) if path.is_dir() => {
                    script
                        .push_str(&format!("mkdir -p {target}\nmount --bind {} {target}\n", path.display()));
                }
                RunMountKind::Bind(path) => script.push_str(&format!(
                    "mkdir -p $(dirname {target})\ntouch {target}\nmount --bind {} {target}\n",
                    path.display()
                )),
            }
            if mount.read_only {
                script.push_str(&format!("mount -o remount,bind,ro {target}\n"));
            }
        }
        let (user, group) = order.user.split_once(':').unwrap_or((&order.user, ""));
        let spec = if user.is_empty() { "0:0".to_owned() } else { format!("{user}:{group}") };
        script.push_str(&format!(
            "exec env -i \"$@\" chroot --userspec={spec} {} /bin/sh -c 'cd \"$0\" && exec \"$@\"' {} ",
            root.display(),
            order.cwd,
        ));
        // The command's own words follow the environment; each is quoted for the shell.
        let words: Vec<String> =
            order.args.iter().map(|arg| format!("'{}'", arg.replace('\'', "'\\''"))).collect();
        script.push_str(&words.join(" "));
        let ran = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"])
            .args(order.env.iter().map(|pair| pair.replace("PATH=/bin", "PATH=/bin:/usr/sbin:/usr/bin")))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Report::new(Kind::Unavailable, "unshare does not run").because(error))?;
        output(Stream::Stdout, &ran.stdout);
        output(Stream::Stderr, &ran.stderr);
        fs::remove_dir(&root).expect("nothing is mounted there out here");
        ran.status.code().ok_or_else(|| Report::new(Kind::Internal, "a signal ended the command"))
    }
}

/// All files of the layers above the base image, the lowest first.
pub(crate) fn show(image: &Image) -> String {
    let mut lines = Vec::new();
    let above = image.lower.len().saturating_sub(1);
    for (number, layer) in image.lower[..above].iter().rev().enumerate() {
        lines.push(format!("layer {}", number + 1));
        list(layer, layer, &mut lines);
    }
    lines.join("\n")
}

fn list(root: &Path, folder: &Path, lines: &mut Vec<String>) {
    let mut names: Vec<PathBuf> =
        fs::read_dir(folder).expect("a layer").map(|entry| entry.expect("a layer").path()).collect();
    names.sort();
    for path in names {
        let meta = path.symlink_metadata().expect("it was just listed");
        let name = path.strip_prefix(root).expect("it is below").display().to_string();
        let head = format!("{:o} {}:{} {name}", meta.mode() & 0o7777, meta.uid(), meta.gid());
        if meta.is_dir() {
            lines.push(format!("  {head}/"));
            list(root, &path, lines);
        } else if meta.is_symlink() {
            lines.push(format!("  {name} -> {}", fs::read_link(&path).expect("a link").display()));
        } else if meta.is_file() {
            let bytes = fs::read(&path).expect("a file");
            let shown = String::from_utf8(bytes).map_or_else(
                |bytes| format!(" ({} bytes)", bytes.as_bytes().len()),
                |text| {
                    if text.is_empty() { " (empty)".to_owned() } else { format!(" = {}", text.trim_end()) }
                },
            );
            lines.push(format!("  {head}{shown}"));
        } else {
            lines.push(format!("  {name} is special"));
        }
    }
}

/// The error without the lines of the Dockerfile.
pub(crate) fn brief(error: &BuildError) -> String {
    let lines = describe(error);
    let told = |line: &&str| !line.starts_with("   ") || line.contains("because:");
    lines.lines().filter(told).collect::<Vec<_>>().join("\n")
}

/// The problem's kind, for tests of what a door would answer.
pub(crate) fn kind(outcome: &Outcome) -> Option<Kind> {
    outcome.built.as_ref().err().map(Problem::kind)
}
