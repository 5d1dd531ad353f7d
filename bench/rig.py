"""What the benchmarks share: sea under a root folder of its own, its peers, and tables with the command and the date."""

import atexit
import datetime
import glob
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

BUSYBOX = "busybox:1.36"


def need(*packages):
    """Installs what is missing of these Debian packages."""
    missing = [p for p in packages if subprocess.run(
        ["dpkg-query", "-W", "-f=${db:Status-Status}", p], capture_output=True, text=True).stdout != "installed"]
    if not missing:
        return
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    # Their services must not start: each benchmark starts its own, under folders of its own.
    policy = "/usr/sbin/policy-rc.d"
    ours = not os.path.exists(policy)
    if ours:
        with open(policy, "w") as file:
            file.write("#!/bin/sh\nexit 101\n")
        os.chmod(policy, 0o755)
    try:
        subprocess.run(["apt-get", "update", "-q"], check=True, stdout=sys.stderr, env=env)
        subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing],
                       check=True, stdout=sys.stderr, env=env)
    finally:
        if ours:
            os.unlink(policy)


def wheels(name, packages):
    """An environment of Python's with these packages, made once in the user's cache folder, and anew when they change."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    place = os.path.join(cache, "seaworthy", name)
    made, wanted = os.path.join(place, "made-of"), "\n".join(packages) + "\n"
    if os.path.exists(made) and open(made).read() == wanted:
        return place
    shutil.rmtree(place, True)
    os.makedirs(place)
    # Debian's own: another that comes first in the path may go away.
    run("/usr/bin/python3", "-m", "venv", place)
    run(f"{place}/bin/pip", "install", "--quiet", "--disable-pip-version-check", *packages)
    with open(made, "w") as file:
        file.write(wanted)
    return place


def alone():
    """Goes on in a network and a mount namespace of its own, which take along whatever a peer leaves in them."""
    if os.environ.get("SEA_BENCH_ALONE") != "1":
        env = dict(os.environ, SEA_BENCH_ALONE="1")
        os.execvpe("unshare", ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, *sys.argv], env)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def image(name):
    folder = os.environ.get("SEA_TEST_IMAGES")
    if not folder:
        sys.exit("set SEA_TEST_IMAGES to the folder of the test images; `cargo xtask bench` does")
    return os.path.join(folder, f"{name}.tar")


def program():
    found = os.environ.get("SEA_BIN", os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "release/sea"))
    if not os.path.exists(found):
        sys.exit(f"there is no `{found}`; set SEA_BIN, or run `cargo xtask bench`")
    return os.path.abspath(found)


def workspace():
    """A folder that goes when the program ends."""
    folder = os.path.realpath(tempfile.mkdtemp(prefix="sea-bench-"))
    atexit.register(shutil.rmtree, folder, True)
    return folder


def until(what, look, seconds=60):
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            sys.exit(f"after {seconds} s: {what} is not so")
        time.sleep(0.01)


def run(*command, code=0, **more):
    """Runs a command that must end with this code; its output."""
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode != code:
        sys.exit(f"`{' '.join(command)}` ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Sea:
    """A daemon of the release build with its own root."""

    def __init__(self, folder):
        self.home = folder
        self.root = os.path.join(folder, "root")
        self.env = dict(os.environ, SEA_ROOT=self.root, SEA_HTTP="127.0.0.1:0")
        self.program = program()
        self.daemon = None
        atexit.register(self.clear)

    def start(self):
        log = open(os.path.join(self.home, "daemon.log"), "a")
        self.daemon = subprocess.Popen([self.program, "daemon"], env=self.env, stdout=log, stderr=log, cwd="/")

        def answers():
            if self.daemon.poll() is not None:
                sys.exit(f"the daemon ended:\n{open(log.name).read()[-3000:]}")
            view = self.view()
            return view and view["pid"] == self.daemon.pid
        until("the daemon answers", answers)

    def view(self):
        text = subprocess.run([self.program, "--format", "json", "version"], env=self.env, capture_output=True, text=True)
        return json.loads(text.stdout).get("daemon") if text.returncode == 0 else None

    def __call__(self, *arguments, code=0, **env):
        return run(self.program, *arguments, code=code, env=dict(self.env, **env), cwd=self.home)

    def json(self, *arguments):
        return json.loads(self("--format", "json", *arguments))

    def http(self):
        text = self.view()["http"].split(",")[0].strip().removeprefix("http://").rstrip("/")
        host, port = text.rsplit(":", 1)
        return host, int(port)

    def kill(self):
        self.daemon.kill()
        self.daemon.wait()

    def processes(self):
        """All processes whose arguments name the root."""
        return [pid for pid in pids() if any(self.root in word for word in arguments(pid)) and lives(pid)]

    def end(self):
        """Ends the daemon, and what serves on without it."""
        self.daemon.terminate()
        self.daemon.wait(30)
        for pid in self.processes():
            os.kill(pid, signal.SIGTERM)
            until(f"process {pid} has ended", lambda: not lives(pid))

    def clear(self):
        """After a failure: by force."""
        if self.daemon and self.daemon.poll() is None:
            self.kill()
        for _ in range(20):
            left = self.processes()
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if not left:
                break
            time.sleep(0.1)


class Docker:
    """Debian's dockerd with its own folders and socket."""

    def __init__(self, folder):
        self.folder = folder
        self.socket = f"unix://{folder}/docker.sock"
        log = open(os.path.join(folder, "dockerd.log"), "w")
        self.daemon = subprocess.Popen(
            ["/usr/sbin/dockerd", "--data-root", f"{folder}/docker", "--exec-root", f"{folder}/docker-run",
             "--pidfile", f"{folder}/docker.pid", "--host", self.socket], stdout=log, stderr=log)
        atexit.register(self.end)
        until("dockerd answers", lambda: subprocess.run(self.command("info"), capture_output=True).returncode == 0)
        run(*self.command("load", "-i", image("busybox")))

    def command(self, *arguments):
        return ["/usr/bin/docker", "--host", self.socket, *arguments]

    def end(self):
        if self.daemon.poll() is not None:
            return
        left = subprocess.run(self.command("ps", "-aq"), capture_output=True, text=True).stdout.split()
        for at in range(0, len(left), 50):
            subprocess.run(self.command("rm", "-f", *left[at:at + 50]), capture_output=True)
        self.daemon.terminate()
        self.daemon.wait(60)
        remove_groups("docker")


