//! A crash at any step of any operation converges after a restart.
//!
//! Each test runs one operation, learns which points it passes, and runs it again for each point, where a process then
//! dies as if killed. After that somebody does what a person would do: starts a daemon and, where the wish was not written
//! down, asks again. Then all must be as the operation wants it, with nothing extra anywhere.
//!
//! By default a few points are chosen by chance: `SEED=N` replays the choice, `SEA_CRASH=all` tries every point, and
//! `SEA_CRASH="serving 2 network: bridge made"` that one.

mod apps;
mod containers;
mod images;
mod roots;

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Context, Result, ensure};
use base::Rng;
use e2e::crash::{Choice, Point, Role, seed};
use e2e::{Done, Sea, until_ok};

/// So many points of an operation are tried when nobody says how many.
const USUAL: usize = 2;
const BUSYBOX: &str = "busybox:1.36";

type Do<'a> = &'a dyn Fn(&Sea) -> Result<()>;

/// Something that people do.
struct Operation<'a> {
    /// From an empty root with the image to the state in which it is done.
    before: Do<'a>,
    /// The operation itself.
    act: &'a dyn Fn(&Sea) -> Result<Vec<Done>>,
    /// What a person does who saw it fail, and a daemon that runs: nothing where the wish was written down.
    again: Do<'a>,
    /// Whether all is as wanted.
    check: Do<'a>,
}

/// Runs it once without a crash and then with one at each chosen point of these roles.
fn survives(role: Role, operation: &Operation<'_>) -> Result<()> {
    let (seed, choice) = (seed(), Choice::of_surroundings(USUAL)?);
    let sea = Sea::with_images(&["busybox"])?;
    let all = learn(&sea, role, operation).context("without any crash")?;
    let count = all.len();
    let points = choice.of(all, &mut Rng::seeded(seed));
    let wanted = choice.enough().min(points.len());
    eprintln!("SEED={seed} {wanted} of {count} points");
    let (mut died, mut failed) = (0, Vec::new());
    for point in &points {
        if died + failed.len() >= wanted {
            break;
        }
        let tried = catch_unwind(AssertUnwindSafe(|| crash(&sea, role, operation, point)));
        match tried.unwrap_or_else(|_| Err(anyhow::anyhow!("a claim failed; it is told above"))) {
            Ok(true) => died += 1,
            Ok(false) => eprintln!("not met this time: {point}"),
            Err(error) => {
                failed.push(format!("SEA_CRASH=\"{point}\": {error:#}"));
                eprintln!("{}\n{}", failed.last().map_or("", String::as_str), sea.end_of_log());
                reset(&sea)?;
            }
        }
    }
    ensure!(
        failed.is_empty(),
        "{} of {} failed with SEED={seed}:\n{}",
        failed.len(),
        wanted,
        failed.join("\n")
    );
    // Which points are passed depends a little on what happens at the same time, but not much.
    ensure!(died * 2 >= wanted, "only {died} of {wanted} points were met");
    clear(&sea)?;
    sea.end()
}

/// Does it without a crash; the points that were passed.
fn learn(sea: &Sea, role: Role, operation: &Operation<'_>) -> Result<Vec<Point>> {
    ensure!(begin(sea, role, operation, None)?, "it starts");
    let before = sea.passed(role)?;
    for done in (operation.act)(sea)? {
        done.exits(0);
    }
    // What follows from it belongs to it; what the check does, does not.
    sea.is_exact()?;
    let mut points = sea.passed(role)?;
    if matches!(role, Role::OldShim | Role::Beside) {
        points.retain(|point| !before.contains(point));
    }
    ensure!(!points.is_empty(), "no point was passed by a process in this role");
    (operation.check)(sea).context("as wanted")?;
    sea.is_exact()?;
    sea.recover()?;
    (operation.check)(sea).context("as wanted after another start")?;
    sea.is_exact()?;
    clear(sea)?;
    Ok(points)
}

/// Brings the root to the state before the operation, with a daemon that is to see a crash there; false when that daemon
/// has died at once.
fn begin(sea: &Sea, role: Role, operation: &Operation<'_>, point: Option<&Point>) -> Result<bool> {
    if matches!(role, Role::OldShim | Role::Beside) {
        sea.end_daemon_if_any()?;
        let answered = sea.start_daemon_to_crash(point)?;
        (operation.before)(sea).context("before")?;
        return Ok(answered);
    }
    (operation.before)(sea).context("before")?;
    sea.end_daemon_if_any()?;
    sea.start_daemon_to_crash(point)
}

/// Does it with a crash at this point; false when it did not come there.
fn crash(sea: &Sea, role: Role, operation: &Operation<'_>, point: &Point) -> Result<bool> {
    let answered = begin(sea, role, operation, Some(point))?;
    if answered {
        (operation.act)(sea).context("the operation")?;
        sea.is_exact_or_crashed()?;
    }
    let died = sea.crashed();
    // A daemon whose shim, edge or another died goes on, and must mend that itself.
    let lives = answered && !matches!(role, Role::Starting | Role::Serving);
    if lives && !died {
        // The check would meet the point, where nothing is to fail.
        clear(sea)?;
        return Ok(false);
    }
    if !lives {
        sea.recover().context("another daemon")?;
    }
    (operation.again)(sea).context("the same once more")?;
    (operation.check)(sea).context("as wanted")?;
    sea.is_exact()?;
    if lives {
        sea.recover().context("another daemon")?;
    }
    clear(sea)?;
    Ok(died)
}

/// Takes everything away in good order but the image, and sees that nothing is left.
fn clear(sea: &Sea) -> Result<()> {
    for app in sea.sea(&["ls", "-q"]).exits(0).text().lines() {
        sea.sea(&["-p", app, "down", "--volumes"]).exits(0);
    }
    for view in sea.json(&["ps", "--all", "--everything"]).as_array().into_iter().flatten() {
        let id = view["id"].as_str().context("a container has an id")?;
        sea.sea(&["rm", "--force", "--volumes", id]).exits(0);
    }
    for view in sea.json(&["volume", "ls"]).as_array().into_iter().flatten() {
        sea.sea(&["volume", "rm", view["name"].as_str().context("a volume has a name")?]).exits(0);
    }
    sea.sea(&["network", "prune"]).exits(0);
    let done = sea.sea(&["image", "load", "-q", "-i", &e2e::image("busybox").display().to_string()]);
    ensure!(done.code == 0, "{done}");
    sea.is_exact().context("all was taken down")
}

/// The same by force, after a failure.
fn reset(sea: &Sea) -> Result<()> {
    sea.wipe()?;
    sea.start_daemon()?;
    clear(sea)
}

/// Waits until this is so; as long as a retry of the loop may take.
fn soon<T>(what: &str, look: impl FnMut() -> Result<T>) -> Result<T> {
    until_ok(what, 40, look)
}
