//! `moby.buildkit.v1.frontend.LLBBridge`: for clients that conduct their build themselves, as buildx does.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use oci::Digest;
use prost::Message;

use crate::engine::Engine;
use crate::grpc::{Answer, Call, Code, Status};
use crate::job::Job;
use crate::options::{self, Options};
use crate::proto::Empty;
use crate::proto::control::VertexWarning;
use crate::proto::errors::{Any, Named};
use crate::proto::gateway::{
    Cap, EvaluateRequest, InputsResponse, Place, PongResponse, Ref, ResolveImageConfigRequest,
    ResolveImageConfigResponse, ResolveSourceImageResponse, ResolveSourceMetaRequest,
    ResolveSourceMetaResponse, Result as Found, ReturnRequest, SolveRequest, SolveResponse, WarnRequest,
};
use crate::proto::ops::{Definition, Input, Op, SourceOp};
use crate::requests;
use crate::work::Work;

/// The metadata that names the build.
const BUILD: &str = "buildkit-controlapi-buildid";
/// What can be asked of the gateway.
const CAPS: &[&str] = &[
    "solve.base",
    "resolveimage",
    "resolveimage.resolvemode",
    "return",
    "returnmap",
    "importcaches",
    "proto.refarray",
    "reference.output",
    "frontend.inputs",
    "gateway.solve.metadata",
    "gateway.solve.evaluate",
    "gateway.evaluate",
    "gateway.warnings",
    "frontend.caps",
    "source.metaresolver",
];
/// What graphs may hold, of which clients ask: none is solved here, but sources stand in named contexts.
const LLB_CAPS: &[&str] = &[
    "source.image",
    "source.local",
    "file.base",
    "constraints",
    "platform",
    "meta.description",
    "exporter.multiple",
];
const IMAGE: &str = "docker-image://";

/// Answers a call of this service; `method` is what follows its name.
pub(crate) async fn call(engine: &Arc<Engine>, method: &str, call: Call) -> Answer {
    answer(engine, method, call).await.unwrap_or_else(Answer::failed)
}

async fn answer(engine: &Arc<Engine>, method: &str, mut call: Call) -> Result<Answer, Status> {
    let build = call.value(BUILD).unwrap_or_default().to_owned();
    if build.is_empty() {
        return Err(Status::failed("no buildid found in context"));
    }
    let job = engine.jobs.get(&build).await?;
    match method {
        "Ping" => Ok(Answer::one(&pong(engine))),
        "Solve" => {
            let request = call.message().await?;
            solve(engine, &job, request).await.map(|response| Answer::one(&response))
        }
        "Evaluate" => {
            let EvaluateRequest { reference } = call.message().await?;
            job.result(&reference)?.image(engine, &job).await?;
            Ok(Answer::one(&Empty {}))
        }
        "Return" => {
            job.give_back(call.message::<ReturnRequest>().await?);
            Ok(Answer::one(&Empty {}))
        }
        "Inputs" => Ok(Answer::one(&InputsResponse::default())),
        "Warn" => {
            warn(&job, call.message().await?);
            Ok(Answer::one(&Empty {}))
        }
        "ResolveImageConfig" => {
            let ResolveImageConfigRequest { reference, .. } = call.message().await?;
            let (digest, config) = image(engine, &reference)?;
            Ok(Answer::one(&ResolveImageConfigResponse { digest, config, reference }))
        }
        "ResolveSourceMeta" => {
            let request: ResolveSourceMetaRequest = call.message().await?;
            source(engine, request).map(|response| Answer::one(&response))
        }
        "ReadFile" | "ReadDir" | "StatFile" => crate::inspect::call(engine, &job, method, call).await,
        _ => Err(Status::unimplemented(format!("the method {method}"))),
    }
}

fn pong(engine: &Engine) -> PongResponse {
    let caps = |list: &[&str]| list.iter().map(|id| Cap { id: (*id).to_owned(), enabled: true }).collect();
    let mut gateway: Vec<Cap> = caps(CAPS);
    gateway.extend(["readfile", "readdir", "statfile"].map(|id| Cap { id: id.to_owned(), enabled: true }));
    PongResponse { frontend_caps: gateway, llb_caps: caps(LLB_CAPS), workers: vec![engine.worker()] }
}