class Podman:
    """Debian's podman with its own folders; it has no daemon."""

    def __init__(self, folder):
        self.base = ["podman", "--root", f"{folder}/podman", "--runroot", f"{folder}/podman-run",
                     "--tmpdir", f"{folder}/podman-tmp", "--cgroup-manager", "cgroupfs", "--events-backend", "none"]
        atexit.register(self.end)
        run(*self.command("load", "-i", image("busybox")))

    def command(self, *arguments):
        return [*self.base, *arguments]

    def end(self):
        subprocess.run(self.command("rm", "-f", "-a", "-t", "0"), capture_output=True)
        remove_groups("libpod_parent")


class Runc:
    """Bare runc with a bundle; no image, no network, no log."""

    def __init__(self, folder):
        self.bundle = f"{folder}/bundle"
        self.root = f"{folder}/runc"
        self.number = 0
        rootfs = f"{self.bundle}/rootfs"
        os.makedirs(rootfs)
        archive = f"{folder}/archive"
        os.makedirs(archive)
        run("tar", "-xf", image("busybox"), "-C", archive)
        manifest = json.load(open(f"{archive}/manifest.json"))[0]
        for layer in manifest["Layers"]:
            run("tar", "-xf", f"{archive}/{layer}", "-C", rootfs)
        run("runc", "spec", "--bundle", self.bundle)
        path = f"{self.bundle}/config.json"
        config = json.load(open(path))
        config["process"]["terminal"] = False
        config["process"]["args"] = ["true"]
        # A machine that bounds capabilities has not all that the template asks for.
        config["process"].pop("rlimits", None)
        json.dump(config, open(path, "w"))

    def command(self):
        self.number += 1
        return ["runc", "--root", self.root, "run", "--bundle", self.bundle, f"bench-{os.getpid()}-{self.number}"]


def remove_groups(name):
    """Removes the empty cgroups that a peer left."""
    for top in glob.glob(f"/sys/fs/cgroup/*/{name}") + glob.glob(f"/sys/fs/cgroup/{name}"):
        for folder, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                pass


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def arguments(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return [word.decode(errors="replace") for word in file.read().split(b"\0") if word]
    except OSError:
        return []


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def memory(pid, *fields):
    """Bytes of these fields of a process's smaps_rollup."""
    total = 0
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.split(":")[0] in fields:
                    total += int(line.split()[1]) * 1024
    except OSError:
        pass
    return total


def private(pid):
    return memory(pid, "Private_Clean", "Private_Dirty")


def busy():
    """Seconds that this machine's processors have worked."""
    with open("/proc/stat") as file:
        words = [int(word) for word in file.readline().split()[1:]]
    # All but idle, waiting for disks, and what guests count twice.
    return (sum(words[:8]) - words[3] - words[4]) / os.sysconf("SC_CLK_TCK")


def spread(values):
    return f"{statistics.median(values):8.1f} {min(values):8.1f} {max(values):8.1f}"


def heading(what):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    print(f"\n{what}\n  {now}; {os.path.basename(sys.argv[0])} {' '.join(sys.argv[1:])}".rstrip())
    print(f"  {os.cpu_count()} x {cpu}, Linux {os.uname().release}, load {os.getloadavg()[0]:.1f}\n")
