//! Old documents are read, new ones say no more than they must, and keys stay out of what is printed.

use super::{Certificate, ClientCertificates, PrivateKey, TlsHost, TlsShare, TlsVersion};
use crate::traffic::RouteShare;

#[test]
fn a_document_from_before_there_was_tls_is_read_and_written_as_it_was() {
    let old =
        r#"{"rules":[{"host":null,"path":"/","strip_prefix":false,"pool":"web"}],"listeners":[],"pools":{}}"#;
    let share: RouteShare = serde_json::from_str(old).expect("an old share");
    assert!(share.tls.is_empty() && share.rules[0].https.is_default());
    assert_eq!(serde_json::to_string(&share).expect("JSON"), old);
}

#[test]
fn what_is_left_out_of_a_host_is_the_default() {
    let host: TlsHost = serde_json::from_str(r#"{"name":"a.example"}"#).expect("a host");
    assert_eq!(
        host,
        TlsHost { name: "a.example".into(), minimum: TlsVersion::V1_2, http2: true, clients: None }
    );
    let strict =
        r#"{"name":"a.example","minimum":"1.3","http2":false,"clients":{"authorities":"x","required":true}}"#;
    let host: TlsHost = serde_json::from_str(strict).expect("a host");
    assert_eq!(host.minimum, TlsVersion::V1_3);
    assert_eq!(host.clients, Some(ClientCertificates { authorities: "x".into(), required: true }));
    assert_eq!(serde_json::to_string(&host).expect("JSON"), strict);
}

#[test]
fn a_key_is_handed_over_and_not_printed() {
    let certificate = Certificate {
        names: vec!["a.example".into()],
        chain: "chain".into(),
        key: PrivateKey("secret words".into()),
        fallback: false,
    };
    let share = TlsShare { certificates: vec![certificate], hosts: Vec::new(), issue: Vec::new() };
    let printed = format!("{share:?} {share:#?}");
    assert!(!printed.contains("secret"), "{printed}");
    let text = serde_json::to_string(&share).expect("JSON");
    assert_eq!(serde_json::from_str::<TlsShare>(&text).expect("a share"), share);
}
