//! `sea pull`, `push`, `login` and `logout`, and the fetching of what `sea up` and `sea run` need.
//!
//! Logins are read where docker keeps them, by whoever gives the command, and go to the daemon with each order.

use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use base::{Clock, Kind, Report, SystemClock, percent};
use hyper::Method;
use oci::Reference;
use registry::Login;
use registry::docker::DockerConfig;
use spec::{App, MountKind, PullPolicy, Service};
use talk::{Credential, ImageView, LoginOrder, PullImage, Pulling, PushImage, Pushing, Secret};

use crate::args::{LoginArgs, LogoutArgs, PullArgs, PushArgs};
use crate::layers::LayerBars;
use crate::output::{note, say, say_json_line};
use crate::{Done, Session, report, terminal};

/// What people mean who name no registry.
const DOCKER_HUB: &str = "docker.io";

/// The longest password that is read.
const PASSWORD_BYTES: u64 = 64 << 10;

/// Why an image is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Somebody wants it, and it is the result.
    Asked,
    /// Something else needs it, whose result stands alone.
    Needed,
}

impl Session {
    /// `sea pull`.
    pub(crate) async fn pull(&self, args: PullArgs) -> Done {
        self.ensure_daemon().await?;
        for image in self.images_of(&args.names, |service| service.build.is_none()).await? {
            self.pull_one(&image, args.platform.clone(), Why::Asked).await?;
        }
        Ok(0)
    }

    /// `sea push`.
    pub(crate) async fn push(&self, args: PushArgs) -> Done {
        self.ensure_daemon().await?;
        for image in self.images_of(&args.names, |service| service.build.is_some()).await? {
            match &args.to {
                None => self.push_one(&image).await?,
                Some(to) => self.push_straight(&image, to).await?,
            }
        }
        Ok(0)
    }

    /// The images that names mean: those of services if the app here has all of them, else images. Without names, the
    /// images of the app's services that are `wanted`.
    async fn images_of(&self, names: &[String], wanted: fn(&Service) -> bool) -> Result<Vec<String>, Report> {
        let app = match self.app_name_if_any() {
            Ok(Some(_)) => Some(self.converted(&[])?.app),
            // A broken compose file is no reason not to fetch an image by its name.
            Err(report) if names.is_empty() => return Err(report),
            Ok(None) | Err(_) => None,
        };
        let Some(app) = app else {
            if names.is_empty() {
                return Err(Report::new(Kind::Invalid, "no image is named")
                    .hint("name one, as in `sea pull busybox`, or go to the folder of a compose file"));
            }
            return Ok(names.to_vec());
        };
        let service = |name: &String| app.services.iter().find(|(own, _)| own.as_str() == name);
        let mut images: Vec<String> = match names {
            [] => {
                app.services.values().filter(|service| wanted(service)).map(|it| it.image.clone()).collect()
            }
            names if names.iter().all(|name| service(name).is_some()) => {
                names.iter().filter_map(service).map(|(_, service)| service.image.clone()).collect()
            }
            names => names.to_vec(),
        };
        let mut seen = std::collections::BTreeSet::new();
        images.retain(|image| seen.insert(image.clone()));
        Ok(images)
    }

    /// Fetches the images of an app by their policies, or by this one for all; those that are built are left to that.
    pub(crate) async fn pull_images(&self, app: &App, policy: Option<PullPolicy>) -> Result<(), Report> {
        let mut done: Vec<&str> = Vec::new();
        for service in app.services.values() {
            if service.build.is_some() || done.contains(&service.image.as_str()) {
                continue;
            }
            done.push(&service.image);
            self.have_image(&service.image, policy.unwrap_or(service.pull_policy)).await?;
        }
        let built: Vec<&str> =
            app.services.values().filter(|one| one.build.is_some()).map(|one| one.image.as_str()).collect();
        for mount in app.services.values().flat_map(|service| &service.mounts) {
            if let MountKind::Image { image, .. } = &mount.kind
                && !done.contains(&image.as_str())
                && !built.contains(&image.as_str())
            {
                done.push(image);
                self.have_image(image, policy.unwrap_or_default()).await?;
            }
        }
        Ok(())
    }

