//! Tests of builds under way.

use super::*;

fn of(session: &str) -> Opening {
    Opening { session: session.into(), ..Opening::default() }
}

#[tokio::test]
async fn a_call_waits_for_its_build() {
    let jobs = Jobs::new(Tasks::new());
    let waiting = {
        let jobs = jobs.clone();
        tokio::spawn(async move { jobs.get("one").await.map(|job| job.session.clone()) })
    };
    let (_open, _) = jobs.open("one", of("s")).expect("its name is free");
    assert_eq!(waiting.await.expect("no panic"), Ok("s".to_owned()));
}

#[tokio::test]
async fn a_build_needs_a_name_of_its_own() {
    let jobs = Jobs::new(Tasks::new());
    let (_open, _) = jobs.open("one", of("s")).expect("its name is free");
    assert_eq!(jobs.open("one", of("s")).err().expect("it is taken").message, "job ID one exists");
    assert_eq!(jobs.open("", of("s")).err().expect("it is none").code, Code::InvalidArgument);
}

#[tokio::test]
async fn a_build_that_nobody_wants_any_more_is_called_off_and_can_still_be_asked() {
    let jobs = Jobs::new(Tasks::new());
    let (open, _) = jobs.open("one", of("s")).expect("its name is free");
    let cancel = open.cancel.clone();
    drop(open);
    assert!(cancel.is_cancelled());
    let job = jobs.get("one").await.expect("it lingers");
    assert!(job.hub.reader().next().await.is_none(), "its progress is over");
    assert_eq!(job.result("one-1").err().expect("there is none").message, "no such ref: one-1");
    assert_eq!(job.result("two-1").err().expect("there is none").message, "no such ref: two-1");
}

#[tokio::test]
async fn only_the_conductor_s_first_word_counts() {
    let jobs = Jobs::new(Tasks::new());
    let (open, returned) = jobs.open("one", of("s")).expect("its name is free");
    open.give_back(ReturnRequest::default());
    open.give_back(ReturnRequest { error: Some(crate::proto::errors::RpcStatus::default()), result: None });
    assert_eq!(returned.await.expect("it came"), ReturnRequest::default());
}
