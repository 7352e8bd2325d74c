"""Test -ELBO per image in nats of a VAE checkpoint, without any of the project's code: numpy and the files alone.

Usage: elbo.py CHECKPOINT_FOLDER T10K_IMAGES_FILE
Formula: Kingma & Welling 2014, eq. 10 with a Bernoulli likelihood; one sample of z per image, grayscale targets.
"""
import gzip
import json
import struct
import sys

import numpy as np


def load_safetensors(path):
    raw = open(path, "rb").read()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            assert entry["dtype"] == "F32"
            start, end = entry["data_offsets"]
            tensors[name] = np.frombuffer(raw[8 + length + start : 8 + length + end], "<f4").reshape(entry["shape"])
    return tensors


def load_images(path):
    raw = (gzip.open if path.endswith(".gz") else open)(path, "rb").read()
    _, count, rows, columns = struct.unpack(">IIII", raw[:16])
    return np.frombuffer(raw[16:], np.uint8).reshape(count, rows * columns).astype(np.float64) / 255


weights = load_safetensors(sys.argv[1] + "/weights.safetensors")
x = load_images(sys.argv[2])


def dense(value, name):
    return value @ weights[name + "/kernel"].astype(np.float64) + weights[name + "/bias"]


def relu(value):
    return np.maximum(value, 0)


hidden = relu(dense(relu(dense(x, "encoder/dense0")), "encoder/dense1"))
mean, log_variance = dense(hidden, "encoder/mean"), dense(hidden, "encoder/logVariance")
z = mean + np.exp(log_variance / 2) * np.random.default_rng(0).standard_normal(mean.shape)
logits = dense(relu(dense(relu(dense(z, "decoder/dense0")), "decoder/dense1")), "decoder/logits")
reconstruction = (np.logaddexp(0, logits) - x * logits).sum(1)
kl = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum(1)
print(json.dumps({"elbo": (reconstruction + kl).mean(), "reconstruction": reconstruction.mean(), "kl": kl.mean()}))