/// Only Dockerfiles are read here; an image that does the same may be named.
pub(crate) fn check_frontend(frontend: &str, options: &HashMap<String, String>) -> Result<(), Status> {
    match frontend {
        "dockerfile.v0" => Ok(()),
        "gateway.v0" => {
            options::frontend_image(options.get("source").map(String::as_str).unwrap_or_default())
        }
        other => Err(Status::failed(format!("invalid frontend: {other}"))),
    }
}

async fn solve(engine: &Arc<Engine>, job: &Arc<Job>, request: SolveRequest) -> Result<SolveResponse, Status> {
    if request.frontend.is_empty() {
        return Err(Status::failed("graphs are not solved here, Dockerfiles are"));
    }
    check_frontend(&request.frontend, &request.frontend_opt)?;
    let asked = request.frontend_opt.get("requestid").cloned();
    if let Some(name) = asked.as_ref().filter(|name| !requests::is_known(name)) {
        let mut status = Status::failed(format!("unsupported request {name}"));
        status.details.push(Any::json("errdefs.Subrequest", &Named::Name(name.clone())));
        return Err(status);
    }
    if asked.as_deref() == Some(requests::DESCRIBE) {
        return Ok(without_files(requests::describe()));
    }
    let options = Options::read(&request.frontend_opt, &request.frontend_inputs)?;
    let work = match Work::plan(engine, job, options).await {
        Ok(work) => Arc::new(work),
        Err(status) if asked.as_deref() == Some(requests::LINT) => {
            return requests::broken(&status).map(without_files).ok_or(status);
        }
        Err(status) => return Err(status),
    };
    if asked.is_some() {
        return requests::answer(&work).map(without_files);
    }
    let id = job.add(work.clone())?;
    if request.evaluate {
        work.image(engine, job).await?;
    }
    if !request.allow_result_return {
        return Ok(SolveResponse { reference: id, result: None });
    }
    let place = if request.allow_result_array_ref {
        Place::Ref(Ref { def: Some(graph(&id)), id })
    } else {
        Place::OldRef(id)
    };
    Ok(SolveResponse {
        reference: String::new(),
        result: Some(Found { place: Some(place), metadata: HashMap::new() }),
    })
}

fn without_files(metadata: HashMap<String, Vec<u8>>) -> SolveResponse {
    SolveResponse { reference: String::new(), result: Some(Found { place: None, metadata }) }
}

/// A graph that stands for a result: an image whose name is the result's id. A client hands it to a later build as a
/// named context.
fn graph(id: &str) -> Definition {
    let source = SourceOp { identifier: format!("{}{id}", options::RESULT), attrs: HashMap::new() };
    let source = Op { inputs: Vec::new(), source: Some(source) }.encode_to_vec();
    let digest = Digest::sha256(&source).to_string();
    let end = Op { inputs: vec![Input { digest: digest.clone(), index: 0 }], source: None }.encode_to_vec();
    Definition {
        def: vec![Bytes::from(source), Bytes::from(end)],
        metadata: HashMap::from([(digest, Empty {})]),
    }
}

fn warn(job: &Job, request: WarnRequest) {
    let warning = VertexWarning {
        vertex: request.digest,
        level: request.level,
        short: request.short,
        detail: request.detail,
        url: request.url,
        info: request.info,
        ranges: request.ranges,
    };
    job.hub.tell(crate::proto::control::StatusResponse { warnings: vec![warning], ..Default::default() });
}

fn image(engine: &Engine, reference: &str) -> Result<(String, Vec<u8>), Status> {
    let image = engine
        .images
        .find(reference)
        .map_err(|_| Status::new(Code::NotFound, format!("{reference}: not found")))?;
    let config =
        serde_json::to_vec(&*image.config).map_err(|error| Status::new(Code::Internal, error.to_string()))?;
    Ok((image.id.to_string(), config))
}

fn source(engine: &Engine, request: ResolveSourceMetaRequest) -> Result<ResolveSourceMetaResponse, Status> {
    let source = request.source.unwrap_or_default();
    let Some(reference) = source.identifier.strip_prefix(IMAGE) else {
        return Err(Status::failed(format!("the source `{}` is not supported here", source.identifier)));
    };
    let (digest, config) = image(engine, reference)?;
    Ok(ResolveSourceMetaResponse {
        source: Some(source),
        image: Some(ResolveSourceImageResponse { digest, config }),
    })
}
