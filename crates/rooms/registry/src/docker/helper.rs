//! Speaking to the programs that keep docker's secrets.

use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{DockerConfigError, TOKEN_USER};
use crate::login::Login;

/// A program may ask the person for a password of its own; then it takes a while.
const PATIENCE: Duration = Duration::from_secs(60);

/// What these programs say when they have no such secret.
const NOT_FOUND: &str = "credentials not found";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Secret {
    #[serde(default, rename = "ServerURL")]
    server: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// The program's name.
pub(super) fn name(suffix: &str) -> String {
    format!("docker-credential-{suffix}")
}

pub(super) async fn get(suffix: &str, key: &str) -> Result<Option<Login>, DockerConfigError> {
    let failed = |why: String| DockerConfigError::Helper { program: name(suffix), registry: key.into(), why };
    let answer = match speak(suffix, "get", key).await {
        Err(why) if why.contains(NOT_FOUND) => return Ok(None),
        answer => answer.map_err(failed)?,
    };
    let secret: Secret =
        serde_json::from_str(&answer).map_err(|error| failed(format!("its answer is {error}")))?;
    Ok(match (secret.username, secret.secret) {
        (user, token) if user == TOKEN_USER => Some(Login::Identity { user: String::new(), token }),
        (user, password) if user.is_empty() && password.is_empty() => None,
        (user, password) => Some(Login::Password { user, password }),
    })
}

pub(super) async fn store(suffix: &str, key: &str, login: &Login) -> Result<(), DockerConfigError> {
    let failed = |why: String| DockerConfigError::Helper { program: name(suffix), registry: key.into(), why };
    let (username, secret) = match login {
        Login::Password { user, password } => (user.clone(), password.clone()),
        Login::Identity { token, .. } | Login::Registry { token } => (TOKEN_USER.into(), token.clone()),
    };
    let document = serde_json::to_string(&Secret { server: key.into(), username, secret })
        .map_err(|error| failed(error.to_string()))?;
    speak(suffix, "store", &document).await.map(drop).map_err(failed)
}

pub(super) async fn erase(suffix: &str, key: &str) -> Result<(), DockerConfigError> {
    match speak(suffix, "erase", key).await {
        Err(why) if !why.contains(NOT_FOUND) => {
            Err(DockerConfigError::Helper { program: name(suffix), registry: key.into(), why })
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Gives the program its input and takes its output; else what it says went wrong.
async fn speak(suffix: &str, verb: &str, input: &str) -> Result<String, String> {
    // It is the end of a program's name, and no way to some other program.
    if suffix.contains('/') {
        return Err("its name holds a slash".into());
    }
    let mut command = Command::new(name(suffix));
    command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let stdin = child.stdin.take();
    let spoken = async {
        if let Some(mut stdin) = stdin {
            // A program that reads no input ends early; its output tells.
            let _ = stdin.write_all(input.as_bytes()).await;
            let _ = stdin.shutdown().await;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(PATIENCE, spoken)
        .await
        .map_err(|_| format!("it did not answer within {} s", PATIENCE.as_secs()))?
        .map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    // These programs put their complaint on either.
    let said = [text(&output.stdout), text(&output.stderr)].join(" ");
    Err(format!("{} ({})", said.trim(), output.status))
}
