"""Answers the bench: one JSON object a line, {"prepare": work}, {"run": work, "repetitions": n} or {"release": work}."""

import argparse
import json
import math
import resource
import sys
import time

import torch


def memory():
    with open("/proc/self/statm") as statm:
        now = int(statm.read().split()[1]) * resource.getpagesize()
    return {"now": now, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def processor_seconds():
    """What all threads of this process have computed so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def compiled(network, run):
    """Has torch.compile make code of a network, and does the work until that is done."""
    import torch._dynamo
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    network.compile()
    for _ in range(2):
        run()
    if counters["stats"]["unique_graphs"] == 0:
        raise RuntimeError("torch.compile has nothing to compile: the work calls parts of the network alone")


def serve(version, works, make):
    """Serves works until the input ends; `make(work)` returns a network and a function that does the work once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    prepared = {}

    def answer(message):
        print(json.dumps({**message, "memory": memory()}), flush=True)

    answer({"version": version, "works": works})
    def fulfil(request):
        if "prepare" in request:
            begun = time.perf_counter()
            network, run = make(request["prepare"])
            if options.compile:
                compiled(network, run)
            prepared[request["prepare"]] = run
            parameters = sum(math.prod(p.shape) for p in network.parameters())
            return {"seconds": time.perf_counter() - begun, "parameters": parameters}
        if "run" in request:
            milliseconds, processor = [], []
            for _ in range(request.get("repetitions", 1)):
                before, begun = processor_seconds(), time.perf_counter()
                prepared[request["run"]]()
                milliseconds.append((time.perf_counter() - begun) * 1000)
                processor.append((processor_seconds() - before) * 1000)
            return {"milliseconds": milliseconds, "processor": processor}
        del prepared[request["release"]]
        return {}

    for line in sys.stdin:
        try:
            answer(fulfil(json.loads(line)))
        except Exception as error:
            answer({"error": f"{type(error).__name__}: {error}"})
