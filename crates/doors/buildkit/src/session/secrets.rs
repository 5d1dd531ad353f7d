//! What a build asks of its session beside files: secrets, agents, credentials.

use std::io;

use bytes::BytesMut;
use hyper::header::{HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::Session;
use crate::grpc::{Code, Status};
use crate::proto::sessions::{
    CheckAgentRequest, CredentialsRequest, CredentialsResponse, GetSecretRequest, GetSecretResponse,
};
use crate::proto::{Chunk, Empty};

const SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const CHECK_AGENT: &str = "/moby.sshforward.v1.SSH/CheckAgent";
const FORWARD_AGENT: &str = "/moby.sshforward.v1.SSH/ForwardAgent";
const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
/// The most bytes of a secret, as BuildKit has it.
const SECRET_BYTES: usize = 500 << 10;
/// So many bytes of an agent's connection at once.
const PIECE: usize = 32 << 10;

/// The secrets, agents and credentials of one session, for code that may wait.
#[derive(Clone)]
pub(crate) struct SessionSecrets {
    session: Option<Session>,
    runtime: tokio::runtime::Handle,
}

impl SessionSecrets {
    /// Those of this session; none without one. Must be called in the runtime that serves the session.
    pub(crate) fn new(session: Option<Session>) -> Self {
        Self { session, runtime: tokio::runtime::Handle::current() }
    }

    /// The secret of this name; none when the client has none. Blocks.
    pub(super) fn ask_secret(&self, id: &str) -> Result<Option<Vec<u8>>, Status> {
        self.session.as_ref().map_or(Ok(None), |session| self.runtime.block_on(session.secret(id)))
    }

    /// Whether there is an agent of this name. Blocks.
    pub(super) fn ask_agent(&self, id: &str) -> Result<bool, Status> {
        self.session.as_ref().map_or(Ok(false), |session| self.runtime.block_on(session.has_agent(id)))
    }

    /// The credentials for a registry; none when the client has none. Blocks.
    pub(super) fn ask_credentials(&self, host: &str) -> Result<Option<(String, String)>, Status> {
        self.session.as_ref().map_or(Ok(None), |session| self.runtime.block_on(session.credentials(host)))
    }

    /// Carries a connection to the agent of this name, in the background.
    pub(super) fn forward(&self, id: &str, connection: std::os::unix::net::UnixStream) -> io::Result<()> {
        connection.set_nonblocking(true)?;
        let _inside = self.runtime.enter();
        let connection = UnixStream::from_std(connection)?;
        let none = || io::Error::new(io::ErrorKind::NotFound, "the build has no session");
        let (session, id) = (self.session.clone().ok_or_else(none)?, id.to_owned());
        self.runtime.spawn(async move {
            if let Err(error) = session.forward(&id, connection).await {
                tracing::debug!(agent = %id, %error, "the agent `{id}` ended a connection");
            }
        });
        Ok(())
    }
}

impl Session {
    async fn secret(&self, id: &str) -> Result<Option<Vec<u8>>, Status> {
        if !self.offers(SECRET) {
            return Ok(None);
        }
        let request = GetSecretRequest { id: id.to_owned(), ..GetSecretRequest::default() };
        match self.channel.call::<GetSecretResponse>(SECRET, &request).await {
            Ok(GetSecretResponse { data }) if data.len() > SECRET_BYTES => {
                let message = format!("the secret `{id}` has more than {SECRET_BYTES} bytes");
                Err(Status::new(Code::ResourceExhausted, message))
            }
            Ok(GetSecretResponse { data }) => Ok(Some(data)),
            Err(Status { code: Code::NotFound, .. }) => Ok(None),
            Err(status) => Err(status),
        }
    }

    async fn has_agent(&self, id: &str) -> Result<bool, Status> {
        if !self.offers(CHECK_AGENT) {
            return Ok(false);
        }
        match self.channel.call::<Empty>(CHECK_AGENT, &CheckAgentRequest { id: id.to_owned() }).await {
            Ok(Empty {}) => Ok(true),
            Err(status) if matches!(status.code, Code::Unavailable | Code::Cancelled) => Err(status),
            // Clients say that there is no such agent with various codes.
            Err(_) => Ok(false),
        }
    }

    /// The credentials for a registry; none when the client has none.
    async fn credentials(&self, host: &str) -> Result<Option<(String, String)>, Status> {
        if !self.offers(CREDENTIALS) {
            return Ok(None);
        }
        let request = CredentialsRequest { host: host.to_owned() };
        let CredentialsResponse { username, secret } = self.channel.call(CREDENTIALS, &request).await?;
        Ok(Some((username, secret)).filter(|(_, secret)| !secret.is_empty()))
    }

    async fn forward(&self, id: &str, connection: UnixStream) -> Result<(), Status> {
        let value = HeaderValue::from_str(id)
            .map_err(|_| Status::new(Code::InvalidArgument, format!("`{id}` cannot name an agent")))?;
        let metadata = [(HeaderName::from_static("buildkit.ssh.id"), value)];
        let mut stream = self.channel.stream(FORWARD_AGENT, &metadata)?;
        let Some(sender) = stream.sender() else { return Ok(()) };
        let (mut reader, mut writer) = connection.into_split();
        let outward = async {
            let mut buffer = BytesMut::with_capacity(PIECE);
            while matches!(reader.read_buf(&mut buffer).await, Ok(1..)) {
                if !sender.send(&Chunk { data: buffer.split().freeze() }).await {
                    break;
                }
                buffer.reserve(PIECE);
            }
        };
        let inward = async {
            while let Some(Chunk { data }) = stream.next::<Chunk>().await? {
                if writer.write_all(&data).await.is_err() {
                    break;
                }
            }
            Ok::<_, Status>(())
        };
        tokio::select! {
            () = outward => Ok(()),
            result = inward => result,
        }
    }
}
