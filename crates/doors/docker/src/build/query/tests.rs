//! What a query becomes, or with which words it is refused.

use ::build::{BuildRequest, Context, DockerfileSource, NoCache, RunNetwork};

use super::order;
use crate::params::Params;
use crate::version::NEWEST;

fn read(query: &str) -> Result<BuildRequest, (u16, String)> {
    order(&Params::parse(query), NEWEST, std::io::empty())
        .map_err(|refusal| (refusal.status.as_u16(), refusal.message))
}

#[test]
fn a_whole_query_is_taken_over() {
    let order = read(
        "t=web:1&t=web:2&dockerfile=sub%2FDockerfile&nocache=1&pull=1&target=app&networkmode=none&shmsize=1048576\
         &buildargs=%7B%22A%22%3A%221%22%2C%22B%22%3Anull%7D&labels=%7B%22l%22%3A%22m%22%7D&memory=1000000\
         &cachefrom=%5B%22web%3A0%22%5D&extrahosts=db%3A10.0.0.1&extrahosts=six=[fd00::1]&rm=1&forcerm=0\
         &ulimits=%5B%7B%22Name%22%3A%22nofile%22%2C%22Soft%22%3A1%2C%22Hard%22%3A2%7D%5D",
    )
    .expect("taken");
    let tags: Vec<String> = order.tags.iter().map(oci::Reference::familiar).collect();
    assert_eq!(tags, ["web:1", "web:2"]);
    assert_eq!(order.dockerfile, DockerfileSource::InContext("sub/Dockerfile".into()));
    assert_eq!(order.no_cache, NoCache::Always);
    assert!(order.pull && order.target.as_deref() == Some("app"));
    assert_eq!(order.run.network, RunNetwork::None);
    assert_eq!(order.run.shm_size.map(|size| size.0), Some(1 << 20));
    assert_eq!(order.run.limits.memory.map(|memory| memory.0), Some(1_000_000));
    assert_eq!(order.args.into_iter().collect::<Vec<_>>(), [("A".to_owned(), "1".to_owned())]);
    assert_eq!(order.labels["l"], "m");
    assert_eq!(order.cache_from, ["web:0"]);
    let hosts = [("db".to_owned(), "10.0.0.1".to_owned()), ("six".to_owned(), "fd00::1".to_owned())];
    assert_eq!(order.run.hosts, hosts);
    assert_eq!(order.run.ulimits["nofile"].hard, 2);
    assert!(matches!(order.context, Context::Archive(_)));
}

#[test]
fn zeros_and_empty_words_ask_for_nothing() {
    let order = read(
        "cpuperiod=0&cpuquota=0&cpusetcpus=&cpusetmems=&cpushares=0&memory=0&memswap=0&shmsize=0&version=1&cgroupparent=&buildargs=null&remote=",
    );
    assert!(order.is_ok(), "{:?}", order.err());
}

#[test]
fn queries_are_refused_in_dockers_words() {
    for (query, status, text) in [
        ("t=UP", 500, "invalid reference format: repository name (library/UP) must be lowercase"),
        ("squash=1", 400, "squash is only supported with experimental mode"),
        ("version=3", 400, "invalid version \"3\""),
        ("securityopt=a", 400, "security options are not supported on linux"),
        ("isolation=hyperv", 400, "unsupported isolation: \"hyperv\""),
    ] {
        let refused = read(query).err().expect("refused");
        assert_eq!(refused, (status, text.to_owned()), "{query}");
    }
    assert!(read("buildargs=x").err().expect("refused").1.starts_with("error reading build args: "));
    for query in ["cpuquota=5", "cpusetcpus=0", "version=2", "outputs=%5B%7B%7D%5D"] {
        assert_eq!(read(query).err().expect("refused").0, 501, "{query}");
    }
}
