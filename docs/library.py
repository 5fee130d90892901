# # Searching from Python
#
# A search of your own network on your own data, in one script. What the search trains must be importable by name, because Ray's
# workers and a later resume import it again; so it stands in a module of its own. This script writes that module first, to be
# complete; yours exists already.

# %%
import sys
from pathlib import Path

Path("my_parts.py").write_text(
    '''
import numpy as np
from torch import nn


def stripes(count: int = 400):
    """(X, y): images with horizontal or vertical stripes, in noise."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=count)
    wave = np.sin(np.arange(16) * 1.5)[None, :] * np.ones((16, 1))
    images = np.where(y[:, None, None] == 1, wave, wave.T) + rng.normal(size=(count, 16, 16))
    return images[:, None].astype("float32"), np.array(["horizontal", "vertical"])[y]


def small(in_channels, num_classes, width: int = 16):
    """A plain torch network. Its first and last layers stay real; those between become binary."""
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, padding=1), nn.BatchNorm2d(width),
        nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.AvgPool2d(2),
        nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(width, num_classes),
    )
''',
    encoding="utf-8",
)
Path("recipe.yaml").write_text(
    "data: {name: digits}      # both are replaced below\n"
    "network: {name: digits_resnet}\n"
    "optimizer: {name: adam, lr: 3e-3}\n"
    "epochs: 3\nbatch_size: 32\nreports_per_epoch: 2\n",
    encoding="utf-8",
)
Path("space.yaml").write_text(
    "recipe: recipe.yaml\n"
    "space:\n"
    "  gamma.strategy: {choice: [flip_ratio, max_gradient]}\n"
    "  optimizer.lr: {log_uniform: [1e-3, 3e-2]}\n"
    "  network.width: {choice: [8, 16]}      # an argument of `small`\n"
    "trials: 4\n",
    encoding="utf-8",
)

# %% The search
sys.path.insert(0, ".")
import my_parts  # noqa: E402

import rebnn_search as rs  # noqa: E402

result = rs.search("space.yaml", network=my_parts.small, data=my_parts.stripes)

# %% What it found
print(result.table()[["trial", "state", "gamma.strategy", "optimizer.lr", "network.width", "val_loss", "val_top1"]])
print(f"chosen: #{result.best.number}, test Top-1 {result.best.test_top1:.1f} %")
figure = result.figures()["training_loss"]
figure.savefig("training_loss.png")

# %% Its network
images, labels = my_parts.stripes(10)
model = result.model()
print([model.classes[k] for k in model.predict_proba(images).argmax(1)], list(labels))

# %% Go on with it, now or after a crash: twice as many trials
result = rs.search("space.yaml", network=my_parts.small, data=my_parts.stripes, resume=True, trials=8)
print(len(result.table()), "trials")
