//! Who is woken when a connection is shared by several tasks or moves from one to another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
};

use tidewire::{proto::Message, ws::Topic};

use crate::driver::{Script, no_pings, server};

/// A task that only counts how often it is woken.
#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Task {
    fn woken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_flushes_in_a_new_task_before_it_receives_there_still_gets_publications() {
    let topic = Topic::default();
    let mut socket = server(Script::default(), no_pings());
    socket.join(&topic);
    let (first, second) = (Arc::new(Task::default()), Arc::new(Task::default()));
    let waker = Waker::from(Arc::clone(&first));
    assert!(
        socket
            .poll_recv(&mut Context::from_waker(&waker))
            .is_pending()
    );
    // The socket moves to another task, which first sends.
    let waker = Waker::from(Arc::clone(&second));
    let mut cx = Context::from_waker(&waker);
    socket.try_send(&Message::text("moved")).unwrap();
    assert!(socket.poll_flush(&mut cx).is_ready());
    assert!(socket.poll_recv(&mut cx).is_pending());
    topic.publish_text("news");
    assert_eq!((first.woken(), second.woken()), (0, 1));
}