    /// Fetches an image if its policy says so.
    pub(crate) async fn have_image(&self, image: &str, policy: PullPolicy) -> Result<(), Report> {
        if matches!(policy, PullPolicy::Never | PullPolicy::Build) {
            return Ok(());
        }
        let here = self.client.get::<ImageView>(&format!("/v1/images/{}", percent::encode(image))).await.ok();
        let fresh = match (policy, &here) {
            (_, None) | (PullPolicy::Always, Some(_)) => false,
            (PullPolicy::Every { seconds }, Some(view)) => {
                let since = view.pulled.map(|pulled| SystemClock.wall().since(pulled));
                since.is_some_and(|since| since < Duration::from_secs(seconds))
            }
            (PullPolicy::Missing | PullPolicy::Never | PullPolicy::Build, Some(_)) => true,
        };
        // An id is of this machine alone.
        if fresh || image.parse::<Reference>().is_err() {
            return Ok(());
        }
        match self.pull_one(image, None, Why::Needed).await {
            // What is here is better than nothing, where it was only to be looked for.
            Err(problem) if here.is_some() && matches!(policy, PullPolicy::Every { .. }) => {
                note(format!("warning: `{image}` stays as it is: {}", problem.message));
                Ok(())
            }
            done => done,
        }
    }

    async fn pull_one(&self, image: &str, platform: Option<String>, why: Why) -> Result<(), Report> {
        let reference: Reference = image.parse().map_err(report)?;
        let credentials = self.credentials(&reference).await?;
        let order = PullImage { image: reference.to_string(), platform, credentials };
        if !self.quiet() && !self.json() {
            note(format!("pulling `{}`", reference.familiar()));
        }
        let mut bars = LayerBars::new(self);
        let mut lines = self.client.follow(Method::POST, "/v1/images/pull", &order).await.map_err(report)?;
        while let Some(line) = lines.next::<Pulling>().await.map_err(report)? {
            if self.json() && why == Why::Asked {
                say_json_line(&line);
            }
            match line {
                Pulling::Resolved { .. } => {}
                Pulling::Layer { layer, stage, bytes, size } => bars.layer(&layer, stage, bytes.0, size.0),
                Pulling::Pulled { name, digest, known, .. } => {
                    bars.finish();
                    let text = format!("{} {name} ({digest})", if known { "up to date:" } else { "pulled" });
                    match why {
                        Why::Asked if self.quiet() => say(name),
                        Why::Asked if !self.json() => say(text),
                        Why::Needed if !self.quiet() && !self.json() => note(text),
                        Why::Asked | Why::Needed => {}
                    }
                    return Ok(());
                }
                Pulling::Failed { report } => {
                    bars.finish();
                    return Err(report.from_afar());
                }
            }
        }
        Err(gone("pulled"))
    }

    async fn push_one(&self, image: &str) -> Result<(), Report> {
        let reference: Reference = image.parse().map_err(report)?;
        let credentials = self.credentials(&reference).await?;
        let order = PushImage { image: reference.to_string(), credentials };
        let mut bars = LayerBars::new(self);
        let mut lines = self.client.follow(Method::POST, "/v1/images/push", &order).await.map_err(report)?;
        while let Some(line) = lines.next::<Pushing>().await.map_err(report)? {
            if self.json() {
                say_json_line(&line);
            }
            match line {
                Pushing::Layer { layer, stage, bytes, size, .. } => {
                    bars.layer(&layer, stage, bytes.0, size.0)
                }
                Pushing::Pushed { name, digest, .. } => {
                    bars.finish();
                    if self.quiet() {
                        say(name);
                    } else if !self.json() {
                        say(format!("pushed {name} ({digest})"));
                    }
                    return Ok(());
                }
                Pushing::Failed { report } => {
                    bars.finish();
                    return Err(report.from_afar());
                }
            }
        }
        Err(gone("pushed"))
    }

