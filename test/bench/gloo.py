#!/usr/bin/env python3
"""One rank of an all-reduce of float32 with PyTorch's gloo; rank 0 prints a JSON line for each size.

Needs torch and numpy. GLOO_SOCKET_IFNAME names the interface, MASTER_ADDR the address of rank 0.
"""
import argparse
import json
import os
import statistics
import time

import torch
import torch.distributed as dist

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--rank", type=int, required=True)
parser.add_argument("--world-size", type=int, default=2)
parser.add_argument("--sizes", default="4096,65536,1048576,4194304,16777216,46137344", help="bytes, with commas between")
parser.add_argument("--port", type=int, default=29534)
arguments = parser.parse_args()

os.environ["MASTER_PORT"] = str(arguments.port)
torch.set_num_threads(1)
n = arguments.world_size
dist.init_process_group("gloo", rank=arguments.rank, world_size=n)
for size in [int(size) for size in arguments.sizes.split(",")]:
    tensor = torch.ones(size // 4)
    seconds = []
    iterations = min(300, max(7, (512 << 20) // size))  # as `ringleader bench allreduce`
    for iteration in range(iterations + 3):
        tensor.fill_(1)
        dist.barrier()
        start = time.perf_counter()
        dist.all_reduce(tensor)
        if iteration >= 3:
            seconds.append(time.perf_counter() - start)
    assert tensor[0].item() == n and tensor[-1].item() == n
    if arguments.rank == 0:
        median = statistics.median(seconds)
        line = {"peer": f"torch {torch.__version__} gloo", "worldSize": n, "bytes": size}
        print(json.dumps({**line, "medianMs": round(median * 1e3, 4)}), flush=True)
dist.destroy_process_group()
