//! The services that a client offers through its session: credentials, secrets, agents, health.

use std::collections::HashMap;

/// Asks for credentials.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct CredentialsRequest {
    /// The registry.
    #[prost(string, tag = "1")]
    pub host: String,
}

/// Credentials; both are empty when there are none.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct CredentialsResponse {
    /// The user; empty when the secret is a token to get others by.
    #[prost(string, tag = "1")]
    pub username: String,
    /// The password.
    #[prost(string, tag = "2")]
    pub secret: String,
}

/// Asks for a secret.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct GetSecretRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub id: String,
    /// More about it.
    #[prost(map = "string, string", tag = "2")]
    pub annotations: HashMap<String, String>,
}

/// A secret.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct GetSecretResponse {
    /// Its bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub data: Vec<u8>,
}

/// Asks whether there is an agent.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct CheckAgentRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// How a server is: `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct HealthResponse {
    /// 1 is well.
    #[prost(int32, tag = "1")]
    pub status: i32,
}