    /// The login for an image's registry, as docker keeps it.
    async fn credentials(&self, image: &Reference) -> Result<Vec<Credential>, Report> {
        let Some(path) = docker_config() else { return Ok(Vec::new()) };
        let config = DockerConfig::read(&path).map_err(report)?;
        let login = config.login(image.domain()).await.map_err(report)?;
        let credential = |login| Credential { registry: image.domain().to_owned(), secret: secret(login) };
        Ok(login.map(credential).into_iter().collect())
    }

    /// `sea login`.
    pub(crate) async fn login(&self, args: LoginArgs) -> Done {
        let name = args.registry.unwrap_or_else(|| DOCKER_HUB.into());
        let path = docker_config().ok_or_else(no_home)?;
        let mut config = DockerConfig::read(&path).map_err(report)?;
        let user = match args.username {
            Some(user) => user,
            None => ask("user name: ")?,
        };
        let password = match (args.password, args.password_stdin) {
            (Some(password), _) => password,
            (None, true) => from_stdin()?,
            (None, false) => ask_secretly("password: ")?,
        };
        if user.is_empty() || password.is_empty() {
            return Err(Report::new(Kind::Invalid, "a login needs a name and a password"));
        }
        let login = Login::Password { user, password };
        self.ensure_daemon().await?;
        let order =
            LoginOrder { credential: Credential { registry: name.clone(), secret: secret(login.clone()) } };
        self.client.call::<()>(Method::POST, "/v1/registries/login", &order).await.map_err(report)?;
        let kept = config.store(&name, &login).await.map_err(report)?;
        if !self.quiet() {
            note(format!("signed in to `{name}`; the login is kept in {kept}"));
        }
        Ok(0)
    }

    /// `sea logout`.
    pub(crate) async fn logout(&self, args: LogoutArgs) -> Done {
        let name = args.registry.unwrap_or_else(|| DOCKER_HUB.into());
        let path = docker_config().ok_or_else(no_home)?;
        let mut config = DockerConfig::read(&path).map_err(report)?;
        let known = config.erase(&name).await.map_err(report)?;
        if !self.quiet() {
            note(if known {
                format!("signed out of `{name}`")
            } else {
                format!("there was no login for `{name}`")
            });
        }
        Ok(0)
    }
}

/// Docker's file of logins.
fn docker_config() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker"));
    folder.or_else(home).map(|folder| folder.join("config.json"))
}

fn no_home() -> Report {
    Report::new(Kind::Invalid, "there is no place to keep logins").hint("name a folder with `DOCKER_CONFIG`")
}

fn gone(done: &str) -> Report {
    Report::new(Kind::Unavailable, format!("the daemon went away before the image was {done}"))
        .hint("give the command again: what was whole is kept")
}

fn secret(login: Login) -> Secret {
    match login {
        Login::Password { user, password } => Secret::Password { user, password },
        Login::Identity { user, token } => Secret::Identity { user, token },
        Login::Registry { token } => Secret::Registry { token },
    }
}

fn unreadable(error: &std::io::Error) -> Report {
    Report::new(Kind::Invalid, "the login could not be read").because(error)
}

fn from_stdin() -> Result<String, Report> {
    let mut text = String::new();
    std::io::stdin().take(PASSWORD_BYTES).read_to_string(&mut text).map_err(|error| unreadable(&error))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn ask(question: &str) -> Result<String, Report> {
    if !std::io::stdin().is_terminal() {
        return Err(Report::new(Kind::Invalid, "nobody can be asked for the login")
            .hint("give it with `--username` and `--password-stdin`"));
    }
    // A question that cannot be shown is not answered.
    let _ = write!(std::io::stderr(), "{question}").and_then(|()| std::io::stderr().flush());
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|error| unreadable(&error))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The same without showing what is typed.
fn ask_secretly(question: &str) -> Result<String, Report> {
    let hidden = terminal::Hidden::begin();
    let answer = ask(question);
    drop(hidden);
    note("");
    answer
}
