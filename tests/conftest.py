"""One thread for torch, here and in every process a test starts: sums split over other numbers of threads round otherwise."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import torch

torch.set_num_threads(1)
