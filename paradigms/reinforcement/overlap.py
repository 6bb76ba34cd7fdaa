"""Acting and updating at once, so that it can be stopped and repeated to the bit."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from paradigms.reinforcement.learner import Learner


def overlapped(learner: Learner, done: int, total: int) -> Generator[int]:
    """Update `learner` while its twin gathers the next rollout; yield the number of updates made so far.

    At every yield both are at rest. In between they share nothing, so a run repeats itself exactly. A learner that was
    restored goes on from update `done`; its twin first gathers again the rollout that was there.

    The learner computes on all cores, the twin on half of them, so that none is idle, whichever of the two ends first.
    Threads must not spin while they wait for each other (`OMP_WAIT_POLICY=passive`; see `harness`).
    """
    learner.record()
    actor = learner.twin()
    # On a GPU the twin has a stream of its own: in the learner's it would wait for the whole update before each step.
    on_gpu = learner.device.type == "cuda"
    stream = torch.cuda.Stream(learner.device) if on_gpu else None  # type: ignore[no-untyped-call]

    def act() -> None:
        with torch.cuda.stream(stream):
            actor.gather()

    threads = torch.get_num_threads()
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(max(1, threads // 2),)) as pool:

        def gather() -> Future[None]:
            learner.gathering = actor.moment()
            if stream is not None:
                stream.wait_stream(torch.cuda.current_stream(learner.device))  # the weights are on their way
            return pool.submit(act)

        gather().result()
        torch.set_num_threads(threads)  # the twin's thread has its own number, and would leave it to all that come
        for update in range(done, total):
            learner.rollout_buffer, actor.rollout_buffer = actor.rollout_buffer, learner.rollout_buffer
            actor.policy.load_state_dict(learner.policy.state_dict())
            rollout = gather() if update + 1 < total else None
            learner._update_current_progress_remaining(update, total)
            learner.train()
            if rollout:
                rollout.result()
            yield update + 1
