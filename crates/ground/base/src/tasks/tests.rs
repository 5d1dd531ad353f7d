//! What is shut down is gone, and what panics takes nobody along.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};

use super::Tasks;

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_task_in_the_middle_of_something_is_waited_for() {
    let tasks = Tasks::new();
    let (begun, began) = tokio::sync::oneshot::channel();
    let (release, held) = mpsc::channel::<()>();
    let done = Arc::new(AtomicBool::new(false));
    let flag = done.clone();
    tasks.spawn("busy", async move {
        begun.send(()).expect("the test waits");
        held.recv().expect("the test lets it go");
        flag.store(true, Ordering::SeqCst);
    });
    began.await.expect("it runs");
    let (kept, gone) = tokio::sync::oneshot::channel::<()>();
    tasks.spawn("idle", async move {
        std::future::pending::<()>().await;
        drop(kept);
    });
    let mut ending = pin!(tasks.shutdown());
    let mut look = || ending.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(look().is_pending());
    gone.await.expect_err("the other ends without a word");
    for _ in 0..10_000 {
        assert!(look().is_pending(), "it is not over");
        tokio::task::yield_now().await;
    }
    release.send(()).expect("it waits");
    ending.await;
    assert!(done.load(Ordering::SeqCst), "it was cut off or goes on");
}

#[tokio::test]
async fn a_panic_ends_one_task() {
    let tasks = Tasks::new();
    let (tell, told) = tokio::sync::oneshot::channel();
    tasks.spawn("broken", async { panic!("as the test wants it") });
    tasks.spawn("sound", async move { tell.send(()).expect("the test waits") });
    told.await.expect("the other goes on");
    tasks.shutdown().await;
}
