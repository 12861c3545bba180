"""Whether workarounds for CPUs still pay: `python -m tests.speed.workarounds [--rounds N] [NAME ...]`.

Each with and without, in turns in one run, so that both see the same machine: the ratio counts. Steps of
`tf_efficientnet_lite0` at 64 px, batches of 32 (`depthwise`); 16 tasks of second-order MAML
(`second-order`); steps of a small network (`malloc`). In processes of their own, on one thread.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median

from bench.core.workarounds import VARIABLE, Workaround
from tests.speed.served import Served, serve

THREADS = 1


def depthwise() -> Callable[[], object]:
    """A step's gradients, as the training loop takes them."""
    import torch

    from bench.networks.backbones.create import create_backbone
    from bench.networks.depthwise import quick

    net = create_backbone("tf_efficientnet_lite0.untrained").to(memory_format=torch.channels_last).train()
    x = torch.randn(32, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    parameters = list(net.parameters())

    def step() -> None:
        with quick(net, "fp32"):
            torch.autograd.grad(net(x).square().mean(), parameters)

    return step


def second_order() -> Callable[[], object]:
    """Gradients of a batch of tasks."""
    from tests.speed.race.maml import network, ours, tasks

    batch, model = tasks(1), network()
    return lambda: ours(model, batch)


def malloc() -> Callable[[], object]:
    """Steps of a network whose feature maps come and go, in a process that keeps memory as a worker does."""
    import torch
    from torch import nn

    from bench.processes.malloc import retain

    retain()
    layers = [nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU()]
    net, x = nn.Sequential(*layers), torch.randn(64, 8, 64, 64)
    return lambda: net(x).square().mean().backward()


WORK: dict[Workaround, Callable[[], Callable[[], object]]] = {
    "depthwise": depthwise,
    "malloc": malloc,
    "second-order": second_order,
}


def work_on_request(name: Workaround) -> None:
    """Work on request, and print how long it took."""
    import torch

    from tests.speed.race.track import seconds

    torch.set_num_threads(THREADS)
    work = WORK[name]()
    work()
    serve(lambda: seconds(work, 3))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(WORK)}; default: all")
    said = parser.parse_args()
    if unknown := {*said.names} - WORK.keys():
        parser.error(f"there is no {', '.join(unknown)}")
    if said.serve:
        return work_on_request(said.names[0])
    print("| workaround | with, ms | without, ms | times as fast |")
    print("| --- | ---: | ---: | ---: |")
    for name in said.names or WORK:
        command = ("tests.speed.workarounds", "--serve", name)
        both = [
            Served(*command, unset=(VARIABLE,), environment=environment)
            for environment in ({}, {VARIABLE: name})
        ]
        taken = [[each.seconds() for each in both] for _ in range(said.rounds)]
        for each in both:
            each.close()
        mine, theirs = (1000 * median(column) for column in zip(*taken, strict=True))
        ratio = median(without / with_it for with_it, without in taken)
        print(f"| {name} | {mine:.0f} | {theirs:.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
