"""Golden values of the evaluation's figures, by numpy and scipy alone; prints evaluation.json.

Usage: python3 evaluation.py > evaluation.json  (made with numpy 2.4.6 and scipy 1.17.1)
The samples are a formula, so that the test makes the same ones: see wave().
"""
import json

import numpy as np
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist


def wave(rows, columns, phase, scale):
    i = np.arange(rows * columns, dtype=np.float64)
    values = np.sin(12.9898 * i + phase) * 43758.5453
    return (scale * (values - np.floor(values))).astype(np.float32).astype(np.float64).reshape(rows, columns)


def frechet(x, y):
    """As pytorch-fid: tr sqrtm(S1 S2), unbiased covariances."""
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    offset = x.mean(0) - y.mean(0)
    return float(offset @ offset + np.trace(s1) + np.trace(s2) - 2 * np.trace(sqrtm(s1 @ s2)).real)


def mmd(x, y):
    """Unbiased squared MMD with (x.y/d + 1)^3."""
    d = x.shape[1]
    xx, yy, xy = (((a @ b.T) / d + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    m, n = len(x), len(y)
    return float(
        (xx.sum() - np.trace(xx)) / (m * (m - 1)) + (yy.sum() - np.trace(yy)) / (n * (n - 1)) - 2 * xy.sum() / (m * n)
    )


def prdc(real, fake, k):
    """As clovaai/generative-evaluation-prdc, prdc/prdc.py."""
    def radii(x):
        return np.sort(cdist(x, x), axis=1)[:, k]

    distance = cdist(real, fake)
    in_real = distance < radii(real)[:, None]
    in_fake = distance < radii(fake)[None, :]
    return {
        "precision": float(in_real.any(0).mean()),
        "recall": float(in_fake.any(1).mean()),
        "density": float(in_real.sum(0).mean() / k),
        "coverage": float((distance.min(1) < radii(real)).mean()),
    }


def inception_score(p):
    marginal = p.mean(0)
    return float(np.exp((p * (np.log(p) - np.log(marginal))).sum(1).mean()))


real, fake = wave(150, 8, 1, 2.0), wave(120, 8, 2, 2.5)
probabilities = wave(60, 5, 3, 1.0) ** 4 + 1e-3
probabilities = (probabilities / probabilities.sum(1, keepdims=True)).astype(np.float32).astype(np.float64)
print(
    json.dumps(
        {
            "frechet": frechet(real, fake),
            "mmd": mmd(real, fake),
            "neighbours": {str(k): prdc(real, fake, k) for k in (1, 3, 5)},
            "inceptionScore": inception_score(probabilities),
        },
        indent=2,
    )
)
